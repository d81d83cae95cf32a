// Lists of links, a page at a time, and search.
import { type RawBuilder, type SelectQueryBuilder, type SqlBool, sql } from 'kysely';
import { GolinkError } from '../errors.ts';
import { type Link, linkId } from '../links.ts';
import type { Clicks } from './clicks.ts';
import { fromRow, LINK_COLUMNS, type LinkRow } from './record.ts';
import type { DatabaseKind, Tables } from './schema.ts';
import type { Store } from './store.ts';

export interface CountedLink {
  readonly link: Link;
  /** Of all time, up to this moment in this process. */
  readonly clicks: number;
}

/** `short`: by name, bytewise. `clicks`: most used first. `edited`: newest change first. */
export type ListOrder = 'short' | 'clicks' | 'edited';

export interface ListQuery {
  readonly order?: ListOrder;
  /** Compared without the case of Latin letters. */
  readonly owner?: string;
  /** Of this owner, or with one of these among the editors; exactly. */
  readonly mine?: { readonly owner: string; readonly editors: readonly string[] };
  readonly tag?: string;
  /** Only links followed at least once. */
  readonly used?: boolean;
  /** Only links not followed since, in seconds since the epoch, and not changed since either. */
  readonly unusedSince?: number;
  /** What a page before gave as `next`. */
  readonly after?: string;
  readonly limit: number;
}

export interface Page {
  readonly links: readonly CountedLink[];
  /** Of the next page; undefined on the last. */
  readonly next: string | undefined;
}

type Counted = LinkRow & { readonly clicks: number };
type Reader = Store['database']['reader'];
type LinkQuery<O> = SelectQueryBuilder<Tables, 'links', O>;

const COLUMNS = [
  ...LINK_COLUMNS.map((column) => `links.${column}` as const),
  'links.clicks',
] as const;

export function counted(clicks: Clicks, row: Counted): CountedLink {
  return { link: fromRow(row), clicks: row.clicks + clicks.unwritten(row.id) };
}

/** Throws GolinkError ERR_REQUEST for a cursor that is none, ERR_DATABASE. */
export async function listLinks(store: Store, query: ListQuery): Promise<Page> {
  const { order = 'short', limit } = query;
  const after = query.after === undefined ? undefined : parseCursor(query.after, order);
  const rows = await store.read(async (db) => {
    const found: Counted[] = [];
    // Each a range of the index that gives the order, so that the last page takes no longer than the first.
    for (const range of after === undefined ? [undefined] : behind(order, after)) {
      const base = filtered(db.selectFrom('links'), query, order).select(
        COLUMNS,
      ) as LinkQuery<Counted>;
      const few = query.mine !== undefined || query.tag !== undefined;
      found.push(
        ...(await ordered(range === undefined ? base : base.where(range), order, few)
          .limit(limit + 1 - found.length)
          .execute()),
      );
      if (found.length > limit) break;
    }
    return found;
  });
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    links: shown.map((row) => counted(store.clicks, row)),
    next: rows.length > limit && last !== undefined ? cursorOf(last, order) : undefined,
  };
}

const MAX_COUNTED = 10_000;

/** How many links a list has. Of those used or unused no more than 10,000 are counted: each has to be looked at. */
export async function countLinks(
  store: Store,
  query: Omit<ListQuery, 'limit'> = {},
): Promise<number> {
  const { order: _order, after: _after, ...filters } = query;
  if (Object.values(filters).every((value) => value === undefined)) {
    const total = await store.read((db) =>
      db.selectFrom('totals').select('n').where('name', '=', 'links').executeTakeFirstOrThrow(),
    );
    return Number(total.n);
  }
  const row = await store.read((db) => {
    const links = filtered(db.selectFrom('links'), query).select('links.num');
    const isCapped = query.used === true || query.unusedSince !== undefined;
    return db
      .selectFrom((isCapped ? links.limit(MAX_COUNTED) : links).as('counted'))
      .select((eb) => eb.fn.countAll().as('n'))
      .executeTakeFirstOrThrow();
  });
  return Number(row.n);
}

