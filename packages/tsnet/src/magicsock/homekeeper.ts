// Keeps the home relay region chosen: at once where there is no choice, else by measuring now and then.
import { setMaxListeners } from 'node:events';
import type { DERPMap, DERPRegion } from '@cove/protocol/tailcfg';
import type { Clock, Timer } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Relays } from './derp.ts';
import { HomeRegion } from './homeregion.ts';
import { netcheck } from './netcheck.ts';

export interface HomeKeeperOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly relays: Relays;
  /** The home region is another now; 0: none. */
  readonly onHome: (region: number) => void;
  /** Seconds by `<region>-v4`. */
  readonly onLatency: (latency: Readonly<Record<string, number>>) => void;
}

/** Between measurements; every report counts for five minutes. */
const MEASURE_EVERY = 150_000;
/** Two losses of a relay close together are one reason to measure. */
const MEASURE_SOON = 1_000;

export class HomeKeeper {
  readonly #options: HomeKeeperOptions;
  readonly #choice: HomeRegion = new HomeRegion();
  readonly #abort: AbortController = new AbortController();
  #scores: ReadonlyMap<number, number> = new Map();
  #timer: Timer | undefined;
  #isMeasuring = false;
  #again = false;

  constructor(options: HomeKeeperOptions) {
    this.#options = options;
    setMaxListeners(0, this.#abort.signal);
  }

  /** Call after the relays have the map. */
  setMap(map: DERPMap | undefined): void {
    this.#scores = new Map(
      Object.entries(map?.HomeParams?.RegionScore ?? {}).map(([id, score]) => [Number(id), score]),
    );
    const eligible = this.#eligible();
    if (!eligible.some(({ RegionID }) => RegionID === this.#choice.current)) this.#choice.force(0);
    if (eligible.length <= 1) {
      this.#timer?.cancel();
      this.#choice.force(eligible[0]?.RegionID ?? 0);
      this.#publish();
    } else void this.#measure();
  }

  /** The home relay was lost, or the network under us changed. */
  recheck(): void {
    if (this.#eligible().length > 1) this.#schedule(MEASURE_SOON);
  }

  close(): void {
    this.#timer?.cancel();
    this.#abort.abort();
  }

  #eligible(): DERPRegion[] {
    const home = this.#choice.current;
    return [...this.#options.relays.regions.values()].filter(
      (region) =>
        region.NoMeasureNoHome !== true &&
        (region.Avoid !== true || region.RegionID === home) &&
        region.Nodes.some((node) => node.STUNOnly !== true),
    );
  }

  async #measure(): Promise<void> {
    if (this.#isMeasuring) {
      this.#again = true;
      return;
    }
    const { clock, relays, randomBytes, onLatency, log } = this.#options;
    this.#isMeasuring = true;
    this.#timer?.cancel();
    const regions = this.#eligible();
    try {
      const { signal } = this.#abort;
      const relayLatency = relays.latency.bind(relays);
      const report = await netcheck({ regions, clock, randomBytes, relayLatency, signal });
      const facts = { score: this.#scores, lastFrame: (id: number) => relays.lastFrame(id) };
      // Nothing answers, yet a node must be somewhere: any region, the same one each time.
      if (this.#choice.decide(report, facts, clock.now()) === 0 && regions[0])
        this.#choice.force(regions[0].RegionID);
      log('debug', 'measured relay regions', {
        latency: Object.fromEntries(report.latency),
        home: this.#choice.current,
      });
      onLatency(Object.fromEntries([...report.latency].map(([id, ms]) => [`${id}-v4`, ms / 1000])));
      this.#publish();
    } catch {
      // Closed meanwhile.
      return;
    } finally {
      this.#isMeasuring = false;
    }
    this.#schedule(this.#again ? 0 : MEASURE_EVERY);
    this.#again = false;
  }

  #schedule(delay: number): void {
    this.#timer?.cancel();
    if (!this.#abort.signal.aborted)
      this.#timer = this.#options.clock.schedule(delay, () => void this.#measure());
  }

  #publish(): void {
    const home = this.#choice.current;
    if (home === this.#options.relays.home) return;
    this.#options.relays.setHome(home);
    this.#options.onHome(home);
  }
}
