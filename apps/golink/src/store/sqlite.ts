// A SQLite file: opened readable by its owner only, checked, migrated. A change is on disk before it is answered. Two
// connections: changes go through one, everything else reads through the other, which never sees half a change.
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteDatabase, type SqliteStatement } from '@cove/sqlite';
import {
  CompiledQuery,
  type Dialect,
  type Driver,
  Kysely,
  Migrator,
  type SqlBool,
  SqliteDialect,
  sql,
  type Transaction,
} from 'kysely';
import { GolinkError } from '../errors.ts';
import { Checkpointer } from './checkpoint.ts';
import { type Database, type Snapshot, unusable } from './database.ts';
import { finder, readInTurn } from './reader.ts';
import { migrations, type Tables } from './schema.ts';
import { IN_PARTS, INDEX_LINKS } from './searchindex.ts';

/** Reading every page of a larger file would make starting slow; damage is then met, and told, where it is. */
const CHECKED_BYTES = 64 << 20;
const SMALLEST_PAGE = 512;
/** An import touches the ends of several indexes at random; a search reads rows from all over the file. */
const WRITER_CACHE_KIB = 32_000;
const READER_CACHE_KIB = 32_000;
/** Pages in the log at which a commit makes the checkpoint itself: where no thread has made it. */
const CHECKPOINT_PAGES = 16_000;

/**
 * `file`: path of the database, or `:memory:` for one that is gone after closing. Throws GolinkError ERR_DATABASE,
 * ERR_DATABASE_CORRUPT or ERR_DATABASE_FOREIGN.
 */
