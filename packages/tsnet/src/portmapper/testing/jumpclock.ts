// A clock that runs as the real one does and can be set forward.
import type { Clock, Timer } from '../../clock.ts';

interface Pending {
  readonly due: number;
  readonly callback: () => void;
  handle: NodeJS.Timeout | undefined;
}

export class JumpClock implements Clock {
  readonly #pending: Set<Pending> = new Set();
  #ahead = 0;

  readonly now = (): number => performance.now() + this.#ahead;
  readonly wallNow = (): number => Date.now() + this.#ahead;

  schedule(delayMs: number, callback: () => void): Timer {
    const timer: Pending = { due: this.now() + delayMs, callback, handle: undefined };
    this.#pending.add(timer);
    this.#arm(timer);
    return {
      cancel: () => {
        this.#pending.delete(timer);
        clearTimeout(timer.handle);
      },
    };
  }

  /** What has become due is called back in the next turns of the loop. */
  jump(ms: number): void {
    this.#ahead += ms;
    for (const timer of this.#pending) this.#arm(timer);
  }

  #arm(timer: Pending): void {
    clearTimeout(timer.handle);
    timer.handle = setTimeout(
      () => {
        this.#pending.delete(timer);
        timer.callback();
      },
      Math.max(timer.due - this.now(), 0),
    );
    // A test that failed must end; one that goes on has its gateway's sockets.
    timer.handle.unref();
  }
}
