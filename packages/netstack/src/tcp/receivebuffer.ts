// Received bytes: those in order wait in chunks for the application, those ahead of a hole in a ring addressed by their
// sequence number.
import { Assembler } from './assembler.ts';
import type { BufferPool } from './bufferpool.ts';
import { seqDiff, seqLt } from './seq.ts';

const CHUNK_LIMIT = 65536;

/** In-order bytes. Chunks are sized after what the last drain took, so that a quiet connection wastes nothing. */
export class ReceiveQueue {
  /** Bytes not yet read. */
  length = 0;
  /** Memory of the chunks they lie in. */
  held = 0;
  readonly #full: Uint8Array[] = [];
  #first = 0;
  #open: Uint8Array | undefined;
  #openLength = 0;
  #sinceEmpty = 0;
  #expected = 0;
  readonly #allocate: (length: number) => Uint8Array;

  constructor(allocate: (length: number) => Uint8Array) {
    this.#allocate = allocate;
  }

  append(from: Uint8Array, offset: number, count: number): void {
    let at = offset;
    let left = count;
    while (left > 0) {
      let open = this.#open;
      if (open === undefined) {
        open = this.#allocate(Math.min(CHUNK_LIMIT, Math.max(left, this.#expected)));
        this.#open = open;
        this.#openLength = 0;
        this.held += open.length;
      }
      const take = Math.min(left, open.length - this.#openLength);
      open.set(from.subarray(at, at + take), this.#openLength);
      this.#openLength += take;
      at += take;
      left -= take;
      if (this.#openLength === open.length) {
        this.#full.push(open);
        this.#open = undefined;
        this.#expected = Math.min(CHUNK_LIMIT, Math.max(4096, 2 * open.length));
      }
    }
    this.length += count;
    this.#sinceEmpty += count;
  }

  /** The next chunk, which now belongs to the caller. */
  read(): Uint8Array | undefined {
    let chunk: Uint8Array | undefined;
    if (this.#first < this.#full.length) {
      chunk = this.#full[this.#first]!;
      this.held -= chunk.length;
      this.#first++;
      if (this.#first === this.#full.length) {
        this.#full.length = 0;
        this.#first = 0;
      }
    } else if (this.#open !== undefined) {
      chunk = this.#open.subarray(0, this.#openLength);
      this.held -= this.#open.length;
      this.#open = undefined;
    } else {
      return undefined;
    }
    this.length -= chunk.length;
    if (this.length === 0) {
      this.#expected = Math.min(CHUNK_LIMIT, this.#sinceEmpty + (this.#sinceEmpty >>> 2));
      this.#sinceEmpty = 0;
    }
    return chunk;
  }

  clear(): void {
    this.#full.length = 0;
    this.#first = 0;
    this.#open = undefined;
    this.length = 0;
    this.held = 0;
  }
}

/** Bytes beyond a hole, each at index `sequence number modulo size` of a ring which grows to the furthest byte. */
export class OutOfOrderBuffer {
  readonly intervals: Assembler = new Assembler();
  #ring: Uint8Array;
  readonly #pool: BufferPool;

  constructor(pool: BufferPool, span: number) {
    this.#pool = pool;
    this.#ring = pool.take(Math.max(16384, span));
  }

  /** Memory held. */
  get size(): number {
    return this.#ring.length;
  }

  /**
   * Stores payload starting at `seq`; false when it makes one hole too many. What is here already stands, whatever a later
   * segment claims.
   */
  put(next: number, seq: number, from: Uint8Array, offset: number, count: number): boolean {
    const { intervals } = this;
    const end = (seq + count) >>> 0;
    const span = seqDiff(end, next);
    if (span > this.#ring.length) this.#grow(span);
    let at = seq;
    for (let i = intervals.after(seq); seqLt(at, end); i++) {
      const overlaps = i < intervals.count && seqLt(intervals.left(i), end);
      const stop = overlaps ? intervals.left(i) : end;
      if (seqLt(at, stop)) this.#write(at, from, offset + seqDiff(at, seq), seqDiff(stop, at));
      if (!overlaps) break;
      at = intervals.right(i);
    }
    return intervals.add(seq, end);
  }

  #write(seq: number, from: Uint8Array, offset: number, count: number): void {
    const start = seq & (this.#ring.length - 1);
    const first = Math.min(count, this.#ring.length - start);
    this.#ring.set(from.subarray(offset, offset + first), start);
    if (first < count) this.#ring.set(from.subarray(offset + first, offset + count), 0);
  }

  /** Moves what became contiguous with `next` into `queue`; returns the new RCV.NXT. */
  drain(next: number, queue: ReceiveQueue): number {
    const edge = this.intervals.advance(next);
    let count = seqDiff(edge, next);
    if (count > 0) {
      const mask = this.#ring.length - 1;
      const start = next & mask;
      const first = Math.min(count, this.#ring.length - start);
      queue.append(this.#ring, start, first);
      count -= first;
      if (count > 0) queue.append(this.#ring, 0, count);
    }
    return edge;
  }

  release(): void {
    this.#pool.give(this.#ring);
  }

  #grow(span: number): void {
    const old = this.#ring;
    const ring = this.#pool.take(span);
    for (let i = 0; i < this.intervals.count; i++) {
      const right = this.intervals.right(i);
      for (let seq = this.intervals.left(i); seq !== right; ) {
        const from = seq & (old.length - 1);
        const to = seq & (ring.length - 1);
        const run = Math.min(seqDiff(right, seq), old.length - from, ring.length - to);
        ring.set(old.subarray(from, from + run), to);
        seq = (seq + run) >>> 0;
      }
    }
    this.#pool.give(old);
    this.#ring = ring;
  }
}
