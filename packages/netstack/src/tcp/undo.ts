// Taking back what a needless recovery did to the window, once per episode: every retransmission of it was reported as a
// duplicate (RFC 2883, RFC 3708), or the first new acknowledgement answers the original (RFC 3522 by timestamps, response as
// RFC 4015).
import { Counter } from '../counters.ts';
import type { TcpContext } from './context.ts';
import { recovered } from './pathmtu.ts';
import { SentFlag } from './sent.ts';
import { seqLe } from './seq.ts';
import { Recovery, type Tcb } from './tcb.ts';

/** Recovery or a timeout begins: from here on retransmissions count. Called before the window is reduced. */
export function beginEpisode(tcb: Tcb): void {
  tcb.congestion.remember();
  tcb.undoLeft = tcb.sndUna;
  tcb.undoRight = tcb.sndNxt;
  tcb.undoSentAt = -1;
  // A tail loss probe that is still out may be reported as well.
  tcb.undoCount = tcb.tailProbeEnd >= 0 && tcb.tailProbeAgain ? 1 : 0;
}

/** One packet of the episode was sent again. */
export function countRetransmission(tcb: Tcb, now: number): void {
  if (tcb.recovery === Recovery.OPEN) return;
  if (tcb.undoSentAt < 0) tcb.undoSentAt = now;
  tcb.undoCount++;
}

/** The peer reports [left, right) as a duplicate. */
export function duplicateReported(ctx: TcpContext, tcb: Tcb, left: number, right: number): void {
  if (tcb.undoCount === 0) return;
  if (!seqLe(tcb.undoLeft, left) || !seqLe(right, tcb.undoRight)) return;
  if (--tcb.undoCount === 0) undo(ctx, tcb);
}

/**
 * In recovery `una` was acknowledged past, by a segment that left at `echo` according to its timestamp (-1: unknown). Had
 * the retransmission been needed, the echo would be its own.
 */
export function originalAnswered(ctx: TcpContext, tcb: Tcb, una: number, echo: number): void {
  if (tcb.recovery === Recovery.OPEN || una !== tcb.undoLeft) return;
  if (tcb.undoSentAt < 0) {
    // Nothing was sent again yet.
    if ((tcb.sent.flags(0) & SentFlag.LOST) !== 0) undo(ctx, tcb);
    return;
  }
  if (tcb.undoCount === 0) return;
  if (echo >= 0 && tcb.undoSentAt >= 0 && echo < Math.floor(tcb.undoSentAt)) undo(ctx, tcb);
}

function undo(ctx: TcpContext, tcb: Tcb): void {
  ctx.counters.add(Counter['tcp.undone_recoveries']);
  tcb.undoCount = 0;
  tcb.congestion.undo();
  if (tcb.recovery === Recovery.OPEN) return;
  tcb.recovery = Recovery.OPEN;
  recovered(tcb);
  tcb.dupAcks = 0;
  tcb.dupBytes = 0;
  // What was given up is still on its way; as if sent again just now, so that its age proves nothing.
  const { sent } = tcb;
  for (let i = sent.firstLost(); i >= 0; i = sent.firstLost()) sent.retransmitted(i, ctx.now);
}
