// A database made by the first release, opened by this one.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SqliteDatabase } from '@cove/sqlite';
import { GolinkError } from '../errors.ts';
import { changesOf } from './history.ts';
import { countedLink, countLinks, listLinks } from './listing.ts';
import { searchLinks } from './search.ts';
import { Store } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'golink-migration-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const NOBODY = { login: '', node: '' };

/** The schema as the first release made it, with its own migrations. */
const FIRST_RELEASE = `
create table kysely_migration (name varchar(255) not null primary key, timestamp varchar(255) not null);
create table kysely_migration_lock (id varchar(255) not null primary key, is_locked integer default 0 not null);
insert into kysely_migration values ('2026-11-21-links', '2026-11-21T12:00:00.000Z');
insert into kysely_migration_lock values ('migration_lock', 0);
create table links (id text primary key, short text not null, long text not null, owner text not null,
  created bigint not null, last_edit bigint not null);
create table changes (seq integer primary key autoincrement, at bigint not null, kind text not null,
  link_id text not null, actor text not null, actor_node text not null, "before" text, "after" text);
create index changes_by_link on changes (link_id, seq);
create table stats (link_id text not null, at bigint not null, clicks bigint not null,
  constraint stats_key primary key (link_id, at));
create table settings (name text primary key, value text not null);
`;

function firstRelease(file: string, links: number): void {
  const db = new SqliteDatabase(file);
  db.pragma('journal_mode = WAL');
  db.exec(FIRST_RELEASE);
  const link = db.prepare('insert into links values (?, ?, ?, ?, ?, ?)');
  const change = db.prepare(
    'insert into changes (at, kind, link_id, actor, actor_node, "before", "after") values (?, ?, ?, ?, ?, ?, ?)',
  );
  const click = db.prepare('insert into stats values (?, ?, ?)');
  db.transaction(() => {
    for (let i = 0; i < links; i++) {
      const record = (long: string): string =>
        JSON.stringify({
          ...{ Short: `Link-${i}`, Long: long, Created: '2022-06-01T00:00:00Z' },
          ...{ LastEdit: '2022-06-02T00:00:00Z', Owner: 'Foo@example.com' },
        });
      link.run(
        `link${i}`,
        `Link-${i}`,
        `http://new/${i}`,
        'Foo@example.com',
        1654041600,
        1654128000,
      );
      const old = record(`http://old/${i}`);
      change.run(1000, 'create', `link${i}`, 'foo@example.com', 'laptop', null, old);
      change.run(2000, 'update', `link${i}`, '', '', old, record(`http://new/${i}`));
      for (let at = 0; at < i % 4; at++) click.run(`link${i}`, 1654128000 + 60 * at, 5);
    }
    click.run('gone', 1654128000, 7);
  })();
  db.prepare('insert into settings values (?, ?)').run('form-tokens', 'c2VjcmV0');
  db.close();
}

const open = (file: string): Promise<Store> =>
  Store.open({ database: file, now: () => 1654200000_000, log: () => {} });

async function looksWhole(file: string, links: number): Promise<void> {
  const store = await open(file);
  assert.equal(await countLinks(store), links);
  const page = await listLinks(store, { limit: links + 1 });
  assert.equal(page.links.length, links);
  for (const { link, clicks } of page.links) {
    const i = Number(link.short.slice(5));
    assert.deepEqual(
      [link.id, link.long, link.owner, link.created, link.lastEdit, link.version, clicks],
      [`link${i}`, `http://new/${i}`, 'Foo@example.com', 1654041600, 1654128000, 1, 5 * (i % 4)],
    );
    assert.deepEqual(
      (await changesOf(store, { id: link.id, limit: 9 })).map(
        ({ kind, before, after, actor, at }) => [...[kind, before?.long, after?.long, actor, at]],
      ),
      [
        ['update', `http://old/${i}`, `http://new/${i}`, '', 2000],
        ['create', undefined, `http://old/${i}`, 'foo@example.com', 1000],
      ],
    );
  }
  assert.equal((await searchLinks(store, 'new/7', 5))[0]?.link.short, 'Link-7');
  assert.equal(Buffer.from(await store.secret('form-tokens', 32)).toString(), 'secret');
  await store.change('link1', NOBODY, (before) => ({ ...before!, long: 'http://newest/' }));
  assert.equal((await store.find('link1'))?.version, 2);
  assert.equal((await countedLink(store, 'link1'))?.clicks, 5);
  await store.close();
}

test('a database of the first release opens with every link, change, click and secret, and takes changes', async () => {
  const file = join(dir, 'first.db');
  firstRelease(file, 100);
  await looksWhole(file, 100);
});

test('a migration that was interrupted at any statement has not happened, and the next start makes it whole', async () => {
  // What the disk has room for decides at which statement it ends.
  const outcomes = new Set<string>();
  for (let room = 0; room <= 60; room += 4) {
    const file = join(dir, `room${room}.db`);
    firstRelease(file, 100);
    const before = new SqliteDatabase(file);
    const pages = before.pragma('page_count', { simple: true }) as number;
    before.close();
    const original = SqliteDatabase.prototype.pragma;
    SqliteDatabase.prototype.pragma = function (source: string, options?: object) {
      const result = original.call(this, source, options);
      // The first thing that is set on the connection that writes.
      if (source === 'synchronous = FULL') original.call(this, `max_page_count = ${pages + room}`);
      return result;
    };
    try {
      const store = await open(file);
      outcomes.add('done');
      await store.close();
    } catch (error) {
      assert.ok(error instanceof GolinkError, String(error));
      assert.equal(error.code, 'ERR_DATABASE');
      assert.match(error.message, /^The database .* cannot be used: .*full\.$/);
      outcomes.add('full');
      const db = new SqliteDatabase(file, { readonly: true });
      assert.equal(db.prepare('select count(*) from links').pluck().get(), 100);
      assert.equal(
        db.prepare("select count(*) from sqlite_master where name = 'old_links'").pluck().get(),
        0,
      );
      db.close();
    } finally {
      SqliteDatabase.prototype.pragma = original;
    }
    await looksWhole(file, 100);
  }
  assert.deepEqual([...outcomes].sort(), ['done', 'full']);
});

test('two processes that open an old database at once both find it migrated', async () => {
  const file = join(dir, 'both.db');
  firstRelease(file, 50);
  const [one, two] = await Promise.all([open(file), open(file)]);
  assert.deepEqual([await countLinks(one), await countLinks(two)], [50, 50]);
  await Promise.all([one.close(), two.close()]);
});

test('a database of a later version is said to be one, and stays as it is', async () => {
  const file = join(dir, 'later.db');
  await (await open(file)).close();
  const db = new SqliteDatabase(file);
  db.exec("insert into kysely_migration values ('2999-01-01-later', '2999-01-01T00:00:00.000Z')");
  db.close();
  await assert.rejects(open(file), (error) => {
    assert.ok(error instanceof GolinkError);
    assert.equal(error.code, 'ERR_DATABASE_FOREIGN');
    assert.match(error.message, /later\.db was written by a later version of this program/);
    return true;
  });
});
