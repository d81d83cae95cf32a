// Asking peers to ping us: worth it only with addresses of ours that are fresh. Who is to be called waits for them.
import type { DiscoEndpoint } from '@cove/protocol/disco';
import { parseAddr, parseAddrPort } from '@cove/protocol/netaddr';
import type { Endpoint } from './endpoint.ts';
import type { OwnEndpoint } from './endpoints.ts';

/** Own addresses older than this are not worth calling a peer with. */
const FRESH_FOR = 27_000;

export class Calls {
  readonly #waiting: Set<Endpoint> = new Set();
  #knownAt = Number.NEGATIVE_INFINITY;

  /** False: the peer waits for fresh addresses, which must be measured now. */
  mayCall(endpoint: Endpoint, now: number): boolean {
    if (now - this.#knownAt <= FRESH_FOR) return true;
    this.#waiting.add(endpoint);
    return false;
  }

  /** The addresses are fresh; returns those that waited for them. */
  measured(now: number): readonly Endpoint[] {
    this.#knownAt = now;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    return waiting;
  }

  /** The addresses hold no more. */
  forget(): void {
    this.#knownAt = Number.NEGATIVE_INFINITY;
  }

  remove(endpoint: Endpoint): void {
    this.#waiting.delete(endpoint);
  }
}

/** As calls carry them. */
export function callEndpoints(own: readonly OwnEndpoint[]): DiscoEndpoint[] {
  return own.flatMap(({ addrPort }) => {
    const parsed = parseAddrPort(addrPort);
    return parsed ? [{ addr: parseAddr(parsed.addr)!, port: parsed.port }] : [];
  });
}
