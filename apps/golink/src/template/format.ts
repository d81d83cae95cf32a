// Values as text: what stands in the output, and what one verb of printf makes of one value. A verb that does not fit its
// value is no error but text, like %!d(string=x).
import { formatFloat } from './float.ts';
import { isPrintable, isRaw, quote } from './quote.ts';
import { Time } from './time.ts';
import { countRunes, encodeRune, runes } from './utf8.ts';
import { CallError, Int, intText, List, Root, typeName, type Value } from './values.ts';

/** What a value may come to. */
export const MAX_TEXT: number = 64 * 1024;

/** Flags, width and precision of one directive. */
export interface Style {
  minus: boolean;
  plus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  width: number | undefined;
  precision: number | undefined;
  /** %#v: as it would be written in a program. */
  source: boolean;
}

export const newStyle = (): Style => ({
  ...{ minus: false, plus: false, sharp: false, space: false, zero: false, source: false },
  ...{ width: undefined, precision: undefined },
});

const PLAIN: Style = newStyle();

/** As the output shows it, and as %v does. Throws CallError for what has no text here. */
export function formatValue(value: Value): string {
  return typeof value === 'string' ? value : formatArgument(value, 'v', PLAIN);
}

/** Throws CallError. */
export function formatArgument(value: Value, verb: string, style: Style): string {
  if (value === null)
    return verb === 'T' || verb === 'v' ? pad('<nil>', style) : bad(value, verb, style);
  if (verb === 'T') return formatString(typeName(value), 's', style);
  if (value instanceof Root) throw new CallError('"." as a whole cannot be printed', 'unsupported');
  if (value instanceof Time) return formatTime(value, verb, style);
  if (typeof value === 'string') return formatString(value, verb, style);
  if (typeof value === 'number') return formatNumber(value, verb, style);
  if (value instanceof List) return formatList(value, verb, style);
  if (value instanceof Int) {
    const isNamed = value.type.startsWith('time.') && !style.source;
    return isNamed && /^[vsxXq]$/.test(verb)
      ? formatString(intText(value), verb, style)
      : formatInt(value, verb, style);
  }
  return verb === 't' || verb === 'v' ? pad(String(value), style) : bad(value, verb, style);
}

/** The verb does not fit the value. */
function bad(value: Value, verb: string, style: Style): string {
  if (value === null) return `%!${verb}(<nil>)`;
  const isNamed = value instanceof Int && value.type.startsWith('time.');
  const shown = isNamed ? formatInt(value, 'v', style) : formatArgument(value, 'v', style);
  return `%!${verb}(${typeName(value)}=${shown})`;
}

/** To the width: spaces, or zeros in front. */
function pad(text: string, { width = 0, minus, zero }: Style, zeros: boolean = zero): string {
  const missing = width - countRunes(text);
  if (missing <= 0) return text;
  if (minus) return text + ' '.repeat(missing);
  return (zeros ? '0' : ' ').repeat(missing) + text;
}

function formatString(text: string, verb: string, style: Style): string {
  switch (verb) {
    case 'v':
      if (style.source) return pad(quote(cut(text, style.precision), '"', false), style);
      return pad(cut(text, style.precision), style);
    case 's':
      return pad(cut(text, style.precision), style);
    case 'x':
    case 'X':
      return pad(hexBytes(text, verb, style), style);
    case 'q': {
      const shown = cut(text, style.precision);
      if (style.sharp && isRaw(shown)) return pad(`\`${shown}\``, style);
      return pad(quote(shown, '"', style.plus), style);
    }
  }
  return bad(text, verb, style);
}

/** At most so many characters. */
function cut(text: string, precision: number | undefined): string {
  if (precision === undefined || precision >= text.length) return text;
  let kept = '';
  let left = precision;
  for (const { bytes } of runes(text)) {
    if (left-- === 0) break;
    kept += bytes;
  }
  return kept;
}

function hexBytes(text: string, verb: 'x' | 'X', { precision, space, sharp }: Style): string {
  const shown = Buffer.from(text.slice(0, precision ?? text.length), 'latin1');
  const pairs = [...shown].map((byte) => byte.toString(16).padStart(2, '0'));
  if (pairs.length === 0) return '';
  const lower = space
    ? pairs.map((pair) => (sharp ? `0x${pair}` : pair)).join(' ')
    : (sharp ? '0x' : '') + pairs.join('');
  return verb === 'X' ? lower.toUpperCase() : lower;
}

const BASES: Readonly<Record<string, 2 | 8 | 10 | 16>> = {
  v: 10,
  d: 10,
  b: 2,
  o: 8,
  O: 8,
  x: 16,
  X: 16,
};

