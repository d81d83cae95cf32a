// The stack: what arrives is parsed, checked and handed to ICMP, UDP or TCP; what they send leaves through one writer.
import { parseAddr } from '@cove/protocol/netaddr';
import { type AddressEntry, AddressTable } from './addresses.ts';
import type {
  BindUdpOptions,
  ConnectOptions,
  ListenOptions,
  Ping,
  PingOptions,
  StackOptions,
  TcpListener,
  TcpSocket,
  UdpSocket,
  UdpTarget,
} from './api.ts';
import { Counter, Counters } from './counters.ts';
import { NetstackError } from './errors.ts';
import { IcmpLayer } from './icmp.ts';
import { PacketWriter, type Route } from './output.ts';
import { EphemeralPorts } from './ports.ts';
import { Reassembler } from './reassembly.ts';
import { TcpContext } from './tcp/context.ts';
import { TcpLayer } from './tcp/layer.ts';
import { TimerHeap } from './timers.ts';
import { UdpLayer } from './udp.ts';
import { u32 } from './wire/bigendian.ts';
import { InternetChecksum } from './wire/checksum.ts';
import { IcmpType } from './wire/icmp.ts';
import { IpFault, IpPacket, Protocol, parseIp } from './wire/packet.ts';

const DEFAULT_MTU = 1280;
/** RFC 791 and RFC 8200 demand this much of every link. */
const LEAST_MTU = 576;
const LOOPBACK_LIMIT = 1024;
/** How often one poll goes over what the callbacks and the loopback made due. */
const ROUNDS = 4;
/** Full segments acknowledged together within one batch. */
const SEGMENTS_PER_ACK = 8;
const SEGMENTS_PER_ACK_COALESCED = 16;
/** Two quanta: a train of datagrams is full, and what was received in the meantime is soon read. */
const SEGMENTS_PER_POLL = 128;

const FAULT_COUNTERS: Readonly<Record<number, number>> = {
  [IpFault.TRUNCATED]: Counter['drop.ip.truncated'],
  [IpFault.VERSION]: Counter['drop.ip.version'],
  [IpFault.HEADER_LENGTH]: Counter['drop.ip.header_length'],
  [IpFault.CHECKSUM]: Counter['drop.ip.checksum'],
  [IpFault.EXTENSION]: Counter['drop.ip.extension'],
};

/** One host's IP, ICMP, UDP and TCP. README.md says how to drive it. */
export class Stack {
  readonly #counters = new Counters();
  readonly #addresses: AddressTable;
  readonly #timers = new TimerHeap();
  readonly #reassembler: Reassembler;
  readonly #ctx: TcpContext;
  readonly #tcp: TcpLayer;
  readonly #udp: UdpLayer;
  readonly #icmp: IcmpLayer;
  readonly #output: StackOptions['output'];
  readonly #wakeDriver: (() => void) | undefined;
  readonly #promiscuous: boolean;
  readonly #segmentsPerPoll: number;
  readonly #packet = new IpPacket();
  #own: AddressEntry[] = [];
  #loopback: Uint8Array[] = [];
  /** Inside `input` or `poll`: no wake needed. */
  #busy = false;
  #woken = false;

