// The functions a template may call. All take and give values; a wrong type or count is a sentence to put into an
// error. `and` and `or` are not here: they evaluate their arguments one by one (evaluate.ts).
import { escapeHtml } from '@cove/web';
import { toLower, toUpper } from '../casemap.ts';
import { pathEscape, queryEscape } from '../escape.ts';
import { formatVerbs } from './printf.ts';
import { NamedInt, Time } from './time.ts';
import { CallError, isTrue, printValue, Root, typeName, type Value } from './values.ts';

function asString(value: Value, name: string): string {
  if (typeof value !== 'string')
    throw new CallError(`${name} needs a string, got ${typeName(value)}`);
  return value;
}

type Plain = (args: readonly Value[]) => Value;

function onStrings(name: string, count: number, run: (...texts: string[]) => Value): Plain {
  return (args) => {
    if (args.length !== count)
      throw new CallError(
        `${name} takes ${count} argument${count > 1 ? 's' : ''}, got ${args.length}`,
      );
    return run(...args.map((arg) => asString(arg, name)));
  };
}

/** Joined as Go's Sprint does: a space between two operands of which neither is a string. */
function sprint(args: readonly Value[]): string {
  let out = '';
  args.forEach((arg, i) => {
    if (i > 0 && typeof arg !== 'string' && typeof args[i - 1] !== 'string') out += ' ';
    out += printValue(arg);
  });
  return out;
}

/** The kinds that compare with each other. */
function comparable(value: Value): string | number | boolean {
  if (value instanceof NamedInt) return value.value;
  if (value === null || value instanceof Time || value instanceof Root)
    throw new CallError(`${typeName(value)} cannot be compared`, true);
  return value;
}

function equal(a: Value, b: Value): boolean {
  const left = comparable(a);
  const right = comparable(b);
  if (typeof left !== typeof right)
    throw new CallError(`${typeName(a)} and ${typeName(b)} cannot be compared`);
  return left === right;
}

function less(a: Value, b: Value): boolean {
  const left = comparable(a);
  const right = comparable(b);
  if (typeof left === 'boolean' || typeof left !== typeof right)
    throw new CallError(`${typeName(a)} and ${typeName(b)} have no order`);
  // Strings compare by code point, as their UTF-8 bytes do.
  if (typeof left === 'string')
    return Buffer.compare(Buffer.from(left), Buffer.from(right as string)) < 0;
  return (left as number) < (right as number);
}

function ordered(name: string, run: (a: Value, b: Value) => boolean): Plain {
  return (args) => {
    if (args.length !== 2) throw new CallError(`${name} takes 2 arguments, got ${args.length}`);
    return run(args[0]!, args[1]!);
  };
}

const FUNCTIONS: Readonly<Record<string, Plain>> = Object.assign(Object.create(null), {
  PathEscape: onStrings('PathEscape', 1, (text) => pathEscape(text!)),
  QueryEscape: onStrings('QueryEscape', 1, (text) => queryEscape(text!)),
  TrimPrefix: onStrings('TrimPrefix', 2, (text, prefix) =>
    text!.startsWith(prefix!) ? text!.slice(prefix!.length) : text!,
  ),
  TrimSuffix: onStrings('TrimSuffix', 2, (text, suffix) =>
    text!.endsWith(suffix!) ? text!.slice(0, text!.length - suffix!.length) : text!,
  ),
  ToLower: onStrings('ToLower', 1, (text) => toLower(text!)),
  ToUpper: onStrings('ToUpper', 1, (text) => toUpper(text!)),
  not: (args) => {
    if (args.length !== 1) throw new CallError(`not takes 1 argument, got ${args.length}`);
    return !isTrue(args[0]!);
  },
  eq: (args) => {
    if (args.length < 2) throw new CallError('eq takes at least 2 arguments');
    // No short cut: a type that does not fit is an error wherever it stands.
    return args.slice(1).filter((other) => equal(args[0]!, other)).length > 0;
  },
  ne: ordered('ne', (a, b) => !equal(a, b)),
  lt: ordered('lt', less),
  le: ordered('le', (a, b) => !less(b, a)),
  gt: ordered('gt', (a, b) => less(b, a)),
  ge: ordered('ge', (a, b) => !less(a, b)),
  len: onStrings('len', 1, (text) => Buffer.byteLength(text!)),
  print: sprint,
  println: (args) => `${args.map(printValue).join(' ')}\n`,
  printf: (args) => {
    const [format, ...rest] = args;
    if (format === undefined) throw new CallError('printf needs a format');
    return formatVerbs(asString(format, 'printf'), rest);
  },
  html: (args) => escapeHtml(sprint(args)),
  urlquery: (args) => queryEscape(sprint(args)),
} satisfies Record<string, Plain>);

const UNSUPPORTED: ReadonlySet<string> = new Set(['Match', 'index', 'slice', 'js', 'call']);

export function isFunction(name: string): boolean {
  return name === 'and' || name === 'or' || FUNCTIONS[name] !== undefined;
}

/** Known to the full language, but not here. */
export function isUnsupportedFunction(name: string): boolean {
  return UNSUPPORTED.has(name);
}

/** Any function but `and` and `or`. Throws CallError. */
export function callFunction(name: string, args: readonly Value[]): Value {
  const run = FUNCTIONS[name];
  if (run === undefined) throw new CallError(`${name} takes at least 1 argument`);
  return run(args);
}
