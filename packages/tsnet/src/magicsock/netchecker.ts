// Measures the network when there is reason to, one measurement at a time: STUN through the node's own sockets, and
// where no UDP comes back at all, a round trip on a connection to each relay.
import { lookupAddress } from '@cove/derp/client';
import { parseAddr } from '@cove/protocol/netaddr';
import { encodeStunRequest, parseStunResponse, STUN_TXID_LENGTH } from '@cove/protocol/stun';
import type { DERPNode, DERPRegion } from '@cove/protocol/tailcfg';
import type { Clock, Timer } from '../clock.ts';
import type { Log } from '../log.ts';
import { type Family, Netcheck, type NetcheckReport, type StunAddress } from './netcheck.ts';
import type { PathTable } from './paths.ts';
import type { UdpTransport } from './udpsocket.ts';

export interface NetcheckerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly paths: PathTable;
  readonly udp: UdpTransport;
  /** Regions to measure, as of now. */
  readonly regions: () => readonly DERPRegion[];
  readonly home: () => number;
  /** This host has an address of the family. */
  readonly hasFamily: (family: Family) => boolean;
  /** Milliseconds of a round trip to a relay of the region; rejects when none answers. */
  readonly relayLatency: (region: DERPRegion, signal: AbortSignal) => Promise<number>;
  /** STUN is over: what is known of our own addresses. */
  readonly onAddresses: (report: NetcheckReport) => void;
  /** The measurement is over. */
  readonly onReport: (report: NetcheckReport) => void;
}

const RELAY_PHASE = 5_000;
const DNS_LIMIT = 1_000;
const FULL_EVERY = 300_000;
const DEFAULT_STUN_PORT = 3478;

export class Netchecker {
  readonly #options: NetcheckerOptions;
  readonly #abort: AbortController = new AbortController();
  #last: NetcheckReport | undefined;
  #lastFull = Number.NEGATIVE_INFINITY;
  #run: Netcheck | undefined;
  #isRunning = false;
  #again = false;
  #timer: Timer | undefined;
  #finishStun: (() => void) | undefined;

  constructor(options: NetcheckerOptions) {
    this.#options = options;
  }

  get last(): NetcheckReport | undefined {
    return this.#last;
  }

  /** Measures now, or once more after the measurement under way. */
  request(why: string): void {
    if (this.#abort.signal.aborted) return;
    if (this.#isRunning) {
      this.#again = true;
      return;
    }
    this.#isRunning = true;
    this.#options.log('debug', 'netcheck', { why });
    this.#measure()
      .catch((error: unknown) => {
        if (!this.#abort.signal.aborted)
          this.#options.log('error', 'netcheck failed', { error: (error as Error).message });
      })
      .finally(() => {
        this.#isRunning = false;
        const again = this.#again;
        this.#again = false;
        if (again) this.request('asked for meanwhile');
      });
  }

  /** The network changed: the next measurement is a full one. */
  forget(): void {
    this.#lastFull = Number.NEGATIVE_INFINITY;
  }

  /** A STUN datagram came. False: it answers nothing of ours. */
  answer(datagram: Uint8Array): boolean {
    const response = parseStunResponse(datagram);
    const run = this.#run;
    if (!response || !run?.answer(response, this.#options.clock.now())) return false;
    this.#arm();
    return true;
  }

  close(): void {
    this.#abort.abort();
    this.#timer?.cancel();
    this.#finishStun?.();
  }

  async #measure(): Promise<void> {
    const { clock, regions: regionsOf, home, randomBytes } = this.#options;
    const { signal } = this.#abort;
    const regions = regionsOf();
    const addresses = await this.#resolve(regions);
    if (signal.aborted) return;
    const now = clock.now();
    const isFull = this.#last === undefined || now - this.#lastFull > FULL_EVERY;
    if (isFull) this.#lastFull = now;
    const run = new Netcheck(
      {
        regions,
        home: home(),
        hasIPv6: this.#options.hasFamily(6),
        addressOf: (node, family) => addresses.get(node)?.[family],
        last: isFull ? undefined : this.#last,
        newTxId: () => randomBytes(STUN_TXID_LENGTH),
      },
      now,
    );
    this.#run = run;
    await new Promise<void>((resolve) => {
      this.#finishStun = resolve;
      this.#step();
    });
    this.#run = undefined;
    if (signal.aborted) return;
    let report = run.report();
    this.#options.onAddresses(report);
    if (!report.udp) report = await this.#overRelays(report, regions);
    if (signal.aborted) return;
    this.#last = report;
    this.#options.onReport(report);
  }

  #step(): void {
    const { clock, udp, paths } = this.#options;
    const run = this.#run!;
    for (const probe of run.tick(clock.now())) {
      const path = paths.find(probe.address, probe.port);
      if (!path || !udp.probe(path, encodeStunRequest(probe.txId))) run.unreachable(probe);
    }
    this.#arm();
  }

  #arm(): void {
    const { clock } = this.#options;
    const run = this.#run!;
    this.#timer?.cancel();
    const now = clock.now();
    if (run.isDone(now)) this.#finishStun?.();
    else this.#timer = clock.schedule(Math.max(0, run.nextTick - now), () => this.#step());
  }

  async #overRelays(
    report: NetcheckReport,
    regions: readonly DERPRegion[],
  ): Promise<NetcheckReport> {
    const latency = new Map(report.latency);
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(RELAY_PHASE)]);
    await Promise.all(
      regions.map(async (region) => {
        try {
          latency.set(region.RegionID, await this.#options.relayLatency(region, signal));
        } catch {
          // No way there: the region stays absent.
        }
      }),
    );
    return { ...report, latency };
  }

  /** Where the relays are; names are looked up before anything is timed. */
  async #resolve(
    regions: readonly DERPRegion[],
  ): Promise<Map<DERPNode, Partial<Record<Family, StunAddress>>>> {
    const found = new Map<DERPNode, Partial<Record<Family, StunAddress>>>();
    const limit = AbortSignal.timeout(DNS_LIMIT);
    const families = ([4, 6] as const).filter((family) => this.#options.hasFamily(family));
    await Promise.all(
      regions.flatMap((region) =>
        region.Nodes.flatMap((node) =>
          families.map(async (family) => {
            const port = node.STUNPort || DEFAULT_STUN_PORT;
            if (port < 0 || port > 65535) return;
            const address = await addressOf(node, family, limit);
            if (address === undefined) return;
            const known = found.get(node) ?? {};
            known[family] = { address, port };
            found.set(node, known);
          }),
        ),
      ),
    );
    return found;
  }
}

/** A literal that is of the other family, or no address at all, turns the family off. */
async function addressOf(
  node: DERPNode,
  family: Family,
  limit: AbortSignal,
): Promise<string | undefined> {
  const length = family === 4 ? 4 : 16;
  const literal = node.STUNTestIP || (family === 4 ? node.IPv4 : node.IPv6);
  if (literal) return parseAddr(literal)?.length === length ? literal : undefined;
  const literalName = parseAddr(node.HostName);
  if (literalName) return literalName.length === length ? node.HostName : undefined;
  return new Promise((resolve) => {
    limit.addEventListener('abort', () => resolve(undefined), { once: true });
    lookupAddress(node.HostName, family).then(resolve, () => resolve(undefined));
  });
}
