// Who uses a connection next: first come, first served. After some milliseconds of such work everything else that this
// process has to do comes first, visits above all.

/** Of one turn of the event loop. */
const TURN_MS = 5;

export class Turns {
  readonly #waiting: (() => void)[] = [];
  #isTaken = false;
  /** When this turn of the event loop was first used; undefined when it was not. */
  #began: number | undefined;

  /** Whoever takes it gives it back, soon: others wait. */
  take(): Promise<void> {
    const taken = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#next();
    return taken;
  }

  giveBack(): void {
    this.#isTaken = false;
    this.#next();
  }

  #next(): void {
    if (this.#isTaken || this.#waiting.length === 0) return;
    if (this.#began === undefined) {
      this.#began = performance.now();
      setImmediate(() => {
        this.#began = undefined;
        this.#next();
      });
    } else if (performance.now() - this.#began > TURN_MS) return;
    this.#isTaken = true;
    this.#waiting.shift()!();
  }
}
