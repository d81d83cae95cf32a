// Which relay region is home: the one with the lowest latency of the last five minutes, kept against small gains.
// Sans I/O: reports and times in, a region out.

/** Reports older than this no longer count; a little more than five minutes, so that the fifth one back does. */
const HISTORY = 5 * 60_000 + 5_000;
/** A frame from a region within this time shows that it is reachable. */
const RECENT_FRAME = 8_000;
/** Without any measurement the old home stays while frames came from it within this time. */
const FRAME_KEEPS_HOME = 120_000;
/** Gains below this, in milliseconds, are no reason to move. */
const SMALL_GAIN = 10;

export interface LatencyReport {
  /** When measuring began; engine clock, milliseconds. */
  readonly startedAt: number;
  /** Milliseconds by region; regions that did not answer are absent. */
  readonly latency: ReadonlyMap<number, number>;
}

export interface RegionFacts {
  /** HomeParams.RegionScore: multiplies latency, below 1 favours. */
  readonly score: ReadonlyMap<number, number>;
  /** When the last frame came from the region; engine clock; undefined: never. */
  lastFrame(region: number): number | undefined;
}

export class HomeRegion {
  readonly #reports: LatencyReport[] = [];
  #home = 0;

  get current(): number {
    return this.#home;
  }

  /** Sets the home without measuring: the only region there is, or 0 when the old one is gone. */
  force(region: number): void {
    this.#home = region;
  }

  /** Takes a report for later decisions. */
  note(report: LatencyReport, now: number): void {
    this.#reports.push(report);
    while (this.#reports[0]!.startedAt < now - HISTORY) this.#reports.shift();
  }

  /** Takes a report and returns the home region, 0 when there is none to be had. */
  decide(report: LatencyReport, facts: RegionFacts, now: number): number {
    this.note(report, now);
    const scored = (region: number, latency: number): number => {
      const score = facts.score.get(region) ?? 0;
      return score > 0 ? latency * score : latency;
    };
    const best = (region: number): number => {
      let lowest = Number.POSITIVE_INFINITY;
      for (const { latency } of this.#reports)
        lowest = Math.min(lowest, latency.get(region) ?? Number.POSITIVE_INFINITY);
      return scored(region, lowest);
    };
    let candidate = 0;
    let candidateLatency = Number.POSITIVE_INFINITY;
    for (const region of report.latency.keys()) {
      const latency = best(region);
      if (latency < candidateLatency) {
        candidate = region;
        candidateLatency = latency;
      }
    }
    const old = this.#home;
    const frame = old === 0 ? undefined : facts.lastFrame(old);
    if (candidate === 0) {
      if (frame === undefined || frame < now - FRAME_KEEPS_HOME) this.#home = 0;
      return this.#home;
    }
    if (old !== 0 && candidate !== old) {
      const measured = report.latency.get(old);
      const heard =
        frame !== undefined && (frame >= report.startedAt || frame >= now - RECENT_FRAME);
      const oldLatency = measured === undefined ? 0 : scored(old, measured);
      const smallGain =
        oldLatency - candidateLatency < SMALL_GAIN || candidateLatency > (oldLatency * 2) / 3;
      if ((measured !== undefined || heard) && smallGain) return old;
    }
    this.#home = candidate;
    return candidate;
  }
}
