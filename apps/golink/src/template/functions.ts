// The functions a template may call. A wrong type or count is found before they run (evaluate.ts), where `and` and `or`
// are as well: they evaluate their arguments one by one.
import { toLower, toUpper } from '../casemap.ts';
import { pathEscapeBytes, queryEscapeBytes } from '../escape.ts';
import { equal, less } from './compare.ts';
import type { Signature } from './evaluate.ts';
import { formatValue } from './format.ts';
import { matchCost, matches, replaceMatches } from './match.ts';
import { printf } from './printf.ts';
import { escapeHtml, escapeScript } from './quote.ts';
import { toBytes, toText } from './utf8.ts';
import { CallError, Int, isTrue, List, typeName, type Value } from './values.ts';

interface Plain extends Signature {
  /** Steps it takes besides one for each 64 characters. */
  readonly cost?: (args: readonly Value[]) => number;
  readonly call: (args: readonly Value[]) => Value;
}

function onStrings(count: number, run: (...texts: string[]) => Value): Plain {
  return {
    takes: Array.from({ length: count }, () => 'string' as const),
    call: (args) => run(...(args as string[])),
  };
}

const onAny = (count: number, run: (...args: Value[]) => Value, variadic = false): Plain => ({
  takes: Array.from({ length: count }, () => 'any' as const),
  variadic,
  call: (args) => run(...args),
});

/** Operands in a row; a space between two of which neither is a string. */
export function sprint(args: readonly Value[]): string {
  let out = '';
  args.forEach((arg, i) => {
    if (i > 0 && typeof arg !== 'string' && typeof args[i - 1] !== 'string') out += ' ';
    out += formatValue(arg);
  });
  return out;
}

/** What escaping functions escape. */
const printed = (args: readonly Value[]): string =>
  sprint(args.map((arg) => (arg === null ? '<no value>' : arg)));

/** 0 to `limit`. Throws CallError. */
function position(value: Value, limit: number): number {
  if (!(value instanceof Int))
    throw new CallError(`${typeName(value)} cannot be used as a position`);
  if (value.value < 0n || value.value > BigInt(limit))
    throw new CallError(`the position ${value.value} is out of range`);
  return Number(value.value);
}

function index(item: Value, ...path: Value[]): Value {
  if (item === null) throw new CallError('index needs something to look into');
  let value = item;
  for (const step of path) {
    if (typeof value === 'string')
      value = new Int(value.charCodeAt(position(step, value.length - 1)), 'uint8');
    else if (value instanceof List) value = value.items[position(step, value.items.length - 1)]!;
    else throw new CallError(`${typeName(value)} cannot be indexed`);
  }
  return value;
}

function slice(item: Value, ...bounds: Value[]): Value {
  const isText = typeof item === 'string';
  if (!isText && !(item instanceof List)) throw new CallError(`${typeName(item)} cannot be sliced`);
  if (bounds.length > (isText ? 2 : 3)) throw new CallError('slice has too many positions');
  const size = isText ? item.length : item.items.length;
  const [from = 0, to = size, cap = size] = bounds.map((bound) => position(bound, size));
  if (from > to || to > cap)
    throw new CallError(`the positions ${from} and ${to} are out of order`);
  return isText ? item.slice(from, to) : new List(item.items.slice(from, to));
}

function length(item: Value): Value {
  if (typeof item === 'string') return new Int(item.length);
  if (item instanceof List) return new Int(item.items.length);
  throw new CallError(`${typeName(item)} has no length`);
}

function join(list: Value, separator: Value): Value {
  if (!(list instanceof List) || typeof separator !== 'string')
    throw new CallError('Join takes a list and a string');
  return bounded(list.items.join(separator));
}

/** 64 KiB is what any value may have (evaluate.ts); this is what may be made on the way. */
function bounded(text: string): string {
  if (text.length > 1024 * 1024) throw new CallError('a value is too large', 'budget');
  return text;
}

