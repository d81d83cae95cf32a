// One measurement of the network: which relay regions answer STUN (RFC 8489), how fast, and under which addresses they
// see us. Sans I/O: says which requests are due, takes the answers.
//
// Full: three requests per region and family, 100 ms apart. Otherwise: the home region and the three that were
// fastest, spaced by what they took last time.
import { toHex } from '@cove/protocol/bytes';
import { formatAddr, formatAddrPort } from '@cove/protocol/netaddr';
import type { StunResponse } from '@cove/protocol/stun';
import type { DERPNode, DERPRegion } from '@cove/protocol/tailcfg';

export type Family = 4 | 6;

export interface NetcheckReport {
  /** Clock of the run, milliseconds. */
  readonly startedAt: number;
  readonly isFull: boolean;
  /** Some STUN answer came. */
  readonly udp: boolean;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** The host has IPv6 addresses, whether they lead anywhere or not. */
  readonly hasIPv6: boolean;
  /** `ip:port` as the first server of the family saw it. */
  readonly globalV4: string | undefined;
  readonly globalV6: string | undefined;
  /** Further addresses that more than one answer named. */
  readonly otherGlobal: readonly string[];
  /** The port mapping depends on whom we speak to (hard NAT); undefined: fewer than two servers answered by IPv4. */
  readonly mappingVaries: boolean | undefined;
  /** Lowest latency in milliseconds by region; regions that did not answer are absent. */
  readonly latency: ReadonlyMap<number, number>;
  readonly latencyV4: ReadonlyMap<number, number>;
  readonly latencyV6: ReadonlyMap<number, number>;
}

export interface StunAddress {
  readonly address: string;
  readonly port: number;
}

/** A request to be sent now. */
export interface StunProbe extends StunAddress {
  readonly txId: Uint8Array;
}

export interface NetcheckOptions {
  /** Those that may be measured. */
  readonly regions: readonly DERPRegion[];
  /** 0: none. */
  readonly home: number;
  readonly hasIPv6: boolean;
  /** Where a relay answers STUN by a family; undefined: not at all, or this host cannot send there. */
  readonly addressOf: (node: DERPNode, family: Family) => StunAddress | undefined;
  /** The report before, for a measurement of the nearest regions only; absent: a full one. */
  readonly last?: NetcheckReport | undefined;
  /** 12 random bytes. */
  readonly newTxId: () => Uint8Array;
}

const FAMILIES: readonly Family[] = [4, 6];
export const STUN_PHASE = 3_000;
const INITIAL_SPACING = 100;
const UNKNOWN_SPACING = 200;
const INITIAL_TRIES = 3;
/** Incremental: the home region and so many others. */
const NEAREST = 3;
/** So many regions are enough: the others get as long again as the slowest of them took. */
const ENOUGH_REGIONS = 3;
/** Once every region answered by one family, the other gets this much longer, whatever the latency. */
const MIN_GRACE = 20;

/** The requests to one region by one family; one answer is enough. */
interface ProbeSet {
  readonly region: DERPRegion;
  readonly family: Family;
  isDone: boolean;
}

interface PlannedProbe {
  readonly set: ProbeSet;
  readonly to: StunAddress;
  readonly at: number;
}

interface SentProbe {
  readonly set: ProbeSet;
  readonly at: number;
}

export class Netcheck {
  readonly #options: NetcheckOptions;
  readonly #startedAt: number;
  readonly #sets: ProbeSet[] = [];
  /** In order of time. */
  readonly #planned: PlannedProbe[] = [];
  readonly #sent: Map<string, SentProbe> = new Map();
  readonly #latency: Record<Family, Map<number, number>> = { 4: new Map(), 6: new Map() };
  readonly #global: Record<Family, string | undefined> = { 4: undefined, 6: undefined };
  /** How often an address was named. */
  readonly #named: Map<string, number> = new Map();
  #mappingVaries: boolean | undefined;
  #stopAt: number;

  constructor(options: NetcheckOptions, now: number) {
    this.#options = options;
    this.#startedAt = now;
    this.#stopAt = now + STUN_PHASE;
    if (options.last) this.#planIncremental(options.last);
    else this.#planInitial();
    this.#planned.sort((a, b) => a.at - b.at);
  }

  /** Nothing more to wait for. */
  isDone(now: number): boolean {
    return now >= this.#stopAt || this.#sets.every(({ isDone }) => isDone);
  }

