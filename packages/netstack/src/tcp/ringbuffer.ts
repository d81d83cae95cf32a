// A growing power-of-two ring of bytes: the send buffer. Empty rings hold no memory.
import type { BufferPool } from './bufferpool.ts';

const EMPTY = new Uint8Array(0);

export class RingBuffer {
  length = 0;
  #buf: Uint8Array = EMPTY;
  #head = 0;
  readonly #pool: BufferPool;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Appends `count` bytes of `from`. */
  append(from: Uint8Array, offset: number, count: number): void {
    if (count === 0) return;
    if (this.length + count > this.#buf.length) this.#grow(this.length + count);
    const size = this.#buf.length;
    const tail = (this.#head + this.length) & (size - 1);
    const first = Math.min(count, size - tail);
    this.#buf.set(from.subarray(offset, offset + first), tail);
    if (first < count) this.#buf.set(from.subarray(offset + first, offset + count), 0);
    this.length += count;
  }

  /** Copies `count` bytes from `position` (0 is the oldest byte) without removing them. */
  copy(position: number, count: number, to: Uint8Array, toOffset: number): void {
    const size = this.#buf.length;
    const start = (this.#head + position) & (size - 1);
    const first = Math.min(count, size - start);
    to.set(this.#buf.subarray(start, start + first), toOffset);
    if (first < count) to.set(this.#buf.subarray(0, count - first), toOffset + first);
  }

  /** Drops the oldest `count` bytes. */
  discard(count: number): void {
    this.length -= count;
    if (this.length === 0) this.release();
    else this.#head = (this.#head + count) & (this.#buf.length - 1);
  }

  /** Drops everything and gives the memory back. */
  release(): void {
    this.#pool.give(this.#buf);
    this.#buf = EMPTY;
    this.#head = 0;
    this.length = 0;
  }

  #grow(needed: number): void {
    const bigger = this.#pool.take(Math.max(needed, 2048));
    if (this.length > 0) this.copy(0, this.length, bigger, 0);
    this.#pool.give(this.#buf);
    this.#buf = bigger;
    this.#head = 0;
  }
}
