// The request target: split, decoded, and for internal pages cleaned as a file path is.
import { fromBytes } from './template/utf8.ts';

export interface Target {
  /** Decoded; begins with a slash. A byte that is no UTF-8 stands as a lone surrogate. */
  readonly path: string;
  /** The path as sent. */
  readonly raw: string;
  /** As sent, without `?`. */
  readonly query: string;
}

/** Undefined for what is no path or has a percent sign with no two hexadecimal digits behind it. */
export function readTarget(url: string): Target | undefined {
  // Of the whole service (RFC 9112 3.2.4), which has no link of that name.
  if (url === '*') return { path: '/*', raw: '/*', query: '' };
  // Absolute form (RFC 9112 3.2.2): the authority plays no part.
  const target = url.startsWith('/')
    ? url
    : url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(?=[/?]|$)/i, '');
  const mark = target.indexOf('?');
  const raw = (mark < 0 ? target : target.slice(0, mark)) || '/';
  if (!raw.startsWith('/')) return undefined;
  const query = mark < 0 ? '' : target.slice(mark + 1);
  if (!raw.includes('%')) return { path: raw, raw, query };
  try {
    return { path: decodeURIComponent(raw), raw, query };
  } catch {
    if (/%(?![0-9A-Fa-f]{2})/.test(raw)) return undefined;
    const bytes = raw.replace(/%(..)/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    return { path: fromBytes(bytes), raw, query };
  }
}

/** Resolves `.`, `..` and repeated slashes; a slash at the end stays. */
export function cleanPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') kept.pop();
    else kept.push(segment);
  }
  const cleaned = `/${kept.join('/')}`;
  return path.endsWith('/') && cleaned !== '/' ? `${cleaned}/` : cleaned;
}

/** Where a request for an internal page that is not written as it should be is sent, with its method and form (307). */
export function tidyTarget({ raw, query }: Target): string | undefined {
  let path = cleanPath(raw);
  if (path === '/.detail' || path === '/.delete' || path === '/.static') path += '/';
  if (path === raw) return undefined;
  const escaped = path.replace(/[^!-~]|["<>\\^`{|}]/g, encodeURIComponent);
  return query === '' ? escaped : `${escaped}?${query}`;
}

/** A decoded path as routes match it. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeSegment).join('/');
}

function encodeSegment(segment: string): string {
  return encodeURIComponent(segment.replace(/\p{Surrogate}/gu, '\ufffd'));
}
