// How long to wait before dialling a relay again.

const STEP_MS = 10;
const LIMIT_MS = 5_000;

/** n^2 x 10 ms for the n-th failure in a row, times a random 0.5 to 1.5, at most 5 s. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** random gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Milliseconds to wait after one more failure. */
  next(): number {
    this.#failures++;
    const wait = this.#failures * this.#failures * STEP_MS * (0.5 + this.#random());
    return Math.min(wait, LIMIT_MS);
  }

  /** Call it when a frame was received: the connection works. */
  reset(): void {
    this.#failures = 0;
  }
}
