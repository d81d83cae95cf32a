// The node's one way to the outside: WireGuard and discovery packets to and from peers, by whatever path there is.
//
// A datagram is STUN, discovery (its magic) or WireGuard (all else), the latter two perhaps behind the header of a peer
// relay. Through a relay its sender's node key is known before it is opened, and must be a peer's; by UDP nothing is
// known, and wireguard says whose it is.
//
// A packet goes by the best direct path while that is trusted, or through a peer relay where no direct path works; by
// both that and the relay while it is not; by the relay alone while there is none. So the first packet never waits, and
// a path that dies is missed by nobody.
import { networkInterfaces } from 'node:os';
import {
  DISCO_TXID_LENGTH,
  type DiscoEndpoint,
  type DiscoMessage,
  isDisco,
} from '@cove/protocol/disco';
import { GENEVE_HEADER_LENGTH, geneveProtocol, geneveVni } from '@cove/protocol/geneve';
import { type DiscoPublic, isZeroKey, publicBytes } from '@cove/protocol/keys';
import { formatAddr } from '@cove/protocol/netaddr';
import { isStun } from '@cove/protocol/stun';
import type { DERPMap } from '@cove/protocol/tailcfg';
import type { Timer } from '../clock.ts';
import type { Peer, PeerChanges } from '../nodetable.ts';
import { Calls, callEndpoints } from './calls.ts';
import { Relays } from './derp.ts';
import type { DirectPath } from './directpath.ts';
import { Disco } from './disco.ts';
import { Encapsulation, innerKind } from './encapsulation.ts';
import { Endpoint, isReachable } from './endpoint.ts';
import { hasFamily, type OwnEndpoint, OwnEndpoints } from './endpoints.ts';
import { HomeKeeper } from './homekeeper.ts';
import type {
  MagicsockCounters,
  MagicsockOptions,
  MagicsockPong,
  MagicsockSink,
} from './magicsockoptions.ts';
import type { NetcheckReport } from './netcheck.ts';
import { Netchecker } from './netchecker.ts';
import {
  type DatagramPath,
  type Path,
  PathTable,
  type RelayPath,
  type UdpPath,
  type ViaPath,
} from './paths.ts';
import { KeyMap } from './peermap.ts';
import { PeerRelays } from './peerrelays.ts';
import { isRelayCapable } from './relaynodes.ts';
import { Ticker } from './ticker.ts';
import type { UdpTransport } from './udpsocket.ts';
import { ViaPaths } from './viapaths.ts';

/** Between measurements while something is sent: random in this range, below the 30 s that NATs keep mappings. */
const MEASURE_MIN = 20_000;
const MEASURE_SPREAD = 6_000;
/** Below this a datagram is noise; kernels of some senders end a batch with one byte. */
const MIN_DATAGRAM = 32;
const ACTIVE_FOR = 45_000;

export class Magicsock {
  readonly #options: MagicsockOptions;
  readonly #sink: MagicsockSink;
  readonly #disco: Disco;
  readonly #relays: Relays;
  readonly #home: HomeKeeper;
  readonly #udp: UdpTransport;
  readonly #encapsulation: Encapsulation;
  readonly #netchecker: Netchecker;
  readonly #paths: PathTable = new PathTable();
  readonly #vias: ViaPaths = new ViaPaths(this.#paths);
  readonly #peerRelays: PeerRelays;
  readonly #own: OwnEndpoints = new OwnEndpoints();
  readonly #peers: KeyMap<Endpoint> = new KeyMap();
  readonly #endpoints: Map<Peer, Endpoint> = new Map();
  readonly #ticker: Ticker<Endpoint | PeerRelays>;
  readonly #isConnected: (region: number) => boolean;
  readonly #calls: Calls = new Calls();
  #lastSend = Number.NEGATIVE_INFINITY;
  #measureTimer: Timer | undefined;
  #portmapped: string | undefined;
  #isBound = false;
  #wasConnected = false;
  #relayFull = false;
  #udpFull = false;
  #isPaused = false;
  #closed = false;
  #relayedIn = 0;
  #relayedOut = 0;
  #directIn = 0;
  #directOut = 0;
  #viaIn = 0;
  #viaOut = 0;
  #isSilent = false;
  /** May peer relays be used? */
  #usesPeerRelays = false;
  #unknownSource = 0;
  #unsent = 0;
  #noise = 0;
  #staleStun = 0;

