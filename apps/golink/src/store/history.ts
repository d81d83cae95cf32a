// The history of links: every change with who, when, before and after; and the way back.
import { GolinkError } from '../errors.ts';
import type { Link } from '../links.ts';
import { fromRecord, toRecord } from './record.ts';
import type { ChangeKind } from './schema.ts';
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
    // What a link was is what the first change after the moment found.
    const firsts = await tx
      .selectFrom('changes')
      .innerJoin(
        tx
          .selectFrom('changes')
          .select((eb) => ['link_id as of', eb.fn.min<number>('seq').as('first')])
          .where('at', '>', at)
          .groupBy('link_id')
          .as('firsts'),
        'firsts.first',
        'changes.seq',
      )
      .select(['changes.link_id', 'changes.before'])
      .execute();
    const differences: Difference[] = [];
    for (const { link_id, before: record } of firsts) {
      const before = await living(tx, link_id);
      const was = record === null ? undefined : fromRecord(record);
      if (before === undefined && was === undefined) continue;
      const after = was && { ...was, version: (before?.version ?? 0) + 1 };
      if (before !== undefined && after !== undefined && toRecord(before) === toRecord(after))
        continue;
      differences.push({ before, after });
    }
    // Names are freed before they are taken again.
    const order = ({ before, after }: Difference): number =>
      after === undefined ? 0 : before !== undefined ? 1 : 2;
    differences.sort((a, b) => order(a) - order(b));
    const rewind = {
      deleted: differences.filter(({ after }) => after === undefined).length,
      created: differences.filter(({ before }) => before === undefined).length,
      changed: 0,
    };
    rewind.changed = differences.length - rewind.deleted - rewind.created;
    if (options.dryRun === true) return rewind;
    for (const difference of differences) await store.apply(tx, difference, actor);
    await store.record(tx, 'restore', actor, differences);
    return rewind;
  });
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
