// IP headers, both versions, into one reused record of numbers (RFC 791, RFC 8200).
//
//   IPv4   0 version 4 | header words   1 DSCP, ECN   2 total length   4 identification   6 DF 0x4000, MF 0x2000, offset / 8
//          8 TTL   9 protocol   10 header checksum   12 source   16 destination   20 options
//   IPv6   0 version 6, class, flow label   4 payload length   6 next header   7 hop limit   8 source   24 destination
//   IPv6 extension headers (0 hop-by-hop, 43 routing, 60 destination): 0 next header   1 length / 8 - 1
//   IPv6 fragment (44): 0 next header   2 offset / 8 << 3, M 0x0001   4 identification
import { copyBytes, putU16, putU32, u16, u32 } from './bigendian.ts';
import { fold, sumBytes } from './checksum.ts';

export const Protocol = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  FRAGMENT: 44,
  ICMPV6: 58,
  /** RFC 8200 4.7. */
  NOTHING: 59,
} as const;

/** Why a packet is no IP packet. */
export const IpFault = {
  NONE: 0,
  TRUNCATED: 1,
  VERSION: 2,
  HEADER_LENGTH: 3,
  CHECKSUM: 4,
  EXTENSION: 5,
} as const;

/** How many IPv6 extension headers are walked. */
const EXTENSION_LIMIT = 8;
const DEFAULT_TTL = 64;

/** The fields of one IP packet; offsets are into the buffer that was parsed. */
export class IpPacket {
  version = 4;
  /** Start of the IP header. */
  start = 0;
  protocol = 0;
  source = 0;
  destination = 0;
  /** 4 or 16. */
  addressLength = 4;
  ttl = 0;
  payload = 0;
  payloadLength = 0;
  fragmented = false;
  moreFragments = false;
  fragmentOffset = 0;
  fragmentId = 0;
  /** Sum of the words of both addresses, not folded: the constant part of the pseudo-header. */
  addressSum = 0;
}

/** Reads the headers of the packet at `buf[offset .. offset+length]`; returns an IpFault. */
export function parseIp(buf: Uint8Array, offset: number, length: number, packet: IpPacket): number {
  if (length < 20) return IpFault.TRUNCATED;
  packet.start = offset;
  const version = buf[offset]! >>> 4;
  packet.version = version;
  if (version === 4) return parseIpv4(buf, offset, length, packet);
  if (version === 6) return parseIpv6(buf, offset, length, packet);
  return IpFault.VERSION;
}

function parseIpv4(buf: Uint8Array, offset: number, length: number, packet: IpPacket): number {
  const headerLength = (buf[offset]! & 15) << 2;
  const total = u16(buf, offset + 2);
  if (headerLength < 20 || total < headerLength) return IpFault.HEADER_LENGTH;
  if (total > length) return IpFault.TRUNCATED;
  if (sumBytes(buf, offset, headerLength) !== 0xffff) return IpFault.CHECKSUM;
  const fragment = u16(buf, offset + 6);
  packet.protocol = buf[offset + 9]!;
  packet.source = offset + 12;
  packet.destination = offset + 16;
  packet.addressLength = 4;
  packet.ttl = buf[offset + 8]!;
  packet.payload = offset + headerLength;
  packet.payloadLength = total - headerLength;
  packet.moreFragments = (fragment & 0x2000) !== 0;
  packet.fragmentOffset = (fragment & 0x1fff) << 3;
  packet.fragmented = (fragment & 0x3fff) !== 0;
  packet.fragmentId = u16(buf, offset + 4);
  packet.addressSum =
    u16(buf, offset + 12) + u16(buf, offset + 14) + u16(buf, offset + 16) + u16(buf, offset + 18);
  return IpFault.NONE;
}

