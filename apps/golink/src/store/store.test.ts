import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SqliteDatabase } from '@cove/sqlite';
import { GolinkError } from '../errors.ts';
import { type Link, linkId, newLink } from '../links.ts';
import { changesOf } from './history.ts';
import { countedLink, countLinks, listLinks } from './listing.ts';
import { Store } from './store.ts';

const NOBODY = { login: '', node: '' };
const NOW = Date.parse('2022-06-02T01:02:03Z');

function temporary(): { dir: string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), 'golink-'));
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

const open = (file: string, now: () => number = () => NOW): Promise<Store> =>
  Store.open({ database: file, now, log: () => {} });

const link = (short: string, long = `http://${short}/`): Link =>
  newLink({ short, long, owner: 'foo@example.com', created: NOW / 1000, lastEdit: NOW / 1000 });

const clicks = async (store: Store, id: string): Promise<number | undefined> =>
  (await countedLink(store, id))?.clicks;

async function stats(store: Store): Promise<unknown[]> {
  await store.flush();
  const rows: unknown[] = [];
  for await (const some of store.clicks.export()) rows.push(...some);
  return rows;
}

const put = (store: Store, one: Link): Promise<Link | undefined> =>
  store.change(one.id, NOBODY, () => one);

test('links survive a restart, identical, and a deleted one is gone with its clicks', async () => {
  using tmp = temporary();
  const file = join(tmp.dir, 'go.db');
  const first = await open(file);
  const links = [link('short'), link('Foo.Bar'), link('gone')];
  for (const one of links) await put(first, one);
  first.clicks.count('gone');
  first.clicks.count('short');
  await first.change('gone', NOBODY, () => undefined);
  await first.close();
  const second = await open(file);
  assert.deepEqual(
    (await listLinks(second, { limit: 10 })).links.map((counted) => counted.link),
    [links[1], links[0]],
  );
  assert.equal(await clicks(second, 'short'), 1);
  assert.equal(await clicks(second, 'gone'), undefined);
  assert.deepEqual(
    (await stats(second)).map((row) => (row as { id: string }).id),
    ['short'],
  );
  await second.close();
});

test('each change is an event with who, when, before and after; one that is refused leaves none', async () => {
  const store = await open(':memory:');
  const actor = { login: 'foo@example.com', node: 'laptop' };
  await store.change('x', actor, () => link('x', 'http://1/'));
  await store.change('x', actor, (before) => ({ ...before!, long: 'http://2/' }));
  await assert.rejects(
    store.change('x', actor, () => {
      throw new GolinkError('ERR_FORBIDDEN', 'no');
    }),
    { code: 'ERR_FORBIDDEN' },
  );
  await store.change('x', actor, () => undefined);
  await store.change('never-there', actor, () => undefined);
  const changes = await changesOf(store, { id: 'x', limit: 10 });
  assert.deepEqual(
    changes.map(({ kind, before, after }) => [kind, before?.long, after?.long]),
    [
      ['delete', 'http://2/', undefined],
      ['update', 'http://1/', 'http://2/'],
      ['create', undefined, 'http://1/'],
    ],
  );
  assert.deepEqual(
    [changes[0]!.at, changes[0]!.actor, changes[0]!.actorNode],
    [NOW, 'foo@example.com', 'laptop'],
  );
  assert.equal((await changesOf(store, { id: 'never-there', limit: 10 })).length, 0);
  await store.close();
});

test('changes asked for at once happen one after the other', async () => {
  const store = await open(':memory:');
  await put(store, link('n', '0'));
  await Promise.all(
    Array.from({ length: 50 }, () =>
      store.change('n', NOBODY, (before) => ({
        ...before!,
        long: String(Number(before!.long) + 1),
      })),
    ),
  );
  assert.equal((await store.find('n'))!.long, '50');
  await store.close();
});

test('clicks of a minute share a row, are summed after a restart and not lost by closing', async () => {
  using tmp = temporary();
  const file = join(tmp.dir, 'go.db');
  let now = NOW;
  const store = await open(file, () => now);
  await put(store, link('a'));
  await put(store, link('B-c'));
  store.clicks.count('a');
  await store.flush();
  now += 30_000;
  store.clicks.count('a');
  store.clicks.count('bc');
  await store.flush();
  now += 30_000;
  store.clicks.count('a');
  await store.close();
  const again = await open(file);
  assert.equal(await clicks(again, 'a'), 3);
  assert.deepEqual(await stats(again), [
    { id: 'a', at: NOW / 1000, clicks: 2 },
    { id: 'bc', at: NOW / 1000, clicks: 1 },
    { id: 'a', at: NOW / 1000 + 60, clicks: 1 },
  ]);
  await again.close();
});

