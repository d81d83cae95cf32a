// The data path of one node: joins magicsock, wireguard, the packet filter and netstack, and drives them: one turn
// of the event loop is one batch, one timer stands at the earliest thing due.
//
// In:  relay -> magicsock -> wireguard.receive -> allowed source? -> filter -> netstack.input -> Conn.
// Out: Conn.write -> netstack -> filter notes the flow -> route to peer -> wireguard.send -> magicsock.

import type { StackOptions } from '@cove/netstack';
import type { Crypto } from '@cove/protocol/crypto';
import { type NodePublic, nodePublic, type PrivateKey } from '@cove/protocol/keys';
import { formatAddr, parseAddr, parsePrefix } from '@cove/protocol/netaddr';
import type { NetInfo } from '@cove/protocol/tailcfg';
import type { Clock, Timer } from './clock.ts';
import { Conn, type ConnEnvironment } from './conn.ts';
import { DataPath } from './datapath.ts';
import { Dialer } from './dialer.ts';
import { closedError } from './errors.ts';
import { type AddressRange, IpSet, prefixRange } from './filter/ipset.ts';
import { anySourceOverlaps, type CompiledRules, compileRules, NO_RULES } from './filter/rules.ts';
import { Linger } from './linger.ts';
import { Listener } from './listener.ts';
import { type Log, silent } from './log.ts';
import { LoopHold } from './loophold.ts';
import { resolveName, reverseName } from './magicdns.ts';
import type { RelayDial } from './magicsock/derp.ts';
import type { OwnEndpoint } from './magicsock/endpoints.ts';
import { Magicsock } from './magicsock/magicsock.ts';
import type { NetcheckReport } from './magicsock/netcheck.ts';
import { relayDialer } from './magicsock/relaydial.ts';
import { relayNodes } from './magicsock/relaynodes.ts';
import { openUdp, type UdpOpen } from './magicsock/udpsocket.ts';
import { describeReport } from './netinfo.ts';
import { hasAttribute, type NetworkMap, nodeAddresses } from './netmap.ts';
import { NodeTable, type Peer, type PeerChanges } from './nodetable.ts';
import { PacketConn } from './packetconn.ts';
import { PeerApi, peerApiPort } from './peerapi.ts';
import { Pinger, type PingOptions, type PingResult } from './ping.ts';
import { LateMapper } from './portmapper/latemapper.ts';
import type { PortServices } from './portmapper/portmapper.ts';
import * as tsmp from './tsmp.ts';
import type { Machine } from './tun/machine.ts';
import type { MachineOpener } from './tun/open.ts';
import { Turns } from './turns.ts';
import { warmUp, warmUpPath } from './warmup.ts';
import { type WhoIs, whoIsAddress } from './whois.ts';

/** What the engine tells its owner. All are called outside the packet path; none may throw. */
export interface EngineCallbacks {
  /** The home relay region was chosen or changed (0: none); control is told as NetInfo.PreferredDERP. */
  homeDerp(regionId: number): void;
  /** Some relay connection is up (ServerInfo received), or the last one went down. */
  derpConnected(connected: boolean): void;
  /** What was measured of the network (control: NetInfo, beside PreferredDERP). */
  netInfo?(info: NetInfo): void;
  /** UDP addresses at which peers may try this node changed (control: Endpoints). */
  endpoints?(endpoints: readonly OwnEndpoint[]): void;
  /** The UDP port in use, for the next run to ask for again. */
  udpPort?(port: number): void;
}

