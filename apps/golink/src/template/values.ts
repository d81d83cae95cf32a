// The values a template computes with.
import type { Time } from './time.ts';

/** Where `.` points at the start. Opaque: only its fields can be read. */
export interface Environment {
  /** What followed the name, decoded, without leading slash. Byte string, as all text here. */
  readonly path: string;
  /** Login name of the caller; undefined when unknown. */
  readonly user: string | undefined;
  /** The request's query as sent, without `?`. */
  readonly query: string;
  /** The Host header. */
  readonly host: string;
  readonly now: Time;
}

/** Marks the root as a value of its own kind. */
export class Root {
  readonly env: Environment;
  constructor(env: Environment) {
    this.env = env;
  }
}

/** Types of integers that can be told apart; months and weekdays print their names. */
export type IntType = 'int' | 'int64' | 'uint8' | 'time.Month' | 'time.Weekday';

export class Int {
  readonly value: bigint;
  readonly type: IntType;
  constructor(value: bigint | number, type: IntType = 'int') {
    this.value = BigInt(value);
    this.type = type;
  }
}

/** A list of strings. */
export class List {
  readonly items: readonly string[];
  constructor(items: readonly string[]) {
    this.items = items;
  }
}

/** Strings are byte strings, numbers floating point, `null` no value. */
export type Value = string | number | boolean | Int | List | Time | Root | null;

/** A sentence about what is wrong with a call. */
export class CallError extends Error {
  readonly kind: 'run' | 'unsupported' | 'budget';
  constructor(message: string, kind: 'run' | 'unsupported' | 'budget' = 'run') {
    super(message);
    this.kind = kind;
  }
}

/** The name the type has in the language. */
export function typeName(value: Value): string {
  if (value === null) return '<nil>';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'float64';
  if (value instanceof Int) return value.type;
  if (value instanceof List) return '[]string';
  return value instanceof Root ? 'the whole environment' : 'time.Time';
}

export function isTrue(value: Value): boolean {
  if (value instanceof Int) return value.value !== 0n;
  if (value instanceof List) return value.items.length > 0;
  return Boolean(value);
}

const MONTHS =
  'January February March April May June July August September October November December'.split(
    ' ',
  );
const WEEKDAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** An integer as printed. */
export function intText(int: Int): string {
  const { type, value } = int;
  if (type === 'time.Month') return MONTHS[Number(value) - 1] ?? `%!Month(${value})`;
  if (type === 'time.Weekday') return WEEKDAYS[Number(value)] ?? `%!Weekday(${value})`;
  return String(value);
}
