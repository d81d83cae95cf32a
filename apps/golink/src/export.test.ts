// Exports of many links: one moment, a part at a time, and an end when nobody takes them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { get as request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, test } from 'node:test';
import { send, snapshotOf } from './export.ts';
import { newLink } from './links.ts';
import { Store } from './store/store.ts';
import { startService } from './testing/service.ts';

const dir = mkdtempSync(join(tmpdir(), 'golink-export-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const NOBODY = { login: '', node: '' };
const LINKS = 3_000;
const name = (i: number): string => `n${String(i).padStart(4, '0')}`;

async function filled(file: string): Promise<Store> {
  const store = await Store.open({ database: file, now: () => 1e12, log: () => {} });
  const links = Array.from({ length: LINKS }, (_, i) =>
    newLink({ short: name(i), long: `http://old/${i}`, owner: '', created: 0, lastEdit: 0 }),
  );
  await store.addMissing(links, NOBODY);
  return store;
}

test('an export is of one moment, whatever is renamed, edited, deleted and made meanwhile', async () => {
  const store = await filled(join(dir, 'moment.db'));
  const parts = snapshotOf(store, { stats: true });
  store.clicks.count(name(7));
  let text = (await parts.next()).value as string;
  await store.change(name(2_900), NOBODY, (before) => ({ ...before!, short: 'a', id: 'a' }));
  await store.change(name(1), NOBODY, (before) => ({ ...before!, short: 'z', id: 'z' }));
  await store.change(name(2_500), NOBODY, () => undefined);
  await store.change(name(2_600), NOBODY, (before) => ({ ...before!, long: 'http://new/' }));
  store.clicks.count(name(8));
  await store.flush();
  for await (const part of parts) text += part;
  const lines = text.trim().split('\n');
  assert.deepEqual(
    lines.slice(0, -1).map((line) => [JSON.parse(line).Short, JSON.parse(line).Long]),
    Array.from({ length: LINKS }, (_, i) => [name(i), `http://old/${i}`]),
  );
  assert.deepEqual(JSON.parse(lines.at(-1)!), { Stats: [[name(7), 1e9, 1]] });
  await store.close();
});

test('no more is read than is taken, and an export that nobody takes any more ends', async () => {
  const file = join(dir, 'stalled.db');
  const store = await filled(file);
  let read = 0;
  const parts = async function* (): AsyncGenerator<string> {
    for await (const part of snapshotOf(store)) {
      read++;
      yield part;
    }
  };
  let taken = 0;
  const stalls = new Writable({
    highWaterMark: 1,
    decodeStrings: false,
    write(_chunk, _encoding, done) {
      if (++taken < 3) done();
    },
  });
  await assert.rejects(send(parts(), stalls, 100), { code: 'ERR_CLOSED' });
  assert.ok(stalls.destroyed);
  assert.ok(read >= 3 && read <= 6, `${read} parts of ${LINKS / 250} were read`);
  await store.close();
  assert.deepEqual(
    readdirSync(dir).filter((entry) => entry.startsWith('stalled')),
    ['stalled.db'],
    'nothing holds the log any more',
  );
});

test('closing ends exports that are under way, and those that wait for their turn', async () => {
  const store = await filled(join(dir, 'closed.db'));
  const under = Array.from({ length: 6 }, () => snapshotOf(store));
  const first = under.map((one) => one.next());
  const refused = Promise.allSettled(first.slice(4));
  await Promise.all(first.slice(0, 4));
  await store.close();
  for (const one of under.slice(0, 4))
    await assert.rejects(
      async () => {
        for await (const part of one) assert.equal(typeof part, 'string');
      },
      { code: 'ERR_CLOSED' },
    );
  for (const result of await refused)
    assert.equal(result.status === 'rejected' && result.reason.code, 'ERR_CLOSED');
  assert.deepEqual(
    readdirSync(dir).filter((entry) => entry.startsWith('closed')),
    ['closed.db'],
  );
});

test('who goes away in the middle of a download stops it, without a word in the log, and the next has its turn', async () => {
  const log: string[] = [];
  await using go = await startService({ log: (message) => log.push(message) });
  const lines = Array.from(
    { length: LINKS },
    (_, i) => `${JSON.stringify({ Short: name(i), Long: `http://x/${'y'.repeat(3_000)}` })}\n`,
  );
  await go.golink.importSnapshot(
    (async function* () {
      yield* lines;
    })(),
  );
  // More than may be under way at once, each of more than sockets hold.
  for (let i = 0; i < 6; i++) {
    const req = request({ host: '127.0.0.1', port: go.port, path: '/.export', agent: false });
    const [res] = await once(req, 'response');
    await once(res, 'readable');
    res.destroy();
  }
  const { body } = await go.get('/.export');
  assert.equal(body.trim().split('\n').length, LINKS);
  assert.deepEqual(log, []);
});