test('the files are readable by their owner only, and a wider mode is narrowed', async () => {
  using tmp = temporary();
  const file = join(tmp.dir, 'go.db');
  writeFileSync(file, '', { mode: 0o644 });
  const store = await open(file);
  await put(store, link('a'));
  for (const name of readdirSync(tmp.dir))
    assert.equal((statSync(join(tmp.dir, name)).mode & 0o777).toString(8), '600', name);
  await store.close();
  assert.deepEqual(readdirSync(tmp.dir), ['go.db'], 'after closing, everything is in the one file');
});

const codeOf = async (file: string): Promise<string> => {
  try {
    const store = await open(file);
    await store.close();
    return 'opened';
  } catch (error) {
    assert.ok(error instanceof GolinkError, String(error));
    assert.match(error.message, /\.$/);
    return error.code;
  }
};

test('a damaged, foreign or unreachable file is a typed error, and stays as it was', async () => {
  using tmp = temporary();
  const junk = join(tmp.dir, 'junk.db');
  writeFileSync(
    junk,
    'this is not a database, although it is long enough to look like one'.repeat(50),
  );
  assert.equal(await codeOf(junk), 'ERR_DATABASE_CORRUPT');
  assert.match(readFileSync(junk, 'utf8'), /^this is not a database/);

  const torn = join(tmp.dir, 'torn.db');
  const store = await open(torn);
  for (let i = 0; i < 200; i++) await put(store, link(`name${i}`, `http://h/${'x'.repeat(200)}`));
  await store.close();
  const bytes = readFileSync(torn);
  bytes.fill(0x5a, 4096 * 2, 4096 * 8);
  writeFileSync(torn, bytes);
  assert.equal(await codeOf(torn), 'ERR_DATABASE_CORRUPT');

  const foreign = join(tmp.dir, 'foreign.db');
  const other = new SqliteDatabase(foreign);
  other.exec('create table Links (ID text); create table Stats (ID text)');
  other.close();
  assert.equal(await codeOf(foreign), 'ERR_DATABASE_FOREIGN');
  assert.equal(await codeOf(join(tmp.dir, 'no', 'such', 'dir.db')), 'ERR_DATABASE');
});

test('what another process writes is seen, and neither overwrites the other', async () => {
  using tmp = temporary();
  const file = join(tmp.dir, 'go.db');
  const one = await open(file);
  const two = await open(file);
  await put(one, link('a', 'http://one/'));
  await two.change('a', NOBODY, (before) => ({ ...before!, owner: 'two' }));
  const seen = (await one.find('a'))!;
  assert.deepEqual([seen.long, seen.owner], ['http://one/', 'two']);
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => put(i % 2 === 0 ? one : two, link(`both${i}`))),
  );
  assert.deepEqual([await countLinks(one), await countLinks(two)], [21, 21]);
  await one.close();
  await two.close();
});

test('after closing, everything answers ERR_CLOSED', async () => {
  const store = await open(':memory:');
  await store.close();
  await store.close();
  await assert.rejects(put(store, link('a')), { code: 'ERR_CLOSED' });
});

test('a link whose creation was answered is there after kill -9', async () => {
  using tmp = temporary();
  const script = fileURLToPath(new URL('../testing/writer.js', import.meta.url));
  // Three databases side by side, each killed five times, at different moments, always in the middle of writing.
  const lane = async (lane: number): Promise<number> => {
    const file = join(tmp.dir, `go${lane}.db`);
    const answered: string[] = [];
    for (let round = 0; round < 5; round++) {
      const child = fork(script, [file, String(round)], { execArgv: [] });
      await new Promise<void>((resolve, reject) => {
        let left = 3 + (((lane * 5 + round) * 7) % 23);
        child.on('error', reject);
        child.on('exit', (code) =>
          code === null ? resolve() : reject(new Error(`writer ended: ${code}`)),
        );
        child.on('message', (name: string) => {
          answered.push(name);
          if (--left === 0) child.kill('SIGKILL');
        });
      });
    }
    const store = await open(file);
    for (const name of answered) {
      const id = linkId(name);
      assert.ok(await store.find(id), name);
      assert.equal((await changesOf(store, { id, limit: 2 })).length, 1, `event of ${name}`);
    }
    await store.close();
    return answered.length;
  };
  const counts = await Promise.all([0, 1, 2].map(lane));
  assert.ok(
    counts.every((count) => count >= 15),
    String(counts),
  );
});
