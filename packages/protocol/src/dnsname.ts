// Domain names: the wire form (RFC 1035 sections 3.1 and 4.1.4), text, and the names of reverse lookups.
//
//   name     labels, then 00           label    length u8 (1..63) | bytes
//   pointer  11xxxxxx xxxxxxxx: the rest of the name stands at that offset of the message
//
// Text form: labels joined by dots, no dot at the end, '' for the root. Case is kept: compare in lower case. A dot
// or backslash inside a label is written \. and \\, other bytes outside printable ASCII \DDD (section 5.1).
import { ProtocolError, utf8Encode } from './bytes.ts';

export const MAX_NAME_LENGTH = 255;
export const MAX_LABEL_LENGTH = 63;
/** Ours: an honest name has a label between two pointers, so no more than its 127 labels; this is plenty. */
const MAX_POINTERS = 64;

export interface ParsedName {
  readonly name: string;
  /** Offset behind the name where it began, not where a pointer led. */
  readonly end: number;
}

/**
 * Reads a name at the offset. A pointer must lead before the part of the name it ends, so no loop is possible.
 * Throws ERR_TRUNCATED, ERR_MALFORMED or ERR_TOO_LARGE.
 */
export function parseName(message: Uint8Array, offset: number): ParsedName {
  let name = '';
  let wireLength = 1;
  let at = offset;
  let partStart = offset;
  let end = -1;
  let pointers = 0;
  for (;;) {
    const length = message[at];
    if (length === undefined) throw new ProtocolError('ERR_TRUNCATED', 'name without end');
    if (length === 0) return { name, end: end < 0 ? at + 1 : end };
    if (length >= 0xc0) {
      const low = message[at + 1];
      if (low === undefined) throw new ProtocolError('ERR_TRUNCATED', 'half a pointer');
      const target = ((length & 0x3f) << 8) | low;
      if (target >= partStart || ++pointers > MAX_POINTERS) {
        throw new ProtocolError('ERR_MALFORMED', 'pointer that does not lead back');
      }
      if (end < 0) end = at + 2;
      at = target;
      partStart = target;
      continue;
    }
    if (length > MAX_LABEL_LENGTH) throw new ProtocolError('ERR_MALFORMED', 'unknown label type');
    if (at + 1 + length > message.length) throw new ProtocolError('ERR_TRUNCATED', 'half a label');
    wireLength += 1 + length;
    if (wireLength > MAX_NAME_LENGTH) throw new ProtocolError('ERR_TOO_LARGE', 'name too long');
    if (name !== '') name += '.';
    name += labelText(message, at + 1, length);
    at += 1 + length;
  }
}

function labelText(message: Uint8Array, at: number, length: number): string {
  let text = '';
  for (let i = at; i < at + length; i++) {
    const byte = message[i]!;
    if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\${byte.toString().padStart(3, '0')}`;
  }
  return text;
}

/**
 * The labels of a name in text form; a dot at the end is allowed. Characters beyond ASCII go as UTF-8. Throws
 * ERR_MALFORMED for an empty label or a broken escape, ERR_TOO_LARGE for a label or name that is too long.
 */
export function nameLabels(name: string): Uint8Array[] {
  if (name === '' || name === '.') return [];
  const labels: Uint8Array[] = [];
  let label: number[] = [];
  let total = 1;
  const finish = (): void => {
    if (label.length === 0) throw new ProtocolError('ERR_MALFORMED', 'empty label');
    total += 1 + label.length;
    if (label.length > MAX_LABEL_LENGTH || total > MAX_NAME_LENGTH) {
      throw new ProtocolError('ERR_TOO_LARGE', 'label or name too long');
    }
    labels.push(Uint8Array.from(label));
    label = [];
  };
  const bytes = utf8Encode(name);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte === 0x2e) {
      finish();
      if (i === bytes.length - 1) return labels;
    } else if (byte === 0x5c) {
      const escaped = escapeAt(bytes, i + 1);
      label.push(escaped.byte);
      i += escaped.length;
    } else {
      label.push(byte);
    }
  }
  finish();
  return labels;
}

function escapeAt(bytes: Uint8Array, at: number): { byte: number; length: number } {
  const isDigit = (i: number): boolean => bytes[i]! >= 0x30 && bytes[i]! <= 0x39;
  if (at >= bytes.length) throw new ProtocolError('ERR_MALFORMED', 'broken escape');
  if (!isDigit(at)) return { byte: bytes[at]!, length: 1 };
  if (at + 3 > bytes.length || !isDigit(at + 1) || !isDigit(at + 2)) {
    throw new ProtocolError('ERR_MALFORMED', 'broken escape');
  }
  const byte = (bytes[at]! - 0x30) * 100 + (bytes[at + 1]! - 0x30) * 10 + bytes[at + 2]! - 0x30;
  if (byte > 255) throw new ProtocolError('ERR_MALFORMED', 'broken escape');
  return { byte, length: 3 };
}

/** `4.3.2.1.in-addr.arpa` (RFC 1035 section 3.5) or the 32 nibbles under ip6.arpa (RFC 3596 section 2.5). */
export function reverseName(addr: Uint8Array): string {
  if (addr.length === 4) return `${[...addr].reverse().join('.')}.in-addr.arpa`;
  if (addr.length !== 16) throw new RangeError(`address of ${addr.length} bytes, not 4 or 16`);
  let text = '';
  for (let i = 15; i >= 0; i--) {
    text += `${(addr[i]! & 15).toString(16)}.${(addr[i]! >> 4).toString(16)}.`;
  }
  return `${text}ip6.arpa`;
}

/** The address a reverse name stands for, in either case, with or without a final dot; undefined for others. */
export function parseReverseName(name: string): Uint8Array | undefined {
  const labels = name.toLowerCase().replace(/\.$/, '').split('.');
  if (labels.length === 6 && labels[4] === 'in-addr' && labels[5] === 'arpa') {
    const bytes = labels.slice(0, 4).reverse();
    if (!bytes.every((text) => /^(?:0|[1-9]\d{0,2})$/.test(text) && Number(text) < 256)) {
      return undefined;
    }
    return Uint8Array.from(bytes, Number);
  }
  if (labels.length === 34 && labels[32] === 'ip6' && labels[33] === 'arpa') {
    if (!labels.slice(0, 32).every((text) => /^[0-9a-f]$/.test(text))) return undefined;
    return Uint8Array.from({ length: 16 }, (_, i) =>
      Number.parseInt(labels[31 - 2 * i]! + labels[30 - 2 * i]!, 16),
    );
  }
  return undefined;
}
