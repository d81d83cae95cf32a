// The history of links: every change with who, when, before and after; and the way back.
import type { Transaction } from 'kysely';
import { GolinkError } from '../errors.ts';
import type { Link } from '../links.ts';
import { fromRecord, toRecord } from './record.ts';
import type { ChangeKind, Tables } from './schema.ts';
import { type Actor, type Difference, living, type Store } from './store.ts';

export interface Change {
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: ChangeKind;
  readonly linkId: string;
  readonly actor: string;
  readonly actorNode: string;
  readonly before: Link | undefined;
  readonly after: Link | undefined;
}

export interface HistoryQuery {
  /** Of one link; all links without it. */
  readonly id?: string;
  /** Only changes before this one. */
  readonly beforeSeq?: number;
  readonly limit: number;
}

/** The latest changes, newest first. */
export async function changesOf(store: Store, query: HistoryQuery): Promise<readonly Change[]> {
  const { id, beforeSeq, limit } = query;
  const rows = await store.read((db) =>
    db
      .selectFrom('changes')
      .selectAll()
      .$if(id !== undefined, (q) => q.where('link_id', '=', id!))
      .$if(beforeSeq !== undefined, (q) => q.where('seq', '<', beforeSeq!))
      .orderBy('seq', 'desc')
      .limit(limit)
      .execute(),
  );
  return rows.map(fromChangeRow);
}

/** One change; undefined when there is none of that number. */
export async function changeOf(store: Store, seq: number): Promise<Change | undefined> {
  const row = await store.read((db) =>
    db.selectFrom('changes').selectAll().where('seq', '=', seq).executeTakeFirst(),
  );
  return row && fromChangeRow(row);
}

/**
 * Makes the link that has `id` now what it was, a deleted one included, as a new change. `decide` sees the link as it is
 * and may refuse by throwing. Throws GolinkError ERR_TAKEN when another link has taken the name.
 */
export function restoreLink(
  store: Store,
  id: string,
  link: Link,
  actor: Actor,
  decide: (now: Link | undefined) => void,
): Promise<Link | undefined> {
  return store.change(
    id,
    actor,
    (now) => {
      decide(now);
      return { ...link, lastEdit: Math.floor(store.now() / 1000) };
    },
    'restore',
  );
}

export interface Rewind {
  readonly created: number;
  readonly changed: number;
  readonly deleted: number;
}

/**
 * Makes every link what it was at a moment (milliseconds since the epoch), in one transaction: all of it or nothing.
 * `dryRun`: only says what would be done.
 */
export function restoreAll(
  store: Store,
  at: number,
  actor: Actor,
  options: { readonly dryRun?: boolean } = {},
): Promise<Rewind> {
  return store.write(async (tx) => {
    const steps = await stepsBack(tx, at);
    const rewind = {
      created: steps.filter(({ before }) => before === undefined).length,
      changed: steps.filter(({ before, after }) => before && after).length,
      deleted: steps.filter(({ after }) => after === undefined).length,
    };
    if (options.dryRun === true) return rewind;
    // Other names may have gone from one link to another.
    for (const { before } of steps)
      if (before !== undefined && before.aliases.length > 0)
        await tx.deleteFrom('aliases').where('link_id', '=', before.id).execute();
    const done: Difference[] = [];
    for (const [i, { before, after, revived }] of inOrder(steps).entries()) {
      done.push({ before, after: await store.apply(tx, { before, after }, actor, revived) });
      if (i % 100 === 99) await new Promise(setImmediate);
    }
    await store.record(tx, 'restore', actor, done);
    return rewind;
  });
}

interface Step extends Difference {
  /** ID of the deleted link that comes back. */
  readonly revived?: string;
}

/** What became of a link since the moment. */
interface Fate {
  /** Undefined: there was no such link. */
  readonly was: Link | undefined;
  /** As it is named now, or was when it was deleted. */
  id: string;
  lives: boolean;
}

const CHANGES = 5_000;

