import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CompiledQuery } from 'kysely';
import { Database, sql } from '../database/database.ts';
import { ControlError } from '../errors.ts';
import { Journal } from './journal.ts';
import { insertTailnet, insertUser, loadTailnet, storeSetting } from './rows.ts';

interface Setup {
  readonly journal: Journal;
  readonly database: Database;
  /** The next commit throws this. */
  failNext(error: Error): void;
  readonly commits: readonly (readonly CompiledQuery[])[];
  readonly resets: readonly ControlError[];
}

function setUp(t: TestContext): Setup {
  const dir = mkdtempSync(join(tmpdir(), 'cove-journal-'));
  const database = Database.open(join(dir, 'control.db'), 0);
  database.commit([insertTailnet(1, 'one', 0)]);
  const commits: (readonly CompiledQuery[])[] = [];
  const resets: ControlError[] = [];
  let failure: Error | undefined;
  const commit = database.commit.bind(database);
  database.commit = (queries) => {
    const error = failure;
    failure = undefined;
    if (error !== undefined) throw error;
    commits.push(queries);
    commit(queries);
  };
  const journal = new Journal({
    database,
    tailnet: loadTailnet(database, 1)!,
    now: () => 1000,
    onReset: (error) => resets.push(error),
  });
  t.after(() => {
    journal.close();
    database.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return {
    journal,
    database,
    commits,
    resets,
    failNext: (error) => {
      failure = error;
    },
  };
}

const user = (id: number) => ({
  id,
  loginName: `u${id}@x`,
  displayName: `u${id}`,
  role: 'member' as const,
  created: 0,
});

test('mutations of one turn share a transaction, in order, with their events', async (t) => {
  const { journal, commits, database } = setUp(t);
  const results = await Promise.all(
    [1, 2, 3].map((n) =>
      journal.mutate((tx) => {
        tx.write(storeSetting(1, `s${n}`, String(n)));
        tx.event('admin', 'test', `s${n}`, { n });
        return n;
      }),
    ),
  );
  assert.deepEqual(results, [1, 2, 3]);
  assert.equal(commits.length, 1);
  assert.deepEqual(
    database.all(sql.selectFrom('events').select(['seq', 'at', 'subject', 'data'])),
    [1, 2, 3].map((n) => ({ seq: n, at: 1000, subject: `s${n}`, data: `{"n":${n}}` })),
  );
});

test('a mutation that refuses before it writes fails alone', async (t) => {
  const { journal, database } = setUp(t);
  const good = journal.mutate((tx) => tx.write(storeSetting(1, 'a', 'x')));
  const bad = journal.mutate(() => {
    throw new ControlError('ERR_CONFLICT', 'no');
  });
  await assert.rejects(bad, { code: 'ERR_CONFLICT' });
  await good;
  assert.equal(database.all(sql.selectFrom('settings').selectAll()).length, 1);
});

test('a mutation without writes commits nothing', async (t) => {
  const { journal, commits } = setUp(t);
  assert.equal(await journal.mutate(() => 'seen'), 'seen');
  assert.equal(commits.length, 0);
});

test('what follows a commit happens after it and before the caller knows', async (t) => {
  const { journal, commits } = setUp(t);
  const order: string[] = [];
  await journal
    .mutate((tx) => {
      tx.write(storeSetting(1, 'a', 'x'));
      tx.after(() => order.push(`after ${commits.length}`));
    })
    .then(() => order.push('caller'));
  assert.deepEqual(order, ['after 1', 'caller']);
});

test('when the disk fails, memory goes back to the tables and every caller is told', async (t) => {
  const { journal, resets, failNext } = setUp(t);
  await journal.mutate((tx) => {
    tx.tailnet.addUser(user(1));
    tx.write(insertUser(1, user(1)));
  });
  const before = journal.tailnet;
  failNext(new ControlError('ERR_DATABASE_IO', 'disk full'));
  const told: string[] = [];
  const fails = [2, 3].map((id) =>
    journal.mutate((tx) => {
      tx.tailnet.addUser(user(id));
      tx.write(insertUser(1, user(id)));
      tx.after(() => told.push(String(id)));
    }),
  );
  for (const fail of fails) await assert.rejects(fail, { code: 'ERR_DATABASE_IO' });
  assert.notEqual(journal.tailnet, before);
  assert.deepEqual([...journal.tailnet.users.keys()], [1]);
  assert.deepEqual(told, []);
  assert.equal(resets.length, 1);
  // The next one goes through.
  await journal.mutate((tx) => tx.write(insertUser(1, user(2))));
});

test('a mutation that throws between its writes counts as a failed commit', async (t) => {
  const { journal, resets, database } = setUp(t);
  await assert.rejects(
    journal.mutate((tx) => {
      tx.write(storeSetting(1, 'a', 'x'));
      throw new TypeError('bug');
    }),
    { code: 'ERR_DATABASE_IO' },
  );
  assert.equal(resets.length, 1);
  assert.equal(database.all(sql.selectFrom('settings').selectAll()).length, 0);
});

test('close commits what is queued and refuses the rest', async (t) => {
  const { journal, database } = setUp(t);
  const last = journal.mutate((tx) => tx.write(storeSetting(1, 'a', 'x')));
  journal.close();
  await last;
  assert.equal(database.all(sql.selectFrom('settings').selectAll()).length, 1);
  await assert.rejects(
    journal.mutate(() => {}),
    { code: 'ERR_CLOSED' },
  );
});
