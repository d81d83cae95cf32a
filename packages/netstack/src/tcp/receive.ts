// A segment arrives for a connection (RFC 9293 3.10.7.3 and 3.10.7.4, in that order of checks; RFC 5961; RFC 7323 5).
// Payload and FIN are in text.ts.
import { Counter } from '../counters.ts';
import { Flag, type TcpSegment } from '../wire/tcp.ts';
import { enterTimeWait, fail, finish } from './close.ts';
import type { TcpContext } from './context.ts';
import { emitResetAt, emitSegment, largestSegment } from './emit.ts';
import { armRetransmission, processAck } from './recovery.ts';
import { seqAdd, seqDiff, seqLe, seqLt } from './seq.ts';
import { AckDue, Event, State, type Tcb } from './tcb.ts';
import { textArrives, urgentArrives } from './text.ts';
import { sendSyn } from './transmit.ts';
import { offeredWindow } from './window.ts';

/** RFC 7323 5.5: a timestamp older than 24 days says nothing. */
const TIMESTAMP_STALE = 24 * 24 * 3600 * 1000;
/** RFC 5961 7: challenge ACKs per connection within about a second. */
const CHALLENGE_LIMIT = 5;
/** RFC 9293 3.7.1 MUST-15, SHLD-5; and no smaller than makes sense. */
const DEFAULT_MSS_V4 = 536;
const DEFAULT_MSS_V6 = 1220;
const LEAST_MSS = 64;

/** Dispatch by state. `buf` holds the payload at `segment.payload`. */
export function segmentArrives(
  ctx: TcpContext,
  tcb: Tcb,
  buf: Uint8Array,
  segment: TcpSegment,
): void {
  ctx.counters.add(Counter['tcp.segments.received']);
  if (tcb.state === State.SYN_SENT) arrivesInSynSent(ctx, tcb, segment);
  else arrivesSynchronized(ctx, tcb, buf, segment);
}

function arrivesInSynSent(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): void {
  const { flags } = segment;
  if (tcb.synTransmissions === 0) {
    // Nothing was sent yet that the peer could answer; a crossing SYN will be repeated.
    ctx.counters.add(Counter['drop.tcp.ack']);
    return;
  }
  const hasAck = (flags & Flag.ACK) !== 0;
  if (hasAck && segment.ack !== tcb.sndNxt) {
    if (!(flags & Flag.RST)) emitResetAt(ctx, tcb, segment.ack);
    ctx.counters.add(Counter['drop.tcp.ack']);
    return;
  }
  if (flags & Flag.RST) {
    if (!hasAck) return;
    ctx.counters.add(Counter['tcp.resets.received']);
    fail(ctx, tcb, 'ECONNREFUSED');
    ctx.owner.release(tcb);
    return;
  }
  if (!(flags & Flag.SYN)) {
    ctx.counters.add(Counter['drop.tcp.flags']);
    return;
  }
  acceptSyn(ctx, tcb, segment);
  if (hasAck) {
    becomeEstablished(ctx, tcb, segment);
    tcb.ackDue = AckDue.BATCH;
  } else {
    // Simultaneous open (RFC 9293 3.5, figure 7).
    tcb.state = State.SYN_RECEIVED;
    tcb.synTransmissions = 0;
    sendSyn(ctx, tcb);
  }
  ctx.owner.touch(tcb);
}

/** Takes sequence number and options of the peer's SYN. */
export function acceptSyn(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): void {
  const { options } = ctx;
  tcb.irs = segment.seq;
  tcb.rcvNxt = seqAdd(segment.seq, 1);
  tcb.rcvAdv = seqAdd(tcb.rcvNxt, Math.min(tcb.rcvBuf, 65535));
  tcb.sackOk = options.sack && segment.sackPermitted;
  tcb.tsOk = options.timestamps && segment.hasTimestamps;
  tcb.scaleOk = options.windowScaling && segment.windowScale >= 0;
  if (tcb.scaleOk) {
    tcb.sndUnit = 1 << segment.windowScale;
  } else {
    tcb.rcvShift = 0;
    tcb.rcvUnit = 1;
  }
  if (tcb.tsOk) {
    tcb.tsRecent = segment.tsVal;
    tcb.tsRecentAt = ctx.now;
  }
  const v4 = tcb.local.version === 4;
  const offered = segment.mss === 0 ? (v4 ? DEFAULT_MSS_V4 : DEFAULT_MSS_V6) : segment.mss;
  const largest = Math.min(Math.max(offered, LEAST_MSS), largestSegment(ctx.mtu, v4 ? 4 : 6));
  tcb.mss = largest - (tcb.tsOk ? 12 : 0);
  tcb.rcvMss = tcb.mss;
  tcb.congestion.begin(tcb.mss);
  tcb.sndWnd = segment.window;
  tcb.maxSndWnd = segment.window;
  tcb.sndWl1 = segment.seq;
  tcb.sndWl2 = segment.ack;
  tcb.lastSegmentAt = ctx.now;
}

