// The rounds of one pair taken together.
import type { Flavours, Result } from './measure.ts';
import type { Kind, KindPair } from './network.ts';

/** What became of one pair with these two programs, over all rounds. */
export interface Summary {
  readonly from: Kind;
  readonly to: Kind;
  readonly flavours: Flavours;
  readonly rounds: number;
  /** Rounds in which the first byte came. */
  readonly connected: number;
  /** Rounds that ended on a direct path. */
  readonly directRounds: number;
  /** Rounds in which a direct path was claimed that the server's cable belied. */
  readonly unconfirmed: number;
  /** Path at the end of most rounds. */
  readonly path: Result['path'];
  /** Median milliseconds. */
  readonly firstByte?: number;
  /** Median milliseconds, rounds without a direct path counting as the longest; absent: most had none. */
  readonly direct?: number;
  readonly errors: readonly string[];
  /** Measured twice, because the first time left a doubt. */
  readonly repeated: boolean;
}

export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

export function summarise(
  results: readonly Result[],
  [from, to]: KindPair,
  flavours: Flavours,
): Summary | undefined {
  const own = results.filter(
    (result) => result.from === from && result.to === to && result.flavours === flavours,
  );
  if (own.length === 0) return undefined;
  const firstByte = median(own.flatMap((result) => result.firstByte ?? []));
  const direct = median(own.map((result) => result.direct ?? Number.POSITIVE_INFINITY));
  const paths = own.map((result) => result.path);
  const count = (path: Result['path']): number => paths.filter((other) => other === path).length;
  return {
    from,
    to,
    flavours,
    rounds: own.length,
    connected: own.filter((result) => result.firstByte !== undefined).length,
    directRounds: own.filter((result) => result.direct !== undefined).length,
    unconfirmed: own.filter((result) => result.confirmed === false).length,
    path: paths.reduce((best, path) => (count(path) > count(best) ? path : best)),
    ...(firstByte !== undefined && { firstByte }),
    ...(direct !== undefined && Number.isFinite(direct) && { direct }),
    errors: own.flatMap((result) => result.error ?? []),
    repeated: own.some((result) => result.repeated === true),
  };
}
