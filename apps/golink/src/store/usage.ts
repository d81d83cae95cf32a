// How links are used, over the whole service: what the page of figures shows. Each looks at a bounded part of an index,
// except the sums over days, which are kept for a while when they took long.
import { sql } from 'kysely';
import { linkId } from '../links.ts';
import { DAY_S } from './clicks.ts';
import { type CountedLink, countedLinks } from './listing.ts';
import { fromRow, LINK_COLUMNS } from './record.ts';
import type { Store } from './store.ts';

export interface Usage {
  /** Clicks by day, oldest first; days without are left out. */
  readonly series: readonly { readonly at: number; readonly clicks: number }[];
  readonly topOfWeek: readonly CountedLink[];
  readonly topOfMonth: readonly CountedLink[];
  /** Names nobody has made. */
  readonly missing: readonly { readonly name: string; readonly visits: number }[];
  /** Not followed and not changed for 90 days, the oldest first. */
  readonly unused: readonly CountedLink[];
}

const TOP = 10;
const MISSING = 20;
const UNUSED = 10;
export const UNUSED_DAYS = 90;
/** Of the links not changed for so long these many are looked at. */
const OLDEST = 2_000;
/** Links whose tags are told. */
const TAGGED = 5_000;
const TAGS = 200;

export async function usage(store: Store, from: number): Promise<Usage> {
  await store.flush();
  const today = Math.floor(store.now() / 1000 / DAY_S) * DAY_S;
  const [series, topOfWeek, topOfMonth, wanted, unused] = await Promise.all([
    store.read(() => store.clicks.series(undefined, from, DAY_S)),
    topLinks(store, today - 6 * DAY_S),
    topLinks(store, from),
    store.read(() => store.clicks.missing(from, 2 * MISSING)),
    unusedLinks(store, today - UNUSED_DAYS * DAY_S),
  ]);
  // Some have been made since.
  const made = new Set<string>();
  for (const { name } of wanted) if ((await store.find(linkId(name))) !== undefined) made.add(name);
  const missing = wanted
    .filter(({ name }) => !made.has(name))
    .slice(0, MISSING)
    .map(({ name, visits }) => ({ name, visits: Number(visits) }));
  return { series, topOfWeek, topOfMonth, missing, unused };
}

/** Most followed since `from`, in seconds; `clicks` are those since then. */
async function topLinks(store: Store, from: number): Promise<readonly CountedLink[]> {
  const rows = await store.read((db) =>
    db
      .selectFrom('stats')
      .select((eb) => ['link_id as id', eb.fn.sum<number>('clicks').as('clicks')])
      .where('at', '>=', from)
      .groupBy('link_id')
      .orderBy('clicks', 'desc')
      .orderBy('link_id')
      .limit(2 * TOP)
      .execute(),
  );
  const links = await countedLinks(
    store,
    rows.map(({ id }) => id),
  );
  const byId = new Map(links.map(({ link }) => [link.id, link]));
  return rows
    .flatMap(({ id, clicks }) => {
      const link = byId.get(id);
      return link === undefined ? [] : [{ link, clicks: Number(clicks) }];
    })
    .slice(0, TOP);
}

async function unusedLinks(store: Store, since: number): Promise<readonly CountedLink[]> {
  const rows = await store.read((db) => {
    const oldest = db
      .selectFrom('links')
      .select([...LINK_COLUMNS, 'clicks'])
      .where('deleted', 'is', null)
      .where('last_edit', '<', since)
      .orderBy('last_edit')
      .orderBy('short', 'desc')
      .limit(OLDEST)
      .as('links');
    return db
      .selectFrom(oldest)
      .selectAll()
      .where(
        sql<boolean>`not exists (select 1 from stats where stats.link_id = links.id and stats.at >= ${since})`,
      )
      .orderBy('last_edit')
      .orderBy('short')
      .limit(UNUSED)
      .execute();
  });
  return rows.map((row) => ({ link: fromRow(row), clicks: row.clicks }));
}

/** Tags of the links most used, with how many of those have each; most frequent first. */
export async function usedTags(
  store: Store,
): Promise<readonly { readonly tag: string; readonly links: number }[]> {
  const rows = await store.read((db) =>
    db
      .selectFrom('links')
      .select('tags')
      .where('deleted', 'is', null)
      .orderBy('clicks', 'desc')
      .orderBy('short')
      .limit(TAGGED)
      .execute(),
  );
  const counts = new Map<string, number>();
  for (const { tags } of rows)
    for (const tag of tags.split(' ')) if (tag !== '') counts.set(tag, (counts.get(tag) ?? 0) + 1);
  return [...counts]
    .map(([tag, links]) => ({ tag, links }))
    .sort((a, b) => b.links - a.links || (a.tag < b.tag ? -1 : 1))
    .slice(0, TAGS);
}
