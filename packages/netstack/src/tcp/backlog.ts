// Half-open connections, bounded in number over all and per source (RFC 4987 3.2), so that a flood leaves room for others.
// A source with its fill waits for its own: whoever opens many connections at once has done no wrong, a SYN that is dropped
// comes again, but one pushed out after its SYN-ACK would be reset when it answers.
import type { Tcb } from './tcb.ts';

export class Backlog {
  readonly #limit: number;
  /** Of one source. */
  readonly #share: number;
  readonly #patience: number;
  /** In order of arrival, with its time. */
  readonly #pending = new Map<Tcb, number>();
  readonly #perSource = new Map<number, number>();

  /** `patience`: for this long, ms, a source does not push out a half-open connection of its own. */
  constructor(limit: number, patience: number) {
    this.#limit = limit;
    this.#share = Math.max(1, Math.floor((limit * 2) / 3));
    this.#patience = patience;
  }

  get size(): number {
    return this.#pending.size;
  }

  [Symbol.iterator](): Iterator<Tcb> {
    return this.#pending.keys();
  }

  /** The half-open connection that must go to make room for one more from `source`, if any. */
  victim(source: number): Tcb | undefined {
    if ((this.#perSource.get(source) ?? 0) >= this.#share) {
      for (const tcb of this.#pending.keys()) if (tcb.remote.id === source) return tcb;
    }
    if (this.#pending.size >= this.#limit) {
      for (const tcb of this.#pending.keys()) return tcb;
    }
    return undefined;
  }

  /** The victim is of the newcomer's own `source` and too young to go for it: the newcomer has to come again. */
  spares(victim: Tcb, source: number, now: number): boolean {
    return victim.remote.id === source && now - this.#pending.get(victim)! < this.#patience;
  }

  add(tcb: Tcb, now: number): void {
    this.#pending.set(tcb, now);
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
