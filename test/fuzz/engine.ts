// The fuzzer: keeps inputs that reach something new, mutates them, runs them. Seeded. Coverage comes from modules loaded
// through hook.ts.
import type { FuzzTarget } from '@cove/protocol/testing/fuzztarget';
import { Coverage } from './coverage.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';

/** One execution longer than this is a finding. */
const SLOWEST = 2000;
/** So is a slow one after which the process has more than this resident. */
const HUNGRIEST = 1 << 30;

export interface Finding {
  readonly input: Uint8Array;
  readonly error: unknown;
}

export interface Outcome {
  readonly executions: number;
  readonly seconds: number;
  /** Counters lit, of how many loaded. */
  readonly covered: number;
  readonly counters: number;
  readonly finding: Finding | undefined;
  readonly corpus: readonly Uint8Array[];
}

export interface Budget {
  readonly seed: number;
  readonly seconds: number;
  /** Told of each input before it runs. */
  readonly begin?: (input: Uint8Array) => void;
}

/** Runs `target` from `corpus` and its own seeds until the time is up or something is found. */
export function fuzz(
  target: FuzzTarget,
  coverage: Coverage,
  corpus: readonly Uint8Array[],
  budget: Budget,
): Outcome {
  const random = new Random(budget.seed);
  const seen = Coverage.seen();
  const kept: Uint8Array[] = [];
  const maxLength = target.maxLength ?? 2048;
  const began = performance.now();
  const end = began + budget.seconds * 1000;
  let executions = 0;
  let finding: Finding | undefined;

  const execute = (input: Uint8Array): void => {
    executions++;
    coverage.reset();
    budget.begin?.(input);
    const error = runOnce(target, input);
    if (error !== undefined) finding = { input, error };
    if (coverage.mergeInto(seen) > 0) kept.push(input);
  };

  for (const input of [...target.seeds, ...corpus]) {
    execute(input);
    if (finding !== undefined) break;
  }
  if (kept.length === 0) kept.push(new Uint8Array(1));
  while (finding === undefined && performance.now() < end) {
    for (let n = 0; n < 64 && finding === undefined; n++) {
      // Newcomers first: what they reached has hardly been looked at.
      const recent = random.below(3) === 0;
      const i = recent ? kept.length - 1 - random.below(Math.min(16, kept.length)) : -1;
      const parent = kept[i < 0 ? random.below(kept.length) : i]!;
      const other = kept[random.below(kept.length)]!;
      execute(mutate(parent, { random, words: target.words ?? [], maxLength, other }));
    }
  }
  return {
    executions,
    seconds: (performance.now() - began) / 1000,
    covered: seen.reduce((sum, bits) => sum + (bits === 0 ? 0 : 1), 0),
    counters: coverage.counters,
    finding,
    corpus: kept,
  };
}

/** What went wrong with `input`, or undefined. */
export function runOnce(target: FuzzTarget, input: Uint8Array): unknown {
  const began = performance.now();
  try {
    target.run(input.slice());
  } catch (error) {
    return error ?? new Error('undefined was thrown');
  }
  const took = performance.now() - began;
  if (took > SLOWEST) return new Error(`took ${took.toFixed(0)} ms`);
  if (took > 50 && process.memoryUsage.rss() > HUNGRIEST) {
    return new Error(`${(process.memoryUsage.rss() / 2 ** 20).toFixed(0)} MiB resident`);
  }
  return undefined;
}

/** The smallest inputs that together light every counter `inputs` light, each cut as far as that allows. */
export function minimize(
  target: FuzzTarget,
  coverage: Coverage,
  inputs: readonly Uint8Array[],
  limit: number,
): Uint8Array[] {
  const lit = (input: Uint8Array): number[] => {
    coverage.reset();
    runOnce(target, input);
    return coverage.hit();
  };
  const candidates = inputs.map((input) => ({ input, hits: lit(input) }));
  candidates.sort((a, b) => a.input.length - b.input.length);
  const covered = new Set<number>();
  const chosen: Uint8Array[] = [];
  let size = 0;
  // Rare counters first, each by the smallest input that lights it: no input is chosen for what others give anyway.
  const smallest = new Map<number, Uint8Array>();
  const owners = new Map<number, number>();
  for (const { input, hits } of candidates) {
    for (const hit of hits) {
      if (!smallest.has(hit)) smallest.set(hit, input);
      owners.set(hit, (owners.get(hit) ?? 0) + 1);
    }
  }
  for (const [hit] of [...owners].sort((a, b) => a[1] - b[1])) {
    if (covered.has(hit)) continue;
    const news = new Set(lit(smallest.get(hit)!).filter((i) => !covered.has(i)));
    const input = cut(smallest.get(hit)!, (shorter) => {
      const still = new Set(lit(shorter));
      for (const i of news) if (!still.has(i)) return false;
      return true;
    });
    if (size + input.length > limit) continue;
    size += input.length;
    chosen.push(input);
    for (const i of lit(input)) covered.add(i);
  }
  return chosen;
}

/** `input` without the pieces that `suffices` does not need. */
function cut(input: Uint8Array, suffices: (shorter: Uint8Array) => boolean): Uint8Array {
  let best = input;
  let tries = 0;
  for (let piece = best.length >> 1; piece > 0 && tries < 600; piece >>= 1) {
    for (let at = 0; at + piece <= best.length && tries < 600; tries++) {
      const shorter = new Uint8Array(best.length - piece);
      shorter.set(best.subarray(0, at));
      shorter.set(best.subarray(at + piece), at);
      if (suffices(shorter)) best = shorter;
      else at += piece;
    }
  }
  return best;
}
