// The values a template computes with.
import { NamedInt, Time } from './time.ts';

/** Where `.` points at the start. Opaque: only its fields can be read. */
export interface Environment {
  /** What followed the name, decoded, without leading slash. */
  readonly path: string;
  /** Login name of the caller; undefined when unknown. */
  readonly user: string | undefined;
  /** The request's query as sent, without `?`. */
  readonly query: string;
  readonly now: Time;
}

/** Marks the root as a value of its own kind. */
export class Root {
  readonly env: Environment;
  constructor(env: Environment) {
    this.env = env;
  }
}

/** `null` is nil. Numbers are integers. */
export type Value = string | number | boolean | NamedInt | Time | Root | null;

/** A sentence about what is wrong with a call. */
export class CallError extends Error {
  readonly unsupported: boolean;
  constructor(message: string, unsupported = false) {
    super(message);
    this.unsupported = unsupported;
  }
}

export function typeName(value: Value): string {
  if (value === null) return 'nil';
  if (value instanceof Time) return 'a time';
  if (value instanceof NamedInt) return 'an integer';
  if (value instanceof Root) return 'the whole environment';
  if (typeof value === 'number') return 'an integer';
  return typeof value === 'string' ? 'a string' : 'a boolean';
}

export function isTrue(value: Value): boolean {
  if (value instanceof NamedInt) return value.value !== 0;
  return value instanceof Time || value instanceof Root || Boolean(value);
}

/** A value as text in the output. */
export function printValue(value: Value): string {
  if (value === null) return '<nil>';
  if (value instanceof Root) throw new CallError('"." as a whole cannot be printed', true);
  if (value instanceof NamedInt) return value.text;
  return String(value);
}
