// The node's one way to the outside: WireGuard and discovery packets to and from peers, by whatever path there is.
//
// A packet that arrives is discovery (its magic) or WireGuard (all else); through a relay its sender's node key is
// known before it is opened, and must be a peer's.

import type { Crypto } from '@cove/protocol/crypto';
import { isDisco } from '@cove/protocol/disco';
import type { DiscoPublic, PrivateKey } from '@cove/protocol/keys';
import type { DERPMap, Node } from '@cove/protocol/tailcfg';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Peer, PeerChanges } from '../nodetable.ts';
import { type RelayDial, Relays } from './derp.ts';
import { Disco, type DiscoPong } from './disco.ts';
import { Endpoint, type Path, type RelayPath } from './endpoint.ts';
import { KeyMap } from './peermap.ts';

export interface MagicsockSink {
  /** A WireGuard datagram; borrowed for the call, may be overwritten. */
  receive(buf: Uint8Array, offset: number, length: number, from: Path): void;
  /** A relay connection came up, or (false) the last one went down. */
  relayConnected(connected: boolean): void;
  /** Stop (true) or resume making new segments. */
  congested(on: boolean): void;
}

export interface MagicsockOptions {
  /** The node's public key, as of now. */
  readonly nodeKeyBytes: () => Uint8Array;
  readonly discoKey: PrivateKey;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly log: Log;
  readonly dialRelay: RelayDial;
  readonly sink: MagicsockSink;
}

export interface MagicsockCounters {
  /** Packets from node keys that are no peers. */
  unknownSource: number;
  /** Packets that no path leads to the peer for, or whose relay is overloaded. */
  unsent: number;
  relayedIn: number;
  relayedOut: number;
  discoIgnored: number;
}

export class Magicsock {
  readonly #sink: MagicsockSink;
  readonly #disco: Disco;
  readonly #relays: Relays;
  readonly #peers: KeyMap<Endpoint> = new KeyMap();
  readonly #endpoints: Map<Peer, Endpoint> = new Map();
  readonly #isConnected: (region: number) => boolean;
  #unknownSource = 0;
  #unsent = 0;
  #relayedIn = 0;
  #relayedOut = 0;
  #wasConnected = false;

  constructor(options: MagicsockOptions) {
    const { crypto, clock, log } = options;
    this.#sink = options.sink;
    this.#disco = new Disco({
      nodeKeyBytes: options.nodeKeyBytes,
      discoKey: options.discoKey,
      crypto,
      send: (path, envelope) => this.#sendRelayed(path, envelope, 0, envelope.length),
    });
    this.#relays = new Relays({
      clock,
      log,
      dial: options.dialRelay,
      random: () => (crypto.randomBytes(1)[0] ?? 0) / 256,
      sink: {
        packet: (region, source, packet) => this.#receiveRelayed(region, source, packet),
        peerGone: (region, key) => this.#peers.get(key)?.forgetRegion(region),
        regionLost: (region) => this.#regionLost(region),
        connected: () => this.#noteConnected(),
        congested: (on) => this.#sink.congested(on),
      },
    });
    this.#isConnected = (region) => this.#relays.isConnected(region);
  }

  get relays(): Relays {
    return this.#relays;
  }

  setDerpMap(map: DERPMap | undefined): void {
    this.#relays.setMap(map);
  }

  applyPeers(changes: PeerChanges): void {
    for (const peer of changes.removed) {
      this.#disco.removePeer(peer, peer.node.DiscoKey);
      this.#peers.delete(peer.keyBytes);
      this.#endpoints.delete(peer);
    }
    for (const peer of changes.added) {
      const endpoint = new Endpoint(peer);
      this.#peers.set(peer.keyBytes, endpoint);
      this.#endpoints.set(peer, endpoint);
      this.#disco.addPeer(peer);
    }
    for (const { peer, before } of changes.changed) {
      if (!sameDisco(peer.node, before.DiscoKey)) {
        this.#disco.removePeer(peer, before.DiscoKey);
        this.#disco.addPeer(peer);
      }
    }
  }

  /** Sends a WireGuard datagram by the peer's best path; the bytes are borrowed for the call. */
  send(peer: Peer, buf: Uint8Array, offset: number, length: number): void {
    const path = this.pathTo(peer);
    if (path) this.#sendRelayed(path, buf, offset, length);
    else this.#unsent++;
  }

  /** Answers a datagram on the path it came by. */
  reply(path: Path, buf: Uint8Array, offset: number, length: number): void {
    this.#sendRelayed(path, buf, offset, length);
  }

  /** The path the next packet takes; undefined: none is known. */
  pathTo(peer: Peer): Path | undefined {
    const endpoint = this.#endpoints.get(peer);
    const region = endpoint?.relayRegion(this.#isConnected) ?? 0;
    return region === 0 ? undefined : endpoint!.relayPath(region);
  }

  /** A discovery ping through the relay; returns what gives it up, undefined when there is no way to ping. */
  ping(peer: Peer, onPong: (pong: DiscoPong) => void): (() => void) | undefined {
    const path = this.pathTo(peer);
    return path && this.#disco.ping(path, onPong);
  }

  counters(): MagicsockCounters {
    return {
      unknownSource: this.#unknownSource,
      unsent: this.#unsent + this.#relays.dropped,
      relayedIn: this.#relayedIn,
      relayedOut: this.#relayedOut,
      discoIgnored: this.#disco.ignored,
    };
  }

  close(): void {
    this.#relays.close();
  }

  #receiveRelayed(region: number, source: Uint8Array, packet: Uint8Array): void {
    this.#relayedIn++;
    const endpoint = this.#peers.get(source);
    if (!endpoint) {
      this.#unknownSource++;
      return;
    }
    const path = endpoint.heardThrough(region);
    if (isDisco(packet)) this.#disco.receiveRelayed(packet, path);
    else if (packet.length > 0) this.#sink.receive(packet, 0, packet.length, path);
  }

  #sendRelayed(path: RelayPath, buf: Uint8Array, offset: number, length: number): void {
    if (this.#relays.send(path.region, path.peer.keyBytes, buf, offset, length)) this.#relayedOut++;
    else this.#unsent++;
  }

  #regionLost(region: number): void {
    for (const endpoint of this.#endpoints.values()) endpoint.forgetRegion(region);
    this.#noteConnected();
  }

  #noteConnected(): void {
    const connected = this.#relays.connectedCount > 0;
    if (connected === this.#wasConnected) return;
    this.#wasConnected = connected;
    this.#sink.relayConnected(connected);
  }
}

function sameDisco(node: Node, disco: DiscoPublic | undefined): boolean {
  return node.DiscoKey === disco;
}
