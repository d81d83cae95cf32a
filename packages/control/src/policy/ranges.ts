// Sets of node addresses as the fewest texts a filter understands: runs of neighbours become a prefix when aligned,
// otherwise `first-last`. Addresses given out one after the other make few runs.
import { addressPair } from '../state/addresses.ts';

/** IPv4 entries in ascending order, then IPv6, of the nodes at these offsets of the pool. */
export function addressRanges(offsets: readonly number[]): string[] {
  const sorted = [...offsets].sort((a, b) => a - b);
  const v4: string[] = [];
  const v6: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    const first = sorted[i]!;
    let last = first;
    for (i++; i < sorted.length && sorted[i]! <= last + 1; i++) last = sorted[i]!;
    const low = addressPair(first);
    const high = addressPair(last);
    const size = last - first + 1;
    const aligned = (size & (size - 1)) === 0 && first % size === 0;
    const hostBits = 31 - Math.clz32(size);
    if (size === 1) {
      v4.push(low.ipv4);
      v6.push(low.ipv6);
    } else if (aligned) {
      v4.push(`${low.ipv4}/${32 - hostBits}`);
      v6.push(`${low.ipv6}/${128 - hostBits}`);
    } else {
      v4.push(`${low.ipv4}-${high.ipv4}`);
      v6.push(`${low.ipv6}-${high.ipv6}`);
    }
  }
  return [...v4, ...v6];
}
