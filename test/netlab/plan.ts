// What is measured, and in which order, so that CI gets through in ten minutes on two cores.
import type { Host } from '../harness/lab.ts';
import { doubt } from './bounds.ts';
import { type Flavours, measure, measureTogether, type Pair, type Result } from './measure.ts';
import { type Kind, type KindPair, kindPairs, type Network } from './network.ts';
import { Station } from './station.ts';

/** Kinds whose pairs have medians in CI too. */
export const MEDIAN_KINDS: readonly Kind[] = ['none', 'easy', 'hard', 'double'];
export const ROUNDS = 5;
const SETTLE = 1_000;

export interface PlanOptions {
  readonly kinds: readonly Kind[];
  readonly flavours: readonly Flavours[];
  /** Every direct pair in every round, not only those of MEDIAN_KINDS. */
  readonly full: boolean;
  readonly rounds: number;
  readonly authKey: string;
  readonly log: (line: string) => void;
}

/**
 * Pairs that NATs of these kinds keep apart. They are measured all at once, since all one does is wait; it decides
 * nothing else: one that turns out to be direct is reported as such.
 */
export function likelyRelayed([a, b]: KindPair): boolean {
  const both = [a, b];
  const needsV4 = (kind: Kind): boolean => kind !== 'none' && kind !== 'v6only';
  if (both.includes('noudp')) return true;
  if (both.includes('v6only')) return both.some(needsV4);
  if (!both.includes('hard')) return false;
  const other = a === 'hard' ? b : a;
  return other === 'easy' || other === 'hard' || other === 'double';
}

/** The stations of one network: two sites of each kind, for a pair takes one of side `a` and one of side `b`. */
export class Stations {
  readonly #a: ReadonlyMap<Kind, Station>;
  readonly #b: ReadonlyMap<Kind, Station>;

  constructor(network: Network, kinds: readonly Kind[]) {
    const side = (name: string): Map<Kind, Station> =>
      new Map(kinds.map((kind) => [kind, new Station(network.addSite(kind, name))]));
    this.#a = side('a');
    this.#b = side('b');
  }

  a(kind: Kind): Station {
    return this.#a.get(kind)!;
  }

  b(kind: Kind): Station {
    return this.#b.get(kind)!;
  }

  /** All nodes of all sites join; of an earlier generation only those of side b are replaced, which meets nobody twice. */
  async join(authKey: string, kinds: readonly Kind[], sides: 'both' | 'b'): Promise<void> {
    const stations = kinds.flatMap((kind) =>
      sides === 'both' ? [this.a(kind), this.b(kind)] : [this.b(kind)],
    );
    // Three at a time: more would only wait for a core.
    const queue = [...stations];
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        await next.join(authKey);
    };
    await Promise.all([worker(), worker(), worker()]);
    const present = [...this.#a, ...this.#b].map(([, station]) => station);
    const addresses = present.flatMap((station) => Object.values(station.addresses));
    for (const station of present) await station.meets(addresses);
    // Until the last one has told its endpoints, a mapped port among them.
    await new Promise((done) => setTimeout(done, SETTLE));
  }
}

/** Measures all. Never rejects for what a pair does. */
export async function run(
  stations: Stations,
  server: Host,
  options: PlanOptions,
): Promise<Result[]> {
  const { kinds, flavours, full, log } = options;
  const results: Result[] = [];
  const keep = (result: Result): void => {
    results.push(result);
    log(describe(result));
  };
  log(`${kinds.length * 2} sites: their nodes join`);
  await stations.join(options.authKey, kinds, 'both');
  const pairs = kindPairs(kinds);
  const alone = pairs.filter((pair) => !likelyRelayed(pair));
  for (const [i, pair] of alone.entries())
    for (const one of turned(flavours, i))
      keep(await measure(meet(stations, pair, one, 1), server));
  const together = pairs.filter(likelyRelayed);
  const all = together.flatMap((pair) => flavours.map((one) => meet(stations, pair, one, 1)));
  for (const result of await measureTogether(all)) keep(result);

  const again = pairs.filter(
    ([a, b]) =>
      (full || (MEDIAN_KINDS.includes(a) && MEDIAN_KINDS.includes(b))) &&
      results.some(({ from, to, direct }) => from === a && to === b && direct !== undefined),
  );
  const involved = kinds.filter((kind) => again.some(([, b]) => b === kind));
  for (let round = 2; round <= options.rounds && again.length > 0; round++) {
    await stations.join(options.authKey, involved, 'b');
    for (const [i, pair] of again.entries())
      for (const one of turned(flavours, i + round))
        keep(await measure(meet(stations, pair, one, round), server));
  }
  return repeatDoubtful(results, again, stations, server, options);
}

/**
 * Pairs of which something was too slow, once more and as often as before, stock–stock with them: a busy machine is no
 * failure. Contacts that did not connect stay in the results.
 */
async function repeatDoubtful(
  results: readonly Result[],
  again: readonly KindPair[],
  stations: Stations,
  server: Host,
  { kinds, flavours, rounds, authKey, log }: PlanOptions,
): Promise<Result[]> {
  const isTimed = ([from, to]: KindPair): boolean =>
    rounds >= ROUNDS && again.some(([a, b]) => a === from && b === to);
  const doubtful = kindPairs(kinds).filter((pair) => {
    const reasons = flavours.flatMap((one) => {
      const reason = doubt(results, pair, one, isTimed(pair));
      return reason === undefined ? [] : [`${one}: ${reason}`];
    });
    if (reasons.length > 0) log(`${pair.join('–')} is measured again: ${reasons.join('; ')}`);
    return reasons.length > 0;
  });
  const isDoubtful = ({ from, to }: Result): boolean =>
    doubtful.some(([a, b]) => a === from && b === to);
  const kept = results.filter((result) => !isDoubtful(result) || result.error !== undefined);
  const involved = kinds.filter((kind) => doubtful.some(([, b]) => b === kind));
  for (let round = 1; round <= rounds && doubtful.length > 0; round++) {
    await stations.join(authKey, involved, 'b');
    for (const [i, pair] of doubtful.entries())
      for (const one of turned(flavours, i + round)) {
        const result = await measure(meet(stations, pair, one, round), server);
        log(describe(result));
        kept.push({ ...result, repeated: true });
      }
  }
  return kept;
}

/** Nobody is always first: the first of a pair finds endpoints that nobody asked for lately. */
function turned<T>(list: readonly T[], by: number): T[] {
  const n = by % list.length;
  return [...list.slice(n), ...list.slice(0, n)];
}

function meet(stations: Stations, [a, b]: KindPair, flavours: Flavours, round: number): Pair {
  return { from: stations.a(a), to: stations.b(b), flavours, round };
}

function describe({
  from,
  to,
  flavours,
  round,
  firstByte,
  direct,
  path,
  confirmed,
  error,
}: Result): string {
  const ms = (value: number | undefined): string =>
    value === undefined ? '-' : `${value.toFixed(0)} ms`;
  return [
    `round ${round} ${`${from}–${to}`.padEnd(16)} ${flavours.padEnd(12)}`,
    `first byte ${ms(firstByte)}, ${path}${direct === undefined ? '' : ` after ${ms(direct)}`}`,
    confirmed === false ? ' NOT CONFIRMED' : '',
    error === undefined ? '' : ` ${error}`,
  ].join(' ');
}
