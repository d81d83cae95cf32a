// Endings of a connection: orderly, by error, by the application (RFC 9293 3.6, 3.10.4, 3.10.5).
import type { TcpErrorCode } from '../errors.ts';
import type { TcpContext } from './context.ts';
import { emitReset } from './emit.ts';
import { Event, Rexmit, State, type Tcb } from './tcb.ts';

const NEVER: number = Number.POSITIVE_INFINITY;

/** The application learns that the connection is over; data already received stays readable unless it was an error. */
function announceClosed(ctx: TcpContext, tcb: Tcb, error: TcpErrorCode | undefined): void {
  if ((tcb.events & Event.CLOSED) !== 0) return;
  tcb.error = error;
  tcb.events |= Event.CLOSED;
  if (error !== undefined || tcb.readClosed) {
    ctx.queued -= tcb.queue.held;
    tcb.queue.clear();
    tcb.events &= ~(Event.READABLE | Event.URGENT);
  }
  ctx.owner.touch(tcb);
}

/** CLOSED because of an error, or quietly. The caller releases the block. */
export function fail(ctx: TcpContext, tcb: Tcb, error: TcpErrorCode | undefined): void {
  if (tcb.state !== State.TIME_WAIT) announceClosed(ctx, tcb, error);
  tcb.state = State.CLOSED;
  dropBuffers(tcb);
}

/** Both FINs are acknowledged and the last ACK was ours: wait for strays (RFC 9293 3.6.1). */
export function enterTimeWait(ctx: TcpContext, tcb: Tcb): void {
  tcb.state = State.TIME_WAIT;
  dropBuffers(tcb);
  tcb.lingerAt = ctx.now + ctx.options.timeWait;
  ctx.owner.timeWait(tcb);
  announceClosed(ctx, tcb, undefined);
}

/** The last FIN was acknowledged by the peer: nothing to wait for. */
export function finish(ctx: TcpContext, tcb: Tcb): void {
  tcb.state = State.CLOSED;
  dropBuffers(tcb);
  announceClosed(ctx, tcb, undefined);
  ctx.owner.release(tcb);
}

/** ABORT (RFC 9293 3.10.5). */
export function abort(ctx: TcpContext, tcb: Tcb): void {
  switch (tcb.state) {
    case State.CLOSED:
    case State.TIME_WAIT:
      return;
    case State.SYN_SENT:
      break;
    default:
      emitReset(ctx, tcb);
  }
  tcb.readClosed = true;
  fail(ctx, tcb, undefined);
  ctx.owner.release(tcb);
}

function dropBuffers(tcb: Tcb): void {
  tcb.ring.release();
  tcb.sent.clear();
  tcb.outOfOrder?.release();
  tcb.outOfOrder = undefined;
  tcb.rexmitKind = Rexmit.NONE;
  tcb.rexmitAt = NEVER;
  tcb.persistAt = NEVER;
  tcb.delayedAckAt = NEVER;
  tcb.keepAliveAt = NEVER;
  tcb.lingerAt = NEVER;
}
