// The node's relay connections: the home region always, other regions while something is sent there.
//
// A region is dialled by whoever needs it; packets wait meanwhile in a short queue. Connections other than home close
// after a minute without a write. Broken ones are dialled again, with growing pauses until one lasts.
import { isDeepStrictEqual } from 'node:util';
import type { DERPMap, DERPRegion } from '@cove/protocol/tailcfg';
import type { Clock, Timer } from '../clock.ts';
import { closedError } from '../errors.ts';
import type { Log } from '../log.ts';

/** One connection to a relay, as magicsock uses it. */
export interface RelayClient {
  /** Sends a packet to the holder of the key; both are copied, or written, before the call returns. */
  send(key: Uint8Array, buf: Uint8Array, offset: number, length: number): void;
  /** Bytes accepted by send and not yet taken by the operating system. */
  readonly queuedBytes: number;
  /** When something last came; engine clock. */
  readonly lastReceivedAt: number;
  notePreferred(home: boolean): void;
  /** Milliseconds of a round trip to the relay. */
  ping(signal: AbortSignal): Promise<number>;
  /** No events follow. */
  close(): void;
}

/** Packets and keys are borrowed for the call; packets may be overwritten. */
export interface RelayEvents {
  /** The relay accepted us. */
  connected(): void;
  packet(source: Uint8Array, packet: Uint8Array): void;
  peerGone(key: Uint8Array): void;
  /** A problem for people to see; '' when it is over. */
  health(problem: string): void;
  /** queuedBytes fell to nothing again. */
  drained(): void;
  /** The connection is over or never came to be. Called once, last. */
  closed(error: Error | undefined): void;
}

/** Starts connecting; events follow, never from inside the call. */
export type RelayDial = (region: DERPRegion, events: RelayEvents) => RelayClient;

export interface RelaysSink {
  packet(region: number, source: Uint8Array, packet: Uint8Array): void;
  peerGone(region: number, key: Uint8Array): void;
  /** Every route through the region is lost. */
  regionLost(region: number): void;
  connected(region: number, home: boolean): void;
  /** The relay socket is full (true) or has room again. */
  congested(on: boolean): void;
}

export interface RelaysOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly dial: RelayDial;
  /** A float of [0, 1), to spread reconnects. */
  readonly random: () => number;
  readonly sink: RelaysSink;
}

/** Packets that wait for a connection, per region; the oldest is dropped for a newer one. */
const QUEUE_LENGTH = 32;
const IDLE_LIMIT = 60_000;
const IDLE_SCAN = 15_000;
const BACKOFF_STEP = 10;
const BACKOFF_LIMIT = 5_000;
/** A relay that was connected before the network changed has this long to answer. */
const CHECK_LIMIT = 3_000;
/** A connection that stood this long ends the row of failures. */
const LASTED = 10_000;
/**
 * A burst, or a socket with more than this queued, stops TCP from making new segments: the client itself holds
 * 128 KiB and then drops.
 */
const CONGESTED_BYTES = 96 << 10;

interface Waiting {
  readonly key: Uint8Array;
  readonly packet: Uint8Array;
}

interface Relay {
  readonly id: number;
  readonly region: DERPRegion;
  client: RelayClient | undefined;
  isConnected: boolean;
  connectedAt: number;
  lastWrite: number;
  waiting: Waiting[];
  retry: Timer | undefined;
  isCongested: boolean;
  /** Bytes sent since the event loop last came by. */
  burst: number;
}

export class Relays {
  readonly #options: RelaysOptions;
  readonly #regions: Map<number, DERPRegion> = new Map();
  readonly #relays: Map<number, Relay> = new Map();
  /** Failures in a row, by region. */
  readonly #failures: Map<number, number> = new Map();
  /** Of connections that are over, by region. */
  readonly #lastFrame: Map<number, number> = new Map();
  readonly #health: Map<number, string> = new Map();
  #home = 0;
  #congested = 0;
  #idleScan: Timer | undefined;
  #closed = false;
  dropped = 0;

  constructor(options: RelaysOptions) {
    this.#options = options;
  }

  get home(): number {
    return this.#home;
  }

