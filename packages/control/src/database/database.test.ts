import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SqliteDatabase } from '@cove/sqlite';
import { insertTailnet, storeSetting } from '../state/rows.ts';
import { Database, sql } from './database.ts';
import { MIGRATIONS } from './migrations.ts';

function directory(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'cove-database-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const settings = (database: Database): string[] =>
  database.all(sql.selectFrom('settings').select('value').orderBy('name')).map((row) => row.value);

test('a new database is private, migrated, and durable before it acknowledges', (t) => {
  const path = join(directory(t), 'control.db');
  const database = Database.open(path, 42);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(`${path}-wal`).mode & 0o777, 0o600);
  assert.deepEqual(
    database.all(sql.selectFrom('cove_control_migrations').selectAll()),
    MIGRATIONS.map(({ id, name }) => ({ id, name, applied_at: 42 })),
  );
  database.commit([insertTailnet(1, 'one', 7), storeSetting(1, 'a', 'x')]);
  database.close();
  const again = Database.open(path, 43);
  assert.deepEqual(settings(again), ['x']);
  assert.equal(again.all(sql.selectFrom('cove_control_migrations').selectAll()).length, 1);
  again.close();
});

test('a database others may read is made private', (t) => {
  const path = join(directory(t), 'control.db');
  Database.open(path, 0).close();
  chmodSync(path, 0o644);
  Database.open(path, 0).close();
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('a transaction that fails leaves nothing behind', (t) => {
  const database = Database.open(join(directory(t), 'control.db'), 0);
  database.commit([insertTailnet(1, 'one', 0)]);
  assert.throws(() => database.commit([storeSetting(1, 'a', 'x'), insertTailnet(1, 'again', 0)]), {
    code: 'ERR_DATABASE_IO',
  });
  assert.deepEqual(settings(database), []);
  database.commit([storeSetting(1, 'a', 'y')]);
  assert.deepEqual(settings(database), ['y']);
  database.close();
});

test('a file that is no database is refused by name', (t) => {
  const path = join(directory(t), 'control.db');
  writeFileSync(path, 'x'.repeat(10_000));
  assert.throws(() => Database.open(path, 0), {
    code: 'ERR_DATABASE_CORRUPT',
    message: `${path} is damaged or not a database`,
  });
});

test('a damaged database is refused by name', (t) => {
  const path = join(directory(t), 'control.db');
  const database = Database.open(path, 0);
  database.commit([insertTailnet(1, 'one', 0)]);
  for (let i = 0; i < 50; i++) database.commit([storeSetting(1, `s${i}`, 'v'.repeat(500))]);
  database.close();
  const file = openSync(path, 'r+');
  for (let page = 2; page < 10; page++) writeSync(file, Buffer.alloc(64, 0xff), 0, 64, page * 4096);
  closeSync(file);
  assert.throws(
    () => Database.open(path, 0),
    (error: Error & { code?: string }) =>
      error.code === 'ERR_DATABASE_CORRUPT' && error.message.startsWith(path),
  );
});

test("another program's database is refused and left alone", (t) => {
  const path = join(directory(t), 'control.db');
  const other = new SqliteDatabase(path);
  other.exec('CREATE TABLE recipes (id INTEGER)');
  other.close();
  assert.throws(() => Database.open(path, 0), {
    code: 'ERR_DATABASE_FOREIGN',
    message: `${path} belongs to another program: it holds the table recipes`,
  });
  const check = new SqliteDatabase(path);
  assert.equal(
    check.prepare("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").pluck().get(),
    1,
  );
  check.close();
});

test('a database of a later version is refused', (t) => {
  const path = join(directory(t), 'control.db');
  const database = Database.open(path, 0);
  database.commit([
    sql
      .insertInto('cove_control_migrations')
      .values({ id: 99, name: 'future', applied_at: 0 })
      .compile(),
  ]);
  database.close();
  assert.throws(() => Database.open(path, 0), {
    code: 'ERR_DATABASE_FOREIGN',
    message: `${path} was written by a later version (schema 99, this one knows 1)`,
  });
});

test('a directory that does not exist is an I/O error naming the file', (t) => {
  const path = join(directory(t), 'missing', 'control.db');
  assert.throws(
    () => Database.open(path, 0),
    (error: Error & { code?: string }) =>
      error.code === 'ERR_DATABASE_IO' && error.message.includes(path),
  );
});

/** Starts the writer below and resolves with its first message. */
async function writer(path: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('../testing/writer.js', import.meta.url)), [path]);
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('exit', (code) => reject(new Error(`writer exited with ${code}`)));
  });
  return child;
}

const gone = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => child.once('exit', () => resolve()));

test('a second process on the database is refused while the first lives', async (t) => {
  const path = join(directory(t), 'control.db');
  const child = await writer(path);
  assert.throws(() => Database.open(path, 0), {
    code: 'ERR_DATABASE_LOCKED',
    message: `${path} is in use by another process`,
  });
  child.kill('SIGKILL');
  await gone(child);
  Database.open(path, 0).close();
});

test('a second server in this process is refused too', (t) => {
  const path = join(directory(t), 'control.db');
  const database = Database.open(path, 0);
  assert.throws(() => Database.open(path, 0), { code: 'ERR_DATABASE_LOCKED' });
  database.close();
});

test('killed at any moment, everything acknowledged is there', async (t) => {
  const path = join(directory(t), 'control.db');
  for (let round = 0; round < 4; round++) {
    let acknowledged = 0;
    const child = await writer(path);
    await new Promise<void>((done) => {
      let heard = 0;
      child.on('message', (count: number) => {
        acknowledged = count;
        if (++heard === 5 + 4 * round) setTimeout(done, round);
      });
    });
    child.kill('SIGKILL');
    await gone(child);
    const database = Database.open(path, 0);
    const rows = (table: 'settings' | 'events'): number =>
      database.all(sql.selectFrom(table).select((of) => of.fn.countAll<number>().as('count')))[0]!
        .count;
    const [stored, events] = [rows('settings'), rows('events')];
    database.close();
    assert.ok(acknowledged >= 5 && stored >= acknowledged, `${stored} of ${acknowledged}`);
    // Each came with its event or not at all.
    assert.equal(events, stored);
  }
});
