// Which database a name means: a file, memory, or a PostgreSQL server; what one of them needs is loaded only then.
import type { Database } from './database.ts';

/** A `postgres://` or `postgresql://` address; anything else is a file's path, or `:memory:`. */
export function isPostgresAddress(database: string): boolean {
  return /^postgres(?:ql)?:\/\//i.test(database);
}

/**
 * Opens and migrates. `database`: path of a SQLite file, `:memory:`, or a `postgres://` address. Throws GolinkError
 * ERR_DATABASE, ERR_DATABASE_CORRUPT or ERR_DATABASE_FOREIGN. `log`: told how far a long upgrade is.
 */
export async function openDatabase(
  database: string,
  log: (message: string) => void = () => {},
): Promise<Database> {
  if (isPostgresAddress(database)) {
    const { openPostgres } = await import('./postgres.ts');
    return openPostgres(database);
  }
  const { openSqlite } = await import('./sqlite.ts');
  return openSqlite(database, log);
}
