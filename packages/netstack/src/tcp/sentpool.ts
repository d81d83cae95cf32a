// What the scoreboards of all connections share: the arrays behind rings of sent segments, kept for reuse so that a
// connection with nothing in flight holds none, and the outcome of the acknowledgement being processed.

/** The arrays of one ring. */
export class SentArrays {
  readonly size: number;
  readonly seq: Uint32Array;
  readonly length: Uint32Array;
  readonly flags: Uint8Array;
  readonly sentAt: Float64Array;
  readonly next: Int32Array;
  readonly previous: Int32Array;

  constructor(size: number) {
    this.size = size;
    this.seq = new Uint32Array(size);
    this.length = new Uint32Array(size);
    this.flags = new Uint8Array(size);
    this.sentAt = new Float64Array(size);
    this.next = new Int32Array(size);
    this.previous = new Int32Array(size);
  }
}

export const EMPTY_ARRAYS: SentArrays = new SentArrays(0);
/** Unused rings kept per size. */
const POOL_DEPTH = 16;

/** What one acknowledgement did; reused, reset by `SentSegments.beginAck`. */
export interface AckEffect {
  /** Bytes newly known to be delivered, cumulatively or selectively. */
  delivered: number;
  /** Latest transmission time among segments newly delivered that were sent once, or -1. */
  sentAt: number;
  /** A segment never retransmitted was delivered below one delivered before (RFC 8985 6.2 step 2). */
  reordered: boolean;
}

/** Rings of connections that have nothing in flight, for those that have. */
export class SentPool {
  readonly effect: AckEffect = { delivered: 0, sentAt: -1, reordered: false };
  readonly #free = new Map<number, SentArrays[]>();

  take(size: number): SentArrays {
    return this.#free.get(size)?.pop() ?? new SentArrays(size);
  }

  give(arrays: SentArrays): void {
    if (arrays.size === 0) return;
    let free = this.#free.get(arrays.size);
    if (free === undefined) {
      free = [];
      this.#free.set(arrays.size, free);
    }
    if (free.length < POOL_DEPTH) free.push(arrays);
  }
}
