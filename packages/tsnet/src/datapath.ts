// Packets between wireguard and netstack: who sent it, may it pass, where does it go. Synchronous, and without
// allocation for ordinary packets.

import { hasUdpTrains } from '@cove/native';
import { Stack, type StackOptions } from '@cove/netstack';
import type { Crypto } from '@cove/protocol/crypto';
import { type DiscoPublic, discoPublic, nodePublic, type PrivateKey } from '@cove/protocol/keys';
import { parseAddr } from '@cove/protocol/netaddr';
import {
  COUNT_NAMES,
  Count,
  Device,
  PrefixTable,
  type Peer as WireGuardPeer,
} from '@cove/wireguard';
import type { Clock } from './clock.ts';
import { Filter, VERDICT_NAMES, Verdict } from './filter/filter.ts';
import { PacketHeader, TCP, TCP_SYN, TSMP } from './filter/header.ts';
import type { IpSet } from './filter/ipset.ts';
import { type CompiledRules, NO_RULES } from './filter/rules.ts';
import type { Path } from './magicsock/paths.ts';
import type { NodeTable, Peer, PeerChanges } from './nodetable.ts';
import { chunk, outputSlot } from './slab.ts';
import * as tsmp from './tsmp.ts';
import { type KernelSink, TO_MACHINE, TO_STACK, takers } from './tun/share.ts';

/** Type of a WireGuard message. */
const HANDSHAKE_RESPONSE = 2;
/** Peers that we began with and that have been silent this long cost nothing any more. */
const FORGET_AFTER = 600_000;

/**
 * Segments sent per turn. In the same turn the sockets read about as many, so that a node that sends to another one of
 * the same process does not fill its socket faster than it is read.
 */
const SEGMENTS_WITH_TRAINS = 128;
const SEGMENTS = 32;

export interface DataPathSink {
  /** True: through the relay, perhaps besides a direct path. */
  transmit(peer: Peer, buf: Uint8Array, offset: number, length: number): boolean;
  reply(path: Path, buf: Uint8Array, offset: number, length: number): void;
  /** A turn is needed: something is due or waits to be sent. */
  wake(): void;
  /** What TCP sends to the peer goes unanswered. */
  suspect(peer: Peer): void;
  /** Own address of a family (4 or 16 bytes long), undefined when there is none. */
  ownAddress(length: number): Uint8Array | undefined;
  /** A peer answered our TSMP ping. `data` is 8 borrowed bytes. */
  pong(peer: Peer, data: Uint8Array, peerApiPort: number): void;
  /** A peer refuses the connection from our port to its address; `reason` as in TSMP. */
  refused(localPort: number, remoteAddress: string, remotePort: number, reason: number): void;
  /** The peer says that this is its disco key. */
  discoKey(peer: Peer, key: DiscoPublic): void;
  /** The disco key to tell the peer first thing in a new session; undefined: it need not hear it. */
  discoKeyFor(peer: Peer): Uint8Array | undefined;
}

export interface DataPathOptions {
  readonly nodeKey: PrivateKey;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly nodes: NodeTable;
  readonly sink: DataPathSink;
  /** Of the stack; for tests. */
  readonly tcp?: StackOptions['tcp'];
  /** Takes what no connection, listener or socket of the stack waits for. */
  readonly kernel?: KernelSink | undefined;
  /** Of the stack. */
  readonly firstEphemeralPort?: number | undefined;
}

