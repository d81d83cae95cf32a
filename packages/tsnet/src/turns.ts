// When the data path runs: a turn at the end of every batch of packets, and one timer at the earliest thing due.
import type { Clock, Timer } from './clock.ts';

/** Runs what is due; returns when it must run next, undefined when nothing is to be done by itself. */
export type Turn = (now: number) => number | undefined;

export class Turns {
  readonly #clock: Clock;
  readonly #turn: Turn;
  #isPending = false;
  #isRunning = false;
  #batchNow: number | undefined;
  #timer: Timer | undefined;
  #timerAt: number = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(clock: Clock, turn: Turn) {
    this.#clock = clock;
    this.#turn = turn;
  }

  /** The time of the batch under way: the clock is read once for all packets of a turn. */
  now(): number {
    if (this.#batchNow === undefined) {
      this.#batchNow = this.#clock.now();
      // The turn ends the batch.
      this.wake();
    }
    return this.#batchNow;
  }

  /** Asks for a turn once everything that can be read now has been read. */
  wake(): void {
    if (this.#isPending || this.#stopped) return;
    this.#isPending = true;
    setImmediate(() => this.#run());
  }

  /** As wake, unless a turn is under way: what is to be done then is done at its end. */
  wakeAfter(): void {
    if (!this.#isRunning) this.wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #run(): void {
    this.#isPending = false;
    if (this.#stopped) return;
    const now = this.#clock.now();
    this.#batchNow = now;
    let next: number | undefined = now;
    this.#isRunning = true;
    try {
      next = this.#turn(now);
    } finally {
      this.#isRunning = false;
      // When a listener of the application throws, the node goes on all the same.
      this.#batchNow = undefined;
      if (next === now) this.wake();
    }
    if (next === undefined || this.#stopped) return;
    if (next <= now) this.wake();
    else if (next < this.#timerAt) this.#arm(next, next - now);
  }

  /** A timer that turns out early finds nothing due and is set again: cheaper than moving it every turn. */
  #arm(at: number, delay: number): void {
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.schedule(delay, () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      // Not at once: what can be read is read first, and the event loop comes by once, not twice, for what is sent.
      this.wake();
    });
  }
}
