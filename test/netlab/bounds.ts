// What must hold, and what is measured once more before it is called a failure.
import type { CutResult } from './cut.ts';
import { type Flavours, REFERENCE, type Result } from './measure.ts';
import type { KindPair } from './network.ts';
import { type Summary, summarise } from './summary.ts';

/** How much slower than stock Cove may find a direct path. */
export const MAX_RATIO = 1.5;
/**
 * Milliseconds that are the scheduler's: a path is found in 5 ms here, and both ends, their neighbours, the relay and the
 * lab share the machine's cores, so that a turn of one of them is a factor. The page shows the factor itself.
 */
export const NOISE = 20;
/** Who waits for a path that is not found at once waits for 5 s. */
export const MAX_FIRST_BYTE = 2_500;
/** From a cut until traffic takes the relay, and an open connection is silent. */
export const MAX_MOVE = 7_000;

/** How long a median may be beside this one of stock–stock. */
export function limit(stock: number): number {
  return Math.max(stock * MAX_RATIO, stock + NOISE);
}

/** Cove's share of stock's time; undefined where one of them has no direct path. */
export function ratio(own: Summary, stock: Summary | undefined): number | undefined {
  if (own.direct === undefined || stock?.direct === undefined) return undefined;
  return own.direct / stock.direct;
}

/**
 * Why a pair is measured again: something in it depends on when the machine's other programs ran. Undefined: nothing
 * does. That one did not connect at all is no such thing, and is never measured away.
 */
export function doubt(
  results: readonly Result[],
  pair: KindPair,
  flavours: Flavours,
  timed: boolean,
): string | undefined {
  const own = summarise(results, pair, flavours);
  const stock = summarise(results, pair, REFERENCE);
  if (own === undefined) return undefined;
  if (own.firstByte !== undefined && own.firstByte > MAX_FIRST_BYTE)
    return `first byte after ${own.firstByte.toFixed(0)} ms`;
  if (flavours === REFERENCE || stock === undefined || stock.directRounds === 0) return undefined;
  if (own.directRounds < own.rounds) return `direct in ${own.directRounds} of ${own.rounds}`;
  if (own.unconfirmed > 0) return 'bytes crossed the relay while the path was called direct';
  if (timed && stock.direct !== undefined && own.direct! > limit(stock.direct))
    return `direct after ${own.direct!.toFixed(0)} ms, stock–stock ${stock.direct.toFixed(0)} ms`;
  return undefined;
}

/** As doubt(), of a cut: it came back, but not in time. A connection that died is none. */
export function doubtCut(cut: CutResult): string | undefined {
  if (cut.error !== undefined || cut.closed !== undefined) return undefined;
  const { moved, silence, restored, flavours } = cut;
  if (moved === undefined) return 'did not move';
  if (flavours !== REFERENCE) {
    if (moved > MAX_MOVE) return `moved after ${moved.toFixed(0)} ms`;
    if (silence! > MAX_MOVE) return `silent for ${silence!.toFixed(0)} ms`;
  }
  return restored === undefined ? 'not direct again' : undefined;
}
