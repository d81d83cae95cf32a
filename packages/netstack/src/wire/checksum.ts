// Internet checksum (RFC 1071) and the pseudo-headers of IPv4 and IPv6 (RFC 9293 3.1, RFC 8200 8.1).
//
// Sums are 16-bit one's complement sums in network order, folded but not complemented, so that they can be
// added: checksum field = ~(sum(pseudo-header) + sum(header and payload)).
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Folds a sum of 16-bit words (below 2^31) to 16 bits. */
export function fold(sum: number): number {
  let s = (sum & 0xffff) + (sum >>> 16);
  s = (s & 0xffff) + (s >>> 16);
  return s;
}

/** The plain definition: big-endian pairs, an odd last byte padded with zero. */
export function sumBytes(buf: Uint8Array, offset: number, length: number): number {
  let sum = 0;
  const even = offset + (length & ~1);
  for (let i = offset; i < even; i += 2) sum += (buf[i]! << 8) | buf[i + 1]!;
  if (length & 1) sum += buf[even]! << 8;
  return fold(sum);
}

/**
 * Sums ranges of one memory after another; keeps word views of the memory last seen. Ranges that start on a
 * multiple of 4 are summed 32 bits at a time (the sum of 16-bit words is the same in either byte order).
 */
export class InternetChecksum {
  #memory: ArrayBufferLike | undefined;
  #u8: Uint8Array = new Uint8Array(0);
  #u16: Uint16Array = new Uint16Array(0);
  #u32: Uint32Array = new Uint32Array(0);

  sum(buf: Uint8Array, offset: number, length: number): number {
    const start = buf.byteOffset + offset;
    if (!LITTLE_ENDIAN || (start & 3) !== 0) return sumBytes(buf, offset, length);
    if (buf.buffer !== this.#memory) this.#adopt(buf.buffer);
    const u32 = this.#u32;
    // A sum of 32-bit words stays exact in a double: 64 KiB adds up to less than 2^46.
    let s = 0;
    let i = start >>> 2;
    const words = length >>> 2;
    const unrolled = i + (words & ~7);
    const end = i + words;
    for (; i < unrolled; i += 8) {
      s +=
        u32[i]! +
        u32[i + 1]! +
        u32[i + 2]! +
        u32[i + 3]! +
        u32[i + 4]! +
        u32[i + 5]! +
        u32[i + 6]! +
        u32[i + 7]!;
    }
    for (; i < end; i++) s += u32[i]!;
    let tail = start + (length & ~3);
    if (length & 2) {
      s += this.#u16[tail >>> 1]!;
      tail += 2;
    }
    if (length & 1) s += this.#u8[tail]!;
    const high = Math.floor(s / 0x100000000);
    const low = s >>> 0;
    const t = fold((low & 0xffff) + (low >>> 16) + (high & 0xffff) + (high >>> 16));
    return ((t & 0xff) << 8) | (t >>> 8);
  }

  #adopt(memory: ArrayBufferLike): void {
    this.#memory = memory;
    this.#u8 = new Uint8Array(memory);
    this.#u16 = new Uint16Array(memory, 0, memory.byteLength >>> 1);
    this.#u32 = new Uint32Array(memory, 0, memory.byteLength >>> 2);
  }
}