export interface EngineOptions {
  readonly nodeKey: PrivateKey;
  readonly discoKey: PrivateKey;
  readonly crypto: Crypto;
  readonly clock: Clock;
  /** Absent: silent. */
  readonly log?: Log | undefined;
  readonly callbacks: EngineCallbacks;
  /** PEM certificates of authorities to trust for relays, besides the system's. */
  readonly relayCa?: string | readonly string[] | undefined;
  /** Connections to relays, for simulations; absent: real ones. */
  readonly dialRelay?: RelayDial | undefined;
  /** UDP port for direct paths; absent or 0: `lastPort` if it is free, else any. */
  readonly port?: number | undefined;
  readonly lastPort?: number | undefined;
  /** Ask the gateway to map the UDP port. Default false. */
  readonly portMapping?: boolean | undefined;
  /** UDP sockets, for simulations; absent: real ones. */
  readonly openUdp?: UdpOpen | undefined;
  /** Use peers as subnet routers too. Default false. */
  readonly acceptRoutes?: boolean | undefined;
  /** Give the machine the node's addresses; absent: only this process is in the tailnet. */
  readonly openMachine?: MachineOpener | undefined;
  /** Settings of the TCP stack. */
  readonly tcp?: StackOptions['tcp'];
}

export interface ListenTcpOptions {
  /** Port in host order; 0 takes a free one. */
  readonly port: number;
  /** An own address; absent, `0.0.0.0` or `::`: every own address. */
  readonly address?: string | undefined;
  /** Connections that may wait to be taken; default 511. */
  readonly backlog?: number | undefined;
  readonly allowHalfOpen?: boolean | undefined;
}

export interface DialTcpOptions {
  /** IP literal. */
  readonly address: string;
  readonly port: number;
  readonly signal?: AbortSignal | undefined;
  readonly allowHalfOpen?: boolean | undefined;
}

export interface ListenUdpOptions {
  /** Port in host order; 0 takes a free one. */
  readonly port: number;
  /** An own address; absent: every own address. */
  readonly address?: string | undefined;
}

export interface PeerStatus {
  readonly nodeKey: NodePublic;
  /** Relay region for packets without a direct path; 0: none known. */
  readonly relay: number;
  /** Direct `ip:port` in use; absent: relayed. */
  readonly currentAddress?: string;
  /** Peer relay in use, `ip:port:vni:n`. */
  readonly peerRelay?: string;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Engine clock, milliseconds; absent: no session yet. */
  readonly lastHandshake?: number;
  /** A session is up. */
  readonly active: boolean;
}

const DEFAULT_BACKLOG = 511;
const FORGET_SCAN = 60_000;