  constructor(options: MagicsockOptions) {
    const { crypto, clock, log } = options;
    this.#options = options;
    this.#sink = options.sink;
    this.#disco = new Disco({
      nodeKeyBytes: options.nodeKeyBytes,
      discoKey: options.discoKey,
      crypto,
      sink: {
        send: (path, envelope, isForRelay) => this.#sendDisco(path, envelope, isForRelay),
        pinged: (peer, from, txId) => this.#pinged(peer, from, txId),
        ponged: (peer, txId) =>
          this.#endpoints.get(peer)?.direct?.heardPong(txId, clock.now()) === true,
        called: (peer, endpoints) => this.#called(peer, endpoints),
        calledVia: (peer, relay) => {
          if (!this.#usesPeerRelays || !isRelayCapable(peer.node)) return;
          this.#peerRelays.called(peer, relay, clock.now());
          this.#ticker.watch(this.#peerRelays);
        },
        allocated: (server, response) => {
          this.#peerRelays.allocated(server, response, clock.now());
          this.#ticker.watch(this.#peerRelays);
        },
        pingedVia: (from) => this.#peerRelays.pinged(from, clock.now()),
        pongedVia: (txId, from) => this.#peerRelays.ponged(txId, from, clock.now()),
        challenged: (server, message, from) => {
          this.#peerRelays.challenged(server, message, from, clock.now());
          this.#ticker.watch(this.#peerRelays);
        },
      },
    });
    this.#ticker = new Ticker(clock, () => this.#notePaused());
    this.#peerRelays = new PeerRelays(this.#disco.publicKey, this.#vias, {
      newTxId: () => crypto.randomBytes(DISCO_TXID_LENGTH),
      allocate: (server, request) => this.#sendByRelay(server, request),
      callPeer: (peer, relay) => this.#sendByRelay(peer, { type: 'callMeMaybeVia', relay }),
      sendHandshake: (path, server, message) => this.#disco.sendToRelay(path, server, message),
      ping: (path, peer, txId) => void this.#disco.ping(path, peer, txId),
      isInUse: (peer, server, vni) =>
        this.#endpoints.get(peer)?.direct?.isThrough(server, vni, clock.now()) === true,
      ready: (peer, path, server, latency) => this.#relayReady(peer, path, server, latency),
      expect: (server) => this.#disco.expectRelay(server),
      forget: (server) => this.#disco.forgetRelay(server),
      viaPath: (addr, port, vni) => {
        const hop = isReachable(addr) ? this.#paths.find(formatAddr(addr), port) : undefined;
        return hop && this.#vias.find(hop, vni);
      },
    });
    this.#relays = new Relays({
      clock,
      log,
      dial: options.dialRelay,
      random: () => this.#random(),
      sink: {
        packet: (region, source, packet) => this.#receiveRelayed(region, source, packet),
        peerGone: (region, key) => this.#peers.get(key)?.forgetRegion(region),
        regionLost: (region) => this.#regionLost(region),
        connected: () => this.#noteConnected(),
        congested: (on) => {
          this.#relayFull = on;
          this.#notePaused();
        },
      },
    });
    this.#isConnected = (region) => this.#relays.isConnected(region);
    this.#home = new HomeKeeper({
      clock,
      log,
      relays: this.#relays,
      onHome: (region) => this.#sink.homeChanged(region),
    });
    this.#udp = options.openUdp({
      port: options.port,
      lastPort: options.lastPort,
      paths: this.#paths,
      log,
      now: () => clock.now(),
      handler: {
        packet: (buf, offset, length, from) => this.#receiveDirect(buf, offset, length, from),
        bound: () => this.#bound(),
        sendFailed: (path) => this.#sendFailed(path),
        train: () => this.#sink.train(),
        waiting: () => this.#sink.flushSoon(),
        congested: (on) => {
          this.#udpFull = on;
          this.#notePaused();
        },
      },
    });
    this.#encapsulation = new Encapsulation(this.#udp);
    this.#netchecker = new Netchecker({
      clock,
      log,
      randomBytes: crypto.randomBytes,
      paths: this.#paths,
      udp: this.#udp,
      regions: () => this.#home.eligible(),
      home: () => this.#home.home,
      hasFamily: (family) => this.#udp.port(family) > 0 && hasFamily(networkInterfaces(), family),
      relayLatency: (region, signal) => this.#relays.latency(region, signal),
      onAddresses: (report) => this.#updateOwn(report),
      onReport: (report) => {
        this.#home.measured(report);
        this.#sink.measured(report);
        this.#measureLater();
      },
    });
  }

  /** What our discovery messages are signed with, 32 bytes. */
  get discoKeyBytes(): Uint8Array {
    return this.#disco.publicKey;
  }

  get relays(): Relays {
    return this.#relays;
  }

  /** Where peers may try us. */
  get ownEndpoints(): readonly OwnEndpoint[] {
    return this.#own.list;
  }

  get lastReport(): NetcheckReport | undefined {
    return this.#netchecker.last;
  }

  /** `home`: the region in which peers look for this node; 0: unknown. */
  setDerpMap(map: DERPMap | undefined, home: number): void {
    this.#relays.setMap(map);
    this.#home.setMap(map, home);
    this.measure('relay map');
  }

  /** Whether peers would learn of another home region: where not, it stays. */
  setControlConnected(on: boolean): void {
    this.#home.hold(!on);
    if (on) this.measure('control is back');
  }

  /** The gateway maps this `ip:port` to ours; undefined: none. */
  setPortMapping(external: string | undefined): void {
    if (external === this.#portmapped) return;
    this.#portmapped = external;
    this.measure('port mapping');
  }

  /** The nodes that may relay UDP for us; undefined: this node shall not use any. */
  setPeerRelays(servers: readonly Peer[] | undefined): void {
    this.#usesPeerRelays = servers !== undefined;
    this.#peerRelays.setServers(servers ?? []);
    if (!servers) this.#peerRelays.reset();
  }

  /** No heartbeats: a path lives by what is heard. */
  setSilent(on: boolean): void {
    this.#isSilent = on;
  }

  applyPeers(changes: PeerChanges): void {
    for (const peer of changes.removed) {
      const endpoint = this.#endpoints.get(peer);
      this.#disco.removePeer(peer, peer.discoKey);
      this.#peerRelays.forgetPeer(peer);
      this.#peers.delete(publicBytes(peer.key));
      this.#endpoints.delete(peer);
      if (endpoint) {
        endpoint.close();
        this.#ticker.remove(endpoint);
        this.#calls.remove(endpoint);
      }
    }
    for (const peer of changes.added) {
      const endpoint = new Endpoint(peer);
      this.#peers.set(publicBytes(peer.key), endpoint);
      this.#endpoints.set(peer, endpoint);
      this.#disco.addPeer(peer);
    }
    for (const { peer, before, oldDiscoKey } of changes.changed) {
      if (peer.node.Endpoints !== before.Endpoints) this.#endpoints.get(peer)?.mapChanged();
      if (oldDiscoKey !== undefined) this.#discoChanged(peer, oldDiscoKey);
    }
  }

  /** The peer said through the tunnel which disco key it has. */
  learnDisco(peer: Peer, key: DiscoPublic): void {
    if (isZeroKey(key) || key === peer.discoKey || !this.#endpoints.has(peer)) return;
    const before = peer.discoKey;
    peer.discoKey = key;
    this.#discoChanged(peer, before);
  }

  #discoChanged(peer: Peer, before: DiscoPublic): void {
    const endpoint = this.#endpoints.get(peer);
    this.#disco.removePeer(peer, before);
    this.#disco.addPeer(peer);
    this.#peerRelays.forgetPeer(peer);
    endpoint?.direct?.distrust();
    if (endpoint) this.#ticker.watch(endpoint);
  }

  /** Sends a WireGuard datagram by the peer's best path; the bytes are borrowed for the call. True: through the relay. */
  send(peer: Peer, buf: Uint8Array, offset: number, length: number): boolean {
    const endpoint = this.#endpoints.get(peer);
    if (!endpoint) {
      this.#unsent++;
      return false;
    }
    const now = this.#options.now();
    const direct = endpoint.direct ?? this.#openDirect(endpoint);
    this.#lastSend = now;
    let sent = false;
    if (direct) {
      direct.noteSend(now);
      if (!this.#ticker.busy.has(endpoint)) this.#ticker.watch(endpoint);
      const best = direct.best;
      if (best !== undefined && this.#sendDatagram(best, buf, offset, length)) {
        if (direct.isTrusted(now)) return false;
        sent = true;
      }
    }
    const region = endpoint.relayRegion(this.#isConnected);
    if (region !== 0) this.#sendRelayed(endpoint.relayPath(region), buf, offset, length);
    else if (!sent) this.#unsent++;
    return region !== 0;
  }

  /** End of a turn: what was sent in it leaves. */
  flush(): void {
    this.#udp.flush();
  }

  /** Answers a datagram on the path it came by. */
  reply(path: Path, buf: Uint8Array, offset: number, length: number): void {
    if (path.kind === 'relay') this.#sendRelayed(path, buf, offset, length);
    else if (!this.#sendDatagram(path, buf, offset, length)) this.#unsent++;
  }

  /** The path the next packet takes; undefined: none is known. */
  pathTo(peer: Peer): Path | undefined {
    const endpoint = this.#endpoints.get(peer);
    const direct = endpoint?.direct;
    if (direct?.isTrusted(this.#options.clock.now())) return direct.best;
    return endpoint && this.#relayPathTo(endpoint);
  }

  /** The relay region packets to the peer go through when there is no direct path; 0: none known. */
  relayTo(peer: Peer): number {
    return this.#endpoints.get(peer)?.relayRegion(this.#isConnected) ?? 0;
  }

  /**
   * Discovery pings by the direct path, or by all paths there may be; every pong is told. Returns what gives it up,
   * undefined when there is no way to ping.
   */
  ping(
    peer: Peer,
    onPong: (pong: MagicsockPong) => void,
    padding: number,
  ): (() => void) | undefined {
    const endpoint = this.#endpoints.get(peer);
    const direct = endpoint && (endpoint.direct ?? this.#openDirect(endpoint));
    if (!endpoint || isZeroKey(peer.discoKey)) return undefined;
    const { clock } = this.#options;
    const now = clock.now();
    let given = false;
    const tell = (pong: MagicsockPong): void => {
      if (!given) onPong(pong);
    };
    const hasPath = direct?.isTrusted(now) === true;
    direct?.ping(now, tell, padding);
    this.#lastSend = now;
    this.#ticker.watch(endpoint);
    const relay = hasPath ? undefined : this.#relayPathTo(endpoint);
    const relayPong = (path: RelayPath): void => tell({ path, latency: clock.now() - now });
    const forget = relay && this.#disco.pingRelayed(relay, relayPong, padding);
    if (!direct && !forget) return undefined;
    return () => {
      given = true;
      forget?.();
    };
  }

  /** What goes to the peer seems not to arrive: the direct path is tested. */
  suspect(peer: Peer): void {
    const endpoint = this.#endpoints.get(peer);
    if (!endpoint?.direct) return;
    endpoint.direct.suspect(this.#options.clock.now());
    this.#ticker.watch(endpoint);
  }

  /** The machine's network changed, or it slept: nothing that was learnt of paths holds. */
  networkChanged(): void {
    if (this.#closed) return;
    this.#own.forget();
    this.#netchecker.forget();
    this.#calls.forget();
    this.#peerRelays.reset();
    for (const endpoint of this.#endpoints.values()) endpoint.direct?.reset();
    void this.#relays.check();
    // bound() measures.
    this.#udp.rebind();
  }

  /** Measures the network anew, as soon as there are sockets to do it with. */
  measure(why: string): void {
    if (this.#isBound) this.#netchecker.request(why);
  }

  counters(): MagicsockCounters {
    return {
      relay_packets_in: this.#relayedIn,
      relay_packets_out: this.#relayedOut,
      udp_packets_in: this.#directIn,
      udp_packets_out: this.#directOut,
      peer_relay_packets_in: this.#viaIn,
      peer_relay_packets_out: this.#viaOut,
      drop_in_peer_relay: this.#peerRelays.ignored,
      drop_in_unknown_source: this.#unknownSource,
      drop_in_noise: this.#noise,
      drop_in_stun: this.#staleStun,
      drop_in_disco: this.#disco.ignored,
      drop_in_disco_malformed: this.#disco.malformed,
      drop_in_disco_replayed: this.#disco.replayed,
      drop_out_no_path: this.#unsent + this.#relays.dropped,
      drop_out_udp_full: this.#udp.dropped,
      drop_out_udp_refused: this.#udp.refused,
    };
  }

  close(): void {
    this.#closed = true;
    this.#ticker.close();
    this.#peerRelays.reset();
    this.#measureTimer?.cancel();
    this.#netchecker.close();
    for (const endpoint of this.#endpoints.values()) endpoint.close();
    this.#relays.close();
    this.#udp.close();
  }

  #openDirect(endpoint: Endpoint): DirectPath | undefined {
    const { peer } = endpoint;
    if (isZeroKey(peer.discoKey)) return undefined;
    const { crypto, log } = this.#options;
    return endpoint.openDirect(this.#paths, this.#vias, {
      newTxId: () => crypto.randomBytes(DISCO_TXID_LENGTH),
      ping: (path, txId, padding) => {
        this.#disco.ping(path, peer, txId, padding);
      },
      callPeer: () => this.#callPeer(endpoint),
      seekRelay: () => this.#seekRelay(peer),
      isSilent: () => this.#isSilent,
      hasHeard: (path) => endpoint.hasHeard(path),
      pathChanged: (path) => {
        const kind = path?.kind === 'via' ? 'peer relay' : 'direct path';
        log('debug', path ? kind : 'no direct path', {
          peer: peer.node.Name,
          path: path?.text,
        });
        this.#pathChanged(peer, path === undefined);
      },
      trustLost: (isActive) => {
        log('debug', 'path does not answer', { peer: peer.node.Name });
        if (isActive && endpoint.direct?.best?.kind === 'udp') this.#leavePath(endpoint);
        this.#pathChanged(peer, true);
      },
    });
  }

  #pathChanged(peer: Peer, isLoss: boolean): void {
    if (this.#closed) return;
    this.#notePaused();
    this.#sink.pathChanged(peer, isLoss);
  }

  /**
   * The peer may trust the path for seconds yet, and what it sends is lost. An address that is missing from a call is
   * forgotten, and a path to it with it: one call without any, then the true one, which makes it try all of them.
   */
  #leavePath(endpoint: Endpoint): void {
    if (this.#closed) return;
    this.#sendByRelay(endpoint.peer, { type: 'callMeMaybe', endpoints: [] });
    this.#callPeer(endpoint);
  }

  #relayPathTo(endpoint: Endpoint): RelayPath | undefined {
    const region = endpoint.relayRegion(this.#isConnected);
    return region === 0 ? undefined : endpoint.relayPath(region);
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
    else if (packet.length > 0) {
      // Perhaps the peer has seen before us that the direct path is dead.
      if (endpoint.direct?.best) this.suspect(endpoint.peer);
      this.#sink.receive(packet, 0, packet.length, path);
    }
  }

  #receiveDirect(buf: Uint8Array, offset: number, length: number, from: UdpPath): void {
    if (length >= MIN_DATAGRAM && isTransport(buf, offset)) {
      this.#directIn++;
      this.#sink.receive(buf, offset, length, from);
      return;
    }
    if (length >= MIN_DATAGRAM && geneveProtocol(buf, offset) !== 0) {
      this.#receiveVia(buf, offset, length, from);
      return;
    }
    // Little and rare: it may be kept.
    const datagram = buf.slice(offset, offset + length);
    if (isStun(datagram)) {
      if (!this.#netchecker.answer(datagram)) this.#staleStun++;
    } else if (isDisco(datagram)) this.#disco.receiveDatagram(datagram, from);
    else if (length < MIN_DATAGRAM) this.#noise++;
    else {
      this.#directIn++;
      this.#sink.receive(datagram, 0, length, from);
    }
  }

  #receiveVia(buf: Uint8Array, offset: number, length: number, hop: UdpPath): void {
    const from = this.#vias.find(hop, geneveVni(buf, offset));
    const kind = innerKind(buf, offset);
    const at = offset + GENEVE_HEADER_LENGTH;
    if (kind === 'wireguard') {
      this.#viaIn++;
      this.#sink.receive(buf, at, length - GENEVE_HEADER_LENGTH, from);
      return;
    }
    const envelope = buf.slice(at, offset + length);
    if (kind === undefined || !isDisco(envelope)) this.#noise++;
    else if (kind === 'relay') this.#disco.receiveFromRelay(envelope, from);
    else this.#disco.receiveDatagram(envelope, from);
  }

  #sendDatagram(path: DatagramPath, buf: Uint8Array, offset: number, length: number): boolean {
    if (path.kind === 'via') {
      const sent = this.#encapsulation.send(path, buf, offset, length);
      if (sent) this.#viaOut++;
      return sent;
    }
    const sent = this.#udp.send(path, buf, offset, length);
    if (sent) this.#directOut++;
    return sent;
  }

  #sendRelayed(path: RelayPath, buf: Uint8Array, offset: number, length: number): void {
    if (this.#relays.send(path.region, path.peer.keyBytes, buf, offset, length)) this.#relayedOut++;
    else this.#unsent++;
  }

  #sendDisco(path: Path, envelope: Uint8Array, isForRelay: boolean): void {
    if (path.kind === 'relay') this.#sendRelayed(path, envelope, 0, envelope.length);
    else if (path.kind === 'udp') this.#udp.probe(path, envelope);
    else this.#encapsulation.probe(path, envelope, isForRelay);
  }

  /** Sends a discovery message through the peer's relay; without one it is lost. */
  #sendByRelay(peer: Peer, message: DiscoMessage): void {
    const endpoint = this.#endpoints.get(peer);
    const path = endpoint && this.#relayPathTo(endpoint);
    if (path) this.#disco.send(path, peer, message);
  }

  #seekRelay(peer: Peer): boolean {
    const { hasServers } = this.#peerRelays;
    if (!this.#usesPeerRelays || !hasServers || !isRelayCapable(peer.node)) return false;
    this.#peerRelays.seek(peer, this.#options.clock.now());
    this.#ticker.watch(this.#peerRelays);
    return true;
  }

  #relayReady(peer: Peer, path: ViaPath, server: Uint8Array, latency: number): void {
    const endpoint = this.#endpoints.get(peer);
    const direct = endpoint && (endpoint.direct ?? this.#openDirect(endpoint));
    direct?.relayReady(path, server, latency, this.#options.clock.now());
    if (endpoint) this.#ticker.watch(endpoint);
  }

  #pinged(peer: Peer, from: UdpPath, txId: Uint8Array): boolean {
    const endpoint = this.#endpoints.get(peer);
    const direct = endpoint && (endpoint.direct ?? this.#openDirect(endpoint));
    return direct?.heardPing(from.address, from.port, txId, this.#options.clock.now()) === true;
  }

  #called(peer: Peer, endpoints: readonly DiscoEndpoint[]): void {
    const endpoint = this.#endpoints.get(peer);
    const direct = endpoint && (endpoint.direct ?? this.#openDirect(endpoint));
    if (!direct) return;
    const addresses = endpoints.flatMap(({ addr, port }) =>
      isReachable(addr) ? [{ address: formatAddr(addr), port }] : [],
    );
    direct.called(addresses, this.#options.clock.now());
    this.#ticker.watch(endpoint);
  }

  /** Asks the peer to ping us, with addresses of ours that are fresh. */
  #callPeer(endpoint: Endpoint): void {
    if (!this.#calls.mayCall(endpoint, this.#options.clock.now())) {
      this.measure('addresses to call a peer with');
      return;
    }
    const endpoints = callEndpoints(this.#own.list);
    this.#sendByRelay(endpoint.peer, { type: 'callMeMaybe', endpoints });
  }

  #bound(): void {
    this.#isBound = true;
    this.#sink.portChanged(this.#udp.port(4) || this.#udp.port(6), this.#udp.port(4));
    this.measure('sockets');
  }

  #sendFailed(path: UdpPath): void {
    for (const item of this.#ticker.busy)
      if (item instanceof Endpoint) item.direct?.unreachable(path);
  }

  #updateOwn(report: NetcheckReport): void {
    const { clock, port } = this.#options;
    const now = clock.now();
    const { globalV4, globalV6, otherGlobal } = report;
    const changed = this.#own.update(
      {
        interfaces: networkInterfaces(),
        portV4: this.#udp.port(4),
        portV6: this.#udp.port(6),
        isPortFixed: port !== 0,
        portmapped: this.#portmapped,
        stun: [globalV4, globalV6, ...otherGlobal].filter((each) => each !== undefined),
        mappingVaries: report.mappingVaries,
      },
      now,
    );
    if (changed) this.#sink.endpointsChanged(this.#own.list);
    for (const endpoint of this.#calls.measured(now)) this.#callPeer(endpoint);
  }

  /** While something is sent, the mapping on the NAT must neither lapse nor change unnoticed. */
  #measureLater(): void {
    const { clock } = this.#options;
    this.#measureTimer?.cancel();
    if (this.#closed) return;
    this.#measureTimer = clock.schedule(MEASURE_MIN + MEASURE_SPREAD * this.#random(), () => {
      if (clock.now() - this.#lastSend <= ACTIVE_FOR) this.measure('periodic');
    });
  }

  /** A full relay stops everybody, unless some peer has a direct path: then its own packets are dropped instead. */
  #notePaused(): void {
    const paused = this.#udpFull || (this.#relayFull && !this.#anyDirect());
    if (paused === this.#isPaused) return;
    this.#isPaused = paused;
    this.#sink.congested(paused);
  }

  #anyDirect(): boolean {
    const now = this.#options.clock.now();
    for (const item of this.#ticker.busy)
      if (item instanceof Endpoint && item.direct?.isTrusted(now)) return true;
    return false;
  }

  #regionLost(region: number): void {
    for (const endpoint of this.#endpoints.values()) endpoint.forgetRegion(region);
    if (!this.#closed && region === this.#relays.home) this.measure('home relay lost');
    this.#noteConnected();
  }

  #noteConnected(): void {
    const connected = this.#relays.connectedCount > 0;
    if (connected === this.#wasConnected) return;
    this.#wasConnected = connected;
    this.#sink.relayConnected(connected);
  }

  #random(): number {
    return (this.#options.crypto.randomBytes(1)[0] ?? 0) / 256;
  }
}

/** WireGuard's transport data, which is nearly everything. */
function isTransport(buf: Uint8Array, offset: number): boolean {
  return buf[offset] === 4 && (buf[offset + 1]! | buf[offset + 2]! | buf[offset + 3]!) === 0;
}
