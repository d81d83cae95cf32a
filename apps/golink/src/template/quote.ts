// Byte strings as they are written in quotes, in HTML and in script.
import { encodeRune, runes } from './utf8.ts';

const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const LETTERS: Readonly<Record<string, string>> = {
  '\x07': 'a',
  '\b': 'b',
  '\f': 'f',
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
  '\v': 'v',
};

export function isPrintable(rune: number): boolean {
  return PRINTABLE.test(String.fromCodePoint(rune));
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

/** In double quotes, for strings, or single ones, for characters. `ascii`: everything else as an escape. */
export function quote(bytes: string, mark: '"' | "'", ascii: boolean): string {
  let out = mark as string;
  for (const { rune, bytes: part } of runes(bytes)) {
    if (rune === 0xfffd && part.length === 1) out += `\\x${hex(part.charCodeAt(0), 2)}`;
    else if (part === mark || part === '\\') out += `\\${part}`;
    else if (ascii ? rune >= 0x20 && rune < 0x7f : isPrintable(rune)) out += part;
    else if (LETTERS[part] !== undefined) out += `\\${LETTERS[part]}`;
    else if (rune < 0x20 || rune === 0x7f) out += `\\x${hex(rune, 2)}`;
    else out += rune > 0xffff ? `\\U${hex(rune, 8)}` : `\\u${hex(rune, 4)}`;
  }
  return out + mark;
}

/** Can stand between backquotes on one line. */
export function isRaw(bytes: string): boolean {
  for (const { rune, bytes: part } of runes(bytes)) {
    if (rune === 0xfeff || (rune === 0xfffd && part.length === 1)) return false;
    if (part === '`' || (rune < 0x20 && part !== '\t') || rune === 0x7f) return false;
  }
  return true;
}

const HTML: Readonly<Record<string, string>> = {
  '\0': encodeRune(0xfffd),
  '"': '&#34;',
  '&': '&amp;',
  "'": '&#39;',
  '<': '&lt;',
  '>': '&gt;',
};

export function escapeHtml(bytes: string): string {
  return bytes.replace(/[\0"&'<>]/g, (char) => HTML[char]!);
}

/** For a string in quotes in a script. */
export function escapeScript(bytes: string): string {
  if (/^[ !#$%()*+,\-./0-9:;?@A-Z[\]^_`a-z{|}~]*$/.test(bytes)) return bytes;
  let out = '';
  for (const { rune, bytes: part } of runes(bytes)) {
    if (/^[\\'"]$/.test(part)) out += `\\${part}`;
    else if (rune < 0x20 || /^[<>&=]$/.test(part)) out += `\\u${hex(rune, 4).toUpperCase()}`;
    else if (rune < 0x80 || isPrintable(rune)) out += part;
    else out += `\\u${hex(rune, 4).toUpperCase()}`;
  }
  return out;
}