/** Our SYN is acknowledged. */
function becomeEstablished(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): void {
  const { now } = ctx;
  tcb.state = State.ESTABLISHED;
  tcb.sndUna = segment.ack;
  tcb.reorderRound = segment.ack;
  // RFC 7323 2.2: the window of a SYN-ACK is not scaled.
  tcb.sndWnd = segment.flags & Flag.SYN ? segment.window : segment.window * tcb.sndUnit;
  tcb.maxSndWnd = Math.max(tcb.maxSndWnd, tcb.sndWnd);
  tcb.sndWl1 = segment.seq;
  tcb.sndWl2 = segment.ack;
  if (tcb.synTransmissions === 1) {
    tcb.rtt.sample(now - tcb.synSentAt);
  } else {
    tcb.rtt.afterSynLoss();
    // RFC 6928 2: one lost SYN may be chance, more than one is congestion.
    if (tcb.synTransmissions > 2) tcb.congestion.cwnd = tcb.mss;
  }
  tcb.progressAt = now;
  tcb.lastSendAt = now;
  tcb.tuneAt = now;
  tcb.softError = undefined;
  if (tcb.keepAliveIdle > 0) tcb.keepAliveAt = now + tcb.keepAliveIdle;
  armRetransmission(tcb, now);
  if (tcb.passive && tcb.listener !== undefined) {
    ctx.counters.add(Counter['tcp.accepts']);
    ctx.owner.established(tcb);
  } else {
    tcb.events |= Event.CONNECTED;
  }
  ctx.owner.touch(tcb);
}

function arrivesSynchronized(
  ctx: TcpContext,
  tcb: Tcb,
  buf: Uint8Array,
  segment: TcpSegment,
): void {
  const { flags } = segment;
  if (!checkTimestamps(ctx, tcb, segment)) return;
  if (!acceptable(tcb, segment)) {
    unacceptable(ctx, tcb, segment);
    return;
  }
  if (flags & Flag.RST) {
    resetArrives(ctx, tcb, segment);
    return;
  }
  if (flags & Flag.SYN) {
    // RFC 5961 4.2.
    challenge(ctx, tcb);
    return;
  }
  if (!(flags & Flag.ACK)) {
    ctx.counters.add(Counter['drop.tcp.flags']);
    return;
  }
  if (tcb.state === State.SYN_RECEIVED) {
    if (tcb.held || segment.ack !== tcb.sndNxt) {
      if (!tcb.held) emitResetAt(ctx, tcb, segment.ack);
      ctx.counters.add(Counter['drop.tcp.ack']);
      return;
    }
    becomeEstablished(ctx, tcb, segment);
  } else {
    const behind = seqDiff(segment.ack, tcb.sndUna);
    if (seqLt(tcb.sndNxt, segment.ack) || behind < -Math.max(tcb.maxSndWnd, 65535)) {
      // RFC 5961 5.2.
      ctx.counters.add(Counter['drop.tcp.ack']);
      challenge(ctx, tcb);
      return;
    }
  }
  tcb.lastSegmentAt = ctx.now;
  tcb.keepAliveUnanswered = 0;
  // RFC 7323 4.3: only a segment at the left edge of what was acknowledged may move TS.Recent.
  if (
    tcb.tsOk &&
    segment.hasTimestamps &&
    seqLe(segment.seq, tcb.lastAckSent) &&
    ((segment.tsVal - tcb.tsRecent) | 0) >= 0
  ) {
    tcb.tsRecent = segment.tsVal;
    tcb.tsRecentAt = ctx.now;
  }
  if (seqLe(tcb.sndUna, segment.ack)) {
    processAck(ctx, tcb, segment);
    if (!afterAck(ctx, tcb)) return;
  }
  if (flags & Flag.URG) urgentArrives(ctx, tcb, segment);
  if (segment.payloadLength > 0 || flags & Flag.FIN) textArrives(ctx, tcb, buf, segment);
  ctx.owner.touch(tcb);
}

/** PAWS (RFC 7323 5.3) and the presence of agreed timestamps (3.2); false when the segment is dropped. */
function checkTimestamps(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): boolean {
  if (!tcb.tsOk || segment.flags & Flag.RST) return true;
  if (!segment.hasTimestamps) {
    if (segment.flags & Flag.SYN) return true;
    ctx.counters.add(Counter['drop.tcp.no_timestamp']);
    return false;
  }
  if (((segment.tsVal - tcb.tsRecent) | 0) >= 0) return true;
  if (ctx.now - tcb.tsRecentAt > TIMESTAMP_STALE) {
    tcb.tsRecent = segment.tsVal;
    return true;
  }
  ctx.counters.add(Counter['drop.tcp.paws']);
  challenge(ctx, tcb);
  return false;
}

/** RFC 9293 3.4: the four cases of length and window. */
function acceptable(tcb: Tcb, segment: TcpSegment): boolean {
  const window = offeredWindow(tcb);
  const offset = seqDiff(segment.seq, tcb.rcvNxt);
  const length = segment.sequenceLength;
  // An empty segment just past a full window carries an ACK we need (the peer used all it was offered).
  if (length === 0) return offset >= 0 && offset <= window;
  const last = offset + length - 1;
  if (window === 0) {
    // MUST-66: acknowledgements and resets count even when the data cannot be taken.
    return false;
  }
  return (offset >= 0 && offset < window) || (last >= 0 && last < window);
}

