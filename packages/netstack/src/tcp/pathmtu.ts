// What the path carries: ICMP "packet too big" (RFC 1191, RFC 8201), and black holes that swallow full segments without a
// word (RFC 4821, RFC 2923). Segments may grow to their full size again after a while, because paths change.
import type { TcpContext } from './context.ts';
import { largestSegment } from './emit.ts';
import { seqLe } from './seq.ts';
import { Rexmit, State, type Tcb } from './tcb.ts';

/** RFC 1191 6.3: not before ten minutes. */
const RAISE_AFTER = 600_000;
/** Room the option takes off every segment. */
const TIMESTAMPS = 12;
/** RFC 9293 3.7.1: the segment that every IPv4 path carries. */
const LEAST_V4 = 536;
/** Smaller claims are not believed: RFC 8200 5 for IPv6; for IPv4 what others take for the least in use. */
const LEAST_MTU_V4 = 552;
const LEAST_MTU_V6 = 1280;

/** A router or the local link says that the segment with `seq` in it was larger than `mtu`. */
export function packetTooBig(ctx: TcpContext, tcb: Tcb, seq: number, mtu: number): void {
  const v4 = tcb.local.version === 4;
  const least = v4 ? LEAST_MTU_V4 : LEAST_MTU_V6;
  const mss = largestSegment(Math.max(mtu, least), tcb.local.version) - (tcb.tsOk ? TIMESTAMPS : 0);
  if (mss >= tcb.mss || tcb.state < State.ESTABLISHED) return;
  lower(ctx, tcb, mss);
  tcb.mssDoubtful = false;
  tcb.timeouts = 0;
  // The loss says nothing of congestion.
  for (let i = 0; i < tcb.sent.count; i++) {
    if (seqLe(seq, tcb.sent.seq(i)) && tcb.sent.length(i) > mss) tcb.sent.markLost(i);
  }
  if (tcb.rexmitKind === Rexmit.NONE) tcb.rexmitAt = ctx.now;
  ctx.owner.touch(tcb);
}

/**
 * Two timeouts of full segments halve the segment, down to the default of the family. The first time the end of recovery
 * restores it, because an outage looks the same.
 */
export function suspectBlackHole(ctx: TcpContext, tcb: Tcb): void {
  if (tcb.sent.length(0) < tcb.mss) return;
  const least =
    tcb.local.version === 4
      ? LEAST_V4
      : largestSegment(LEAST_MTU_V6, 6) - (tcb.tsOk ? TIMESTAMPS : 0);
  const mss = Math.max(least, tcb.mss >> 1);
  if (mss >= tcb.mss) return;
  lower(ctx, tcb, mss);
  tcb.mssDoubtful = !tcb.blackHole;
  tcb.blackHole = true;
}

function lower(ctx: TcpContext, tcb: Tcb, mss: number): void {
  tcb.fullMss = Math.max(tcb.fullMss, tcb.mss);
  tcb.mss = mss;
  tcb.mssLoweredAt = ctx.now;
  tcb.congestion.setMss(mss);
}

/** Everything lost was repaired. */
export function recovered(tcb: Tcb): void {
  if (tcb.mssDoubtful) restore(tcb);
}

/** Full segments get another chance once the last word on the path is old. */
export function raiseWhenOld(ctx: TcpContext, tcb: Tcb): void {
  if (tcb.fullMss > 0 && ctx.now - tcb.mssLoweredAt >= RAISE_AFTER) restore(tcb);
}

function restore(tcb: Tcb): void {
  if (tcb.fullMss === 0) return;
  tcb.mss = tcb.fullMss;
  tcb.fullMss = 0;
  tcb.mssDoubtful = false;
  tcb.congestion.setMss(tcb.mss);
}
