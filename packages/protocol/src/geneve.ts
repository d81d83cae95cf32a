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
const RESERVED = 0x3f;

/** The protocol behind the header, a `GeneveProtocol`; 0 if there is no such header, or one without a VNI. */
export function geneveProtocol(datagram: Uint8Array): number {
  if (datagram.length < GENEVE_HEADER_LENGTH || datagram[2] !== 0x7a) return 0;
  if ((datagram[0]! & 0xc0) !== 0 || (datagram[1]! & RESERVED) !== 0 || datagram[7] !== 0) return 0;
  if (geneveVni(datagram) === 0) return 0;
  const protocol = (datagram[2]! << 8) | datagram[3]!;
  return protocol === GeneveProtocol.disco || protocol === GeneveProtocol.wireguard ? protocol : 0;
}

/** Ask geneveProtocol first. */
export function geneveVni(datagram: Uint8Array): number {
  return (datagram[4]! << 16) | (datagram[5]! << 8) | datagram[6]!;
}

/** Ask geneveProtocol first. */
export function isGeneveControl(datagram: Uint8Array): boolean {
  return (datagram[1]! & CONTROL) !== 0;
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
