// The little a tunnel reads of an inner IP packet: version, length, addresses (RFC 791 section 3.1, RFC 8200
// section 3).

const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/** Bytes of address in packets of the version at buf[offset]: 4, 16, or 0 for neither. */
export function addressLength(buf: Uint8Array, offset: number): number {
  const version = buf[offset]! >> 4;
  return version === 4 ? 4 : version === 6 ? 16 : 0;
}

/** Length by the packet's own header; 0 unless it is a header at least and `available` bytes at most. */
export function packetLength(buf: Uint8Array, offset: number, available: number): number {
  const version = buf[offset]! >> 4;
  if (version === 4) {
    if (available < IPV4_HEADER) return 0;
    const length = (buf[offset + 2]! << 8) | buf[offset + 3]!;
    return length >= IPV4_HEADER && length <= available ? length : 0;
  }
  if (version === 6) {
    if (available < IPV6_HEADER) return 0;
    const length = IPV6_HEADER + ((buf[offset + 4]! << 8) | buf[offset + 5]!);
    return length <= available ? length : 0;
  }
  return 0;
}

/** Offset of the source address, behind which the destination follows. */
export function sourceOffset(addressBytes: number): number {
  return addressBytes === 4 ? 12 : 8;
}
