// The request target: split, decoded, and for internal pages cleaned as a file path is.

export interface Target {
  /** Decoded; begins with a slash. */
  readonly path: string;
  /** As sent, without `?`. */
  readonly query: string;
}

/** Undefined for what is no path or not percent-encoded UTF-8. */
export function readTarget(url: string): Target | undefined {
  // Absolute form (RFC 9112 3.2.2): the authority plays no part.
  const target = url.startsWith('/')
    ? url
    : url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(?=[/?]|$)/i, '');
  const mark = target.indexOf('?');
  const raw = (mark < 0 ? target : target.slice(0, mark)) || '/';
  if (!raw.startsWith('/')) return undefined;
  const query = mark < 0 ? '' : target.slice(mark + 1);
  if (!raw.includes('%')) return { path: raw, query };
  try {
    return { path: decodeURIComponent(raw), query };
  } catch {
    return undefined;
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

/** A path as it is written in a Location header. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
