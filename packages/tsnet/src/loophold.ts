// Keeps the process alive while connections and listeners of the node are open and not unref'd, as the sockets of
// the operating system do.
import type { Clock, Timer } from './clock.ts';

const LONG = 0x7fffffff;

export class LoopHold {
  readonly #clock: Clock;
  #count = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  acquire(): void {
    if (this.#count++ === 0) this.#arm();
  }

  release(): void {
    if (--this.#count > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer = this.#clock.schedule(LONG, () => this.#arm(), true);
  }
}
