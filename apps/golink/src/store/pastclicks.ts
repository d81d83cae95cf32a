// Clicks that were counted elsewhere: taken over with the links of a snapshot. A count that is here already is not
// added again, so that an import can be repeated.
import { sql } from 'kysely';
import type { StatsRow } from './clicks.ts';
import type { Store } from './store.ts';

/** IDs in one statement. */
const PART = 1_000;

/** Takes rows of living links, except those of `not`. Gives the IDs of links that got some, and how many clicks. */
export function addPastClicks(
  store: Store,
  rows: readonly StatsRow[],
  not: ReadonlySet<string>,
): Promise<{ readonly ids: readonly string[]; readonly clicks: number }> {
  return store.write(async (tx) => {
    const asked = [...new Set(rows.map(({ id }) => id))].filter((id) => !not.has(id));
    const living = await tx
      .selectFrom('links')
      .select('id')
      .where(store.database.among('id', asked))
      .where('deleted', 'is', null)
      .execute();
    const ids = new Set(living.map(({ id }) => id));
    // One row for a link and moment: a statement may not touch a row twice.
    const taken = new Map<string, StatsRow>();
    let clicks = 0;
    for (const row of rows) {
      if (!ids.has(row.id)) continue;
      const key = `${row.at} ${row.id}`;
      taken.set(key, { ...row, clicks: row.clicks + (taken.get(key)?.clicks ?? 0) });
      clicks += row.clicks;
    }
    const values = JSON.stringify(
      [...taken.values()].map(({ id, at, clicks }) => ({ link_id: id, at, clicks })),
    );
    const isSqlite = store.database.kind === 'sqlite';
    const all = isSqlite
      ? sql`select value ->> 'link_id', value ->> 'at', value ->> 'clicks' from json_each(${values}) where true`
      : sql`select link_id, at, clicks from json_populate_recordset(null::stats, ${values})`;
    const greater = isSqlite ? sql`max` : sql`greatest`;
    await sql`insert into stats (link_id, at, clicks) ${all} on conflict (link_id, at)
      do update set clicks = ${greater}(excluded.clicks, stats.clicks)`.execute(tx);
    return { ids: [...ids], clicks };
  });
}

/** Makes the totals of links the sums of their counts. */
export async function sumClicks(store: Store, ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += PART) {
    const part = ids.slice(at, at + PART);
    await store.write((tx) =>
      tx
        .updateTable('links')
        .set({
          clicks: sql<number>`(select coalesce(sum(stats.clicks), 0) from stats where stats.link_id = links.id)`,
        })
        .where(store.database.among('id', part))
        .execute(),
    );
  }
}
