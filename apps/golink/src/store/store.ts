// Links and their changes. Every change goes through one queue and is in the database, with its event, before it is
// answered; nothing is read from memory, so that what was answered is what the next visit finds.
import { randomBytes } from 'node:crypto';
import type { Transaction } from 'kysely';
import { GolinkError } from '../errors.ts';
import { type Link, linkId } from '../links.ts';
import { Clicks } from './clicks.ts';
import type { Database, Snapshot } from './database.ts';
import { openDatabase } from './open.ts';
import { fromRow, LINK_COLUMNS, toRecord, toRow } from './record.ts';
import type { ChangeKind, Tables } from './schema.ts';

/** Who makes a change: empty strings for the command line. */
export interface Actor {
  readonly login: string;
  readonly node: string;
}

export interface StoreOptions {
  /** Path of a SQLite file, `:memory:`, or a `postgres://` address. */
  readonly database: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told of errors of the background flush, and how far a long upgrade is. */
  readonly log: (message: string) => void;
  /** Count clicks by caller as well. */
  readonly countVisitors?: boolean;
}

/** A link before and after; one of them may be missing. */
export interface Difference {
  readonly before: Link | undefined;
  readonly after: Link | undefined;
}

/** At most this much of the click counts is lost when the process is killed. */
const FLUSH_INTERVAL_MS = 5_000;
/** Another process may hold the database for so long before a change is refused. */
const MAX_WAIT_MS = 10_000;
/** What was deleted can be restored for so long, in seconds. */
export const KEPT_DELETED_S: number = 30 * 86_400;
/** Each keeps a connection and what has changed since. */
const MAX_SNAPSHOTS = 4;
const PURGE_EVERY = 60;
/** Of old links at once. */
const PURGED = 500;

export class Store implements AsyncDisposable {
  readonly database: Database;
  readonly clicks: Clicks;
  readonly #options: StoreOptions;
  #queue: Promise<unknown> = Promise.resolve();
  #flushed: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #flushes = 0;
  #closed = false;
  readonly #snapshots: Set<Snapshot> = new Set();
  /** Those who wait for one of the snapshots to end. */
  readonly #waiting: (() => void)[] = [];
  #changes = 0;
  /** Of the transaction that is under way. */
  #renames: { readonly from: string; readonly to: string }[] = [];

  private constructor(options: StoreOptions, database: Database) {
    this.#options = options;
    this.database = database;
    this.clicks = new Clicks(database, options.now, options.countVisitors ?? false);
  }

