// Time as the drivers of the node receive it: a monotonic clock for protocols, a wall clock for what people and
// certificates mean by time, and timers. Tests hand in a virtual one.
import { closedError } from './errors.ts';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic time in fractional milliseconds from an arbitrary start. */
  now(): number;
  /** Milliseconds since the Unix epoch, as the machine believes. */
  wallNow(): number;
  /**
   * Calls back once, after delayMs. The process stays alive for it only when `ref` is true: sockets and listeners
   * keep a node alive, its timers do not.
   */
  schedule(delayMs: number, callback: () => void, ref?: boolean): Timer;
}

/** The longest delay setTimeout takes; longer ones would fire at once. */
const MAX_DELAY = 0x7fffffff;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  schedule(delayMs, callback, ref = false) {
    const handle = setTimeout(callback, Math.min(Math.max(0, delayMs), MAX_DELAY));
    if (!ref) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Resolves after delayMs; rejects with the signal's reason when it is aborted first.
 */
export function sleep(
  clock: Clock,
  delayMs: number,
  signal?: AbortSignal,
  ref = false,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason ?? closedError('the node'));
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason ?? closedError('the node'));
    };
    const timer = clock.schedule(
      delayMs,
      () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      },
      ref,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
