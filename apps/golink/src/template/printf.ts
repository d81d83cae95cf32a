// The part of printf that destinations use: %s, %d, %v and %%, with the flags `-` and `0` and a width.
import { NamedInt } from './time.ts';
import { CallError, printValue, type Value } from './values.ts';

const MAX_WIDTH = 64;

/** Throws CallError for any other verb and where verbs and values do not fit. */
export function formatVerbs(format: string, values: readonly Value[]): string {
  let used = 0;
  const out = format.replace(
    /%([-0]*)(\d*)([\s\S]?)/gu,
    (whole, flags: string, width: string, verb: string) => {
      if (verb === '%' && whole === '%%') return '%';
      if (!['s', 'd', 'v'].includes(verb) || Number(width) > MAX_WIDTH)
        throw new CallError(`printf does not have ${JSON.stringify(whole)}`, true);
      const value = values[used++];
      if (value === undefined) throw new CallError('printf has fewer values than verbs');
      return pad(text(verb, value), flags, Number(width), typeof value !== 'string');
    },
  );
  if (used < values.length) throw new CallError('printf has more values than verbs');
  return out;
}

function text(verb: string, value: Value): string {
  const number = value instanceof NamedInt ? value.value : value;
  if (verb === 'd') {
    if (typeof number !== 'number') throw new CallError('printf %d needs an integer');
    return String(number);
  }
  if (verb === 's' && typeof value !== 'string' && !(value instanceof NamedInt))
    throw new CallError('printf %s needs a string');
  return printValue(value);
}

function pad(value: string, flags: string, width: number, numeric: boolean): string {
  const length = [...value].length;
  if (length >= width) return value;
  const fill = width - length;
  if (flags.includes('-')) return value + ' '.repeat(fill);
  if (!flags.includes('0')) return ' '.repeat(fill) + value;
  if (!numeric) throw new CallError('printf pads only numbers with zeros', true);
  return value.startsWith('-') ? `-${'0'.repeat(fill)}${value.slice(1)}` : '0'.repeat(fill) + value;
}
