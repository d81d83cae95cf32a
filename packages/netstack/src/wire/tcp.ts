// TCP header and options (RFC 9293 3.1, 3.2; RFC 7323 2, 3; RFC 2018 2, 3).
//
//   0 source port   2 destination port   4 sequence number   8 acknowledgement number
//   12 data offset in words << 4   13 flags   14 window   16 checksum   18 urgent pointer   20 options
//
//   kind 0 end of list   1 no-operation   others: kind, length of the whole option, value
//   2 MSS (4): u16   3 window scale (3): u8   4 SACK permitted (2)   5 SACK (2 + 8n): n x left edge u32, right edge u32
//   8 timestamps (10): TSval u32, TSecr u32
import { FLOAT_ZERO } from '../floatzero.ts';
import { putU16, putU32, u16, u32 } from './bigendian.ts';

export const Flag = {
  FIN: 0x01,
  SYN: 0x02,
  RST: 0x04,
  PSH: 0x08,
  ACK: 0x10,
  URG: 0x20,
  ECE: 0x40,
  CWR: 0x80,
} as const;

const Kind = {
  END: 0,
  NOP: 1,
  MSS: 2,
  WINDOW_SCALE: 3,
  SACK_OK: 4,
  SACK: 5,
  TIMESTAMPS: 8,
} as const;

/** RFC 7323 2.3: a larger shift is used as 14. */
export const MAX_WINDOW_SCALE = 14;
export const MAX_SACK_BLOCKS = 4;

/** One segment's header, read from or written to the wire; reused from segment to segment. */
export class TcpSegment {
  sourcePort = 0;
  destinationPort = 0;
  seq: number = FLOAT_ZERO;
  ack: number = FLOAT_ZERO;
  flags = 0;
  /** As in the header, not scaled. */
  window = 0;
  urgent = 0;
  /** Offset of the payload in the parsed buffer. */
  payload = 0;
  payloadLength = 0;
  /** 0 when the option is absent. */
  mss = 0;
  /** -1 when the option is absent. */
  windowScale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsVal: number = FLOAT_ZERO;
  tsEcr: number = FLOAT_ZERO;
  sackCount = 0;
  readonly sackLeft: Uint32Array = new Uint32Array(MAX_SACK_BLOCKS);
  readonly sackRight: Uint32Array = new Uint32Array(MAX_SACK_BLOCKS);

  clearOptions(): void {
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
  }

  /** Sequence space the segment takes: payload, SYN and FIN. */
  get sequenceLength(): number {
    return this.payloadLength + ((this.flags >>> 1) & 1) + (this.flags & 1);
  }
}

/** Reads header and options; false when the data offset is below 5 or beyond the segment. */
export function parseTcp(
  buf: Uint8Array,
  offset: number,
  length: number,
  segment: TcpSegment,
): boolean {
  if (length < 20) return false;
  const headerLength = (buf[offset + 12]! >>> 4) << 2;
  if (headerLength < 20 || headerLength > length) return false;
  segment.sourcePort = u16(buf, offset);
  segment.destinationPort = u16(buf, offset + 2);
  segment.seq = u32(buf, offset + 4);
  segment.ack = u32(buf, offset + 8);
  segment.flags = buf[offset + 13]!;
  segment.window = u16(buf, offset + 14);
  segment.urgent = u16(buf, offset + 18);
  segment.payload = offset + headerLength;
  segment.payloadLength = length - headerLength;
  segment.clearOptions();
  if (headerLength > 20) parseOptions(buf, offset + 20, offset + headerLength, segment);
  return true;
}

