// Mutations: each changes the tailnet in memory and writes its rows and its event; all that arrive within one turn of
// the loop (longer while they keep coming) share one transaction, hence one wait for the disk. Memory, commit and
// answer are one uninterrupted step, so nobody is told of what is not on disk. If the commit fails, memory is loaded
// again from the tables.
import type { CompiledQuery } from 'kysely';
import { type Database, sql } from '../database/database.ts';
import { ControlError } from '../errors.ts';
import { loadTailnet, updateCounters, updateNode } from './rows.ts';
import type { NodeState, Tailnet } from './tailnet.ts';

/** How long mutations are gathered while a transaction ended less than this ago. */
const GATHER_MS = 4;

export interface Transaction {
  readonly tailnet: Tailnet;
  /** Wall clock. */
  readonly now: number;
  write(query: CompiledQuery): void;
  /** Adds a row to the audit log. `data` must hold no secret. */
  event(
    actor: string,
    kind: string,
    subject: string,
    data?: Readonly<Record<string, unknown>>,
  ): void;
  /** Runs when the transaction is on disk, before the mutation's caller hears of it. */
  after(action: () => void): void;
}

interface Pending {
  readonly run: (tx: Transaction) => void;
  readonly settle: () => void;
  readonly fail: (error: unknown) => void;
}

export class Journal {
  #tailnet: Tailnet;
  readonly #database: Database;
  readonly #now: () => number;
  readonly #onReset: (reason: ControlError) => void;
  readonly #reported = new Set<NodeState>();
  #pending: Pending[] = [];
  /** Calls off the commit that is due. */
  #cancel: (() => void) | undefined;
  #committed = 0;
  #closed = false;
  commits = 0;

  /** onReset: the tailnet is another object from now on, everything derived from the old one is void. */
  constructor(options: {
    readonly database: Database;
    readonly tailnet: Tailnet;
    readonly now: () => number;
    readonly onReset: (reason: ControlError) => void;
  }) {
    this.#database = options.database;
    this.#tailnet = options.tailnet;
    this.#now = options.now;
    this.#onReset = options.onReset;
  }

  get tailnet(): Tailnet {
    return this.#tailnet;
  }

  /**
   * Queues a mutation. `run` checks everything before it changes anything: what it throws before its first write only
   * rejects this promise. Rejects with ERR_DATABASE_IO when the commit failed, ERR_CLOSED after close.
   */
  mutate<T>(run: (tx: Transaction) => T): Promise<T> {
    if (this.#closed) return Promise.reject(new ControlError('ERR_CLOSED', 'server closed'));
    return new Promise<T>((resolve, reject) => {
      let result: T;
      this.#pending.push({
        run: (tx) => {
          result = run(tx);
        },
        settle: () => resolve(result),
        fail: reject,
      });
      if (this.#cancel !== undefined) return;
      if (performance.now() - this.#committed > GATHER_MS) {
        const timer = setImmediate(() => this.#commit());
        this.#cancel = () => clearImmediate(timer);
      } else {
        const timer = setTimeout(() => this.#commit(), GATHER_MS);
        this.#cancel = () => clearTimeout(timer);
      }
    });
  }

  /** The node reported something; it is stored with the next mutation or flushReported. */
  reported(node: NodeState): void {
    this.#reported.add(node);
  }

  /** Stores what nodes reported. No event: presence and endpoints are no decisions. */
  flushReported(): void {
    if (this.#reported.size > 0 && this.#pending.length === 0)
      this.mutate(() => {}).catch(() => {});
  }

  #commit(): void {
    this.#cancel = undefined;
    const batch = this.#pending;
    this.#pending = [];
    const tailnet = this.#tailnet;
    const now = this.#now();
    const writes: CompiledQuery[] = [];
    const actions: (() => void)[] = [];
    const done: Pending[] = [];
    const tx: Transaction = {
      tailnet,
      now,
      write: (query) => {
        writes.push(query);
      },
      event: (actor, kind, subject, data = {}) => {
        const seq = ++tailnet.lastEventSeq;
        writes.push(
          sql
            .insertInto('events')
            .values({
              tailnet_id: tailnet.id,
              seq,
              at: now,
              actor,
              kind,
              subject,
              data: JSON.stringify(data),
            })
            .compile(),
        );
      },
      after: (action) => {
        actions.push(action);
      },
    };
    try {
      for (const mutation of batch) {
        const before = writes.length;
        try {
          mutation.run(tx);
          done.push(mutation);
        } catch (error) {
          if (writes.length !== before) throw error;
          mutation.fail(error);
        }
      }
      for (const node of this.#reported) {
        if (tailnet.nodes.get(node.id) === node) writes.push(updateNode(tailnet.id, node));
      }
      if (writes.length > 0) {
        writes.push(updateCounters(tailnet));
        this.#database.commit(writes);
        this.commits++;
      }
      this.#reported.clear();
    } catch (cause) {
      this.#reset(batch, cause);
      return;
    }
    this.#committed = performance.now();
    for (const action of actions) action();
    for (const mutation of done) mutation.settle();
  }

  #reset(batch: readonly Pending[], cause: unknown): void {
    const error =
      cause instanceof ControlError && cause.code === 'ERR_DATABASE_IO'
        ? cause
        : new ControlError('ERR_DATABASE_IO', 'the change could not be stored', { cause });
    this.#reported.clear();
    const id = this.#tailnet.id;
    try {
      this.#tailnet = loadTailnet(this.#database, id) ?? this.#tailnet;
    } finally {
      this.#onReset(error);
      for (const mutation of batch) mutation.fail(error);
    }
  }

  /** Commits what is queued; later mutations are refused. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel?.();
    if (this.#pending.length > 0 || this.#reported.size > 0) this.#commit();
  }
}
