// Acknowledgements as the sender sees them: round-trip samples, the scoreboard, detection of loss and the reaction to it.
// With SACK: RACK (RFC 8985) finds losses, PRR (RFC 6937) paces recovery. Without: NewReno (RFC 6582), kept in the same
// terms by counting a duplicate acknowledgement as one segment that has left the network.
import { Counter } from '../counters.ts';
import { Flag, type TcpSegment } from '../wire/tcp.ts';
import type { TcpContext } from './context.ts';
import { timestampNow } from './emit.ts';
import { recovered } from './pathmtu.ts';
import { SentFlag } from './sent.ts';
import { seqDiff, seqLe, seqLt } from './seq.ts';
import { Event, Recovery, Rexmit, State, type Tcb } from './tcb.ts';
import { beginEpisode, duplicateReported, originalAnswered } from './undo.ts';

/** RFC 5681 3.2. */
export const DUPLICATE_THRESHOLD = 3;
/** RFC 8985 7.2: TLP.max_ack_delay of a peer we know nothing of. */
const MAX_ACK_DELAY = 200;
/** A tail loss probe is never sooner than the timers of the driver and of peers allow. */
const MIN_PROBE_TIMEOUT = 10;
/** RFC 8985 6.2 step 4: recoveries after which the reordering window shrinks again. */
const REORDER_PERSIST = 16;

/** An acceptable ACK arrived (RFC 9293 3.10.7.4 fifth, ESTABLISHED). */
export function processAck(ctx: TcpContext, tcb: Tcb, segment: TcpSegment): void {
  const { now } = ctx;
  const { sent } = tcb;
  const ack = segment.ack;
  const advanced = seqDiff(ack, tcb.sndUna);
  // Earlier acknowledgements of this batch took from the flight what nobody could replace yet.
  const flight = Math.max(tcb.flight, tcb.flightSent);
  const window = tcb.sndWnd;
  updateWindow(tcb, segment);
  let echo = -1;
  if (tcb.tsOk && segment.hasTimestamps) {
    const age = (timestampNow(tcb, now) - segment.tsEcr) | 0;
    if (age >= 0) echo = Math.floor(now) - age;
  }
  sent.beginAck();
  if (advanced > 0) {
    originalAnswered(ctx, tcb, tcb.sndUna, echo);
    sent.acknowledge(ack, now, echo);
    tcb.sndUna = ack;
    discardAcknowledged(ctx, tcb, ack);
    tcb.progressAt = now;
    tcb.timeouts = 0;
    tcb.softError = undefined;
    // Karn: only segments sent once, or a timestamp that tells which transmission was answered (RFC 7323 4.1).
    if (sent.effect.sentAt >= 0) {
      const rtt = now - sent.effect.sentAt;
      tcb.rtt.sample(rtt);
      if (tcb.recovery === Recovery.OPEN) tcb.congestion.onSample(rtt, ack, tcb.sndNxt, now);
    } else if (echo >= 0) tcb.rtt.sample(Math.max(0, now - echo));
  } else if (window === 0 && advanced === 0) {
    // A zero-window probe was answered: the peer is alive (RFC 9293 3.8.6.1). Once the application has gone, it must
    // read as well: nobody else would ever end the connection.
    if (!tcb.readClosed) {
      tcb.progressAt = now;
      tcb.probeOut = false;
    }
  }
  const duplicated = tcb.sackOk && segment.sackCount > 0 && applySack(tcb, segment, now, echo);
  if (duplicated) {
    widenReorderWindow(tcb);
    duplicateReported(ctx, tcb, segment.sackLeft[0]!, segment.sackRight[0]!);
  }
  const repeated = !tcb.sackOk && countDuplicate(tcb, segment, advanced, window);
  if (window === 0 && tcb.sndWnd > 0) windowReopened(tcb, now);
  if (sent.effect.reordered) tcb.reordering = true;
  closeTailProbe(tcb, ack, duplicated, flight, now);
  endRecovery(tcb, ack, now);
  const wait = detectLoss(ctx, tcb, advanced, flight);
  const delivered = tcb.sackOk ? sent.effect.delivered : Math.max(advanced, repeated ? tcb.mss : 0);
  if (tcb.recovery === Recovery.FAST) {
    reduceProportionally(tcb, delivered);
  } else if (advanced > 0) {
    // Only acknowledgements of new data let the window grow (RFC 5681 3.1).
    const { congestion } = tcb;
    const before = congestion.cwnd;
    const limited = tcb.cwndLimited || (before < congestion.ssthresh && 2 * flight >= before);
    congestion.onAck(delivered, tcb.rtt.srtt, now, limited);
    // A window that was never used says nothing of the path.
    if (congestion.cwnd > 2 * tcb.maxFlight) {
      congestion.cwnd = Math.max(before, 2 * tcb.maxFlight);
    }
  }
  if (wait > 0) {
    tcb.rexmitKind = Rexmit.REORDER;
    tcb.rexmitAt = now + wait;
  } else if (advanced > 0 || sent.effect.delivered > 0 || tcb.rexmitKind === Rexmit.REORDER) {
    armRetransmission(tcb, now);
  }
}

