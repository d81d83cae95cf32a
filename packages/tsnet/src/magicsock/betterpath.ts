// Which of two paths by UDP is better: the faster one, with a bonus for addresses that are likely to be near and to
// cost nothing. A path without a peer relay is better than any with one.
import { prefixContains } from '@cove/protocol/netaddr';
import type { DatagramPath } from './paths.ts';

export interface MeasuredPath {
  readonly path: DatagramPath;
  /** Milliseconds of the last round trip; more than 0. */
  readonly latency: number;
}

const LOOPBACK_BONUS = 50;
const LINK_LOCAL_BONUS = 30;
const PRIVATE_BONUS = 20;
const IPV6_BONUS = 10;

const LOOPBACK = [prefix([127], 8), prefix([...new Array<number>(15).fill(0), 1], 128)];
const LINK_LOCAL = [prefix([169, 254], 16), prefix([0xfe, 0x80], 10, 16)];
const PRIVATE = [
  prefix([10], 8),
  prefix([172, 16], 12),
  prefix([192, 168], 16),
  prefix([0xfc], 7, 16),
];

/** Would a be the better path? Never for the same path, and not for an advantage of one percent. */
export function isBetter(a: MeasuredPath, b: MeasuredPath): boolean {
  if (a.path === b.path) return false;
  if (a.path.kind !== b.path.kind) return a.path.kind === 'udp';
  let aPoints = 0;
  let bPoints = 0;
  // Whole nanoseconds: shares are counted in whole percents, rounded down.
  const aTime = Math.round(a.latency * 1e6);
  const bTime = Math.round(b.latency * 1e6);
  if (aTime > bTime && aTime > 0) bPoints = 100 - Math.floor((bTime * 100) / aTime);
  else if (bTime > 0) aPoints = 100 - Math.floor((aTime * 100) / bTime);
  aPoints += addressBonus(a.path);
  bPoints += addressBonus(b.path);
  if (aPoints <= 1 && bPoints === 0) return false;
  return aPoints > bPoints;
}

function addressBonus(path: DatagramPath): number {
  const { addr } = path.kind === 'via' ? path.hop : path;
  const within = (prefixes: typeof LOOPBACK): boolean =>
    prefixes.some((each) => prefixContains(each, addr));
  const family = addr.length === 16 ? IPV6_BONUS : 0;
  if (within(LOOPBACK)) return LOOPBACK_BONUS + family;
  if (within(LINK_LOCAL)) return LINK_LOCAL_BONUS + family;
  if (within(PRIVATE)) return PRIVATE_BONUS + family;
  return family;
}

function prefix(
  first: readonly number[],
  bits: number,
  length: number = bits > 32 ? 16 : 4,
): { addr: Uint8Array; bits: number } {
  const addr = new Uint8Array(length);
  addr.set(first);
  return { addr, bits };
}
