// The SQLite file: opened alone, checked, migrated; reads, and whole transactions of compiled statements. Kysely
// builds every statement, better-sqlite3 runs it synchronously, so a batch of mutations and its commit are one
// uninterrupted step of the event loop.
import { chmodSync, closeSync, openSync, statSync } from 'node:fs';
import { SqliteDatabase, type SqliteStatement } from '@cove/sqlite';
import {
  type Compilable,
  type CompiledQuery,
  DummyDriver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { ControlError } from '../errors.ts';
import { MIGRATIONS, migrationTable } from './migrations.ts';
import type { Schema } from './schema.ts';

/** Builds statements; runs none. */
export const sql: Kysely<Schema> = new Kysely<Schema>({
  dialect: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
});

/** How long a lock held by a process that is about to end is waited for. */
const LOCK_WAIT_MS = 1000;

function sqliteCode(error: unknown): string {
  return error instanceof SqliteDatabase.SqliteError ? error.code : '';
}

function openError(path: string, cause: unknown): ControlError {
  if (cause instanceof ControlError) return cause;
  const code = sqliteCode(cause);
  if (code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT')) {
    return new ControlError('ERR_DATABASE_CORRUPT', `${path} is damaged or not a database`, {
      cause,
    });
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new ControlError('ERR_DATABASE_LOCKED', `${path} is in use by another process`, {
      cause,
    });
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ControlError('ERR_DATABASE_IO', `${path}: ${reason}`, { cause });
}

/** Creates the file private from its first moment, or makes an existing one private; never opens an existing one. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // By path: closing any descriptor of a file drops this process's POSIX locks on it.
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
  }
}

export class Database {
  readonly path: string;
  readonly #sqlite: SqliteDatabase;
  readonly #statements = new Map<string, SqliteStatement>();

  private constructor(path: string, sqlite: SqliteDatabase) {
    this.path = path;
    this.#sqlite = sqlite;
  }

  /**
   * Opens or creates the file and brings its tables up to date. Throws ControlError ERR_DATABASE_CORRUPT, _FOREIGN,
   * _LOCKED or _IO, each naming the file.
   */
  static open(path: string, now: number): Database {
    let sqlite: SqliteDatabase | undefined;
    try {
      makePrivate(path);
      sqlite = new SqliteDatabase(path, { timeout: LOCK_WAIT_MS });
      // Exclusive mode keeps the file lock until close: a second process fails at its first statement.
      sqlite.pragma('locking_mode = EXCLUSIVE');
      sqlite.pragma('journal_mode = WAL');
      sqlite.pragma('synchronous = FULL');
      sqlite.pragma('foreign_keys = ON');
      sqlite.exec('BEGIN EXCLUSIVE; COMMIT');
      const check = sqlite.pragma('quick_check(1)', { simple: true });
      if (check !== 'ok') {
        throw new ControlError('ERR_DATABASE_CORRUPT', `${path} is damaged: ${String(check)}`);
      }
      const database = new Database(path, sqlite);
      database.#migrate(now);
      return database;
    } catch (error) {
      sqlite?.close();
      throw openError(path, error);
    }
  }

  #migrate(now: number): void {
    const tables = this.#sqlite
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
      .pluck()
      .all() as string[];
    if (tables.length > 0 && !tables.includes('cove_control_migrations')) {
      throw new ControlError(
        'ERR_DATABASE_FOREIGN',
        `${this.path} belongs to another program: it holds the table ${tables[0]}`,
      );
    }
    if (tables.length === 0) this.commit([migrationTable(sql)]);
    const applied = new Set(
      this.all(sql.selectFrom('cove_control_migrations').select('id')).map((row) => row.id),
    );
    const newest = MIGRATIONS.at(-1)!.id;
    for (const id of applied) {
      if (id > newest) {
        throw new ControlError(
          'ERR_DATABASE_FOREIGN',
          `${this.path} was written by a later version (schema ${id}, this one knows ${newest})`,
        );
      }
    }
    for (const { id, name, statements } of MIGRATIONS) {
      if (applied.has(id)) continue;
      const record = sql
        .insertInto('cove_control_migrations')
        .values({ id, name, applied_at: now });
      this.commit([...statements(sql), record.compile()]);
    }
  }

  #prepare(text: string): SqliteStatement {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  all<Row>(query: Compilable<Row>): Row[] {
    const { sql: text, parameters } = query.compile();
    return this.#prepare(text).all(...parameters) as Row[];
  }

  /**
   * Runs the statements as one transaction; on return they are on disk. Throws ControlError ERR_DATABASE_IO, and then
   * none of them happened.
   */
  commit(queries: readonly CompiledQuery[]): void {
    try {
      this.#sqlite.exec('BEGIN IMMEDIATE');
      try {
        for (const { sql: text, parameters } of queries) this.#prepare(text).run(...parameters);
        this.#sqlite.exec('COMMIT');
      } catch (error) {
        // SQLite may have rolled back by itself (disk full, I/O error).
        if (this.#sqlite.inTransaction) this.#sqlite.exec('ROLLBACK');
        throw error;
      }
    } catch (error) {
      throw openError(this.path, error);
    }
  }

  close(): void {
    this.#statements.clear();
    this.#sqlite.close();
  }
}
