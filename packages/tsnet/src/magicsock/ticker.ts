// One timer for all the state machines that have something to do: idle ones are not here and cost nothing.
import type { Clock, Timer } from '../clock.ts';

export interface Tickable {
  /** When tick must be called; Infinity: not before something happens. */
  readonly nextTick: number;
  tick(now: number): void;
}

/** Timers run together in steps of this. */
const GRANULARITY = 20;

export class Ticker<T extends Tickable> {
  readonly #clock: Clock;
  readonly #onTicked: () => void;
  readonly #busy: Set<T> = new Set();
  #timer: Timer | undefined;
  #at: number = Number.POSITIVE_INFINITY;
  #closed = false;

  /** `onTicked` is called after each run. */
  constructor(clock: Clock, onTicked: () => void) {
    this.#clock = clock;
    this.#onTicked = onTicked;
  }

  /** Those that have timers running. */
  get busy(): ReadonlySet<T> {
    return this.#busy;
  }

  /** Something happened to it: it may have timers running now. */
  watch(item: T): void {
    const at = item.nextTick;
    if (at === Number.POSITIVE_INFINITY || this.#closed) return;
    this.#busy.add(item);
    if (at < this.#at) this.#arm(at);
  }

  remove(item: T): void {
    this.#busy.delete(item);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#at = at;
    const delay = Math.max(GRANULARITY, at - this.#clock.now());
    this.#timer = this.#clock.schedule(delay, () => this.#run());
  }

  #run(): void {
    this.#at = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const item of this.#busy) {
      if (item.nextTick <= now) item.tick(now);
      const at = item.nextTick;
      if (at === Number.POSITIVE_INFINITY) this.#busy.delete(item);
      else next = Math.min(next, at);
    }
    this.#onTicked();
    if (next !== Number.POSITIVE_INFINITY && next < this.#at) this.#arm(next);
  }
}
