// UDP header (RFC 768; RFC 8200 8.1 for IPv6).
//
//   0 source port   2 destination port   4 length of header and data   6 checksum, 0 = none (IPv4 only)   8 data
import { putU16, u16 } from './bigendian.ts';

export const UDP_HEADER = 8;
/** Largest payload that fits an IPv4 packet. */
export const MAX_UDP_PAYLOAD = 65507;

export interface UdpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Bytes of data; what the IP packet holds beyond is padding. */
  readonly dataLength: number;
  readonly checksum: number;
}

/** Undefined when the length field contradicts the `length` bytes that are there. */
export function parseUdp(buf: Uint8Array, offset: number, length: number): UdpHeader | undefined {
  if (length < UDP_HEADER) return undefined;
  const total = u16(buf, offset + 4);
  if (total < UDP_HEADER || total > length) return undefined;
  return {
    sourcePort: u16(buf, offset),
    destinationPort: u16(buf, offset + 2),
    dataLength: total - UDP_HEADER,
    checksum: u16(buf, offset + 6),
  };
}

/** Header and data with the checksum still zero. */
export function encodeUdp(
  sourcePort: number,
  destinationPort: number,
  data: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(UDP_HEADER + data.length);
  putU16(out, 0, sourcePort);
  putU16(out, 2, destinationPort);
  putU16(out, 4, out.length);
  out.set(data, UDP_HEADER);
  return out;
}
