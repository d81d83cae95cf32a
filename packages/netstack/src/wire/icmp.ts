// ICMP for IPv4 (RFC 792, RFC 1191) and IPv6 (RFC 4443).
//
//   0 type   1 code   2 checksum (ICMPv6: over the pseudo-header too)
//   echo: 4 identifier   6 sequence number   8 data        v4 types 8 request, 0 reply; v6 128, 129
//   error: 4 unused, MTU or pointer   8 the packet it is about, from its IP header on
//     v4: 3 unreachable (codes 0 net, 1 host, 2 protocol, 3 port, 4 too big: MTU at 6), 11 time exceeded, 12 parameter problem
//     v6: 1 unreachable (codes 0 no route, 1 prohibited, 3 address, 4 port), 2 too big: MTU at 4, 3 time exceeded,
//         4 parameter problem
import type { TcpErrorCode } from '../errors.ts';
import { putU16, u16, u32 } from './bigendian.ts';

export const ICMP_HEADER = 8;

export const IcmpType = {
  ECHO_REPLY: 0,
  UNREACHABLE: 3,
  ECHO: 8,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
  V6_UNREACHABLE: 1,
  V6_TOO_BIG: 2,
  V6_TIME_EXCEEDED: 3,
  V6_PARAMETER_PROBLEM: 4,
  V6_ECHO: 128,
  V6_ECHO_REPLY: 129,
} as const;

/** What an error message says, in terms of a socket. */
export interface IcmpError {
  readonly code: Extract<TcpErrorCode, 'ECONNREFUSED' | 'EHOSTUNREACH' | 'ENETUNREACH'>;
  /** Ends a connection attempt; others may pass (RFC 9293 3.9.2.2). */
  readonly hard: boolean;
  /** Packet too big: largest packet the next hop takes. */
  readonly mtu: number | undefined;
}

const REFUSED: IcmpError = { code: 'ECONNREFUSED', hard: true, mtu: undefined };
const NO_HOST: IcmpError = { code: 'EHOSTUNREACH', hard: false, mtu: undefined };
const NO_NET: IcmpError = { code: 'ENETUNREACH', hard: false, mtu: undefined };

/** Undefined for messages that are no errors and for those to be ignored (source quench, redirect). */
export function parseIcmpError(
  version: number,
  buf: Uint8Array,
  offset: number,
): IcmpError | undefined {
  const type = buf[offset]!;
  const code = buf[offset + 1]!;
  if (version === 4) {
    switch (type) {
      case IcmpType.UNREACHABLE:
        if (code === 4) return { code: 'EHOSTUNREACH', hard: false, mtu: u16(buf, offset + 6) };
        if (code === 2 || code === 3) return REFUSED;
        return code === 0 ? NO_NET : NO_HOST;
      case IcmpType.TIME_EXCEEDED:
      case IcmpType.PARAMETER_PROBLEM:
        return NO_HOST;
      default:
        return undefined;
    }
  }
  switch (type) {
    case IcmpType.V6_UNREACHABLE:
      if (code === 4) return REFUSED;
      return code === 0 ? NO_NET : NO_HOST;
    case IcmpType.V6_TOO_BIG:
      return { code: 'EHOSTUNREACH', hard: false, mtu: u32(buf, offset + 4) };
    case IcmpType.V6_TIME_EXCEEDED:
    case IcmpType.V6_PARAMETER_PROBLEM:
      return NO_HOST;
    default:
      return undefined;
  }
}

/** The start of a packet quoted in an error message; offsets are into the buffer parsed. */
export interface QuotedPacket {
  readonly protocol: number;
  readonly source: number;
  readonly destination: number;
  readonly addressLength: number;
  /** Transport header, of which at least 8 bytes are there. */
  readonly payload: number;
}

/** Reads the quoted header at `offset`; undefined if too little of it is there. */
export function parseQuoted(
  version: number,
  buf: Uint8Array,
  offset: number,
  length: number,
): QuotedPacket | undefined {
  const v4 = version === 4;
  if (length < (v4 ? 28 : 48) || buf[offset]! >>> 4 !== version) return undefined;
  const header = v4 ? (buf[offset]! & 15) << 2 : 40;
  if (header < 20 || length < header + 8) return undefined;
  // An error about a later fragment quotes no transport header.
  if (v4 && (u16(buf, offset + 6) & 0x1fff) !== 0) return undefined;
  return {
    protocol: buf[offset + (v4 ? 9 : 6)]!,
    source: offset + (v4 ? 12 : 8),
    destination: offset + (v4 ? 16 : 24),
    addressLength: v4 ? 4 : 16,
    payload: offset + header,
  };
}

/** An echo request or reply with the checksum still zero. */
export function encodeEcho(
  version: number,
  reply: boolean,
  id: number,
  sequence: number,
  data: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(ICMP_HEADER + data.length);
  if (version === 4) out[0] = reply ? IcmpType.ECHO_REPLY : IcmpType.ECHO;
  else out[0] = reply ? IcmpType.V6_ECHO_REPLY : IcmpType.V6_ECHO;
  putU16(out, 4, id);
  putU16(out, 6, sequence);
  out.set(data, ICMP_HEADER);
  return out;
}

/** An error message about `quoted` with the checksum still zero. */
export function encodeIcmpError(type: number, code: number, quoted: Uint8Array): Uint8Array {
  const out = new Uint8Array(ICMP_HEADER + quoted.length);
  out[0] = type;
  out[1] = code;
  out.set(quoted, ICMP_HEADER);
  return out;
}