function parseIpv6(buf: Uint8Array, offset: number, length: number, packet: IpPacket): number {
  if (length < 40) return IpFault.TRUNCATED;
  const end = offset + 40 + u16(buf, offset + 4);
  if (end > offset + length) return IpFault.TRUNCATED;
  packet.source = offset + 8;
  packet.destination = offset + 24;
  packet.addressLength = 16;
  packet.ttl = buf[offset + 7]!;
  packet.fragmented = false;
  packet.moreFragments = false;
  packet.fragmentOffset = 0;
  packet.fragmentId = 0;
  let next = buf[offset + 6]!;
  let at = offset + 40;
  for (let walked = 0; next === 0 || next === 43 || next === 60 || next === 44; walked++) {
    if (walked === EXTENSION_LIMIT || at + 8 > end) return IpFault.EXTENSION;
    const header = next;
    next = buf[at]!;
    if (header !== Protocol.FRAGMENT) {
      const length = (buf[at + 1]! + 1) << 3;
      if (at + length > end) return IpFault.EXTENSION;
      // Hop-by-hop options come first or not at all (RFC 8200 4.1); we are nobody's router (4.4, RFC 5095).
      if (header === 0 && walked > 0) return IpFault.EXTENSION;
      if (header === 43 && buf[at + 3] !== 0) return IpFault.EXTENSION;
      if (header !== 43 && !optionsAllow(buf, at + 2, at + length)) return IpFault.EXTENSION;
      at += length;
      continue;
    }
    const fragment = u16(buf, at + 2);
    packet.fragmentOffset = fragment & 0xfff8;
    packet.moreFragments = (fragment & 1) !== 0;
    packet.fragmentId = u32(buf, at + 4);
    // An atomic fragment is a whole packet, whatever else is being reassembled (RFC 6946).
    packet.fragmented = packet.fragmentOffset !== 0 || packet.moreFragments;
    at += 8;
    // What follows the fragment header belongs to the reassembled packet.
    if (packet.fragmented) break;
  }
  packet.protocol = next;
  packet.payload = at;
  packet.payloadLength = end - at;
  packet.addressSum = addressSum(buf, offset + 8, 32);
  return IpFault.NONE;
}

/** RFC 8200 4.2: false when the options do not parse or one that we do not know asks for the packet to be discarded. */
function optionsAllow(buf: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const type = buf[at]!;
    if (type === 0) {
      at++;
      continue;
    }
    if (at + 1 >= end || (type !== 1 && type >>> 6 !== 0)) return false;
    at += 2 + buf[at + 1]!;
  }
  return at === end;
}

/** Sum of the words of addresses that lie one after another. */
export function addressSum(buf: Uint8Array, offset: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i += 2) sum += u16(buf, offset + i);
  return sum;
}

/** Length of the IP header this stack writes. */
export function ipHeaderLength(version: number): number {
  return version === 4 ? 20 : 40;
}

/**
 * Writes an IP header without options; returns its length. Whole packets are sent with DF and identification 0
 * (RFC 6864 4.1); `sum` is the sum of the words of both addresses.
 */
export function writeIpHeader(
  buf: Uint8Array,
  o: number,
  version: number,
  protocol: number,
  source: Uint8Array,
  sourceOffset: number,
  destination: Uint8Array,
  destinationOffset: number,
  sum: number,
  payloadLength: number,
  trafficClass = 0,
  hopLimit: number = DEFAULT_TTL,
): number {
  if (version === 4) {
    const total = payloadLength + 20;
    buf[o] = 0x45;
    buf[o + 1] = trafficClass;
    putU16(buf, o + 2, total);
    putU32(buf, o + 4, 0x4000);
    buf[o + 8] = hopLimit;
    buf[o + 9] = protocol;
    putU16(buf, o + 10, ~fold(sum + 0x8500 + trafficClass + total + (hopLimit << 8) + protocol));
    copyBytes(source, sourceOffset, buf, o + 12, 4);
    copyBytes(destination, destinationOffset, buf, o + 16, 4);
    return 20;
  }
  putU32(buf, o, 0x60000000 | (trafficClass << 20));
  putU16(buf, o + 4, payloadLength);
  buf[o + 6] = protocol;
  buf[o + 7] = hopLimit;
  copyBytes(source, sourceOffset, buf, o + 8, 16);
  copyBytes(destination, destinationOffset, buf, o + 24, 16);
  return 40;
}

/** Turns the header of a whole IPv4 packet into that of a fragment, or adjusts one. `offset8` counts 8-byte units. */
export function markIpv4Fragment(
  buf: Uint8Array,
  o: number,
  id: number,
  offset8: number,
  more: boolean,
): void {
  putU16(buf, o + 4, id);
  putU16(buf, o + 6, offset8 | (more ? 0x2000 : 0));
  putU16(buf, o + 10, 0);
  putU16(buf, o + 10, ~sumBytes(buf, o, 20));
}

/** Writes an IPv6 fragment header (8 bytes). */
export function writeIpv6Fragment(
  buf: Uint8Array,
  o: number,
  protocol: number,
  id: number,
  offset8: number,
  more: boolean,
): void {
  buf[o] = protocol;
  buf[o + 1] = 0;
  putU16(buf, o + 2, (offset8 << 3) | (more ? 1 : 0));
  putU32(buf, o + 4, id);
}
