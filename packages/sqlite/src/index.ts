// SQLite for the packages that keep data in a file.
export { driverFor, type SqliteDriver, SqliteMissingError } from './driver.ts';
export { SqliteDatabase, type SqliteStatement } from './sqlite.ts';
