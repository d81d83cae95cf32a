// The connections of a stack: which one a segment belongs to, how they begin, and how they are forgotten.

import type { AddressEntry, AddressTable } from '../addresses.ts';
import type { ConnectOptions, ListenOptions, TcpListener, TcpRequest, TcpSocket } from '../api.ts';
import { Counter } from '../counters.ts';
import { NetstackError } from '../errors.ts';
import { type EphemeralPorts, requirePort } from '../ports.ts';
import type { TimerHeap } from '../timers.ts';
import { u16 } from '../wire/bigendian.ts';
import { fold } from '../wire/checksum.ts';
import type { IcmpError } from '../wire/icmp.ts';
import { addressSum, type IpPacket, Protocol } from '../wire/packet.ts';
import { Flag, parseTcp, TcpSegment } from '../wire/tcp.ts';
import type { Backlog } from './backlog.ts';
import { abort, fail } from './close.ts';
import { Cubic, NewReno } from './congestion.ts';
import type { TcpContext, TcpOwner } from './context.ts';
import { largestSegment, replyReset, replyRoute } from './emit.ts';
import { dispatch } from './events.ts';
import { icmpErrorArrives } from './icmp.ts';
import { setInitialSequence } from './isn.ts';
import { type ListenerState, Listeners } from './listener.ts';
import { acceptSyn, segmentArrives } from './receive.ts';
import { DUPLICATE_THRESHOLD } from './recovery.ts';
import { HeldRequests } from './request.ts';
import { RttEstimator } from './rto.ts';
import { seqAdd, seqLt } from './seq.ts';
import { Socket } from './socket.ts';
import { ConnectionTable, connectionKey } from './table.ts';
import { AckDue, Event, State, Tcb } from './tcb.ts';
import { expire } from './timeouts.ts';
import { transmit } from './transmit.ts';
import { Visits } from './visits.ts';
import { scaleFor, tuneReceiveBuffer } from './window.ts';

const TIME_WAIT_LIMIT = 8192;
/** Receive buffer of a new connection once all buffers together have reached their limit. */
const LEAST_RECEIVE_BUFFER = 16 * 1024;

export interface TcpHooks {
  /** Something is due: have the stack polled. */
  wake(): void;
  unhandled?: ((request: TcpRequest) => void) | undefined;
  pathSuspect?: ((remoteAddress: string) => void) | undefined;
}

export class TcpLayer implements TcpOwner {
  readonly #ctx: TcpContext;
  readonly #addresses: AddressTable;
  readonly #timers: TimerHeap;
  readonly #ports: EphemeralPorts;
  readonly #hooks: TcpHooks;
  readonly #secret: Uint8Array;
  readonly #segment = new TcpSegment();
  readonly #table = new ConnectionTable();
  readonly #listeners: Listeners;
  readonly #visits: Visits;
  readonly #requests: HeldRequests;
  readonly #timeWait = new Set<Tcb>();
  /** While a connection in TIME-WAIT is being reopened: the least initial sequence number, or -1. */
  #predecessor = -1;

