// Puts together what the page of one link shows.
import type { Caller } from '../access.ts';
import { type DetailContent, detailPage } from '../pages/detail.ts';
import type { Scene } from '../pages/frame.ts';
import { DAY_S } from '../store/clicks.ts';
import { changesOf } from '../store/history.ts';
import type { CountedLink } from '../store/listing.ts';
import type { Desk } from './desk.ts';
import { fieldsOf } from './editform.ts';
import { RESTORE } from './history.ts';

const MAX_CHANGES = 12;
const MAX_VISITORS = 20;
export const CHART_DAYS = 30;

/** Begin of the first of so many days, today included, in seconds. */
export function daysAgo(now: number, days: number): number {
  return Math.floor(now / 1000 / DAY_S) * DAY_S - (days - 1) * DAY_S;
}

export async function linkPage(
  desk: Desk,
  scene: Scene,
  counted: CountedLink,
  caller: Caller,
  more: Pick<DetailContent, 'notice' | 'typed' | 'problem'> = {},
): Promise<string> {
  const { store, access, tokens } = desk.options;
  const { link } = counted;
  const from = daysAgo(store.now(), CHART_DAYS);
  const [editable, changes, series, visitors] = await Promise.all([
    access.mayEdit(link, caller),
    changesOf(store, { id: link.id, limit: MAX_CHANGES + 1 }),
    store.read(() => store.clicks.series(link.id, from, DAY_S)),
    store.clicks.countsVisitors
      ? store.read(() => store.clicks.visitors(link.id, from, MAX_VISITORS))
      : undefined,
  ]);
  const ownerLeft = editable && !(await access.userExists(link.owner));
  const fields = { ...fieldsOf(link), ...(ownerLeft && { owner: caller.login }) };
  return detailPage(scene, {
    ...counted,
    changes: changes.slice(0, MAX_CHANGES),
    hasMoreChanges: changes.length > MAX_CHANGES,
    chart: { from, days: CHART_DAYS, series },
    ...(visitors !== undefined && { visitors }),
    ...(editable && {
      edit: {
        fields,
        token: tokens.issue(caller.login, link.short),
        restoreToken: tokens.issue(caller.login, RESTORE),
      },
    }),
    ...more,
  });
}
