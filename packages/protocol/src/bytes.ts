// Byte readers and writers, text encodings and the package's error; the only shared byte code. Multi-byte
// integers are big endian (network order) unless the name ends in `le`.

export type ProtocolErrorCode =
  /** Input ends before the structure does. */
  | 'ERR_TRUNCATED'
  /** Input breaks the format in a way more bytes would not cure. */
  | 'ERR_MALFORMED'
  /** A length or count is above the limit of the format or of the caller. */
  | 'ERR_TOO_LARGE'
  /** Key text has the wrong prefix, length or digits, or a zero key stands where none may. */
  | 'ERR_BAD_KEY'
  /** X25519 gave the all-zero point. */
  | 'ERR_WEAK_KEY'
  /** An authentication tag does not fit. */
  | 'ERR_DECRYPT'
  /** The other side refused and said so; the message carries its words. */
  | 'ERR_REMOTE'
  /** A counter that must never repeat has run out. */
  | 'ERR_EXHAUSTED'
  /** The object failed before and takes nothing more. */
  | 'ERR_CLOSED';

/** The one error of this package. Decoders throw nothing else, whatever the input. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: ProtocolErrorCode;
  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Cursor over borrowed bytes. Every read past the end throws ERR_TRUNCATED and moves nothing. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#bytes.length - this.#position;
  }

  #take(n: number): number {
    const at = this.#position;
    if (n < 0 || n > this.#bytes.length - at) {
      throw new ProtocolError(
        'ERR_TRUNCATED',
        `${n} bytes wanted at offset ${at} of ${this.#bytes.length}`,
      );
    }
    this.#position = at + n;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  u16le(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32le(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  /** A view of the next n bytes, not a copy. */
  bytes(n: number): Uint8Array {
    const at = this.#take(n);
    return this.#bytes.subarray(at, at + n);
  }

  skip(n: number): void {
    this.#take(n);
  }

  /** A view of all bytes not yet read. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }
}

/** Growing output buffer; calls chain. Values are truncated to their width as DataView does. */
export class Writer {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  #grow(n: number): number {
    const at = this.#length;
    if (at + n > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(at + n, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = at + n;
    return at;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value);
    return this;
  }

  u16le(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32le(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** The bytes written so far, as a view that later writes may or may not change: call it last. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** A new array with the parts one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Whether both hold the same bytes, in time that depends on the lengths only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) =>
  i.toString(16).padStart(2, '0'),
);

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += HEX[byte];
  return out;
}

function nibble(digit: number): number {
  return digit < 0x40 ? digit - 0x30 : (digit & 0x0f) + 9;
}

/** Bytes of hex in either case. Throws ERR_MALFORMED. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text)) {
    throw new ProtocolError('ERR_MALFORMED', 'not hex');
  }
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) {
    out[i] = (nibble(text.charCodeAt(2 * i)) << 4) | nibble(text.charCodeAt(2 * i + 1));
  }
  return out;
}

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lossyDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

export function utf8Encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Throws ERR_MALFORMED for bytes that are not UTF-8. */
export function utf8Decode(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (cause) {
    throw new ProtocolError('ERR_MALFORMED', 'not UTF-8', { cause });
  }
}

/** As utf8Decode, with U+FFFD for what is not UTF-8: for text shown to people. */
export function utf8DecodeLossy(bytes: Uint8Array): string {
  return lossyDecoder.decode(bytes);
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE64_VALUE: Int8Array = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i++) BASE64_VALUE[BASE64.charCodeAt(i)] = i;

/** Standard padded base64 (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const have = bytes.length - i;
    const triple =
      (bytes[i]! << 16) | ((have > 1 ? bytes[i + 1]! : 0) << 8) | (have > 2 ? bytes[i + 2]! : 0);
    out += BASE64[triple >> 18]! + BASE64[(triple >> 12) & 63]!;
    out += have > 1 ? BASE64[(triple >> 6) & 63]! : '=';
    out += have > 2 ? BASE64[triple & 63]! : '=';
  }
  return out;
}

/**
 * Bytes of standard padded base64; line breaks inside are skipped as Go does. Throws ERR_MALFORMED, also for
 * missing padding and for the URL alphabet.
 */
export function fromBase64(text: string): Uint8Array {
  const plain = text.includes('\n') || text.includes('\r') ? text.replace(/[\r\n]/g, '') : text;
  const padding = plain.endsWith('==') ? 2 : plain.endsWith('=') ? 1 : 0;
  if (plain.length % 4 !== 0) throw new ProtocolError('ERR_MALFORMED', 'base64 without padding');
  const digits = plain.length - padding;
  const out = new Uint8Array((plain.length / 4) * 3 - padding);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < digits; i++) {
    const code = plain.charCodeAt(i);
    const value = code < 128 ? BASE64_VALUE[code]! : -1;
    if (value < 0) throw new ProtocolError('ERR_MALFORMED', 'not base64');
    held = ((held << 6) | value) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[at++] = held >> bits;
    }
  }
  return out;
}
