// Links, their changes and their clicks. All links are in memory for reading; every change goes through one queue
// and is on disk, with its event, before it is seen in memory or answered.
import { randomBytes } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import { databaseError, type OpenDatabase, openDatabase } from './database.ts';
import { GolinkError } from './errors.ts';
import { type Link, linkJson } from './links.ts';
import type { ChangeKind, Tables } from './schema.ts';

/** Who makes a change: empty strings for the command line. */
export interface Actor {
  readonly login: string;
  readonly node: string;
}

export interface Change {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: ChangeKind;
  readonly actor: string;
  readonly actorNode: string;
  /** The link as JSON, as in snapshots; null where there was none. */
  readonly before: string | null;
  readonly after: string | null;
}

export interface StoreOptions {
  readonly file: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told of errors of the background flush. */
  readonly log: (message: string) => void;
}

/** At most this much of the click counts is lost when the process is killed. */
const FLUSH_INTERVAL_MS = 5_000;
/** Clicks of one such period share a row. */
const STATS_PERIOD_S = 60;

export class Store {
  readonly #options: StoreOptions;
  readonly #database: OpenDatabase;
  readonly #links: Map<string, Link> = new Map();
  readonly #clicks: Map<string, number> = new Map();
  #unflushed: Map<string, number> = new Map();
  #period = Number.NEGATIVE_INFINITY;
  #version = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: StoreOptions, database: OpenDatabase) {
    this.#options = options;
    this.#database = database;
  }

  /** Throws GolinkError ERR_DATABASE, ERR_DATABASE_CORRUPT or ERR_DATABASE_FOREIGN. */
  static async open(options: StoreOptions): Promise<Store> {
    const store = new Store(options, await openDatabase(options.file));
    await store.#enqueue(() => store.#load());
    store.#timer = setInterval(() => {
      store.flush().catch((error: Error) => options.log(error.message));
    }, FLUSH_INTERVAL_MS);
    store.#timer.unref();
    return store;
  }

  get links(): ReadonlyMap<string, Link> {
    return this.#links;
  }

  clicks(id: string): number {
    return this.#clicks.get(id) ?? 0;
  }

  /** Counts one visit. */
  count(id: string): void {
    this.#clicks.set(id, (this.#clicks.get(id) ?? 0) + 1);
    this.#unflushed.set(id, (this.#unflushed.get(id) ?? 0) + 1);
  }

  /**
   * Replaces, creates (`before` undefined) or deletes (undefined returned) one link. What `decide` throws leaves
   * everything as it was. Resolves once the change is on disk.
   */
  change(
    id: string,
    actor: Actor,
    decide: (before: Link | undefined) => Link | undefined,
  ): Promise<Link | undefined> {
    return this.#enqueue(async () => {
      const after = await this.#db.transaction().execute(async (tx) => {
        const row = await tx
          .selectFrom('links')
          .selectAll()
          .where('id', '=', id)
          .executeTakeFirst();
        const before = row === undefined ? undefined : fromRow(row);
        const next = decide(before);
        if (next === undefined && before === undefined) return undefined;
        await tx.deleteFrom('links').where('id', '=', id).execute();
        if (next === undefined) await tx.deleteFrom('stats').where('link_id', '=', id).execute();
        else await tx.insertInto('links').values(toRow(next)).execute();
        const kind = next === undefined ? 'delete' : before === undefined ? 'create' : 'update';
        await this.#record(tx, kind, actor, [{ before, after: next }]);
        return next;
      });
      if (after !== undefined) this.#links.set(id, after);
      else {
        this.#links.delete(id);
        this.#clicks.delete(id);
        this.#unflushed.delete(id);
      }
      return after;
    });
  }

  /** Adds links whose names are free, in one transaction; the others are left alone. Says which were added. */
  addMissing(links: readonly Link[], actor: Actor): Promise<ReadonlySet<Link>> {
    return this.#enqueue(async () => {
      await this.#reloadIfChanged();
      const added = new Map<string, Link>();
      for (const link of links) {
        if (!this.#links.has(link.id) && !added.has(link.id)) added.set(link.id, link);
      }
      const fresh = [...added.values()];
      if (fresh.length > 0) {
        await this.#db.transaction().execute(async (tx) => {
          await tx.insertInto('links').values(fresh.map(toRow)).execute();
          await this.#record(
            tx,
            'import',
            actor,
            fresh.map((after) => ({ before: undefined, after })),
          );
        });
        for (const link of fresh) this.#links.set(link.id, link);
      }
      return new Set(fresh);
    });
  }

  /** The latest changes of one link, newest first. */
  async changes(id: string, limit: number): Promise<readonly Change[]> {
    const rows = await this.#db
      .selectFrom('changes')
      .selectAll()
      .where('link_id', '=', id)
      .orderBy('seq', 'desc')
      .limit(limit)
      .execute();
    return rows.map((row) => ({
      at: row.at,
      kind: row.kind,
      actor: row.actor,
      actorNode: row.actor_node,
      before: row.before,
      after: row.after,
    }));
  }

  /** Clicks by period, oldest first. Counts not yet written are written first. */
  async stats(): Promise<
    readonly { readonly id: string; readonly at: number; readonly clicks: number }[]
  > {
    await this.flush();
    const rows = await this.#db
      .selectFrom('stats')
      .selectAll()
      .orderBy('at')
      .orderBy('link_id')
      .execute();
    return rows.map((row) => ({ id: row.link_id, at: row.at, clicks: row.clicks }));
  }

  /** Writes the counts not yet on disk; takes over what other processes wrote to the file. */
  flush(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#writeClicks();
      await this.#reloadIfChanged();
    });
  }

  /** A secret kept with the data, made when first asked for. */
  secret(name: string, length: number): Promise<Uint8Array> {
    return this.#enqueue(async () => {
      await this.#db
        .insertInto('settings')
        .values({ name, value: randomBytes(length).toString('base64url') })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      const row = await this.#db
        .selectFrom('settings')
        .select('value')
        .where('name', '=', name)
        .executeTakeFirstOrThrow();
      return Buffer.from(row.value, 'base64url');
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    clearInterval(this.#timer);
    const flushed = this.flush();
    this.#closed = true;
    try {
      await flushed;
    } finally {
      await this.#db.destroy();
    }
  }

  get #db(): Kysely<Tables> {
    return this.#database.db;
  }

  /** One piece of work at a time, in order. */
  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed)
      return Promise.reject(new GolinkError('ERR_CLOSED', 'golink has been closed.'));
    const done = this.#queue
      .then(() => retryWhenBusy(work))
      .catch((error: unknown) => {
        throw databaseError(error, this.#options.file);
      });
    this.#queue = done.catch(() => {});
    return done;
  }

  async #record(
    tx: Transaction<Tables>,
    kind: ChangeKind,
    actor: Actor,
    changes: readonly { readonly before: Link | undefined; readonly after: Link | undefined }[],
  ): Promise<void> {
    const rows = changes.map(({ before, after }) => ({
      at: this.#options.now(),
      kind,
      link_id: (after ?? before)!.id,
      actor: actor.login,
      actor_node: actor.node,
      before: before === undefined ? null : linkJson(before),
      after: after === undefined ? null : linkJson(after),
    }));
    await tx.insertInto('changes').values(rows).execute();
  }

  async #writeClicks(): Promise<void> {
    if (this.#unflushed.size === 0) return;
    const now = Math.floor(this.#options.now() / 1000);
    if (now - this.#period >= STATS_PERIOD_S || now < this.#period) this.#period = now;
    const batch = this.#unflushed;
    this.#unflushed = new Map();
    try {
      await this.#db.transaction().execute(async (tx) => {
        for (const [id, clicks] of batch) {
          // A link deleted meanwhile leaves no clicks behind.
          if (!this.#links.has(id)) continue;
          await tx
            .insertInto('stats')
            .values({ link_id: id, at: this.#period, clicks })
            .onConflict((conflict) =>
              conflict
                .columns(['link_id', 'at'])
                .doUpdateSet((eb) => ({ clicks: eb('stats.clicks', '+', clicks) })),
            )
            .execute();
        }
      });
    } catch (error) {
      for (const [id, clicks] of batch)
        this.#unflushed.set(id, (this.#unflushed.get(id) ?? 0) + clicks);
      throw error;
    }
  }

  async #reloadIfChanged(): Promise<void> {
    if (this.#database.dataVersion() !== this.#version) await this.#load();
  }

  async #load(): Promise<void> {
    this.#version = this.#database.dataVersion();
    const links = await this.#db.selectFrom('links').selectAll().execute();
    const sums = await this.#db
      .selectFrom('stats')
      .select(['link_id', (eb) => eb.fn.sum<number>('clicks').as('clicks')])
      .groupBy('link_id')
      .execute();
    const kept = new Set<string>();
    for (const row of links) {
      kept.add(row.id);
      this.#links.set(row.id, fromRow(row));
    }
    for (const id of this.#links.keys()) if (!kept.has(id)) this.#links.delete(id);
    this.#clicks.clear();
    for (const { link_id, clicks } of sums) this.#clicks.set(link_id, Number(clicks));
    for (const [id, clicks] of this.#unflushed) this.#clicks.set(id, this.clicks(id) + clicks);
  }
}

/** Another process wrote between our reading and writing: the transaction was rolled back and may run again. */
async function retryWhenBusy<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 10; ; left--) {
    try {
      return await work();
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (left === 0 || typeof code !== 'string' || !code.startsWith('SQLITE_BUSY')) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

function toRow(link: Link): Tables['links'] {
  const { id, short, long, owner, created, lastEdit } = link;
  return { id, short, long, owner, created, last_edit: lastEdit };
}

function fromRow(row: Tables['links']): Link {
  const { id, short, long, owner, created, last_edit } = row;
  return { id, short, long, owner, created, lastEdit: last_edit };
}
