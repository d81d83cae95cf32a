// What to send now: SYN, lost segments, new data, FIN, acknowledgement (RFC 9293 3.7.4, 3.8.6; RFC 5681 3.1).
import { Counter } from '../counters.ts';
import { Flag } from '../wire/tcp.ts';
import type { TcpContext } from './context.ts';
import { emitSegment, emitSyn } from './emit.ts';
import { raiseWhenOld } from './pathmtu.ts';
import { armRetransmission } from './recovery.ts';
import { SentFlag } from './sent.ts';
import { seqAdd, seqDiff } from './seq.ts';
import { AckDue, Recovery, Rexmit, State, type Tcb } from './tcb.ts';
import { countRetransmission } from './undo.ts';
import { windowOpened } from './window.ts';

/** Segments one connection may send per turn, so that a bulk flow does not delay an interactive one. */
export const QUANTUM = 64;
/** RFC 9293 3.8.6.2.1 asks for 0.2 to 0.5 s: the longest a small segment waits for a larger window. */
const OVERRIDE_TIMEOUT = 300;
/**
 * How long a full segment waits for the next, to be acknowledged with it (RFC 5681 4.2). Much less than a small one for its
 * answer: its sender may hold back the end of a write until it is acknowledged (RFC 9293 3.7.4).
 */
const FULL_ACK_DELAY = 1;

/** Sends what is due; returns true when the quantum was used up with more to send. */
export function transmit(ctx: TcpContext, tcb: Tcb): boolean {
  let more = false;
  switch (tcb.state) {
    case State.CLOSED:
      return false;
    case State.SYN_SENT:
    case State.SYN_RECEIVED:
      if (tcb.synTransmissions === 0 && !tcb.held) sendSyn(ctx, tcb);
      return false;
    case State.FIN_WAIT_2:
      // Closed without waiting for an end: the peer gets only so long (Linux and others likewise).
      if (tcb.readClosed && tcb.lingerAt === Number.POSITIVE_INFINITY) {
        tcb.lingerAt = ctx.now + ctx.options.finWait2;
      }
      break;
    case State.TIME_WAIT:
      break;
    default:
      more = sendData(ctx, tcb);
  }
  if (tcb.ackDue === AckDue.NONE && tcb.canReceive && windowOpened(tcb)) {
    tcb.ackDue = AckDue.BATCH;
  }
  if (tcb.ackDue === AckDue.BATCH) {
    emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK, 0);
  } else if (tcb.ackDue === AckDue.DELAYED && tcb.delayedAckAt === Number.POSITIVE_INFINITY) {
    const { delayedAck } = ctx.options;
    tcb.delayedAckAt =
      ctx.now + (tcb.unackedFull > 0 ? Math.min(delayedAck, FULL_ACK_DELAY) : delayedAck);
  }
  for (; tcb.repeatAcks > 0; tcb.repeatAcks--) emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK, 0);
  ctx.owner.reschedule(tcb);
  return more;
}

/** First transmission or retransmission of SYN or SYN-ACK. */
export function sendSyn(ctx: TcpContext, tcb: Tcb): void {
  if (tcb.synTransmissions === 0) {
    if (!tcb.passive) {
      ctx.owner.initialSequence(tcb);
      tcb.sndUna = tcb.iss;
      tcb.sndNxt = seqAdd(tcb.iss, 1);
      tcb.ringSeq = tcb.sndNxt;
    }
    tcb.synSentAt = ctx.now;
  } else {
    ctx.counters.add(Counter['tcp.retransmits']);
  }
  tcb.synTransmissions++;
  emitSyn(ctx, tcb);
  tcb.rexmitKind = Rexmit.TIMEOUT;
  tcb.rexmitAt = Math.min(ctx.now + tcb.rtt.timeout, tcb.synSentAt + tcb.connectTimeout);
  ctx.owner.reschedule(tcb);
}

