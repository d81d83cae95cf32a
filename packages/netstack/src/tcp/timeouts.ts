// Expiry of a connection's timers: retransmission (RFC 6298 5, RFC 8985), zero-window probe, delayed acknowledgement,
// keep-alive (RFC 9293 3.8.4), TIME-WAIT and the wait of a closed socket for its peer.
import { Counter } from '../counters.ts';
import { Flag } from '../wire/tcp.ts';
import { fail } from './close.ts';
import type { TcpContext } from './context.ts';
import { emitReset, emitSegment } from './emit.ts';
import { suspectBlackHole } from './pathmtu.ts';
import { armRetransmission, reorderTimeout, reorderWindow } from './recovery.ts';
import { seqAdd, seqDiff, seqLt } from './seq.ts';
import { AckDue, Recovery, Rexmit, State, type Tcb } from './tcb.ts';
import { retransmit, sendSyn, sendWindowProbe } from './transmit.ts';
import { beginEpisode } from './undo.ts';

/** RFC 9293 3.8.3 R1. */
const PATH_SUSPECT_AFTER = 3;
/** Timeouts in a row after which full segments are taken to vanish for their size (RFC 4821). */
const BLACK_HOLE_AFTER = 2;
/** A SYN-ACK is repeated this often before the half-open connection is dropped. */
const SYN_ACK_LIMIT = 6;
const NEVER: number = Number.POSITIVE_INFINITY;

/** Runs whatever of `tcb` is due at `ctx.now`. */
export function expire(ctx: TcpContext, tcb: Tcb): void {
  const { now } = ctx;
  if (tcb.lingerAt <= now) {
    if (tcb.state === State.FIN_WAIT_2) fail(ctx, tcb, undefined);
    ctx.owner.release(tcb);
    return;
  }
  if (tcb.delayedAckAt <= now) {
    tcb.delayedAckAt = NEVER;
    tcb.ackDue = AckDue.BATCH;
  }
  if (tcb.rexmitAt <= now) retransmissionTimer(ctx, tcb);
  if (tcb.persistAt <= now) persistTimer(ctx, tcb);
  if (tcb.keepAliveAt <= now && tcb.state !== State.CLOSED) keepAliveTimer(ctx, tcb);
  if (tcb.state !== State.CLOSED) {
    ctx.owner.touch(tcb);
    ctx.owner.reschedule(tcb);
  }
}

function retransmissionTimer(ctx: TcpContext, tcb: Tcb): void {
  const kind = tcb.rexmitKind;
  tcb.rexmitAt = NEVER;
  tcb.rexmitKind = Rexmit.NONE;
  if (tcb.state === State.SYN_SENT || tcb.state === State.SYN_RECEIVED) {
    handshakeTimeout(ctx, tcb);
  } else if (tcb.sent.count === 0) {
    return;
  } else if (kind === Rexmit.REORDER) {
    reorderTimeout(ctx, tcb);
  } else if (kind === Rexmit.TAIL_PROBE) {
    tailProbe(ctx, tcb);
  } else {
    retransmissionTimeout(ctx, tcb);
  }
}

function handshakeTimeout(ctx: TcpContext, tcb: Tcb): void {
  // As the deadline is computed, or rounding could make the last moment come again and again.
  const over = ctx.now >= tcb.synSentAt + tcb.connectTimeout;
  if (over || (tcb.passive && tcb.synTransmissions >= SYN_ACK_LIMIT)) {
    fail(ctx, tcb, tcb.softError ?? 'ETIMEDOUT');
    ctx.owner.release(tcb);
    return;
  }
  tcb.rtt.backOff();
  if (tcb.synTransmissions === PATH_SUSPECT_AFTER) ctx.owner.pathSuspect(tcb);
  sendSyn(ctx, tcb);
}