function replace(text: string, from: string, to: string): string {
  const count = from === '' ? text.length + 1 : text.split(from).length - 1;
  if (count * to.length > 1024 * 1024) throw new CallError('a value is too large', 'budget');
  return text.replaceAll(from, () => to);
}

const FUNCTIONS: Readonly<Record<string, Plain>> = Object.assign(Object.create(null), {
  // golink's.
  PathEscape: onStrings(1, pathEscapeBytes),
  QueryEscape: onStrings(1, queryEscapeBytes),
  TrimPrefix: onStrings(2, (text, prefix) =>
    text!.startsWith(prefix!) ? text!.slice(prefix!.length) : text!,
  ),
  TrimSuffix: onStrings(2, (text, suffix) =>
    text!.endsWith(suffix!) ? text!.slice(0, text!.length - suffix!.length) : text!,
  ),
  ToLower: onStrings(1, (text) => toBytes(toLower(toText(text!)))),
  ToUpper: onStrings(1, (text) => toBytes(toUpper(toText(text!)))),
  Match: {
    ...onStrings(2, matches),
    cost: ([pattern, text]) => matchCost(pattern as string, text as string, false),
  },
  // Ours. What is worked on comes last, where a pipeline puts it.
  Split: onStrings(
    2,
    (separator, text) => new List(separator === '' ? [text!] : text!.split(separator!)),
  ),
  Join: onAny(2, (separator, list) => join(list!, separator!)),
  Replace: onStrings(3, (from, to, text) => replace(text!, from!, to!)),
  RegexReplace: {
    ...onStrings(3, replaceMatches),
    cost: ([pattern, , text]) => matchCost(pattern as string, text as string, true),
  },
  Default: onAny(2, (other, value) => (isTrue(value!) ? value! : other!)),
  // The language's.
  not: onAny(1, (value) => !isTrue(value!)),
  eq: onAny(
    1,
    (first, ...others) => {
      if (others.length === 0) throw new CallError('eq takes at least 2 arguments');
      return others.some((other) => equal(first!, other));
    },
    true,
  ),
  ne: onAny(2, (a, b) => !equal(a!, b!)),
  lt: onAny(2, (a, b) => less(a!, b!)),
  le: onAny(2, (a, b) => less(a!, b!) || equal(a!, b!)),
  gt: onAny(2, (a, b) => !less(a!, b!) && !equal(a!, b!)),
  ge: onAny(2, (a, b) => !less(a!, b!)),
  len: onAny(1, (item) => length(item!)),
  index: onAny(1, (item, ...path) => index(item!, ...path), true),
  slice: onAny(1, (item, ...bounds) => slice(item!, ...bounds), true),
  print: onAny(0, (...args) => sprint(args), true),
  println: onAny(0, (...args) => `${args.map((arg) => formatValue(arg)).join(' ')}\n`, true),
  printf: {
    takes: ['string'],
    variadic: true,
    call: ([format, ...args]) => printf(format as string, args),
  },
  html: onAny(0, (...args) => escapeHtml(printed(args)), true),
  js: onAny(0, (...args) => escapeScript(printed(args)), true),
  urlquery: onAny(0, (...args) => queryEscapeBytes(printed(args)), true),
  // Nothing a template can reach is a function.
  call: onAny(
    1,
    (value) => {
      throw new CallError(`${typeName(value!)} is no function`);
    },
    true,
  ),
} satisfies Record<string, Plain>);

export function isFunction(name: string): boolean {
  return name === 'and' || name === 'or' || FUNCTIONS[name] !== undefined;
}

/** Of any function but `and` and `or`. */
export function signatureOf(name: string): Signature {
  return FUNCTIONS[name]!;
}

/** Steps a call takes. Throws CallError. */
export function costOf(name: string, args: readonly Value[]): number {
  return FUNCTIONS[name]!.cost?.(args) ?? 0;
}

/** Any function but `and` and `or`, with arguments as its signature says. Throws CallError. */
export function callFunction(name: string, args: readonly Value[]): Value {
  return FUNCTIONS[name]!.call(args);
}
