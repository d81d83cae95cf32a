// TSMP, the tunnel's own control messages: IP protocol 99, inside WireGuard, never fragmented.
//
//   '!' reject  1 protocol, 1 reason, 2 source port, 2 destination port, optional 1 flags (bit 0: temporary)
//   'p' ping    8 data
//   'o' pong    8 data, 2 peerapi port or 0
//   'a' disco   32 disco public key
//
// A reject travels from the node that refuses to the one that asked; ports as in the refused packet.
import type { Node } from '@cove/protocol/tailcfg';
import { type PacketHeader, TSMP } from './filter/header.ts';

export const TSMP_REJECT = 0x21;
export const TSMP_PING = 0x70;
export const TSMP_PONG = 0x6f;
export const TSMP_DISCO = 0x61;

/** Reasons of a reject. */
export const REJECT_ACCESS_RULE = 0x41;
export const REJECT_SHIELDS_UP = 0x53;

const REJECT_TEXTS: Readonly<Record<string, string>> = {
  A: 'access rule',
  S: 'shields up',
  F: 'IP forwarding off',
  W: 'host firewall',
  T: 'unknown transit address',
};

/** A reason of a reject, for people. */
export function rejectText(reason: number): string {
  return REJECT_TEXTS[String.fromCharCode(reason)] ?? `reason ${reason}`;
}

/** Less than this behind the IP header is no TSMP message. */
export const MIN_LENGTH = 7;
export const PING_LENGTH = 9;
export const DISCO_LENGTH = 33;

/** Releases from 1.98 read advertisements of disco keys. */
const MIN_DISCO_CAP = 138;

/** Whether the node takes the disco key that a peer tells it through the tunnel. */
export function readsDiscoKeys(node: Node): boolean {
  return (node.Cap ?? 0) >= MIN_DISCO_CAP || node.Hostinfo?.App === 'cove';
}

/** A ping with 8 bytes of data; addresses are 4 or 16 bytes, both the same. */
export function encodePing(from: Uint8Array, to: Uint8Array, data: Uint8Array): Uint8Array {
  const out = new Uint8Array((from.length === 4 ? 20 : 40) + PING_LENGTH);
  const at = writeHeader(out, from, to);
  out[at] = TSMP_PING;
  out.set(data, at + 1);
  return out;
}

/** Tells the 32 bytes of our disco key; addresses as for a ping. */
export function encodeDisco(from: Uint8Array, to: Uint8Array, key: Uint8Array): Uint8Array {
  const out = new Uint8Array((from.length === 4 ? 20 : 40) + DISCO_LENGTH);
  const at = writeHeader(out, from, to);
  out[at] = TSMP_DISCO;
  out.set(key, at + 1);
  return out;
}

/** A pong for the ping whose header was parsed: addresses swapped, data copied. */
export function encodePong(
  ping: PacketHeader,
  packet: Uint8Array,
  offset: number,
  peerApiPort: number,
): Uint8Array {
  const body = offset + ping.transport;
  const out = new Uint8Array((ping.family === 4 ? 20 : 40) + 11);
  const at = answerHeader(out, ping, packet, offset);
  out[at] = TSMP_PONG;
  out.set(packet.subarray(body + 1, body + PING_LENGTH), at + 1);
  out[at + 9] = peerApiPort >> 8;
  out[at + 10] = peerApiPort;
  return out;
}

/** A refusal of the packet whose header was parsed. */
export function encodeReject(
  refused: PacketHeader,
  packet: Uint8Array,
  offset: number,
  reason: number,
): Uint8Array {
  const out = new Uint8Array((refused.family === 4 ? 20 : 40) + 7);
  const at = answerHeader(out, refused, packet, offset);
  out[at] = TSMP_REJECT;
  out[at + 1] = refused.protocol;
  out[at + 2] = reason;
  out[at + 3] = refused.srcPort >> 8;
  out[at + 4] = refused.srcPort;
  out[at + 5] = refused.dstPort >> 8;
  out[at + 6] = refused.dstPort;
  return out;
}

/** Writes the IP header that answers a packet; returns its length. */
function answerHeader(
  out: Uint8Array,
  to: PacketHeader,
  packet: Uint8Array,
  offset: number,
): number {
  const [src, length] = to.family === 4 ? [12, 4] : [8, 16];
  const sourceAt = offset + src;
  const destinationAt = sourceAt + length;
  return writeHeader(
    out,
    packet.subarray(destinationAt, destinationAt + length),
    packet.subarray(sourceAt, sourceAt + length),
  );
}

/** Writes an IP header; the rest of `out` is the payload. Returns the header's length. */
function writeHeader(out: Uint8Array, from: Uint8Array, to: Uint8Array): number {
  if (from.length === 16) {
    out[0] = 0x60;
    out[5] = out.length - 40;
    out[6] = TSMP;
    out[7] = 64;
    out.set(from, 8);
    out.set(to, 24);
    return 40;
  }
  out[0] = 0x45;
  out[3] = out.length;
  out[8] = 64;
  out[9] = TSMP;
  out.set(from, 12);
  out.set(to, 16);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += (out[i]! << 8) | out[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  out[10] = ~sum >> 8;
  out[11] = ~sum;
  return 20;
}
