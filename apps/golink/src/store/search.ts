// Search, and names that begin alike. SQLite's index (searchindex.ts) says which links have three letters in a row; the
// rarest of what is searched for are asked, and what they give is compared with the words. So a search takes as long
// as its rarest part has links, and other work is let in every few milliseconds.
import { sql } from 'kysely';
import { linkId } from '../links.ts';
import {
  COLUMNS,
  type Counted,
  type CountedLink,
  counted,
  countedLink,
  escapeLike,
  filtered,
} from './listing.ts';
import type { DatabaseKind } from './schema.ts';
import type { Store } from './store.ts';

type Reader = Store['database']['reader'];

const MAX_WORDS = 8;
/** Of names that begin alike the most used are chosen among so many. */
const PREFIXED = 1_000;
/** Short words are looked for in names' beginnings, and everywhere in so many of the links most used. */
const MOST_USED = 2_000;
/** More than are asked for, so that the most used of them come first. */
const CANDIDATES = 50;
/** A search ends after so long with what it has found. */
const SEARCH_MS = 1_000;
const SLICE_MS = 8;
/** Links that one slice should look at. */
const SLICE_LINKS = 1_000;
/** Letters in a row are counted up to here; there are about as many before these. */
const COUNTED = 200;
/** Asked at once. */
const MAX_PARTS = 6;
/** Parts that so many times more links have than the rarest are not worth asking for. */
const COMMON = 20;
/** Where the index knows nothing of a word, no more links than these are looked at. */
const MAX_LOOKED_AT = 10_000;
/** Letters of other scripts are compared here rather than by the database. */
const MAX_COMPARED = 2_000;
/** What may follow two letters that are searched for. */
const FOLLOWING = [...' abcdefghijklmnopqrstuvwxyz0123456789-._/:?&=%#@+~!$\'()*,;[]{}|<>^`\\"'];

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
  const words = text.replaceAll('\0', '').trim().split(/\s+/).filter(Boolean).slice(0, MAX_WORDS);
  if (words.length === 0) return [];
  if (words.length === 1 && !FIELD.test(words[0]!)) {
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

async function matching(
  store: Store,
  words: readonly string[],
  limit: number,
): Promise<readonly Counted[]> {
  const rows = await store.read(async (db, kind): Promise<readonly Counted[]> => {
    const wanted = CANDIDATES + limit;
    const owner = words.length === 1 ? /^owner:(.+@.+)$/i.exec(words[0]!)?.[1] : undefined;
    if (owner !== undefined) {
      const whole = await filtered(living(db), { owner }).limit(wanted).execute();
      if (whole.length > 0) return whole;
    }
    if (words.every((word) => [...bare(word)].length < 3))
      return amongMostUsed(db, kind, words, limit);
    if (kind === 'sqlite') return throughIndex(db, words, wanted);
    let query = living(db);
    for (const word of words) query = query.where(like(word, kind));
    return query.orderBy('clicks', 'desc').orderBy('short').limit(wanted).execute();
  });
  return [...rows]
    .sort((a, b) => b.clicks - a.clicks || (a.short < b.short ? -1 : 1))
    .slice(0, limit);
}

function living(db: Reader) {
  return db.selectFrom('links').select(COLUMNS).where('links.deleted', 'is', null);
}

/** Goes through the links that may have the words, newest first, a slice of their numbers at a time. */
async function throughIndex(
  db: Reader,
  words: readonly string[],
  wanted: number,
): Promise<Counted[]> {
  const { last } = await db
    .selectFrom('links')
    .select((eb) => eb.fn.max<number | null>('num').as('last'))
    .executeTakeFirstOrThrow();
  if (last === null) return [];
  const { match, links } = await rarest(db, words, last);
  if (links === 0) return [];
  const found: Counted[] = [];
  const until = performance.now() + SEARCH_MS;
  const unknown = words.filter((word) => !isIndexed(bare(word)));
  const mostLooked =
    unknown.length === 0 ? last : unknown.every(isAscii) ? MAX_LOOKED_AT : MAX_COMPARED;
  let looked = 0;
  let width = Math.ceil((last * SLICE_LINKS) / links);
  for (let high = last; high > 0 && found.length < wanted && looked < mostLooked; ) {
    const began = performance.now();
    if (began > until) break;
    // The index takes only integers for bounds; a parameter is a double.
    const { rows } = await sql<{ rowid: number }>`select rowid from links_search
      where links_search match ${match} and rowid > ${sql.lit(high - width)} and rowid <= ${sql.lit(high)}`.execute(
      db,
    );
    looked += rows.length;
    if (rows.length > 0) {
      const nums = JSON.stringify(rows.map(({ rowid }) => rowid));
      let query = living(db).where(
        sql<boolean>`links.num in (select value from json_each(${nums}))`,
      );
      for (const word of words) if (isAscii(word)) query = query.where(like(word, 'sqlite'));
      const others = words.filter((word) => !isAscii(word));
      // SQLite knows the case of Latin letters only.
      if (others.length === 0)
        query = query
          // Not by an index: that would be all links.
          .orderBy(sql`links.clicks + 0`, 'desc')
          .orderBy('links.short')
          .limit(wanted - found.length);
      for (const row of await query.execute())
        if (others.every((word) => has(row, word))) found.push(row);
    }
    high -= width;
    const took = Math.max(performance.now() - began, 0.1);
    width = Math.max(500, Math.floor(width * Math.min(8, SLICE_MS / took)));
    await new Promise(setImmediate);
  }
  return found.slice(0, wanted);
}

interface Part {
  /** In the language of the full-text index. */
  readonly match: string;
  /** About how many links have it. */
  readonly links: number;
}

/** What to ask the index for: the rarest of the letters in a row that the words are made of. */
async function rarest(db: Reader, words: readonly string[], last: number): Promise<Part> {
  const parts: Part[] = [];
  const asked = new Set<string>();
  const ask = async (match: string): Promise<void> => {
    if (asked.has(match)) return;
    asked.add(match);
    parts.push({ match, links: await aboutHowMany(db, match, last) });
  };
  for (const word of words) for (const letters of triples(bare(word))) await ask(quoted(letters));
  const least = (): number => Math.min(...parts.map(({ links }) => links));
  // Many letters to ask for, so only where it helps.
  for (const word of words) {
    const text = bare(word);
    if (text.length !== 2 || !isIndexed(text) || least() <= SLICE_LINKS) continue;
    await ask(`(${FOLLOWING.map((next) => quoted(text + next)).join(' OR ')})`);
  }
  const links = least();
  const rare = parts
    .filter((part) => part.links <= Math.max(links, 1) * COMMON)
    .sort((a, b) => a.links - b.links)
    .slice(0, MAX_PARTS);
  return { match: rare.map(({ match }) => match).join(' AND '), links };
}

async function aboutHowMany(db: Reader, match: string, last: number): Promise<number> {
  const { rows } = await sql<{
    n: number;
    low: number | null;
  }>`select count(*) as n, min(rowid) as low
    from (select rowid from links_search where links_search match ${match} order by rowid desc limit ${sql.lit(COUNTED)})`.execute(
    db,
  );
  const { n, low } = rows[0]!;
  return n < COUNTED ? n : (n * last) / (last - low! + 1);
}

/** Three letters in a row, or two that a third follows. */
function isIndexed(text: string): boolean {
  const { length } = [...text];
  return length === 0 || length > 2 || (length === 2 && isAscii(text));
}

/** Every three letters in a row, once. */
function triples(text: string): ReadonlySet<string> {
  const letters = [...text];
  return new Set(letters.slice(2).map((_, i) => letters.slice(i, i + 3).join('')));
}

function quoted(letters: string): string {
  return `"${letters.replaceAll('"', '""')}"`;
}

async function amongMostUsed(
  db: Reader,
  kind: DatabaseKind,
  words: readonly string[],
  limit: number,
): Promise<Counted[]> {
  const some = living(db)
    .select('links.deleted')
    .orderBy('clicks', 'desc')
    .orderBy('short')
    .limit(MOST_USED)
    .as('links');
  let query = db.selectFrom(some).select(COLUMNS);
  for (const word of words) if (isAscii(word)) query = query.where(like(word, kind));
  const others = words.filter((word) => !isAscii(word));
  if (others.length === 0) return query.limit(limit).execute();
  const rows = await query.execute();
  return rows.filter((row) => others.every((word) => has(row, word))).slice(0, limit);
}

const FIELD = /^(owner|tag):/i;

function bare(word: string): string {
  return word.replace(FIELD, '');
}

function fieldOf(word: string): 'owner' | 'tags' | undefined {
  const field = FIELD.exec(word)?.[1]?.toLowerCase();
  return field === 'owner' ? 'owner' : field === 'tag' ? 'tags' : undefined;
}

function like(word: string, kind: DatabaseKind) {
  const pattern = (text: string): string => `%${escapeLike(text)}%`;
  const field = fieldOf(word);
  const text =
    field === undefined
      ? sql`(links.short || ' ' || links.long || ' ' || links.owner || ' ' || links.description || ' ' || links.tags || ' ' || links.aliases)`
      : sql.ref(`links.${field}`);
  return kind === 'sqlite'
    ? sql<boolean>`${text} like ${pattern(bare(word))} escape '\\'`
    : sql<boolean>`${text} ilike any(${spellings(bare(word)).map(pattern)})`;
}

/** In the cases that people write; of the Latin letters the database knows every one. */
function spellings(word: string): readonly string[] {
  const [first = '', ...rest] = [...word.toLowerCase()];
  const all = [word, word.toLowerCase(), word.toUpperCase(), first.toUpperCase() + rest.join('')];
  return isAscii(word) ? [word] : [...new Set(all)];
}

/** As `like`, for letters of any script. */
function has(row: Counted, word: string): boolean {
  const field = fieldOf(word);
  const text =
    field === undefined
      ? [row.short, row.long, row.owner, row.description, row.tags, row.aliases].join(' ')
      : row[field];
  return text.toLowerCase().includes(bare(word).toLowerCase());
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}
