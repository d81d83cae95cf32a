// The arrays behind rings of sent segments, kept for reuse so that a connection with nothing in flight holds none.

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

/** Rings of connections that have nothing in flight, for those that have. */
export class SentPool {
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
