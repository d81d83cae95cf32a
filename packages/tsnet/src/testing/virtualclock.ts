// A clock that stands still until a test moves it.
import type { Clock, Timer } from '../clock.ts';

interface Entry {
  readonly at: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #now = 1_000_000;
  readonly #entries: Set<Entry> = new Set();

  now(): number {
    return this.#now;
  }

  wallNow(): number {
    return 1_767_225_600_000 + this.#now;
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, delayMs), callback };
    this.#entries.add(entry);
    return { cancel: () => this.#entries.delete(entry) };
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#entries.size;
  }

  /** Moves on, calling back what falls due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let next: Entry | undefined;
      for (const entry of this.#entries)
        if (entry.at <= end && (next === undefined || entry.at < next.at)) next = entry;
      if (!next) break;
      this.#entries.delete(next);
      this.#now = next.at;
      next.callback();
    }
    this.#now = end;
  }
}
