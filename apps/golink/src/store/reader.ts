// The connection that reads: queries in the order they came, prepared once.
import type { SqliteDatabase, SqliteStatement } from '@cove/sqlite';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import { Turns } from './turns.ts';

/** The oldest are forgotten. */
const MAX_PREPARED = 100;

/** Lets nobody overtake: kysely's own lock wakes all who wait, and the quickest gets it. */
export function readInTurn(driver: Driver, database: SqliteDatabase): void {
  const turns = new Turns();
  const connection = new Reader(database);
  driver.acquireConnection = async () => {
    await turns.take();
    return connection;
  };
  driver.releaseConnection = async () => turns.giveBack();
}

class Reader implements DatabaseConnection {
  readonly #database: SqliteDatabase;
  readonly #prepared: Map<string, SqliteStatement<unknown[]>> = new Map();

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      if (this.#prepared.size >= MAX_PREPARED)
        for (const oldest of this.#prepared.keys()) {
          this.#prepared.delete(oldest);
          break;
        }
      this.#prepared.set(sql, statement);
    }
    return { rows: statement.all(parameters) as R[] };
  }

  // biome-ignore lint/correctness/useYield: nothing is read this way
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('This connection reads whole answers.');
  }
}
