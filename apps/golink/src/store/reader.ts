// The connection that reads: links for visits at once, everything else in the order it came.
import type { SqliteDatabase, SqliteStatement } from '@cove/sqlite';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import type { Link } from '../links.ts';
import type { Database } from './database.ts';
import { fromRow, LINK_COLUMNS, type LinkRow } from './record.ts';
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

/** Links last visited that are kept in memory. */
const MAX_KEPT = 4_000;

/**
 * Links are kept in memory as long as nobody has written to the file, which is asked once in a turn of the event loop, and
 * after each change of our own. Of a change by another process a visit can miss what was answered while the turn that it
 * is read in was under way.
 */
export function finder(reader: SqliteDatabase): Pick<Database, 'find' | 'committed'> {
  const columns = LINK_COLUMNS.join(', ');
  const byId = reader.prepare<[string], LinkRow>(
    `select ${columns} from links where id = ? and deleted is null`,
  );
  const byAlias = reader.prepare<[string], LinkRow>(
    `select ${columns} from links where deleted is null and id = (select link_id from aliases where id = ?)`,
  );
  const version = reader.prepare<[], number>('pragma data_version').pluck();
  const kept = new Map<string, Link>();
  let keptVersion = -1;
  let isChecked = false;
  const uncheck = (): void => {
    isChecked = false;
  };
  const find = (id: string): Link | undefined => {
    if (!isChecked) {
      isChecked = true;
      setImmediate(uncheck);
      const now = version.get()!;
      if (now !== keptVersion) kept.clear();
      keptVersion = now;
    }
    const known = kept.get(id);
    if (known !== undefined) return known;
    const row = byId.get(id) ?? byAlias.get(id);
    if (row === undefined) return undefined;
    const link = fromRow(row);
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(id, link);
    return link;
  };
  return { find, committed: uncheck };
}
