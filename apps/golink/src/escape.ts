// Percent-escaping as destinations are written with: path segments and form values, over the bytes of UTF-8.

const utf8 = new TextEncoder();

/** Keeps `A-Z a-z 0-9 - _ . ~ $ & + = : @`; all else becomes %XX. */
export function pathEscape(text: string): string {
  return PATH_PLAIN.test(text) ? text : escapeWith(utf8.encode(text), PATH_KEPT, false);
}

/** `pathEscape` of a byte string: one char per byte. */
export function pathEscapeBytes(bytes: string): string {
  return PATH_PLAIN.test(bytes)
    ? bytes
    : escapeWith(Buffer.from(bytes, 'latin1'), PATH_KEPT, false);
}

/** Of a byte string. Keeps `A-Z a-z 0-9 - _ . ~`; space becomes `+`, all else %XX. */
export function queryEscapeBytes(bytes: string): string {
  return QUERY_PLAIN.test(bytes)
    ? bytes
    : escapeWith(Buffer.from(bytes, 'latin1'), QUERY_KEPT, true);
}

const PATH_PLAIN = /^[A-Za-z0-9\-_.~$&+=:@]*$/;
const QUERY_PLAIN = /^[A-Za-z0-9\-_.~]*$/;

const PATH_KEPT = /[A-Za-z0-9\-_.~$&+=:@]/;
const QUERY_KEPT = /[A-Za-z0-9\-_.~]/;

function escapeWith(bytes: Uint8Array, kept: RegExp, plus: boolean): string {
  let out = '';
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    if (kept.test(char)) out += char;
    else if (plus && byte === 0x20) out += '+';
    else out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