export async function openSqlite(file: string, log: (message: string) => void): Promise<Database> {
  if (file !== ':memory:') return open(file, log, () => {});
  // Two connections cannot share a database in memory.
  const dir = mkdtempSync(join(tmpdir(), 'golink-'));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    return await open(join(dir, 'links.db'), log, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

async function open(
  file: string,
  log: (message: string) => void,
  onClosed: () => void,
): Promise<Database> {
  let writer: SqliteDatabase | undefined;
  let reader: SqliteDatabase | undefined;
  try {
    closeSync(openSync(file, 'a', 0o600));
    chmodSync(file, 0o600);
    const { size } = statSync(file);
    if (isCutOff(file, size)) throw corrupt(file, new Error(`it has ${size} bytes`));
    writer = new SqliteDatabase(file, { timeout: 5000 });
    writer.pragma('journal_mode = WAL');
    // With WAL the default is NORMAL, which may lose the last answered change at a power cut.
    writer.pragma('synchronous = FULL');
    writer.pragma(`cache_size = -${WRITER_CACHE_KIB}`);
    writer.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    if (size <= CHECKED_BYTES) {
      const check = writer.pragma('quick_check(1)', { simple: true });
      if (check !== 'ok') throw corrupt(file, new Error(String(check)));
    }
    refuseForeign(writer, file);
    // Waiting there would hold up every visit: the store tries again instead.
    writer.pragma(`busy_timeout = ${BUSY_MS}`);
    const db = new Kysely<Tables>({ dialect: dialectFor(writer) });
    await migrate(db, upgradeTeller(file, log));
    reader = new SqliteDatabase(file, { timeout: 5000, readonly: true });
    reader.pragma(`cache_size = -${READER_CACHE_KIB}`);
    const checkpointer = new Checkpointer(file, writer);
    const read = new Kysely<Tables>({ dialect: dialectFor(reader, readInTurn) });
    return {
      kind: 'sqlite',
      db,
      reader: read,
      count: (work, lasting) => countingIn(db, work, lasting),
      settle: () => checkpointer.settle(),
      ...finder(reader),
      snapshot: async () => openSnapshot(file),
      insertMany: inserter(writer),
      rows: (values) => sql`json_each(${JSON.stringify(values)})`,
      among: (column, values) =>
        sql<SqlBool>`${sql.ref(column)} in (select value from json_each(${JSON.stringify(values)}))`,
      // A transaction that writes holds the whole file.
      lock: async () => {},
      isConflict: isBusy,
      error: (failure) => sqliteError(failure, file),
      async close() {
        // Kysely does not close what was never asked; and only the one that writes, closed last, puts everything into
        // the one file.
        await checkpointer.close();
        await read.destroy();
        reader?.close();
        await db.destroy();
        writer?.close();
        onClosed();
      },
    };
  } catch (error) {
    reader?.close();
    writer?.close();
    throw sqliteError(error, file);
  }
}

/**
 * In its log SQLite can do without waiting for the disk: a checksum runs through it, so that after a power cut only its end
 * is missing, and the next commit that waits does so for all before it.
 */
function countingIn(
  db: Kysely<Tables>,
  work: (tx: Transaction<Tables>) => Promise<void>,
  lasting: boolean,
): Promise<void> {
  // Nobody else has the connection until it waits for the disk again.
  return db.connection().execute(async (connection) => {
    if (!lasting) await sql`pragma synchronous = normal`.execute(connection);
    try {
      await connection.transaction().execute(work);
    } finally {
      if (!lasting) await sql`pragma synchronous = full`.execute(connection);
    }
  });
}

/** A connection of its own, inside a transaction: later changes are kept aside in the log until it ends. */
function openSnapshot(file: string): Snapshot {
  const connection = new SqliteDatabase(file, { timeout: 5000, readonly: true });
  try {
    connection.exec('begin');
    // The first statement that reads decides which moment it is.
    connection.prepare('select n from totals').get();
  } catch (error) {
    connection.close();
    throw error;
  }
  const db = new Kysely<Tables>({ dialect: dialectFor(connection) });
  return {
    db,
    async close() {
      await db.destroy();
      connection.close();
    },
  };
}

/** Waits for another process that migrates. */
async function migrate(db: Kysely<Tables>, tell: (share: number) => void): Promise<void> {
  const provider = { getMigrations: async () => ({ ...migrations('sqlite', tell) }) };
  const until = performance.now() + MIGRATION_WAIT_MS;
  for (;;) {
    const { error } = await new Migrator({ db, provider })
      .migrateToLatest()
      .catch((failure: unknown) => ({ error: failure }));
    if (error === undefined) return;
    if (!isBusy(error) || performance.now() > until) throw error;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Says how far an upgrade is, once it has taken a while. */
function upgradeTeller(file: string, log: (message: string) => void): (share: number) => void {
  let next = performance.now() + TOLD_AFTER_MS;
  return (share) => {
    if (performance.now() < next) return;
    next = performance.now() + TOLD_EVERY_MS;
    log(`${file} is being upgraded to this version: ${Math.floor(share * 100)} % done.`);
  };
}

const TOLD_AFTER_MS = 1_000;
const TOLD_EVERY_MS = 2_000;

function isBusy(error: unknown): boolean {
  return codeOf(error).startsWith('SQLITE_BUSY');
}

const MIGRATION_WAIT_MS = 60_000;
/** How long a transaction waits for another process's, without anything else being done. */
const BUSY_MS = 10;

/** Shorter than its header says, and nothing there to mend it: SQLite may take it for a smaller or a new database. */
function isCutOff(file: string, size: number): boolean {
  if (size === 0 || existsSync(`${file}-wal`) || existsSync(`${file}-journal`)) return false;
  if (size < SMALLEST_PAGE) return true;
  const header = Buffer.alloc(100);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, header);
  } finally {
    closeSync(descriptor);
  }
  const page = header.readUInt16BE(16);
  return size < (page === 1 ? 65_536 : page) * header.readUInt32BE(28);
}

/** Rows that are written before visits are let in. */
const ROWS_AT_ONCE = 250;
const INDEXED_AT_ONCE = 500;

/**
 * Row by row, with statements that are prepared once. New links enter the index of search together: by their trigger
 * each would be written to it on its own.
 */
function inserter(writer: SqliteDatabase): Database['insertMany'] {
  const statements = new Map<string, SqliteStatement<unknown[]>>();
  const prepared = (text: string): SqliteStatement<unknown[]> => {
    let statement = statements.get(text);
    if (statement === undefined) {
      statement = writer.prepare(text);
      statements.set(text, statement);
    }
    return statement;
  };
  return async (_tx, table, rows) => {
    const columns = Object.keys(rows[0] ?? {});
    if (columns.length === 0) return;
    const names = columns.map((column) => `"${column}"`).join(', ');
    const insert = prepared(
      `insert into ${table} (${names}) values (${columns.map(() => '?').join(', ')})`,
    );
    const isSearched = table === 'links';
    const last = (): number =>
      prepared('select coalesce(max(num), 0) from links').pluck().get() as number;
    const before = isSearched ? last() : 0;
    if (isSearched) prepared('insert into settings (name, value) values (?, ?)').run(IN_PARTS, '1');
    let written = 0;
    for (const row of rows) {
      insert.run(columns.map((column) => row[column]));
      if (++written % ROWS_AT_ONCE === 0) await new Promise(setImmediate);
    }
    if (!isSearched) return;
    const index = prepared(INDEX_LINKS);
    for (let num = before, end = last(); num < end; num += INDEXED_AT_ONCE) {
      index.run(num, Math.min(end, num + INDEXED_AT_ONCE));
      await new Promise(setImmediate);
    }
    prepared('delete from settings where name = ?').run(IN_PARTS);
  };
}

/**
 * SQLite ends a transaction itself when the disk is full; a rollback after that would fail, and its error would hide
 * the cause. Tables can be made in a transaction, so that a migration that was interrupted has not happened.
 */
function dialectFor(
  database: SqliteDatabase,
  share: (driver: Driver, database: SqliteDatabase) => void = () => {},
): Dialect {
  const dialect = new SqliteDialect({ database });
  return {
    createAdapter: () =>
      Object.create(dialect.createAdapter(), { supportsTransactionalDdl: { value: true } }),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createDriver() {
      const driver = dialect.createDriver();
      share(driver, database);
      // Whoever is to write is so from the beginning, and never finds out halfway that somebody else has written.
      driver.beginTransaction = async (connection) => {
        await connection.executeQuery(CompiledQuery.raw('begin immediate'));
      };
      const rollback = driver.rollbackTransaction.bind(driver);
      driver.rollbackTransaction = async (connection) => {
        if (database.inTransaction) await rollback(connection);
      };
      return driver;
    },
  };
}

/** Tables that golink did not make: better to stop than to write between them. */
function refuseForeign(sqlite: SqliteDatabase, file: string): void {
  const names = sqlite
    .prepare<[], { name: string }>(
      "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'",
    )
    .all()
    .map(({ name }) => name);
  if (names.length === 0 || names.includes('kysely_migration')) return;
  const upstream = names.includes('Links') && names.includes('Stats');
  throw new GolinkError(
    'ERR_DATABASE_FOREIGN',
    upstream
      ? `${file} is a database of tailscale/golink. Import it into a new one: cove golink import ${file}.`
      : `${file} is a database of some other program. Nothing was written to it.`,
  );
}

function sqliteError(error: unknown, file: string): GolinkError {
  if (error instanceof GolinkError) return error;
  if (/^SQLITE_(?:CORRUPT|NOTADB)/.test(codeOf(error))) return corrupt(file, error);
  return unusable(file, error);
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

function corrupt(file: string, cause: unknown): GolinkError {
  return new GolinkError(
    'ERR_DATABASE_CORRUPT',
    `The database ${file} is damaged or is no SQLite file. It was left as it is: restore it from a backup, or start with a new file and import a snapshot.`,
    { cause },
  );
}
