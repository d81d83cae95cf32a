// Clicks: counted in memory, written every few seconds and on closing. Also names that nobody has made, and, only where
// it is switched on, who followed what.
import { sql } from 'kysely';
import { keepable } from '../links.ts';
import type { Database } from './database.ts';
import { Runs } from './runs.ts';

/** Clicks of one such period share a row, in seconds. */
const PERIOD_S = 60;
export const DAY_S = 86_400;
/** Links of one statement of a flush: visits wait for it. */
const BATCH = 100;
/** Links of one transaction of a flush: for its end they wait, too. */
const PART = 200;
/** After each part visits have as much time as it took, up to here; in long flushes no more, so that counts do not pile up. */
const MAX_REST_MS = 50;
const RESTING_MS = 5_000;
/** Missing names remembered between two flushes, and the longest of them. */
const MAX_MISSING = 1_000;
const MAX_MISSING_NAME = 100;
/** Missing names of one day. */
const MAX_MISSING_A_DAY = 10_000;
/** Kept for so many days. */
const MISSING_DAYS = 90;
/** Rows in one part of an export. */
const EXPORTED = 2_000;

export interface StatsRow {
  readonly id: string;
  /** Seconds since the epoch. */
  readonly at: number;
  readonly clicks: number;
}

/** Runs work when it is its turn to write. */
export type Enqueue = <T>(work: () => Promise<T>) => Promise<T>;

interface Pending {
  clicks: number;
  /** By login; undefined unless visitors are counted. */
  readonly logins: Map<string, number> | undefined;
}

export class Clicks {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #countsVisitors: boolean;
  readonly #pending: Map<string, Pending> = new Map();
  /** In a transaction that is under way. */
  #writing: ReadonlyMap<string, Pending> = new Map();
  #missing: Map<string, number> = new Map();
  #period = Number.NEGATIVE_INFINITY;
  #purgedDay = 0;
  #isHurried = false;
  #endRest: (() => void) | undefined;
  /** All since the start. */
  total = 0;
  missed = 0;

  constructor(database: Database, now: () => number, countsVisitors: boolean) {
    this.#database = database;
    this.#now = now;
    this.#countsVisitors = countsVisitors;
  }

  get countsVisitors(): boolean {
    return this.#countsVisitors;
  }

