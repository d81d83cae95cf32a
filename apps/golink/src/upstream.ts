// The SQLite file of tailscale/golink, read as a snapshot with its clicks. It is opened read-only: golink may go on
// using it.
//
// | Table | Columns                                                                     |
// |-------|-----------------------------------------------------------------------------|
// | Links | ID, Short, Long, Created, LastEdit, Owner; times in seconds since the epoch |
// | Stats | ID, Created, Clicks; several rows for a link                                |
import { closeSync, openSync, readSync } from 'node:fs';
import { SqliteDatabase } from '@cove/sqlite';
import { GolinkError } from './errors.ts';
import { LAST_TIME, linkJson, newLink, ZERO_TIME } from './links.ts';
import { statsLine } from './snapshotline.ts';
import type { StatsRow } from './store/clicks.ts';

export interface UpstreamDatabase {
  /** How many links it has. */
  readonly links: number;
  /** A snapshot, in parts. Closes the file when it ends. */
  readonly snapshot: AsyncGenerator<string>;
}

const MAGIC = 'SQLite format 3\0';
/** Links, or counts of clicks, in one part. */
const PART = 500;

/** Whether a file begins as SQLite's do. Throws the error of a file that cannot be read. */
export function isSqliteFile(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(MAGIC.length);
    return readSync(file, head, 0, head.length, 0) === head.length && head.toString() === MAGIC;
  } finally {
    closeSync(file);
  }
}

/** Throws GolinkError ERR_DATABASE, ERR_DATABASE_FOREIGN. */
export function openUpstream(path: string): UpstreamDatabase {
  let database: SqliteDatabase | undefined;
  try {
    database = new SqliteDatabase(path, { readonly: true, fileMustExist: true });
    const tables = new Set(
      database
        .prepare<[], string>("select name from sqlite_master where type = 'table'")
        .pluck()
        .all(),
    );
    if (!tables.has('Links')) throw foreign(path, tables.has('kysely_migration'));
    const links = database.prepare<[], number>('select count(*) from Links').pluck().get()!;
    return { links, snapshot: read(database, path, tables.has('Stats')) };
  } catch (error) {
    database?.close();
    throw unreadable(path, error);
  }
}

async function* read(
  database: SqliteDatabase,
  path: string,
  hasStats: boolean,
): AsyncGenerator<string> {
  try {
    let part: string[] = [];
    const links = database.prepare<[], UpstreamLink>(
      'select Short as short, Long as long, Created as created, LastEdit as lastEdit, Owner as owner from Links order by Short',
    );
    for (const { short, long, created, lastEdit, owner } of links.iterate()) {
      const times = { created: timeOf(created), lastEdit: timeOf(lastEdit) };
      const texts = { short: String(short), long: String(long), owner: String(owner ?? '') };
      part.push(linkJson(newLink({ ...texts, ...times })));
      if (part.length < PART) continue;
      yield `${part.join('\n')}\n`;
      part = [];
    }
    if (part.length > 0) yield `${part.join('\n')}\n`;
    if (hasStats) yield* readStats(database);
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    database.close();
  }
}

async function* readStats(database: SqliteDatabase): AsyncGenerator<string> {
  let part: StatsRow[] = [];
  const stats = database.prepare<[], StatsRow>(
    `select ID as id, Created as at, sum(Clicks) as clicks from Stats where Created between 0 and ${LAST_TIME} group by ID, Created having clicks > 0`,
  );
  for (const { id, at, clicks } of stats.iterate()) {
    part.push({ id: String(id), at, clicks });
    if (part.length < PART) continue;
    yield `${statsLine(part)}\n`;
    part = [];
  }
  if (part.length > 0) yield `${statsLine(part)}\n`;
}

interface UpstreamLink {
  readonly short: unknown;
  readonly long: unknown;
  readonly created: unknown;
  readonly lastEdit: unknown;
  readonly owner: unknown;
}

/** A time no calendar has is an unset one. */
function timeOf(seconds: unknown): number {
  const isTime =
    Number.isSafeInteger(seconds) &&
    (seconds as number) >= ZERO_TIME &&
    (seconds as number) <= LAST_TIME;
  return isTime ? (seconds as number) : ZERO_TIME;
}

function foreign(path: string, isOurs: boolean): GolinkError {
  return new GolinkError(
    'ERR_DATABASE_FOREIGN',
    isOurs
      ? `${path} is a database of this program already. Serve it with --database ${path}, or import what export writes of it.`
      : `${path} is a database, but none of golink: it has no table Links.`,
  );
}

function unreadable(path: string, cause: unknown): GolinkError {
  if (cause instanceof GolinkError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new GolinkError('ERR_DATABASE', `The database ${path} cannot be read: ${why}.`, { cause });
}
