// Tables and migrations, for SQLite and PostgreSQL. Times are seconds since the epoch, except in `changes`, where they
// are milliseconds. Lists of words (tags, editors, aliases) are kept as one text with a blank between words.
import { type ColumnType, type Generated, type Kysely, type Migration, sql } from 'kysely';
import { makeSearchIndex } from './searchindex.ts';

export interface LinkTable {
  num: Generated<number>;
  /** Normalised name. */
  id: string;
  short: string;
  long: string;
  owner: string;
  description: string;
  tags: string;
  editors: string;
  aliases: string;
  open_edit: number;
  append: string;
  created: number;
  last_edit: number;
  /** Grows by one with each change. */
  version: number;
  /** All clicks that were flushed. */
  clicks: Generated<number>;
  /** When it was deleted; null while it lives. */
  deleted: number | null;
  deleted_by: Generated<string>;
}

export interface Tables {
  links: LinkTable;
  /** Other names of links; an index over `links.aliases`. */
  aliases: { id: string; link_id: string };
  /** One row for each change of a link, written in the same transaction. `before` and `after`: the link as JSON. */
  changes: {
    seq: Generated<number>;
    at: number;
    kind: ColumnType<ChangeKind, ChangeKind, never>;
    link_id: string;
    /** Login name, and the node it came from; both empty for the command line. */
    actor: string;
    actor_node: string;
    before: string | null;
    after: string | null;
  };
  /** Clicks counted since the row before. */
  stats: { link_id: string; at: number; clicks: number };
  /** Names people followed and nobody has made, by day. */
  missing: { name: string; at: number; visits: number };
  /** Clicks by caller and day, kept only where that is switched on. */
  visitors: { link_id: string; login: string; at: number; clicks: number };
  /** API tokens of scripts. `hash`: SHA-256 of the secret, in hex. */
  tokens: {
    id: string;
    name: string;
    hash: string;
    owner: string;
    scopes: string;
    created: number;
    expires: number | null;
    last_used: number | null;
    revoked: number | null;
  };
  settings: { name: string; value: string };
  /** `links`: how many live. */
  totals: { name: string; n: number };
}

export type ChangeKind = 'create' | 'update' | 'rename' | 'delete' | 'import' | 'restore';

export type DatabaseKind = 'sqlite' | 'postgres';

/** In order of their names. `tell`: called now and then with the share that is done. */
export function migrations(
  kind: DatabaseKind,
  tell: (share: number) => void,
): Readonly<Record<string, Migration>> {
  return {
    '2026-11-21-links': { up: (db) => firstTables(db, kind) },
    '2026-11-22-service': { up: (db) => serviceTables(db, kind) },
    '2026-11-23-totals': { up: totals },
    '2026-11-24-search': {
      up: async (db) => {
        await sql`drop index stats_by_time`.execute(db);
        await sql`create index stats_by_time on stats (at, link_id)`.execute(db);
        if (kind === 'sqlite') await makeSearchIndex(db, tell);
      },
    },
    ...(kind === 'postgres' && { '2026-11-25-bytes': { up: byBytes } }),
  };
}

