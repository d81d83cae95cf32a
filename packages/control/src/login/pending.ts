// Logins that wait for somebody's approval: in memory only, for a quarter of an hour, the oldest making room.
import { randomBytes } from 'node:crypto';
import type { MachinePublic, NodePublic } from '@cove/protocol/keys';
import type { Hostinfo } from '@cove/protocol/tailcfg';

export const PENDING_LIFETIME_MS: number = 15 * 60_000;
const MAX_PENDING = 1024;
/** As many as one source may hold connections of strangers: it cannot make the logins of others give way. */
const MAX_PER_SOURCE = 64;
/** Requests held for one login; a client has one, and briefly two after a lost connection. */
const MAX_WAITERS = 8;

/** What came of a login: a node now exists, or somebody said no, or nobody said anything in time. */
export type PendingOutcome = 'approved' | 'denied' | 'expired';

export interface PendingLogin {
  readonly id: string;
  readonly machineKey: MachinePublic;
  /** Where it was asked for, as admission counts; undefined: not counted. */
  readonly source: string | undefined;
  readonly nodeKey: NodePublic;
  readonly oldNodeKey: NodePublic | undefined;
  readonly nlKey: string | undefined;
  readonly hostinfo: Hostinfo;
  readonly ephemeral: boolean;
  readonly capVersion: number;
  readonly created: number;
  readonly expires: number;
  /** Refused; kept until it expires, so that the client is told rather than given another URL. */
  denied: boolean;
  readonly waiters: Set<(outcome: PendingOutcome) => void>;
}

export class PendingLogins {
  readonly #byId = new Map<string, PendingLogin>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The login waiting for this machine and node key, made if there is none. */
  begin(
    request: Omit<PendingLogin, 'id' | 'created' | 'expires' | 'denied' | 'waiters'>,
  ): PendingLogin {
    this.expire();
    for (const login of this.#byId.values()) {
      if (login.machineKey !== request.machineKey) continue;
      if (login.nodeKey === request.nodeKey && !login.denied) return login;
      // A machine that asks anew has given up what it asked before.
      if (!login.denied) this.#settle(login, 'expired');
    }
    const { source } = request;
    if (source !== undefined) {
      const near = [...this.#byId.values()].filter((login) => login.source === source);
      if (near.length >= MAX_PER_SOURCE) this.#evict(near[0]!);
    }
    if (this.#byId.size >= MAX_PENDING) this.#evict(this.#byId.values().next().value!);
    const created = this.#now();
    const login: PendingLogin = {
      ...request,
      id: randomBytes(8).toString('hex'),
      created,
      expires: created + PENDING_LIFETIME_MS,
      denied: false,
      waiters: new Set(),
    };
    this.#byId.set(login.id, login);
    return login;
  }

  get(id: string): PendingLogin | undefined {
    this.expire();
    return this.#byId.get(id);
  }

  list(): PendingLogin[] {
    this.expire();
    return [...this.#byId.values()].filter((login) => !login.denied);
  }

  /** Calls back once with the outcome. The returned function calls it off. */
  wait(login: PendingLogin, callback: (outcome: PendingOutcome) => void): () => void {
    if (login.waiters.size >= MAX_WAITERS) {
      const oldest = login.waiters.values().next().value!;
      login.waiters.delete(oldest);
      oldest('expired');
    }
    login.waiters.add(callback);
    return () => login.waiters.delete(callback);
  }

  approve(login: PendingLogin): void {
    this.#settle(login, 'approved');
  }

  deny(login: PendingLogin): void {
    login.denied = true;
    this.#tell(login, 'denied');
  }

  /** Ends what is too old. */
  expire(): void {
    const now = this.#now();
    for (const login of this.#byId.values()) {
      if (login.expires > now) break;
      this.#settle(login, 'expired');
    }
  }

  /** Its client, when told, asks anew at once: not before the one that needs the room has it. */
  #evict(login: PendingLogin): void {
    this.#byId.delete(login.id);
    queueMicrotask(() => this.#tell(login, 'expired'));
  }

  #settle(login: PendingLogin, outcome: PendingOutcome): void {
    this.#byId.delete(login.id);
    this.#tell(login, outcome);
  }

  #tell(login: PendingLogin, outcome: PendingOutcome): void {
    const waiters = [...login.waiters];
    login.waiters.clear();
    for (const waiter of waiters) waiter(outcome);
  }

  clear(): void {
    for (const login of [...this.#byId.values()]) this.#settle(login, 'expired');
  }
}
