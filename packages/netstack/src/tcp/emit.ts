// Writing of segments: header, options, payload and checksum into a slot (RFC 9293 3.1, RFC 7323, RFC 2018).
import { Counter } from '../counters.ts';
import type { Route } from '../output.ts';
import { putU16 } from '../wire/bigendian.ts';
import { fold } from '../wire/checksum.ts';
import { type IpPacket, ipHeaderLength, Protocol, writeIpHeader } from '../wire/packet.ts';
import {
  Flag,
  MAX_SACK_BLOCKS,
  type TcpSegment,
  tcpHeaderLength,
  writeTcpHeader,
} from '../wire/tcp.ts';
import type { TcpContext } from './context.ts';
import { seqAdd, seqDiff } from './seq.ts';
import { AckDue, State, type Tcb } from './tcb.ts';
import { offerWindow } from './window.ts';

/** Room IP and TCP headers without options leave in a packet. */
export function largestSegment(mtu: number, version: number): number {
  return mtu - ipHeaderLength(version) - 20;
}

/** Our timestamp clock: milliseconds plus a per-connection offset (RFC 7323 5.4). */
export function timestampNow(tcb: Tcb, now: number): number {
  return (Math.floor(now) + tcb.tsOffset) >>> 0;
}

/**
 * Sends one segment of an established or closing connection: `length` bytes of the send buffer beginning at sequence number
 * `seq`, with the present acknowledgement and window.
 */
export function emitSegment(
  ctx: TcpContext,
  tcb: Tcb,
  seq: number,
  flags: number,
  length: number,
): void {
  const out = ctx.out;
  startSegment(
    tcb,
    out,
    length === 0 && seq === tcb.sndNxt ? withinWindow(tcb, flags) : seq,
    flags,
  );
  out.ack = tcb.rcvNxt;
  out.window = offerWindow(tcb);
  if (tcb.tsOk) {
    out.hasTimestamps = true;
    out.tsVal = timestampNow(tcb, ctx.now);
    out.tsEcr = tcb.tsRecent;
  }
  if (tcb.sackOk) addSackBlocks(ctx, tcb, length);
  writeSegment(ctx, tcb, length);
  tcb.lastAckSent = tcb.rcvNxt;
  tcb.ackDue = AckDue.NONE;
  tcb.delayedAckAt = Number.POSITIVE_INFINITY;
  tcb.unackedSegments = 0;
  tcb.unackedFull = 0;
}

/**
 * Where an acknowledgement without data stands: at SND.NXT, but not beyond a window that the peer has shrunk since. There it
 * would be dropped, and two full ends would wait for each other's acknowledgements for ever.
 */
function withinWindow(tcb: Tcb, flags: number): number {
  if (flags & (Flag.FIN | Flag.SYN | Flag.RST)) return tcb.sndNxt;
  return seqDiff(tcb.sndNxt, tcb.sndUna) > tcb.sndWnd ? seqAdd(tcb.sndUna, tcb.sndWnd) : tcb.sndNxt;
}

/** SYN or, in SYN-RECEIVED, SYN-ACK, with the options we offer or accept. */
export function emitSyn(ctx: TcpContext, tcb: Tcb): void {
  const out = ctx.out;
  const { options } = ctx;
  const reply = tcb.state === State.SYN_RECEIVED;
  startSegment(tcb, out, tcb.iss, reply ? Flag.SYN | Flag.ACK : Flag.SYN);
  out.ack = reply ? tcb.rcvNxt : 0;
  // RFC 7323 2.2: the window of a SYN is never scaled.
  out.window = Math.min(tcb.rcvBuf, 65535);
  if (reply) {
    tcb.rcvAdv = seqAdd(tcb.rcvNxt, out.window);
    tcb.lastAckSent = tcb.rcvNxt;
    tcb.ackDue = AckDue.NONE;
  }
  out.mss = largestSegment(ctx.mtu, tcb.local.version);
  out.sackPermitted = reply ? tcb.sackOk : options.sack;
  if (reply ? tcb.scaleOk : options.windowScaling) out.windowScale = tcb.rcvShift;
  if (reply ? tcb.tsOk : options.timestamps) {
    out.hasTimestamps = true;
    out.tsVal = timestampNow(tcb, ctx.now);
    out.tsEcr = reply ? tcb.tsRecent : 0;
  }
  writeSegment(ctx, tcb, 0);
}