/** RFC 9293 3.10.7.4: take the window of the newest segment. */
export function updateWindow(tcb: Tcb, segment: TcpSegment): void {
  if (
    seqLt(tcb.sndWl1, segment.seq) ||
    (tcb.sndWl1 === segment.seq && seqLe(tcb.sndWl2, segment.ack))
  ) {
    tcb.sndWnd = segment.window * tcb.sndUnit;
    tcb.sndWl1 = segment.seq;
    tcb.sndWl2 = segment.ack;
    if (tcb.sndWnd > tcb.maxSndWnd) tcb.maxSndWnd = tcb.sndWnd;
  }
}

function discardAcknowledged(ctx: TcpContext, tcb: Tcb, ack: number): void {
  const bytes = Math.min(seqDiff(ack, tcb.ringSeq), tcb.ring.length);
  if (bytes > 0) {
    tcb.ring.discard(bytes);
    tcb.ringSeq = (tcb.ringSeq + bytes) >>> 0;
    if (tcb.wantsWritable) {
      tcb.events |= Event.WRITABLE;
      ctx.owner.touch(tcb);
    }
  }
  if (tcb.finSent && ack === tcb.sndNxt && !tcb.finAcked) {
    tcb.finAcked = true;
    tcb.events |= Event.FINISHED;
    ctx.owner.touch(tcb);
  }
}

/** Scoreboard update (RFC 6675 3); returns true when the first block reports a duplicate (RFC 2883). */
function applySack(tcb: Tcb, segment: TcpSegment, now: number, echo: number): boolean {
  const duplicated = isDuplicateReport(segment);
  // In ascending order: a block above another in the same acknowledgement is no sign of reordering.
  let after = tcb.sndUna;
  let todo = segment.sackCount - (duplicated ? 1 : 0);
  for (; todo > 0; todo--) {
    let next = -1;
    for (let i = duplicated ? 1 : 0; i < segment.sackCount; i++) {
      const left = segment.sackLeft[i]!;
      // Blocks outside (SND.UNA, SND.NXT] are no news.
      if (seqLt(left, after) || !seqLt(left, segment.sackRight[i]!)) continue;
      if (seqLt(tcb.sndNxt, segment.sackRight[i]!)) continue;
      if (next < 0 || seqLt(left, segment.sackLeft[next]!)) next = i;
    }
    if (next < 0) break;
    tcb.sent.sack(segment.sackLeft[next]!, segment.sackRight[next]!, now, echo);
    after = segment.sackRight[next]!;
  }
  return duplicated;
}

/** RFC 2883 4: the first block lies below the acknowledgement or inside the second block. */
function isDuplicateReport(segment: TcpSegment): boolean {
  const left = segment.sackLeft[0]!;
  const right = segment.sackRight[0]!;
  if (!seqLt(left, right)) return false;
  if (seqLe(right, segment.ack)) return true;
  return (
    segment.sackCount > 1 &&
    seqLe(segment.sackLeft[1]!, left) &&
    seqLe(right, segment.sackRight[1]!)
  );
}

