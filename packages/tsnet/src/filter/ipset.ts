// A set of addresses of both families as sorted, disjoint intervals: membership by binary search.
import { type Prefix, parseAddr, parsePrefix } from '@cove/protocol/netaddr';
import { u32 } from './header.ts';

/** Inclusive ends, both 4 or both 16 bytes. */
export interface AddressRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

const ALL: readonly AddressRange[] = [
  { first: new Uint8Array(4), last: new Uint8Array(4).fill(255) },
  { first: new Uint8Array(16), last: new Uint8Array(16).fill(255) },
];

/**
 * `*`, an address, a prefix without host bits, or an inclusive range `a-b` of one family. Undefined: none of these.
 */
export function parseAddressRanges(text: string): readonly AddressRange[] | undefined {
  if (text === '*') return ALL;
  const dash = text.indexOf('-');
  if (dash >= 0) {
    const first = parseAddr(text.slice(0, dash));
    const last = parseAddr(text.slice(dash + 1));
    if (!first || !last || first.length !== last.length || compare(first, last) > 0)
      return undefined;
    return [{ first, last }];
  }
  if (text.includes('/')) {
    const prefix = parsePrefix(text);
    if (!prefix) return undefined;
    const range = prefixRange(prefix);
    return compare(range.first, prefix.addr) === 0 ? [range] : undefined;
  }
  const addr = parseAddr(text);
  return addr && [{ first: addr, last: addr }];
}

export function prefixRange(prefix: Prefix): AddressRange {
  const first = prefix.addr.slice();
  const last = prefix.addr.slice();
  for (let i = 0; i < first.length; i++) {
    const kept = Math.min(8, Math.max(0, prefix.bits - i * 8));
    const host = 0xff >> kept;
    first[i] = first[i]! & ~host;
    last[i] = last[i]! | host;
  }
  return { first, last };
}

/** Immutable once built. */
export class IpSet {
  /** first, last of each interval. */
  readonly #v4: Uint32Array;
  /** Four words first, four words last of each interval. */
  readonly #v6: Uint32Array;

  constructor(ranges: Iterable<AddressRange>) {
    const all = [...ranges];
    this.#v4 = pack(all.filter((range) => range.first.length === 4));
    this.#v6 = pack(all.filter((range) => range.first.length === 16));
  }

  get isEmpty(): boolean {
    return this.#v4.length === 0 && this.#v6.length === 0;
  }

  /** Family 4 looks at w3 only. */
  has(family: number, w0: number, w1: number, w2: number, w3: number): boolean {
    return family === 4 ? this.#has4(w3) : this.#has6(w0, w1, w2, w3);
  }

  /** Bytes: 4 or 16. */
  hasAddress(addr: Uint8Array): boolean {
    return addr.length === 4
      ? this.#has4(u32(addr, 0))
      : this.#has6(u32(addr, 0), u32(addr, 4), u32(addr, 8), u32(addr, 12));
  }

  /** Is any address of [first, last] (bytes of one family) in the set? */
  overlaps(first: Uint8Array, last: Uint8Array): boolean {
    const table = first.length === 4 ? this.#v4 : this.#v6;
    const step = first.length / 4;
    for (let at = 0; at < table.length; at += 2 * step) {
      if (compareAt(table, at, last) <= 0 && compareAt(table, at + step, first) >= 0) return true;
    }
    return false;
  }

  #has4(word: number): boolean {
    const table = this.#v4;
    let low = 0;
    let high = table.length / 2;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (table[mid * 2]! > word) high = mid;
      else if (table[mid * 2 + 1]! < word) low = mid + 1;
      else return true;
    }
    return false;
  }

  #has6(w0: number, w1: number, w2: number, w3: number): boolean {
    const table = this.#v6;
    let low = 0;
    let high = table.length / 8;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (compareWords(table, mid * 8, w0, w1, w2, w3) > 0) high = mid;
      else if (compareWords(table, mid * 8 + 4, w0, w1, w2, w3) < 0) low = mid + 1;
      else return true;
    }
    return false;
  }
}

/** Sign of (the address at `at`) - (the address given). */
function compareWords(
  table: Uint32Array,
  at: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): number {
  return table[at]! - w0 || table[at + 1]! - w1 || table[at + 2]! - w2 || table[at + 3]! - w3;
}

/** Sign of (the address at `at`) - (the bytes given). */
function compareAt(table: Uint32Array, at: number, addr: Uint8Array): number {
  for (let i = 0; i < addr.length; i += 4) {
    const difference = table[at + i / 4]! - u32(addr, i);
    if (difference !== 0) return difference;
  }
  return 0;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    if (a[i]! !== b[i]!) return a[i]! - b[i]!;
  }
  return 0;
}

function pack(ranges: AddressRange[]): Uint32Array {
  ranges.sort((a, b) => compare(a.first, b.first));
  const merged: AddressRange[] = [];
  for (const range of ranges) {
    const previous = merged[merged.length - 1];
    if (previous && compare(range.first, previous.last) <= 0) {
      if (compare(range.last, previous.last) > 0)
        merged[merged.length - 1] = { first: previous.first, last: range.last };
    } else merged.push(range);
  }
  const words: number[] = [];
  for (const { first, last } of merged) {
    for (let i = 0; i < first.length; i += 4) words.push(u32(first, i));
    for (let i = 0; i < last.length; i += 4) words.push(u32(last, i));
  }
  return Uint32Array.from(words);
}
