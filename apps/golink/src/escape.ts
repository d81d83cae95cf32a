// Percent-escaping as destinations are written with: path segments and form values, over the bytes of UTF-8.

const utf8 = new TextEncoder();

/** Keeps `A-Z a-z 0-9 - _ . ~ $ & + = : @`; all else becomes %XX. */
export function pathEscape(text: string): string {
  return escapeWith(text, /^[A-Za-z0-9\-_.~$&+=:@]*$/, PATH_KEPT, false);
}

/** Keeps `A-Z a-z 0-9 - _ . ~`; space becomes `+`, all else %XX. */
export function queryEscape(text: string): string {
  return escapeWith(text, /^[A-Za-z0-9\-_.~]*$/, QUERY_KEPT, true);
}

const PATH_KEPT = /[A-Za-z0-9\-_.~$&+=:@]/;
const QUERY_KEPT = /[A-Za-z0-9\-_.~]/;

function escapeWith(text: string, whole: RegExp, kept: RegExp, plus: boolean): string {
  if (whole.test(text)) return text;
  let out = '';
  for (const byte of utf8.encode(text)) {
    const char = String.fromCharCode(byte);
    if (kept.test(char)) out += char;
    else if (plus && byte === 0x20) out += '+';
    else out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
