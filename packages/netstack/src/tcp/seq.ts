// Sequence numbers modulo 2^32 (RFC 9293 3.4). Kept as unsigned 32-bit numbers; compared by signed difference, which is right
// for distances below 2^31.

export function seqAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}

/** a - b as a signed distance. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

export function seqLt(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function seqLe(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

export function seqMax(a: number, b: number): number {
  return ((a - b) | 0) < 0 ? b : a;
}
