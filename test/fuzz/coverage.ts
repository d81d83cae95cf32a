// The counters of instrumented modules, and what one execution lit up.

const CAPACITY = 1 << 17;
/** AFL's buckets: 1, 2, 3, 4-7, 8-15, 16-31, 32-127, 128 and more, as bits. */
const BUCKETS = new Uint8Array(256);
for (let i = 1; i < 256; i++) {
  BUCKETS[i] = i < 4 ? 1 << (i - 1) : i < 8 ? 8 : i < 16 ? 16 : i < 32 ? 32 : i < 128 ? 64 : 128;
}

export class Coverage {
  readonly #counts = new Uint8ClampedArray(CAPACITY);
  readonly #words = new Uint32Array(this.#counts.buffer);
  #used = 0;

  /** Called by each instrumented module: its counters. */
  open(first: number, count: number): Uint8ClampedArray {
    if (first + count > CAPACITY) throw new Error('more counters than there is room for');
    this.#used = Math.max(this.#used, first + count);
    return this.#counts.subarray(first, first + count);
  }

  get counters(): number {
    return this.#used;
  }

  reset(): void {
    this.#words.fill(0, 0, (this.#used + 3) >> 2);
  }

  /** Adds what was hit since `reset` to `seen`; returns how many bits are new there. */
  mergeInto(seen: Uint8Array): number {
    let news = 0;
    const words = (this.#used + 3) >> 2;
    for (let w = 0; w < words; w++) {
      if (this.#words[w] === 0) continue;
      for (let i = w << 2; i < (w << 2) + 4; i++) {
        const bit = BUCKETS[this.#counts[i]!]!;
        if ((bit & ~seen[i]!) !== 0) {
          seen[i]! |= bit;
          news++;
        }
      }
    }
    return news;
  }

  /** Counters that were hit since `reset`, whatever their count. */
  hit(): number[] {
    const hit: number[] = [];
    for (let i = 0; i < this.#used; i++) if (this.#counts[i] !== 0) hit.push(i);
    return hit;
  }

  static seen(): Uint8Array {
    return new Uint8Array(CAPACITY);
  }
}

declare global {
  var coveCoverage: Coverage | undefined;
}
