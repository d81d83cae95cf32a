import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from 'kysely';
import { newLink } from '../links.ts';
import { Store } from './store.ts';

const NOW = Date.parse('2022-06-02T01:02:03Z');
const LINKS = 3_500;

const MANY = 5_000;
const NOBODY = { login: '', node: '' };

/** With many links, each visited once. */
async function visited(database: string): Promise<Store> {
  const store = await Store.open({ database, now: () => NOW, log: () => {} });
  const links = Array.from({ length: MANY }, (_, i) =>
    newLink({ short: `n${i}`, long: 'http://h/', owner: 'a@b.c', created: 0, lastEdit: 0 }),
  );
  await store.addMissing(links, NOBODY);
  for (const { id } of links) store.clicks.count(id);
  return store;
}

async function clicksIn(store: Store): Promise<number> {
  const { rows } = await sql<{ n: number }>`select sum(clicks) as n from links`.execute(
    store.database.db,
  );
  return rows[0]!.n;
}

test('a change does not wait for a flush of many links; a rename keeps the clicks that are still to be written', {
  timeout: 60_000,
}, async () => {
  const store = await visited(':memory:');
  try {
    const flushed = store.flush();
    await store.change('n999', NOBODY, (before) => ({
      ...before!,
      id: 'renamed',
      short: 'renamed',
    }));
    assert.ok((await clicksIn(store)) < MANY);
    assert.equal(store.clicks.unwritten('renamed'), 1);
    await flushed;
    await store.flush();
    assert.equal(await clicksIn(store), MANY);
    assert.equal(store.clicks.unwritten('renamed'), 0);
    const { rows } = await sql<{ synchronous: number }>`pragma synchronous`.execute(
      store.database.db,
    );
    // FULL: the changes that follow are on disk before they are answered.
    assert.equal(rows[0]!.synchronous, 2);
  } finally {
    await store.close();
  }
});

test('closing in the middle of a flush writes everything, and leaves one file', {
  timeout: 60_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'golink-clicks-'));
  try {
    const database = join(dir, 'links.db');
    const store = await visited(database);
    const flushed = store.flush();
    store.clicks.count('n1');
    const late = store.change('n2', NOBODY, (before) => ({ ...before!, long: 'http://late/' }));
    await store.close();
    await flushed;
    await late;
    assert.deepEqual(readdirSync(dir), ['links.db']);
    const again = await Store.open({ database, now: () => NOW, log: () => {} });
    try {
      assert.equal(await clicksIn(again), MANY + 1);
      assert.equal((await again.find('n2'))?.long, 'http://late/');
    } finally {
      await again.close();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a thread moves what a flush has written into the file, though no commit does', {
  timeout: 60_000,
}, async () => {
  const store = await visited(':memory:');
  try {
    const { db } = store.database;
    await sql`pragma wal_autocheckpoint = 0`.execute(db);
    await store.flush();
    const { rows } = await sql<{ log: number; checkpointed: number }>`
      pragma wal_checkpoint(noop)`.execute(db);
    const left = rows[0]!.log - rows[0]!.checkpointed;
    assert.ok(left < 300, `${left} pages`);
  } finally {
    await store.close();
  }
});

test('a flush of many links that fails half way keeps what is written, and writes the rest once', async () => {
  const store = await Store.open({ database: ':memory:', now: () => NOW, log: () => {} });
  const names = Array.from({ length: LINKS }, (_, i) => `name${10_000 + i}`);
  const links = names.map((short) =>
    newLink({ short, long: 'http://h/', owner: 'a@example.com', created: 0, lastEdit: 0 }),
  );
  await store.addMissing(links, { login: '', node: '' });
  const written = async (): Promise<number> => {
    let rows = 0;
    for await (const some of store.clicks.export()) {
      rows += some.length;
      assert.ok(some.every(({ clicks }) => clicks === 1));
    }
    return rows;
  };
  for (const name of names) store.clicks.count(name);
  const { db } = store.database;
  await sql`create trigger refuse before insert on stats when new.link_id = ${sql.lit(names[2_500])}
    begin select raise(abort, 'refused'); end`.execute(db);
  await assert.rejects(store.flush());
  assert.equal(await written(), 2_400);
  assert.deepEqual(
    [0, 2_399, 2_400, 3_499].map((i) => store.clicks.unwritten(names[i]!)),
    [...[0, 0, 1, 1]],
  );
  await sql`drop trigger refuse`.execute(db);
  await store.flush();
  assert.equal(await written(), LINKS);
  await store.close();
});
