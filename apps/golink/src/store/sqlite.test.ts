import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sql } from 'kysely';
import { openDatabase } from './open.ts';

const dir = mkdtempSync(join(tmpdir(), 'golink-db-'));
after(() => rmSync(dir, { recursive: true, force: true }));

test('a disk that fills up inside a transaction: the cause is told, and the next transaction works', async () => {
  const database = await openDatabase(join(dir, 'full.db'));
  const { db } = database;
  await sql`create table filler (bytes blob)`.execute(db);
  const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
  await sql`pragma max_page_count = ${sql.lit(rows[0]!.page_count + 8)}`.execute(db);
  const insert = (bytes: number): Promise<unknown> =>
    db
      .transaction()
      .execute((tx) => sql`insert into filler values (zeroblob(${bytes}))`.execute(tx));
  await assert.rejects(insert(1 << 20), { code: 'SQLITE_FULL' });
  await insert(100);
  const { rows: kept } = await sql`select 1 from filler`.execute(db);
  assert.equal(kept.length, 1);
  await database.close();
});