function unacceptable(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): void {
  const { flags } = segment;
  ctx.counters.add(Counter['drop.tcp.unacceptable']);
  if (flags & Flag.RST) {
    if (segment.seq === tcb.rcvNxt) resetArrives(ctx, tcb, segment);
    return;
  }
  if (tcb.state === State.SYN_RECEIVED && flags & Flag.SYN && segment.seq === tcb.irs) {
    if (tcb.held) return;
    if (flags & Flag.ACK && segment.ack === tcb.sndNxt) {
      // The other half of a simultaneous open (RFC 9293 3.5, figure 7).
      becomeEstablished(ctx, tcb, segment);
      tcb.ackDue = AckDue.BATCH;
    } else {
      // The peer repeats its SYN: it has not seen our answer.
      sendSyn(ctx, tcb);
    }
    return;
  }
  const length = segment.sequenceLength;
  const end = seqAdd(segment.seq, length);
  // The ACK field of a segment at or just outside a closed window still counts (RFC 9293 3.10.7.4, MUST-66); old
  // duplicates may carry the only copy of an acknowledgement as well.
  if (
    flags & Flag.ACK &&
    !(flags & Flag.SYN) &&
    tcb.state >= State.ESTABLISHED &&
    seqLe(tcb.sndUna, segment.ack) &&
    seqLe(segment.ack, tcb.sndNxt) &&
    (segment.seq === tcb.rcvNxt || (length > 0 && seqLe(end, tcb.rcvNxt)))
  ) {
    tcb.lastSegmentAt = ctx.now;
    tcb.keepAliveUnanswered = 0;
    processAck(ctx, tcb, segment);
    if (!afterAck(ctx, tcb)) return;
    if (flags & Flag.URG && segment.seq === tcb.rcvNxt) urgentArrives(ctx, tcb, segment);
    ctx.owner.touch(tcb);
  }
  if (tcb.state === State.CLOSED) return;
  // Our last ACK was lost (RFC 9293 3.10.7.4 eighth).
  if (tcb.state === State.TIME_WAIT && flags & Flag.FIN && end === tcb.rcvNxt) {
    tcb.lingerAt = ctx.now + ctx.options.timeWait;
  }
  const old = seqDiff(tcb.rcvNxt, segment.seq);
  if (segment.payloadLength > 0 && seqLe(end, tcb.rcvNxt) && old <= Math.max(tcb.rcvBuf, 65535)) {
    ctx.counters.add(Counter['tcp.duplicates']);
    if (tcb.sackOk) {
      tcb.dsackLeft = segment.seq;
      tcb.dsackRight = seqAdd(segment.seq, segment.payloadLength);
    }
    emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK, 0);
    return;
  }
  if (flags & Flag.SYN) {
    challenge(ctx, tcb);
    return;
  }
  // Probes of a closed window, keep-alives and repeated FINs are answered each time; what an injector could guess, not.
  if (length > 0 && old >= 0 && old <= length) emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK, 0);
  else if (length > 0 || old !== 0) challenge(ctx, tcb);
}

/** RFC 5961 3.2. */
function resetArrives(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): void {
  // RFC 1337: a reset does not cut TIME-WAIT short.
  if (tcb.state === State.TIME_WAIT) return;
  if (segment.seq !== tcb.rcvNxt) {
    challenge(ctx, tcb);
    return;
  }
  ctx.counters.add(Counter['tcp.resets.received']);
  if (tcb.state === State.SYN_RECEIVED) fail(ctx, tcb, 'ECONNREFUSED');
  else if (tcb.state === State.CLOSING || tcb.state === State.LAST_ACK) {
    fail(ctx, tcb, tcb.readClosed ? undefined : 'ECONNRESET');
  } else fail(ctx, tcb, 'ECONNRESET');
  ctx.owner.release(tcb);
}

/** An ACK that makes an honest peer show itself; limited per connection by an unpredictable interval (RFC 5961 7). */
function challenge(ctx: TcpContext, tcb: Tcb): void {
  const { now } = ctx;
  if (now >= tcb.challengeAt) {
    tcb.challengeAt = now + 500 + 1000 * ctx.random();
    tcb.challenges = 0;
  }
  if (tcb.challenges >= CHALLENGE_LIMIT) return;
  tcb.challenges++;
  ctx.counters.add(Counter['tcp.challenge_acks']);
  if (!tcb.held) emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK, 0);
}

/** State changes because our FIN is acknowledged; false when the connection is gone. */
function afterAck(ctx: TcpContext, tcb: Tcb): boolean {
  if (!tcb.finAcked) return true;
  switch (tcb.state) {
    case State.FIN_WAIT_1:
      tcb.state = State.FIN_WAIT_2;
      return true;
    case State.CLOSING:
      enterTimeWait(ctx, tcb);
      ctx.owner.reschedule(tcb);
      return true;
    case State.LAST_ACK:
      finish(ctx, tcb);
      return false;
    default:
      return true;
  }
}