/** One link with its clicks. */
export async function countedLink(store: Store, id: string): Promise<CountedLink | undefined> {
  const found = await store.find(id);
  if (found === undefined) return undefined;
  const row = await store.read((db) =>
    db.selectFrom('links').select('clicks').where('id', '=', found.id).executeTakeFirst(),
  );
  return { link: found, clicks: (row?.clicks ?? 0) + store.clicks.unwritten(found.id) };
}

/** Those of the links that live, by their IDs or those of other names of theirs. */
export async function countedLinks(
  store: Store,
  ids: readonly string[],
): Promise<readonly CountedLink[]> {
  if (ids.length === 0) return [];
  const { database } = store;
  const rows = await store.read((db) => {
    const others = db.selectFrom('aliases').select('link_id').where(database.among('id', ids));
    return db
      .selectFrom('links')
      .select(COLUMNS)
      .where((eb) => eb.or([database.among('id', ids), eb('id', 'in', others)]))
      .where('deleted', 'is', null)
      .execute();
  });
  return rows.map((row) => counted(store.clicks, row));
}

/** Links that were deleted less than 30 days ago, latest first. */
export async function deletedLinks(
  store: Store,
  limit: number,
): Promise<readonly { readonly link: Link; readonly at: number; readonly by: string }[]> {
  const rows = await store.read((db) =>
    db
      .selectFrom('links')
      .select([...LINK_COLUMNS, 'deleted', 'deleted_by'])
      .where('deleted', 'is not', null)
      .orderBy('deleted', 'desc')
      .orderBy('short')
      .limit(limit)
      .execute(),
  );
  return rows.map((row) => ({ link: fromRow(row), at: row.deleted!, by: row.deleted_by }));
}

/**
 * Links that have every word of `text` in name, destination, owner, description, tags or other names. `owner:` and `tag:`
 * before a word ask for just that. First the link of that very name, then names that begin so, then the rest.
 */
export async function searchLinks(
  store: Store,
  text: string,
  limit: number,
): Promise<readonly CountedLink[]> {
  const found = new Map<string, CountedLink>();
  const take = (rows: readonly Counted[]): void => {
    for (const row of rows)
      if (found.size < limit && !found.has(row.id)) found.set(row.id, counted(store.clicks, row));
  };
  const words = text.trim().split(/\s+/).filter(Boolean).slice(0, MAX_WORDS);
  if (words.length === 0) return [];
  if (words.length === 1 && !/^(?:owner|tag):/i.test(words[0]!)) {
    const exact = await countedLink(store, linkId(words[0]!));
    if (exact !== undefined) found.set(exact.link.id, exact);
    take(await prefixed(store, words[0]!, limit));
  }
  if (found.size < limit) take(await matching(store, words, limit));
  return [...found.values()];
}

/** Names that begin so, most used first. */
export async function suggestLinks(
  store: Store,
  prefix: string,
  limit: number,
): Promise<readonly CountedLink[]> {
  return (await prefixed(store, prefix, limit)).map((row) => counted(store.clicks, row));
}

const MAX_WORDS = 8;
/** Of names that begin alike the most used are chosen among so many. */
const PREFIXED = 1_000;

async function prefixed(store: Store, prefix: string, limit: number): Promise<readonly Counted[]> {
  const id = linkId(prefix);
  if (id === '') return [];
  return store.read(async (db) => {
    const some = db
      .selectFrom('links')
      .select(COLUMNS)
      .where('id', '>=', id)
      .where('id', '<', `${id}\u{10ffff}`)
      .where('deleted', 'is', null)
      .orderBy('id')
      .limit(PREFIXED)
      .as('links');
    return db
      .selectFrom(some)
      .selectAll()
      .orderBy('clicks', 'desc')
      .orderBy('short')
      .limit(limit)
      .execute();
  });
}

/** Short words are looked for in names' beginnings, and everywhere in so many of the links most used. */
const MOST_USED = 2_000;
/** More than are asked for, so that the most used of them come first. */
const CANDIDATES = 50;
/** A search takes about so long at most and then gives what it has found; other work is let in every few milliseconds. */
const SEARCH_MS = 1_000;
const SLICE_MS = 8;
const FIRST_SLICE = 4_000;

