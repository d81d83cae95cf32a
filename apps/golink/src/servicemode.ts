// Service mode: golink behind the HTTP proxy of the node that carries a tailnet service (`svc:go`). That proxy knows the
// caller and says so in headers, which are believed only from it: from loopback, and only where a service is named.
//
// | Header               | Says                                                                    |
// |----------------------|-------------------------------------------------------------------------|
// | Tailscale-User-Login | login of the caller; without it the caller is looked up as anywhere     |
// | X-Forwarded-For      | one address of the caller, whose capabilities tell whether it is admin |
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { WhoIs } from '@cove/tsnet';
import type { Identify } from '@cove/web';

export interface ServiceMode {
  /** `svc:go`. */
  readonly name: string;
  /** The caller at an address of the tailnet. */
  readonly whoIs: (address: string) => Promise<WhoIs | undefined>;
}

/** Throws TypeError for a name that is none of a service. */
export function identifyService(mode: ServiceMode, otherwise: Identify): Identify {
  if (!/^svc:[^:]+$/.test(mode.name))
    throw new TypeError(`service name ${JSON.stringify(mode.name)} is not of the form svc:name`);
  return async (req) => {
    const login = header(req, 'tailscale-user-login');
    if (login === '' || !trustsProxy(mode.name, req.socket.remoteAddress)) return otherwise(req);
    return callerOf(mode, login, header(req, 'x-forwarded-for'));
  };
}

/** Whether identity headers are believed: a service is named and the peer is on this machine. */
export function trustsProxy(service: string | undefined, peer: string | undefined): boolean {
  if (service === undefined || service === '') return false;
  const address = peer?.replace(/^\[(.*)\]$/, '$1').replace(/^::ffff:/i, '') ?? '';
  return (isIP(address) === 4 && address.startsWith('127.')) || address === '::1';
}

/** Logged in whatever the address says; what the network grants only where it knows the address. */
async function callerOf(mode: ServiceMode, login: string, forwarded: string): Promise<WhoIs> {
  const address = forwarded.trim();
  const known =
    isIP(address) === 0
      ? undefined
      : await Promise.resolve(mode.whoIs(address)).catch(() => undefined);
  const isSame = known?.user.loginName === login;
  return {
    node: {
      ...{ id: 0, stableId: '', name: '', computedName: '', addresses: [] },
      ...known?.node,
      // Whoever has a login is no machine.
      tags: [],
    },
    user: isSame ? known.user : { id: 0, loginName: login, displayName: login },
    capabilities: known?.capabilities ?? {},
  };
}

function header(req: IncomingMessage, name: string): string {
  const value = req.headers[name];
  return typeof value === 'string' ? value : '';
}
