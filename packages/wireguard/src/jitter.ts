// Spread for timers: not secret, so that a draw on the packet path costs a few shifts (Marsaglia, xorshift32).
import { REKEY_TIMEOUT_JITTER } from './constants.ts';
import { readU32 } from './messages.ts';

export class Jitter {
  #state: number;

  constructor(randomBytes: (n: number) => Uint8Array) {
    this.#state = readU32(randomBytes(4), 0) | 1;
  }

  /** Uniform over 0 to 333 ms. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return ((x >>> 0) / 2 ** 32) * REKEY_TIMEOUT_JITTER;
  }
}
