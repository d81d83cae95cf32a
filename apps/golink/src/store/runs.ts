// Sorting that lets other work in: short runs are sorted one by one, and merged only as far as they are asked for.

/** Sorted at once, in about a millisecond. */
const RUN = 2_000;

export class Runs {
  readonly #runs: string[][] = [];
  left: number;

  private constructor(left: number) {
    this.left = left;
  }

  static async of(words: Iterable<string>): Promise<Runs> {
    const all = [...words];
    const sorted = new Runs(all.length);
    for (let i = 0; i < all.length; i += RUN) {
      // From the end, where taking one costs nothing.
      sorted.#runs.push(
        all
          .slice(i, i + RUN)
          .sort()
          .reverse(),
      );
      if (i + RUN < all.length) await new Promise(setImmediate);
    }
    return sorted;
  }

  /** The next `count` in order, or all that are left. */
  take(count: number): string[] {
    const taken: string[] = [];
    while (taken.length < count && this.left > 0) {
      let least: string[] | undefined;
      for (const run of this.#runs)
        if (run.length > 0 && (least === undefined || run.at(-1)! < least.at(-1)!)) least = run;
      taken.push(least!.pop()!);
      this.left--;
    }
    return taken;
  }
}
