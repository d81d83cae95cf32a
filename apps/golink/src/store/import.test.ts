// Imports that are killed, and the index of search, which an import fills by itself.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SqliteDatabase } from '@cove/sqlite';
import { createGolink } from '../golink.ts';
import { newLink } from '../links.ts';
import { importedLine } from '../testing/imported.ts';
import { searchLinks } from './search.ts';
import { Store } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'golink-import-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const LINKS = 28_000;
const BATCH = 4_000;
const NOBODY = { login: '', node: '' };

/** Throws when a link is not in the index as it is, or something else is. */
function checkIndex(file: string): SqliteDatabase {
  const db = new SqliteDatabase(file);
  assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
  // With a rank of 1 every link is compared.
  db.exec("insert into links_search (links_search, rank) values ('integrity-check', 1)");
  return db;
}

const count = (db: SqliteDatabase, query: string): number =>
  db.prepare<[], number>(`select ${query}`).pluck().get()!;

test('an import that is killed leaves whole batches, each with history, total and index of search; the next one adds the rest', async () => {
  const file = join(dir, 'killed.db');
  const script = fileURLToPath(new URL('../testing/importer.js', import.meta.url));
  const told: number[] = [];
  for (let round = 0; round < 3; round++) {
    const child = fork(script, [file, String(LINKS)], { execArgv: [] });
    let added = 0;
    child.on('message', (message: number) => {
      added = message;
      // In the first batch, behind it, and while a later one is written.
      if (message >= round * BATCH) setTimeout(() => child.kill('SIGKILL'), round * 15);
    });
    const [, signal] = (await once(child, 'close')) as [number | null, string | null];
    assert.equal(signal, 'SIGKILL');
    const before = told.at(-1) ?? 0;
    const db = checkIndex(file);
    const links = count(db, 'count(*) from links');
    assert.ok(links >= before + added, `${links} links, ${added} were told of`);
    assert.equal(links % BATCH, 0, `${links} links`);
    assert.equal(count(db, 'count(*) from changes'), links);
    assert.equal(count(db, "n from totals where name = 'links'"), links);
    assert.equal(count(db, "count(*) from settings where name like 'search%'"), 0);
    db.close();
    told.push(links);
  }
  assert.ok(told.at(-1)! < LINKS, String(told));
  const golink = await createGolink({ database: file, identify: async () => undefined });
  const report = await golink.importSnapshot(
    (async function* () {
      for (let i = 0; i < LINKS; i++) yield importedLine(i);
    })(),
  );
  assert.deepEqual([report.added, report.unchanged], [LINKS - told.at(-1)!, told.at(-1)!]);
  await golink.close();
  checkIndex(file).close();
});

test('visits are answered while a batch is imported', async () => {
  const file = join(dir, 'visited.db');
  const store = await Store.open({ database: file, now: () => 0, log: () => {} });
  await store.change('here', NOBODY, () =>
    newLink({ short: 'here', long: 'http://here/', owner: '', created: 0, lastEdit: 0 }),
  );
  const links = Array.from({ length: BATCH }, (_, i) =>
    newLink({ short: `x${i}`, long: `http://x/${i}`, owner: '', created: 0, lastEdit: 0 }),
  );
  let isDone = false;
  let visits = 0;
  const done = store.addMissing(links, NOBODY).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    assert.equal((await store.find('here'))?.long, 'http://here/');
    // All of a batch is seen, or nothing.
    if (!isDone && visits++ === 5)
      assert.equal((await searchLinks(store, 'http://x/77', 5)).length, 0);
    await new Promise(setImmediate);
  }
  await done;
  assert.ok(visits >= BATCH / 250, `${visits} visits`);
  assert.equal((await searchLinks(store, 'http://x/77', 5))[0]?.link.short, 'x77');
  await store.close();
});

test('the index follows changes, renames, deletions and restored links', async () => {
  const file = join(dir, 'followed.db');
  const store = await Store.open({ database: file, now: () => 1e12, log: () => {} });
  const found = async (text: string): Promise<string[]> =>
    (await searchLinks(store, text, 10)).map(({ link }) => link.short);
  const link = newLink({ short: 'a', long: 'http://alpha/', owner: '', created: 0, lastEdit: 0 });
  const second = { ...link, short: 'b', id: 'b', long: 'http://beta/' };
  await store.addMissing([link, second], NOBODY);
  await store.change('a', NOBODY, (before) => ({ ...before!, long: 'http://gamma/' }));
  assert.deepEqual([await found('alpha'), await found('gamma')], [[], ['a']]);
  await store.change('a', NOBODY, (before) => ({ ...before!, short: 'other', id: 'other' }));
  assert.deepEqual(await found('other gamma'), ['other']);
  await store.change('b', NOBODY, () => undefined);
  assert.deepEqual(await found('beta'), []);
  // The deleted row is in the way.
  await store.addMissing([{ ...second, long: 'http://delta/' }], NOBODY);
  assert.deepEqual([await found('beta'), await found('delta')], [[], ['b']]);
  await store.close();
  checkIndex(file).close();
});