/** Retransmissions first, then new data and FIN, as far as the windows go. */
function sendData(ctx: TcpContext, tcb: Tcb): boolean {
  if (ctx.paused) {
    tcb.flightSent = tcb.flight;
    return false;
  }
  const { sent } = tcb;
  if (ctx.budget <= 0)
    return tcb.unsent > 0 || sent.lostBytes > 0 || (tcb.finQueued && !tcb.finSent);
  const allowed = Math.min(QUANTUM, ctx.budget);
  let quantum = allowed;
  const wasIdle = sent.count === 0;
  if (tcb.fullMss > 0 && tcb.recovery === Recovery.OPEN) raiseWhenOld(ctx, tcb);
  if (wasIdle && tcb.unsent > 0 && ctx.now - tcb.lastSendAt > tcb.rtt.rto) tcb.congestion.onIdle();
  let transmitted = false;
  for (;;) {
    const lost = sent.firstLost();
    if (lost < 0) break;
    const length = sent.length(lost);
    const flight = tcb.flight;
    // The segment every later acknowledgement waits for goes out regardless (RFC 6582 3.2 step 3, RFC 6937 3).
    const head = lost === 0 && (sent.flags(0) & SentFlag.RETRANSMITTED) === 0;
    if (flight > 0 && flight + length > tcb.cwnd && !head) {
      tcb.cwndLimited = true;
      break;
    }
    // RFC 9293 3.8.6, SHLD-15: what lies in the window, should the peer have shrunk it; all of it waits for a closed one.
    if (tcb.sndWnd === 0) break;
    if (lost > 0 && seqDiff(sent.seq(lost), tcb.sndUna) >= tcb.sndWnd) break;
    if (quantum-- === 0) break;
    retransmit(ctx, tcb, lost);
    transmitted = true;
  }
  const sentNew = quantum > 0 && sent.firstLost() < 0 ? sendNew(ctx, tcb, quantum) : 0;
  quantum -= sentNew;
  if (sentNew > 0 || transmitted) {
    tcb.lastSendAt = ctx.now;
    if (sent.inFlight > tcb.maxFlight) tcb.maxFlight = sent.inFlight;
    if (wasIdle) tcb.progressAt = ctx.now;
    if (sentNew > 0 || tcb.rexmitKind === Rexmit.NONE) {
      if (tcb.rexmitKind !== Rexmit.REORDER) restartAfterSend(tcb, ctx.now);
    }
  }
  ctx.budget -= allowed - Math.max(0, quantum);
  tcb.flightSent = tcb.flight;
  return quantum <= 0 && !tcb.cwndLimited;
}

/** A probe timeout moves with each transmission (RFC 8985 7.2), but never past the timeout that runs (RFC 6298 5.1). */
function restartAfterSend(tcb: Tcb, now: number): void {
  const running = tcb.rexmitKind === Rexmit.NONE ? Number.POSITIVE_INFINITY : tcb.timeoutAt;
  armRetransmission(tcb, now);
  if (running >= tcb.timeoutAt) return;
  tcb.timeoutAt = running;
  tcb.rexmitAt = tcb.rexmitKind === Rexmit.TIMEOUT ? running : Math.min(tcb.rexmitAt, running);
}

/** Sends segment `i` again, in pieces should the MSS have shrunk since. */
export function retransmit(ctx: TcpContext, tcb: Tcb, i: number): void {
  const { sent } = tcb;
  const fin = (sent.flags(i) & SentFlag.FIN) !== 0;
  const start = sent.seq(i);
  let left = sent.length(i) - (fin ? 1 : 0);
  let seq = start;
  do {
    const length = Math.min(left, tcb.mss);
    left -= length;
    const last = left === 0;
    emitSegment(
      ctx,
      tcb,
      seq,
      Flag.ACK | (last ? Flag.PSH : 0) | (last && fin ? Flag.FIN : 0),
      length,
    );
    seq = seqAdd(seq, length);
    countRetransmission(tcb, ctx.now);
  } while (left > 0);
  tcb.prrOut += sent.length(i);
  sent.retransmitted(i, ctx.now);
  ctx.counters.add(Counter['tcp.retransmits']);
}

