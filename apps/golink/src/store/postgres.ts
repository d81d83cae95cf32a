// A PostgreSQL database, which several replicas may share. Every visit asks the database, so that no replica follows a
// link as it was before a change that has been answered; visits of one turn of the event loop share a query.
import { Kysely, Migrator, PostgresDialect, type SqlBool, sql, type Transaction } from 'kysely';
import pg from 'pg';
import { GolinkError } from '../errors.ts';
import type { Link } from '../links.ts';
import { type Database, unusable } from './database.ts';
import { fromRow, LINK_COLUMNS, type LinkRow } from './record.ts';
import { migrations, type Tables } from './schema.ts';

const CONNECTIONS = 10;
const CONNECT_TIMEOUT_MS = 10_000;
/** Held by the one replica that migrates. */
const MIGRATION_LOCK = 7_303_014;
/** Held by whoever changes links: names and other names are free or taken across all of them. */
const WRITE_LOCK = 7_303_015;
/** A visit waits no longer for a server that has stopped answering. */
const FIND_TIMEOUT_MS = 10_000;
/** Serialization failure, deadlock. */
const CONFLICTS: ReadonlySet<string> = new Set(['40001', '40P01']);

/** `address`: `postgres://user:password@host/database`. Throws GolinkError ERR_DATABASE or ERR_DATABASE_FOREIGN. */
export async function openPostgres(address: string): Promise<Database> {
  const where = withoutPassword(address);
  const types = new pg.TypeOverrides();
  // Times and counts stay far below 2^53.
  types.setTypeParser(pg.types.builtins.INT8, Number);
  types.setTypeParser(pg.types.builtins.NUMERIC, Number);
  const pool = new pg.Pool({
    connectionString: address,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    types,
    application_name: 'golink',
  });
  // A connection that breaks is replaced, and whoever uses it has an error from its query; without listeners the event
  // would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => void client.on('error', () => {}));
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  try {
    await migrate(db, pool, where);
  } catch (error) {
    await db.destroy().catch(() => {});
    throw error instanceof GolinkError ? error : unusable(where, error);
  }
  return {
    kind: 'postgres',
    db,
    reader: db,
    count: (work) => db.transaction().execute(work),
    settle: async () => {},
    find: finder(pool),
    committed: () => {},
    async snapshot() {
      const tx = await db
        .startTransaction()
        .setIsolationLevel('repeatable read')
        .setAccessMode('read only')
        .execute();
      return {
        db: tx,
        async close() {
          if (!tx.isRolledBack) await tx.rollback().execute();
        },
      };
    },
    async insertMany(tx, table, rows) {
      const columns = Object.keys(rows[0] ?? {});
      if (columns.length === 0) return;
      const names = sql.join(columns.map((name) => sql.ref(name)));
      await sql`insert into ${sql.table(table)} (${names})
        select ${names} from json_populate_recordset(null::${sql.table(table)}, ${JSON.stringify(rows)})`.execute(
        tx,
      );
    },
    rows: (values) => sql`json_array_elements(${JSON.stringify(values)}::json) as rows (value)`,
    among: (column, values) => sql<SqlBool>`${sql.ref(column)} = any(${values})`,
    async lock(tx: Transaction<Tables>) {
      await sql`select pg_advisory_xact_lock(${sql.lit(WRITE_LOCK)})`.execute(tx);
    },
    isConflict: (error) => CONFLICTS.has(String((error as { code?: unknown } | null)?.code)),
    error: (error) => (error instanceof GolinkError ? error : unusable(where, error)),
    close: () => db.destroy(),
  };
}

async function migrate(db: Kysely<Tables>, pool: pg.Pool, where: string): Promise<void> {
  const { rows } = await pool.query<{ name: string }>(
    'select table_name as name from information_schema.tables where table_schema = current_schema()',
  );
  const names = rows.map(({ name }) => name);
  if (names.includes('links') && !names.includes('kysely_migration'))
    throw new GolinkError(
      'ERR_DATABASE_FOREIGN',
      `The database ${where} has a table "links" that golink did not make. Give golink a database of its own.`,
    );
  const connection = await pool.connect();
  try {
    await connection.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const provider = { getMigrations: async () => ({ ...migrations('postgres', () => {}) }) };
    const { error } = await new Migrator({ db, provider }).migrateToLatest();
    if (error !== undefined) throw error;
    await indexForSearch(pool);
  } finally {
    await connection.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => {});
    connection.release();
  }
}

/** Three letters anywhere in a word, where the server has the extension; without it a search reads every link. */
async function indexForSearch(pool: pg.Pool): Promise<void> {
  try {
    await pool.query('create extension if not exists pg_trgm');
  } catch {
    // Not installed, or not allowed to us.
    return;
  }
  await pool.query(
    `create index if not exists links_search on links using gin (${SEARCHED} gin_trgm_ops)`,
  );
}

/** Everything that is searched, as one text. */
export const SEARCHED: string =
  "(short || ' ' || long || ' ' || owner || ' ' || description || ' ' || tags || ' ' || aliases)";

interface FoundRow extends LinkRow {
  readonly asked: string;
}

function finder(pool: pg.Pool): (id: string) => Promise<Link | undefined> {
  const columns = LINK_COLUMNS.map((column) => `links.${column}`).join(', ');
  const query = `select links.id as asked, ${columns} from links where deleted is null and id = any($1)
    union all
    select aliases.id as asked, ${columns} from aliases join links on links.id = aliases.link_id
    where deleted is null and aliases.id = any($1)`;
  const prepared = { name: 'find', text: query, query_timeout: FIND_TIMEOUT_MS };
  let asked: Map<string, Promise<Link | undefined>> | undefined;
  let answers: Promise<Map<string, Link>> | undefined;
  return (id) => {
    if (asked === undefined) {
      const batch = new Map<string, Promise<Link | undefined>>();
      asked = batch;
      answers = new Promise((resolve, reject) => {
        setImmediate(() => {
          asked = undefined;
          pool
            .query<FoundRow>({ ...prepared, values: [[...batch.keys()]] })
            .then(({ rows }) => resolve(new Map(rows.map((row) => [row.asked, fromRow(row)]))))
            .catch(reject);
        });
      });
    }
    let answer = asked.get(id);
    if (answer === undefined) {
      answer = answers!.then((links) => links.get(id));
      asked.set(id, answer);
    }
    return answer;
  };
}

function withoutPassword(address: string): string {
  try {
    const url = new URL(address);
    url.password = '';
    url.search = '';
    return url.href;
  } catch {
    return 'given';
  }
}
