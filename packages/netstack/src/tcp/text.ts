// Payload and FIN of an acceptable segment (RFC 9293 3.10.7.4, seventh and eighth): delivery, reassembly, and when to
// acknowledge. What cannot wait is acknowledged here, the rest at the end of the batch.
import { Counter } from '../counters.ts';
import { Flag, type TcpSegment } from '../wire/tcp.ts';
import { enterTimeWait, fail } from './close.ts';
import type { TcpContext } from './context.ts';
import { emitReset, emitSegment } from './emit.ts';
import { OutOfOrderBuffer } from './receivebuffer.ts';
import { seqAdd, seqDiff, seqLe, seqLt, seqMax } from './seq.ts';
import { AckDue, Event, State, type Tcb } from './tcb.ts';

/** What every connection may queue, however scarce memory is. */
const LEAST_QUEUE = 16 * 1024;
/** A segment this long without PSH is as long as its sender could make it (RFC 9293 3.9.1: PSH ends what was written). */
const LEAST_FULL = 536;

/** Sixth: URG. Tells the application; the data stays in line (RFC 9293 3.8.5, MUST-30..32). */
export function urgentArrives(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): void {
  if (!tcb.canReceive || segment.urgent === 0) return;
  const end = seqAdd(segment.seq, segment.urgent);
  if (seqLe(end, tcb.rcvNxt) || (tcb.urgent && seqLe(end, tcb.urgentEnd))) return;
  tcb.urgent = true;
  tcb.urgentEnd = end;
  tcb.events |= Event.URGENT;
  ctx.owner.touch(tcb);
}

/** Seventh and eighth: payload and FIN. */
export function textArrives(ctx: TcpContext, tcb: Tcb, buf: Uint8Array, segment: TcpSegment): void {
  if (!tcb.canReceive) {
    // After the peer's FIN nothing more is expected; what comes is a duplicate.
    if (tcb.state !== State.CLOSED) tcb.ackDue = AckDue.BATCH;
    return;
  }
  const fin = (segment.flags & Flag.FIN) !== 0;
  if (tcb.readClosed && segment.payloadLength > 0) {
    const end = seqAdd(segment.seq, segment.payloadLength);
    if (seqLt(tcb.rcvNxt, end)) {
      // RFC 9293 3.6.1, RFC 2525 2.17: data for an application that has closed.
      ctx.counters.add(Counter['drop.tcp.closed']);
      emitReset(ctx, tcb);
      fail(ctx, tcb, undefined);
      ctx.owner.release(tcb);
      return;
    }
  }
  let { seq, payload, payloadLength } = segment;
  const before = seqDiff(tcb.rcvNxt, seq);
  if (before > 0) {
    const overlap = Math.min(before, payloadLength);
    seq = seqAdd(seq, overlap);
    payload += overlap;
    payloadLength -= overlap;
  }
  const room = seqDiff(tcb.rcvAdv, seq);
  const cut = payloadLength > room;
  if (cut) payloadLength = Math.max(0, room);
  const finSeq = seqAdd(seq, payloadLength);
  if (seq !== tcb.rcvNxt) {
    aheadArrives(ctx, tcb, buf, seq, payload, payloadLength, fin && !cut ? finSeq : -1);
    return;
  }
  if (payloadLength > 0) inOrderArrives(ctx, tcb, buf, payload, payloadLength, segment.flags);
  if ((fin && !cut && finSeq === tcb.rcvNxt) || tcb.finAhead === tcb.rcvNxt) finArrives(ctx, tcb);
}

