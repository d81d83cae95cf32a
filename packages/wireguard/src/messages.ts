// The four WireGuard messages (white paper section 5.4). Integers are little endian; the first word is the type.
//
//   1 initiation     0 type  4 sender   8 ephemeral 32   40 static 48   88 timestamp 28   116 mac1 16  132 mac2 16
//   2 response       0 type  4 sender   8 receiver       12 ephemeral 32  44 empty 16      60 mac1 16   76 mac2 16
//   3 cookie reply   0 type  4 receiver 8 nonce 24       32 cookie 32
//   4 transport      0 type  4 receiver 8 counter u64    16 sealed packet, at least its 16-byte tag
//
//   initiator -> responder  1
//   responder -> initiator  2     or 3 while under load: the initiator then repeats 1 with mac2
//   initiator -> responder  4     confirms the keys; only then may the responder send
import { HEADER_LENGTH, TAG_LENGTH } from './constants.ts';

export const INITIATION = 1;
export const RESPONSE = 2;
export const COOKIE_REPLY = 3;
export const TRANSPORT = 4;

export const INITIATION_LENGTH = 148;
export const RESPONSE_LENGTH = 92;
export const COOKIE_REPLY_LENGTH = 64;
export const MIN_TRANSPORT_LENGTH: number = HEADER_LENGTH + TAG_LENGTH;

export function readU32(buf: Uint8Array, at: number): number {
  return (buf[at]! | (buf[at + 1]! << 8) | (buf[at + 2]! << 16) | (buf[at + 3]! << 24)) >>> 0;
}

export function writeU32(buf: Uint8Array, at: number, value: number): void {
  buf[at] = value;
  buf[at + 1] = value >>> 8;
  buf[at + 2] = value >>> 16;
  buf[at + 3] = value >>> 24;
}

/** Type of the message at buf[offset, offset + length), 0 if its length or reserved bytes fit none. */
export function messageType(buf: Uint8Array, offset: number, length: number): number {
  if (length < MIN_TRANSPORT_LENGTH) return 0;
  if ((buf[offset + 1]! | buf[offset + 2]! | buf[offset + 3]!) !== 0) return 0;
  switch (buf[offset]) {
    case TRANSPORT:
      return TRANSPORT;
    case INITIATION:
      return length === INITIATION_LENGTH ? INITIATION : 0;
    case RESPONSE:
      return length === RESPONSE_LENGTH ? RESPONSE : 0;
    case COOKIE_REPLY:
      return length === COOKIE_REPLY_LENGTH ? COOKIE_REPLY : 0;
    default:
      return 0;
  }
}

/** The parts of a message are views of it. The macs are read and written by cookie.ts. */
export interface Initiation {
  readonly sender: number;
  readonly ephemeral: Uint8Array;
  readonly sealedStatic: Uint8Array;
  readonly sealedTimestamp: Uint8Array;
}

export interface Response {
  readonly sender: number;
  readonly receiver: number;
  readonly ephemeral: Uint8Array;
  readonly sealedEmpty: Uint8Array;
}

export interface CookieReply {
  readonly receiver: number;
  readonly nonce: Uint8Array;
  readonly sealedCookie: Uint8Array;
}

/** For a message that messageType found to be one; likewise the other two. */
export function parseInitiation(message: Uint8Array): Initiation {
  return {
    sender: readU32(message, 4),
    ephemeral: message.subarray(8, 40),
    sealedStatic: message.subarray(40, 88),
    sealedTimestamp: message.subarray(88, 116),
  };
}

/** With both macs zero. */
export function encodeInitiation(value: Initiation): Uint8Array {
  const message = new Uint8Array(INITIATION_LENGTH);
  message[0] = INITIATION;
  writeU32(message, 4, value.sender);
  message.set(value.ephemeral, 8);
  message.set(value.sealedStatic, 40);
  message.set(value.sealedTimestamp, 88);
  return message;
}

export function parseResponse(message: Uint8Array): Response {
  return {
    sender: readU32(message, 4),
    receiver: readU32(message, 8),
    ephemeral: message.subarray(12, 44),
    sealedEmpty: message.subarray(44, 60),
  };
}

/** With both macs zero. */
export function encodeResponse(value: Response): Uint8Array {
  const message = new Uint8Array(RESPONSE_LENGTH);
  message[0] = RESPONSE;
  writeU32(message, 4, value.sender);
  writeU32(message, 8, value.receiver);
  message.set(value.ephemeral, 12);
  message.set(value.sealedEmpty, 44);
  return message;
}

export function parseCookieReply(message: Uint8Array): CookieReply {
  return {
    receiver: readU32(message, 4),
    nonce: message.subarray(8, 32),
    sealedCookie: message.subarray(32, 64),
  };
}

export function encodeCookieReply(value: CookieReply): Uint8Array {
  const message = new Uint8Array(COOKIE_REPLY_LENGTH);
  message[0] = COOKIE_REPLY;
  writeU32(message, 4, value.receiver);
  message.set(value.nonce, 8);
  message.set(value.sealedCookie, 32);
  return message;
}
