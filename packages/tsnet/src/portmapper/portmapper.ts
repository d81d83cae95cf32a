// Keeps one UDP port of the node open at the default gateway, by NAT-PMP, PCP or UPnP, whichever it speaks.
//
// A service that answered is believed to be there for ten minutes. A mapping is renewed when half of its remaining
// life is over, so that a gateway which stays silent is asked ever more often; one that says no, began its count of
// seconds anew or was exchanged for another is asked for a new mapping at once. Without a mapping, be it for want of a
// gateway, the pauses between attempts double.
import { formatAddrPort } from '@cove/protocol/netaddr';
import { type Clock, sleep, type Timer } from '../clock.ts';
import { closedError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type EpochSample, natPmpLostState, pcpLostState } from './epoch.ts';
import { findGateway } from './gateway.ts';
import { SSDP_PORT } from './igd.ts';
import {
  type Attempt,
  type Gateway,
  isPrivateIPv4,
  type Lease,
  type PortMapperCounters,
  type ProtocolName,
  type Surroundings,
} from './lease.ts';
import { NAT_PMP_PORT } from './natpmp.ts';
import { mapNatPmp, probeNatPmp } from './natpmplease.ts';
import { PCP_NONCE_LENGTH } from './pcp.ts';
import { mapPcp, probePcp } from './pcplease.ts';
import { mapUpnp, searchUpnp } from './upnplease.ts';

/** Milliseconds. */
const SERVICE_TRUST = 10 * 60_000;
/** `probe` is called with every measurement of the relays: so often need nobody ask who is not there. */
const ABSENCE_TRUST = 60_000;
/** Whoever answers later than this is noted, but not waited for if anybody was in time. */
const PROBE_WAIT = 250;
const CREATION_LIMIT = 5_000;
const RELEASE_LIMIT = 1_000;
/** RFC 6887 section 11.2.1 allows 4 s. */
const RENEWAL_MINIMUM = 10_000;
const RETRY_FIRST = 5_000;
const RETRY_LAST = SERVICE_TRUST;
/** Longer leases are renewed as if they were this long; seconds. */
const LIFETIME_LIMIT = 86_400;

export interface PortMapping {
  /** `ip:port` of the gateway's outer side, IPv4. */
  readonly external: string;
  readonly protocol: ProtocolName;
  /** The external address is a private one: only neighbours behind the same outer NAT can use it. */
  readonly behindNat: boolean;
  /** By the clock's `now`; renewed long before. */
  readonly goodUntil: number;
}

export interface PortServices {
  readonly pmp: boolean;
  readonly pcp: boolean;
  readonly upnp: boolean;
}

export interface PortMapperOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly randomBytes: (length: number) => Uint8Array;
  /** The external endpoint came, changed, or (undefined) went. Must not throw. */
  readonly onChange: (mapping: PortMapping | undefined) => void;
  /** Asked before each use of a protocol: some networks' owners do not want UPnP, say. Default: all are. */
  readonly allowed?: (protocol: ProtocolName) => boolean;
  /** Default: the routing table of the operating system. Must not reject. */
  readonly findGateway?: (signal: AbortSignal) => Promise<Gateway | undefined>;
  /** UDP ports of the gateway; tests run theirs on others. */
  readonly ports?: { readonly natPmp: number; readonly ssdp: number };
}

/** When each service last answered, by the clock's `now`. */
type Seen = { [protocol in ProtocolName]?: number } & { locations: readonly string[] };

interface Held {
  readonly lease: Lease;
  readonly internalPort: number;
  renewAt: number;
  goodUntil: number;
}