  /** Throws RangeError for an impossible MTU or headroom. */
  constructor(options: StackOptions) {
    const mtu = options.mtu ?? DEFAULT_MTU;
    if (!Number.isInteger(mtu) || mtu < LEAST_MTU || mtu > 65535) {
      throw new RangeError(`mtu must be an integer from ${LEAST_MTU} to 65535, got ${mtu}`);
    }
    if (((options.headroom ?? 16) & 3) !== 0) {
      throw new RangeError(`headroom must be a multiple of 4, got ${options.headroom}`);
    }
    const secret = options.randomBytes(16);
    const random = randomNumbers(options.randomBytes);
    this.#output = options.output;
    this.#wakeDriver = options.wake;
    this.#segmentsPerPoll = options.segmentsPerPoll ?? SEGMENTS_PER_POLL;
    this.#promiscuous = options.promiscuous ?? false;
    this.#addresses = new AddressTable(u32(options.randomBytes(4), 0));
    this.#reassembler = new Reassembler(this.#counters);
    const writer = new PacketWriter(options, mtu, this.#counters, (buf, offset, length) =>
      this.#emit(buf, offset, length),
    );
    const incoming = new InternetChecksum();
    const wake = (): void => this.#wake();
    const ports = new EphemeralPorts(options.randomBytes(16), options.firstEphemeralPort);
    this.#ctx = new TcpContext(options, mtu, this.#counters, writer, incoming, random);
    this.#tcp = new TcpLayer(this.#ctx, this.#addresses, this.#timers, ports, secret, {
      wake,
      unhandled: options.unhandledTcp,
      pathSuspect: options.pathSuspect,
    });
    this.#udp = new UdpLayer(this.#addresses, this.#counters, writer, incoming, ports, {
      wake,
      route: (target, bound) => this.#route(target, bound),
      unhandled: options.unhandledUdp,
    });
    const pingId = Math.floor(random() * 0x10000);
    this.#icmp = new IcmpLayer(
      this.#counters,
      writer,
      incoming,
      this.#tcp,
      this.#udp,
      pingId,
      wake,
    );
  }

  /** Replaces the own addresses. Connections of removed addresses are left to their timers. Throws EINVAL. */
  setAddresses(addresses: readonly string[]): void {
    const bytes = addresses.map(requireAddress);
    const before = this.#own;
    for (const entry of before) entry.own = false;
    this.#own = bytes.map((address) => {
      const entry = this.#hold(address);
      entry.own = true;
      return entry;
    });
    for (const entry of before) this.#addresses.release(entry);
  }

  get addresses(): readonly string[] {
    return this.#own.map((entry) => entry.text);
  }

  /** One incoming IP packet, borrowed for the call. Call `poll` after the last of a batch. */
  input(buf: Uint8Array, offset: number, length: number, now: number): void {
    this.#ctx.now = now;
    this.#busy = true;
    try {
      this.#arrive(buf, offset, length, true);
    } finally {
      this.#busy = false;
    }
  }

  /**
   * The packets handed in from here on, up to the next `poll`, came together in one datagram train (UDP GRO): there are
   * more of them to a batch, so TCP acknowledges every sixteenth full segment instead of every eighth.
   */
  setCoalesced(): void {
    this.#ctx.segmentsPerAck = SEGMENTS_PER_ACK_COALESCED;
  }

  #arrive(buf: Uint8Array, offset: number, length: number, fromLink: boolean): void {
    const packet = this.#packet;
    this.#counters.add(Counter['in.packets']);
    this.#counters.add(Counter['in.bytes'], length);
    const fault = parseIp(buf, offset, length, packet);
    if (fault !== IpFault.NONE) {
      this.#counters.add(FAULT_COUNTERS[fault]!);
      return;
    }
    if (
      !isUnicast(buf, packet.source, packet.version) ||
      (fromLink && this.#impossible(buf, packet))
    ) {
      this.#counters.add(Counter['drop.ip.source']);
      return;
    }
    const own = this.#addresses.find(buf, packet.destination, packet.addressLength)?.own === true;
    if (!own && !(this.#promiscuous && isUnicast(buf, packet.destination, packet.version))) {
      this.#counters.add(Counter['drop.ip.not_ours']);
      return;
    }
    if (packet.fragmented) {
      const whole = this.#reassembler.add(buf, packet, this.#ctx.now);
      if (whole !== undefined && parseIp(whole, 0, whole.length, packet) === IpFault.NONE) {
        if (!packet.fragmented) this.#deliver(whole, packet, own);
      }
      return;
    }
    this.#deliver(buf, packet, own);
  }

  /** RFC 1122 3.2.1.3: no packet comes from our own address, nor from a loopback address. */
  #impossible(buf: Uint8Array, packet: IpPacket): boolean {
    const { source, addressLength } = packet;
    if (this.#addresses.find(buf, source, addressLength)?.own === true) return true;
    return addressLength === 4 ? buf[source] === 127 : isLoopback(buf, source);
  }

  #deliver(buf: Uint8Array, packet: IpPacket, own: boolean): void {
    const { protocol, version } = packet;
    if (protocol === Protocol.TCP) {
      this.#tcp.input(buf, packet, own);
    } else if (protocol === Protocol.UDP) {
      if (this.#udp.input(buf, packet, own)) return;
      this.#counters.add(Counter['drop.udp.port']);
      if (!own) return;
      if (version === 4) this.#sendError(buf, packet, IcmpType.UNREACHABLE, 3);
      else this.#sendError(buf, packet, IcmpType.V6_UNREACHABLE, 4);
    } else if (protocol === (version === 4 ? Protocol.ICMP : Protocol.ICMPV6)) {
      this.#icmp.input(buf, packet, this.#ctx.now, own);
    } else {
      this.#counters.add(Counter['drop.ip.protocol']);
      if (!own || protocol === Protocol.NOTHING) return;
      if (version === 4) this.#sendError(buf, packet, IcmpType.UNREACHABLE, 2);
      else this.#sendError(buf, packet, IcmpType.V6_PARAMETER_PROBLEM, 1);
    }
  }

  #sendError(buf: Uint8Array, packet: IpPacket, type: number, code: number): void {
    this.#icmp.sendError(buf, packet, type, code, this.#ctx.now);
  }

  /**
   * End of a batch, or a timer: runs due timers, calls handlers, sends data and acknowledgements. What a handler throws
   * leaves `poll`; the stack stays usable, and the rest is done by the next poll.
   */
  poll(now: number): void {
    this.#ctx.now = now;
    this.#ctx.budget = this.#segmentsPerPoll;
    this.#busy = true;
    this.#woken = false;
    try {
      for (let round = 0; round < ROUNDS; round++) {
        this.#udp.poll();
        this.#icmp.poll(now);
        this.#tcp.poll();
        if (this.#loopback.length === 0) break;
        for (const packet of this.#loopback.splice(0)) {
          this.#arrive(packet, 0, packet.length, false);
        }
      }
      this.#reassembler.expire(now);
    } finally {
      this.#busy = false;
      this.#ctx.segmentsPerAck = SEGMENTS_PER_ACK;
    }
  }

  /** When `poll` is next needed if nothing else happens; undefined when idle. May lie in the past: there is more to send. */
  get nextTick(): number | undefined {
    if (this.#tcp.due || this.#udp.due || this.#icmp.due || this.#loopback.length > 0) {
      return this.#ctx.now;
    }
    const at = Math.min(
      this.#timers.next ?? Number.POSITIVE_INFINITY,
      this.#reassembler.deadline,
      this.#icmp.deadline,
    );
    return at === Number.POSITIVE_INFINITY ? undefined : at;
  }

  /** True holds back TCP data (acknowledgements still go out): the link below is congested. */
  setOutputPaused(paused: boolean): void {
    if (this.#ctx.paused === paused) return;
    this.#ctx.paused = paused;
    if (!paused) this.#tcp.touchAll();
  }

  /**
   * Packets to some addresses take another path now: what waits for a doubled timeout is sent again at once, and what
   * came is acknowledged again, because the last acknowledgement may have been lost. `isLoss`: the last path lost what
   * was sent by it. The peers may wait for doubled timeouts too, and duplicate acknowledgements end that, as a mobile
   * host sends them after a handoff (Caceres and Iftode, IEEE JSAC 13(5), 1995).
   */
  pathChanged(leadsTo: (remoteAddress: string) => boolean, isLoss = false): void {
    this.#tcp.pathChanged(leadsTo, isLoss);
  }

  /** Starts a connection. Throws EINVAL, EADDRNOTAVAIL, EAFNOSUPPORT, EADDRINUSE, RangeError; the rest ends in `closed`. */
  connect(options: ConnectOptions): TcpSocket {
    const remote = requireAddress(options.remoteAddress);
    const local = this.#source(remote, options.localAddress);
    // Without an address of the family there is no route; the socket tells so like any other failure.
    const localBytes = local ?? new Uint8Array(remote.length);
    return this.#tcp.connect(
      this.#hold(localBytes),
      this.#hold(remote),
      options,
      local === undefined,
    );
  }

  /** Throws EADDRINUSE, EADDRNOTAVAIL, EINVAL, RangeError. */
  listen(options: ListenOptions): TcpListener {
    return this.#tcp.listen(this.#bindAddress(options.address), options);
  }

  /** Throws EADDRINUSE, EADDRNOTAVAIL, EINVAL, RangeError. */
  bindUdp(options: BindUdpOptions): UdpSocket {
    return this.#udp.bind(this.#bindAddress(options.address), options);
  }

  /** Sends one echo request. Throws EINVAL. */
  ping(options: PingOptions): Ping {
    const route = this.#route({ address: options.address, port: 0 }, undefined);
    return this.#icmp.ping(options, route);
  }

  /**
   * Whether a TCP segment or UDP datagram from outside has a connection or socket here, or a listener for the connection
   * it opens; for stacks that share their addresses with another. Offsets of the two addresses in `buf`; protocol 6 or 17.
   */
  hasEndpoint(
    protocol: number,
    buf: Uint8Array,
    source: number,
    destination: number,
    addressLength: number,
    remotePort: number,
    localPort: number,
    opens: boolean,
  ): boolean {
    if (protocol === Protocol.UDP && !this.#udp.hasPort(localPort)) return false;
    const local = this.#addresses.find(buf, destination, addressLength);
    if (local === undefined) return false;
    if (protocol === Protocol.UDP) return this.#udp.has(local, localPort);
    const remote = this.#addresses.find(buf, source, addressLength);
    return this.#tcp.has(remote, local, localPort, remotePort, opens);
  }

  /** Counters that are not zero, by name; packets from strangers that were dropped are under `drop.*`. */
  counters(): Record<string, number> {
    return this.#counters.snapshot();
  }

  /** TCP connections in any state. */
  get connectionCount(): number {
    return this.#tcp.connectionCount;
  }

  #wake(): void {
    if (this.#busy || this.#woken) return;
    this.#woken = true;
    this.#wakeDriver?.();
  }

  #emit(buf: Uint8Array, offset: number, length: number): void {
    const v4 = buf[offset]! >>> 4 === 4;
    const to = this.#addresses.find(buf, offset + (v4 ? 16 : 24), v4 ? 4 : 16);
    if (to?.own !== true) {
      this.#output(buf, offset, length);
    } else if (this.#loopback.length < LOOPBACK_LIMIT) {
      this.#loopback.push(new Uint8Array(buf.subarray(offset, offset + length)));
    } else {
      this.#counters.add(Counter['drop.loopback.full']);
    }
  }

  #hold(bytes: Uint8Array): AddressEntry {
    const entry = this.#addresses.hold(bytes, 0, bytes.length);
    if (entry === undefined) throw new NetstackError('ENOBUFS', 'the address table is full');
    return entry;
  }

  #bindAddress(text: string | undefined): AddressEntry | undefined {
    if (text === undefined) return undefined;
    const bytes = requireAddress(text);
    this.#requireLocal(bytes, text);
    return this.#hold(bytes);
  }

  #requireLocal(bytes: Uint8Array, text: string): void {
    if (this.#promiscuous) return;
    if (this.#addresses.find(bytes, 0, bytes.length)?.own !== true) {
      throw new NetstackError('EADDRNOTAVAIL', `${text} is not an address of this stack`);
    }
  }

  /** Local address for a flow to `remote`; undefined without one of its family. */
  #source(remote: Uint8Array, asked: string | undefined): Uint8Array | undefined {
    if (asked === undefined) {
      return this.#own.find((entry) => entry.bytes.length === remote.length)?.bytes;
    }
    const bytes = requireAddress(asked);
    if (bytes.length !== remote.length) {
      throw new NetstackError('EAFNOSUPPORT', `${asked} is of another family than the destination`);
    }
    this.#requireLocal(bytes, asked);
    return bytes;
  }

  #route(target: UdpTarget, bound: AddressEntry | undefined): Route | undefined {
    const destination = requireAddress(target.address);
    const source =
      bound !== undefined && target.localAddress === undefined
        ? bound.bytes
        : this.#source(destination, target.localAddress);
    if (source === undefined || source.length !== destination.length) return undefined;
    const version = destination.length === 4 ? 4 : 6;
    return { version, source, sourceOffset: 0, destination, destinationOffset: 0 };
  }
}