/** Unknown kinds and known kinds of wrong length are skipped; an impossible length ends the list (MUST-7). */
function parseOptions(buf: Uint8Array, start: number, end: number, segment: TcpSegment): void {
  const syn = (segment.flags & Flag.SYN) !== 0;
  let at = start;
  while (at < end) {
    const kind = buf[at]!;
    if (kind === Kind.END) return;
    if (kind === Kind.NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return;
    const length = buf[at + 1]!;
    if (length < 2 || at + length > end) return;
    if (kind === Kind.TIMESTAMPS && length === 10) {
      segment.hasTimestamps = true;
      segment.tsVal = u32(buf, at + 2);
      segment.tsEcr = u32(buf, at + 6);
    } else if (kind === Kind.SACK && length > 2 && (length - 2) % 8 === 0) {
      const count = Math.min((length - 2) >>> 3, MAX_SACK_BLOCKS);
      for (let i = 0; i < count; i++) {
        segment.sackLeft[i] = u32(buf, at + 2 + 8 * i);
        segment.sackRight[i] = u32(buf, at + 6 + 8 * i);
      }
      segment.sackCount = count;
    } else if (syn && kind === Kind.MSS && length === 4) {
      segment.mss = u16(buf, at + 2);
    } else if (syn && kind === Kind.WINDOW_SCALE && length === 3) {
      segment.windowScale = Math.min(buf[at + 2]!, MAX_WINDOW_SCALE);
    } else if (syn && kind === Kind.SACK_OK && length === 2) {
      segment.sackPermitted = true;
    }
    at += length;
  }
}

/** Length of header and options that `writeTcpHeader` would write. */
export function tcpHeaderLength(segment: TcpSegment): number {
  let length = 20;
  if (segment.mss !== 0) length += 4;
  if (segment.hasTimestamps) length += 12;
  else if (segment.sackPermitted) length += 4;
  if (segment.windowScale >= 0) length += 4;
  if (segment.sackCount > 0) length += 4 + 8 * segment.sackCount;
  return length;
}

/** Writes header and options with the checksum field zero; returns their length, a multiple of 4. */
export function writeTcpHeader(buf: Uint8Array, o: number, segment: TcpSegment): number {
  putU16(buf, o, segment.sourcePort);
  putU16(buf, o + 2, segment.destinationPort);
  putU32(buf, o + 4, segment.seq);
  putU32(buf, o + 8, segment.ack);
  buf[o + 13] = segment.flags;
  putU16(buf, o + 14, segment.window);
  putU16(buf, o + 16, 0);
  putU16(buf, o + 18, segment.urgent);
  let at = o + 20;
  if (segment.mss !== 0) {
    putU32(buf, at, (Kind.MSS << 24) | (4 << 16) | segment.mss);
    at += 4;
  }
  if (segment.hasTimestamps) {
    const lead = segment.sackPermitted ? (Kind.SACK_OK << 8) | 2 : (Kind.NOP << 8) | Kind.NOP;
    putU32(buf, at, (lead << 16) | (Kind.TIMESTAMPS << 8) | 10);
    putU32(buf, at + 4, segment.tsVal);
    putU32(buf, at + 8, segment.tsEcr);
    at += 12;
  } else if (segment.sackPermitted) {
    putU32(buf, at, (Kind.NOP << 24) | (Kind.NOP << 16) | (Kind.SACK_OK << 8) | 2);
    at += 4;
  }
  if (segment.windowScale >= 0) {
    putU32(buf, at, (Kind.NOP << 24) | (Kind.WINDOW_SCALE << 16) | (3 << 8) | segment.windowScale);
    at += 4;
  }
  if (segment.sackCount > 0) {
    const length = 2 + 8 * segment.sackCount;
    putU32(buf, at, (Kind.NOP << 24) | (Kind.NOP << 16) | (Kind.SACK << 8) | length);
    at += 4;
    for (let i = 0; i < segment.sackCount; i++) {
      putU32(buf, at, segment.sackLeft[i]!);
      putU32(buf, at + 4, segment.sackRight[i]!);
      at += 8;
    }
  }
  buf[o + 12] = ((at - o) >>> 2) << 4;
  return at - o;
}
