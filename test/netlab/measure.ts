// One first contact between two nodes that never met: first byte, time to a direct path, and what carried the bytes
// in the end, as the server's own cable shows it.

import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '../harness/lab.ts';
import type { Kind } from './network.ts';
import { serverBytes } from './network.ts';
import type { Flavour, Station } from './station.ts';
import type { ContactAnswer } from './wire.ts';

/** Who makes contact and who is met, in this order. */
export const FLAVOURS = ['stock–stock', 'cove–cove', 'cove–stock', 'stock–cove'] as const;
export type Flavours = (typeof FLAVOURS)[number];
/** What the others are held against. */
export const REFERENCE: Flavours = 'stock–stock';

export interface Result {
  readonly from: Kind;
  readonly to: Kind;
  readonly flavours: Flavours;
  readonly round: number;
  /** Milliseconds; absent: the pair did not connect. */
  readonly firstByte?: number;
  /**
   * Milliseconds from the dial until the peer's answer to a discovery ping was there, after which the one who dialled
   * sends over UDP only; absent: not within the window.
   */
  readonly direct?: number;
  readonly path: 'direct v4' | 'direct v6' | 'relay' | 'none';
  /** Both ends said direct, and so few bytes passed the server that it was true. */
  readonly confirmed?: boolean;
  readonly error?: string;
  /** Measured again: the first rounds left a doubt (bounds.ts). */
  readonly repeated?: boolean;
}

/** Milliseconds in which a direct path is found or is not. Candidates are tried every 5 s. */
export const WINDOW = 12_000;
/** A look at the status costs the stock daemon a millisecond of the machine. */
const POLL = 10;
/** A pong that came longer ago than this is not what made the path. */
const POLL_LAG = 3 * POLL;
const PACE = 50;
/** What the contact before has to say yet must not count as delay of the next. */
const SETTLE = 40;
/** For many pairs at once, which would keep each other waiting. */
const SLOW_POLL = 200;
const SLOW_PACE = 500;
const BULK = 256 * 1024;

export interface Pair {
  readonly from: Station;
  readonly to: Station;
  readonly flavours: Flavours;
  readonly round: number;
}

/** Measures one pair alone. Never rejects: what goes wrong is in the result. */
export async function measure(pair: Pair, server: Host): Promise<Result> {
  const { from, to } = pair;
  const [here, there] = pair.flavours.split('–') as [Flavour, Flavour];
  try {
    const answer = await from.contact({
      through: from.through(here),
      address: to.addresses[there],
      window: WINDOW,
      poll: POLL,
      pace: PACE,
      return: 'direct',
    });
    try {
      const confirmed =
        answer.direct === undefined
          ? undefined
          : await confirm(pair, here, there, answer.contact, server);
      const direct = exactly(pair, answer);
      return {
        ...named(pair),
        firstByte: answer.firstByte,
        ...(direct !== undefined && { direct }),
        path: pathName(await finalPath(pair, here, there)),
        ...(confirmed !== undefined && { confirmed }),
      };
    } finally {
      await from.end(answer.contact);
      await delay(SETTLE);
    }
  } catch (error) {
    return failed(pair, error);
  }
}

/** The time at which the packet came that made the path direct, if that is known better than by looking again and again. */
function exactly({ from, to }: Pair, { startedAt, direct }: ContactAnswer): number | undefined {
  if (direct === undefined) return undefined;
  const seen = startedAt + direct;
  const pong = from.pongs.first(to.site.outside, startedAt, seen);
  return pong === undefined || seen - pong > POLL_LAG ? direct : pong - startedAt;
}

/** Measures pairs that are expected to stay on the relay: first bytes one after the other, then one wait for all. */
export async function measureTogether(pairs: readonly Pair[]): Promise<Result[]> {
  const open: { pair: Pair; contact: number; firstByte: number }[] = [];
  const results: Result[] = [];
  const startedAt = performance.now();
  for (const pair of pairs) {
    const [here, there] = pair.flavours.split('–') as [Flavour, Flavour];
    try {
      const { contact, firstByte } = await pair.from.contact({
        through: pair.from.through(here),
        address: pair.to.addresses[there],
        window: WINDOW,
        poll: SLOW_POLL,
        pace: SLOW_PACE,
        return: 'first byte',
      });
      open.push({ pair, contact, firstByte });
    } catch (error) {
      results.push(failed(pair, error));
    }
  }
  await Promise.all(
    open.map(async ({ pair, contact, firstByte }) => {
      const [here, there] = pair.flavours.split('–') as [Flavour, Flavour];
      try {
        const { after, path } = await pair.from.awaitPath({
          through: pair.from.through(here),
          address: pair.to.addresses[there],
          wanted: 'direct',
          window: WINDOW,
          poll: SLOW_POLL,
        });
        results.push({
          ...named(pair),
          firstByte,
          ...(after !== undefined && { direct: performance.now() - startedAt }),
          path: pathName(path),
        });
        await pair.from.end(contact);
      } catch (error) {
        results.push(failed(pair, error));
      }
    }),
  );
  return results;
}

/** A better address may have been found since the first. */
async function finalPath({ from, to }: Pair, here: Flavour, there: Flavour): Promise<string> {
  const { path } = await from.awaitPath({
    through: from.through(here),
    address: to.addresses[there],
    wanted: 'direct',
    window: 0,
    poll: POLL,
  });
  return path;
}

async function confirm(
  { from, to }: Pair,
  here: Flavour,
  there: Flavour,
  contact: number,
  server: Host,
): Promise<boolean> {
  const { after } = await to.awaitPath({
    through: to.through(there),
    address: from.addresses[here],
    wanted: 'direct',
    window: WINDOW,
    poll: POLL,
  });
  const before = await serverBytes(server);
  await from.bulk(contact, BULK);
  return after !== undefined && (await serverBytes(server)) - before < BULK / 2;
}

function named({
  from,
  to,
  flavours,
  round,
}: Pair): Pick<Result, 'from' | 'to' | 'flavours' | 'round'> {
  return { from: from.site.kind, to: to.site.kind, flavours, round };
}

function failed(pair: Pair, error: unknown): Result {
  return {
    ...named(pair),
    path: 'none',
    error: error instanceof Error ? error.message : String(error),
  };
}

function pathName(path: string): Result['path'] {
  if (path === '') return 'relay';
  return path.startsWith('[') ? 'direct v6' : 'direct v4';
}
