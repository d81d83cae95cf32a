// The receive window: what to offer (RFC 9293 3.8.6.2.2, RFC 7323 2) and how large the buffer should be.
import type { TcpContext } from './context.ts';
import { seqAdd, seqDiff } from './seq.ts';
import type { Tcb } from './tcb.ts';

/** Least scale factor with which `limit` can be offered in 16 bits. */
export function scaleFor(limit: number): number {
  let shift = 0;
  while (shift < 14 && 65535 * 2 ** shift < limit) shift++;
  return shift;
}

/** How far the right edge may stray over the buffer through rounding up. */
const ROUNDING_SLACK = 16;

/** Bytes between RCV.NXT and the edge offered so far. */
export function offeredWindow(tcb: Tcb): number {
  return Math.max(0, seqDiff(tcb.rcvAdv, tcb.rcvNxt));
}

/** What could be offered: the free part of the buffer, as far as the window field reaches. */
function receiveSpace(tcb: Tcb): number {
  return Math.max(0, Math.min(tcb.rcvBuf - tcb.queue.length, 65535 * tcb.rcvUnit));
}

/** Would a window update be worth a segment: half the buffer or two segments more than offered (RFC 1122 4.2.3.3)? */
export function windowOpened(tcb: Tcb): boolean {
  return receiveSpace(tcb) - offeredWindow(tcb) >= Math.min(tcb.rcvBuf / 2, 2 * tcb.mss);
}

/** The window field to send now. Moves the edge right by at least one segment or half the buffer, never left. */
export function offerWindow(tcb: Tcb): number {
  const unit = tcb.rcvUnit;
  const space = receiveSpace(tcb);
  const offered = offeredWindow(tcb);
  let field: number;
  if (space - offered >= Math.min(tcb.rcvBuf / 2, tcb.mss)) {
    field = Math.floor(space / unit);
  } else {
    // Rounding down would take back what was offered; rounding up must not let the edge creep.
    field = Math.ceil(offered / unit);
    if (field * unit > space + ROUNDING_SLACK * unit) field = Math.floor(offered / unit);
  }
  field = Math.min(field, 65535);
  const edge = seqAdd(tcb.rcvNxt, field * unit);
  if (seqDiff(edge, tcb.rcvAdv) > 0) tcb.rcvAdv = edge;
  return field;
}

/**
 * Once per round trip: if the application took more than in the round before, the buffer becomes twice that plus room for
 * growth. It never shrinks.
 */
export function tuneReceiveBuffer(ctx: TcpContext, tcb: Tcb): void {
  const { now, options } = ctx;
  const round = Math.max(1, tcb.rtt.srtt);
  if (now - tcb.tuneAt < round) return;
  const copied = tcb.tuneCopied;
  tcb.tuneAt = now;
  tcb.tuneCopied = 0;
  if (copied <= tcb.tuneLast) return;
  const growth = tcb.tuneLast === 0 ? 0 : copied / tcb.tuneLast - 1;
  tcb.tuneLast = copied;
  if (ctx.full) return;
  const size = 2 * copied * (1 + 2 * Math.min(growth, 1)) + 16 * tcb.mss;
  if (size > tcb.rcvBuf) tcb.rcvBuf = Math.min(Math.floor(size), options.receiveBufferLimit);
}
