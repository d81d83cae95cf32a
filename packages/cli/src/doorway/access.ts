// Who may use the doorway. It carries its owner's identity, so it must not serve another machine, another name that
// a hostile DNS answer pointed at loopback, or a write started by a foreign page.
import type { IncomingHttpHeaders } from 'node:http';

export type Verdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly status: number; readonly reason: string };

const LOOPBACK_V4 = /^127\.(?:\d{1,3})\.(?:\d{1,3})\.(?:\d{1,3})$/;

/** The host name of a Host header in lower case, without port; `undefined` if it is not one. */
export function hostName(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d{1,5})?$/.exec(host.toLowerCase());
  return match?.[1]?.replace(/\.$/, '');
}

/** `localhost`, any name below it, and loopback literals. */
export function isLoopbackName(name: string): boolean {
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '[::1]' ||
    LOOPBACK_V4.test(name)
  );
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Judges one request by its method and headers.
 * A write must come from the same origin: browsers say so in Sec-Fetch-Site or Origin; programs such as curl send
 * neither and are let through, because no web page can make a browser omit them.
 */
export function judge(method: string, headers: IncomingHttpHeaders): Verdict {
  const name = hostName(headers.host);
  if (name === undefined || !isLoopbackName(name)) {
    return { ok: false, status: 421, reason: 'The doorway answers only for localhost.' };
  }
  if (SAFE_METHODS.has(method)) return { ok: true };
  const refused: Verdict = {
    ok: false,
    status: 403,
    reason: 'A page of another site tried to change something here. It was refused.',
  };
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return refused;
  if (headers.origin !== undefined && headers.origin !== `http://${headers.host}`) return refused;
  return { ok: true };
}
