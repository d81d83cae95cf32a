// Big-endian fields at an offset of a byte array. Unlike the Reader of the protocol package these take no view and keep no
// position: they are for headers inside larger buffers, on the packet path.

export function u16(buf: Uint8Array, o: number): number {
  return (buf[o]! << 8) | buf[o + 1]!;
}

export function u32(buf: Uint8Array, o: number): number {
  return ((buf[o]! << 24) | (buf[o + 1]! << 16) | (buf[o + 2]! << 8) | buf[o + 3]!) >>> 0;
}

export function putU16(buf: Uint8Array, o: number, value: number): void {
  buf[o] = value >>> 8;
  buf[o + 1] = value;
}

export function putU32(buf: Uint8Array, o: number, value: number): void {
  buf[o] = value >>> 24;
  buf[o + 1] = value >>> 16;
  buf[o + 2] = value >>> 8;
  buf[o + 3] = value;
}

/** Copies a short run without making a view. */
export function copyBytes(
  from: Uint8Array,
  fromOffset: number,
  to: Uint8Array,
  toOffset: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) to[toOffset + i] = from[fromOffset + i]!;
}
