import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { newLink } from '../links.ts';
import { Store } from './store.ts';

const NOW = Date.parse('2022-06-02T01:02:03Z');
const LINKS = 3_500;

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
