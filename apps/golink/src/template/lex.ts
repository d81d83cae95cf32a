// Source text -> tokens: text outside `{{ }}`, and words, literals and marks inside.
import { TemplateError } from './syntax.ts';
import { encodeRune, toBytes } from './utf8.ts';

export type TokenType =
  | 'text'
  | 'open'
  | 'close'
  | 'word'
  | 'field'
  | 'variable'
  | 'dot'
  | 'string'
  | 'number'
  | 'char'
  | 'bool'
  | 'nil'
  | 'keyword'
  | '|'
  | '('
  | ')'
  | ':='
  | '='
  | ','
  | 'end';

export interface Token {
  readonly type: TokenType;
  /**
   * Text as meant: strings as bytes without quotes and escapes, characters as their number, fields without the dot,
   * variables with `$`.
   */
  readonly text: string;
  readonly offset: number;
  /** White space stood before it, which separates arguments. */
  readonly spaced: boolean;
}

const KEYWORDS: ReadonlySet<string> = new Set([
  'if',
  'else',
  'end',
  'with',
  'range',
  'break',
  'continue',
  'define',
  'block',
  'template',
]);

/** Throws TemplateError with position. The last token has the type `end`. */
export function lex(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let trimNext = false;
  for (;;) {
    const open = source.indexOf('{{', at);
    let text = open < 0 ? source.slice(at) : source.slice(at, open);
    if (trimNext) text = text.replace(/^[ \t\r\n]+/, '');
    if (open >= 0 && /^\{\{-[ \t\r\n]/.test(source.slice(open, open + 4)))
      text = text.replace(/(?<![ \t\r\n])[ \t\r\n]+$/, '');
    if (text !== '') tokens.push({ type: 'text', text: toBytes(text), offset: at, spaced: false });
    if (open < 0) break;
    const action = lexAction(source, open, tokens);
    at = action.end;
    trimNext = action.trim;
  }
  tokens.push({ type: 'end', text: '', offset: source.length, spaced: false });
  return tokens;
}

function lexAction(source: string, open: number, tokens: Token[]): { end: number; trim: boolean } {
  const fail = (message: string, offset: number): TemplateError =>
    new TemplateError('parse', message, offset, source);
  let at = open + 2;
  if (/^-[ \t\r\n]/.test(source.slice(at, at + 2))) at += 2;
  const comment = /^[ \t\r\n]*\/\*/.exec(source.slice(at, at + 64));
  if (comment !== null) {
    // A comment fills its action: nothing but a trim marker may stand beside it.
    if (comment[0].length > 2) throw fail('a comment must begin right after "{{"', at);
    const close = source.indexOf('*/', at + comment[0].length);
    if (close < 0) throw fail('a comment is not closed', open);
    if (source.startsWith('}}', close + 2)) return { end: close + 4, trim: false };
    if (/^[ \t\r\n]-\}\}/.test(source.slice(close + 2, close + 6)))
      return { end: close + 6, trim: true };
    throw fail('a comment must end right before "}}"', close);
  }
  tokens.push({ type: 'open', text: '{{', offset: open, spaced: false });
  let depth = 0;
  for (;;) {
    const start = at;
    while (at < source.length && ' \t\r\n'.includes(source[at]!)) at++;
    const spaced = at > start;
    if (at >= source.length) throw fail('"{{" is not closed by "}}"', open);
    const trim = spaced && source.startsWith('-}}', at);
    if (trim || source.startsWith('}}', at)) {
      if (depth > 0) throw fail('a parenthesis is not closed', at);
      tokens.push({ type: 'close', text: '}}', offset: at, spaced });
      return { end: at + (trim ? 3 : 2), trim };
    }
    const token = lexToken(source, at, spaced, fail);
    if (token.type === '(') depth++;
    if (token.type === ')' && --depth < 0) throw fail('there is no parenthesis to close', at);
    tokens.push(token);
    at = token.end;
  }
}

const WORD = /[\p{L}_\p{Nd}]+/uy;
const NUMBER =
  /[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?/y;
/** What may stand right behind a word, a field or a variable. */
const BEHIND_WORD = /[ \t\r\n.,|:()]|\}\}|$/y;