function retransmissionTimeout(ctx: TcpContext, tcb: Tcb): void {
  const { now } = ctx;
  const { sent } = tcb;
  const givenUpAt = tcb.progressAt + tcb.userTimeout;
  // A closed window is borne as long as its probes are answered (MUST-37).
  if (now >= givenUpAt && (tcb.sndWnd > 0 || tcb.probeOut)) {
    emitReset(ctx, tcb);
    fail(ctx, tcb, tcb.softError ?? 'ETIMEDOUT');
    ctx.owner.release(tcb);
    return;
  }
  ctx.counters.add(Counter['tcp.timeouts']);
  tcb.timeouts++;
  tcb.rtt.backOff();
  if (tcb.timeouts === PATH_SUSPECT_AFTER) ctx.owner.pathSuspect(tcb);
  if (tcb.sndWnd === 0) {
    sendWindowProbe(ctx, tcb);
  } else {
    if (tcb.timeouts === BLACK_HOLE_AFTER) suspectBlackHole(ctx, tcb);
    const first = tcb.recovery !== Recovery.LOSS || !seqLt(tcb.sndUna, tcb.recoverPoint);
    if (tcb.recovery === Recovery.OPEN) beginEpisode(tcb);
    tcb.congestion.onTimeout(tcb.flight, now, first);
    sent.timeout(reorderWindow(tcb), now);
    tcb.recovery = Recovery.LOSS;
    tcb.recoverPoint = tcb.sndNxt;
    tcb.dupAcks = 0;
    tcb.dupBytes = 0;
    tcb.tailProbeEnd = -1;
  }
  armRetransmission(tcb, now);
  if (tcb.sndWnd > 0) tcb.rexmitAt = Math.min(tcb.rexmitAt, givenUpAt);
}

/** RFC 8985 7.3: new data if the window has room, else the last segment again. */
function tailProbe(ctx: TcpContext, tcb: Tcb): void {
  const { sent } = tcb;
  ctx.counters.add(Counter['tcp.tail_loss_probes']);
  const length = Math.min(tcb.unsent, tcb.mss);
  const room = tcb.sndWnd - seqDiff(tcb.sndNxt, tcb.sndUna);
  if (length > 0 && length <= room) {
    emitSegment(ctx, tcb, tcb.sndNxt, Flag.ACK | Flag.PSH, length);
    sent.push(tcb.sndNxt, length, 0, ctx.now);
    tcb.sndNxt = seqAdd(tcb.sndNxt, length);
    tcb.tailProbeAgain = false;
  } else {
    retransmit(ctx, tcb, sent.count - 1);
    tcb.tailProbeAgain = true;
  }
  tcb.tailProbeEnd = tcb.sndNxt;
  armRetransmission(tcb, ctx.now);
}

function persistTimer(ctx: TcpContext, tcb: Tcb): void {
  tcb.persistAt = NEVER;
  if (tcb.sent.count > 0 || tcb.unsent <= 0) return;
  if (tcb.sndWnd > 0) {
    tcb.override = true;
    return;
  }
  sendWindowProbe(ctx, tcb);
  tcb.rtt.backOff();
  armRetransmission(tcb, ctx.now);
}

/** RFC 9293 3.8.4: only when idle; the probe is an empty segment one before SND.NXT. */
function keepAliveTimer(ctx: TcpContext, tcb: Tcb): void {
  const { now } = ctx;
  const due = tcb.lastSegmentAt + tcb.keepAliveIdle;
  if (tcb.keepAliveUnanswered === 0 && due > now) {
    tcb.keepAliveAt = due;
    return;
  }
  if (tcb.sent.count > 0 || tcb.state < State.ESTABLISHED) {
    tcb.keepAliveAt = now + tcb.keepAliveInterval;
    return;
  }
  if (tcb.keepAliveUnanswered >= tcb.keepAliveProbes) {
    emitReset(ctx, tcb);
    fail(ctx, tcb, tcb.softError ?? 'ETIMEDOUT');
    ctx.owner.release(tcb);
    return;
  }
  tcb.keepAliveUnanswered++;
  ctx.counters.add(Counter['tcp.keepalives']);
  emitSegment(ctx, tcb, seqAdd(tcb.sndNxt, -1), Flag.ACK, 0);
  tcb.keepAliveAt = now + tcb.keepAliveInterval;
}
