// Sliding window against replayed transport packets (RFC 6479): a ring of bits, one per counter, of which a word
// is cleared when the window moves into it. 8192 bits; counters more than 8128 behind the highest are refused.
import { REPLAY_WINDOW } from './constants.ts';

const BITS = 8192;
const WORD_BITS = 32;
const WORDS: number = BITS / WORD_BITS;

/** Counters are exact non-negative integers below 2^53. */
export class ReplayWindow {
  readonly #ring = new Uint32Array(WORDS);
  #highest = -1;

  /** Whether the counter is neither too old nor marked. */
  isFresh(counter: number): boolean {
    if (counter > this.#highest) return true;
    if (this.#highest - counter > REPLAY_WINDOW) return false;
    const bit = counter % BITS;
    return ((this.#ring[bit >>> 5]! >>> (bit & 31)) & 1) === 0;
  }

  /** Only for a fresh counter of a packet that authenticated. */
  mark(counter: number): void {
    if (counter > this.#highest) {
      const from = Math.floor(this.#highest / WORD_BITS);
      const steps = Math.min(Math.floor(counter / WORD_BITS) - from, WORDS);
      const start = from + WORDS; // from is -1 before the first packet
      for (let i = 1; i <= steps; i++) this.#ring[(start + i) % WORDS] = 0;
      this.#highest = counter;
    }
    const bit = counter % BITS;
    this.#ring[bit >>> 5]! |= 1 << (bit & 31);
  }
}
