// STUN binding requests and responses (RFC 8489), the part that a node and a relay need to learn a node's
// public address.
//
//   header     type u16 | attribute bytes u16 | cookie 2112a442 | transaction id [12]
//   attribute  type u16 | length u16 | value, padded to a multiple of 4
//
//   request    type 0001, always 40 bytes: SOFTWARE (8022) "tailnode", FINGERPRINT (8028) last.
//              FINGERPRINT = CRC-32 of everything before the attribute, XOR 5354554e (section 14.7); the
//              length field counts the attribute already.
//   response   type 0101: XOR-MAPPED-ADDRESS (0020; 8020 from old servers), else MAPPED-ADDRESS (0001)
//   address    0 u8 | family u8 (1 = IPv4, 2 = IPv6) | port u16 | address [4 or 16]; in the XOR form the port
//              is XORed with 2112 and the address with cookie || transaction id (section 14.2)
//
// Relays in the field answer only requests with both attributes; parseStunRequest asks for the same, so that a
// relay is no use as a reflector for other senders.
import { unmapAddr } from './mappedaddr.ts';

export const STUN_PORT = 3478;
export const STUN_REQUEST_LENGTH = 40;
export const STUN_TXID_LENGTH = 12;

const HEADER_LENGTH = 20;
const COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const MAPPED_ADDRESS = 0x0001;
const XOR_MAPPED_ADDRESS = 0x0020;
const XOR_MAPPED_ADDRESS_OLD = 0x8020;
const SOFTWARE = 0x8022;
const FINGERPRINT = 0x8028;
const FINGERPRINT_LENGTH = 8;
const FINGERPRINT_XOR = 0x5354554e;
/** "tailnode" */
const SOFTWARE_NAME: Uint8Array = new Uint8Array([0x74, 0x61, 0x69, 0x6c, 0x6e, 0x6f, 0x64, 0x65]);

const CRC_TABLE: Uint32Array = new Uint32Array(256);
for (let i = 0; i < 256; i++) {
  let c = i;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  CRC_TABLE[i] = c;
}

