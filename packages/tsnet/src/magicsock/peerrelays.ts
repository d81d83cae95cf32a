// Finding a way through peer relays: nodes of the tailnet that pass UDP on between two others. Sans I/O: the time is
// handed in, messages leave through the sink.
//
//   1. Ask every relay node there is, through its home relay, for an endpoint for us and the peer.
//   2. Tell the peer of each endpoint that was given (callMeMaybeVia), through its home relay.
//   3. Both sides bind to it: Bind to all addresses of the relay, Challenge from it, Answer to where that came from.
//   4. Ping the peer through it. Its pong makes a path; DirectPath decides whether it is used.
//
// The relay passes nothing on before both sides are bound: a ping that was too early is made up for by another one when
// the peer's ping arrives. Everything is sent again a few times, since nothing else would.
import { equalBytes, toHex } from '@cove/protocol/bytes';
import type {
  AllocateRelayRequest,
  AllocateRelayResponse,
  RelayEndpoint,
  RelayHandshake,
} from '@cove/protocol/disco';
import { MAX_VNI } from '@cove/protocol/geneve';
import { publicBytes } from '@cove/protocol/keys';
import type { Peer } from '../nodetable.ts';
import type { ViaPath } from './paths.ts';
import type { ViaPaths } from './viapaths.ts';

/** An endpoint that was not given within this is given up. */
export const ALLOCATE_TIMEOUT = 10_000;
/** The relay may have been measuring its addresses: asked once more. */
export const ALLOCATE_RETRY = 3_000;
/** At most, whatever time the relay gives. */
export const HANDSHAKE_TIMEOUT = 30_000;
/** Pings make pings on the other side. */
export const MAX_PINGS = 10;
/** Endpoints of one peer's that are tried at the same time. */
export const MAX_HANDSHAKES = 16;
/** Addresses of one relay that are tried; each gets a datagram because a peer said so. */
export const MAX_ADDRESSES = 32;
/** When what was not answered is sent again, from the beginning of a handshake's step. */
const RESEND_AFTER: readonly number[] = [500, 1_500, 4_000];

const NO_CHALLENGE = new Uint8Array(32);

/** None of these may call back into PeerRelays. Keys are the relays' disco keys, 32 bytes. */
export interface PeerRelaySink {
  /** 12 random bytes. */
  newTxId(): Uint8Array;
  /** Sends a relay node the request through its home relay. */
  allocate(server: Peer, request: AllocateRelayRequest): void;
  /** Tells the peer of the endpoint through its home relay. */
  callPeer(peer: Peer, relay: RelayEndpoint): void;
  /** Sends the relay itself a step of the handshake. */
  sendHandshake(path: ViaPath, server: Uint8Array, message: RelayHandshake): void;
  /** Pings the peer through the relay. */
  ping(path: ViaPath, peer: Peer, txId: Uint8Array): void;
  /** Whether packets to the peer go through this very endpoint already, and arrive. */
  isInUse(peer: Peer, server: Uint8Array, vni: number): boolean;
  /** The path carries packets both ways; `latency` in milliseconds. */
  ready(peer: Peer, path: ViaPath, server: Uint8Array, latency: number): void;
  /** Messages sealed with this key are waited for. */
  expect(server: Uint8Array): void;
  /** As often as expect. */
  forget(server: Uint8Array): void;
  /** A UDP path; undefined: nothing can be sent there. */
  viaPath(addr: Uint8Array, port: number, vni: number): ViaPath | undefined;
}

interface Allocation {
  readonly peer: Peer;
  readonly server: Peer;
  readonly request: AllocateRelayRequest;
  retryAt: number;
  readonly endsAt: number;
}

interface Handshake {
  readonly peer: Peer;
  readonly relay: RelayEndpoint;
  readonly generation: number;
  /** The peer's disco key. */
  readonly remoteKey: Uint8Array;
  readonly endsAt: number;
  /** The first challenge that came; from then on everything takes the path it came by. */
  answered: { readonly path: ViaPath; readonly challenge: Uint8Array } | undefined;
  /** The relay has let a ping of the peer through: it knows us. */
  isBound: boolean;
  /** When our pings went out, by transaction id in hex. */
  readonly pings: Map<string, number>;
  stepAt: number;
  resends: number;
}

export class PeerRelays {
  readonly #sink: PeerRelaySink;
  readonly #ownKey: Uint8Array;
  readonly #vias: ViaPaths;
  #servers: readonly Peer[] = [];
  readonly #allocations: Set<Allocation> = new Set();
  readonly #handshakes: Set<Handshake> = new Set();
  #generation = 0;
  /** Messages dropped: of no handshake or allocation under way, or contradicting it. */
  ignored = 0;

  /** `ownKey`: our public disco key. */
  constructor(ownKey: Uint8Array, vias: ViaPaths, sink: PeerRelaySink) {
    this.#ownKey = ownKey;
    this.#vias = vias;
    this.#sink = sink;
  }

