// The application's handle on a connection. Calls note what is to be done and ask for a poll; nothing is sent from here.
import type { KeepAliveOptions, TcpHandler, TcpSocket, TcpState } from '../api.ts';
import type { TcpContext } from './context.ts';
import { Event, STATE_NAMES, State, type Tcb } from './tcb.ts';
import { windowOpened } from './window.ts';

const LEAST_SEND_BUFFER = 128 * 1024;
/** RFC 9293 3.8.4: no less than two hours by default. */
const KEEP_ALIVE_IDLE = 7_200_000;
const KEEP_ALIVE_INTERVAL = 75_000;
const KEEP_ALIVE_PROBES = 9;

/** What the send buffer of a connection may hold now: twice what the network takes. */
export function sendLimit(ctx: TcpContext, tcb: Tcb): number {
  if (ctx.full) return Math.min(LEAST_SEND_BUFFER, ctx.options.sendBufferLimit);
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
    const chunk = tcb.queue.read();
    if (chunk === undefined) return undefined;
    this.#ctx.queued -= chunk.length;
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
    this.#ctx.queued -= tcb.queue.length;
    tcb.queue.clear();
    tcb.events &= ~(Event.READABLE | Event.ENDED | Event.WRITABLE);
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
}

const NO_HANDLER: TcpHandler = { readable() {}, closed() {} };
