// The coordination server's URL: its normal form, and the ports on which a connection may be tried.
//
//   server URL                                   plain attempt   TLS attempt
//   https://h                                    h:80            h:443
//   https://h:P                                  h:80            h:P
//   http://h[:P], public name or address         h:P (80)        h:443
//   http://h[:P], localhost or private address   h:P (80)        none
//
// A plain attempt is safe: Noise authenticates and encrypts what follows.
import { type Prefix, parseAddr, parsePrefix, prefixContains } from '@cove/protocol/netaddr';

export interface ControlUrl {
  /** Scheme, host and port, without a trailing slash. */
  readonly text: string;
  readonly secure: boolean;
  /** Name or IP literal without brackets. */
  readonly host: string;
  /** As in the URL, or the scheme's own. */
  readonly port: number;
  /** Path in front of every endpoint; '' for nearly every server. */
  readonly basePath: string;
}

/** Throws TypeError, naming the value, unless it is an http or https URL. */
export function parseControlUrl(text: string): ControlUrl {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(
      `control URL ${JSON.stringify(text)} is not a URL: write it with its scheme, as https://control.example.com`,
    );
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new TypeError(`control URL ${JSON.stringify(text)} must begin with https:// or http://`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError(`control URL ${JSON.stringify(text)} must be a plain server address`);
  }
  const secure = url.protocol === 'https:';
  const basePath = url.pathname.replace(/\/+$/, '');
  return {
    text: `${url.protocol}//${url.host}${basePath}`,
    secure,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    basePath,
  };
}

export interface DialTargets {
  readonly plain: number | undefined;
  readonly tls: number | undefined;
}

/** The ports to try. forceTls, where TLS is possible at all, leaves the plain attempt out. */
export function dialTargets(url: ControlUrl, forceTls: boolean): DialTargets {
  if (!url.secure && isLocal(url.host)) return { plain: url.port, tls: undefined };
  const tls = url.secure ? url.port : 443;
  return { plain: forceTls ? undefined : url.secure ? 80 : url.port, tls };
}

const LOCAL: readonly Prefix[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '127.0.0.0/8',
  '::1/128',
  'fc00::/7',
].map((text) => parsePrefix(text)!);

/** localhost, RFC 1918, loopback and fc00::/7; 100.64.0.0/10 is not among them. */
function isLocal(host: string): boolean {
  if (host === 'localhost') return true;
  const addr = parseAddr(host);
  return addr !== undefined && LOCAL.some((prefix) => prefixContains(prefix, addr));
}
