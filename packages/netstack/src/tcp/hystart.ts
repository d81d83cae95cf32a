// HyStart++ (RFC 9406): leaves slow start when round trips grow, before the queue overflows. A rise of the round's least
// round trip leads to conservative slow start for five rounds, and back if it was a false alarm.

const MIN_RTT_THRESHOLD = 4;
const MAX_RTT_THRESHOLD = 16;
const RTT_DIVISOR = 8;
const SAMPLES = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;
const NONE: number = Number.POSITIVE_INFINITY;

export class HyStart {
  /** By what slow start divides the bytes acknowledged. */
  divisor = 1;
  /** Conservative slow start has lasted its rounds: congestion avoidance is due. */
  finished = false;
  #lastMin: number = NONE;
  #currentMin: number = NONE;
  #samples = 0;
  #baseline: number = NONE;
  #rounds = 0;
  #roundEnd = -1;

  /** A round trip was measured by an acknowledgement up to `ack`, with everything up to `next` sent. */
  onSample(rtt: number, ack: number, next: number): void {
    if (this.#roundEnd < 0 || ((ack - this.#roundEnd) | 0) >= 0) {
      if (this.#roundEnd >= 0 && this.divisor > 1 && ++this.#rounds >= CSS_ROUNDS) {
        this.finished = true;
      }
      this.#roundEnd = next;
      this.#lastMin = this.#currentMin;
      this.#currentMin = NONE;
      this.#samples = 0;
    }
    if (rtt < this.#currentMin) this.#currentMin = rtt;
    if (++this.#samples < SAMPLES) return;
    if (this.divisor > 1) {
      if (this.#currentMin < this.#baseline) {
        this.divisor = 1;
        this.#baseline = NONE;
      }
      return;
    }
    if (this.#lastMin === NONE) return;
    const threshold = Math.min(
      Math.max(this.#lastMin / RTT_DIVISOR, MIN_RTT_THRESHOLD),
      MAX_RTT_THRESHOLD,
    );
    if (this.#currentMin >= this.#lastMin + threshold) {
      this.#baseline = this.#currentMin;
      this.divisor = CSS_GROWTH_DIVISOR;
      this.#rounds = 0;
    }
  }

  /** Slow start begins anew, after a timeout. */
  reset(): void {
    this.divisor = 1;
    this.finished = false;
    this.#lastMin = NONE;
    this.#currentMin = NONE;
    this.#samples = 0;
    this.#baseline = NONE;
    this.#roundEnd = -1;
  }
}
