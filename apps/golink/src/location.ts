// The Location of a redirect: an expanded destination parsed as a URL, the request's query merged in, and written
// out again. Follows the rules of Go's net/url, on which saved destinations rely, not those of the browser's URL
// standard: existing percent-escapes survive with their case, a relative destination stays relative, opaque forms
// (`mailto:`) pass through.
//
// Everything here works on byte strings: one char per byte of UTF-8, ready to be written as a header.
import { isIPv6 } from 'node:net';
import { GolinkError } from './errors.ts';
import {
  type EscapeTable,
  escapeBytes,
  escapeTable,
  queryEscapeBytes,
  unescapeBytes,
} from './escape.ts';

/** A parsed URL; host, path and fragment as written, checked to be decodable. */
interface Parts {
  readonly scheme: string;
  readonly opaque: string;
  readonly authority: string | undefined;
  readonly path: string;
  /** Without `?`; undefined when there was none. */
  readonly query: string | undefined;
  readonly fragment: string;
}

/** What a destination may begin with, unless the service says otherwise; those without a scheme are always followed. */
export const DEFAULT_SCHEMES: ReadonlySet<string> = new Set(['http', 'https', 'mailto', 'tel']);

/** What a browser would run, or show as ours, rather than go to. */
const NEVER: ReadonlySet<string> = new Set(
  'javascript vbscript data blob filesystem view-source'.split(' '),
);

/** `HTTPS:` -> `https`. Throws TypeError for what is no scheme, or one that is never followed. */
export function schemeSet(schemes: readonly string[]): ReadonlySet<string> {
  const set = new Set(schemes.map((scheme) => scheme.toLowerCase().replace(/:(\/\/)?$/, '')));
  for (const scheme of set)
    if (!/^[a-z][a-z0-9+.-]*$/.test(scheme) || NEVER.has(scheme))
      throw new TypeError(`schemes: ${JSON.stringify(scheme)} cannot be one of them`);
  return set;
}

/**
 * `expanded`: what the destination's template gave. `query`: the request's, without `?`; merged when it has any
 * well-formed pair. Takes and returns byte strings. Throws GolinkError ERR_LOCATION.
 */
export function buildLocation(
  expanded: string,
  query: string,
  schemes: ReadonlySet<string> = DEFAULT_SCHEMES,
): string {
  const parts = parse(expanded);
  if (parts.scheme !== '' && !schemes.has(parts.scheme))
    throw fail(expanded, `links to ${parts.scheme}: are not followed`);
  if (query === '') return format(parts, parts.query);
  const pairs: Pair[] = [];
  readPairs(parts.query ?? '', pairs);
  const own = pairs.length;
  readPairs(query, pairs);
  return format(parts, pairs.length === own ? parts.query : encodePairs(pairs));
}

function fail(text: string, why: string): GolinkError {
  const shown = Buffer.from(text, 'latin1').toString('utf8');
  const short = shown.length > 200 ? `${shown.slice(0, 200)}...` : shown;
  return new GolinkError('ERR_LOCATION', `This link leads to ${JSON.stringify(short)}: ${why}.`);
}

function parse(text: string): Parts {
  const hash = text.indexOf('#');
  const fragment = hash < 0 ? '' : text.slice(hash + 1);
  let rest = hash < 0 ? text : text.slice(0, hash);
  // In a fragment they are escaped on the way out.
  if (/[\u0000-\u001f\u007f]/.test(rest)) throw fail(text, 'a URL cannot hold control characters');
  checkEscapes(text, fragment);
  if (rest.startsWith(':')) throw fail(text, 'the scheme before ":" is missing');
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*(?=:)/.exec(rest)?.[0] ?? '';
  if (scheme !== '') rest = rest.slice(scheme.length + 1);
  const mark = rest.indexOf('?');
  const query = mark < 0 ? undefined : rest.slice(mark + 1);
  if (mark >= 0) rest = rest.slice(0, mark);
  let opaque = '';
  if (!rest.startsWith('/')) {
    if (scheme !== '') {
      opaque = rest;
      rest = '';
    } else if (/^[^/]*:/.test(rest))
      throw fail(text, 'the first part of a relative address cannot contain a colon');
  }
  let authority: string | undefined;
  if (rest.startsWith('//') && (scheme !== '' || !rest.startsWith('///'))) {
    const slash = rest.indexOf('/', 2);
    authority = normalAuthority(text, scheme, rest.slice(2, slash < 0 ? undefined : slash));
    rest = slash < 0 ? '' : rest.slice(slash);
  }
  checkEscapes(text, rest);
  return { scheme: scheme.toLowerCase(), opaque, authority, path: rest, query, fragment };
}

function checkEscapes(text: string, part: string): void {
  if (!part.includes('%')) return;
  const bad = /%(?![0-9A-Fa-f]{2})[\s\S]{0,2}/.exec(part);
  if (bad !== null) throw fail(text, `${JSON.stringify(bad[0])} is no percent-escape`);
}

