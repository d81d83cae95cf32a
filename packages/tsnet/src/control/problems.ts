// Why the coordination server could not be reached, in a sentence the person who set it up can act on.
import { ProtocolError } from '@cove/protocol/bytes';
import { TsnetError } from '../errors.ts';
import type { ControlUrl } from './controlurl.ts';

/** OpenSSL and Node names of failures of the certificate itself. */
const CERTIFICATE_CODES = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_REVOKED',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

/** The typed error for a failed connection attempt. */
export function connectError(url: ControlUrl, cause: unknown): TsnetError {
  if (cause instanceof TsnetError) return cause;
  const { code, message } = firstError(cause);
  if (code === 'CERT_NOT_YET_VALID' || code === 'CRL_NOT_YET_VALID') {
    return new TsnetError(
      'ERR_CONTROL_CLOCK',
      `the certificate of ${url.text} is not valid yet: this machine's clock says ` +
        `${new Date().toISOString()} and is probably wrong`,
      { cause },
    );
  }
  if (code !== undefined && CERTIFICATE_CODES.has(code)) {
    return new TsnetError(
      'ERR_CONTROL_TLS',
      `the certificate of ${url.text} is not trusted: ${message}${tlsHint(code)}`,
      { cause },
    );
  }
  if (code === 'EPROTO' || code?.startsWith('ERR_SSL_') || code?.startsWith('ERR_TLS_')) {
    const plain = code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER';
    return new TsnetError(
      'ERR_CONTROL_TLS',
      `TLS with ${url.text} fails: ${message}${plain ? ' (does it speak plain http there?)' : ''}`,
      { cause },
    );
  }
  if (code?.startsWith('HPE_') || message.startsWith('more than ')) {
    return new TsnetError(
      'ERR_CONTROL_NOT_TAILSCALE',
      `${url.text} is not a Tailscale control server: its answer is not HTTP or too long (${message})`,
      { cause },
    );
  }
  return new TsnetError(
    'ERR_CONTROL_UNREACHABLE',
    `the control server ${url.text} cannot be reached: ${message}`,
    { cause },
  );
}

function tlsHint(code: string): string {
  if (code === 'CERT_HAS_EXPIRED') {
    return ` (this machine's clock says ${new Date().toISOString()})`;
  }
  return code === 'ERR_TLS_CERT_ALTNAME_INVALID' ? '' : ' (NODE_EXTRA_CA_CERTS adds a private CA)';
}

/** The one error worth showing: an AggregateError of a name with several addresses hides it inside. */
function firstError(cause: unknown): { code: string | undefined; message: string } {
  if (cause instanceof AggregateError && cause.errors.length > 0)
    return firstError(cause.errors[0]);
  const error = cause as NodeJS.ErrnoException;
  return { code: error?.code, message: error?.message || String(error?.code ?? cause) };
}

/** What went wrong in the control client itself, outside a connection attempt. */
export function clientError(cause: unknown): TsnetError {
  if (cause instanceof TsnetError) return cause;
  const { message } = cause as Error;
  if (cause instanceof ProtocolError) {
    return new TsnetError(
      'ERR_CONTROL_PROTOCOL',
      `the control server sends what this node cannot read: ${message}`,
      { cause },
    );
  }
  return new TsnetError('ERR_INTERNAL', `applying the network map failed: ${message}`, { cause });
}

/** Whether the server is away, or in such trouble (a status of 5xx, its own or its proxy's) that it may as well be. */
export function isAway(error: TsnetError): boolean {
  const { status = 500 } = error as { readonly status?: number };
  return (
    error.code === 'ERR_CONTROL_UNREACHABLE' ||
    (error.code === 'ERR_CONTROL_STATUS' && status >= 500)
  );
}

/** Whether trying again later cannot help: something has to be changed by hand first. */
export function isPermanent(error: TsnetError): boolean {
  switch (error.code) {
    case 'ERR_CONTROL_NOT_TAILSCALE':
    case 'ERR_CONTROL_TLS':
    case 'ERR_CONTROL_CLOCK':
    case 'ERR_LOGIN_REFUSED':
    case 'ERR_AUTH_KEY':
    case 'ERR_AUTH_KEY_UNSUPPORTED':
    case 'ERR_STATE_CORRUPT':
    case 'ERR_STATE_IO':
    case 'ERR_STATE_LOCKED':
      return true;
    default:
      return false;
  }
}