function crc32(bytes: Uint8Array, length: number): number {
  let c = 0xffffffff;
  for (let i = 0; i < length; i++) c = CRC_TABLE[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What a success response says. Both arrays are new, not views of the datagram. */
export interface StunResponse {
  readonly txId: Uint8Array;
  /** 4 or 16 bytes; IPv4-mapped addresses come as 4. */
  readonly addr: Uint8Array;
  readonly port: number;
}

/** Whether the datagram is STUN of any kind, looking at 8 bytes: to tell it from disco and WireGuard. */
export function isStun(datagram: Uint8Array): boolean {
  return (
    datagram.length >= HEADER_LENGTH &&
    (datagram[0]! & 0xc0) === 0 &&
    datagram[4] === 0x21 &&
    datagram[5] === 0x12 &&
    datagram[6] === 0xa4 &&
    datagram[7] === 0x42
  );
}

/** A binding request with a transaction id of 12 random bytes. */
export function encodeStunRequest(txId: Uint8Array): Uint8Array {
  if (txId.length !== STUN_TXID_LENGTH)
    throw new RangeError(`txId of ${txId.length} bytes, not 12`);
  const out = new Uint8Array(STUN_REQUEST_LENGTH);
  const view = viewOf(out);
  view.setUint16(0, BINDING_REQUEST);
  view.setUint16(2, STUN_REQUEST_LENGTH - HEADER_LENGTH);
  view.setUint32(4, COOKIE);
  out.set(txId, 8);
  view.setUint16(20, SOFTWARE);
  view.setUint16(22, SOFTWARE_NAME.length);
  out.set(SOFTWARE_NAME, 24);
  view.setUint16(32, FINGERPRINT);
  view.setUint16(34, 4);
  view.setUint32(36, (crc32(out, 32) ^ FINGERPRINT_XOR) >>> 0);
  return out;
}

/** The transaction id, a view, of a request with both attributes in order; undefined for anything else. */
export function parseStunRequest(datagram: Uint8Array): Uint8Array | undefined {
  if (!isStun(datagram)) return undefined;
  const view = viewOf(datagram);
  if (view.getUint16(0) !== BINDING_REQUEST) return undefined;
  if (view.getUint16(2) !== datagram.length - HEADER_LENGTH) return undefined;
  let sawSoftware = false;
  let at = HEADER_LENGTH;
  while (at + 4 <= datagram.length) {
    const type = view.getUint16(at);
    const length = view.getUint16(at + 2);
    const end = at + 4 + length;
    if (end > datagram.length) return undefined;
    if (type === FINGERPRINT) {
      if (length !== 4 || end !== datagram.length || !sawSoftware) return undefined;
      const expected = (crc32(datagram, at) ^ FINGERPRINT_XOR) >>> 0;
      return view.getUint32(at + 4) === expected ? datagram.subarray(8, 20) : undefined;
    }
    if (type === SOFTWARE) {
      if (length !== SOFTWARE_NAME.length) return undefined;
      for (let i = 0; i < length; i++) {
        if (datagram[at + 4 + i] !== SOFTWARE_NAME[i]) return undefined;
      }
      sawSoftware = true;
    }
    at = (end + 3) & ~3;
  }
  return undefined;
}

/** A success response with XOR-MAPPED-ADDRESS alone: 32 bytes for IPv4 (also IPv4-mapped), 44 for IPv6. */
export function encodeStunResponse(txId: Uint8Array, addr: Uint8Array, port: number): Uint8Array {
  if (txId.length !== STUN_TXID_LENGTH)
    throw new RangeError(`txId of ${txId.length} bytes, not 12`);
  const plain = unmapAddr(addr);
  const out = new Uint8Array(HEADER_LENGTH + FINGERPRINT_LENGTH + plain.length);
  const view = viewOf(out);
  view.setUint16(0, BINDING_SUCCESS);
  view.setUint16(2, out.length - HEADER_LENGTH);
  view.setUint32(4, COOKIE);
  out.set(txId, 8);
  view.setUint16(20, XOR_MAPPED_ADDRESS);
  view.setUint16(22, 4 + plain.length);
  out[25] = plain.length === 4 ? 1 : 2;
  view.setUint16(26, port ^ (COOKIE >>> 16));
  for (let i = 0; i < plain.length; i++) out[28 + i] = plain[i]! ^ out[4 + i]!;
  return out;
}

/** Reads a success response; undefined for anything else. Attributes behind the length field's end are ignored. */
export function parseStunResponse(datagram: Uint8Array): StunResponse | undefined {
  if (!isStun(datagram)) return undefined;
  const view = viewOf(datagram);
  if (view.getUint16(0) !== BINDING_SUCCESS) return undefined;
  const end = HEADER_LENGTH + view.getUint16(2);
  if (end > datagram.length) return undefined;
  let fallback: StunResponse | undefined;
  let at = HEADER_LENGTH;
  while (at + 4 <= end) {
    const type = view.getUint16(at);
    const length = view.getUint16(at + 2);
    const value = at + 4;
    if (value + length > end) return undefined;
    if (type === XOR_MAPPED_ADDRESS || type === XOR_MAPPED_ADDRESS_OLD) {
      return readAddress(datagram, value, length, true);
    }
    if (type === MAPPED_ADDRESS && fallback === undefined) {
      fallback = readAddress(datagram, value, length, false);
    }
    at = value + ((length + 3) & ~3);
  }
  return fallback;
}

function readAddress(
  datagram: Uint8Array,
  at: number,
  length: number,
  xor: boolean,
): StunResponse | undefined {
  const family = datagram[at + 1];
  const addrLength = family === 1 ? 4 : family === 2 ? 16 : 0;
  if (addrLength === 0 || length < 4 + addrLength) return undefined;
  // Not slice(): a Buffer gives a view then.
  const addr = new Uint8Array(datagram.subarray(at + 4, at + 4 + addrLength));
  let port = (datagram[at + 2]! << 8) | datagram[at + 3]!;
  if (xor) {
    port ^= COOKIE >>> 16;
    for (let i = 0; i < addrLength; i++) addr[i] = addr[i]! ^ datagram[4 + i]!;
  }
  return { txId: new Uint8Array(datagram.subarray(8, 20)), addr: unmapAddr(addr), port };
}
