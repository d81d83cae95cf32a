// Byte buffers of power-of-two sizes, kept for reuse, so that a connection which is idle holds none.

const SMALLEST_LOG = 10;
const CLASSES = 16;

export class BufferPool {
  readonly #free: Uint8Array[][] = Array.from({ length: CLASSES }, () => []);
  /** Bytes in buffers taken and not given back. */
  taken = 0;
  #held = 0;
  readonly #limit: number;

  /** `limit`: bytes of unused buffers kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A buffer of at least `size` bytes with undefined content. */
  take(size: number): Uint8Array {
    const index = Math.max(0, 32 - Math.clz32(size - 1) - SMALLEST_LOG);
    const found = this.#free[index]?.pop();
    const buffer = found ?? new Uint8Array(2 ** (index + SMALLEST_LOG));
    if (found !== undefined) this.#held -= found.length;
    this.taken += buffer.length;
    return buffer;
  }

  give(buffer: Uint8Array): void {
    this.taken -= buffer.length;
    if (buffer.length === 0 || this.#held + buffer.length > this.#limit) return;
    this.#free[31 - Math.clz32(buffer.length) - SMALLEST_LOG]?.push(buffer);
    this.#held += buffer.length;
  }
}