function formatInt(int: Int, verb: string, style: Style): string {
  const { value } = int;
  const rune = value >= 0n && value <= 0x10ffffn ? Number(value) : 0xfffd;
  if (verb === 'v' && style.source && int.type === 'uint8')
    return digits(value, 'x', 16, { ...style, sharp: true });
  const base = BASES[verb];
  if (base !== undefined) return digits(value, verb, base, style);
  if (verb === 'c') return pad(encodeRune(rune), style);
  if (verb === 'q') return pad(quote(encodeRune(rune), "'", style.plus), style);
  if (verb !== 'U') return bad(int, verb, style);
  const bits = BigInt.asUintN(64, value).toString(16).toUpperCase();
  const code = `U+${bits.padStart(Math.max(4, style.precision ?? 0), '0')}`;
  const shown = style.sharp && bits.length <= 6 && isPrintable(rune) && value === BigInt(rune);
  return pad(shown ? `${code} '${encodeRune(rune)}'` : code, style, false);
}

function digits(value: bigint, verb: string, base: 2 | 8 | 10 | 16, style: Style): string {
  const { plus, space, sharp, zero, minus, width, precision } = style;
  const isNegative = value < 0n;
  let least = precision ?? 0;
  if (precision === 0 && value === 0n) return pad('', style, false);
  if (precision === undefined && zero && !minus && width !== undefined)
    least = width - (isNegative || plus || space ? 1 : 0);
  let text = (isNegative ? -value : value).toString(base).padStart(least, '0');
  if (sharp && base === 8 && !text.startsWith('0')) text = `0${text}`;
  if (sharp && base === 2) text = `0b${text}`;
  if (sharp && base === 16) text = `0x${text}`;
  if (verb === 'O') text = `0o${text}`;
  if (verb === 'X') text = text.toUpperCase();
  const sign = isNegative ? '-' : plus ? '+' : space ? ' ' : '';
  return pad(sign + text, style, false);
}

const PRECISIONS: Readonly<Record<string, number>> = { v: -1, g: -1, e: 6, f: 6, x: -1, b: -1 };

function formatNumber(value: number, verb: string, style: Style): string {
  const lower = verb === 'F' ? 'f' : verb.toLowerCase();
  const usual = PRECISIONS[lower];
  if (usual === undefined || verb === 'V' || verb === 'B') return bad(value, verb, style);
  const { plus, space, zero, minus, width = 0 } = style;
  let text = formatFloat(value, lower === 'v' ? 'g' : lower, style.precision ?? usual);
  if (style.sharp && verb !== 'b') text = withPoint(text, verb, style.precision ?? -1);
  if (verb !== lower) text = text.toUpperCase();
  const isNegative = value < 0 || Object.is(value, -0);
  const sign = isNegative ? '-' : plus ? '+' : space ? ' ' : '';
  // Zeros go behind the sign.
  if (sign !== '' && zero && !minus) text = text.padStart(width - 1, '0');
  return pad(sign + text, style);
}

/** The flag #: always a point, and for some verbs all the digits. */
function withPoint(text: string, verb: string, precision: number): string {
  const isHex = verb === 'x' || verb === 'X';
  const end = text.search(isHex ? /p/ : /[ep]/);
  const tail = end < 0 ? '' : text.slice(end);
  let head = end < 0 ? text : text.slice(0, end);
  let missing = 0;
  if (/^[vgGx]$/.test(verb)) {
    missing = precision < 0 ? 6 : precision;
    missing -= head.replace('.', '').replace(/^0+/, '').length;
    if (head === '0') missing--;
  }
  if (!head.includes('.')) head += '.';
  return head + '0'.repeat(Math.max(0, missing)) + tail;
}

function formatList({ items }: List, verb: string, style: Style): string {
  const parts: string[] = [];
  let size = 0;
  for (const item of items) {
    const part = formatString(item, verb, style);
    size += part.length;
    if (size > MAX_TEXT) throw new CallError('a list is too long to print', 'budget');
    parts.push(part);
  }
  return style.source ? `[]string{${parts.join(', ')}}` : `[${parts.join(' ')}]`;
}

function formatTime(time: Time, verb: string, style: Style): string {
  if (verb === 'v' && style.source) {
    const { year, day, hour, minute, second, nanosecond } = time;
    const month = intText(new Int(time.month, 'time.Month'));
    return `time.Date(${[year, `time.${month}`, day, hour, minute, second, nanosecond].join(', ')}, time.UTC)`;
  }
  if (!/^[vsxXq]$/.test(verb))
    throw new CallError(`printf cannot write a time with %${verb}`, 'unsupported');
  return formatString(time.toString(), verb, style);
}
