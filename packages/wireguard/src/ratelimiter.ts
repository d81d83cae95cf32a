// What keeps strangers from spending our processor time on Diffie-Hellman: a meter that declares load, and a
// token bucket per source for those who then proved their address (white paper section 5.3).
import {
  LOAD_BURST,
  LOAD_RATE,
  MAX_SOURCES,
  SOURCE_BURST,
  SOURCE_RATE,
  UNDER_LOAD_AFTER,
} from './constants.ts';

/**
 * A queue of handshakes that a machine works off at LOAD_RATE per second would hold this many. Implementations
 * with a real queue look at that; here datagrams are handled as they come.
 */
export class LoadMeter {
  #level = 0;
  #at = 0;
  #until = -Infinity;

  /** Counts one handshake message; true while under load. */
  note(now: number): boolean {
    this.#level = Math.max(0, this.#level - ((now - this.#at) * LOAD_RATE) / 1000) + 1;
    this.#at = now;
    if (this.#level > LOAD_BURST) {
      this.#level = LOAD_BURST;
      this.#until = now + UNDER_LOAD_AFTER;
    }
    return now < this.#until;
  }
}

interface Bucket {
  tokens: number;
  at: number;
}

export class SourceLimiter {
  readonly #buckets = new Map<string, Bucket>();
  #sweptAt = -Infinity;

  get size(): number {
    return this.#buckets.size;
  }

  /** Whether this source may have one more handshake now. Source as DeviceSink.sourceBytes gives it. */
  allow(source: Uint8Array, now: number): boolean {
    if (now - this.#sweptAt >= 1000) this.#sweep(now);
    const key = sourceKey(source);
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_SOURCES) return false;
      this.#buckets.set(key, { tokens: SOURCE_BURST - 1, at: now });
      return true;
    }
    const earned = ((now - bucket.at) * SOURCE_RATE) / 1000;
    bucket.tokens = Math.min(SOURCE_BURST, bucket.tokens + earned);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** A bucket idle for a second is full, which is what a missing one counts as. */
  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [key, bucket] of this.#buckets) {
      if (now - bucket.at >= 1000) this.#buckets.delete(key);
    }
  }
}

/** The address without its port, for IPv6 the /64 one host commands. */
function sourceKey(source: Uint8Array): string {
  const length = source.length === 6 ? 4 : source.length === 18 ? 8 : source.length;
  let key = `${source.length}:`;
  for (let i = 0; i < length; i++) key += String.fromCharCode(source[i]!);
  return key;
}
