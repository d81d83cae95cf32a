// SipHash-2-4 (Aumasson, Bernstein 2012) on 32-bit halves: the keyed hash behind initial sequence numbers (RFC 6528),
// ephemeral ports (RFC 6056) and timestamp offsets. Only the low 32 bits of the result are used, and only when a connection
// is made.

/** State words as low, high pairs: v0 v1 v2 v3. Module-level scratch: hashing is not re-entrant. */
const v = new Uint32Array(8);

function add(a: number, b: number): void {
  const low = v[a]! + v[b]!;
  v[a] = low;
  v[a + 1] = v[a + 1]! + v[b + 1]! + (low > 0xffffffff ? 1 : 0);
}

/** v[a] = rotl64(v[a], bits) ^ v[b], for bits below 32. */
function rotateXor(a: number, bits: number, b: number): void {
  const low = v[a]!;
  const high = v[a + 1]!;
  v[a] = ((low << bits) | (high >>> (32 - bits))) ^ v[b]!;
  v[a + 1] = ((high << bits) | (low >>> (32 - bits))) ^ v[b + 1]!;
}

function swapHalves(a: number): void {
  const low = v[a]!;
  v[a] = v[a + 1]!;
  v[a + 1] = low;
}

function round(): void {
  add(0, 2);
  rotateXor(2, 13, 0);
  swapHalves(0);
  add(4, 6);
  rotateXor(6, 16, 4);
  add(0, 6);
  rotateXor(6, 21, 0);
  add(4, 2);
  rotateXor(2, 17, 4);
  swapHalves(4);
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

/** Both halves, low first, of the 64-bit hash of `data` under a 16-byte key. */
export function sipHash(key: Uint8Array, data: Uint8Array): [low: number, high: number] {
  const k0 = word(key, 0);
  const k1 = word(key, 4);
  const k2 = word(key, 8);
  const k3 = word(key, 12);
  v[0] = k0 ^ 0x70736575;
  v[1] = k1 ^ 0x736f6d65;
  v[2] = k2 ^ 0x6e646f6d;
  v[3] = k3 ^ 0x646f7261;
  v[4] = k0 ^ 0x6e657261;
  v[5] = k1 ^ 0x6c796765;
  v[6] = k2 ^ 0x79746573;
  v[7] = k3 ^ 0x74656462;
  const whole = data.length & ~7;
  const last = new Uint8Array(8);
  last.set(data.subarray(whole));
  last[7] = data.length;
  for (let at = 0; at <= whole; at += 8) {
    const low = at < whole ? word(data, at) : word(last, 0);
    const high = at < whole ? word(data, at + 4) : word(last, 4);
    v[6]! ^= low;
    v[7]! ^= high;
    round();
    round();
    v[0]! ^= low;
    v[1]! ^= high;
  }
  v[4]! ^= 0xff;
  for (let i = 0; i < 4; i++) round();
  return [(v[0]! ^ v[2]! ^ v[4]! ^ v[6]!) >>> 0, (v[1]! ^ v[3]! ^ v[5]! ^ v[7]!) >>> 0];
}
