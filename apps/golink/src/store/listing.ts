// Lists of links, a page at a time.
import { type RawBuilder, type SelectQueryBuilder, type SqlBool, sql } from 'kysely';
import { GolinkError } from '../errors.ts';
import { isKeepable, type Link } from '../links.ts';
import type { Clicks } from './clicks.ts';
import { fromRow, LINK_COLUMNS, type LinkRow } from './record.ts';
import type { Tables } from './schema.ts';
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

export type Counted = LinkRow & { readonly clicks: number };
type LinkQuery<O> = SelectQueryBuilder<Tables, 'links', O>;

export const COLUMNS: readonly (`links.${keyof LinkRow}` | 'links.clicks')[] = [
  ...LINK_COLUMNS.map((column) => `links.${column}` as const),
  'links.clicks',
];

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

/** All links that live, by name, in parts. */
export async function* linksByName(
  db: Store['database']['reader'],
  part: number,
): AsyncGenerator<readonly Link[]> {
  for (let after = ''; ; ) {
    const rows = await db
      .selectFrom('links')
      .select(LINK_COLUMNS)
      .where('deleted', 'is', null)
      .where('short', '>', after)
      .orderBy('short')
      .limit(part)
      .execute();
    if (rows.length === 0) return;
    yield rows.map(fromRow);
    after = rows.at(-1)!.short;
  }
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

/** `order`: that the links are wanted in; without it whatever finds them soonest is done. */
export function filtered<O>(
  query: LinkQuery<O>,
  filter: Omit<ListQuery, 'limit'>,
  order?: ListOrder,
): LinkQuery<O> {
  let result = query.where('links.deleted', 'is', null);
  const { owner, mine, tag, used, unusedSince } = filter;
  if (owner !== undefined)
    result = result.where(sql<boolean>`lower(links.owner) = ${asciiLower(owner)}`);
  if (mine !== undefined) {
    const { owner, editors } = mine;
    result = result.where(
      sql<boolean>`((lower(links.owner) = ${asciiLower(owner)} and links.owner = ${owner})
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

/** Databases know the case of Latin letters, all others by their language only. */
function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

export function escapeLike(text: string): string {
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
      Number.isSafeInteger(value) &&
      typeof short === 'string' &&
      isKeepable(short)
    )
      return { value: value as number, short };
  } catch {
    // As any other text that is no cursor.
  }
  throw new GolinkError('ERR_REQUEST', 'This is no place in this list; begin at its first page.');
}
