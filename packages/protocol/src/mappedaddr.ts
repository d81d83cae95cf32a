// The 16-byte form in which disco and DERP carry every address: IPv6 as it is, IPv4 as IPv4-mapped IPv6
// (RFC 4291 section 2.5.5.2), ten zero bytes, ff ff, then the four bytes. Paths are compared by address, so what
// arrives mapped is unmapped at once.

/** The 4 bytes of an IPv4-mapped address as a new array; any other address unchanged, not copied. */
export function unmapAddr(addr: Uint8Array): Uint8Array {
  if (addr.length !== 16 || addr[10] !== 0xff || addr[11] !== 0xff) return addr;
  for (let i = 0; i < 10; i++) if (addr[i] !== 0) return addr;
  return new Uint8Array(addr.subarray(12));
}

/** Writes the 16-byte form of an address of 4 or 16 bytes at the offset. Throws RangeError for other lengths. */
export function writeMappedAddr(out: Uint8Array, offset: number, addr: Uint8Array): void {
  if (addr.length === 16) {
    out.set(addr, offset);
    return;
  }
  if (addr.length !== 4) throw new RangeError(`address of ${addr.length} bytes, not 4 or 16`);
  out.fill(0, offset, offset + 10);
  out[offset + 10] = 0xff;
  out[offset + 11] = 0xff;
  out.set(addr, offset + 12);
}

/** Reads 16 bytes at the offset as a new array of 4 (IPv4-mapped) or 16 bytes. */
export function readMappedAddr(bytes: Uint8Array, offset: number): Uint8Array {
  return unmapAddr(new Uint8Array(bytes.subarray(offset, offset + 16)));
}
