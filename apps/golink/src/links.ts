// A link, its name, and the JSON form that pages, the API and snapshots share.
//
// Names compare without case and without hyphens: the ID is the name in lower case, percent-escaped as a path
// segment, every `-` removed. JSON has the keys Short, Long, Created, LastEdit, Owner in that order, and behind them those golink
// does not have, where they are set; times are RFC 3339 in UTC; `<`, `>`, `&`, U+2028 and U+2029 are written as escapes.
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
  readonly description: string;
  /** Lower case, without blanks. */
  readonly tags: readonly string[];
  /** Who may edit besides the owner: logins, and groups as `group:name`. */
  readonly editors: readonly string[];
  /** Other names that lead here, as written. */
  readonly aliases: readonly string[];
  /** Everyone may edit. */
  readonly openEdit: boolean;
  /**
   * Where what follows the name goes when a plain destination has a query or fragment: behind everything, as golink
   * does, or behind the path.
   */
  readonly append: 'end' | 'path';
  /** Grows by one with each change; 1 for a new link. */
  readonly version: number;
}

/** What a snapshot of golink says of a link; the rest is as in a new link. */
export type PlainLink = Pick<Link, 'short' | 'long' | 'owner' | 'created' | 'lastEdit'>;

export function newLink(fields: PlainLink & Partial<Omit<Link, 'id' | 'version'>>): Link {
  // Written out: imports make many.
  return {
    id: linkId(fields.short),
    short: fields.short,
    long: fields.long,
    created: fields.created,
    lastEdit: fields.lastEdit,
    owner: fields.owner,
    description: fields.description ?? '',
    tags: fields.tags ?? [],
    editors: fields.editors ?? [],
    aliases: fields.aliases ?? [],
    openEdit: fields.openEdit ?? false,
    append: fields.append ?? 'end',
    version: 1,
  };
}

/** 0001-01-01T00:00:00Z, how an unset time is written. */
export const ZERO_TIME = -62_135_596_800;
/** 9999-12-31T23:59:59Z, the last second RFC 3339 can write. */
export const LAST_TIME: number = 253_402_300_799;

/** What a name may look like when saved: letters, digits, underscore; then also dash and period. */
export function isValidName(short: string): boolean {
  return /^[0-9A-Za-z_][0-9A-Za-z_.-]*$/.test(short);
}

/** Longer ones do not fit into every database's index. */
export const MAX_NAME: number = 1_000;
export const MAX_OWNER: number = 500;

/** Whether every database keeps it as it is: no NUL, and no half of a character outside the Basic Multilingual Plane. */
export function isKeepable(text: string): boolean {
  return !/[\0\p{Surrogate}]/u.test(text);
}

/** The text with what no database keeps replaced, to look for. */
export function keepable(text: string): string {
  return text.replace(/[\0\p{Surrogate}]/gu, '\ufffd');
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

/** The keys of a snapshot in their order, then those that golink does not have, where they say something. */
export function linkFields(link: Link): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = {
    Short: link.short,
    Long: link.long,
    Created: formatTime(link.created),
    LastEdit: formatTime(link.lastEdit),
    Owner: link.owner,
  };
  if (link.description !== '') fields['Description'] = link.description;
  if (link.tags.length > 0) fields['Tags'] = link.tags;
  if (link.editors.length > 0) fields['Editors'] = link.editors;
  if (link.aliases.length > 0) fields['Aliases'] = link.aliases;
  if (link.openEdit) fields['OpenEdit'] = true;
  if (link.append !== 'end') fields['Append'] = link.append;
  return fields;
}

/** One line, or indented by two spaces; no newline at the end. */
export function linkJson(link: Link, indent?: 2): string {
  return escaped(linkFields(link), indent);
}

function escaped(fields: Readonly<Record<string, unknown>>, indent?: 2): string {
  return JSON.stringify(fields, undefined, indent).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** As the answer to a save tells it: with the milliseconds of the moment it was saved at. */
export function savedJson(link: Link, at: number, created: boolean): string {
  const moment = new Date(at).toISOString().replace(/\.?0*Z$/, 'Z');
  return escaped({ ...linkFields(link), ...(created && { Created: moment }), LastEdit: moment });
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