async function matching(
  store: Store,
  words: readonly string[],
  limit: number,
): Promise<readonly Counted[]> {
  const rows = await store.read(async (db, kind): Promise<readonly Counted[]> => {
    if (kind === 'postgres') {
      let query = living(db);
      for (const word of words) query = query.where(like(word, kind));
      return query.limit(CANDIDATES + limit).execute();
    }
    const owner = words.length === 1 ? /^owner:(.+@.+)$/i.exec(words[0]!)?.[1] : undefined;
    if (owner !== undefined) {
      const whole = await filtered(living(db), { owner })
        .limit(CANDIDATES + limit)
        .execute();
      if (whole.length > 0) return whole;
    }
    const long = words.filter((word) => [...bare(word)].length >= 3);
    const short = words.filter((word) => !long.includes(word));
    return long.length > 0 ? slices(db, long, short, limit) : amongMostUsed(db, short, limit);
  });
  return [...rows]
    .sort((a, b) => b.clicks - a.clicks || (a.short < b.short ? -1 : 1))
    .slice(0, limit);
}

function living(db: Reader) {
  return db.selectFrom('links').select(COLUMNS).where('links.deleted', 'is', null);
}

/** Goes through the full-text index by the rows' numbers, newest first, a part at a time. */
async function slices(
  db: Reader,
  long: readonly string[],
  short: readonly string[],
  limit: number,
): Promise<Counted[]> {
  const found: Counted[] = [];
  const match = long.map(fts).join(' ');
  const { last } = await db
    .selectFrom('links')
    .select((eb) => eb.fn.max<number | null>('num').as('last'))
    .executeTakeFirstOrThrow();
  const wanted = CANDIDATES + limit;
  const until = performance.now() + SEARCH_MS;
  let width = FIRST_SLICE;
  for (let high = last ?? 0; high > 0 && found.length < wanted; ) {
    const began = performance.now();
    if (began > until) break;
    // The index takes only integers for bounds; a parameter is a double.
    const { rows } = await sql<{ rowid: number }>`select rowid from links_search
      where links_search match ${match} and rowid > ${sql.lit(high - width)} and rowid <= ${sql.lit(high)}
      limit ${short.length > 0 ? -1 : wanted - found.length}`.execute(db);
    const nums = JSON.stringify(rows.map(({ rowid }) => rowid));
    let query = living(db).where(sql<boolean>`links.num in (select value from json_each(${nums}))`);
    for (const word of short) query = query.where(like(word, 'sqlite'));
    if (rows.length > 0) found.push(...(await query.limit(wanted - found.length).execute()));
    high -= width;
    const took = Math.max(performance.now() - began, 0.1);
    width = Math.max(500, Math.floor(width * Math.min(8, SLICE_MS / took)));
    await new Promise(setImmediate);
  }
  return found;
}

function amongMostUsed(db: Reader, words: readonly string[], limit: number): Promise<Counted[]> {
  const some = living(db)
    .select('links.deleted')
    .orderBy('clicks', 'desc')
    .orderBy('short')
    .limit(MOST_USED)
    .as('links');
  let query = db.selectFrom(some).select(COLUMNS);
  for (const word of words) query = query.where(like(word, 'sqlite'));
  return query.limit(limit).execute();
}

const FIELD = /^(owner|tag):/i;

function bare(word: string): string {
  return word.replace(FIELD, '');
}

/** A word as SQLite's full-text query wants it. */
function fts(word: string): string {
  const field = FIELD.exec(word)?.[1]?.toLowerCase();
  const quoted = `"${bare(word).replaceAll('"', '""').replaceAll('\0', '')}"`;
  if (field === undefined) return quoted;
  return `${field === 'tag' ? 'tags' : 'owner'} : ${quoted}`;
}

function like(word: string, kind: DatabaseKind) {
  const field = FIELD.exec(word)?.[1]?.toLowerCase();
  const pattern = `%${bare(word)
    .replaceAll('\0', '')
    .replace(/[\\%_]/g, '\\$&')}%`;
  const text =
    field === 'owner'
      ? sql`links.owner`
      : field === 'tag'
        ? sql`links.tags`
        : sql`(links.short || ' ' || links.long || ' ' || links.owner || ' ' || links.description || ' ' || links.tags || ' ' || links.aliases)`;
  return kind === 'sqlite'
    ? sql<boolean>`${text} like ${pattern} escape '\\'`
    : sql<boolean>`${text} ilike ${pattern}`;
}