function inOrderArrives(
  ctx: TcpContext,
  tcb: Tcb,
  buf: Uint8Array,
  payload: number,
  length: number,
  flags: number,
): void {
  const { now } = ctx;
  const queuedBefore = tcb.queue.length;
  if (queuedBefore + length > LEAST_QUEUE && ctx.full) {
    // As if lost on the way; the window was promised when there was room, and may not shrink.
    ctx.counters.add(Counter['drop.tcp.memory']);
    return;
  }
  const held = tcb.queue.held;
  tcb.queue.append(buf, payload, length);
  tcb.rcvNxt = seqAdd(tcb.rcvNxt, length);
  const { outOfOrder } = tcb;
  let filled = false;
  if (outOfOrder !== undefined) {
    filled = true;
    tcb.rcvNxt = outOfOrder.drain(tcb.rcvNxt, tcb.queue);
    if (outOfOrder.intervals.count === 0) {
      outOfOrder.release();
      tcb.outOfOrder = undefined;
    }
  }
  tcb.rcvAdv = seqMax(tcb.rcvAdv, tcb.rcvNxt);
  const arrived = tcb.queue.length - queuedBefore;
  tcb.bytesReceived += arrived;
  ctx.queued += tcb.queue.held - held;
  tcb.events |= Event.READABLE;
  const idle = now - tcb.lastDataAt > tcb.rtt.rto;
  tcb.lastDataAt = now;
  tcb.unackedSegments++;
  const full = length >= tcb.rcvMss || (length >= LEAST_FULL && (flags & Flag.PSH) === 0);
  if (full) tcb.unackedFull++;
  const quick = full && tcb.quickAcks > 0;
  if (quick) tcb.quickAcks--;
  if (filled || quick || tcb.unackedFull >= ctx.segmentsPerAck) {
    emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK, 0);
    tcb.batchAckedAt = now;
  } else if (
    tcb.unackedSegments > 1 ||
    ((full || idle) && flags & Flag.PSH) ||
    (full && tcb.batchAckedAt === now)
  ) {
    // A full segment that comes alone and without PSH is followed by another.
    tcb.ackDue = AckDue.BATCH;
  } else if (tcb.ackDue === AckDue.NONE) {
    tcb.ackDue = AckDue.DELAYED;
  }
}

/** A segment beyond a hole: keep it and say so at once (RFC 5681 4.2, RFC 2018 4). */
function aheadArrives(
  ctx: TcpContext,
  tcb: Tcb,
  buf: Uint8Array,
  seq: number,
  payload: number,
  length: number,
  finSeq: number,
): void {
  ctx.counters.add(Counter['tcp.out_of_order']);
  if (length > 0 && ctx.full) {
    ctx.counters.add(Counter['drop.tcp.memory']);
    finSeq = -1;
  } else if (length > 0) {
    const end = seqAdd(seq, length);
    if (tcb.outOfOrder === undefined) {
      tcb.outOfOrder = new OutOfOrderBuffer(ctx.pool, seqDiff(end, tcb.rcvNxt));
    }
    const held = tcb.outOfOrder;
    if (held.intervals.covers(seq, end)) {
      ctx.counters.add(Counter['tcp.duplicates']);
      tcb.dsackLeft = seq;
      tcb.dsackRight = end;
    } else if (!held.put(tcb.rcvNxt, seq, buf, payload, length)) {
      ctx.counters.add(Counter['drop.tcp.holes']);
      finSeq = -1;
    }
  }
  if (finSeq >= 0) tcb.finAhead = finSeq;
  if (!tcb.sackOk) {
    tcb.dsackLeft = 0;
    tcb.dsackRight = 0;
  }
  emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK, 0);
}

/** Eighth: FIN, with everything before it received. */
function finArrives(ctx: TcpContext, tcb: Tcb): void {
  tcb.finAhead = -1;
  tcb.finReceived = true;
  tcb.rcvNxt = seqAdd(tcb.rcvNxt, 1);
  tcb.rcvAdv = seqMax(tcb.rcvAdv, tcb.rcvNxt);
  tcb.ackDue = AckDue.BATCH;
  tcb.events |= Event.ENDED;
  switch (tcb.state) {
    case State.ESTABLISHED:
      tcb.state = State.CLOSE_WAIT;
      break;
    case State.FIN_WAIT_1:
      // Had our FIN been acknowledged by this segment, the state would be FIN-WAIT-2.
      tcb.state = State.CLOSING;
      break;
    case State.FIN_WAIT_2:
      enterTimeWait(ctx, tcb);
      ctx.owner.reschedule(tcb);
      break;
    default:
  }
}
