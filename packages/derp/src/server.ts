// The relay: clients by key, packets from one to another. It takes any duplex streams; upgrade.ts brings them from
// HTTP. A packet that finds its receiver slow is dropped there and never holds up its sender (see framesender.ts).
import type { Duplex } from 'node:stream';
import { nodeCrypto } from '@cove/crypto';
import { toHex } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { encodeRestarting } from '@cove/protocol/derp';
import { type NodePublic, nodePublic, PrivateKey, publicBytes } from '@cove/protocol/keys';
import { type Clock, systemClock } from './clock.ts';
import { Connection, Peer, type Relay } from './connection.ts';
import { type DerpMetrics, newCounters } from './metrics.ts';

const KEEP_ALIVE_MS = 60_000;
const KEEP_ALIVE_JITTER_MS = 5_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Ours: stock relays give 2 s to a write of 2 KiB; our writes are longer. */
const WRITE_TIMEOUT_MS = 10_000;
const SWEEP_MS = 1_000;
/** One frame of any size must fit in the burst. */
const MIN_BURST_BYTES = 65_568;

export interface DerpServerOptions {
  /** The relay's identity; generated if absent, and clients then see a new relay at each start. */
  readonly privateKey?: PrivateKey;
  /** Whether a key may use the relay; source is the IP address or ''. Everyone may if absent. */
  readonly verify?: (key: NodePublic, source: string) => boolean | Promise<boolean>;
  /** Ours: connections beyond this are refused. 16384 if absent. */
  readonly maxConnections?: number;
  /** Reading from a client that sends faster is delayed. burstBytes is raised to 65568. */
  readonly perClientRate?: { readonly bytesPerSecond: number; readonly burstBytes: number };
  readonly crypto?: Pick<Crypto, 'x25519' | 'randomBytes'>;
  readonly clock?: Clock;
}

export class DerpServer implements AsyncDisposable {
  readonly publicKey: NodePublic;
  readonly #clock: Clock;
  readonly #crypto: Pick<Crypto, 'x25519' | 'randomBytes'>;
  readonly #maxConnections: number;
  readonly #admits: NonNullable<DerpServerOptions['verify']>;
  readonly #counters = newCounters();
  readonly #connections = new Set<Connection>();
  readonly #peers = new Map<string, Peer>();
  readonly #relay: Relay;
  #dirty: Connection[] = [];
  #sweep: { cancel(): void } | undefined;
  #closed = false;

