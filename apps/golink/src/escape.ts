// Percent-escaping as destinations are written with: path segments and form values, over the bytes of UTF-8. A byte
// string has one char per byte.

/** What is written instead of a byte; undefined where it stays as it is. */
export type EscapeTable = readonly (string | undefined)[];

/** `kept`: matches the bytes that stay. `space`: what is written for one, where it does not stay. */
export function escapeTable(kept: RegExp, space = '%20'): EscapeTable {
  return Array.from({ length: 256 }, (_, byte) => {
    const char = String.fromCharCode(byte);
    if (kept.test(char)) return undefined;
    return char === ' ' ? space : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  });
}

/** Of a byte string. */
export function escapeBytes(bytes: string, table: EscapeTable): string {
  let out = '';
  let from = 0;
  for (let at = 0; at < bytes.length; at++) {
    const escaped = table[bytes.charCodeAt(at)];
    if (escaped === undefined) continue;
    out += bytes.slice(from, at) + escaped;
    from = at + 1;
  }
  return from === 0 ? bytes : out + bytes.slice(from);
}

/** Takes and returns byte strings. A percent sign without two hexadecimal digits behind it stays. */
export function unescapeBytes(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

const PATH: EscapeTable = escapeTable(/[A-Za-z0-9\-_.~$&+=:@]/);
const QUERY: EscapeTable = escapeTable(/[A-Za-z0-9\-_.~]/, '+');

/** Keeps `A-Z a-z 0-9 - _ . ~ $ & + = : @`; all else becomes %XX. */
export function pathEscape(text: string): string {
  return PATH_PLAIN.test(text) ? text : pathEscapeBytes(Buffer.from(text).toString('latin1'));
}

const PATH_PLAIN = /^[A-Za-z0-9\-_.~$&+=:@]*$/;

/** `pathEscape` of a byte string. */
export function pathEscapeBytes(bytes: string): string {
  return escapeBytes(bytes, PATH);
}

/** Of a byte string. Keeps `A-Z a-z 0-9 - _ . ~`; space becomes `+`, all else %XX. */
export function queryEscapeBytes(bytes: string): string {
  return escapeBytes(bytes, QUERY);
}
