// Which of the two drivers fits a Node. Version 13 of better-sqlite3 asks for Node-API 10, which Node has from 22.14 on,
// and crashes below it; version 12 runs there, and ends the process on Node 24.19 and later as soon as a statement is
// collected while no script runs (WiseLibs/better-sqlite3#1514 and #1515).

export type SqliteDriver = 'better-sqlite3' | 'better-sqlite3-napi';

const NODE_API = 10;

/** `nodeApi`: the version of Node-API, as `process.versions.napi` has it. */
export function driverFor(nodeApi: string | undefined): SqliteDriver {
  return Number(nodeApi) >= NODE_API ? 'better-sqlite3-napi' : 'better-sqlite3';
}

/** The driver is an optional dependency, because each Node can use only one of the two. */
export class SqliteMissingError extends Error {
  override readonly name = 'SqliteMissingError';
  readonly code = 'ERR_SQLITE_MISSING';
  constructor(driver: SqliteDriver, node: string, cause: unknown) {
    const hint =
      driver === 'better-sqlite3'
        ? 'It is compiled by npm, which needs a C++ compiler, make and Python: install them and run `npm ci` again, or use Node 22.14 or later'
        : 'Run `npm ci` again with this Node, and without --omit=optional';
    super(`The SQLite driver for Node ${node} (${driver}) is not installed. ${hint}.`, { cause });
  }
}