  constructor(
    ctx: TcpContext,
    addresses: AddressTable,
    timers: TimerHeap,
    ports: EphemeralPorts,
    secret: Uint8Array,
    hooks: TcpHooks,
  ) {
    this.#ctx = ctx;
    this.#addresses = addresses;
    this.#timers = timers;
    this.#ports = ports;
    this.#secret = secret;
    this.#hooks = hooks;
    this.#requests = new HeldRequests(ctx);
    this.#visits = new Visits(
      (tcb) => this.#visit(tcb),
      () => ctx.budget <= 0,
      () => hooks.wake(),
    );
    this.#listeners = new Listeners(ports, addresses, (tcb) => {
      tcb.aborting = true;
      this.touch(tcb);
    });
    ctx.owner = this;
  }

  get connectionCount(): number {
    return this.#table.count;
  }

  /** There is work for the next poll at once. */
  get due(): boolean {
    return this.#visits.due;
  }

  /** A connection, or where a segment opens one, a listener for it. */
  has(
    remote: AddressEntry | undefined,
    local: AddressEntry,
    localPort: number,
    remotePort: number,
    opens: boolean,
  ): boolean {
    if (opens && local.own && this.#listeners.find(local.id, localPort) !== undefined) return true;
    return (
      remote !== undefined && this.#table.find(remote, local, localPort, remotePort) !== undefined
    );
  }

  /** One TCP segment; `own`: addressed to an address of this stack. */
  input(buf: Uint8Array, packet: IpPacket, own: boolean): void {
    const ctx = this.#ctx;
    const { payload, payloadLength } = packet;
    const segment = this.#segment;
    if (!parseTcp(buf, payload, payloadLength, segment)) {
      ctx.counters.add(Counter['drop.tcp.malformed']);
      return;
    }
    const sum = ctx.incoming.sum(buf, payload, payloadLength);
    if (fold(sum + packet.addressSum + Protocol.TCP + payloadLength) !== 0xffff) {
      ctx.counters.add(Counter['drop.tcp.checksum']);
      return;
    }
    const remote = this.#addresses.find(buf, packet.source, packet.addressLength);
    const local = this.#addresses.find(buf, packet.destination, packet.addressLength);
    if (remote !== undefined && local !== undefined) {
      const tcb = this.#table.find(remote, local, segment.destinationPort, segment.sourcePort);
      if (tcb !== undefined && !this.#reopens(tcb, segment)) {
        segmentArrives(ctx, tcb, buf, segment);
        return;
      }
    }
    this.#unconnected(buf, packet, segment, own ? local : undefined);
    this.#predecessor = -1;
  }

  /**
   * RFC 6191 2, RFC 9293 3.6.1 MAY-2: a new SYN may follow a connection in TIME-WAIT if nothing old can be mistaken for new.
   * Its timestamps say so, or its sequence number does.
   */
  #reopens(tcb: Tcb, segment: TcpSegment): boolean {
    if (tcb.state !== State.TIME_WAIT) return false;
    if ((segment.flags & (Flag.SYN | Flag.ACK | Flag.RST | Flag.FIN)) !== Flag.SYN) return false;
    if (
      this.#hooks.unhandled === undefined &&
      this.#listeners.find(tcb.local.id, tcb.localPort) === undefined
    ) {
      return false;
    }
    let newer = seqLt(tcb.rcvNxt, segment.seq);
    if (segment.hasTimestamps && this.#ctx.options.timestamps) {
      const later = (segment.tsVal - tcb.tsRecent) | 0;
      newer = !tcb.tsOk || later > 0 || (later === 0 && newer);
    }
    if (!newer) return false;
    this.#predecessor = seqAdd(tcb.sndNxt, 1);
    this.release(tcb);
    return true;
  }

  /** RFC 9293 3.10.7.1 and 3.10.7.2: CLOSED and LISTEN. */
  #unconnected(
    buf: Uint8Array,
    packet: IpPacket,
    segment: TcpSegment,
    own: AddressEntry | undefined,
  ): void {
    const ctx = this.#ctx;
    const { flags } = segment;
    if (flags & Flag.RST) {
      ctx.counters.add(Counter['drop.tcp.no_connection']);
      return;
    }
    if ((flags & (Flag.SYN | Flag.ACK | Flag.FIN)) === Flag.SYN) {
      const listener = own && this.#listeners.find(own.id, segment.destinationPort);
      if (listener !== undefined) {
        this.#arriveAtListener(buf, packet, segment, listener);
        return;
      }
      if (this.#hooks.unhandled !== undefined) {
        this.#request(buf, packet, segment, this.#hooks.unhandled);
        return;
      }
    }
    ctx.counters.add(Counter['drop.tcp.no_connection']);
    if (!own && this.#hooks.unhandled === undefined) return;
    replyReset(ctx, replyRoute(buf, packet), segment);
  }

  #arriveAtListener(
    buf: Uint8Array,
    packet: IpPacket,
    segment: TcpSegment,
    listener: ListenerState,
  ): void {
    const tcb = this.#passive(buf, packet, segment, listener.backlog);
    if (tcb === undefined) return;
    tcb.listener = listener;
    this.touch(tcb);
  }

  /** Makes room in a backlog for one more from the source of `packet`, if it can have it. */
  #makeRoom(backlog: Backlog, buf: Uint8Array, packet: IpPacket): boolean {
    const source = this.#addresses.find(buf, packet.source, packet.addressLength)?.id ?? 0;
    const victim = backlog.victim(source);
    if (victim === undefined) return true;
    this.#ctx.counters.add(Counter['drop.tcp.backlog']);
    if (backlog.spares(victim, source, this.#ctx.now)) return false;
    this.release(victim);
    return true;
  }

  #request(
    buf: Uint8Array,
    packet: IpPacket,
    segment: TcpSegment,
    unhandled: (request: TcpRequest) => void,
  ): void {
    const tcb = this.#passive(buf, packet, segment, this.#requests.backlog);
    if (tcb === undefined) return;
    this.#requests.hold(tcb, unhandled);
    this.reschedule(tcb);
    this.#hooks.wake();
  }

  /** A connection in SYN-RECEIVED for a SYN, if there is room for it. */
  #passive(
    buf: Uint8Array,
    packet: IpPacket,
    segment: TcpSegment,
    backlog: Backlog,
  ): Tcb | undefined {
    if (!this.#makeRoom(backlog, buf, packet)) return undefined;
    const length = packet.addressLength;
    const remote = this.#addresses.hold(buf, packet.source, length);
    const local = this.#addresses.hold(buf, packet.destination, length);
    if (remote === undefined || local === undefined) {
      if (remote) this.#addresses.release(remote);
      if (local) this.#addresses.release(local);
      this.#ctx.counters.add(Counter['drop.tcp.backlog']);
      return undefined;
    }
    const tcb = this.#create(local, remote, segment.destinationPort, segment.sourcePort, true);
    tcb.state = State.SYN_RECEIVED;
    this.initialSequence(tcb);
    if (this.#predecessor >= 0 && seqLt(tcb.iss, this.#predecessor)) tcb.iss = this.#predecessor;
    tcb.sndUna = tcb.iss;
    tcb.sndNxt = seqAdd(tcb.iss, 1);
    tcb.ringSeq = tcb.sndNxt;
    acceptSyn(this.#ctx, tcb, segment);
    backlog.add(tcb, this.#ctx.now);
    return tcb;
  }

  connect(
    local: AddressEntry,
    remote: AddressEntry,
    options: ConnectOptions,
    unreachable: boolean,
  ): TcpSocket {
    const remotePort = requirePort('remotePort', options.remotePort, 1);
    let localPort = requirePort('localPort', options.localPort ?? 0, 0);
    if (localPort === 0) {
      localPort = this.#ports.pick(local.bytes, remote.bytes, remotePort, (port) =>
        this.#taken(local, remote, port, remotePort),
      );
    } else if (this.#table.find(remote, local, localPort, remotePort) !== undefined) {
      this.#addresses.release(local);
      this.#addresses.release(remote);
      throw new NetstackError(
        'EADDRINUSE',
        `connection ${local.text}:${localPort} to ${remote.text}:${remotePort} exists`,
      );
    }
    const tcb = this.#create(local, remote, localPort, remotePort, false);
    tcb.handler = options.handler;
    tcb.connectTimeout = options.timeout ?? this.#ctx.options.connectTimeout;
    const socket = new Socket(this.#ctx, tcb);
    this.#ctx.counters.add(Counter['tcp.connects']);
    if (unreachable) {
      fail(this.#ctx, tcb, 'ENETUNREACH');
      this.release(tcb);
    } else {
      tcb.state = State.SYN_SENT;
      this.touch(tcb);
    }
    return socket;
  }

  #taken(local: AddressEntry, remote: AddressEntry, port: number, remotePort: number): boolean {
    return (
      this.#listeners.has(port) || this.#table.find(remote, local, port, remotePort) !== undefined
    );
  }

  /** `address`: held for the listener, or undefined for all. */
  listen(address: AddressEntry | undefined, options: ListenOptions): TcpListener {
    return this.#listeners.open(address, options);
  }

  #create(
    local: AddressEntry,
    remote: AddressEntry,
    localPort: number,
    remotePort: number,
    passive: boolean,
  ): Tcb {
    const ctx = this.#ctx;
    const { options } = ctx;
    const mss = largestSegment(ctx.mtu, local.version);
    const tcb = new Tcb(
      this.#table.nextId(),
      local,
      remote,
      localPort,
      remotePort,
      addressSum(local.bytes, 0, local.bytes.length) +
        addressSum(remote.bytes, 0, remote.bytes.length),
      connectionKey(remote, localPort, remotePort),
      passive,
      ctx,
      new RttEstimator(options.rtoMin, options.rtoMax),
      options.congestion === 'cubic' ? new Cubic(mss) : new NewReno(mss),
      ctx.full ? Math.min(LEAST_RECEIVE_BUFFER, options.receiveBuffer) : options.receiveBuffer,
      options.userTimeout,
    );
    tcb.mss = mss;
    tcb.rcvShift = options.windowScaling
      ? scaleFor(Math.max(options.receiveBufferLimit, options.receiveBuffer))
      : 0;
    tcb.rcvUnit = 1 << tcb.rcvShift;
    tcb.connectTimeout = options.connectTimeout;
    this.#table.add(tcb);
    return tcb;
  }

  /** Runs due timers, then visits every connection with something to tell or to send. */
  poll(): void {
    const ctx = this.#ctx;
    for (let id = this.#timers.pop(ctx.now); id >= 0; id = this.#timers.pop(ctx.now)) {
      const tcb = this.#table.get(id);
      if (tcb === undefined) continue;
      if (tcb.deadline <= ctx.now) expire(ctx, tcb);
      else this.reschedule(tcb);
    }
    this.#requests.deliver();
    this.#visits.run();
  }

  #visit(tcb: Tcb): boolean {
    const ctx = this.#ctx;
    if (tcb.events !== 0) dispatch(ctx, tcb);
    if (tcb.aborting) {
      abort(ctx, tcb);
      if (tcb.events !== 0) dispatch(ctx, tcb);
      return false;
    }
    if (tcb.tuneCopied > 0) tuneReceiveBuffer(ctx, tcb);
    return transmit(ctx, tcb);
  }

  touch(tcb: Tcb): void {
    this.#visits.touch(tcb);
  }

  /** Gives every connection its turn, after a pause of the link. */
  touchAll(): void {
    for (const tcb of this.#table) this.touch(tcb);
  }

  /** See Stack. */
  pathChanged(leadsTo: (remoteAddress: string) => boolean, isLoss: boolean): void {
    const { now } = this.#ctx;
    const soon = (at: number): number => (at === Number.POSITIVE_INFINITY ? at : now);
    for (const tcb of this.#table) {
      if (!leadsTo(tcb.remote.text)) continue;
      if (tcb.rtt.backoff > 0) {
        tcb.rtt.backoff = 0;
        tcb.rexmitAt = soon(tcb.rexmitAt);
        tcb.persistAt = soon(tcb.persistAt);
      }
      if (tcb.state >= State.ESTABLISHED) {
        tcb.ackDue = AckDue.BATCH;
        if (isLoss && tcb.canReceive) tcb.repeatAcks = DUPLICATE_THRESHOLD;
      }
      this.touch(tcb);
      this.reschedule(tcb);
    }
  }

  reschedule(tcb: Tcb): void {
    if (tcb.state === State.CLOSED || this.#table.get(tcb.id) !== tcb) return;
    const at = tcb.deadline;
    if (at !== Number.POSITIVE_INFINITY) this.#timers.schedule(tcb.id, at);
  }

  established(tcb: Tcb): void {
    tcb.listener?.backlog.remove(tcb);
    tcb.events |= Event.ACCEPTED;
  }

  timeWait(tcb: Tcb): void {
    this.#timeWait.add(tcb);
    if (this.#timeWait.size <= TIME_WAIT_LIMIT) return;
    for (const oldest of this.#timeWait) {
      this.release(oldest);
      return;
    }
  }

  release(tcb: Tcb): void {
    if (this.#table.get(tcb.id) !== tcb) return;
    tcb.state = State.CLOSED;
    this.#table.remove(tcb);
    this.#timers.cancel(tcb.id);
    this.#timeWait.delete(tcb);
    this.#requests.backlog.remove(tcb);
    tcb.listener?.backlog.remove(tcb);
    this.#addresses.release(tcb.local);
    this.#addresses.release(tcb.remote);
  }

  initialSequence(tcb: Tcb): void {
    setInitialSequence(tcb, this.#secret, this.#ctx.now);
  }

  pathSuspect(tcb: Tcb): void {
    this.#hooks.pathSuspect?.(tcb.remote.text);
  }

  /**
   * An ICMP error quotes a segment of ours (RFC 5927: it must name a connection and a sequence number in flight).
   * `quoted` is the offset of the quoted TCP header, of which 8 bytes are there. Returns false if nothing matched.
   */
  icmpError(
    buf: Uint8Array,
    source: number,
    destination: number,
    addressLength: number,
    quoted: number,
    seq: number,
    fault: IcmpError,
  ): boolean {
    const local = this.#addresses.find(buf, source, addressLength);
    const remote = this.#addresses.find(buf, destination, addressLength);
    if (local === undefined || remote === undefined) return false;
    const tcb = this.#table.find(remote, local, u16(buf, quoted), u16(buf, quoted + 2));
    if (tcb === undefined || tcb.state === State.TIME_WAIT) return false;
    if (seqLt(seq, tcb.sndUna) || !seqLt(seq, tcb.sndNxt)) return false;
    icmpErrorArrives(this.#ctx, tcb, seq, fault);
    return true;
  }
}