  constructor(options: DerpServerOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#crypto = options.crypto ?? nodeCrypto();
    this.#admits = options.verify ?? (() => true);
    this.#maxConnections = options.maxConnections ?? 16_384;
    const privateKey = options.privateKey ?? PrivateKey.generate(this.#crypto.randomBytes);
    const publicKeyBytes = privateKey.publicBytes(this.#crypto.x25519);
    this.publicKey = nodePublic(publicKeyBytes);
    const rate = options.perClientRate;
    this.#relay = {
      privateKey,
      publicKeyBytes,
      crypto: this.#crypto,
      clock: this.#clock,
      counters: this.#counters,
      rateLimit: rate && {
        bytesPerSecond: rate.bytesPerSecond,
        burstBytes: Math.max(rate.burstBytes, MIN_BURST_BYTES),
      },
      verify: (key, source) => this.#verify(key, source),
      join: (connection, key) => this.#join(connection, key),
      leave: (connection) => this.#leave(connection),
      find: (key) => this.#peers.get(mapKey(key)),
      dirty: (connection) => {
        if (connection.isDirty) return;
        connection.isDirty = true;
        this.#dirty.push(connection);
      },
      flush: () => this.#flush(),
    };
  }

  /** 64 hex digits, as the Derp-Public-Key header and the metacert carry the key. */
  get publicKeyHex(): string {
    return toHex(this.#relay.publicKeyBytes);
  }

  /**
   * Serves one client. The stream is owned from now on, bytes read too early must have been put back (unshift).
   * False, with the stream destroyed, when the server is closed or full.
   */
  accept(stream: Duplex, source = ''): boolean {
    if (this.#closed || this.#connections.size >= this.#maxConnections) {
      this.#counters.refused++;
      stream.on('error', () => {});
      stream.destroy();
      return false;
    }
    this.#connections.add(new Connection(this.#relay, stream, source));
    this.#sweep ??= this.#clock.schedule(SWEEP_MS, () => this.#onSweep());
    return true;
  }

  has(key: NodePublic): boolean {
    return this.#peers.has(mapKey(publicBytes(key)));
  }

  /** Ends all connections of a key, for instance when its node is removed. Returns how many there were. */
  closePeer(key: NodePublic): number {
    const peer = this.#peers.get(mapKey(publicBytes(key)));
    if (peer === undefined) return 0;
    const connections = [...peer.connections];
    for (const connection of connections) connection.close();
    return connections.length;
  }

  metrics(): DerpMetrics {
    let homeConnections = 0;
    let active = 0;
    for (const connection of this.#connections) {
      if (connection.isHome) homeConnections++;
      if (connection.state === 'active') active++;
    }
    return {
      ...this.#counters,
      connections: this.#connections.size,
      peers: this.#peers.size,
      homeConnections,
      duplicateConnections: active - this.#peers.size,
    };
  }

  /** Tells every client when to come back and for how long to try, both milliseconds. */
  announceRestart(reconnectInMs: number, tryForMs: number): void {
    const frame = encodeRestarting(reconnectInMs, tryForMs);
    for (const connection of this.#connections) {
      if (connection.state === 'active') connection.notify(frame);
    }
    this.#flush();
  }

  /** Ends every connection; nothing is accepted afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#sweep = undefined;
    for (const connection of [...this.#connections]) connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #verify(key: NodePublic, source: string): boolean | Promise<boolean> {
    try {
      return this.#admits(key, source);
    } catch {
      return false;
    }
  }

  #join(connection: Connection, key: Uint8Array): Peer {
    const name = mapKey(key);
    let peer = this.#peers.get(name);
    if (peer === undefined) {
      peer = new Peer(key, connection);
      this.#peers.set(name, peer);
    }
    peer.connections.add(connection);
    peer.active = connection;
    const jitter = (KEEP_ALIVE_JITTER_MS * this.#crypto.randomBytes(1)[0]!) / 256;
    connection.keepAliveInterval = KEEP_ALIVE_MS + jitter;
    connection.nextKeepAlive = this.#clock.now() + connection.keepAliveInterval;
    return peer;
  }

  #leave(connection: Connection): void {
    this.#connections.delete(connection);
    const { peer } = connection;
    if (peer === undefined) return;
    peer.connections.delete(connection);
    if (peer.connections.size === 0) {
      this.#peers.delete(mapKey(peer.key));
      for (const receiver of peer.receivers) receiver.peerGone(peer);
      peer.receivers.clear();
    } else if (peer.active === connection) {
      peer.active = [...peer.connections].at(-1)!;
    }
  }

  #flush(): void {
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = [];
    for (const connection of dirty) connection.flush();
  }

  #onSweep(): void {
    this.#sweep = undefined;
    const now = this.#clock.now();
    for (const connection of [...this.#connections]) {
      if (connection.state !== 'active') {
        if (now - connection.since >= HANDSHAKE_TIMEOUT_MS) {
          this.#counters.handshakeTimeouts++;
          connection.close();
        }
      } else if (connection.stalledFor(now) >= WRITE_TIMEOUT_MS) {
        this.#counters.writeTimeouts++;
        connection.close();
      } else if (now >= connection.nextKeepAlive) {
        connection.nextKeepAlive = now + connection.keepAliveInterval;
        connection.keepAlive();
      }
    }
    this.#flush();
    if (this.#connections.size > 0) {
      this.#sweep ??= this.#clock.schedule(SWEEP_MS, () => this.#onSweep());
    }
  }
}

/** A key as a string of its bytes: what a Map can hold, cheaper than hex. */
function mapKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
