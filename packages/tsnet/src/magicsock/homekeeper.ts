// Keeps the home relay region chosen: at once where there is no choice, else by what was measured.
import type { DERPMap, DERPRegion } from '@cove/protocol/tailcfg';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Relays } from './derp.ts';
import { HomeRegion, type LatencyReport } from './homeregion.ts';

export interface HomeKeeperOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly relays: Relays;
  /** The home region is another now; 0: none. */
  readonly onHome: (region: number) => void;
}

export class HomeKeeper {
  readonly #options: HomeKeeperOptions;
  readonly #choice: HomeRegion = new HomeRegion();
  #scores: ReadonlyMap<number, number> = new Map();
  #isHeld = false;

  constructor(options: HomeKeeperOptions) {
    this.#options = options;
  }

  get home(): number {
    return this.#choice.current;
  }

  /** While the coordination server cannot tell peers of a new home, the old one stays (measure once it can). */
  hold(on: boolean): void {
    this.#isHeld = on;
  }

  /** Call after the relays have the map, and measure thereafter. `known`: where peers look for this node; 0: unknown. */
  setMap(map: DERPMap | undefined, known: number): void {
    this.#scores = new Map(
      Object.entries(map?.HomeParams?.RegionScore ?? {}).map(([id, score]) => [Number(id), score]),
    );
    const eligible = this.eligible();
    const isEligible = (id: number): boolean => eligible.some(({ RegionID }) => RegionID === id);
    if (!isEligible(this.#choice.current)) this.#choice.force(0);
    if (eligible.length <= 1) this.#choice.force(eligible[0]?.RegionID ?? 0);
    else if (this.#choice.current !== 0) return;
    else if (this.#isHeld && isEligible(known)) this.#choice.force(known);
    else return;
    this.#publish();
  }

  /** Regions that may become home, and are measured for it. */
  eligible(): DERPRegion[] {
    const home = this.#choice.current;
    return [...this.#options.relays.regions.values()].filter(
      (region) =>
        region.NoMeasureNoHome !== true &&
        (region.Avoid !== true || region.RegionID === home) &&
        region.Nodes.some((node) => node.STUNOnly !== true),
    );
  }

  measured(report: LatencyReport): void {
    const { clock, relays, log } = this.#options;
    const eligible = this.eligible();
    if (eligible.length <= 1) return;
    const facts = { score: this.#scores, lastFrame: (id: number) => relays.lastFrame(id) };
    // Regions may have left the map since the measurement began.
    const latency = new Map(
      eligible.flatMap(({ RegionID: id }) => {
        const took = report.latency.get(id);
        return took === undefined ? [] : [[id, took] as const];
      }),
    );
    const measured = { startedAt: report.startedAt, latency };
    if (this.#isHeld && this.#choice.current !== 0) {
      this.#choice.note(measured, clock.now());
      return;
    }
    // Nothing answers, yet a node must be somewhere: any region, the same one each time.
    const home = this.#choice.decide(measured, facts, clock.now());
    if (home === 0) this.#choice.force(eligible[0]!.RegionID);
    log('debug', 'measured relay regions', {
      latency: Object.fromEntries(latency),
      home: this.#choice.current,
    });
    this.#publish();
  }

  #publish(): void {
    const home = this.#choice.current;
    if (home === this.#options.relays.home) return;
    this.#options.relays.setHome(home);
    this.#options.onHome(home);
  }
}
