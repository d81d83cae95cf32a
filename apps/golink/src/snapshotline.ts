// One line of a snapshot: a link as JSON; a link that only leads to another (`AliasOf`), which golink takes as a link of
// its own; or clicks (`Stats`), which golink skips as a line without a name.
//
// Reading is tolerant as snapshots of other versions need it: keys in any case, null for absent, unknown keys ignored.
import { isSafeUrl } from '@cove/web';
import { GolinkError } from './errors.ts';
import { checkName, checkTexts, checkWords, MAX_DESCRIPTION } from './linkeditor.ts';
import {
  isValidName,
  LAST_TIME,
  type Link,
  linkId,
  linkJson,
  newLink,
  parseTime,
  ZERO_TIME,
} from './links.ts';
import type { StatsRow } from './store/clicks.ts';

export type SnapshotLine =
  | { readonly kind: 'link'; readonly link: Link }
  /** `link` leads to `of`, the name of another link, and stands for it where that link knows it. */
  | { readonly kind: 'alias'; readonly link: Link; readonly of: string }
  | { readonly kind: 'stats'; readonly rows: readonly StatsRow[] }
  | { readonly kind: 'invalid'; readonly short: string; readonly reason: string };

/** A link, and behind it its other names in the form that golink can import. No newline at the end. */
export function linkLines(link: Link): string {
  if (link.aliases.length === 0) return linkJson(link);
  const { created, lastEdit, owner } = link;
  const others = link.aliases.map((short) => {
    const alias = newLink({ short, long: `/${link.short}`, created, lastEdit, owner });
    return `${linkJson(alias).slice(0, -1)},"AliasOf":${JSON.stringify(link.short)}}`;
  });
  return [linkJson(link), ...others].join('\n');
}

export function statsLine(rows: readonly StatsRow[]): string {
  return JSON.stringify({ Stats: rows.map(({ id, at, clicks }) => [id, at, clicks]) });
}

export function parseSnapshotLine(text: string): SnapshotLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return invalid('is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return invalid('is not an object');
  const fields = new Map<string, unknown>();
  for (const [key, field] of Object.entries(value)) {
    if (field !== null) fields.set(key.toLowerCase(), field);
  }
  const stats = fields.get('stats');
  if (stats !== undefined && !fields.has('short')) return parseStats(stats);
  return parseLink(fields);
}

function parseLink(fields: ReadonlyMap<string, unknown>): SnapshotLine {
  const texts: Record<string, string> = {};
  for (const key of ['short', 'long', 'owner', 'created', 'lastedit', 'description', 'aliasof']) {
    const field = fields.get(key) ?? '';
    if (typeof field !== 'string') return invalid(`has a ${key} that is no text`);
    texts[key] = field;
  }
  const short = texts['short']!;
  const long = texts['long']!;
  if (short === '') return invalid('has no name');
  if (!isValidName(short)) return invalid('has a name no link can have', short);
  const wrong = refusal(() => {
    checkName(short);
    checkTexts({ long, owner: texts['owner']!, description: texts['description']! });
  });
  if (wrong !== undefined) return invalid(`has a ${wrong}`, short);
  if (!isSafeUrl(long)) return invalid('leads to an address that would run script', short);
  const created = texts['created'] === '' ? ZERO_TIME : parseTime(texts['created']!);
  const lastEdit = texts['lastedit'] === '' ? ZERO_TIME : parseTime(texts['lastedit']!);
  if (created === undefined || lastEdit === undefined)
    return invalid('has a time that is not RFC 3339', short);
  const plain = { short, long, owner: texts['owner']!, created, lastEdit };
  if (texts['aliasof'] !== '' && linkId(texts['aliasof']!) !== linkId(short))
    return { kind: 'alias', link: newLink(plain), of: texts['aliasof']! };
  const more = parseMore(fields, texts['description']!);
  if (typeof more === 'string') return invalid(more, short);
  return { kind: 'link', link: newLink({ ...plain, ...more }) };
}

type More = Pick<Link, 'description' | 'tags' | 'editors' | 'aliases' | 'openEdit' | 'append'>;

/** What golink does not know of a link; a reason where it will not do. */
function parseMore(fields: ReadonlyMap<string, unknown>, description: string): More | string {
  if (description.length > MAX_DESCRIPTION)
    return `has a description of more than ${MAX_DESCRIPTION} characters`;
  const lists: Record<string, readonly string[]> = {};
  for (const key of ['tags', 'editors', 'aliases']) {
    const list = fields.get(key) ?? [];
    if (!Array.isArray(list) || list.some((word) => typeof word !== 'string'))
      return `has ${key} that are no list of words`;
    const wrong = refusal(() => checkWords(key, list));
    if (wrong !== undefined) return `has ${wrong}`;
    lists[key] = [...new Set(list as string[])];
  }
  const aliases = lists['aliases']!;
  if (!aliases.every(isValidName)) return 'has another name that no link can have';
  const openEdit = fields.get('openedit') ?? false;
  const append = fields.get('append') ?? 'end';
  if (typeof openEdit !== 'boolean') return 'has an openedit that is neither true nor false';
  if (append !== 'end' && append !== 'path') return 'has an append that is neither end nor path';
  return {
    ...{ description, openEdit, append, aliases },
    tags: lists['tags']!.map((tag) => tag.toLowerCase()),
    editors: lists['editors']!,
  };
}

/** What an edit would be refused for. */
function refusal(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof GolinkError) return error.message;
    throw error;
  }
}

/** Rows of ID (in any spelling), seconds and clicks. */
function parseStats(value: unknown): SnapshotLine {
  if (!Array.isArray(value)) return invalid('has clicks that are no list');
  const rows: StatsRow[] = [];
  for (const row of value as unknown[]) {
    const [id, at, clicks] = Array.isArray(row) ? (row as unknown[]) : [];
    if (typeof id !== 'string' || !isCount(at) || at > LAST_TIME || !isCount(clicks))
      return invalid('has clicks that are no [name, seconds, count]');
    if (clicks > 0) rows.push({ id: linkId(id), at, clicks });
  }
  return { kind: 'stats', rows };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function invalid(reason: string, short = ''): SnapshotLine {
  return { kind: 'invalid', short, reason };
}
