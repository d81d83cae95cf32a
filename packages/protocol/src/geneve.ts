// Geneve (RFC 8926 section 3) as peer relays use it: the fixed header alone, in front of disco or WireGuard.
//
//   version (2 bits) 0, option length (6 bits) 0 | control bit 80, critical bit 40, reserved 0 | protocol u16
//   | VNI u24, from 1 | reserved u8 = 0
//
// The control bit marks the handshake between a client and the relay; the relay passes everything else on to the
// other client as it is. No STUN, disco or WireGuard message begins like this.

export const GENEVE_HEADER_LENGTH = 8;
export const MAX_VNI = 0xff_ffff;

export const GeneveProtocol = { disco: 0x7a11, wireguard: 0x7a12 } as const;

const CONTROL = 0x80;
const VERSION = 0xc0;
const RESERVED = 0x3f;

/**
 * The protocol, a `GeneveProtocol`, behind a header at buf[offset]; 0 if there is no such header, or one without a VNI.
 */
export function geneveProtocol(buf: Uint8Array, offset = 0): number {
  if (buf.length < offset + GENEVE_HEADER_LENGTH || buf[offset + 2] !== 0x7a) return 0;
  const wrong = (buf[offset]! & VERSION) | (buf[offset + 1]! & RESERVED) | buf[offset + 7]!;
  if (wrong !== 0 || geneveVni(buf, offset) === 0) return 0;
  const protocol = (0x7a << 8) | buf[offset + 3]!;
  return protocol === GeneveProtocol.disco || protocol === GeneveProtocol.wireguard ? protocol : 0;
}

/** Ask geneveProtocol first. */
export function geneveVni(buf: Uint8Array, offset = 0): number {
  return (buf[offset + 4]! << 16) | (buf[offset + 5]! << 8) | buf[offset + 6]!;
}

/** Ask geneveProtocol first. */
export function isGeneveControl(buf: Uint8Array, offset = 0): boolean {
  return (buf[offset + 1]! & CONTROL) !== 0;
}

/** Writes the header to out[0, 8). */
export function writeGeneve(
  out: Uint8Array,
  protocol: number,
  vni: number,
  isControl: boolean,
): void {
  out[0] = 0;
  out[1] = isControl ? CONTROL : 0;
  out[2] = protocol >>> 8;
  out[3] = protocol;
  out[4] = vni >>> 16;
  out[5] = vni >>> 8;
  out[6] = vni;
  out[7] = 0;
}