/** Sends up to `quantum` segments of new data, the last with FIN if that is due; returns how many. */
function sendNew(ctx: TcpContext, tcb: Tcb, quantum: number): number {
  let count = 0;
  tcb.cwndLimited = false;
  while (count < quantum) {
    const unsent = tcb.unsent;
    if (unsent <= 0) {
      if (tcb.finQueued && !tcb.finSent) {
        sendSegment(ctx, tcb, 0, true);
        count++;
      }
      break;
    }
    const window = tcb.sndWnd - seqDiff(tcb.sndNxt, tcb.sndUna);
    let length = Math.min(unsent, tcb.mss);
    if (length > window) {
      // Sender side of silly window avoidance (RFC 9293 3.8.6.2.1).
      const worth = window > 0 && (window >= tcb.maxSndWnd / 2 || tcb.override);
      if (!worth) {
        if (tcb.sent.count === 0) persist(ctx, tcb);
        break;
      }
      length = window;
    } else if (length < tcb.mss && !tcb.noDelay && !tcb.finQueued && tcb.sndNxt !== tcb.sndUna) {
      break; // Nagle (RFC 9293 3.7.4)
    }
    const flight = tcb.flight;
    if (flight > 0 && flight + length > tcb.cwnd) {
      tcb.cwndLimited = true;
      break;
    }
    tcb.override = false;
    sendSegment(ctx, tcb, length, length === unsent && tcb.finQueued);
    count++;
  }
  return count;
}

/** Sends the next `length` bytes after SND.NXT. */
function sendSegment(ctx: TcpContext, tcb: Tcb, length: number, fin: boolean): void {
  const seq = tcb.sndNxt;
  const push = length > 0 && length === tcb.unsent;
  emitSegment(ctx, tcb, seq, Flag.ACK | (push ? Flag.PSH : 0) | (fin ? Flag.FIN : 0), length);
  const taken = length + (fin ? 1 : 0);
  tcb.sent.push(seq, taken, fin ? SentFlag.FIN : 0, ctx.now);
  tcb.sndNxt = seqAdd(seq, taken);
  if (tcb.recovery === Recovery.FAST) tcb.prrOut += taken;
  tcb.persistAt = Number.POSITIVE_INFINITY;
  if (fin) {
    tcb.finSent = true;
    tcb.state = tcb.state === State.CLOSE_WAIT ? State.LAST_ACK : State.FIN_WAIT_1;
  }
}

/** Data waits and nothing is in flight to bring a window update: probe later (RFC 9293 3.8.6.1). */
function persist(ctx: TcpContext, tcb: Tcb): void {
  if (tcb.persistAt !== Number.POSITIVE_INFINITY) return;
  tcb.persistAt = ctx.now + (tcb.sndWnd === 0 ? tcb.rtt.timeout : OVERRIDE_TIMEOUT);
  if (!tcb.readClosed) tcb.progressAt = ctx.now;
}

/** One byte beyond the zero window, to be answered with the present window. */
export function sendWindowProbe(ctx: TcpContext, tcb: Tcb): void {
  ctx.counters.add(Counter['tcp.zero_window_probes']);
  tcb.probeOut = true;
  if (tcb.sent.count > 0) {
    const fin = tcb.ring.length === 0;
    emitSegment(ctx, tcb, tcb.sndUna, fin ? Flag.ACK | Flag.FIN : Flag.ACK, fin ? 0 : 1);
    return;
  }
  if (tcb.unsent <= 0) return;
  const seq = tcb.sndNxt;
  emitSegment(ctx, tcb, seq, Flag.ACK, 1);
  tcb.sent.push(seq, 1, SentFlag.PROBE, ctx.now);
  tcb.sndNxt = seqAdd(seq, 1);
}
