// HyStart++ (RFC 9406): leaves slow start when round trips grow, before the queue overflows. A rise of the round's least
// round trip leads to conservative slow start for five rounds, and back if it was a false alarm.
//
// Five rounds at a quarter of the growth still make 2.7 windows of one, more than a short queue holds, and round trips tell of
// a queue one round trip late. Hence two things beyond the RFC: conservative slow start ends as soon as round trips grow
// again; and once the window is all that the path holds, by the rate at which acknowledgements came back (Hoe, SIGCOMM 1996;
// Ha and Rhee, Computer Networks 55(9), 2011), it grows as in conservative slow start, and stops with the first rise.
import { FLOAT_ZERO } from '../floatzero.ts';

const MIN_RTT_THRESHOLD = 4;
const MAX_RTT_THRESHOLD = 16;
const RTT_DIVISOR = 8;
const SAMPLES = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;
/** The rate is measured over at least this part of a round trip. */
const RATE_DIVISOR = 4;
const NONE: number = Number.POSITIVE_INFINITY;

/** By how much round trips of `rtt` must grow to count (RFC 9406 4.2). */
function enough(rtt: number): number {
  return Math.min(Math.max(rtt / RTT_DIVISOR, MIN_RTT_THRESHOLD), MAX_RTT_THRESHOLD);
}

export class HyStart {
  /** Slow start is over: congestion avoidance is due. */
  finished = false;
  #conservative = false;
  #lastMin: number = NONE;
  #currentMin: number = NONE;
  #samples = 0;
  /** The least of the latest samples, up to eight. */
  #recentMin: number = NONE;
  /** The least round trip of the round that led to conservative slow start. */
  #baseline: number = NONE;
  #rounds = 0;
  #roundEnd = FLOAT_ZERO;
  #leastRtt: number = NONE;
  /** By how much those of the first round differed. */
  #spread = FLOAT_ZERO;
  /** The highest rate of acknowledgements, bytes per millisecond; where and when its present measurement began. */
  #rate = FLOAT_ZERO;
  #firstAck = FLOAT_ZERO;
  #firstAt = FLOAT_ZERO;
  #lastAt: number = Number.NEGATIVE_INFINITY;

  constructor() {
    this.#roundEnd = -1;
  }

  /** By what slow start divides the bytes acknowledged, with a window of `cwnd`. */
  divisor(cwnd: number): number {
    return this.#conservative || this.#fills(cwnd) ? CSS_GROWTH_DIVISOR : 1;
  }

  /** By all that is known the path holds no more than `cwnd`. */
  #fills(cwnd: number): boolean {
    return this.#rate > 0 && cwnd >= this.#rate * this.#leastRtt;
  }

  /** A round trip was measured by an acknowledgement up to `ack`, with everything up to `next` sent and a window of `cwnd`. */
  onSample(rtt: number, ack: number, next: number, cwnd: number, now: number): void {
    if (this.#roundEnd < 0 || ((ack - this.#roundEnd) | 0) >= 0) this.#nextRound(next);
    if (rtt < this.#currentMin) this.#currentMin = rtt;
    if (rtt < this.#leastRtt) this.#leastRtt = rtt;
    if (this.#lastMin === NONE) this.#spread = Math.max(this.#spread, rtt - this.#leastRtt);
    if (rtt < this.#recentMin) this.#recentMin = rtt;
    this.#measureRate(ack, now);
    if (++this.#samples < SAMPLES) return;
    let recent = 0;
    if (this.#samples % SAMPLES === 0) {
      recent = this.#recentMin;
      this.#recentMin = NONE;
    }
    if (this.#fills(cwnd) && this.#hasGrown(this.#leastRtt, recent)) this.finished = true;
    else if (this.#conservative) {
      if (this.#currentMin < this.#baseline) this.#conservative = false;
      else if (this.#hasGrown(this.#baseline, this.#currentMin)) this.finished = true;
    } else if (this.#currentMin >= this.#lastMin + enough(this.#lastMin)) {
      this.#conservative = true;
      this.#baseline = this.#currentMin;
      this.#rounds = 0;
    }
  }

  /** By more than chance, so far as the first round shows what that is. */
  #hasGrown(before: number, rtt: number): boolean {
    return rtt >= before + Math.max(enough(before), this.#spread);
  }

  #measureRate(ack: number, now: number): void {
    const least = this.#leastRtt / RATE_DIVISOR;
    const elapsed = now - this.#firstAt;
    // Trains of acknowledgements come with pauses between them until the path is full.
    const paused = now - this.#lastAt >= least;
    this.#lastAt = now;
    if (!paused && elapsed < least) return;
    const acked = (ack - this.#firstAck) | 0;
    if (!paused) this.#rate = Math.max(this.#rate, acked / elapsed);
    this.#firstAck = ack;
    this.#firstAt = now;
  }

  #nextRound(next: number): void {
    if (this.#roundEnd >= 0 && this.#conservative && ++this.#rounds >= CSS_ROUNDS) {
      this.finished = true;
    }
    this.#roundEnd = next;
    this.#lastMin = this.#currentMin;
    this.#currentMin = NONE;
    this.#samples = 0;
    this.#recentMin = NONE;
  }

  /** Slow start begins anew, after a timeout. */
  reset(): void {
    this.finished = false;
    this.#conservative = false;
    this.#lastMin = NONE;
    this.#currentMin = NONE;
    this.#samples = 0;
    this.#recentMin = NONE;
    this.#roundEnd = -1;
    this.#leastRtt = NONE;
    this.#spread = 0;
    this.#rate = 0;
  }
}
