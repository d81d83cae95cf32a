// What the filter and the tunnel rules need of an IP packet, read into one reused object of numbers.
//
// IPv4 (RFC 791): version/IHL, total length at 2, flags and fragment offset at 6, protocol at 9, addresses at 12, 16.
// IPv6 (RFC 8200): payload length at 4, next header at 6, addresses at 8 and 24; of the extension headers only
// Fragment (44) directly behind the base header is understood, every other one makes the packet unknown.
import { formatAddr } from '@cove/protocol/netaddr';

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const IPV6_FRAGMENT = 44;
export const ICMPV6 = 58;
export const TSMP = 99;
export const SCTP = 132;
/** Stands for a later fragment, which has no ports to look at. */
export const LATER_FRAGMENT = 255;
/** Stands for whatever could not be parsed. */
export const UNKNOWN = 0;

export const TCP_SYN = 0x02;
export const TCP_ACK = 0x10;

/** Offsets of later fragments below this would overlap transport headers: (60 + 20) / 8 blocks (RFC 1858). */
const MIN_FRAGMENT_BLOCKS = 10;

/** A parsed header. Addresses are four big-endian words; an IPv4 address is word 3, the others are 0. */
export class PacketHeader {
  /** 4, 6, or 0 when not even the version is known. */
  family = 0;
  /** IP protocol number, or UNKNOWN or LATER_FRAGMENT. */
  protocol: number = UNKNOWN;
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  srcPort = 0;
  dstPort = 0;
  tcpFlags = 0;
  icmpType = 0;
  /** Where the transport header starts, counted from the packet's first byte. */
  transport = 0;
  /** Length by the IP header, at most the length given. */
  length = 0;

  /** Reads `length` bytes at `offset`. Never throws; what does not parse has protocol UNKNOWN. */
  parse(buf: Uint8Array, offset: number, length: number): void {
    this.family = 0;
    this.protocol = UNKNOWN;
    this.srcPort = 0;
    this.dstPort = 0;
    this.tcpFlags = 0;
    this.icmpType = 0;
    this.transport = 0;
    this.length = length;
    if (length < 20) return;
    const version = buf[offset]! >> 4;
    if (version === 4) this.#parse4(buf, offset, length);
    else if (version === 6 && length >= 40) this.#parse6(buf, offset, length);
  }

  #parse4(buf: Uint8Array, offset: number, length: number): void {
    this.family = 4;
    this.src0 = this.src1 = this.src2 = this.dst0 = this.dst1 = this.dst2 = 0;
    this.src3 = u32(buf, offset + 12);
    this.dst3 = u32(buf, offset + 16);
    const headerLength = (buf[offset]! & 0x0f) * 4;
    const total = (buf[offset + 2]! << 8) | buf[offset + 3]!;
    if (headerLength < 20 || total < headerLength || total > length) return;
    this.length = total;
    this.transport = headerLength;
    const fragment = (buf[offset + 6]! << 8) | buf[offset + 7]!;
    const blocks = fragment & 0x1fff;
    if (blocks !== 0) {
      if (blocks >= MIN_FRAGMENT_BLOCKS) this.protocol = LATER_FRAGMENT;
      return;
    }
    this.#parseTransport(buf, offset, buf[offset + 9]!, false);
  }

  #parse6(buf: Uint8Array, offset: number, length: number): void {
    this.family = 6;
    this.src0 = u32(buf, offset + 8);
    this.src1 = u32(buf, offset + 12);
    this.src2 = u32(buf, offset + 16);
    this.src3 = u32(buf, offset + 20);
    this.dst0 = u32(buf, offset + 24);
    this.dst1 = u32(buf, offset + 28);
    this.dst2 = u32(buf, offset + 32);
    this.dst3 = u32(buf, offset + 36);
    const total = 40 + ((buf[offset + 4]! << 8) | buf[offset + 5]!);
    if (total > length) return;
    this.length = total;
    this.transport = 40;
    let protocol = buf[offset + 6]!;
    if (protocol === IPV6_FRAGMENT) {
      if (total < 48) return;
      const blocks = ((buf[offset + 42]! << 8) | buf[offset + 43]!) >> 3;
      if (blocks !== 0) {
        if (blocks >= MIN_FRAGMENT_BLOCKS) this.protocol = LATER_FRAGMENT;
        return;
      }
      protocol = buf[offset + 40]!;
      this.transport = 48;
    }
    if (isExtensionHeader(protocol)) return;
    this.#parseTransport(buf, offset, protocol, true);
  }

  #parseTransport(buf: Uint8Array, offset: number, protocol: number, v6: boolean): void {
    const at = offset + this.transport;
    const room = this.length - this.transport;
    switch (protocol) {
      case TCP:
        if (room < 20) return;
        this.tcpFlags = buf[at + 13]!;
        break;
      case UDP:
        if (room < 8) return;
        break;
      case SCTP:
        if (room < 12) return;
        break;
      case ICMP:
      case ICMPV6:
        // The other family's ICMP is no protocol of this family.
        if ((protocol === ICMPV6) !== v6 || room < (v6 ? 4 : 8)) return;
        this.icmpType = buf[at]!;
        this.protocol = protocol;
        return;
      case UNKNOWN:
      case LATER_FRAGMENT:
        return;
      default:
        this.protocol = protocol;
        return;
    }
    this.srcPort = (buf[at]! << 8) | buf[at + 1]!;
    this.dstPort = (buf[at + 2]! << 8) | buf[at + 3]!;
    this.protocol = protocol;
  }

  /** The source address as canonical text. Not for every packet. */
  sourceText(): string {
    return wordsText(this.family, this.src0, this.src1, this.src2, this.src3);
  }

  /** A TCP segment that opens a connection. */
  get isTcpOpen(): boolean {
    return this.protocol === TCP && (this.tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_SYN;
  }
}

function isExtensionHeader(protocol: number): boolean {
  // Hop-by-hop, routing, fragment, ESP, AH, no next header, destination options, mobility, HIP, shim6.
  switch (protocol) {
    case 43:
    case 44:
    case 50:
    case 51:
    case 59:
    case 60:
    case 135:
    case 139:
    case 140:
      return true;
    default:
      return false;
  }
}

/** Canonical text of an address in words. */
export function wordsText(family: number, w0: number, w1: number, w2: number, w3: number): string {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, w0);
  view.setUint32(4, w1);
  view.setUint32(8, w2);
  view.setUint32(12, w3);
  return formatAddr(new Uint8Array(view.buffer, family === 4 ? 12 : 0));
}

export function u32(buf: Uint8Array, at: number): number {
  return ((buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!) >>> 0;
}