/** `order`: that the links are wanted in; without it whatever finds them soonest is done. */
function filtered<O>(
  query: LinkQuery<O>,
  filter: Omit<ListQuery, 'limit'>,
  order?: ListOrder,
): LinkQuery<O> {
  let result = query.where('links.deleted', 'is', null);
  const { owner, mine, tag, used, unusedSince } = filter;
  if (owner !== undefined)
    result = result.where(sql<boolean>`lower(links.owner) = lower(${owner})`);
  if (mine !== undefined) {
    const { owner, editors } = mine;
    result = result.where(
      sql<boolean>`((lower(links.owner) = lower(${owner}) and links.owner = ${owner})
        or (links.editors > '' and ${hasWord('editors', editors)}))`,
    );
  }
  if (tag !== undefined)
    result = result.where(
      sql<boolean>`links.tags > '' and ' ' || links.tags || ' ' like ${`% ${escapeLike(tag.toLowerCase())} %`} escape '\\'`,
    );
  if (used === true) result = result.where('links.clicks', '>', 0);
  if (unusedSince !== undefined)
    result = result
      // Not by the index of edits, unless that gives the order: all that is old would have to be sorted.
      .where(
        order === 'short' || order === 'clicks' ? sql`links.last_edit + 0` : 'links.last_edit',
        '<',
        unusedSince,
      )
      .where(
        sql<boolean>`not exists (select 1 from stats where stats.link_id = links.id and stats.at >= ${unusedSince})`,
      );
  return result;
}

/** Whether one of the words, in their case, stands in a column of words. */
function hasWord(column: 'editors', words: readonly string[]): RawBuilder<SqlBool> {
  if (words.length === 0) return sql`1 = 0`;
  if (words.length > 1) {
    // Halves, because SQLite bounds how deep an expression nests.
    const half = words.length >> 1;
    return sql`(${hasWord(column, words.slice(0, half))} or ${hasWord(column, words.slice(half))})`;
  }
  const text = sql`' ' || ${sql.ref(`links.${column}`)} || ' '`;
  return sql`replace(${text}, ${` ${words[0]} `}, '') <> ${text}`;
}

function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}

interface Cursor {
  readonly value: number;
  readonly short: string;
}

/** `isFew`: to be found by another index and then sorted, rather than looked for in this order. */
function ordered<O>(query: LinkQuery<O>, order: ListOrder, isFew: boolean): LinkQuery<O> {
  const by = (column: 'clicks' | 'last_edit') =>
    isFew ? sql`links.${sql.ref(column)} + 0` : sql.ref(`links.${column}`);
  if (order === 'clicks') return query.orderBy(by('clicks'), 'desc').orderBy('links.short');
  if (order === 'edited') return query.orderBy(by('last_edit'), 'desc').orderBy('links.short');
  return query.orderBy('links.short').orderBy('links.id');
}

function behind(order: ListOrder, { value, short }: Cursor): readonly RawBuilder<SqlBool>[] {
  if (order === 'short') return [sql`links.short > ${short}`];
  const column = order === 'clicks' ? sql`links.clicks` : sql`links.last_edit`;
  return [sql`${column} = ${value} and links.short > ${short}`, sql`${column} < ${value}`];
}

function cursorOf(row: Counted, order: ListOrder): string {
  const value = order === 'clicks' ? row.clicks : order === 'edited' ? row.last_edit : 0;
  return Buffer.from(JSON.stringify([order, value, row.short])).toString('base64url');
}

function parseCursor(text: string, order: ListOrder): Cursor {
  try {
    const [of, value, short] = JSON.parse(
      Buffer.from(text, 'base64url').toString('utf8'),
    ) as unknown[];
    if (
      of === order &&
      typeof value === 'number' &&
      Number.isFinite(value) &&
      typeof short === 'string'
    )
      return { value, short };
  } catch {
    // As any other text that is no cursor.
  }
  throw new GolinkError('ERR_REQUEST', 'This is no place in this list; begin at its first page.');
}
