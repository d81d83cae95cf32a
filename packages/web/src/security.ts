// Response headers of every page, and the two checks that keep other sites' pages out: the Host header (DNS
// rebinding) and the origin of a state-changing request (cross-site request forgery). Network identity is ambient,
// like a cookie without SameSite, so both matter even though nothing here uses cookies.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { WebError } from './errors.ts';

/** The shape of an Express middleware, without Express. */
export type Middleware = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void;

export interface SecurityHeaderOptions {
  /** Further origins images may come from, for instance that of the caller's picture. */
  readonly imageOrigins?: readonly string[];
}

/** Headers for a page that carries no inline script or style. */
export function securityHeaders(options: SecurityHeaderOptions = {}): Record<string, string> {
  const images = ["'self'", 'data:', ...(options.imageOrigins ?? [])].join(' ');
  return {
    'Content-Security-Policy':
      `default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; font-src 'self'; ` +
      `img-src ${images}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'`,
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    // Not no-referrer: with that, browsers send `Origin: null` with our own forms.
    'Referrer-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  };
}

/** Express middleware that sets the headers above; a page may widen img-src before it answers. */
export function secureHeaders(): Middleware {
  const fixed = securityHeaders();
  return (_req, res, next) => {
    for (const [name, value] of Object.entries(fixed)) res.setHeader(name, value);
    next();
  };
}

/** The origin of an https picture, or undefined when it is not one that may be shown. */
export function imageOrigin(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  try {
    const parsed = new URL(url);
    // A semicolon, comma or quote in a host would end the CSP directive.
    return parsed.protocol === 'https:' && /^[a-z0-9.:[\]-]+$/.test(parsed.host)
      ? parsed.origin
      : undefined;
  } catch {
    return undefined;
  }
}

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/**
 * False when a browser says that another site's page caused this state-changing request. Sec-Fetch-Site decides
 * where it is sent (secure origins); elsewhere Origin must name the host asked. Neither header: not a browser's
 * cross-site request, since browsers attach Origin to every cross-origin POST.
 */
export function isSameOrigin(req: IncomingMessage): boolean {
  if (SAFE_METHODS.has(req.method ?? 'GET')) return true;
  const site = req.headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  const origin = req.headers.origin;
  if (origin === undefined) return true;
  try {
    const parsed = new URL(origin);
    return (
      (parsed.protocol === 'http:' || parsed.protocol === 'https:') &&
      parsed.host === new URL(`${parsed.protocol}//${req.headers.host ?? ''}`).host
    );
  } catch {
    return false;
  }
}

/** Express middleware that refuses what isSameOrigin calls foreign, with WebError ERR_CROSS_SITE (403). */
export function refuseCrossSite(): Middleware {
  return (req, _res, next) =>
    next(
      isSameOrigin(req)
        ? undefined
        : new WebError(
            'ERR_CROSS_SITE',
            'This change was asked for by a page of another site, so it was not made.',
          ),
    );
}

/**
 * True for a Host header a page elsewhere cannot have pointed at us: an IP address, a single label, a name that only
 * local resolvers or MagicDNS answer for, or one of `own` (names without port, compared without case).
 */
export function isOwnHost(host: string | undefined, own: readonly string[] = []): boolean {
  const name = hostName(host);
  if (name === undefined) return false;
  if (isIP(name) !== 0 || !name.includes('.')) return true;
  if (/\.(?:localhost|internal|ts\.net)$/.test(name)) return true;
  return own.some((one) => one.toLowerCase().replace(/\.$/, '') === name);
}

function hostName(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:\s/@]+))(?::\d*)?$/.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '');
}

/** Express middleware that refuses foreign Host headers with WebError ERR_FOREIGN_HOST (421). */
export function refuseForeignHost(own: () => readonly string[]): Middleware {
  return (req, _res, next) =>
    next(
      isOwnHost(req.headers.host, own())
        ? undefined
        : new WebError(
            'ERR_FOREIGN_HOST',
            'This service does not answer under that host name. Use its own name or address.',
          ),
    );
}