  /** Throws GolinkError ERR_DATABASE, ERR_DATABASE_CORRUPT or ERR_DATABASE_FOREIGN. */
  static async open(options: StoreOptions): Promise<Store> {
    const store = new Store(options, await openDatabase(options.database, options.log));
    let isMaintained = true;
    store.#timer = setInterval(() => {
      if (!isMaintained) return;
      isMaintained = false;
      store
        .#maintain()
        .catch((error: Error) => {
          if (!store.#closed) options.log(error.message);
        })
        .finally(() => {
          isMaintained = true;
        });
    }, FLUSH_INTERVAL_MS);
    store.#timer.unref();
    return store;
  }

  /** Grows with every change made through this store. */
  get changes(): number {
    return this.#changes;
  }

  /** Milliseconds since the epoch. */
  now(): number {
    return this.#options.now();
  }

  /** By ID, or the ID of another name; without waiting where the database is a file. Throws GolinkError. */
  find(id: string): Link | undefined | Promise<Link | undefined> {
    if (this.#closed) throw closed();
    try {
      const found = this.database.find(id);
      return found instanceof Promise
        ? found.catch((error: unknown) => {
            throw this.database.error(error);
          })
        : found;
    } catch (error) {
      throw this.database.error(error);
    }
  }

  /** Reads; its errors become GolinkError. */
  async read<T>(query: (db: Database['reader'], kind: Database['kind']) => Promise<T>): Promise<T> {
    if (this.#closed) throw closed();
    try {
      return await query(this.database.reader, this.database.kind);
    } catch (error) {
      throw this.database.error(error);
    }
  }

  /**
   * Reads at length from one moment's state; its errors become GolinkError. A few may do so at a time, the others wait.
   * What `work` yields is passed on; whoever takes it may stop early.
   */
  async *readLong<T>(work: (db: Database['reader']) => AsyncGenerator<T>): AsyncGenerator<T> {
    while (this.#snapshots.size >= MAX_SNAPSHOTS && !this.#closed)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#closed) throw closed();
    let snapshot: Snapshot | undefined;
    // Its place is taken at once.
    const place: Snapshot = { db: this.database.reader, close: async () => snapshot?.close() };
    this.#snapshots.add(place);
    try {
      snapshot = await this.database.snapshot();
      for await (const part of work(snapshot.db)) yield part;
    } catch (error) {
      throw this.#closed ? closed() : this.database.error(error);
    } finally {
      this.#snapshots.delete(place);
      this.#waiting.shift()?.();
      await snapshot?.close();
    }
  }

  /**
   * Replaces, creates (`before` undefined), renames (another ID) or deletes (undefined returned) one link. What `decide`
   * throws leaves everything as it was. Resolves once the change is on disk. The version is set here. Throws GolinkError
   * ERR_TAKEN when another link has one of the names.
   */
  change(
    id: string,
    actor: Actor,
    decide: (before: Link | undefined) => Link | undefined,
    kind?: ChangeKind,
  ): Promise<Link | undefined> {
    return this.write(async (tx) => {
      const before = await living(tx, id);
      const next = decide(before);
      if (next === undefined && before === undefined) return undefined;
      const revived = kind === 'restore' ? id : undefined;
      const after = await this.apply(tx, { before, after: next }, actor, revived);
      const done =
        kind ??
        (after === undefined
          ? 'delete'
          : before === undefined
            ? 'create'
            : before.id === after.id
              ? 'update'
              : 'rename');
      await this.record(tx, done, actor, [{ before, after }]);
      return after;
    });
  }

  /**
   * Adds links whose names are free, in one transaction; the others are left alone. Gives those that were added, as they
   * were written: without other names that are taken.
   */
  async addMissing(links: readonly Link[], actor: Actor): Promise<ReadonlyMap<Link, Link>> {
    const added = await this.write(async (tx) => {
      const wanted = new Map<string, Link>();
      for (const link of links) if (!wanted.has(link.id)) wanted.set(link.id, link);
      const { taken, deleted } = await this.#taken(tx, [...wanted.keys()]);
      for (const id of taken) wanted.delete(id);
      const asked = [...wanted.values()];
      if (asked.length === 0) return new Map<Link, Link>();
      const fresh = await this.#withFreeAliases(tx, asked);
      const gone = await this.#forgetDeleted(
        tx,
        deleted.filter((id) => wanted.has(id)),
      );
      const rows = fresh.map((link) => toRow(link, (gone.get(link.id) ?? 0) + 1));
      // In the order of the indexes over names.
      rows.sort((a, b) => (a.short < b.short ? -1 : 1));
      await this.database.insertMany(tx, 'links', rows);
      await addToTotal(tx, fresh.length);
      for (const link of fresh) if (link.aliases.length > 0) await setAliases(tx, undefined, link);
      await this.record(
        tx,
        'import',
        actor,
        fresh.map((after) => ({ before: undefined, after })),
      );
      return new Map(asked.map((link, i) => [link, fresh[i]!]));
    });
    await this.database.settle();
    return added;
  }

  async #withFreeAliases(tx: Transaction<Tables>, links: readonly Link[]): Promise<Link[]> {
    const ids = links.flatMap(({ aliases }) => aliases.map(linkId));
    if (ids.length === 0) return [...links];
    const taken = new Set([...(await this.#taken(tx, ids)).taken, ...links.map(({ id }) => id)]);
    return links.map((link) => {
      const aliases = link.aliases.filter((alias) => {
        const isFree = !taken.has(linkId(alias));
        taken.add(linkId(alias));
        return isFree;
      });
      return aliases.length === link.aliases.length ? link : { ...link, aliases };
    });
  }

  /**
   * Brings one link from `before` to `after` inside a transaction, without an event; gives it as it is now. Its version
   * is set here, and never one that a deleted link of that name had. `revived`: ID of a deleted link whose clicks go
   * with it. Throws ERR_TAKEN.
   */
  async apply(
    tx: Transaction<Tables>,
    { before, after }: Difference,
    actor: Actor,
    revived?: string,
  ): Promise<Link | undefined> {
    if (after === undefined) {
      const deleted = Math.floor(this.now() / 1000);
      await tx
        .updateTable('links')
        .set({ deleted, deleted_by: actor.login, version: before!.version + 1 })
        .where('id', '=', before!.id)
        .execute();
      await addToTotal(tx, -1);
      await setAliases(tx, before, undefined);
      return undefined;
    }
    const old = before ?? (revived === undefined ? undefined : await deletedRow(tx, revived));
    if (before === undefined) {
      await refuseTaken(tx, after.id, after.short, old?.id);
      await addToTotal(tx, 1);
    }
    let version = old?.version ?? 0;
    if (old?.id !== after.id) {
      if (old !== undefined) await refuseTaken(tx, after.id, after.short, old.id);
      const gone = await this.#forgetDeleted(tx, [after.id]);
      version = Math.max(version, gone.get(after.id) ?? 0);
      if (old !== undefined) await this.#move(tx, old.id, after.id);
    }
    const link = { ...after, version: version + 1 };
    if (old === undefined) await tx.insertInto('links').values(toRow(link)).execute();
    else
      await tx
        .updateTable('links')
        .set({ ...toRow(link), deleted: null, deleted_by: '' })
        .where('id', '=', link.id)
        .execute();
    await setAliases(tx, before, link);
    return link;
  }

  async record(
    tx: Transaction<Tables>,
    kind: ChangeKind,
    actor: Actor,
    differences: readonly Difference[],
  ): Promise<void> {
    const at = this.now();
    const rows = differences.map(({ before, after }) => ({
      at,
      kind,
      link_id: (after ?? before)!.id,
      actor: actor.login,
      actor_node: actor.node,
      before: before === undefined ? null : toRecord(before),
      after: after === undefined ? null : toRecord(after),
    }));
    await this.database.insertMany(tx, 'changes', rows);
  }

  /** One transaction at a time, in order; run again when another process was in the way. */
  write<T>(work: (tx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.#enqueue(async () => {
      this.#renames = [];
      const result = await this.database.db.transaction().execute(async (tx) => {
        await this.database.lock(tx);
        return work(tx);
      });
      this.database.committed();
      this.#changes++;
      for (const { from, to } of this.#renames) this.clicks.renamed(from, to);
      return result;
    });
  }

  /** Writes the counts not yet on disk. Changes have their turn in between. */
  flush(): Promise<void> {
    if (this.#closed) return Promise.reject(closed());
    const flushed = this.#flushed.then(() =>
      this.clicks.flush((work) => this.#enqueueUnchecked(work)),
    );
    this.#flushed = flushed.catch(() => {});
    return flushed;
  }

  /** A secret kept with the data, made when first asked for. */
  async secret(name: string, length: number): Promise<Uint8Array> {
    const row = await this.write(async (tx) => {
      await tx
        .insertInto('settings')
        .values({ name, value: randomBytes(length).toString('base64url') })
        .onConflict((conflict) => conflict.column('name').doNothing())
        .execute();
      return tx
        .selectFrom('settings')
        .select('value')
        .where('name', '=', name)
        .executeTakeFirstOrThrow();
    });
    return Buffer.from(row.value, 'base64url');
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    clearInterval(this.#timer);
    this.clicks.hurry();
    const flushed = this.flush();
    this.#closed = true;
    try {
      await flushed.finally(() => this.#queue);
      for (const wake of this.#waiting.splice(0)) wake();
      for (const snapshot of this.#snapshots) await snapshot.close();
    } finally {
      await this.database.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The history and the clicks go with the name. */
  async #move(tx: Transaction<Tables>, from: string, to: string): Promise<void> {
    await tx.updateTable('links').set({ id: to }).where('id', '=', from).execute();
    for (const table of ['changes', 'stats', 'visitors', 'aliases'] as const)
      await tx.updateTable(table).set({ link_id: to }).where('link_id', '=', from).execute();
    this.#renames.push({ from, to });
  }

  /** Which of the IDs are names or other names of links, and which those of deleted links. */
  async #taken(
    tx: Transaction<Tables>,
    ids: readonly string[],
  ): Promise<{ readonly taken: readonly string[]; readonly deleted: readonly string[] }> {
    const links = await tx
      .selectFrom('links')
      .select(['id', 'deleted'])
      .where(this.database.among('id', ids))
      .execute();
    const aliases = await tx
      .selectFrom('aliases')
      .select('id')
      .where(this.database.among('id', ids))
      .execute();
    const living = links.filter(({ deleted }) => deleted === null);
    return {
      taken: [...living, ...aliases].map(({ id }) => id),
      deleted: links.filter(({ deleted }) => deleted !== null).map(({ id }) => id),
    };
  }

  /** Rows of deleted links that are in the way of a new one, or too old; the history stays. Gives their versions. */
  async #forgetDeleted(
    tx: Transaction<Tables>,
    ids: readonly string[],
  ): Promise<ReadonlyMap<string, number>> {
    if (ids.length === 0) return new Map();
    const gone = await tx
      .deleteFrom('links')
      .where(this.database.among('id', ids))
      .where('deleted', 'is not', null)
      .returning(['id', 'version'])
      .execute();
    const versions = new Map(gone.map(({ id, version }) => [id, version]));
    if (gone.length === 0) return versions;
    const among = this.database.among('link_id', [...versions.keys()]);
    for (const table of ['stats', 'visitors'] as const)
      await tx.deleteFrom(table).where(among).execute();
    return versions;
  }

  async #maintain(): Promise<void> {
    await this.flush();
    if (this.#flushes++ % PURGE_EVERY !== 0) return;
    await this.write(async (tx) => {
      const before = Math.floor(this.now() / 1000) - KEPT_DELETED_S;
      const old = await tx
        .selectFrom('links')
        .select('id')
        .where('deleted', '<', before)
        .limit(PURGED)
        .execute();
      if (old.length > 0)
        await this.#forgetDeleted(
          tx,
          old.map(({ id }) => id),
        );
    });
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    return this.#closed ? Promise.reject(closed()) : this.#enqueueUnchecked(work);
  }

  /** Also while closing. */
  #enqueueUnchecked<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue
      .then(() => this.#retry(work))
      .catch((error: unknown) => {
        throw this.database.error(error);
      });
    this.#queue = done.catch(() => {});
    return done;
  }

  /** Another process is writing: the transaction was rolled back, or has not begun, and may run again. */
  async #retry<T>(work: () => Promise<T>): Promise<T> {
    const until = performance.now() + MAX_WAIT_MS;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (performance.now() > until || !this.database.isConflict(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 2 + Math.random() * 10));
      }
    }
  }
}

function closed(): GolinkError {
  return new GolinkError('ERR_CLOSED', 'golink has been closed.');
}

export async function living(tx: Transaction<Tables>, id: string): Promise<Link | undefined> {
  const row = await tx
    .selectFrom('links')
    .select(LINK_COLUMNS)
    .where('id', '=', id)
    .where('deleted', 'is', null)
    .executeTakeFirst();
  return row && fromRow(row);
}

async function deletedRow(tx: Transaction<Tables>, id: string): Promise<Link | undefined> {
  const row = await tx
    .selectFrom('links')
    .select(LINK_COLUMNS)
    .where('id', '=', id)
    .where('deleted', 'is not', null)
    .executeTakeFirst();
  return row && fromRow(row);
}

/** How many links there are is kept, so that nobody has to count them. */
async function addToTotal(tx: Transaction<Tables>, links: number): Promise<void> {
  await tx
    .updateTable('totals')
    .set((eb) => ({ n: eb('n', '+', links) }))
    .where('name', '=', 'links')
    .execute();
}

async function refuseTaken(
  tx: Transaction<Tables>,
  id: string,
  short: string,
  owner: string | undefined,
): Promise<void> {
  if (id !== owner && (await living(tx, id)) !== undefined)
    throw new GolinkError('ERR_TAKEN', `${short} exists already.`);
  const alias = await tx
    .selectFrom('aliases')
    .innerJoin('links', 'links.id', 'aliases.link_id')
    .select(['links.id', 'links.short'])
    .where('aliases.id', '=', id)
    .executeTakeFirst();
  if (alias !== undefined && alias.id !== owner)
    throw new GolinkError('ERR_TAKEN', `${short} is another name of ${alias.short}.`);
}

async function setAliases(
  tx: Transaction<Tables>,
  before: Link | undefined,
  after: Link | undefined,
): Promise<void> {
  const old = (before?.aliases ?? []).map(linkId);
  const wanted = new Map((after?.aliases ?? []).map((short) => [linkId(short), short]));
  const gone = old.filter((id) => !wanted.has(id));
  if (gone.length > 0)
    await tx
      .deleteFrom('aliases')
      .where('id', 'in', gone)
      .where('link_id', '=', (after ?? before!).id)
      .execute();
  if (after === undefined) return;
  for (const [id, short] of wanted) {
    await refuseTaken(tx, id, short, after.id);
    if (id === after.id) throw new GolinkError('ERR_TAKEN', `${short} is the link's own name.`);
    await tx
      .insertInto('aliases')
      .values({ id, link_id: after.id })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ link_id: after.id }))
      .execute();
  }
}
