// JSON (RFC 8259) as the control protocol needs it: integers beyond 2^53 survive as bigint, nesting and size are
// bounded, and the writer emits raw UTF-8 without HTML escapes, bytes as base64 and bigints as plain numbers.
import { ProtocolError, toBase64, utf8DecodeLossy, utf8Encode } from './bytes.ts';

/** What parseJson gives. Integers that a number holds exactly are numbers, others bigints. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** Ours: deeper than any message, shallow enough for any stack. */
export const MAX_JSON_DEPTH = 64;
/** Ours: a map of tens of thousands of peers fits. */
export const MAX_JSON_BYTES: number = 64 * 1024 * 1024;
/** Digits a number may have before it could be above 2^53 - 1. */
const SAFE_DIGITS = 15;
/** Digits of -2^63 and 2^64 - 1 with the sign; longer integers are of no use to anyone and become floats. */
const MAX_INTEGER_CHARS = 20;

function malformed(what: string): ProtocolError {
  // Never quotes the input: it may hold keys.
  return new ProtocolError('ERR_MALFORMED', `JSON: ${what}`);
}

/** Whether text outside strings holds a run of digits that may not fit a number; also bounds the nesting. */
function holdsLongInteger(bytes: Uint8Array): boolean {
  let depth = 0;
  let digits = 0;
  let found = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte >= 0x30 && byte <= 0x39) {
      if (++digits > SAFE_DIGITS) found = true;
      continue;
    }
    digits = 0;
    if (byte === 0x22) {
      for (i++; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++;
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > MAX_JSON_DEPTH)
        throw new ProtocolError('ERR_TOO_LARGE', 'JSON: nested too deep');
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--;
    }
  }
  return found;
}

/**
 * Reads one JSON text. Bytes that are not UTF-8 inside it become U+FFFD. Of equal names the last one counts.
 * Throws ERR_MALFORMED, ERR_TOO_LARGE.
 */
export function parseJson(bytes: Uint8Array): JsonValue {
  if (bytes.length > MAX_JSON_BYTES) {
    throw new ProtocolError('ERR_TOO_LARGE', `JSON of ${bytes.length} bytes`);
  }
  const exact = holdsLongInteger(bytes);
  const text = utf8DecodeLossy(bytes);
  if (exact) return new ExactParser(text).document();
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw malformed('not well formed');
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const PLAIN_STRING = /"[^"\\\u0000-\u001f]*"/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;

/** As JSON.parse, except that it sees the digits of a number. Depth was bounded before. */
class ExactParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): JsonValue {
    const value = this.#value();
    this.#skipSpace();
    if (this.#at !== this.#text.length) throw malformed('text behind the value');
    return value;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match[0];
  }

  #skipSpace(): void {
    this.#match(SPACE);
  }

  #next(char: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw malformed('not a value');
    this.#at += word.length;
    return value;
  }

  #value(): JsonValue {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object();
      case '[':
        return this.#array();
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #object(): JsonValue {
    const out: Record<string, JsonValue> = {};
    this.#at++;
    if (this.#next('}')) return out;
    do {
      this.#skipSpace();
      const name = this.#string();
      if (!this.#next(':')) throw malformed('no colon behind a name');
      setMember(out, name, this.#value());
    } while (this.#next(','));
    if (!this.#next('}')) throw malformed('object not closed');
    return out;
  }

  #array(): JsonValue {
    const out: JsonValue[] = [];
    this.#at++;
    if (this.#next(']')) return out;
    do out.push(this.#value());
    while (this.#next(','));
    if (!this.#next(']')) throw malformed('list not closed');
    return out;
  }

  #string(): string {
    const quotes = this.#match(PLAIN_STRING) ?? this.#match(STRING);
    if (quotes === undefined) throw malformed('not a string');
    // A copy: a slice would keep the whole text in memory as long as any string of it.
    return JSON.parse(quotes) as string;
  }

  #number(): number | bigint {
    const digits = this.#match(NUMBER);
    if (digits === undefined) throw malformed('not a value');
    const value = Number(digits);
    if (Number.isSafeInteger(value) || digits.length > MAX_INTEGER_CHARS) return value;
    return /^-?\d+$/.test(digits) ? BigInt(digits) : value;
  }
}

/** Sets an own member whatever its name; a plain assignment to `__proto__` would not. */
export function setMember<T>(target: Record<string, T>, name: string, value: T): void {
  if (name !== '__proto__') {
    target[name] = value;
    return;
  }
  Object.defineProperty(target, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

/**
 * Writes one JSON text. Undefined members are left out, bigints printed as numbers, Uint8Arrays as standard
 * base64, numbers that are not finite as null. Throws TypeError when the value itself is undefined.
 */
export function encodeJson(value: unknown): Uint8Array {
  // JSON.stringify is four times as fast where it can be trusted.
  const text = needsOwnWriter(value) ? jsonText(value) : JSON.stringify(value);
  if (text === undefined) throw new TypeError('nothing to encode as JSON');
  return utf8Encode(text);
}

function needsOwnWriter(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint';
  if (value instanceof Uint8Array) return true;
  if (Array.isArray(value)) return value.some(needsOwnWriter);
  for (const name in value) {
    if (needsOwnWriter((value as Record<string, unknown>)[name])) return true;
  }
  return false;
}

const NEEDS_ESCAPE = /["\\\u0000-\u001f\ud800-\udfff]/;

function quoted(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`;
}

function jsonText(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
      return Number.isFinite(value) ? String(value) : 'null';
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'object':
      break;
    default:
      return undefined;
  }
  if (value === null) return 'null';
  if (value instanceof Uint8Array) return `"${toBase64(value)}"`;
  if (Array.isArray(value)) {
    let out = '[';
    for (let i = 0; i < value.length; i++) {
      if (i > 0) out += ',';
      out += jsonText(value[i]) ?? 'null';
    }
    return `${out}]`;
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') return jsonText(value.toJSON());
  let out = '{';
  for (const [name, member] of Object.entries(value)) {
    const text = jsonText(member);
    if (text === undefined) continue;
    if (out.length > 1) out += ',';
    out += `${quoted(name)}:${text}`;
  }
  return `${out}}`;
}