export class PortMapper implements AsyncDisposable {
  readonly #options: PortMapperOptions;
  readonly #env: Surroundings;
  readonly #counters: PortMapperCounters = { malformed: 0, foreign: 0 };
  readonly #closing: AbortController = new AbortController();
  /** Ends what goes on with a gateway when there may be another. */
  #attached: AbortController = new AbortController();
  readonly #epochs: Map<'nat-pmp' | 'pcp', EpochSample> = new Map();
  #gateway: Gateway | undefined;
  #seen: Seen = { locations: [] };
  #probing: Promise<void> | undefined;
  #probedAt = Number.NEGATIVE_INFINITY;
  #localPort: number | undefined;
  #nonce: Uint8Array = new Uint8Array(PCP_NONCE_LENGTH);
  #held: Held | undefined;
  #published: PortMapping | undefined;
  /** The last external port, asked for again. */
  #previousPort = 0;
  #failures = 0;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #closed: Promise<void> | undefined;

  constructor(options: PortMapperOptions) {
    this.#options = options;
    this.#env = {
      clock: options.clock,
      randomBytes: options.randomBytes,
      counters: this.#counters,
      ports: options.ports ?? { natPmp: NAT_PMP_PORT, ssdp: SSDP_PORT },
      epoch: (protocol, epoch) => this.#noteEpoch(protocol, epoch),
    };
  }

  get counters(): Readonly<PortMapperCounters> {
    return this.#counters;
  }

  /** The mapping held, undefined if there is none. */
  mapping(): PortMapping | undefined {
    return this.#published;
  }

  /**
   * Which services the gateway has, by their answers of the last ten minutes; the others are asked, once a
   * minute at most, and have 250 ms for it. Rejects with the signal's reason, and with ERR_CLOSED.
   */
  async probe(signal?: AbortSignal): Promise<PortServices> {
    if (this.#closed) throw closedError('the port mapper');
    const moved = await this.#lookForGateway();
    if (moved && this.#localPort !== undefined) this.#wake();
    const asked = this.#env.clock.now() - this.#probedAt;
    if (this.#probing || asked >= ABSENCE_TRUST) await this.#probeServices();
    signal?.throwIfAborted();
    return this.#services();
  }

  /**
   * Keeps a mapping to this local UDP port from now on; at work in the background, cheap to call again. Another port
   * replaces the one before.
   */
  ensure(localPort: number): void {
    if (this.#localPort === localPort) return;
    this.#localPort = localPort;
    // The gateway keeps to the nonce that made a mapping, even if its answer never came here.
    this.#nonce = this.#env.randomBytes(PCP_NONCE_LENGTH);
    this.#failures = 0;
    this.#wake();
  }

  /** After a change of the network or after sleep: looks for the gateway anew, and renews what it holds. */
  networkChanged(): void {
    this.#forget();
    if (this.#held) this.#held.renewAt = this.#env.clock.now();
    if (this.#localPort !== undefined) this.#wake();
  }

  /** Ends the mapping at the gateway, waiting for that at most a second. `onChange` is not called for it. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#attached.abort();
    this.#timer?.cancel();
    await this.#running;
    await this.#probing;
    const held = this.#held;
    this.#held = undefined;
    this.#published = undefined;
    if (held) await this.#release(held.lease);
  }

  async #release(lease: Lease): Promise<void> {
    const limit = new AbortController();
    const timer = this.#env.clock.schedule(RELEASE_LIMIT, () => limit.abort());
    await lease.release(limit.signal);
    timer.cancel();
  }

  #wake(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#again = true;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      const next = await this.#settle();
      if (this.#closed) break;
      this.#publish();
      if (!this.#again) {
        this.#timer = this.#env.clock.schedule(next, () => this.#wake());
      }
    }
    // In the same turn as the last look at #again: a call of #wake finds one or the other.
    this.#running = undefined;
  }

  /** One pass towards a mapping of the port wanted; resolves with milliseconds until the next. */
  async #settle(): Promise<number> {
    const { clock } = this.#env;
    await this.#lookForGateway();
    const gateway = this.#gateway;
    const localPort = this.#localPort!;
    const old = this.#held;
    if (old && old.internalPort !== localPort) {
      this.#held = undefined;
      await this.#release(old.lease);
    }
    if (this.#held && clock.now() >= this.#held.renewAt) await this.#renew(this.#held);
    if (!this.#held && gateway) await this.#create(gateway, localPort);
    if (this.#held) return Math.max(this.#held.renewAt - clock.now(), 0);
    return Math.min(RETRY_FIRST * 2 ** this.#failures++, RETRY_LAST);
  }

  async #renew(held: Held): Promise<void> {
    const { clock } = this.#env;
    const attached = this.#attached.signal;
    const attempt = await this.#limited((signal) => held.lease.renew(signal));
    // The gateway may have been exchanged for another meanwhile.
    if (this.#held !== held) return;
    if ('lease' in attempt) {
      this.#hold(attempt.lease, held.internalPort);
      return;
    }
    // Cut off, which says nothing of the gateway.
    if (attached.aborted) return;
    this.#noteFailure(held.lease.protocol, attempt);
    const left = held.goodUntil - clock.now();
    if (attempt.failed === 'silent' && left > 0) {
      held.renewAt = clock.now() + Math.min(left, Math.max(left / 2, RENEWAL_MINIMUM));
      return;
    }
    this.#held = undefined;
  }

  async #create(gateway: Gateway, localPort: number): Promise<void> {
    await this.#probeServices();
    const inTime = this.#services();
    if (!inTime.pmp && !inTime.pcp && !inTime.upnp) await this.#probing;
    if (this.#closed || this.#gateway !== gateway) return;
    const port = this.#previousPort;
    const { pmp, pcp, upnp } = this.#services();
    const { locations } = this.#seen;
    const lease = await this.#limited(async (signal) => {
      const ways = [
        ['nat-pmp', pmp, () => mapNatPmp(this.#env, gateway, localPort, port, signal)],
        ['pcp', pcp, () => mapPcp(this.#env, gateway, this.#nonce, localPort, port, signal)],
        ['upnp', upnp, () => mapUpnp(this.#env, gateway, locations, localPort, port, signal)],
      ] as const;
      for (const [protocol, offered, map] of ways) {
        if (!offered || signal.aborted) continue;
        const attempt = await map();
        if ('lease' in attempt) return attempt.lease;
        this.#noteFailure(protocol, attempt);
      }
      return undefined;
    });
    if (lease && this.#gateway === gateway) this.#hold(lease, localPort);
  }

  #hold(lease: Lease, internalPort: number): void {
    const now = this.#env.clock.now();
    const life = Math.min(lease.lifetime, LIFETIME_LIMIT) * 1_000;
    const renewAt = now + Math.max(life / 2, RENEWAL_MINIMUM);
    this.#held = { lease, internalPort, renewAt, goodUntil: now + life };
    this.#previousPort = lease.externalPort;
    this.#failures = 0;
  }

  #publish(): void {
    const before = this.#published;
    // One of a port that is no longer wanted is about to be replaced.
    const held = this.#held?.internalPort === this.#localPort ? this.#held : undefined;
    this.#published = held && {
      external: formatAddrPort(held.lease.externalAddress, held.lease.externalPort),
      protocol: held.lease.protocol,
      behindNat: isPrivateIPv4(held.lease.externalAddress),
      goodUntil: held.goodUntil,
    };
    if (before?.external === this.#published?.external) return;
    const { external, protocol } = this.#published ?? {};
    this.#options.log('info', external ? 'the gateway maps a port' : 'the port mapping is gone', {
      external,
      protocol,
    });
    this.#options.onChange(this.#published);
  }

  /** Whether there is another than before. */
  async #lookForGateway(): Promise<boolean> {
    const find = this.#options.findGateway ?? findGateway;
    const found = await find(this.#closing.signal);
    const known = this.#gateway;
    if (this.#closed || (found?.address === known?.address && found?.self === known?.self)) {
      return false;
    }
    this.#gateway = found;
    this.#forget();
    this.#epochs.clear();
    this.#previousPort = 0;
    // The old gateway is out of reach; what it mapped ends by itself.
    this.#held = undefined;
    return true;
  }

  /** What is believed of services, and what is being asked. */
  #forget(): void {
    this.#attached.abort();
    this.#attached = new AbortController();
    this.#seen = { locations: [] };
    this.#probing = undefined;
    this.#probedAt = Number.NEGATIVE_INFINITY;
    this.#failures = 0;
  }

  #isThere(protocol: ProtocolName): boolean {
    const seenAt = this.#seen[protocol];
    if (seenAt === undefined || !this.#allowed(protocol)) return false;
    return this.#env.clock.now() - seenAt < SERVICE_TRUST;
  }

  #services(): PortServices {
    return {
      pmp: this.#isThere('nat-pmp'),
      pcp: this.#isThere('pcp'),
      upnp: this.#isThere('upnp'),
    };
  }

  /** Asks the services not seen lately; resolves when all answered, or soon. */
  async #probeServices(): Promise<void> {
    const gateway = this.#gateway;
    if (gateway === undefined) return;
    if (this.#probing === undefined) {
      const probing = this.#probeGateway(gateway).finally(() => {
        if (this.#probing === probing) this.#probing = undefined;
      });
      this.#probing = probing;
    }
    await Promise.race([this.#probing, sleep(this.#env.clock, PROBE_WAIT)]);
  }

  async #probeGateway(gateway: Gateway): Promise<void> {
    this.#probedAt = this.#env.clock.now();
    const { signal } = this.#attached;
    const seen = this.#seen;
    const { pmp, pcp, upnp } = this.#services();
    const ask = async (
      protocol: ProtocolName,
      known: boolean,
      probe: () => Promise<boolean>,
    ): Promise<void> => {
      if (known || !this.#allowed(protocol) || !(await probe())) return;
      // Forgotten meanwhile: this answer is of another network.
      if (this.#closed || this.#seen !== seen) return;
      seen[protocol] = this.#env.clock.now();
      if (this.#localPort === undefined || this.#held || this.#running) return;
      this.#failures = 0;
      this.#wake();
    };
    await Promise.all([
      ask('nat-pmp', pmp, () => probeNatPmp(this.#env, gateway, signal)),
      ask('pcp', pcp, () => probePcp(this.#env, gateway, signal)),
      ask('upnp', upnp, async () => {
        const locations = await searchUpnp(this.#env, gateway, signal);
        if (locations.length > 0) seen.locations = locations;
        return locations.length > 0;
      }),
    ]);
  }

  #allowed(protocol: ProtocolName): boolean {
    return this.#options.allowed?.(protocol) ?? true;
  }

  /** All of the gateway's mappings are void when it began anew, whichever protocol tells. */
  #noteEpoch(protocol: 'nat-pmp' | 'pcp', epoch: number): void {
    const sample = { epoch, at: this.#env.clock.now() };
    const before = this.#epochs.get(protocol);
    this.#epochs.set(protocol, sample);
    if (before === undefined || this.#held === undefined) return;
    const lost = protocol === 'pcp' ? pcpLostState : natPmpLostState;
    if (!lost(before, sample)) return;
    this.#options.log('debug', 'the gateway began anew', { protocol, epoch });
    this.#held.renewAt = this.#held.goodUntil = sample.at;
    this.#wake();
  }

  async #limited<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const timer = this.#env.clock.schedule(CREATION_LIMIT, () => limit.abort());
    try {
      return await work(AbortSignal.any([limit.signal, this.#attached.signal]));
    } finally {
      timer.cancel();
    }
  }

  /** A service that failed is asked whether it is there before it is used again. */
  #noteFailure(protocol: ProtocolName, attempt: Exclude<Attempt, { lease: Lease }>): void {
    this.#options.log('debug', 'no port mapping', { protocol, ...attempt });
    delete this.#seen[protocol];
  }
}
