// eq ne lt le gt ge: which values compare, and how.
import { Time } from './time.ts';
import { CallError, Int, List, typeName, type Value } from './values.ts';

type Kind = 'string' | 'bool' | 'float' | 'integer' | 'none';

function kindOf(value: Value): Kind {
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'float';
  return value instanceof Int ? 'integer' : 'none';
}

const plain = (value: Value): Value | bigint => (value instanceof Int ? value.value : value);

/** Throws CallError for kinds that do not compare; nothing compares with no value without being an error. */
export function equal(a: Value, b: Value): boolean {
  const kind = kindOf(a);
  if (kind !== kindOf(b)) {
    if (a === null || b === null) return false;
    throw new CallError(`${typeName(a)} and ${typeName(b)} cannot be compared`);
  }
  if (kind !== 'none') return plain(a) === plain(b);
  if (a === null || b === null) return isNone(a) && isNone(b);
  if (a instanceof List || !(b instanceof Time))
    throw new CallError(`${typeName(a)} and ${typeName(b)} cannot be compared`);
  return a instanceof Time && a.ms === b.ms;
}

const isNone = (value: Value): boolean =>
  value === null || (value instanceof List && value.items.length === 0);

/** Throws CallError for kinds that have no order. */
export function less(a: Value, b: Value): boolean {
  const kind = kindOf(a);
  if (kind === 'none' || kind === 'bool' || kindOf(b) !== kind)
    throw new CallError(`${typeName(a)} and ${typeName(b)} have no order`);
  return (plain(a) as string) < (plain(b) as string);
}