/** Follows every link that was changed since the moment through its names. */
async function stepsBack(tx: Transaction<Tables>, at: number): Promise<readonly Step[]> {
  const { first } = await tx
    .selectFrom('changes')
    .select((eb) => eb.fn.min<number | null>('seq').as('first'))
    .where('at', '>', at)
    .executeTakeFirstOrThrow();
  if (first === null) return [];
  const fates: Fate[] = [];
  const named = new Map<string, Fate>();
  const born = (was: Link | undefined, id: string): Fate => {
    const fate = { was, id, lives: true };
    fates.push(fate);
    return fate;
  };
  for (let next = first; ; ) {
    const rows = await tx
      .selectFrom('changes')
      .select(['seq', 'before', 'after'])
      .where('seq', '>=', next)
      .orderBy('seq')
      .limit(CHANGES)
      .execute();
    for (const row of rows) {
      const before = row.before === null ? undefined : fromRecord(row.before);
      const after = row.after === null ? undefined : fromRecord(row.after);
      let fate = before && (named.get(before.id) ?? born(before, before.id));
      if (before !== undefined) named.delete(before.id);
      if (after === undefined) {
        if (fate !== undefined) fate.lives = false;
        continue;
      }
      fate ??= born(undefined, after.id);
      fate.id = after.id;
      named.set(after.id, fate);
    }
    if (rows.length < CHANGES) break;
    next = rows.at(-1)!.seq + 1;
  }
  return steps(tx, fates, named);
}

async function steps(
  tx: Transaction<Tables>,
  fates: readonly Fate[],
  named: ReadonlyMap<string, Fate>,
): Promise<readonly Step[]> {
  const result: Step[] = [];
  /** Links that are made anew, by the name they had and have again. */
  const same = new Map<Fate, Link>();
  for (const fate of fates) {
    const successor = fate.was && named.get(fate.was.id);
    if (fate.was === undefined || fate.lives) continue;
    if (successor?.was === undefined && successor?.id === fate.was.id)
      same.set(successor, fate.was);
    else result.push({ before: undefined, after: fate.was, revived: fate.id });
  }
  for (const fate of fates) {
    if (!fate.lives) continue;
    const before = await living(tx, fate.id);
    const after = fate.was ?? same.get(fate);
    if (before === undefined && after === undefined) continue;
    if (before !== undefined && after !== undefined && toRecord(before) === toRecord(after))
      continue;
    result.push({ before, after });
  }
  return result;
}

/** Names are freed before they are taken again; where links have changed names in a circle, one is deleted and remade. */
function inOrder(steps: readonly Step[]): readonly Step[] {
  const done = steps.filter(({ after }) => after === undefined);
  const last = steps.filter(({ before }) => before === undefined);
  const occupied = new Map<string, Step>();
  const left = new Set(steps.filter(({ before, after }) => before && after));
  for (const step of left) occupied.set(step.before!.id, step);
  const take = (step: Step): void => {
    left.delete(step);
    occupied.delete(step.before!.id);
    done.push(step);
  };
  const isFree = ({ before, after }: Step): boolean =>
    after!.id === before!.id || !occupied.has(after!.id);
  for (const start of [...left]) {
    // What is in the way goes first.
    const path: Step[] = [];
    for (let step = start; left.has(step); step = occupied.get(step.after!.id)!) {
      if (path.includes(step)) {
        occupied.delete(step.before!.id);
        left.delete(step);
        done.push({ before: step.before, after: undefined });
        last.push({ before: undefined, after: step.after });
        break;
      }
      path.push(step);
      if (isFree(step)) break;
    }
    for (const step of path.reverse()) if (left.has(step)) take(step);
  }
  return [...done, ...last];
}

interface ChangeRow {
  readonly seq: number;
  readonly at: number;
  readonly kind: ChangeKind;
  readonly link_id: string;
  readonly actor: string;
  readonly actor_node: string;
  readonly before: string | null;
  readonly after: string | null;
}

function fromChangeRow(row: ChangeRow): Change {
  const { seq, at, kind, link_id, actor, actor_node, before, after } = row;
  return {
    ...{ seq, at, kind, linkId: link_id, actor, actorNode: actor_node },
    before: before === null ? undefined : fromRecord(before),
    after: after === null ? undefined : fromRecord(after),
  };
}

/** The state a change left; for one that deleted, the state it found. Throws GolinkError ERR_NOT_FOUND. */
export function stateOf(change: Change): Link {
  const link = change.after ?? change.before;
  if (link === undefined) throw new GolinkError('ERR_NOT_FOUND', 'That change says nothing.');
  return link;
}
