// Port Control Protocol version 2, client side (RFC 6887): ANNOUNCE to ask who is there, MAP to open a UDP port.
// UDP to port 5351 of the default gateway; integers big endian, addresses 16 bytes, IPv4 ones IPv4-mapped.
//
//   request    0: version 2 | 1: opcode | 2: zero u16 | 4: lifetime u32, seconds | 8: client address      24 bytes
//   answer     0: version 2 | 1: opcode + 128 | 2: zero | 3: result u8 | 4: lifetime u32 | 8: epoch u32
//              12: zero, 12 bytes                                                                         24 bytes
//   MAP body   0: nonce, 12 bytes | 12: protocol u8 (17, UDP) | 13: zero, 3 bytes | 16: internal port u16
//              18: external port u16 | 20: external address                                               36 bytes
//
// ANNOUNCE is opcode 0 without a body, MAP opcode 1. In a request the external port and address are suggestions; the
// IPv4 one is unknown as ::ffff:0.0.0.0. A mapping is renewed and ended (lifetime 0) under the nonce that made it.
import { Reader, Writer } from '@cove/protocol/bytes';
import { formatAddr, parseAddr } from '@cove/protocol/netaddr';

/** Result codes, section 7.4, as far as a client tells them apart. */
export const PCP_RESULT = { success: 0, unsupportedVersion: 1, notAuthorized: 2 } as const;

export const PCP_NONCE_LENGTH = 12;

const VERSION = 2;
const ANSWER = 128;
const OPCODE = { announce: 0, map: 1 } as const;
const UDP = 17;
const HEADER = 24;
const MAP = 36;

export type PcpResponse =
  | {
      readonly type: 'announce';
      /** Seconds since the gateway's mapping table was initialised. */
      readonly epoch: number;
    }
  | {
      readonly type: 'map';
      readonly epoch: number;
      /** Seconds. */
      readonly lifetime: number;
      /** A view. */
      readonly nonce: Uint8Array;
      readonly internalPort: number;
      readonly externalPort: number;
      /** Dotted quad, or IPv6 where the gateway maps to it. */
      readonly externalAddress: string;
    }
  /** A refusal; result is not 0, lifetime says for how many seconds it stands. */
  | {
      readonly type: 'error';
      readonly opcode: number;
      readonly result: number;
      readonly lifetime: number;
      readonly epoch: number;
    };

/** The 16 bytes of an address's text. Throws RangeError for any other text. */
function mapped(address: string): Uint8Array {
  const bytes = parseAddr(address);
  if (bytes === undefined) throw new RangeError(`not an address: ${address}`);
  if (bytes.length === 16) return bytes;
  const out = new Uint8Array(16);
  out.fill(255, 10, 12);
  out.set(bytes, 12);
  return out;
}

function unmapped(bytes: Uint8Array): string {
  const text = formatAddr(bytes);
  return text.startsWith('::ffff:') && text.includes('.') ? text.slice('::ffff:'.length) : text;
}

function header(opcode: number, lifetime: number, client: string): Writer {
  return new Writer(HEADER + MAP).u8(VERSION).u8(opcode).u16(0).u32(lifetime).bytes(mapped(client));
}

/** client: the IPv4 address the request is sent from. */
export function encodeAnnounceRequest(client: string): Uint8Array {
  return header(OPCODE.announce, 0, client).finish();
}

export function encodePcpMapRequest(request: {
  /** The IPv4 address the request is sent from, section 8.1. */
  readonly client: string;
  /** 12 bytes. */
  readonly nonce: Uint8Array;
  readonly internalPort: number;
  /** 0: the gateway chooses. */
  readonly suggestedPort: number;
  /** 0.0.0.0: the gateway chooses. */
  readonly suggestedAddress: string;
  /** Seconds; 0 ends the mapping. */
  readonly lifetime: number;
}): Uint8Array {
  if (request.nonce.length !== PCP_NONCE_LENGTH) throw new RangeError('the nonce has 12 bytes');
  return header(OPCODE.map, request.lifetime, request.client)
    .bytes(request.nonce)
    .u8(UDP)
    .bytes(new Uint8Array(3))
    .u16(request.internalPort)
    .u16(request.suggestedPort)
    .bytes(mapped(request.suggestedAddress))
    .finish();
}

/** Undefined for what is no answer of this protocol; options after the body are ignored. */
export function parsePcpResponse(bytes: Uint8Array): PcpResponse | undefined {
  if (bytes.length < HEADER || bytes[0] !== VERSION || bytes[1]! < ANSWER) return undefined;
  const reader = new Reader(bytes);
  reader.skip(1);
  const opcode = reader.u8() - ANSWER;
  reader.skip(1);
  const result = reader.u8();
  const lifetime = reader.u32();
  const epoch = reader.u32();
  reader.skip(12);
  if (result !== PCP_RESULT.success) return { type: 'error', opcode, result, lifetime, epoch };
  if (opcode === OPCODE.announce) return { type: 'announce', epoch };
  if (opcode !== OPCODE.map || reader.remaining < MAP) return undefined;
  const nonce = reader.bytes(PCP_NONCE_LENGTH);
  if (reader.u8() !== UDP) return undefined;
  reader.skip(3);
  const internalPort = reader.u16();
  const externalPort = reader.u16();
  const externalAddress = unmapped(reader.bytes(16));
  return { type: 'map', epoch, lifetime, nonce, internalPort, externalPort, externalAddress };
}
