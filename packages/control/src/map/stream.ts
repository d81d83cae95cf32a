// One open map stream: what its client has been told, and the way to it.
import type { BodyStream } from '../http2/exchange.ts';
import type { NodeState } from '../state/tailnet.ts';
import type { MapMessage } from './frame.ts';

/** Bytes that may wait for a client beside its first map; one more message and the stream is dropped. */
const MAX_BACKLOG = 512 * 1024;

/** Set of small numbers. */
class BitSet {
  #words = new Uint32Array(8);

  has(bit: number): boolean {
    return ((this.#words[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0;
  }

  add(bit: number): void {
    if (bit >>> 5 >= this.#words.length) {
      const larger = new Uint32Array(2 * ((bit >>> 5) + 1));
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#words[bit >>> 5]! |= 1 << (bit & 31);
  }

  delete(bit: number): void {
    if (bit >>> 5 < this.#words.length) this.#words[bit >>> 5]! &= ~(1 << (bit & 31));
  }
}

export class MapStream {
  readonly node: NodeState;
  readonly zstd: boolean;
  /** Client below capability version 111: relay region as text. */
  readonly legacy: boolean;
  /** Client below 115: no certificate pins. */
  readonly unpinned: boolean;
  /** Slots of the peers it knows. */
  readonly known: BitSet = new BitSet();
  /** IDs of the users it has profiles of. */
  readonly users: Set<number> = new Set();
  /** Filter text it has. */
  filter = '';
  /** Number of the last change its state includes. */
  seq = 0;
  /** Monotonic time of the next keep-alive. */
  keepAliveAt = 0;
  closed = false;
  readonly #body: BodyStream;
  /** Backlog allowed: the first map, however large, and MAX_BACKLOG. */
  #allowance = 0;

  constructor(options: {
    readonly node: NodeState;
    readonly body: BodyStream;
    readonly zstd: boolean;
    readonly capVersion: number;
  }) {
    this.node = options.node;
    this.#body = options.body;
    this.zstd = options.zstd;
    this.legacy = options.capVersion < 111;
    this.unpinned = options.capVersion < 115;
  }

  /** Queues a message; false if the client is too slow, then the stream is to be dropped. */
  send(message: MapMessage): boolean {
    const frame = message.frame(this.zstd);
    if (this.#allowance === 0) this.#allowance = MAX_BACKLOG + frame.length;
    else if (this.#body.queued > this.#allowance) return false;
    this.#body.write(frame);
    return true;
  }

  end(): void {
    this.closed = true;
    this.#body.end();
  }

  abort(): void {
    this.closed = true;
    this.#body.abort();
  }
}
