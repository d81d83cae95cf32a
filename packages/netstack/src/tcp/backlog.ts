// Half-open connections, bounded in number over all and per source (RFC 4987 3.2): a flood pushes out its own oldest
// first, so that it leaves room for others.
import type { Tcb } from './tcb.ts';

export class Backlog {
  readonly #limit: number;
  /** Of one source. */
  readonly #share: number;
  /** In order of arrival. */
  readonly #pending = new Set<Tcb>();
  readonly #perSource = new Map<number, number>();

  constructor(limit: number) {
    this.#limit = limit;
    this.#share = Math.max(1, Math.floor((limit * 2) / 3));
  }

  get size(): number {
    return this.#pending.size;
  }

  [Symbol.iterator](): Iterator<Tcb> {
    return this.#pending.values();
  }

  /** The half-open connection that must go to make room for one more from `source`, if any. */
  victim(source: number): Tcb | undefined {
    if ((this.#perSource.get(source) ?? 0) >= this.#share) {
      for (const tcb of this.#pending) if (tcb.remote.id === source) return tcb;
    }
    if (this.#pending.size >= this.#limit) {
      for (const tcb of this.#pending) return tcb;
    }
    return undefined;
  }

  add(tcb: Tcb): void {
    this.#pending.add(tcb);
    this.#perSource.set(tcb.remote.id, (this.#perSource.get(tcb.remote.id) ?? 0) + 1);
  }

  /** The handshake ended, one way or the other. */
  remove(tcb: Tcb): void {
    if (!this.#pending.delete(tcb)) return;
    const count = (this.#perSource.get(tcb.remote.id) ?? 1) - 1;
    if (count > 0) this.#perSource.set(tcb.remote.id, count);
    else this.#perSource.delete(tcb.remote.id);
  }
}
