// Text as templates see it: a byte string, one char per byte of UTF-8. Bytes that are no UTF-8 may stand in it.

const ASCII = /^[\u0000-\u007f]*$/;

/** A byte of a request that belongs to no character, as a lone surrogate: U+DC00 and its value. */
const LONE_BYTE = /([\udc80-\udcff])/u;

/** Text to byte string; what `fromBytes` kept of bytes that are no UTF-8 is those bytes, other lone surrogates are U+FFFD. */
export function toBytes(text: string): string {
  if (ASCII.test(text)) return text;
  const encode = (part: string): string => Buffer.from(part, 'utf8').toString('latin1');
  if (!LONE_BYTE.test(text)) return encode(text);
  const byte = (surrogate: string): string =>
    String.fromCharCode(surrogate.charCodeAt(0) - LONE_BYTES);
  return text
    .split(LONE_BYTE)
    .map((part, i) => (i % 2 === 1 ? byte(part) : encode(part)))
    .join('');
}

const LONE_BYTES = 0xdc00;

/** Byte string to text that `toBytes` takes back: each byte that belongs to no character becomes a lone surrogate. */
export function fromBytes(bytes: string): string {
  if (ASCII.test(bytes)) return bytes;
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const size = sizeAt(bytes, at);
    text += String.fromCodePoint(
      size === 0 ? LONE_BYTES + bytes.charCodeAt(at) : decode(bytes.slice(at, at + size)),
    );
    at += size || 1;
  }
  return text;
}

/** Byte string to text; each byte that belongs to no character becomes U+FFFD. */
export function toText(bytes: string): string {
  if (ASCII.test(bytes)) return bytes;
  let text = '';
  for (const { rune } of runes(bytes)) text += String.fromCodePoint(rune);
  return text;
}

export interface Rune {
  /** Code point; U+FFFD for a byte that belongs to no character. */
  readonly rune: number;
  /** The bytes it was read from. */
  readonly bytes: string;
}

/** `bytes` is a byte string. */
export function* runes(bytes: string): Generator<Rune> {
  for (let at = 0; at < bytes.length; ) {
    const size = sizeAt(bytes, at);
    const part = bytes.slice(at, at + (size || 1));
    yield { rune: size === 0 ? 0xfffd : decode(part), bytes: part };
    at += part.length;
  }
}

export function countRunes(bytes: string): number {
  if (ASCII.test(bytes)) return bytes.length;
  let count = 0;
  for (let at = 0; at < bytes.length; at += sizeAt(bytes, at) || 1) count++;
  return count;
}

/** Byte string of one code point; U+FFFD for what is none. */
export function encodeRune(rune: number): string {
  if (rune >= 0 && rune < 0x80) return String.fromCharCode(rune);
  const valid = rune >= 0 && rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
  return Buffer.from(String.fromCodePoint(valid ? rune : 0xfffd)).toString('latin1');
}

const TAIL = '[\\x80-\\xbf]';
/** RFC 3629 section 4. */
const CHARACTER = new RegExp(
  `[\\x00-\\x7f]|[\\xc2-\\xdf]${TAIL}|\\xe0[\\xa0-\\xbf]${TAIL}|[\\xe1-\\xec\\xee\\xef]${TAIL}{2}|\\xed[\\x80-\\x9f]${TAIL}|` +
    `\\xf0[\\x90-\\xbf]${TAIL}{2}|[\\xf1-\\xf3]${TAIL}{3}|\\xf4[\\x80-\\x8f]${TAIL}{2}`,
  'y',
);

/** Bytes of the character there; 0 when there is none. */
function sizeAt(bytes: string, at: number): number {
  if (bytes.charCodeAt(at) < 0x80) return 1;
  CHARACTER.lastIndex = at;
  return CHARACTER.exec(bytes)?.[0].length ?? 0;
}

function decode(character: string): number {
  const first = character.charCodeAt(0);
  if (character.length === 1) return first;
  let rune = first & (0x7f >> character.length);
  for (let i = 1; i < character.length; i++) rune = (rune << 6) | (character.charCodeAt(i) & 0x3f);
  return rune;
}
