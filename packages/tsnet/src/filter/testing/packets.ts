// Hand-made IP packets for tests: correct headers, no checksums, an empty payload.
import { parseAddr } from '@cove/protocol/netaddr';

export interface PacketFacts {
  readonly src: string;
  readonly dst: string;
  /** IP protocol number. */
  readonly protocol: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly tcpFlags?: number;
  readonly icmpType?: number;
  /** Fragment offset in 8-byte blocks. */
  readonly fragment?: number;
  readonly payload?: Uint8Array;
}

export function ipPacket(facts: PacketFacts): Uint8Array {
  const src = parseAddr(facts.src)!;
  const dst = parseAddr(facts.dst)!;
  const body = new Uint8Array(20 + (facts.payload?.length ?? 0));
  if (facts.payload) body.set(facts.payload);
  if (facts.protocol === 1 || facts.protocol === 58) body[0] = facts.icmpType ?? 0;
  else if (facts.protocol === 6 || facts.protocol === 17 || facts.protocol === 132) {
    const view = new DataView(body.buffer);
    view.setUint16(0, facts.srcPort ?? 0);
    view.setUint16(2, facts.dstPort ?? 0);
    if (facts.protocol === 6) body[13] = facts.tcpFlags ?? 0;
  }
  const fragment = facts.fragment;
  if (src.length === 4) {
    const out = new Uint8Array(20 + body.length);
    const view = new DataView(out.buffer);
    out[0] = 0x45;
    view.setUint16(2, out.length);
    if (fragment !== undefined) view.setUint16(6, fragment);
    out[8] = 64;
    out[9] = facts.protocol;
    out.set(src, 12);
    out.set(dst, 16);
    out.set(body, 20);
    return out;
  }
  const extension = fragment === undefined ? 0 : 8;
  const out = new Uint8Array(40 + extension + body.length);
  const view = new DataView(out.buffer);
  out[0] = 0x60;
  view.setUint16(4, extension + body.length);
  out[6] = fragment === undefined ? facts.protocol : 44;
  out[7] = 64;
  out.set(src, 8);
  out.set(dst, 24);
  if (fragment !== undefined) {
    out[40] = facts.protocol;
    view.setUint16(42, fragment << 3);
  }
  out.set(body, 40 + extension);
  return out;
}
