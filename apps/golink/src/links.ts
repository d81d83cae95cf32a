// A link, its name, and the JSON form that pages, the API and snapshots share.
//
// Names compare without case and without hyphens: the ID is the name in lower case, percent-escaped as a path
// segment, every `-` removed. JSON has the keys Short, Long, Created, LastEdit, Owner in that order; times are
// RFC 3339 in UTC; `<`, `>`, `&`, U+2028 and U+2029 are written as escapes.
import { toLower } from './casemap.ts';
import { pathEscape } from './escape.ts';

export interface Link {
  /** Normalised name; the key. */
  readonly id: string;
  /** The name as last written by a person. */
  readonly short: string;
  /** Destination: a URL, or a template when it contains `{{`. */
  readonly long: string;
  /** Seconds since the epoch. */
  readonly created: number;
  /** Seconds since the epoch. */
  readonly lastEdit: number;
  /** Login name, `tagged-devices` for a machine's; empty when unowned. */
  readonly owner: string;
}

/** 0001-01-01T00:00:00Z, how an unset time is written. */
export const ZERO_TIME = -62_135_596_800;
/** 9999-12-31T23:59:59Z, the last second RFC 3339 can write. */
const LAST_TIME = 253_402_300_799;

/** What a name may look like when saved: letters, digits, underscore; then also dash and period. */
export function isValidName(short: string): boolean {
  return /^[0-9A-Za-z_][0-9A-Za-z_.-]*$/.test(short);
}

export function linkId(short: string): string {
  return pathEscape(toLower(short)).replaceAll('-', '');
}

/** The name without a run of `. , ( ) [ ] { }` at its end, which people paste along with a link. */
export function trimPunctuation(short: string): string {
  let end = short.length;
  while (end > 0 && '.,()[]{}'.includes(short[end - 1]!)) end--;
  return short.slice(0, end);
}

/** One line, or indented by two spaces; no newline at the end. */
export function linkJson(link: Link, indent?: 2): string {
  const text = JSON.stringify(
    {
      Short: link.short,
      Long: link.long,
      Created: formatTime(link.created),
      LastEdit: formatTime(link.lastEdit),
      Owner: link.owner,
    },
    undefined,
    indent,
  );
  return text.replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function formatTime(seconds: number): string {
  if (seconds === ZERO_TIME) return '0001-01-01T00:00:00Z';
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** RFC 3339 with any offset, to whole seconds (rounded down); undefined when it is none. */
export function parseTime(text: string): number | undefined {
  const match =
    /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(?:Z|([+-])(\d\d):(\d\d))$/.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offset =
    (Number(match[8] ?? 0) * 60 + Number(match[9] ?? 0)) * (match[7] === '-' ? -60 : 60);
  const seconds = date.getTime() / 1000 - offset;
  return seconds < ZERO_TIME || seconds > LAST_TIME ? undefined : seconds;
}