/** User-info, host and port, checked and written as they will be sent. */
function normalAuthority(text: string, scheme: string, authority: string): string {
  if (/^[A-Za-z0-9\-._~]*$/.test(authority)) return authority;
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  let userInfo = '';
  if (at >= 0) {
    const given = authority.slice(0, at);
    if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(given))
      throw fail(text, 'its user-info has a character that must be escaped');
    checkEscapes(text, given);
    const colon = given.indexOf(':');
    const name = colon < 0 ? given : given.slice(0, colon);
    const password = colon < 0 ? '' : `:${reescape(given.slice(colon + 1), USERINFO)}`;
    userInfo = `${reescape(name, USERINFO)}${password}@`;
  }
  const close = host.startsWith('[') ? host.lastIndexOf(']') : -1;
  // Only what the web uses is strict about a second colon.
  const colon = /^https?$/i.test(scheme) ? host.indexOf(':') : host.lastIndexOf(':');
  const port = close > 0 ? host.slice(close + 1) : colon >= 0 ? host.slice(colon) : '';
  if (!/^(?::[0-9]*)?$/.test(port)) throw fail(text, `${JSON.stringify(port)} is no port`);
  if (close > 0) return `${userInfo}[${normalAddress(text, host.slice(1, close))}]${port}`;
  const name = host.slice(0, host.length - port.length);
  if (name.includes('[')) throw fail(text, 'a bracket is out of place in its host');
  // In a host only bytes above ASCII may be escaped, and % itself.
  const bad = /%(?!25|[89A-Fa-f][0-9A-Fa-f])|[^A-Za-z0-9\-._~!"$&'()*+,;=:\]<>%\u0080-\u00ff]/.exec(
    name,
  );
  if (bad !== null) throw fail(text, `${JSON.stringify(bad[0])} cannot be in a host name`);
  return userInfo + escapeBytes(unescapeBytes(name), HOST) + port;
}

/** An IPv6 address, its zone behind `%25` (RFC 6874). */
function normalAddress(text: string, inside: string): string {
  const mark = inside.indexOf('%25');
  const address = mark < 0 ? inside : inside.slice(0, mark);
  const zone = mark < 0 ? undefined : inside.slice(mark + 3);
  if (!isIPv6(address) || address.includes('%') || zone === '')
    throw fail(text, `${JSON.stringify(inside)} is no IPv6 address`);
  if (zone === undefined) return address;
  let out = `${address}%25`;
  for (const [written, escaped] of zone.matchAll(/%([0-9A-Fa-f]{2})|[\s\S]/g)) {
    const char = escaped === undefined ? written : unescapeBytes(written);
    if (ZONE_PLAIN.test(char)) out += char;
    else if (escaped === undefined ? char > '\u007f' : char === '%' || char === ' ')
      out += escapeBytes(char, HOST);
    else throw fail(text, `${JSON.stringify(written)} cannot be in the zone of an address`);
  }
  return out;
}

const HOST = escapeTable(/[^ %\u0080-\u00ff]/);

const ZONE_PLAIN = /[A-Za-z0-9\-._~!"$&'()*+,;=:[\]<>]/;

const USERINFO = escapeTable(/[A-Za-z0-9\-_.~$&+,;=]/);
/** What a path may hold as written. */
const PATH_VALID = /^[A-Za-z0-9\-_.~!$&'()*+,;=:@[\]/%]*$/;
/** When a path has to be escaped anew. */
const PATH = escapeTable(/[A-Za-z0-9\-_.~$&+,/:;=@]/);
const FRAGMENT_VALID = /^[A-Za-z0-9\-_.~!$&'()*+,;=:@[\]/?%]*$/;
const FRAGMENT = escapeTable(/[A-Za-z0-9\-_.~$&+,/:;=?@!()*]/);

/** `query`: instead of its own. */
function format(parts: Parts, query: string | undefined): string {
  const { scheme, opaque, authority, fragment } = parts;
  let out = scheme === '' ? '' : `${scheme}:`;
  if (opaque !== '') out += opaque;
  else {
    const path = PATH_VALID.test(parts.path) ? parts.path : reescape(parts.path, PATH);
    if (authority !== undefined && authority + path !== '') out += `//${authority}`;
    out += path;
  }
  if (query !== undefined) out += `?${query}`;
  if (fragment !== '')
    out += `#${FRAGMENT_VALID.test(fragment) ? fragment : reescape(fragment, FRAGMENT)}`;
  return out;
}

/** Decodes and encodes again, so that what needs escaping is escaped and nothing twice. */
function reescape(text: string, table: EscapeTable): string {
  return escapeBytes(unescapeBytes(text), table);
}

interface Pair {
  readonly key: string;
  readonly value: string;
}

/** Form pairs in order; those with bad escapes or a semicolon are dropped. */
function readPairs(query: string, pairs: Pair[]): void {
  if (query === '') return;
  for (const part of query.split('&')) {
    if (part === '' || part.includes(';')) continue;
    if (part.includes('%') && /%(?![0-9A-Fa-f]{2})/.test(part)) continue;
    const equals = part.indexOf('=');
    pairs.push({
      key: decode(equals < 0 ? part : part.slice(0, equals)),
      value: equals < 0 ? '' : decode(part.slice(equals + 1)),
    });
  }
}

function decode(text: string): string {
  return unescapeBytes(text.includes('+') ? text.replaceAll('+', ' ') : text);
}

/** Sorted by key; values of one key keep their order. Sorts what it is given. */
function encodePairs(pairs: Pair[]): string {
  let out = '';
  for (const { key, value } of pairs.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)))
    out += `${out === '' ? '' : '&'}${queryEscapeBytes(key)}=${queryEscapeBytes(value)}`;
  return out;
}