/** RST of a connection we give up, at SND.NXT (RFC 9293 3.10.5). */
export function emitReset(ctx: TcpContext, tcb: Tcb): void {
  const out = ctx.out;
  startSegment(tcb, out, tcb.sndNxt, Flag.RST | Flag.ACK);
  out.ack = tcb.rcvNxt;
  out.window = 0;
  writeSegment(ctx, tcb, 0);
  ctx.counters.add(Counter['tcp.resets.sent']);
}

/** RST for an unacceptable acknowledgement, at the sequence number it names (RFC 9293 3.5.2, groups 1 and 2). */
export function emitResetAt(ctx: TcpContext, tcb: Tcb, seq: number): void {
  startSegment(tcb, ctx.out, seq, Flag.RST);
  ctx.out.ack = 0;
  ctx.out.window = 0;
  writeSegment(ctx, tcb, 0);
  ctx.counters.add(Counter['tcp.resets.sent']);
}

/** RST for a segment that belongs to no connection (RFC 9293 3.10.7.1); `route` leads back to its sender. */
export function replyReset(ctx: TcpContext, route: Route, segment: TcpSegment): void {
  if (segment.flags & Flag.RST) return;
  const out = ctx.out;
  out.clearOptions();
  out.sourcePort = segment.destinationPort;
  out.destinationPort = segment.sourcePort;
  out.urgent = 0;
  out.window = 0;
  if (segment.flags & Flag.ACK) {
    out.seq = segment.ack;
    out.ack = 0;
    out.flags = Flag.RST;
  } else {
    out.seq = 0;
    out.ack = seqAdd(segment.seq, segment.sequenceLength);
    out.flags = Flag.RST | Flag.ACK;
  }
  const packet = new Uint8Array(20);
  writeTcpHeader(packet, 0, out);
  ctx.writer.send(route, Protocol.TCP, packet, 16, true);
  ctx.counters.add(Counter['tcp.resets.sent']);
}

/** The way back to the sender of a packet. */
export function replyRoute(buf: Uint8Array, packet: IpPacket): Route {
  return {
    version: packet.version,
    source: buf,
    sourceOffset: packet.destination,
    destination: buf,
    destinationOffset: packet.source,
  };
}

function startSegment(tcb: Tcb, out: TcpSegment, seq: number, flags: number): void {
  out.clearOptions();
  out.sourcePort = tcb.localPort;
  out.destinationPort = tcb.remotePort;
  out.seq = seq;
  out.flags = flags;
  out.urgent = 0;
}

/** RFC 2018 4, RFC 2883: a duplicate first, then the latest intervals, as many as fit beside the payload. */
function addSackBlocks(ctx: TcpContext, tcb: Tcb, length: number): void {
  const intervals = tcb.outOfOrder?.intervals;
  const duplicate = tcb.dsackLeft !== tcb.dsackRight;
  if (intervals === undefined && !duplicate) return;
  const { out } = ctx;
  const room = tcb.mss - length;
  const limit = Math.min(tcb.tsOk ? 3 : MAX_SACK_BLOCKS, (room - 4) >> 3);
  if (limit <= 0) return;
  if (duplicate) {
    out.sackLeft[0] = tcb.dsackLeft;
    out.sackRight[0] = tcb.dsackRight;
    out.sackCount = 1;
    tcb.dsackLeft = 0;
    tcb.dsackRight = 0;
  }
  intervals?.report(out, limit);
}

function writeSegment(ctx: TcpContext, tcb: Tcb, length: number): void {
  const { out, writer } = ctx;
  writer.begin();
  const { buffer, offset } = writer;
  const headerLength = tcpHeaderLength(out);
  const segmentLength = headerLength + length;
  const at =
    offset +
    writeIpHeader(
      buffer,
      offset,
      tcb.local.version,
      Protocol.TCP,
      tcb.local.bytes,
      0,
      tcb.remote.bytes,
      0,
      tcb.addressSum,
      segmentLength,
      tcb.trafficClass,
      tcb.hopLimit,
    );
  writeTcpHeader(buffer, at, out);
  if (length > 0) tcb.ring.copy(seqDiff(out.seq, tcb.ringSeq), length, buffer, at + headerLength);
  const sum = writer.checksum.sum(buffer, at, segmentLength);
  putU16(buffer, at + 16, ~fold(sum + tcb.addressSum + Protocol.TCP + segmentLength));
  ctx.counters.add(Counter['tcp.segments.sent']);
  writer.commit(at - offset + segmentLength);
}
