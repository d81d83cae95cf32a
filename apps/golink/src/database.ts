// The SQLite file: opened readable by its owner only, checked, migrated. A change is on disk before it is answered.
import { chmodSync, closeSync, openSync } from 'node:fs';
import SqliteDatabase from 'better-sqlite3';
import { type Dialect, Kysely, Migrator, SqliteDialect } from 'kysely';
import { GolinkError } from './errors.ts';
import { MIGRATIONS, type Tables } from './schema.ts';

export interface OpenDatabase {
  readonly db: Kysely<Tables>;
  /** Changes when another connection has written to the file. */
  dataVersion(): number;
}

/**
 * `file`: path of the database, or `:memory:`. Throws GolinkError ERR_DATABASE, ERR_DATABASE_CORRUPT or
 * ERR_DATABASE_FOREIGN.
 */
export async function openDatabase(file: string): Promise<OpenDatabase> {
  let sqlite: SqliteDatabase.Database | undefined;
  try {
    if (file !== ':memory:') {
      closeSync(openSync(file, 'a', 0o600));
      chmodSync(file, 0o600);
    }
    const opened = new SqliteDatabase(file, { timeout: 5000 });
    sqlite = opened;
    opened.pragma('journal_mode = WAL');
    // With WAL the default is NORMAL, which may lose the last answered change at a power cut.
    opened.pragma('synchronous = FULL');
    const check = opened.pragma('quick_check(1)', { simple: true });
    if (check !== 'ok') throw corrupt(file, new Error(String(check)));
    refuseForeign(opened, file);
    const db = new Kysely<Tables>({ dialect: dialectFor(opened) });
    const provider = { getMigrations: async () => ({ ...MIGRATIONS }) };
    const { error } = await new Migrator({ db, provider }).migrateToLatest();
    if (error !== undefined) throw error;
    return {
      db,
      dataVersion: () => opened.pragma('data_version', { simple: true }) as number,
    };
  } catch (error) {
    sqlite?.close();
    throw databaseError(error, file);
  }
}

/**
 * SQLite ends a transaction itself when the disk is full; a rollback after that would fail, and its error would hide
 * the cause.
 */
function dialectFor(database: SqliteDatabase.Database): Dialect {
  const dialect = new SqliteDialect({ database });
  return {
    createAdapter: () => dialect.createAdapter(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createDriver() {
      const driver = dialect.createDriver();
      const rollback = driver.rollbackTransaction.bind(driver);
      driver.rollbackTransaction = async (connection) => {
        if (database.inTransaction) await rollback(connection);
      };
      return driver;
    },
  };
}

/** Tables that golink did not make: better to stop than to write between them. */
function refuseForeign(sqlite: SqliteDatabase.Database, file: string): void {
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
      ? `${file} is a database of tailscale/golink. Save its links with "curl -L go/.export > links.jsonl" and import that file into a new database.`
      : `${file} is a database of some other program. Nothing was written to it.`,
  );
}

/** Any error of the database as a GolinkError; others of ours pass as they are. */
export function databaseError(error: unknown, file: string): GolinkError {
  if (error instanceof GolinkError) return error;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && /^SQLITE_(?:CORRUPT|NOTADB)/.test(code))
    return corrupt(file, error);
  const why = error instanceof Error ? error.message : String(error);
  return new GolinkError('ERR_DATABASE', `The database ${file} cannot be used: ${why}.`, {
    cause: error,
  });
}

function corrupt(file: string, cause: unknown): GolinkError {
  return new GolinkError(
    'ERR_DATABASE_CORRUPT',
    `The database ${file} is damaged or is no SQLite file. It was left as it is: restore it from a backup, or start with a new file and import a snapshot.`,
    { cause },
  );
}