async function firstTables(db: Kysely<unknown>, kind: DatabaseKind): Promise<void> {
  await db.schema
    .createTable('links')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('short', 'text', (c) => c.notNull())
    .addColumn('long', 'text', (c) => c.notNull())
    .addColumn('owner', 'text', (c) => c.notNull())
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('last_edit', 'bigint', (c) => c.notNull())
    .execute();
  await db.schema
    .createTable('changes')
    .addColumn('seq', kind === 'sqlite' ? 'integer' : 'bigserial', (c) =>
      kind === 'sqlite' ? c.primaryKey().autoIncrement() : c.primaryKey(),
    )
    .addColumn('at', 'bigint', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('link_id', 'text', (c) => c.notNull())
    .addColumn('actor', 'text', (c) => c.notNull())
    .addColumn('actor_node', 'text', (c) => c.notNull())
    .addColumn('before', 'text')
    .addColumn('after', 'text')
    .execute();
  await db.schema
    .createIndex('changes_by_link')
    .on('changes')
    .columns(['link_id', 'seq'])
    .execute();
  await db.schema
    .createTable('stats')
    .addColumn('link_id', 'text', (c) => c.notNull())
    .addColumn('at', 'bigint', (c) => c.notNull())
    .addColumn('clicks', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('stats_key', ['link_id', 'at'])
    .execute();
  await db.schema
    .createTable('settings')
    .addColumn('name', 'text', (c) => c.primaryKey())
    .addColumn('value', 'text', (c) => c.notNull())
    .execute();
}

/** Links get a number that search can refer to, more fields, and a total of their clicks. */
async function serviceTables(db: Kysely<unknown>, kind: DatabaseKind): Promise<void> {
  const isSqlite = kind === 'sqlite';
  // Names sort by their bytes, as in golink, whatever the database's language.
  const name = isSqlite ? sql`text` : sql`text collate "C"`;
  await db.schema.alterTable('links').renameTo('old_links').execute();
  await db.schema
    .createTable('links')
    .addColumn('num', isSqlite ? 'integer' : 'bigserial', (c) =>
      isSqlite ? c.primaryKey().autoIncrement() : c.primaryKey(),
    )
    .addColumn('id', name, (c) => c.notNull().unique())
    .addColumn('short', name, (c) => c.notNull())
    .addColumn('long', 'text', (c) => c.notNull())
    .addColumn('owner', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull().defaultTo(''))
    .addColumn('tags', 'text', (c) => c.notNull().defaultTo(''))
    .addColumn('editors', 'text', (c) => c.notNull().defaultTo(''))
    .addColumn('aliases', 'text', (c) => c.notNull().defaultTo(''))
    .addColumn('open_edit', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('append', 'text', (c) => c.notNull().defaultTo('end'))
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('last_edit', 'bigint', (c) => c.notNull())
    .addColumn('version', 'integer', (c) => c.notNull().defaultTo(1))
    .addColumn('clicks', 'bigint', (c) => c.notNull().defaultTo(0))
    .addColumn('deleted', 'bigint')
    .addColumn('deleted_by', 'text', (c) => c.notNull().defaultTo(''))
    .execute();
  await sql`insert into links (id, short, long, owner, created, last_edit, clicks)
    select id, short, long, owner, created, last_edit,
      coalesce((select sum(clicks) from stats where stats.link_id = old_links.id), 0)
    from old_links`.execute(db);
  await db.schema.dropTable('old_links').execute();
  const index = (indexName: string, on: string) =>
    sql.raw(`create index ${indexName} on ${on}`).execute(db);
  await index('links_by_short', 'links (short)');
  await index('links_by_clicks', 'links (clicks desc, short) where deleted is null');
  await index('links_by_edit', 'links (last_edit desc, short) where deleted is null');
  await index('links_by_owner', 'links (lower(owner), short)');
  await index('links_by_deletion', 'links (deleted) where deleted is not null');
  await index('changes_by_time', 'changes (at)');
  await index('stats_by_time', 'stats (at)');
  await db.schema
    .createTable('aliases')
    .addColumn('id', name, (c) => c.primaryKey())
    .addColumn('link_id', 'text', (c) => c.notNull())
    .execute();
  await index('aliases_by_link', 'aliases (link_id)');
  await db.schema
    .createTable('missing')
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('at', 'bigint', (c) => c.notNull())
    .addColumn('visits', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('missing_key', ['at', 'name'])
    .execute();
  await db.schema
    .createTable('visitors')
    .addColumn('link_id', 'text', (c) => c.notNull())
    .addColumn('login', 'text', (c) => c.notNull())
    .addColumn('at', 'bigint', (c) => c.notNull())
    .addColumn('clicks', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('visitors_key', ['link_id', 'at', 'login'])
    .execute();
  await db.schema
    .createTable('tokens')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('hash', 'text', (c) => c.notNull().unique())
    .addColumn('owner', 'text', (c) => c.notNull())
    .addColumn('scopes', 'text', (c) => c.notNull())
    .addColumn('created', 'bigint', (c) => c.notNull())
    .addColumn('expires', 'bigint')
    .addColumn('last_used', 'bigint')
    .addColumn('revoked', 'bigint')
    .execute();
}

/**
 * Names and logins of other tables sort by their bytes as well, so that they are looked up among links by an index,
 * whatever the database's language; lists of words, which may be long, are in no index.
 */
async function byBytes(db: Kysely<unknown>): Promise<void> {
  const statements = [
    'drop index if exists links_search',
    'drop index links_by_editors',
    'drop index links_by_tags',
  ];
  for (const [table, ...columns] of [
    ['links', 'owner'],
    ['aliases', 'link_id'],
    ['changes', 'link_id'],
    ['stats', 'link_id'],
    ['missing', 'name'],
    ['visitors', 'link_id', 'login'],
    ['tokens', 'id'],
  ]) {
    const types = columns.map((column) => `alter column ${column} type text collate "C"`);
    statements.push(`alter table ${table} ${types.join(', ')}`);
  }
  statements.push(
    "create index links_by_editors on links (id) where editors > ''",
    "create index links_by_tags on links (id) where tags > ''",
  );
  for (const statement of statements) await sql.raw(statement).execute(db);
}

/** What pages show of a million links without looking at each. */
async function totals(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('totals')
    .addColumn('name', 'text', (c) => c.primaryKey())
    .addColumn('n', 'bigint', (c) => c.notNull())
    .execute();
  for (const statement of [
    "insert into totals (name, n) select 'links', count(*) from links where deleted is null",
    "create index links_by_editors on links (editors) where editors > ''",
    "create index links_by_tags on links (tags) where tags > ''",
  ])
    await sql.raw(statement).execute(db);
}