/** RFC 8985 6.2 step 4: a duplicate means the window was too small; grow it once per round trip. */
function widenReorderWindow(tcb: Tcb): void {
  tcb.reordering = true;
  if (seqLt(tcb.sndUna, tcb.reorderRound)) return;
  tcb.reorderRound = tcb.sndNxt;
  tcb.reorderFactor = Math.min(tcb.reorderFactor + 1, 16);
  tcb.reorderPersist = REORDER_PERSIST;
}

/** The five conditions of RFC 5681 2 for a peer without SACK. */
function countDuplicate(tcb: Tcb, segment: TcpSegment, advanced: number, window: number): boolean {
  if (advanced > 0) {
    tcb.dupAcks = 0;
    tcb.dupBytes =
      tcb.recovery === Recovery.FAST ? Math.max(0, tcb.dupBytes - advanced + tcb.mss) : 0;
    return false;
  }
  const duplicate =
    tcb.sent.count > 0 &&
    advanced === 0 &&
    segment.payloadLength === 0 &&
    (segment.flags & (Flag.SYN | Flag.FIN)) === 0 &&
    tcb.sndWnd === window &&
    window > 0;
  // After a timeout they only tell of segments sent again without need (RFC 6582 3.2 step 6).
  if (!duplicate || tcb.recovery === Recovery.LOSS) return false;
  tcb.dupAcks++;
  // No more can have left the network than was in it, however many acknowledgements a peer makes up (RFC 5681 3.2).
  const most =
    tcb.recovery === Recovery.FAST ? seqDiff(tcb.recoverPoint, tcb.sndUna) : tcb.sent.bytes;
  if (tcb.dupBytes >= most) return false;
  tcb.dupBytes = Math.min(tcb.dupBytes + tcb.mss, most);
  return true;
}

/** The peer has room again. What a probe sent goes out once more unless it was taken. */
function windowReopened(tcb: Tcb, now: number): void {
  tcb.rtt.backoff = 0;
  tcb.persistAt = Number.POSITIVE_INFINITY;
  tcb.progressAt = now;
  tcb.probeOut = false;
  armRetransmission(tcb, now);
  if (tcb.sent.count > 0 && tcb.sent.flags(0) & SentFlag.PROBE) tcb.sent.markLost(0);
}

function endRecovery(tcb: Tcb, ack: number, now: number): void {
  if (tcb.recovery === Recovery.OPEN || seqLt(ack, tcb.recoverPoint)) return;
  if (tcb.recovery === Recovery.FAST) tcb.congestion.onRecovered(now);
  tcb.recovery = Recovery.OPEN;
  recovered(tcb);
  tcb.dupAcks = 0;
  tcb.dupBytes = 0;
  if (tcb.reorderPersist > 0 && --tcb.reorderPersist === 0) tcb.reorderFactor = 1;
}

/** Marks what is lost and enters recovery; returns how long to wait for more evidence, or 0. */
function detectLoss(ctx: TcpContext, tcb: Tcb, advanced: number, flight: number): number {
  const { sent } = tcb;
  const before = sent.lostBytes;
  let wait = 0;
  if (tcb.sackOk) {
    if (sent.effect.delivered === 0) return 0;
    wait = sent.detectLoss(reorderWindow(tcb), ctx.now);
  } else if (sent.count > 0) {
    const enter = tcb.recovery === Recovery.OPEN && tcb.dupAcks === DUPLICATE_THRESHOLD;
    const partial = tcb.recovery === Recovery.FAST && advanced > 0;
    if ((enter || partial) && !(sent.flags(0) & SentFlag.RETRANSMITTED)) sent.markLost(0);
  }
  if (sent.lostBytes > before && tcb.recovery === Recovery.OPEN) enterRecovery(ctx, tcb, flight);
  return wait;
}

function enterRecovery(ctx: TcpContext, tcb: Tcb, flight: number): void {
  beginEpisode(tcb);
  tcb.recovery = Recovery.FAST;
  tcb.recoverPoint = tcb.sndNxt;
  tcb.congestion.onLoss(flight, ctx.now);
  tcb.congestion.cwnd = tcb.congestion.ssthresh;
  tcb.prrDelivered = 0;
  tcb.prrOut = 0;
  tcb.prrFlight = Math.max(flight, tcb.mss);
  tcb.recoveryWindow = tcb.flight + tcb.mss;
  tcb.tailProbeEnd = -1;
  ctx.counters.add(Counter['tcp.fast_recoveries']);
}

