// SQLite, synchronous, by the driver that fits this Node.
import { createRequire } from 'node:module';
import type BetterSqlite from 'better-sqlite3';
import { driverFor, SqliteMissingError } from './driver.ts';

function load(): typeof BetterSqlite {
  const driver = driverFor(process.versions.napi);
  try {
    return createRequire(import.meta.url)(driver) as typeof BetterSqlite;
  } catch (error) {
    throw new SqliteMissingError(driver, process.versions.node, error);
  }
}

/** A connection to a file, as better-sqlite3 has it. Importing throws SqliteMissingError where the driver is missing. */
export const SqliteDatabase: typeof BetterSqlite = load();
export type SqliteDatabase = BetterSqlite.Database;

export type SqliteStatement<
  Parameters extends unknown[] | object = unknown[],
  Row = unknown,
> = BetterSqlite.Statement<Parameters, Row>;
