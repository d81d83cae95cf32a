// Options of `npm run bench`.
import { parseArgs } from 'node:util';
import { CASES, type CaseName } from './metrics.ts';
import { PAIRINGS, type PairingName, REFERENCE } from './pairings.ts';

export interface BenchOptions {
  readonly quick: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly streamSeconds: number;
  readonly cases: ReadonlySet<CaseName>;
  readonly pairings: readonly PairingName[];
  /** Adds rounds to those of the last run in place of a new run. */
  readonly continue: boolean;
  readonly profile: boolean;
  /** Only writes the page anew. */
  readonly page: boolean;
}

export const USAGE: string = `npm run bench -- [options]

  --quick            one short round of Cove and of stock tsnet; prints, and writes nothing under docs
  --only A,B         only these cases: ${CASES.join(', ')}
  --pairs A,B        only these pairings: ${Object.keys(PAIRINGS).join(', ')}
  --rounds N         how often everything is measured, alternating (default 5)
  --seconds S        of every single measurement but streams (default 1.5)
  --stream-seconds S of every stream (default 10, with --quick 1.5)
  --continue         add the rounds to the results in docs/performance.json; else they replace what they measure anew
  --profile          CPU profiles of Cove's streams, as text under docs/performance, in place of measurements
  --page             write docs/performance.md from the results, measure nothing

BENCH_VERBOSE=1 shows what the peers log.`;

const SECONDS = 1.5;
const ALL = Object.keys(PAIRINGS) as PairingName[];
const QUICK_PAIRINGS: readonly PairingName[] = [REFERENCE, 'cove-cove'];
const QUICK_CASES: readonly CaseName[] = ['start', 'echo', 'http', 'stream', 'connect', 'udp'];

/** Throws a TypeError whose message is for the user. */
export function parseOptions(args: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      pairs: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      'stream-seconds': { type: 'string' },
      continue: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      page: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { quick } = values;
  return {
    quick,
    rounds: positive('--rounds', values.rounds, quick ? 1 : 5),
    seconds: positive('--seconds', values.seconds, SECONDS),
    streamSeconds: positive('--stream-seconds', values['stream-seconds'], quick ? SECONDS : 10),
    cases: new Set(choose('--only', values.only, CASES, quick ? QUICK_CASES : CASES)),
    pairings: choose('--pairs', values.pairs, ALL, quick ? QUICK_PAIRINGS : ALL),
    continue: values.continue,
    profile: values.profile,
    page: values.page,
  };
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value > 0)) throw new TypeError(`${name} takes a number above 0`);
  return value;
}

function choose<T extends string>(
  name: string,
  text: string | undefined,
  all: readonly T[],
  otherwise: readonly T[],
): readonly T[] {
  if (text === undefined) return otherwise;
  const words = text.split(',');
  const unknown = words.find((word) => !all.some((one) => one === word));
  if (unknown !== undefined) {
    throw new TypeError(`${name} ${unknown}: choose of ${all.join(', ')}`);
  }
  return all.filter((one) => words.includes(one));
}