  /** Counts one visit. `login`: of the caller, needed only where visitors are counted. */
  count(id: string, login?: string): void {
    this.total++;
    let pending = this.#pending.get(id);
    if (pending === undefined) {
      pending = { clicks: 0, logins: this.#countsVisitors ? new Map() : undefined };
      this.#pending.set(id, pending);
    }
    pending.clicks++;
    if (pending.logins !== undefined && login !== undefined && login !== '')
      pending.logins.set(login, (pending.logins.get(login) ?? 0) + 1);
  }

  /** Counts a visit to a name that no link has. */
  miss(name: string): void {
    this.missed++;
    if (name === '' || name.length > MAX_MISSING_NAME) return;
    const kept = keepable(name);
    const seen = this.#missing.get(kept);
    if (seen === undefined && this.#missing.size >= MAX_MISSING) return;
    this.#missing.set(kept, (seen ?? 0) + 1);
  }

  /** Counted and not yet written. */
  unwritten(id: string): number {
    return (this.#pending.get(id)?.clicks ?? 0) + (this.#writing.get(id)?.clicks ?? 0);
  }

  renamed(from: string, to: string): void {
    const pending = this.#pending.get(from);
    if (pending === undefined) return;
    this.#pending.delete(from);
    this.#pending.set(to, pending);
  }

  /** From now on a flush takes all the time it needs: nothing else is to be done. */
  hurry(): void {
    this.#isHurried = true;
    this.#endRest?.();
  }

  /**
   * Everything counted so far, in transactions of some links each, between which others have their turn; on failure what
   * is not written stays counted. One at a time.
   */
  async flush(enqueue: Enqueue): Promise<void> {
    const now = Math.floor(this.#now() / 1000);
    const day = now - (now % DAY_S);
    if (this.#pending.size === 0 && this.#missing.size === 0 && day === this.#purgedDay) return;
    if (now - this.#period >= PERIOD_S || now < this.#period) this.#period = now;
    // In the order of the table, so that a part touches few pages.
    const ids = await Runs.of(this.#pending.keys());
    const restless = performance.now() + RESTING_MS;
    for (;;) {
      const part = ids.take(PART);
      const isLast = ids.left === 0;
      const took = await enqueue(async () => {
        const began = performance.now();
        await this.#writePart(part, day, isLast);
        return performance.now() - began;
      });
      if (!this.#isHurried) await this.#database.settle();
      if (isLast) return;
      // Only a database in this process keeps visits waiting.
      const rests = this.#database.kind === 'sqlite' && performance.now() < restless;
      if (rests && !this.#isHurried) await this.#rest(took);
      else await new Promise(setImmediate);
    }
  }

  async #rest(took: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(took, MAX_REST_MS));
      this.#endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endRest = undefined;
  }

  async #writePart(ids: readonly string[], day: number, isLast: boolean): Promise<void> {
    const part = new Map<string, Pending>();
    for (const id of ids) {
      // Renamed meanwhile, if it is not there: it has its turn in the next flush.
      const pending = this.#pending.get(id);
      if (pending === undefined) continue;
      part.set(id, pending);
      this.#pending.delete(id);
    }
    const missing = isLast ? this.#missing : new Map<string, number>();
    if (isLast) this.#missing = new Map();
    this.#writing = part;
    try {
      await this.#write([...part], missing, day, isLast);
      this.#purgedDay = day;
    } catch (error) {
      for (const [id, pending] of part) this.#countAgain(id, pending);
      for (const [name, n] of missing) this.#missing.set(name, (this.#missing.get(name) ?? 0) + n);
      throw error;
    } finally {
      this.#writing = new Map();
    }
  }

  #countAgain(id: string, { clicks, logins }: Pending): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) {
      this.#pending.set(id, { clicks, logins });
      return;
    }
    pending.clicks += clicks;
    for (const [login, n] of logins ?? [])
      pending.logins?.set(login, (pending.logins.get(login) ?? 0) + n);
  }

  async #write(
    batch: readonly (readonly [string, Pending])[],
    missing: ReadonlyMap<string, number>,
    day: number,
    isLast: boolean,
  ): Promise<void> {
    await this.#database.count(async (tx) => {
      await this.#database.lock(tx);
      const counts: [string, number][] = [];
      const visits: [string, string, number][] = [];
      for (const [id, { clicks, logins }] of batch) {
        counts.push([id, clicks]);
        for (const [login, n] of logins ?? []) visits.push([id, login, n]);
      }
      for (let i = 0; i < counts.length; i += BATCH) {
        // A link deleted meanwhile leaves no clicks behind; one that was renamed elsewhere keeps them by its old name.
        const rows = this.#database.rows(counts.slice(i, i + BATCH));
        const sums = sql`select coalesce(
            (select link_id from aliases where aliases.id = value ->> 0), value ->> 0) as link_id,
          sum(cast(value ->> 1 as bigint)) as clicks from ${rows} group by 1`;
        await sql`update links set clicks = links.clicks + sums.clicks from (${sums}) as sums
          where links.id = sums.link_id and links.deleted is null`.execute(tx);
        await sql`insert into stats (link_id, at, clicks)
          select sums.link_id, ${sql.lit(this.#period)}, sums.clicks from (${sums}) as sums
          join links on links.id = sums.link_id where links.deleted is null
          on conflict (link_id, at) do update set clicks = stats.clicks + excluded.clicks`.execute(
          tx,
        );
        if (counts.length > BATCH) await new Promise(setImmediate);
      }
      for (let i = 0; i < visits.length; i += BATCH) {
        const rows = this.#database.rows(visits.slice(i, i + BATCH));
        const sums = sql`select coalesce(
            (select link_id from aliases where aliases.id = value ->> 0), value ->> 0) as link_id,
          value ->> 1 as login, sum(cast(value ->> 2 as bigint)) as clicks from ${rows} group by 1, 2`;
        await sql`insert into visitors (link_id, login, at, clicks)
          select sums.link_id, sums.login, ${sql.lit(day)}, sums.clicks from (${sums}) as sums
          join links on links.id = sums.link_id where links.deleted is null
          on conflict (link_id, at, login) do update set clicks = visitors.clicks + excluded.clicks`.execute(
          tx,
        );
      }
      const known =
        missing.size === 0
          ? 0
          : Number(
              (
                await tx
                  .selectFrom('missing')
                  .select((eb) => eb.fn.countAll().as('n'))
                  .where('at', '=', day)
                  .executeTakeFirstOrThrow()
              ).n,
            );
      for (const [name, n] of known >= MAX_MISSING_A_DAY ? [] : missing)
        await tx
          .insertInto('missing')
          .values({ name, at: day, visits: n })
          .onConflict((conflict) =>
            conflict
              .columns(['at', 'name'])
              .doUpdateSet((eb) => ({ visits: eb('missing.visits', '+', n) })),
          )
          .execute();
      if (day !== this.#purgedDay)
        await tx
          .deleteFrom('missing')
          .where('at', '<', day - MISSING_DAYS * DAY_S)
          .execute();
    }, isLast);
  }

  /** Rows of living links by period, oldest first, in parts. */
  async *export(
    db: Database['reader'] = this.#database.reader,
  ): AsyncGenerator<readonly StatsRow[]> {
    let last: { at: number; id: string } | undefined;
    for (;;) {
      const rows: StatsRow[] = await db
        .selectFrom('stats')
        .innerJoin('links', 'links.id', 'stats.link_id')
        .select(['stats.link_id as id', 'stats.at', 'stats.clicks'])
        .where('links.deleted', 'is', null)
        .$if(last !== undefined, (query) =>
          query.where(sql<boolean>`(stats.at, stats.link_id) > (${last!.at}, ${last!.id})`),
        )
        .orderBy('stats.at')
        .orderBy('stats.link_id')
        .limit(EXPORTED)
        .execute();
      if (rows.length === 0) return;
      yield rows;
      last = rows.at(-1);
    }
  }

  /** Clicks of one link, or of all, by day or hour; periods without clicks are left out. Oldest first. */
  async series(
    id: string | undefined,
    from: number,
    step: number,
  ): Promise<readonly { readonly at: number; readonly clicks: number }[]> {
    const bucket = sql<number>`at - (at % ${sql.lit(step)})`;
    return this.#database.reader
      .selectFrom('stats')
      .select((eb) => [bucket.as('at'), eb.fn.sum<number>('clicks').as('clicks')])
      .where('at', '>=', from)
      .$if(id !== undefined, (query) => query.where('link_id', '=', id!))
      .groupBy(bucket)
      .orderBy(bucket)
      .execute();
  }

  /** Names people looked for most since `from`. */
  async missing(
    from: number,
    limit: number,
  ): Promise<readonly { readonly name: string; readonly visits: number }[]> {
    return this.#database.reader
      .selectFrom('missing')
      .select((eb) => ['name', eb.fn.sum<number>('visits').as('visits')])
      .where('at', '>=', from)
      .groupBy('name')
      .orderBy('visits', 'desc')
      .orderBy('name')
      .limit(limit)
      .execute();
  }

  /** Who followed a link most since `from`. */
  async visitors(
    id: string,
    from: number,
    limit: number,
  ): Promise<readonly { readonly login: string; readonly clicks: number }[]> {
    return this.#database.reader
      .selectFrom('visitors')
      .select((eb) => ['login', eb.fn.sum<number>('clicks').as('clicks')])
      .where('link_id', '=', id)
      .where('at', '>=', from)
      .groupBy('login')
      .orderBy('clicks', 'desc')
      .orderBy('login')
      .limit(limit)
      .execute();
  }
}
