// Links whose names are nearly one that nobody has made: misspelt, cut off, or with something added. Looks names up by
// their index only, so that it costs the same however many links there are.
import { linkId } from '../links.ts';
import { type CountedLink, countedLinks } from './listing.ts';
import { suggestLinks } from './search.ts';
import type { Store } from './store.ts';

/** Longer names are not worth it: the names one letter away grow with the length. */
const MAX_NAME = 40;
const MIN_NAME = 2;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789._';
/** Names that begin alike, looked at for two mistakes. */
const ALIKE = 300;
/** Shorter names are nearly everything's beginning. */
const MIN_STEM = 3;

/** The nearest first, at most `limit`. */
export async function nearLinks(
  store: Store,
  name: string,
  limit: number,
): Promise<readonly CountedLink[]> {
  const id = linkId(name);
  if (id.length < MIN_NAME || id.length > MAX_NAME) return [];
  const [close, longer, ...alike] = await Promise.all([
    countedLinks(store, [...oneAway(id), ...stems(id)]),
    id.length >= MIN_STEM ? suggestLinks(store, id, limit) : [],
    suggestLinks(store, id.slice(0, Math.max(MIN_NAME, id.length / 2)), ALIKE),
    suggestLinks(store, id.slice(0, MIN_NAME), ALIKE),
  ]);
  const found = new Map<string, { link: CountedLink; far: number }>();
  const allowed = id.length <= 4 ? 1 : 2;
  const take = (links: readonly CountedLink[], most: number): void => {
    for (const link of links) {
      const far = nearest(id, link);
      if (far <= most && !found.has(link.link.id)) found.set(link.link.id, { link, far });
    }
  };
  take(close, MAX_NAME);
  take(longer, MAX_NAME);
  take(alike.flat(), allowed);
  return [...found.values()]
    .sort((a, b) => a.far - b.far || b.link.clicks - a.link.clicks)
    .slice(0, limit)
    .map(({ link }) => link);
}

/** By the nearest of its names. */
function nearest(id: string, { link }: CountedLink): number {
  return Math.min(distance(id, link.id), ...link.aliases.map((one) => distance(id, linkId(one))));
}

/** All IDs one letter too many, too few, wrong or swapped away. */
export function oneAway(id: string): ReadonlySet<string> {
  const ids = new Set<string>();
  for (let i = 0; i <= id.length; i++) {
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

/** Edits from one to the other: a letter added, taken away or changed, two neighbours swapped. */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(changed, last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
