// HPACK (RFC 7541): a decoder with dynamic table for what clients send, and for our own answers the few header
// lists written out as literals that never touch a table.
//
//   1xxxxxxx  indexed field (6.1)                   01xxxxxx  literal, added to the table (6.2.1)
//   001xxxxx  table size update (6.3)               000Nxxxx  literal, not added (6.2.2, 6.2.3)
import { Http2Error } from './errors.ts';
import { decodeHuffman } from './huffman.ts';

export interface Field {
  readonly name: string;
  readonly value: string;
}

/** SETTINGS_HEADER_TABLE_SIZE we leave at its default (RFC 9113 section 6.5.2). */
const TABLE_SIZE = 4096;
/** An entry costs its octets and 32 (section 4.1). */
const ENTRY_OVERHEAD = 32;

// Appendix A, entries 1 to 61; `name` or `name value`.
const STATIC: readonly Field[] = [
  ':authority',
  ':method GET',
  ':method POST',
  ':path /',
  ':path /index.html',
  ':scheme http',
  ':scheme https',
  ...[200, 204, 206, 304, 400, 404, 500].map((status) => `:status ${status}`),
  'accept-charset',
  'accept-encoding gzip, deflate',
  'accept-language',
  'accept-ranges',
  'accept',
  'access-control-allow-origin',
  'age',
  'allow',
  'authorization',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'etag',
  'expect',
  'expires',
  'from',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'link',
  'location',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'range',
  'referer',
  'refresh',
  'retry-after',
  'server',
  'set-cookie',
  'strict-transport-security',
  'transfer-encoding',
  'user-agent',
  'vary',
  'via',
  'www-authenticate',
].map((entry) => {
  const space = entry.indexOf(' ');
  if (space < 0) return { name: entry, value: '' };
  return { name: entry.slice(0, space), value: entry.slice(space + 1) };
});

/** Decodes the header blocks of one connection, in order; after an error the connection cannot go on. */
export class HpackDecoder {
  /** Newest first. */
  readonly #table: Field[] = [];
  #size = 0;
  #limit = TABLE_SIZE;

  /** Fields of a whole block whose decoded size stays within `maxSize`. Throws Http2Error. */
  decode(block: Uint8Array, maxSize: number): Field[] {
    const cursor = new Cursor(block, maxSize);
    const fields: Field[] = [];
    let size = 0;
    while (!cursor.done) {
      const first = cursor.peek();
      let field: Field;
      if (first & 0x80) {
        field = this.#lookup(cursor.integer(7));
      } else if ((first & 0xe0) === 0x20) {
        if (fields.length > 0) fail('table size update behind a field');
        this.#resize(cursor.integer(5));
        continue;
      } else {
        const added = (first & 0x40) !== 0;
        const index = cursor.integer(added ? 6 : 4);
        const name = index === 0 ? cursor.string() : this.#lookup(index).name;
        field = { name, value: cursor.string() };
        if (added) this.#add(field);
      }
      size += field.name.length + field.value.length + ENTRY_OVERHEAD;
      if (size > maxSize) throw new Http2Error('ENHANCE_YOUR_CALM', 'header list too large');
      fields.push(field);
    }
    return fields;
  }

  #lookup(index: number): Field {
    const field =
      index <= STATIC.length ? STATIC[index - 1] : this.#table[index - STATIC.length - 1];
    return field ?? fail(`no field ${index}`);
  }

  #add(field: Field): void {
    this.#table.unshift(field);
    this.#size += field.name.length + field.value.length + ENTRY_OVERHEAD;
    this.#evict();
  }

  #resize(limit: number): void {
    if (limit > TABLE_SIZE) fail('table larger than allowed');
    this.#limit = limit;
    this.#evict();
  }

  #evict(): void {
    while (this.#size > this.#limit) {
      const oldest = this.#table.pop()!;
      this.#size -= oldest.name.length + oldest.value.length + ENTRY_OVERHEAD;
    }
  }
}

function fail(message: string): never {
  throw new Http2Error('COMPRESSION_ERROR', message);
}

class Cursor {
  readonly #bytes: Uint8Array;
  readonly #maxString: number;
  #at = 0;

  constructor(bytes: Uint8Array, maxString: number) {
    this.#bytes = bytes;
    this.#maxString = maxString;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  peek(): number {
    return this.#bytes[this.#at]!;
  }

  #next(): number {
    return this.#bytes[this.#at++] ?? fail('header block cut short');
  }

  /** Section 5.1; more than 4 octets of continuation is more than any length we accept. */
  integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = this.#next() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const octet = this.#next();
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
    return fail('integer too large');
  }

  /** Section 5.2. */
  string(): string {
    const huffman = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    const start = this.#at;
    if (length > this.#bytes.length - start) fail('header block cut short');
    this.#at += length;
    const bytes = this.#bytes.subarray(start, this.#at);
    if (huffman) return decodeHuffman(bytes, this.#maxString);
    let out = '';
    for (const byte of bytes) out += String.fromCharCode(byte);
    return out;
  }
}

/** Static table indexes whose name the encoder uses. */
const STATUS_INDEX: Readonly<Record<number, number>> = {
  200: 8,
  204: 9,
  400: 12,
  404: 13,
  500: 14,
};
const STATUS_NAME = 8;
const CONTENT_LENGTH_NAME = 28;
const CONTENT_TYPE_NAME = 31;

/** Header block of an answer: status, type and length where given. */
export function encodeResponseHead(
  status: number,
  contentType: string | undefined,
  contentLength: number | undefined,
): Uint8Array {
  const out: number[] = [];
  const indexed = STATUS_INDEX[status];
  if (indexed !== undefined) out.push(0x80 | indexed);
  else literal(out, STATUS_NAME, String(status));
  if (contentType !== undefined) literal(out, CONTENT_TYPE_NAME, contentType);
  if (contentLength !== undefined) literal(out, CONTENT_LENGTH_NAME, String(contentLength));
  return Uint8Array.from(out);
}

/** Literal without indexing, name from the static table (section 6.2.2). */
function literal(out: number[], name: number, value: string): void {
  if (name < 15) out.push(name);
  else out.push(0x0f, name - 15);
  // Our values are short ASCII, without Huffman code.
  out.push(value.length);
  for (let i = 0; i < value.length; i++) out.push(value.charCodeAt(i));
}
