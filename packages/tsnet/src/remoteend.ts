// The far end of a connection, for WhoIs: what the tunnel says of it, through TLS where there is TLS.
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What whoIs takes for a connection: a Conn, a TLS socket around one, `req.socket`. */
export interface RemoteEnd {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
}

/** A TLS socket over a stream that is no net.Socket names that stream only inside its handle. */
interface TlsOverStream {
  readonly _handle?: { readonly _parentWrap?: { readonly stream?: RemoteEnd } } | null;
}

/** The connection inside TLS, where there is TLS. */
function innermost(remote: RemoteEnd): RemoteEnd {
  if (!(remote instanceof TLSSocket)) return remote;
  return (remote as TlsOverStream)._handle?._parentWrap?.stream ?? remote;
}

/**
 * The remote address of a connection that ends at one of the node's own addresses. A kernel socket can have any
 * address, a tailnet one included: it never speaks for a node.
 */
export function tunnelAddress(
  remote: RemoteEnd,
  ownAddresses: readonly string[],
): string | undefined {
  const end = innermost(remote);
  if (end instanceof Socket || end.localAddress === undefined) return undefined;
  return ownAddresses.includes(end.localAddress) ? end.remoteAddress : undefined;
}
