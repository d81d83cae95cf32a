// Who is asking. Identity comes from the tunnel through a function handed in, and from nowhere else: headers that
// claim an identity are taken off every request before anything can read them.
import type { IncomingMessage } from 'node:http';
import type { WhoIs } from '@cove/tsnet';
import type { Middleware } from './security.ts';

/** The caller of a request, undefined when the network does not know one. Rejects when the lookup failed. */
export type Identify = (req: IncomingMessage) => Promise<WhoIs | undefined>;

/** Headers by which some proxies pass on an identity. */
const IDENTITY_HEADER =
  /^(?:tailscale-|x-tailscale-|x-webauth-|x-remote-|remote-(?:user|name|email|groups)$|x-forwarded-(?:user|email|groups|preferred-username)$|x-auth-request-|x-authenticated-)/;

/** Deletes identity headers in place, from `headers`, `rawHeaders` and what `headersDistinct` would show. */
export function stripIdentityHeaders(req: IncomingMessage): void {
  for (const name of Object.keys(req.headers)) {
    if (IDENTITY_HEADER.test(name)) {
      delete req.headers[name];
      delete req.headersDistinct[name];
    }
  }
  for (let i = req.rawHeaders.length - 2; i >= 0; i -= 2) {
    if (IDENTITY_HEADER.test(req.rawHeaders[i]!.toLowerCase())) req.rawHeaders.splice(i, 2);
  }
}

/** One lookup per request, made when first asked for and remembered for as long as the request lives. */
export class Callers {
  readonly #identify: Identify;
  readonly #known: WeakMap<IncomingMessage, Promise<WhoIs | undefined>> = new WeakMap();

  constructor(identify: Identify) {
    this.#identify = identify;
  }

  of(req: IncomingMessage): Promise<WhoIs | undefined> {
    let caller = this.#known.get(req);
    if (caller === undefined) {
      // An async wrapper, so that a function that throws at once rejects like one that throws later.
      caller = (async () => this.#identify(req))();
      caller.catch(() => {});
      this.#known.set(req, caller);
    }
    return caller;
  }

  /** Express middleware: strips identity headers. Handlers then ask `of(req)`. */
  middleware(): Middleware {
    return (req, _res, next) => {
      stripIdentityHeaders(req);
      next();
    };
  }
}

/** A tagged node is a machine, not a person. */
export function isTagged(who: WhoIs): boolean {
  return who.node.tags.length > 0 || who.user.loginName === 'tagged-devices';
}

/** What the policy granted this caller under one capability name: plain objects, in the policy's order. */
export function grantsOf(
  who: WhoIs | undefined,
  capability: string,
): readonly Readonly<Record<string, unknown>>[] {
  if (who === undefined || !Object.hasOwn(who.capabilities, capability)) return [];
  return (who.capabilities[capability] ?? []).filter(
    (value): value is Readonly<Record<string, unknown>> =>
      typeof value === 'object' && value !== null && !Array.isArray(value),
  );
}