  /** When something is due. */
  get nextTick(): number {
    return Math.min(this.#stopAt, this.#planned[0]?.at ?? Number.POSITIVE_INFINITY);
  }

  /** The requests that are due. */
  tick(now: number): StunProbe[] {
    const due: StunProbe[] = [];
    while (this.#planned.length > 0 && this.#planned[0]!.at <= now) {
      const { set, to } = this.#planned.shift()!;
      if (set.isDone) continue;
      const txId = this.#options.newTxId();
      this.#sent.set(toHex(txId), { set, at: now });
      due.push({ ...to, txId });
    }
    return due;
  }

  /** The request could not be sent. */
  unreachable(probe: StunProbe): void {
    const sent = this.#sent.get(toHex(probe.txId));
    if (!sent) return;
    const { set } = sent;
    // Somebody must be left who could answer.
    if (!this.#planned.some((planned) => planned.set === set)) set.isDone = true;
  }

  /** False: not an answer to a request of ours. */
  answer(response: StunResponse, now: number): boolean {
    const id = toHex(response.txId);
    const sent = this.#sent.get(id);
    if (!sent) return false;
    this.#sent.delete(id);
    const { set, at } = sent;
    set.isDone = true;
    const took = Math.max(now - at, 0.001);
    const latency = this.#latency[set.family];
    const region = set.region.RegionID;
    const isFirstOfRegion = !latency.has(region);
    latency.set(region, Math.min(took, latency.get(region) ?? took));
    this.#noteAddress(formatAddrPort(formatAddr(response.addr), response.port), set.family, {
      isNewServer: isFirstOfRegion,
    });
    this.#mayStop(now);
    return true;
  }

  report(): NetcheckReport {
    const [v4, v6] = [this.#latency[4], this.#latency[6]];
    const latency = new Map(v4);
    for (const [region, took] of v6)
      latency.set(region, Math.min(took, latency.get(region) ?? took));
    const first = new Set([this.#global[4], this.#global[6]]);
    return {
      startedAt: this.#startedAt,
      isFull: this.#options.last === undefined,
      udp: latency.size > 0,
      ipv4: v4.size > 0,
      ipv6: v6.size > 0,
      hasIPv6: this.#options.hasIPv6,
      globalV4: this.#global[4],
      globalV6: this.#global[6],
      otherGlobal: [...this.#named].flatMap(([address, times]) =>
        times > 1 && !first.has(address) ? [address] : [],
      ),
      mappingVaries: this.#mappingVaries,
      latency,
      latencyV4: v4,
      latencyV6: v6,
    };
  }

  #noteAddress(address: string, family: Family, { isNewServer }: { isNewServer: boolean }): void {
    this.#named.set(address, (this.#named.get(address) ?? 0) + 1);
    const first = this.#global[family];
    this.#global[family] = first ?? address;
    // One address seen by two servers is what makes a direct path likely.
    if (family === 4 && first !== undefined && isNewServer)
      this.#mappingVaries = this.#mappingVaries === true || first !== address;
  }

  #mayStop(now: number): void {
    const answered = new Set([...this.#latency[4].keys(), ...this.#latency[6].keys()]);
    const regions = new Set(this.#sets.map(({ region }) => region.RegionID));
    let slowest = 0;
    for (const latency of [...this.#latency[4].values(), ...this.#latency[6].values()])
      slowest = Math.max(slowest, latency);
    const isFull = this.#options.last === undefined;
    if (answered.size >= regions.size)
      this.#stopAt = Math.min(this.#stopAt, now + Math.max(MIN_GRACE, 2 * slowest));
    else if (answered.size >= ENOUGH_REGIONS)
      this.#stopAt = Math.min(this.#stopAt, now + (isFull ? 2 : 1) * slowest);
  }

  #planInitial(): void {
    for (const region of this.#options.regions) {
      for (const family of FAMILIES)
        this.#plan(region, family, INITIAL_TRIES, (attempt) => attempt * INITIAL_SPACING);
    }
  }

  #planIncremental(last: NetcheckReport): void {
    const { home } = this.#options;
    const lastOf = (region: DERPRegion): number =>
      last.latency.get(region.RegionID) ?? Number.POSITIVE_INFINITY;
    const sorted = [...this.#options.regions].sort((a, b) => {
      const [x, y] = [lastOf(a), lastOf(b)];
      return x === y ? a.RegionID - b.RegionID : x - y;
    });
    const hadBoth = last.ipv4 && last.ipv6;
    for (const [rank, region] of sorted.entries()) {
      const isHome = region.RegionID === home;
      if (rank >= NEAREST && !isHome) continue;
      const isFast = rank < NEAREST - 1;
      const tries = isHome ? 4 : isFast ? 2 : 1;
      const took = last.latency.get(region.RegionID);
      const spacing = took === undefined ? UNKNOWN_SPACING : took * 1.2;
      for (const family of FAMILIES) {
        if (!isHome && !isFast && hadBoth && (rank % 2 === 0) !== (family === 4)) continue;
        const isOptional = family === 6 && !last.ipv6;
        if (isOptional && !isHome && !isFast) continue;
        this.#plan(
          region,
          family,
          isOptional ? 1 : tries,
          (attempt) => attempt * spacing + (attempt > 1 ? attempt * 50 : 0),
        );
      }
    }
  }

  #plan(
    region: DERPRegion,
    family: Family,
    tries: number,
    delay: (attempt: number) => number,
  ): void {
    const addresses = region.Nodes.flatMap((node) => this.#options.addressOf(node, family) ?? []);
    if (addresses.length === 0) return;
    const set: ProbeSet = { region, family, isDone: false };
    this.#sets.push(set);
    for (let attempt = 0; attempt < tries; attempt++) {
      const to = addresses[attempt % addresses.length]!;
      this.#planned.push({ set, to, at: this.#startedAt + delay(attempt) });
    }
  }
}
