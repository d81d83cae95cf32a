// A listening port: handshakes under way, bounded per listener and per source (RFC 4987).
import type { TcpSocket } from '../api.ts';
import type { Tcb } from './tcb.ts';

export class ListenerState {
  readonly port: number;
  /** Identifier of the one local address, or 0 for all. */
  readonly addressId: number;
  readonly accept: (socket: TcpSocket) => void;
  readonly backlog: number;
  closed = false;
  /** In order of arrival. */
  readonly #pending = new Set<Tcb>();
  readonly #perSource = new Map<number, number>();

  constructor(
    port: number,
    addressId: number,
    backlog: number,
    accept: (socket: TcpSocket) => void,
  ) {
    this.port = port;
    this.addressId = addressId;
    this.backlog = backlog;
    this.accept = accept;
  }

  get pending(): Iterable<Tcb> {
    return this.#pending;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** The half-open connection that must go to make room for one more from `source`, if any. */
  victim(source: number): Tcb | undefined {
    const share = Math.max(1, Math.floor((this.backlog * 2) / 3));
    if ((this.#perSource.get(source) ?? 0) >= share) {
      for (const tcb of this.#pending) if (tcb.remote.id === source) return tcb;
    }
    if (this.#pending.size >= this.backlog) {
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
