import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driverFor, SqliteDatabase, SqliteMissingError } from './index.ts';

test('Node-API 10 takes the driver built for it, anything older the one before', () => {
  assert.equal(driverFor('9'), 'better-sqlite3');
  assert.equal(driverFor(undefined), 'better-sqlite3');
  assert.equal(driverFor('10'), 'better-sqlite3-napi');
  assert.equal(driverFor('11'), 'better-sqlite3-napi');
});

test('a missing driver says what to do', () => {
  const old = new SqliteMissingError('better-sqlite3', '20.19.0', new Error('no such module'));
  assert.equal(old.code, 'ERR_SQLITE_MISSING');
  assert.match(old.message, /Node 20\.19\.0.*C\+\+ compiler/);
  const napi = new SqliteMissingError('better-sqlite3-napi', '24.0.0', undefined);
  assert.match(napi.message, /npm ci/);
});

test('statements are collected while no script runs, and the process lives', async () => {
  const db = new SqliteDatabase(':memory:');
  db.exec('create table numbers (n integer)');
  const gc = globalThis.gc as (options?: object) => Promise<void> | void;
  for (let n = 0; n < 2_000; n++) db.prepare(`insert into numbers values (${n})`).run();
  await gc({ execution: 'async' });
  await gc({ execution: 'async' });
  assert.deepEqual(db.prepare('select count(*) as rows from numbers').get(), { rows: 2_000 });
  db.close();
});
