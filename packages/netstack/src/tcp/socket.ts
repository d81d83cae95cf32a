// The application's handle on a connection. Calls note what is to be done and ask for a poll; nothing is sent from here.
import type { KeepAliveOptions, TcpHandler, TcpSocket, TcpState } from '../api.ts';
import type { TcpErrorCode } from '../errors.ts';
import type { TcpContext } from './context.ts';
import { seqDiff } from './seq.ts';
import { Event, Rexmit, STATE_NAMES, State, type Tcb } from './tcb.ts';
import { windowOpened } from './window.ts';

const LEAST_SEND_BUFFER = 128 * 1024;
/** Send buffer of a connection once all buffers together have reached their limit. */
const SCARCE_SEND_BUFFER = 16 * 1024;
/** RFC 9293 3.8.4: no less than two hours by default. */
const KEEP_ALIVE_IDLE = 7_200_000;
const KEEP_ALIVE_INTERVAL = 75_000;
const KEEP_ALIVE_PROBES = 9;

/** What the send buffer of a connection may hold now: twice what the network takes. */
export function sendLimit(ctx: TcpContext, tcb: Tcb): number {
  if (ctx.full) return Math.min(SCARCE_SEND_BUFFER, ctx.options.sendBufferLimit);
  return Math.min(
    ctx.options.sendBufferLimit,
    Math.max(LEAST_SEND_BUFFER, Math.floor(2 * tcb.congestion.cwnd)),
  );
}

export class Socket implements TcpSocket {
  readonly #ctx: TcpContext;
  readonly #tcb: Tcb;

  constructor(ctx: TcpContext, tcb: Tcb) {
    this.#ctx = ctx;
    this.#tcb = tcb;
    tcb.socket = this;
  }

  get handler(): TcpHandler {
    return this.#tcb.handler ?? NO_HANDLER;
  }

