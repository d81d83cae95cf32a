// The inactivity timer behind Conn.setTimeout: activity only notes the time, the timer looks at it when it fires.
import type { Clock, Timer } from './clock.ts';

export class IdleTimer {
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  #limit = 0;
  #lastActivity = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, onIdle: () => void) {
    this.#clock = clock;
    this.#onIdle = onIdle;
  }

  /** Milliseconds; 0 turns it off. */
  set(limit: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#limit = limit;
    if (limit === 0) return;
    this.#lastActivity = this.#clock.now();
    this.#arm(limit);
  }

  touch(): void {
    if (this.#limit === 0) return;
    this.#lastActivity = this.#clock.now();
    if (!this.#timer) this.#arm(this.#limit);
  }

  #arm(delay: number): void {
    this.#timer = this.#clock.schedule(delay, () => {
      this.#timer = undefined;
      const left = this.#lastActivity + this.#limit - this.#clock.now();
      // Like net.Socket: once idle it fires once, and again only after new activity.
      if (left > 0) this.#arm(left);
      else this.#onIdle();
    });
  }
}