export class Engine {
  /** Where further paths are added, as file transfer does. */
  readonly peerApi: PeerApi;
  readonly #clock: Clock;
  readonly #crypto: Crypto;
  readonly #log: Log;
  readonly #nodes: NodeTable;
  readonly #path: DataPath;
  readonly #magicsock: Magicsock;
  readonly #env: ConnEnvironment;
  readonly #listeners: Set<Listener> = new Set();
  readonly #packetConns: Set<PacketConn> = new Set();
  readonly #conns: Set<Conn> = new Set();
  readonly #forgetConn: (conn: Conn) => void = (conn) => void this.#conns.delete(conn);
  readonly #turns: Turns;
  readonly #dialer: Dialer;
  readonly #pinger: Pinger;
  readonly #portMapper: LateMapper | undefined;
  readonly #machine: Machine | undefined;
  #nodeKey: PrivateKey;
  #rules: CompiledRules = NO_RULES;
  #shieldsUp = false;
  #forgetTimer: Timer | undefined;
  #peerApiListener: Listener | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: EngineOptions) {
    const { clock, crypto } = options;
    this.#nodeKey = options.nodeKey;
    this.#clock = clock;
    this.#crypto = crypto;
    this.#log = options.log ?? silent;
    this.#turns = new Turns(clock, (now) => {
      try {
        this.#path.poll(now);
      } finally {
        this.#magicsock.flush();
      }
      return this.#path.nextTick;
    });
    this.#nodes = new NodeTable(options.acceptRoutes ?? false);
    // May fail, and nothing else is open yet.
    this.#machine = options.openMachine?.({
      nodes: this.#nodes,
      clock,
      log: this.#log,
      randomBytes: crypto.randomBytes,
      fromMachine: (buf, offset, length) =>
        this.#path.fromKernel(buf, offset, length, this.#turns.now()),
      wake: () => this.#turns.wake(),
      tailnet: {
        routesTo: (address) => this.routesTo(address),
        dial: (address, port, signal) => this.dialTcp({ address, port, signal }),
        openUdp: () => this.listenUdp({ port: 0 }),
      },
    });
    const nodeKey = (): PrivateKey => this.#nodeKey;
    this.#magicsock = new Magicsock({
      nodeKeyBytes: () => this.#path.device.publicKey,
      discoKey: options.discoKey,
      crypto,
      clock,
      log: this.#log,
      now: () => this.#turns.now(),
      dialRelay: options.dialRelay ?? relayDialer({ nodeKey, crypto, clock, ca: options.relayCa }),
      openUdp: options.openUdp ?? openUdp,
      port: options.port ?? 0,
      lastPort: options.lastPort ?? 0,
      sink: {
        receive: (buf, offset, length, from) => {
          this.#path.receive(buf, offset, length, from, this.#turns.now());
          this.#turns.wake();
        },
        relayConnected: (connected) => {
          if (connected) warmUp(crypto);
          options.callbacks.derpConnected(connected);
        },
        train: () => this.#path.train(),
        flushSoon: () => this.#turns.wakeAfter(),
        congested: (on) => this.#path.stack.setOutputPaused(on),
        pathChanged: (peer, isLoss) => this.#path.pathChanged(peer, isLoss),
        homeChanged: (region) => options.callbacks.homeDerp(region),
        measured: (report) => void this.#tellNetInfo(report, options.callbacks),
        endpointsChanged: (endpoints) => options.callbacks.endpoints?.(endpoints),
        portChanged: (port, portV4) => {
          if (portV4 !== 0) this.#portMapper?.ensure(portV4);
          options.callbacks.udpPort?.(port);
        },
      },
    });
    if (options.portMapping === true) {
      this.#portMapper = new LateMapper({
        clock,
        log: this.#log,
        randomBytes: crypto.randomBytes,
        onChange: (mapping) => this.#magicsock.setPortMapping(mapping?.external),
      });
    }
    this.#path = new DataPath({
      nodeKey: options.nodeKey,
      crypto,
      clock,
      nodes: this.#nodes,
      tcp: options.tcp,
      kernel: this.#machine,
      firstEphemeralPort: this.#machine?.firstEphemeralPort,
      sink: {
        transmit: (peer, buf, offset, length) => this.#magicsock.send(peer, buf, offset, length),
        reply: (path, buf, offset, length) => this.#magicsock.reply(path, buf, offset, length),
        wake: () => this.#turns.wake(),
        suspect: (peer) => this.#magicsock.suspect(peer),
        pong: (peer, data, port) => this.#pinger.pong(peer, data, port),
        refused: (localPort, address, port, reason) => {
          this.#log('debug', 'refused', { address, port, reason: tsmp.rejectText(reason) });
          this.#dialer.refused(localPort, address, port);
        },
        discoKey: (peer, key) => this.#magicsock.learnDisco(peer, key),
        discoKeyFor: ({ node }) =>
          tsmp.readsDiscoKeys(node) ? this.#magicsock.discoKeyBytes : undefined,
        ownAddress: (length) => this.#ownAddress(length),
      },
    });
    const hold = new LoopHold(clock);
    this.#env = {
      clock,
      hold,
      linger: new Linger(clock, hold),
      connect: (target, handler) => {
        this.#checkOpen();
        return this.#dialer.connect(target, handler);
      },
    };
    this.#dialer = new Dialer({
      connect: (to) => this.#path.stack.connect(to),
      resolve: (name) => this.resolve(name),
      routesTo: (address) => this.routesTo(address),
    });
    this.#pinger = new Pinger({
      clock,
      crypto,
      path: this.#path,
      magicsock: this.#magicsock,
      ownAddress: (length) => this.#ownAddress(length),
      newConn: () => this.newConn(),
    });
    this.peerApi = new PeerApi({
      whoIs: (address) => this.whoIsAddr(address),
      isOwnAddress: (address) => this.#isOwnAddress(address),
    });
    this.#scheduleForget();
  }

  /** Applies the difference to the previous map. The value is kept by reference and must not change. */
  setNetworkMap(map: NetworkMap): void {
    if (this.#closing) return;
    const before = this.#nodes.map;
    const changes = this.#nodes.setMap(map);
    this.#path.applyPeers(changes);
    this.#magicsock.applyPeers(changes);
    const newSelf = before?.self !== map.self;
    if (newSelf) {
      const addresses = nodeAddresses(map.self);
      this.#path.stack.setAddresses(addresses);
      this.#listenPeerApi(addresses[0] === undefined ? 0 : peerApiPort(addresses[0]));
    }
    const newRules = before?.filterRules !== map.filterRules;
    if (newRules) {
      this.#rules = compileRules(map.filterRules);
      for (const problem of this.#rules.problems) this.#log('warn', 'filter rule', { problem });
    }
    if (newSelf || newRules || changes.added.length > 0 || changes.changed.length > 0)
      this.#installFilter();
    if (this.#machine && (newSelf || changesRoutes(changes)))
      this.#machine.configure(this.#ownAddresses(), this.#nodes.peers);
    if (newSelf || before?.dns !== map.dns) this.#machine?.configureDns(map);
    if (before?.derpMap !== map.derpMap)
      this.#magicsock.setDerpMap(map.derpMap, map.self.HomeDERP ?? 0);
    if (newSelf) this.#magicsock.setSilent(hasAttribute(map.self, 'silent-disco'));
    if (newSelf || newRules || before?.peers !== map.peers)
      this.#magicsock.setPeerRelays(relayNodes(map, this.#nodes.peers));
    this.#turns.wake();
  }

  /**
   * The login was renewed and the server knows this node by a new key (server.ts calls it before the map that says
   * so): new WireGuard sessions and relay connections; listeners, and TCP connections where possible, live on.
   */
  setNodeKey(nodeKey: PrivateKey): void {
    if (this.#closing) return;
    this.#nodeKey = nodeKey;
    this.#path.setNodeKey(nodeKey);
    this.#magicsock.relays.reconnect();
  }

  /** Throws EADDRINUSE, EADDRNOTAVAIL, RangeError, ERR_CLOSED. */
  listenTcp(options: ListenTcpOptions): Listener {
    this.#checkOpen();
    const { port, allowHalfOpen, backlog = DEFAULT_BACKLOG } = options;
    const address = specificAddress(options.address);
    const listener = new Listener(this.#env, { allowHalfOpen, backlog }, (accept) =>
      this.#path.stack.listen({
        port: checkPort(port),
        ...(address === undefined ? {} : { address }),
        accept: (socket) => {
          warmUpPath(this.#crypto);
          accept(socket);
        },
      }),
    );
    this.#listeners.add(listener);
    listener.once('close', () => this.#listeners.delete(listener));
    return listener;
  }

  /**
   * Resolves when the handshake is done. Rejects ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, and with the signal's reason.
   */
  dialTcp(options: DialTcpOptions): Promise<Conn> {
    const { address: host, port, signal, allowHalfOpen } = options;
    const conn = this.newConn({ allowHalfOpen });
    return new Promise((resolve, reject) => {
      const onClose = (): void => reject(closedError('the node'));
      conn.on('error', reject);
      conn.on('close', onClose);
      conn.connect({ host, port, ...(signal ? { signal } : {}) }, () => {
        // The connection keeps nothing of the dial. The error listener stays until whoever awaits this has run: a
        // peer may accept and reset in one breath.
        conn.removeListener('close', onClose);
        setImmediate(() => conn.removeListener('error', reject));
        resolve(conn);
      });
    });
  }

  /** A connection that waits for its connect() call, for drivers that make their own. */
  newConn(options: { allowHalfOpen?: boolean | undefined } = {}): Conn {
    this.#checkOpen();
    warmUpPath(this.#crypto);
    const conn = new Conn(this.#env, { ...options, onClosed: this.#forgetConn });
    this.#conns.add(conn);
    return conn;
  }

  listenUdp(options: ListenUdpOptions): PacketConn {
    this.#checkOpen();
    const address = specificAddress(options.address);
    const conn = new PacketConn(this.#env.hold, ({ receive }) =>
      this.#path.stack.bindUdp({
        port: checkPort(options.port),
        ...(address === undefined ? {} : { address }),
        receive,
      }),
    );
    this.#packetConns.add(conn);
    conn.once('close', () => this.#packetConns.delete(conn));
    return conn;
  }

  /** Addresses of a tailnet name (short or full, dot or not), preferred family first; empty: unknown. */
  resolve(name: string): string[] {
    return resolveName(this.#nodes, name) ?? [];
  }

  /** The full name of the node with this address, without trailing dot. */
  reverse(address: string): string | undefined {
    return reverseName(this.#nodes, address);
  }

  /** Does the address belong to a peer (or to this node), so that a dial goes through the tunnel? */
  routesTo(address: string): boolean {
    const bytes = parseAddr(address);
    if (!bytes) return false;
    return this.#isOwnAddress(formatAddr(bytes)) || this.#path.peerFor(bytes) !== undefined;
  }

  /** Who has this source address (text; `::ffff:` forms are unmapped). Undefined: no node has it as its own. */
  whoIsAddr(address: string): WhoIs | undefined {
    const { map } = this.#nodes;
    return map && whoIsAddress(map, address, (own) => this.#nodes.byAddress(own));
  }

  /** Port on which this node's peerapi answers (Hostinfo.Services peerapi4/6); 0 before the first map. */
  get peerApiPort(): number {
    return this.#path.peerApiPort;
  }

  get homeDerp(): number {
    return this.#magicsock.relays.home;
  }

  /** UDP addresses at which peers may try this node. */
  get endpoints(): readonly OwnEndpoint[] {
    return this.#magicsock.ownEndpoints;
  }

  /** What the last measurement of the network found; undefined: none yet. */
  get netcheck(): NetcheckReport | undefined {
    return this.#magicsock.lastReport;
  }

  /** Whether the coordination server hears us; until told otherwise, it does. */
  setControlConnected(on: boolean): void {
    if (!this.#closing) this.#magicsock.setControlConnected(on);
  }

  /** The machine's network changed, or it slept: paths and relay connections are tried anew. */
  networkChanged(): void {
    if (this.#closing) return;
    this.#portMapper?.networkChanged();
    this.#magicsock.networkChanged();
  }

  /** Refuse all new inbound flows; replies still pass. */
  setShieldsUp(on: boolean): void {
    this.#shieldsUp = on;
    if (this.#nodes.map) this.#installFilter();
  }

  /** Peers that the node has exchanged something with. */
  peerStatus(): PeerStatus[] {
    const now = this.#clock.now();
    return [...this.#path.device.peers()].map((wireguard) => {
      const { lastHandshake, rxBytes, txBytes } = wireguard;
      const path = this.#magicsock.pathTo(wireguard.context);
      return {
        nodeKey: nodePublic(wireguard.publicKey),
        relay: this.#magicsock.relayTo(wireguard.context),
        ...(path?.kind === 'udp' ? { currentAddress: path.text } : {}),
        ...(path?.kind === 'via' ? { peerRelay: path.text } : {}),
        rxBytes,
        txBytes,
        ...(lastHandshake === undefined ? {} : { lastHandshake }),
        active: wireguard.hasSession(now),
      };
    });
  }

  /** Rejects ETIMEDOUT, EHOSTUNREACH when no peer has the address, or with the signal's reason. */
  ping(options: PingOptions): Promise<PingResult> {
    return this.#pinger.ping(options);
  }

  /** Name of the machine's interface in the tailnet; undefined: only this process is in it. */
  get interfaceName(): string | undefined {
    return this.#machine?.name;
  }

  /** Dropped packets by reason, packets and bytes by direction, since the start. */
  counters(): Readonly<Record<string, number>> {
    const stack = Object.entries(this.#path.stack.counters());
    return {
      ...this.#path.counters(),
      ...this.#machine?.counters(),
      ...Object.fromEntries(stack.map(([name, value]) => [`netstack_${name}`, value])),
      ...this.#magicsock.counters(),
    };
  }

  /** Destroys open connections, gives their last bytes a moment to arrive, closes relays. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#forgetTimer?.cancel();
    this.#pinger.close();
    this.peerApi.close();
    for (const listener of this.#listeners) {
      listener.close();
      listener.closeAllConnections();
    }
    for (const conn of this.#packetConns) conn.close();
    for (const conn of this.#conns) conn.destroy();
    await this.#env.linger.drained();
    this.#turns.stop();
    this.#machine?.close();
    this.#path.close();
    this.#magicsock.close();
    await this.#portMapper?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #tellNetInfo(report: NetcheckReport, callbacks: EngineCallbacks): Promise<void> {
    let services: PortServices | undefined;
    try {
      services = await this.#portMapper?.probe();
    } catch {
      // Closed meanwhile.
      return;
    }
    const mapped = this.#portMapper?.mapping() !== undefined;
    if (!this.#closing) callbacks.netInfo?.(describeReport(report, services, mapped));
  }

  #listenPeerApi(port: number): void {
    if (port === this.#path.peerApiPort) return;
    this.#peerApiListener?.close();
    this.#peerApiListener = undefined;
    this.#path.peerApiPort = port;
    if (port === 0) return;
    try {
      this.#peerApiListener = this.listenTcp({ port });
      this.peerApi.attach(this.#peerApiListener);
    } catch (error) {
      // The application was there first.
      this.#log('warn', 'no peerapi', { port, error: (error as Error).message });
      this.#path.peerApiPort = 0;
    }
  }

  #installFilter(): void {
    const local = new IpSet(this.#ownAddresses().map((addr) => ({ first: addr, last: addr })));
    const unsigned: AddressRange[] = [];
    for (const peer of this.#nodes.peers) {
      if (peer.node.UnsignedPeerAPIOnly === true) unsigned.push(...routeRanges(peer));
    }
    const unsafe = unsigned.length > 0 && anySourceOverlaps(this.#rules, unsigned);
    if (unsafe) this.#log('warn', 'the packet filter names a peer outside the tailnet lock');
    const rules = this.#shieldsUp || unsafe ? NO_RULES : this.#rules;
    this.#path.setFilter(rules, local, this.#shieldsUp);
  }

  #scheduleForget(): void {
    this.#forgetTimer = this.#clock.schedule(FORGET_SCAN, () => {
      this.#path.forgetIdle(this.#clock.now());
      this.#scheduleForget();
    });
  }

  #ownAddress(length: number): Uint8Array | undefined {
    return this.#ownAddresses().find((addr) => addr.length === length);
  }

  #ownAddresses(): Uint8Array[] {
    const map = this.#nodes.map;
    return map ? nodeAddresses(map.self).map((text) => parseAddr(text)!) : [];
  }

  #isOwnAddress(address: string): boolean {
    const map = this.#nodes.map;
    return map !== undefined && nodeAddresses(map.self).includes(address);
  }

  #checkOpen(): void {
    if (this.#closing) throw closedError('the node');
  }
}

function changesRoutes({ added, removed, changed }: PeerChanges): boolean {
  return added.length > 0 || removed.length > 0 || changed.some(({ oldRoutes }) => oldRoutes);
}

function routeRanges(peer: Peer): AddressRange[] {
  return (peer.node.AllowedIPs ?? peer.node.Addresses).flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix ? [prefixRange(prefix)] : [];
  });
}

/** Undefined for every own address. */
function specificAddress(text: string | undefined): string | undefined {
  return text === undefined || text === '' || text === '0.0.0.0' || text === '::'
    ? undefined
    : text;
}

function checkPort(port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new RangeError(`port should be >= 0 and < 65536: ${port}`);
  return port;
}