/** Proportional rate reduction with the slow start reduction bound (RFC 6937 3). */
function reduceProportionally(tcb: Tcb, delivered: number): void {
  const { ssthresh } = tcb.congestion;
  const pipe = tcb.flight;
  tcb.prrDelivered += delivered;
  let allowed: number;
  if (pipe > ssthresh) {
    allowed = Math.ceil((tcb.prrDelivered * ssthresh) / tcb.prrFlight) - tcb.prrOut;
  } else {
    const limit = Math.max(tcb.prrDelivered - tcb.prrOut, delivered) + tcb.mss;
    allowed = Math.min(ssthresh - pipe, limit);
  }
  // The first retransmission always goes out.
  if (tcb.prrOut === 0) allowed = Math.max(allowed, tcb.mss);
  tcb.recoveryWindow = pipe + Math.max(0, allowed);
}

/** RFC 8985 6.2 step 4. */
export function reorderWindow(tcb: Tcb): number {
  if (
    !tcb.reordering &&
    (tcb.recovery !== Recovery.OPEN || tcb.sent.sackedCount >= DUPLICATE_THRESHOLD)
  ) {
    return 0;
  }
  const window = (tcb.sent.minRtt / 4) * tcb.reorderFactor;
  return tcb.rtt.srtt >= 0 ? Math.min(window, tcb.rtt.srtt) : 0;
}

/** RFC 8985 7.4: was the probe needed, then it repaired a loss the window must answer for. */
function closeTailProbe(
  tcb: Tcb,
  ack: number,
  duplicated: boolean,
  flight: number,
  now: number,
): void {
  if (tcb.tailProbeEnd < 0 || seqLt(ack, tcb.tailProbeEnd)) return;
  tcb.tailProbeEnd = -1;
  if (!tcb.tailProbeAgain || duplicated || tcb.recovery !== Recovery.OPEN) return;
  tcb.congestion.onLoss(flight, now);
  tcb.congestion.onRecovered(now);
}

/** Restarts the retransmission timer after news or a transmission (RFC 6298 5, RFC 8985 7.2). */
export function armRetransmission(tcb: Tcb, now: number): void {
  const { sent } = tcb;
  if (sent.count === 0) {
    tcb.rexmitKind = Rexmit.NONE;
    tcb.rexmitAt = Number.POSITIVE_INFINITY;
    return;
  }
  tcb.rexmitKind = Rexmit.TIMEOUT;
  tcb.timeoutAt = now + tcb.rtt.timeout;
  tcb.rexmitAt = tcb.timeoutAt;
  if (
    tcb.sackOk &&
    tcb.recovery === Recovery.OPEN &&
    tcb.tailProbeEnd < 0 &&
    sent.sackedCount === 0 &&
    sent.lostBytes === 0 &&
    tcb.rtt.srtt >= 0 &&
    tcb.sndWnd > 0 &&
    tcb.state !== State.SYN_RECEIVED
  ) {
    const probe =
      now + Math.max(2 * tcb.rtt.srtt, MIN_PROBE_TIMEOUT) + (sent.count === 1 ? MAX_ACK_DELAY : 0);
    // A probe even where the timeout would come first (RFC 8985 7.2): a lost last segment is no reason for slow start.
    tcb.rexmitKind = Rexmit.TAIL_PROBE;
    tcb.rexmitAt = Math.min(tcb.rexmitAt, probe);
  }
}

/** The reordering timer expired (RFC 8985 6.2 step 5). */
export function reorderTimeout(ctx: TcpContext, tcb: Tcb): void {
  const flight = Math.max(tcb.flight, tcb.flightSent);
  const before = tcb.sent.lostBytes;
  const wait = tcb.sent.detectLoss(reorderWindow(tcb), ctx.now);
  if (tcb.sent.lostBytes > before && tcb.recovery === Recovery.OPEN) {
    enterRecovery(ctx, tcb, flight);
  }
  if (wait > 0) {
    tcb.rexmitKind = Rexmit.REORDER;
    tcb.rexmitAt = ctx.now + wait;
  } else {
    armRetransmission(tcb, ctx.now);
  }
}
