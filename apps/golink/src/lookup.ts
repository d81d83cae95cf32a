// From a path to a link and from a link to a place: what visits, pages and the command line share.
import { compile, type Destination, type Visit } from './destination.ts';
import { GolinkError } from './errors.ts';
import { type Link, linkId, trimPunctuation } from './links.ts';
import type { Store } from './store/store.ts';
import { readTarget } from './target.ts';

/** `/who/p/q` -> `who` and `p/q`. */
export interface LinkPath {
  readonly short: string;
  readonly rest: string;
}

/** `path` is decoded and begins with a slash. Nothing is normalised: `//` in the rest stays. */
export function splitPath(path: string): LinkPath {
  const slash = path.indexOf('/', 1);
  return slash < 0
    ? { short: path.slice(1), rest: '' }
    : { short: path.slice(1, slash), rest: path.slice(slash + 1) };
}

type Found = Link | undefined;

/** By any spelling; failing that, without punctuation at the end. Waits only where the database is elsewhere. */
export function findLink(store: Pick<Store, 'find'>, short: string): Found | Promise<Found> {
  const found = store.find(linkId(short));
  if (found instanceof Promise) return found.then((link) => link ?? findTrimmed(store, short));
  return found ?? findTrimmed(store, short);
}

function findTrimmed(store: Pick<Store, 'find'>, short: string): Found | Promise<Found> {
  const trimmed = trimPunctuation(short);
  return trimmed === short ? undefined : store.find(linkId(trimmed));
}

/** Compiled destinations, oldest first. */
const destinations: Map<string, Destination> = new Map();
const MAX_DESTINATIONS = 4_000;
/** Longer ones are compiled each time rather than kept. */
const MAX_KEPT_LENGTH = 2_000;

/** Compiled when first visited; some thousand are kept. */
export function destinationOf(link: Link): Destination {
  const key = link.append === 'path' ? `path ${link.long}` : link.long;
  const kept = destinations.get(key);
  if (kept !== undefined) return kept;
  const destination = compile(link.long, link.append);
  if (key.length > MAX_KEPT_LENGTH) return destination;
  if (destinations.size >= MAX_DESTINATIONS) {
    for (const oldest of destinations.keys()) {
      destinations.delete(oldest);
      if (destinations.size <= MAX_DESTINATIONS / 2) break;
    }
  }
  destinations.set(key, destination);
  return destination;
}

/** How many links may lead to each other. */
const MAX_HOPS = 10;

/**
 * Where an argument of the command line leads: `name`, `name/path`, `go/name/path` or `http://anyhost/name/path`.
 * Links to links here (no host, or `hostname`) are followed. Throws GolinkError.
 */
export async function resolveArgument(
  store: Pick<Store, 'find'>,
  argument: string,
  hostname: string,
  visit: Pick<Visit, 'user' | 'now' | 'schemes'>,
): Promise<string> {
  let path = argumentPath(argument, hostname);
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    const { short, rest } = splitPath(path);
    const link = await store.find(linkId(short));
    if (link === undefined)
      throw new GolinkError('ERR_NOT_FOUND', `There is no link ${hostname}/${short}.`);
    const bytes = destinationOf(link).locate({ ...visit, path: rest, query: '', host: hostname });
    const location = Buffer.from(bytes, 'latin1').toString('utf8');
    const next = localPath(location, hostname);
    if (next === undefined) return location;
    path = next;
  }
  throw tooLong(argument);
}

/** `name`: as somebody typed it. */
export function tooLong(name: string): GolinkError {
  return new GolinkError(
    'ERR_LOOP',
    `${name} leads through more than ${MAX_HOPS} links, in a circle perhaps. Change where one of them leads.`,
  );
}

/** The part behind the host where a Location is an address here: one without host, or with one of the names. */
export function ownPath(location: string, names: readonly string[]): string | undefined {
  if (location.startsWith('/')) return location.startsWith('//') ? undefined : location;
  const host = /^https?:\/\/([^/?#]*)/i.exec(location);
  if (host === null || !names.includes(host[1]!.toLowerCase())) return undefined;
  return location.slice(host[0].length);
}

/** Whether a path here leads through too many links before it leaves, or shows something. */
export async function leadsInCircles(
  store: Pick<Store, 'find'>,
  path: string,
  names: readonly string[],
  visit: Omit<Visit, 'path' | 'query'>,
): Promise<boolean> {
  let next: string | undefined = path;
  for (let hop = 1; hop < MAX_HOPS; hop++) {
    const target = next === undefined ? undefined : readTarget(next.replace(/#.*$/s, ''));
    if (target === undefined || target.path.startsWith('/.')) return false;
    const { short, rest } = splitPath(target.path);
    const link = await findLink(store, short);
    if (link === undefined) return false;
    try {
      const location = destinationOf(link).locate({ ...visit, path: rest, query: target.query });
      next = ownPath(location, names);
    } catch {
      // Whoever gets there is told.
      return false;
    }
  }
  return next !== undefined;
}

function argumentPath(argument: string, hostname: string): string {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(argument);
  const path = absolute !== null ? absolute[1]! : argument.replace(/[?#].*$/s, '');
  const rooted = path.startsWith('/') ? path : `/${path}`;
  // Only a whole first segment is the hostname: `golang` is a name.
  const inside =
    absolute === null && rooted.startsWith(`/${hostname}/`)
      ? rooted.slice(hostname.length + 1)
      : rooted;
  return decode(inside);
}

function localPath(location: string, hostname: string): string | undefined {
  const match = /^(?:https?:)?(?:\/\/([^/?#]*))?([^?#]*)/i.exec(location)!;
  const scheme = /^[a-z][a-z0-9+.-]*:/i.test(location);
  if (match[1] === undefined ? scheme : match[1].toLowerCase() !== hostname) return undefined;
  const path = match[2]!.startsWith('/') ? match[2]! : `/${match[2]!}`;
  return path === '/' || path.startsWith('/.') ? undefined : decode(path);
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new GolinkError('ERR_REQUEST', `${path} is not valid percent-encoded UTF-8.`, { cause });
  }
}