export class DataPath {
  readonly stack: Stack;
  device: Device<Peer, Path>;
  /** New connections to this port of our own addresses pass the filter: peerapi decides itself. 0: none. */
  peerApiPort = 0;
  readonly #options: DataPathOptions;
  readonly #sink: DataPathSink;
  readonly #kernel: KernelSink | undefined;
  readonly #routes: PrefixTable<Peer> = new PrefixTable();
  readonly #filter: Filter;
  readonly #jailFilter: Filter;
  readonly #header: PacketHeader = new PacketHeader();
  /** Room for what we make ourselves: header before, padding and tag behind. */
  readonly #scratch: Uint8Array = new Uint8Array(256);
  #local: IpSet | undefined;
  #shieldsUp = false;
  /** Of devices before this one. */
  readonly #oldCounts: Uint32Array = new Uint32Array(COUNT_NAMES.length);
  /** A floating-point number from the start, so that the class of this object stays one to V8. */
  #now = -0;
  /** The relay path of the message being received. */
  #relayedFrom: Path | undefined;
  /** Inbound drops by Verdict, outbound drops behind them. */
  readonly #drops: Uint32Array = new Uint32Array(2 * VERDICT_NAMES.length);
  #noRoute = 0;
  #noKey = 0;
  #packetsIn = 0;
  #packetsOut = 0;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(options: DataPathOptions) {
    const { crypto, nodes, sink } = options;
    this.#sink = sink;
    this.#kernel = options.kernel;
    const hasCap: ConstructorParameters<typeof Filter>[0] = (cap, family, w0, w1, w2, w3) => {
      const node = nodes.byWords(family, w0, w1, w2, w3);
      return (
        node !== undefined &&
        node !== nodes.map?.self &&
        node.UnsignedPeerAPIOnly !== true &&
        node.CapMap !== undefined &&
        Object.hasOwn(node.CapMap, cap)
      );
    };
    this.#filter = new Filter(hasCap);
    this.#jailFilter = new Filter(() => false);
    this.stack = new Stack({
      randomBytes: crypto.randomBytes,
      output: (buf, offset, length) => this.#output(buf, offset, length),
      slots: outputSlot(),
      segmentsPerPoll: hasUdpTrains() ? SEGMENTS_WITH_TRAINS : SEGMENTS,
      allocate: chunk,
      wake: () => sink.wake(),
      // No listener, no answer: stock nodes are silent about closed UDP ports.
      unhandledUdp: () => true,
      pathSuspect: (remote) => {
        const peer = this.peerFor(parseAddr(remote)!);
        if (peer) sink.suspect(peer);
      },
      ...(options.tcp ? { tcp: options.tcp } : {}),
      ...(options.firstEphemeralPort ? { firstEphemeralPort: options.firstEphemeralPort } : {}),
    });
    this.#options = options;
    this.device = this.#newDevice(options.nodeKey);
  }

  /** Starts anew under another key: every session is gone. */
  setNodeKey(nodeKey: PrivateKey): void {
    for (let i = 0; i < this.#oldCounts.length; i++)
      this.#oldCounts[i]! += this.device.counters[i]!;
    for (const { context } of this.device.peers()) context.wireguard = undefined;
    this.device.close();
    this.device = this.#newDevice(nodeKey);
  }

  #newDevice(privateKey: PrivateKey): Device<Peer, Path> {
    const { crypto, clock, nodes, sink } = this.#options;
    return new Device({
      privateKey,
      crypto,
      wallClock: () => {
        const ms = clock.wallNow();
        const seconds = Math.floor(ms / 1000);
        return { seconds, nanos: Math.floor((ms - seconds * 1000) * 1e6) };
      },
      lookupPeer: (publicKey) => {
        const peer = nodes.byKey(nodePublic(publicKey));
        return peer && { publicKey, allowedIPs: peer.routes, context: peer };
      },
      sink: {
        transmit: (peer, buf, offset, length) => {
          peer.context.wireguard = peer;
          const isRelayed = sink.transmit(peer.context, buf, offset, length);
          // A peer that greets through the relay may not have the direct path any more that we still trust.
          if (this.#relayedFrom !== undefined && !isRelayed && buf[offset] === HANDSHAKE_RESPONSE)
            sink.reply(this.#relayedFrom, buf, offset, length);
        },
        deliver: (peer, buf, offset, length) => this.#deliver(peer, buf, offset, length),
        reply: (buf, offset, length, from) => sink.reply(from, buf, offset, length),
        roamed: (peer, from) => {
          peer.context.wireguard = peer;
          peer.context.heardFrom = from;
        },
        handshakeComplete: (peer) => this.#introduce(peer.context),
        handshakeFailed: () => {},
        peerForgotten: (peer) => {
          if (peer.context.wireguard === peer) peer.context.wireguard = undefined;
        },
        sourceBytes: (from) => (from.kind === 'relay' ? from.peer.keyBytes : from.bytes),
      },
    });
  }

  applyPeers(changes: PeerChanges): void {
    for (const peer of changes.removed) {
      this.#unroute(peer, peer.routes);
      this.#forget(peer);
    }
    for (const { peer, oldRoutes } of changes.changed)
      if (oldRoutes) this.#unroute(peer, oldRoutes);
    for (const { peer, oldRoutes, oldDiscoKey } of changes.changed) {
      const wireguard = peer.wireguard;
      if (oldRoutes) {
        for (const prefix of peer.routes) this.#routes.set(prefix, peer);
        if (wireguard) this.device.setAllowedIPs(wireguard, peer.routes);
      }
      // A new disco key means that the peer restarted: its half of the session is gone.
      if (wireguard && oldDiscoKey !== undefined) {
        const hadSession = wireguard.hasSession(this.#now);
        this.device.resetSession(wireguard);
        // It may have been the new one already: then the peer goes on using what was just wiped.
        if (hadSession) this.device.wake(wireguard, this.#now);
      }
    }
    for (const peer of changes.added) {
      for (const prefix of peer.routes) this.#routes.set(prefix, peer);
    }
  }

  /** shieldsUp: the rules are those of a node that wants no visitors, and refusals say so. */
  setFilter(rules: CompiledRules, local: IpSet, shieldsUp: boolean): void {
    this.#local = local;
    this.#shieldsUp = shieldsUp;
    this.#filter.install(rules, local);
    this.#jailFilter.install(NO_RULES, local);
  }

  /** The peer an address is routed to. */
  peerFor(address: Uint8Array): Peer | undefined {
    return this.#routes.lookup(address);
  }

  /** Packets to the peer take another path now. */
  pathChanged(peer: Peer, isLoss: boolean): void {
    this.stack.pathChanged((address) => this.peerFor(parseAddr(address)!) === peer, isLoss);
    this.#sink.wake();
  }

  /** A WireGuard datagram from outside; overwritten. */
  receive(buf: Uint8Array, offset: number, length: number, from: Path, now: number): void {
    this.#now = now;
    this.#relayedFrom = from.kind === 'relay' ? from : undefined;
    const filed = this.device.receive(buf, offset, length, now, from);
    this.#relayedFrom = undefined;
    // The peer goes on with a session from before our restart. It would find out in 15 seconds; the relay vouches
    // for its key, so that it can be told at once.
    if (filed === Count.UNKNOWN_INDEX && from.kind === 'relay') {
      if (from.peer.wireguard?.hasSession(now) !== true) this.wakePeer(from.peer, now);
    }
  }

  /** What comes up to the next poll came together. */
  train(): void {
    this.stack.setCoalesced();
  }

  /** End of a batch, or a timer. */
  poll(now: number): void {
    this.#now = now;
    const due = this.device.nextTick;
    if (due !== undefined && due <= now) this.device.tick(now);
    this.stack.poll(now);
    this.#kernel?.poll(now);
  }

  /** When poll must come next; undefined: not before something happens. */
  get nextTick(): number | undefined {
    const a = this.device.nextTick ?? Number.POSITIVE_INFINITY;
    const b = this.stack.nextTick ?? Number.POSITIVE_INFINITY;
    const c = this.#kernel?.nextTick ?? Number.POSITIVE_INFINITY;
    const first = Math.min(a, b, c);
    return first === Number.POSITIVE_INFINITY ? undefined : first;
  }

  /** A packet of the machine, with room for wireguard around it; overwritten. */
  fromKernel(buf: Uint8Array, offset: number, length: number, now: number): void {
    this.#now = now;
    const header = this.#header;
    header.parse(buf, offset, length);
    const addressLength = header.family === 4 ? 4 : 16;
    const at = offset + (header.family === 4 ? 16 : 24);
    // Only the node itself makes TSMP.
    if (header.family === 0 || header.protocol === TSMP) {
      this.#drops[VERDICT_NAMES.length + Verdict.unknownProtocol]!++;
    } else if (this.#kernel!.isService(buf, at, addressLength)) {
      this.#kernel!.service(buf, offset, header.length, now);
    } else {
      this.#route(buf, offset, length);
    }
  }

  /** Sends an IP packet of our own making to a peer. */
  inject(peer: Peer, packet: Uint8Array, now: number): void {
    this.#now = now;
    const scratch = this.#scratch;
    scratch.set(packet, 16);
    this.#send(peer, scratch, 16, packet.length);
  }

  /** Starts a handshake if there is no session. */
  wakePeer(peer: Peer, now: number): void {
    const wireguard = this.#activate(peer, now);
    if (wireguard) this.device.wake(wireguard, now);
  }

  /** Drops the state of peers that were sent to and have been silent for long. */
  forgetIdle(now: number): void {
    for (const wireguard of this.device.peers()) {
      const peer = wireguard.context;
      const last = Math.max(peer.lastSend, wireguard.lastHandshake ?? 0);
      if (!wireguard.onDemand && now - last > FORGET_AFTER && !wireguard.hasSession(now))
        this.#forget(peer);
    }
  }

  counters(): Record<string, number> {
    const out: Record<string, number> = {
      packets_in: this.#packetsIn,
      packets_out: this.#packetsOut,
      bytes_in: this.#bytesIn,
      bytes_out: this.#bytesOut,
      drop_out_no_route: this.#noRoute,
      drop_out_no_key: this.#noKey,
    };
    for (let i = 1; i < VERDICT_NAMES.length; i++) {
      out[`drop_in_${VERDICT_NAMES[i]}`] = this.#drops[i]!;
      out[`drop_out_${VERDICT_NAMES[i]}`] = this.#drops[VERDICT_NAMES.length + i]!;
    }
    for (let i = 0; i < COUNT_NAMES.length; i++)
      out[`wireguard_${COUNT_NAMES[i]}`] = this.#oldCounts[i]! + this.device.counters[i]!;
    return out;
  }

  close(): void {
    this.device.close();
  }

  /** Before anything else goes to a peer in a new session. */
  #introduce(peer: Peer): void {
    const key = this.#sink.discoKeyFor(peer);
    const to = key && parseAddr(peer.addresses[0] ?? '');
    const from = to && this.#sink.ownAddress(to.length);
    if (key && to && from) this.inject(peer, tsmp.encodeDisco(from, to, key), this.#now);
  }

  /** From wireguard: the source address is the peer's. */
  #deliver(wireguard: WireGuardPeer<Peer>, buf: Uint8Array, offset: number, length: number): void {
    const peer = wireguard.context;
    const header = this.#header;
    header.parse(buf, offset, length);
    this.#packetsIn++;
    this.#bytesIn += length;
    // The device knows the routes of active peers only; a more specific one may be somebody else's.
    const at = offset + (header.family === 4 ? 12 : 8);
    const sourceLength = header.family === 4 ? 4 : 16;
    if (header.family !== 0 && this.#routes.lookup(buf, at, sourceLength) !== peer) {
      this.#drops[Verdict.notLocal]!++;
      return;
    }
    if (header.protocol === TSMP && this.#takeTsmp(peer, buf, offset)) return;
    const verdict = (peer.jailed ? this.#jailFilter : this.#filter).checkInbound(header);
    if (verdict !== Verdict.accept && !this.#isForPeerApi()) {
      this.#drops[verdict]!++;
      if (verdict === Verdict.noRule && header.family === 4 && header.isTcpOpen) {
        const isShielded = peer.jailed || this.#shieldsUp;
        const reason = isShielded ? tsmp.REJECT_SHIELDS_UP : tsmp.REJECT_ACCESS_RULE;
        this.inject(peer, tsmp.encodeReject(header, buf, offset, reason), this.#now);
      }
      return;
    }
    const to = this.#kernel === undefined ? TO_STACK : takers(this.stack, header, buf, offset);
    if (to & TO_MACHINE) this.#kernel!.write(buf, offset, header.length);
    if (to & TO_STACK) this.stack.input(buf, offset, header.length, this.#now);
  }

  #isForPeerApi(): boolean {
    const h = this.#header;
    return (
      h.protocol === TCP &&
      h.dstPort === this.peerApiPort &&
      (h.tcpFlags & TCP_SYN) !== 0 &&
      this.#local?.has(h.family, h.dst0, h.dst1, h.dst2, h.dst3) === true
    );
  }

  /** True: consumed. */
  #takeTsmp(peer: Peer, buf: Uint8Array, offset: number): boolean {
    const header = this.#header;
    const body = offset + header.transport;
    const length = header.length - header.transport;
    if (length < tsmp.MIN_LENGTH) return false;
    switch (buf[body]) {
      case tsmp.TSMP_PING:
        if (length < tsmp.PING_LENGTH) return false;
        this.inject(peer, tsmp.encodePong(header, buf, offset, this.peerApiPort), this.#now);
        return true;
      case tsmp.TSMP_PONG: {
        if (length < tsmp.PING_LENGTH) return true;
        const port = length >= 11 ? (buf[body + 9]! << 8) | buf[body + 10]! : 0;
        this.#sink.pong(peer, buf.subarray(body + 1, body + 9), port);
        return true;
      }
      case tsmp.TSMP_REJECT: {
        const localPort = (buf[body + 3]! << 8) | buf[body + 4]!;
        const remotePort = (buf[body + 5]! << 8) | buf[body + 6]!;
        // The refuser is the packet's source, and wireguard vouches for it.
        if (buf[body + 1] === TCP)
          this.#sink.refused(localPort, header.sourceText(), remotePort, buf[body + 2]!);
        return true;
      }
      case tsmp.TSMP_DISCO:
        // The session is this peer's alone: nobody else can say it.
        if (length >= tsmp.DISCO_LENGTH)
          this.#sink.discoKey(peer, discoPublic(buf.subarray(body + 1, body + tsmp.DISCO_LENGTH)));
        return true;
      default:
        return true;
    }
  }

  /** From netstack; there is room for wireguard around the packet. */
  #output(buf: Uint8Array, offset: number, length: number): void {
    this.#header.parse(buf, offset, length);
    this.#route(buf, offset, length);
  }

  /** A packet whose header was read. */
  #route(buf: Uint8Array, offset: number, length: number): void {
    const header = this.#header;
    const at = offset + (header.family === 4 ? 16 : 24);
    const peer = this.#routes.lookup(buf, at, header.family === 4 ? 4 : 16);
    if (!peer) {
      this.#noRoute++;
      return;
    }
    const verdict = (peer.jailed ? this.#jailFilter : this.#filter).checkOutbound(header);
    if (verdict !== Verdict.accept) {
      this.#drops[VERDICT_NAMES.length + verdict]!++;
      return;
    }
    this.#packetsOut++;
    this.#bytesOut += length;
    this.#send(peer, buf, offset, length);
  }

  #send(peer: Peer, buf: Uint8Array, offset: number, length: number): void {
    const wireguard = peer.wireguard?.live ? peer.wireguard : this.#activate(peer, this.#now);
    if (!wireguard) {
      this.#noKey++;
      return;
    }
    peer.lastSend = this.#now;
    this.device.send(wireguard, buf, offset, length, this.#now);
  }

  #activate(peer: Peer, now: number): WireGuardPeer<Peer> | undefined {
    if (peer.wireguard?.live) return peer.wireguard;
    const { keyBytes: publicKey, routes: allowedIPs } = peer;
    peer.lastSend = now;
    try {
      peer.wireguard =
        this.device.peerByKey(publicKey) ??
        this.device.addPeer({ publicKey, allowedIPs, context: peer }, now);
    } catch {
      // Control handed out a key that no curve point has.
      peer.wireguard = undefined;
    }
    return peer.wireguard;
  }

  #forget(peer: Peer): void {
    if (peer.wireguard?.live) this.device.removePeer(peer.wireguard);
    peer.wireguard = undefined;
  }

  #unroute(peer: Peer, prefixes: Peer['routes']): void {
    for (const prefix of prefixes) {
      if (this.#routes.get(prefix) === peer) this.#routes.delete(prefix);
    }
  }
}