function match(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

function lexToken(
  source: string,
  at: number,
  spaced: boolean,
  fail: (message: string, offset: number) => TemplateError,
): Token & { end: number } {
  const token = (type: TokenType, text: string, length: number): Token & { end: number } => ({
    type,
    text,
    offset: at,
    spaced,
    end: at + length,
  });
  const word = (found: Token & { end: number }): Token & { end: number } => {
    if (match(BEHIND_WORD, source, found.end) === undefined)
      throw fail(`unexpected ${JSON.stringify(source[found.end])}`, found.end);
    return found;
  };
  const char = source[at]!;
  switch (char) {
    case '|':
    case '(':
    case ')':
    case ',':
    case '=':
      return token(char, char, 1);
    case ':':
      if (source[at + 1] === '=') return token(':=', ':=', 2);
      break;
    case '"':
    case "'":
      return quoted(source, at, token, fail);
    case '`': {
      const close = source.indexOf('`', at + 1);
      if (close < 0) throw fail('a raw string is not closed', at);
      const raw = source.slice(at + 1, close).replaceAll('\r', '');
      return token('string', toBytes(raw), close + 1 - at);
    }
    case '.': {
      if (/[0-9]/.test(source[at + 1] ?? '')) break;
      const name = match(WORD, source, at + 1);
      return name === undefined
        ? token('dot', '.', 1)
        : word(token('field', name, name.length + 1));
    }
    case '$': {
      const name = match(WORD, source, at + 1) ?? '';
      return word(token('variable', `$${name}`, name.length + 1));
    }
  }
  if (/[-+.0-9]/.test(char)) {
    let number = match(NUMBER, source, at) ?? '';
    const second = /[-+]/.test(source[at + number.length] ?? '')
      ? match(NUMBER, source, at + number.length)
      : undefined;
    if (second?.endsWith('i') === true) number += second;
    const after = match(WORD, source, at + number.length);
    if (number === '' || after !== undefined)
      throw fail(`${JSON.stringify(number + (after ?? ''))} is no number`, at);
    return token('number', number, number.length);
  }
  const name = match(WORD, source, at);
  if (name === undefined)
    throw fail(`unexpected ${JSON.stringify(String.fromCodePoint(source.codePointAt(at)!))}`, at);
  if (name === 'true' || name === 'false') return word(token('bool', name, name.length));
  if (name === 'nil') return word(token('nil', name, name.length));
  return word(token(KEYWORDS.has(name) ? 'keyword' : 'word', name, name.length));
}

const ESCAPE =
  /\\(?:([abfnrtv\\'"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))/y;
const CONTROL: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** `"..."` gives a string, `'c'` the number of its one character. */
function quoted(
  source: string,
  at: number,
  token: (type: TokenType, text: string, length: number) => Token & { end: number },
  fail: (message: string, offset: number) => TemplateError,
): Token & { end: number } {
  const quote = source[at]!;
  let value = '';
  /** The last code point, and how many there were. */
  let rune = 0;
  let count = 0;
  let i = at + 1;
  for (;;) {
    const char = source[i];
    if (char === undefined || char === '\n') throw fail('a string is not closed', at);
    if (char === quote) break;
    count++;
    if (char !== '\\') {
      rune = source.codePointAt(i)!;
      value += encodeRune(rune);
      i += rune > 0xffff ? 2 : 1;
      continue;
    }
    ESCAPE.lastIndex = i;
    const found = ESCAPE.exec(source);
    if (found === null || found[1] === (quote === '"' ? "'" : '"'))
      throw fail('an escape in a string is not known', i);
    const [whole, letter, byte, four, eight, octal] = found;
    if (letter !== undefined) rune = (CONTROL[letter] ?? letter).charCodeAt(0);
    else rune = Number.parseInt((byte ?? four ?? eight ?? octal)!, octal === undefined ? 16 : 8);
    const isByte = byte !== undefined || octal !== undefined;
    if (isByte ? rune > 0xff : rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
      throw fail('an escape in a string is no character', i);
    value += isByte ? String.fromCharCode(rune) : encodeRune(rune);
    i += whole.length;
  }
  if (quote === '"') return token('string', value, i + 1 - at);
  if (count !== 1) throw fail('a character literal holds exactly one character', at);
  return token('char', String(rune), i + 1 - at);
}