  set handler(handler: TcpHandler) {
    this.#tcb.handler = handler;
    if (this.#tcb.events !== 0) this.#ctx.owner.touch(this.#tcb);
  }

  get state(): TcpState {
    return this.#tcb.aborting ? 'CLOSED' : STATE_NAMES[this.#tcb.state]!;
  }

  get localAddress(): string {
    return this.#tcb.local.text;
  }

  get localPort(): number {
    return this.#tcb.localPort;
  }

  get remoteAddress(): string {
    return this.#tcb.remote.text;
  }

  get remotePort(): number {
    return this.#tcb.remotePort;
  }

  get bytesReceived(): number {
    return this.#tcb.bytesReceived;
  }

  get bytesSent(): number {
    return this.#tcb.bytesSent;
  }

  get unacknowledged(): number {
    return this.#tcb.ring.length;
  }

  get writable(): number {
    const tcb = this.#tcb;
    const open =
      tcb.state === State.ESTABLISHED ||
      tcb.state === State.CLOSE_WAIT ||
      tcb.state === State.SYN_SENT ||
      tcb.state === State.SYN_RECEIVED;
    if (!open || tcb.finQueued || tcb.aborting) return 0;
    return Math.max(0, sendLimit(this.#ctx, tcb) - tcb.ring.length);
  }

  get readable(): number {
    return this.#tcb.queue.length;
  }

  get readEnded(): boolean {
    return this.#tcb.finReceived && this.#tcb.queue.length === 0;
  }

  get urgentBytes(): number {
    const tcb = this.#tcb;
    if (!tcb.urgent) return 0;
    const fin = tcb.finReceived ? 1 : 0;
    return Math.max(0, seqDiff(tcb.urgentEnd, tcb.rcvNxt) + fin + tcb.queue.length);
  }

  get softError(): TcpErrorCode | undefined {
    return this.#tcb.softError;
  }

  get roundTripTime(): number | undefined {
    return this.#tcb.rtt.srtt < 0 ? undefined : this.#tcb.rtt.srtt;
  }

  write(bytes: Uint8Array, offset = 0): number {
    const tcb = this.#tcb;
    const room = this.writable;
    const wanted = bytes.length - offset;
    const count = Math.min(room, wanted);
    if (count < wanted) tcb.wantsWritable = true;
    if (count <= 0) return 0;
    tcb.ring.append(bytes, offset, count);
    tcb.bytesSent += count;
    this.#ctx.owner.touch(tcb);
    return count;
  }

  read(): Uint8Array | undefined {
    const tcb = this.#tcb;
    const held = tcb.queue.held;
    const chunk = tcb.queue.read();
    if (chunk === undefined) return undefined;
    this.#ctx.queued -= held - tcb.queue.held;
    tcb.tuneCopied += chunk.length;
    const drained = tcb.queue.length === 0 && tcb.events !== 0;
    if (drained || (tcb.canReceive && windowOpened(tcb))) this.#ctx.owner.touch(tcb);
    return chunk;
  }

  shutdownWrite(): void {
    const tcb = this.#tcb;
    if (tcb.finQueued || tcb.state === State.CLOSED || tcb.aborting) return;
    tcb.finQueued = true;
    this.#ctx.owner.touch(tcb);
  }

  close(): void {
    const tcb = this.#tcb;
    if (tcb.queue.length > 0 || tcb.state === State.SYN_SENT) {
      this.abort();
      return;
    }
    if (tcb.readClosed) return;
    tcb.readClosed = true;
    this.#ctx.owner.touch(tcb);
    this.shutdownWrite();
  }

  abort(): void {
    const tcb = this.#tcb;
    if (tcb.aborting) return;
    this.#ctx.queued -= tcb.queue.held;
    tcb.queue.clear();
    tcb.events &= ~(Event.READABLE | Event.URGENT | Event.ENDED | Event.WRITABLE);
    tcb.readClosed = true;
    tcb.aborting = true;
    this.#ctx.owner.touch(tcb);
  }

  setNoDelay(on: boolean): void {
    this.#tcb.noDelay = on;
    if (on && this.#tcb.unsent > 0) this.#ctx.owner.touch(this.#tcb);
  }

  setKeepAlive(options: KeepAliveOptions | undefined): void {
    const tcb = this.#tcb;
    tcb.keepAliveUnanswered = 0;
    if (options === undefined) {
      tcb.keepAliveIdle = 0;
      tcb.keepAliveAt = Number.POSITIVE_INFINITY;
      return;
    }
    tcb.keepAliveIdle = Math.max(1, options.idle ?? KEEP_ALIVE_IDLE);
    tcb.keepAliveInterval = Math.max(1, options.interval ?? KEEP_ALIVE_INTERVAL);
    tcb.keepAliveProbes = options.probes ?? KEEP_ALIVE_PROBES;
    if (tcb.state >= State.ESTABLISHED && tcb.state !== State.TIME_WAIT) {
      tcb.keepAliveAt = tcb.lastSegmentAt + tcb.keepAliveIdle;
      this.#ctx.owner.reschedule(tcb);
    }
  }

  setUserTimeout(ms: number): void {
    if (!(ms > 0)) throw new RangeError(`a user timeout must be positive, got ${ms}`);
    const tcb = this.#tcb;
    tcb.userTimeout = ms;
    // A doubled timer must not outlast it.
    if (tcb.state < State.ESTABLISHED || tcb.rexmitKind !== Rexmit.TIMEOUT) return;
    tcb.rexmitAt = Math.min(tcb.rexmitAt, Math.max(this.#ctx.now, tcb.progressAt + ms));
    this.#ctx.owner.reschedule(tcb);
  }

  setTypeOfService(value: number): void {
    requireInteger('type of service', value, 0, 255);
    this.#tcb.trafficClass = value & 0xfc;
  }

  setHopLimit(hops: number): void {
    requireInteger('hop limit', hops, 1, 255);
    this.#tcb.hopLimit = hops;
  }
}

function requireInteger(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} must be an integer from ${least} to ${most}, got ${value}`);
  }
}

const NO_HANDLER: TcpHandler = { readable() {}, closed() {} };
