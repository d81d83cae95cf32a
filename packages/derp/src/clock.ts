// Time as server and client receive it, so that tests can hand in a virtual one.

export interface Clock {
  /** Monotonic time in milliseconds from an arbitrary start. */
  now(): number;
  /** Calls back once, after delayMs, without keeping the process alive for it. */
  schedule(delayMs: number, callback: () => void): { cancel(): void };
}

export const systemClock: Clock = {
  now: () => performance.now(),
  schedule(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};
