// SQLite's index of what people search: for every three letters that follow each other in a link, the links' numbers.
// It does not keep where they are, which makes it small and quick to write; whoever finds a link by it looks at the text.
import { type Kysely, sql } from 'kysely';

/** The columns that are searched, as one text; words of a search have no blanks, so that none reaches over two. */
export function wordsOf(row: string): string {
  return ['short', 'long', 'owner', 'description', 'tags', 'aliases']
    .map((column) => `${row}.${column} || ' '`)
    .join(' || ');
}

/** A setting that is there only inside a transaction that adds links to the index itself. */
export const IN_PARTS = 'search-in-parts';

/** Adds links to the index, by their numbers: above the first, up to the second. */
export const INDEX_LINKS =
  'insert into links_search (rowid, words) select num, words from links_words where num > ? and num <= ?';

/** Of an old database, in one go. */
const LINKS_AT_ONCE = 5_000;

/** Replaces the index of earlier releases. */
export async function makeSearchIndex(
  db: Kysely<unknown>,
  tell: (share: number) => void,
): Promise<void> {
  const remove = `insert into links_search (links_search, rowid, words) values ('delete', old.num, ${wordsOf('old')});`;
  const add = `insert into links_search (rowid, words) values (new.num, ${wordsOf('new')});`;
  const statements = [
    ...['insert', 'delete', 'update'].map(
      (event) => `drop trigger if exists links_search_${event}`,
    ),
    'drop table if exists links_search',
    `create view links_words as select num, ${wordsOf('links')} as words from links`,
    `create virtual table links_search using fts5 (words, content = 'links_words', content_rowid = 'num',
      columnsize = 0, detail = none, tokenize = 'trigram')`,
    `create trigger links_search_insert after insert on links
      when not exists (select 1 from settings where name = '${IN_PARTS}') begin ${add} end`,
    `create trigger links_search_delete after delete on links begin ${remove} end`,
    `create trigger links_search_update after update of short, long, owner, description, tags, aliases on links
      begin ${remove} ${add} end`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
  const { rows } = await sql<{
    last: number;
  }>`select coalesce(max(num), 0) as last from links`.execute(db);
  const last = rows[0]!.last;
  for (let num = 0; num < last; num += LINKS_AT_ONCE) {
    await sql`insert into links_search (rowid, words) select num, words from links_words
      where num > ${num} and num <= ${num + LINKS_AT_ONCE}`.execute(db);
    tell(Math.min(1, (num + LINKS_AT_ONCE) / last));
    await new Promise(setImmediate);
  }
}
