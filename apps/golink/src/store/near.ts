// Links whose names are nearly one that nobody has made: misspelt, cut off, or with something added. Names that stand
// beside it in the alphabet are compared; one letter wrong further in front is looked up by the index of names. So it
// costs the same however many links there are.
import { sql } from 'kysely';
import { linkId } from '../links.ts';
import { type CountedLink, countedLinks } from './listing.ts';
import type { Store } from './store.ts';

/** Longer names are not worth it: the names one letter away grow with the length. */
const MAX_NAME = 40;
const MIN_NAME = 2;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789._';
/** Names before and behind it in the alphabet that are compared. */
const BESIDE = 150;
/** Shorter names are nearly everything's beginning. */
const MIN_STEM = 3;
/** Links whose clicks decide between names that are equally near. */
const COMPARED = 50;

/** The nearest first, at most `limit`. */
export async function nearLinks(
  store: Store,
  name: string,
  limit: number,
): Promise<readonly CountedLink[]> {
  const id = linkId(name);
  if (id.length < MIN_NAME || id.length > MAX_NAME) return [];
  const { ids, reach } = await beside(store, id);
  const far = new Map<string, number>();
  for (const other of await existing(store, [...oneAway(id, reach), ...stems(id)]))
    far.set(other, distance(id, other));
  const allowed = id.length <= 4 ? 1 : 2;
  const head = id.slice(0, MIN_NAME);
  for (const other of ids) {
    if (Math.abs(other.length - id.length) > allowed) continue;
    const edits = distance(id, other, allowed);
    if (edits === 1 || (edits <= allowed && other.startsWith(head))) far.set(other, edits);
  }
  const longer = id.length < MIN_STEM ? [] : ids.filter((other) => other.startsWith(id));
  const nearestIds = [...far].sort((a, b) => a[1] - b[1]).slice(0, COMPARED);
  const asked = new Set([
    ...nearestIds.map(([other]) => other),
    ...(await mostUsed(store, longer, limit)),
  ]);
  return (await countedLinks(store, [...asked]))
    .map((link) => ({ link, far: nearest(id, link) }))
    .sort((a, b) => a.far - b.far || b.link.clicks - a.link.clicks)
    .slice(0, limit)
    .map(({ link }) => link);
}

/** Names around a name in the alphabet. Those that begin with its first `reach` letters are all among them. */
async function beside(
  store: Store,
  id: string,
): Promise<{ readonly ids: readonly string[]; readonly reach: number }> {
  const part = (table: 'links' | 'aliases', isBehind: boolean) =>
    sql`select * from (select id, ${sql.lit(table + isBehind)} as part from ${sql.table(table)}
      where id ${sql.raw(isBehind ? '>=' : '<')} ${id} order by id ${sql.raw(isBehind ? '' : 'desc')}
      limit ${sql.lit(BESIDE)}) as ${sql.ref(isBehind ? 'behind' : 'before')}`;
  const parts = [
    part('links', false),
    part('links', true),
    part('aliases', false),
    part('aliases', true),
  ];
  const { rows } = await store.read((db) =>
    sql<{ id: string; part: string }>`${sql.join(parts, sql` union all `)}`.execute(db),
  );
  const last = new Map<string, { n: number; id: string }>();
  for (const row of rows) last.set(row.part, { n: (last.get(row.part)?.n ?? 0) + 1, id: row.id });
  // Where a part was cut off, names may be missing that have as many letters in common as its last one.
  let reach = 0;
  for (const cut of last.values())
    if (cut.n >= BESIDE) reach = Math.max(reach, alike(id, cut.id) + 1);
  return { ids: rows.map((row) => row.id), reach };
}

/** Which of them are names or other names of links; of deleted ones too. */
async function existing(store: Store, ids: readonly string[]): Promise<readonly string[]> {
  if (ids.length === 0) return [];
  return store.read(async (db, kind) => {
    if (kind === 'sqlite') {
      // Neither sorted nor looked through twice.
      const { rows } = await sql<{ id: string }>`select value as id
        from json_each(${JSON.stringify(ids)})
        where value in (select id from links) or value in (select id from aliases)`.execute(db);
      return rows.map((row) => row.id);
    }
    const among = store.database.among('id', ids);
    const rows = await db
      .selectFrom('links')
      .select('id')
      .where(among)
      .unionAll(db.selectFrom('aliases').select('id').where(among))
      .execute();
    return rows.map((row) => row.id);
  });
}

async function mostUsed(store: Store, ids: readonly string[], limit: number): Promise<string[]> {
  if (ids.length <= limit) return [...ids];
  const rows = await store.read((db) =>
    db
      .selectFrom('links')
      .select('id')
      .where(store.database.among('id', ids))
      .where('deleted', 'is', null)
      .orderBy('clicks', 'desc')
      .orderBy('id')
      .limit(limit)
      .execute(),
  );
  return rows.map((row) => row.id);
}

/** How many letters at their beginnings are the same. */
function alike(a: string, b: string): number {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  return same;
}

/** By the nearest of its names. */
function nearest(id: string, { link }: CountedLink): number {
  return Math.min(distance(id, link.id), ...link.aliases.map((one) => distance(id, linkId(one))));
}

/** All IDs one letter too many, too few, wrong or swapped away, the mistake being in front of the letter `end`. */
export function oneAway(id: string, end: number = id.length + 1): ReadonlySet<string> {
  const ids = new Set<string>();
  for (let i = 0; i < Math.min(end, id.length + 1); i++) {
    const [head, tail] = [id.slice(0, i), id.slice(i)];
    if (tail !== '') ids.add(head + tail.slice(1));
    if (tail.length > 1) ids.add(head + tail[1] + tail[0] + tail.slice(2));
    for (const letter of LETTERS) {
      ids.add(head + letter + tail);
      if (tail !== '') ids.add(head + letter + tail.slice(1));
    }
  }
  ids.delete(id);
  ids.delete('');
  return ids;
}

/** What is left when something at the end is taken away: `roadmap2027` -> `roadmap`. */
function stems(id: string): readonly string[] {
  const all: string[] = [];
  for (let end = id.length - 2; end >= Math.max(MIN_STEM, id.length / 2); end--)
    all.push(id.slice(0, end));
  return all;
}

/**
 * Edits from one to the other: a letter added, taken away or changed, two neighbours swapped. Where there are more than
 * `most`, some number above it.
 */
export function distance(a: string, b: string, most: number = Number.POSITIVE_INFINITY): number {
  // What both begin or end with needs no edit.
  const start = alike(a, b);
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--;
    endB--;
  }
  if (start === endA || start === endB) return endA - start + (endB - start);
  let before: number[] = [];
  let leastBefore = 0;
  let last = Array.from({ length: endB - start + 1 }, (_, j) => j);
  for (let i = start + 1; i <= endA; i++) {
    const row = [i - start];
    let leastOfRow = i - start;
    for (let j = start + 1; j <= endB; j++) {
      const k = j - start;
      const changed = last[k - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(changed, last[k]! + 1, row[k - 1]! + 1);
      if (i > start + 1 && k > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before[k - 2]! + 1);
      row.push(least);
      if (least < leastOfRow) leastOfRow = least;
    }
    // A swap of neighbours goes on from the row before.
    if (leastOfRow > most && leastBefore > most) return leastOfRow;
    leastBefore = leastOfRow;
    before = last;
    last = row;
  }
  return last[endB - start]!;
}