  /** Problems relays told of, by region. */
  get health(): ReadonlyMap<number, string> {
    return this.#health;
  }

  get regions(): ReadonlyMap<number, DERPRegion> {
    return this.#regions;
  }

  get connectedCount(): number {
    let count = 0;
    for (const relay of this.#relays.values()) if (relay.isConnected) count++;
    return count;
  }

  isConnected(region: number): boolean {
    return this.#relays.get(region)?.isConnected === true;
  }

  /** When the last frame came from the region; undefined: never. */
  lastFrame(region: number): number | undefined {
    const relay = this.#relays.get(region);
    return relay?.isConnected ? relay.client!.lastReceivedAt : this.#lastFrame.get(region);
  }

  /** Milliseconds of a round trip to a relay of the region, over a connection of its own if there is none. */
  async latency(region: DERPRegion, signal: AbortSignal): Promise<number> {
    const relay = this.#relays.get(region.RegionID);
    if (relay?.isConnected) return relay.client!.ping(signal);
    // A second connection under the same key would draw the packets that the first is meant for.
    if (relay) throw closedError('the relay connection');
    let probe: RelayClient | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        probe = this.#options.dial(region, {
          connected: resolve,
          packet: () => {},
          peerGone: () => {},
          health: () => {},
          drained: () => {},
          closed: (error) => reject(error ?? new Error('the relay closed the connection')),
        });
      });
      return await probe!.ping(signal);
    } finally {
      probe?.close();
    }
  }

  setMap(map: DERPMap | undefined): void {
    const next = new Map<number, DERPRegion>();
    for (const [id, region] of Object.entries(map?.Regions ?? {})) {
      if (region) next.set(Number(id), region);
    }
    for (const [id, relay] of this.#relays) {
      const region = next.get(id);
      if (region !== relay.region && !isDeepStrictEqual(region, relay.region))
        this.#drop(relay, true);
    }
    this.#regions.clear();
    for (const [id, region] of next) this.#regions.set(id, region);
    this.#failures.clear();
    this.#keepHome();
  }

  /** 0: none. The new home is dialled, the old one stays until it is idle. */
  setHome(region: number): void {
    if (region === this.#home) return;
    this.#home = region;
    for (const relay of this.#relays.values()) {
      if (relay.isConnected) relay.client!.notePreferred(relay.id === region);
    }
    this.#keepHome();
  }

  /** False: the packet was dropped, because there is no such region or its queue is full. */
  send(region: number, key: Uint8Array, buf: Uint8Array, offset: number, length: number): boolean {
    const relay = this.#relays.get(region) ?? this.#open(region);
    if (!relay) return false;
    relay.lastWrite = this.#options.clock.now();
    const client = relay.client;
    if (client && relay.isConnected) {
      client.send(key, buf, offset, length);
      if (relay.burst === 0) setImmediate(() => this.#endBurst(relay));
      relay.burst += length;
      if (relay.burst + client.queuedBytes > CONGESTED_BYTES) this.#setCongested(relay, true);
      return true;
    }
    if (relay.waiting.length >= QUEUE_LENGTH) {
      relay.waiting.splice(0, 1);
      this.dropped++;
    }
    relay.waiting.push({ key: key.slice(), packet: buf.slice(offset, offset + length) });
    return true;
  }

  /** Connects anew, as whom dial now says. */
  reconnect(): void {
    for (const relay of this.#relays.values()) this.#drop(relay, true);
    this.#failures.clear();
    this.#keepHome();
  }

  /** After the network changed: connections that do not answer soon are dropped, what is needed is dialled anew. */
  async check(): Promise<void> {
    this.#failures.clear();
    await Promise.all(
      [...this.#relays.values()].map(async (relay) => {
        try {
          if (relay.isConnected) await relay.client!.ping(AbortSignal.timeout(CHECK_LIMIT));
          else if (!relay.client) this.#drop(relay, true);
        } catch {
          if (this.#relays.get(relay.id) === relay) this.#drop(relay, true);
        }
      }),
    );
    if (!this.#closed) this.#keepHome();
  }

  close(): void {
    this.#closed = true;
    this.#idleScan?.cancel();
    for (const relay of this.#relays.values()) this.#drop(relay, false);
  }

  #keepHome(): void {
    if (this.#home !== 0 && !this.#relays.has(this.#home)) this.#open(this.#home);
  }

  #open(id: number): Relay | undefined {
    const region = this.#regions.get(id);
    if (!region || this.#closed) return undefined;
    const relay: Relay = {
      id,
      region,
      client: undefined,
      isConnected: false,
      connectedAt: 0,
      lastWrite: this.#options.clock.now(),
      waiting: [],
      retry: undefined,
      isCongested: false,
      burst: 0,
    };
    this.#relays.set(id, relay);
    const failures = this.#failures.get(id) ?? 0;
    if (failures === 0) this.#dial(relay);
    else this.#dialLater(relay, failures);
    this.#idleScan ??= this.#scheduleScan();
    return relay;
  }

  #dialLater(relay: Relay, failures: number): void {
    const pause = failures * failures * BACKOFF_STEP * (0.5 + this.#options.random());
    relay.retry = this.#options.clock.schedule(
      Math.min(pause, BACKOFF_LIMIT),
      () => {
        relay.retry = undefined;
        this.#dial(relay);
      },
      false,
    );
  }

  #dial(relay: Relay): void {
    const { sink, clock, log } = this.#options;
    const { id } = relay;
    const events: RelayEvents = {
      connected: () => {
        relay.isConnected = true;
        relay.connectedAt = clock.now();
        log('debug', 'relay connected', { region: id });
        relay.client!.notePreferred(id === this.#home);
        for (const { key, packet } of relay.waiting.splice(0))
          relay.client!.send(key, packet, 0, packet.length);
        sink.connected(id, id === this.#home);
      },
      packet: (source, packet) => sink.packet(id, source, packet),
      peerGone: (key) => sink.peerGone(id, key),
      health: (problem) => {
        if (problem === '') this.#health.delete(id);
        else this.#health.set(id, problem);
      },
      drained: () => this.#setCongested(relay, false),
      closed: (error) => {
        log('debug', 'relay connection ended', { region: id, error: error?.message });
        if (relay.isConnected) {
          this.#lastFrame.set(id, relay.client!.lastReceivedAt);
          if (clock.now() - relay.connectedAt >= LASTED) this.#failures.delete(id);
        }
        relay.client = undefined;
        this.#failures.set(id, (this.#failures.get(id) ?? 0) + 1);
        const { waiting } = relay;
        this.#drop(relay, true);
        // The home comes back by itself, another region when packets still wait for it.
        if (id === this.#home || waiting.length > 0) {
          const again = this.#open(id);
          if (again) again.waiting = waiting;
        }
      },
    };
    relay.client = this.#options.dial(relay.region, events);
  }

  /** Takes a relay out of use. */
  #drop(relay: Relay, tell: boolean): void {
    relay.retry?.cancel();
    relay.client?.close();
    relay.client = undefined;
    relay.isConnected = false;
    this.#setCongested(relay, false);
    this.#relays.delete(relay.id);
    this.#health.delete(relay.id);
    if (tell) this.#options.sink.regionLost(relay.id);
  }

  /** What was sent in one go has been handed to the operating system, as far as it took it. */
  #endBurst(relay: Relay): void {
    relay.burst = 0;
    if ((relay.client?.queuedBytes ?? 0) <= CONGESTED_BYTES) this.#setCongested(relay, false);
  }

  #setCongested(relay: Relay, on: boolean): void {
    if (relay.isCongested === on) return;
    relay.isCongested = on;
    this.#congested += on ? 1 : -1;
    if (this.#congested === (on ? 1 : 0)) this.#options.sink.congested(on);
  }

  #scheduleScan(): Timer {
    return this.#options.clock.schedule(
      IDLE_SCAN,
      () => {
        this.#idleScan = undefined;
        const now = this.#options.clock.now();
        for (const relay of this.#relays.values()) {
          if (relay.id !== this.#home && now - relay.lastWrite >= IDLE_LIMIT)
            this.#drop(relay, true);
        }
        if (this.#relays.size > 0) this.#idleScan = this.#scheduleScan();
      },
      false,
    );
  }
}