  /** The nodes that may be asked for endpoints. */
  setServers(servers: readonly Peer[]): void {
    this.#servers = servers;
    for (const allocation of this.#allocations)
      if (!servers.includes(allocation.server)) this.#allocations.delete(allocation);
  }

  get hasServers(): boolean {
    return this.#servers.length > 0;
  }

  /** Looks for a way to the peer through every relay node there is, unless that is under way. */
  seek(peer: Peer, now: number): void {
    for (const { peer: sought } of this.#allocations) if (sought === peer) return;
    for (const { peer: sought } of this.#handshakes) if (sought === peer) return;
    const clientDisco = sortedPair(this.#ownKey, publicBytes(peer.discoKey));
    for (const server of this.#servers) {
      const generation = this.#nextGeneration();
      const request: AllocateRelayRequest = {
        type: 'allocateUdpRelayEndpointRequest',
        clientDisco,
        generation,
      };
      this.#allocations.add({
        peer,
        server,
        request,
        retryAt: now + ALLOCATE_RETRY,
        endsAt: now + ALLOCATE_TIMEOUT,
      });
      this.#sink.allocate(server, request);
    }
  }

  /** A relay node's answer; that it is this node's is known. */
  allocated(server: Peer, response: AllocateRelayResponse, now: number): void {
    for (const allocation of this.#allocations) {
      const { peer, request } = allocation;
      if (allocation.server !== server || request.generation !== response.generation) continue;
      if (!this.#isFor(peer, response.relay)) break;
      this.#allocations.delete(allocation);
      if (this.#isNews(peer, response.relay)) {
        this.#sink.callPeer(peer, response.relay);
        this.#begin(peer, response.relay, now);
      }
      return;
    }
    this.ignored++;
  }

  /** The peer has an endpoint for both of us; that it is the peer who says so is known. */
  called(peer: Peer, relay: RelayEndpoint, now: number): void {
    if (!this.#isFor(peer, relay)) this.ignored++;
    else if (this.#isNews(peer, relay)) this.#begin(peer, relay, now);
  }

  /** A challenge that the relay with this key sealed. */
  challenged(server: Uint8Array, message: RelayHandshake, from: ViaPath, now: number): void {
    const handshake = this.#find(({ generation }) => generation === message.generation);
    const isOurs =
      handshake !== undefined &&
      handshake.answered === undefined &&
      message.type === 'bindUdpRelayEndpointChallenge' &&
      message.vni === from.vni &&
      handshake.relay.vni === from.vni &&
      isOf(handshake.relay, server) &&
      equalBytes(message.remoteKey, handshake.remoteKey) &&
      // Two relays cannot be told apart behind one address with one number.
      this.#find(({ answered }) => answered?.path === from) === undefined;
    if (!isOurs) {
      this.ignored++;
      return;
    }
    handshake.answered = {
      path: this.#vias.acquire(from),
      challenge: message.challenge.slice(),
    };
    handshake.stepAt = now;
    handshake.resends = 0;
    this.#answer(handshake, now);
  }

  /** A ping of a peer came through a relay; it has its pong already. */
  pinged(from: ViaPath, now: number): void {
    const handshake = this.#find(({ answered }) => answered?.path === from);
    if (!handshake) return;
    handshake.isBound = true;
    this.#ping(handshake, now);
  }

  /** A pong came through a relay. False: it is to no ping of ours. */
  ponged(txId: Uint8Array, from: ViaPath, now: number): boolean {
    const handshake = this.#find(({ answered }) => answered?.path === from);
    const sentAt = handshake?.pings.get(toHex(txId));
    if (!handshake || sentAt === undefined) return false;
    const { peer, relay } = handshake;
    this.#sink.ready(peer, from, relay.serverDisco, now - sentAt);
    this.#end(handshake);
    return true;
  }

  /** The peer went, or has another disco key. */
  forgetPeer(peer: Peer): void {
    for (const allocation of this.#allocations)
      if (allocation.peer === peer || allocation.server === peer)
        this.#allocations.delete(allocation);
    for (const handshake of this.#handshakes) if (handshake.peer === peer) this.#end(handshake);
  }

  /** The network changed, or it is over: everything under way is given up. */
  reset(): void {
    this.#allocations.clear();
    for (const handshake of this.#handshakes) this.#end(handshake);
  }

  /** When tick must be called; Infinity: nothing is under way. */
  get nextTick(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const { retryAt, endsAt } of this.#allocations) at = Math.min(at, retryAt, endsAt);
    for (const handshake of this.#handshakes)
      at = Math.min(at, handshake.endsAt, resendAt(handshake));
    return at;
  }

  tick(now: number): void {
    for (const allocation of this.#allocations) {
      if (now >= allocation.endsAt) this.#allocations.delete(allocation);
      else if (now >= allocation.retryAt) {
        allocation.retryAt = Number.POSITIVE_INFINITY;
        this.#sink.allocate(allocation.server, allocation.request);
      }
    }
    for (const handshake of this.#handshakes) {
      if (now >= handshake.endsAt) this.#end(handshake);
      else if (now >= resendAt(handshake)) {
        handshake.resends++;
        if (handshake.answered === undefined) this.#bind(handshake);
        else this.#answer(handshake, now);
      }
    }
  }

  /** Is it an endpoint for us and this peer, with values that can be used? */
  #isFor(peer: Peer, relay: RelayEndpoint): boolean {
    const [low, high] = sortedPair(this.#ownKey, publicBytes(peer.discoKey));
    return (
      relay.vni > 0 &&
      relay.vni <= MAX_VNI &&
      relay.bindLifetime > 0n &&
      equalBytes(relay.clientDisco[0], low) &&
      equalBytes(relay.clientDisco[1], high) &&
      !equalBytes(relay.serverDisco, this.#ownKey)
    );
  }

  /** Gives up the peer's older handshake with the same relay. False: one is under way that is as new. */
  #isNews(peer: Peer, relay: RelayEndpoint): boolean {
    for (const known of this.#handshakes) {
      if (known.peer !== peer || !isOf(known.relay, relay.serverDisco)) continue;
      if (known.relay.lamportId >= relay.lamportId) return false;
      this.#end(known);
    }
    return true;
  }

  #begin(peer: Peer, relay: RelayEndpoint, now: number): void {
    // Binding anew from another address would cut off what is on its way.
    if (this.#sink.isInUse(peer, relay.serverDisco, relay.vni)) return;
    let running = 0;
    for (const handshake of this.#handshakes) if (handshake.peer === peer) running++;
    if (running >= MAX_HANDSHAKES) {
      this.ignored++;
      return;
    }
    const lifetime = Number(relay.bindLifetime / 1_000_000n);
    const handshake: Handshake = {
      peer,
      relay,
      generation: this.#nextGeneration(),
      remoteKey: publicBytes(peer.discoKey),
      endsAt: now + Math.min(lifetime, HANDSHAKE_TIMEOUT),
      answered: undefined,
      isBound: false,
      pings: new Map(),
      stepAt: now,
      resends: 0,
    };
    this.#handshakes.add(handshake);
    this.#sink.expect(relay.serverDisco);
    this.#bind(handshake);
  }

  #bind(handshake: Handshake): void {
    const { relay } = handshake;
    const message = step('bindUdpRelayEndpoint', handshake, NO_CHALLENGE);
    for (const { addr, port } of relay.endpoints.slice(0, MAX_ADDRESSES)) {
      const path = this.#sink.viaPath(addr, port, relay.vni);
      if (path) this.#sink.sendHandshake(path, relay.serverDisco, message);
    }
  }

  #answer(handshake: Handshake, now: number): void {
    const { relay, answered } = handshake;
    if (!answered) return;
    if (!handshake.isBound) {
      const message = step('bindUdpRelayEndpointAnswer', handshake, answered.challenge);
      this.#sink.sendHandshake(answered.path, relay.serverDisco, message);
    }
    this.#ping(handshake, now);
  }

  #ping(handshake: Handshake, now: number): void {
    const { answered, pings, peer } = handshake;
    if (!answered || pings.size >= MAX_PINGS) return;
    const txId = this.#sink.newTxId();
    pings.set(toHex(txId), now);
    this.#sink.ping(answered.path, peer, txId);
  }

  #end(handshake: Handshake): void {
    if (!this.#handshakes.delete(handshake)) return;
    this.#sink.forget(handshake.relay.serverDisco);
    if (handshake.answered) this.#vias.release(handshake.answered.path);
  }

  #find(matches: (handshake: Handshake) => boolean): Handshake | undefined {
    for (const handshake of this.#handshakes) if (matches(handshake)) return handshake;
    return undefined;
  }

  /** Never 0. */
  #nextGeneration(): number {
    this.#generation = this.#generation === 0xffff_ffff ? 1 : this.#generation + 1;
    return this.#generation;
  }
}

function isOf(relay: RelayEndpoint, server: Uint8Array): boolean {
  return equalBytes(relay.serverDisco, server);
}

function resendAt({ stepAt, resends }: Handshake): number {
  return stepAt + (RESEND_AFTER[resends] ?? Number.POSITIVE_INFINITY);
}

function step(
  type: RelayHandshake['type'],
  { relay, generation, remoteKey }: Handshake,
  challenge: Uint8Array,
): RelayHandshake {
  return { type, vni: relay.vni, generation, remoteKey, challenge };
}

/** The smaller key first. */
function sortedPair(a: Uint8Array, b: Uint8Array): readonly [Uint8Array, Uint8Array] {
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return a[i]! < b[i]! ? [a, b] : [b, a];
  }
  return [a, b];
}