function requireAddress(text: string): Uint8Array {
  const bytes = parseAddr(text);
  if (bytes === undefined) throw new NetstackError('EINVAL', `not an IP address: ${text}`);
  return bytes;
}

/** Neither unspecified, nor multicast, nor limited broadcast (RFC 9293 3.9.2.3 MUST-57, MUST-63). */
function isUnicast(buf: Uint8Array, offset: number, version: number): boolean {
  if (version === 4) {
    const first = buf[offset]!;
    return first !== 0 && first < 224;
  }
  if (buf[offset] === 0xff) return false;
  return (
    (u32(buf, offset) | u32(buf, offset + 4) | u32(buf, offset + 8) | u32(buf, offset + 12)) !== 0
  );
}

function isLoopback(buf: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 15; i++) if (buf[offset + i] !== 0) return false;
  return buf[offset + 15] === 1;
}

/** Numbers in [0, 1) from a supply of random bytes. */
function randomNumbers(randomBytes: (length: number) => Uint8Array): () => number {
  let bytes = new Uint8Array(0);
  let at = 0;
  return () => {
    if (at + 4 > bytes.length) {
      bytes = new Uint8Array(randomBytes(64));
      at = 0;
    }
    at += 4;
    return u32(bytes, at - 4) / 0x100000000;
  };
}
