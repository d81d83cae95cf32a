// HTTPS: the redirect from port 80, and the header by which browsers stay with HTTPS (RFC 6797).
//
// What redirects keeps the path as it was sent. GET and HEAD are answered 302; everything else 307, so that a form is sent
// again as it is. A bare `go` is never pinned to HTTPS: it is a name of whatever network the machine is in next.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { isIP } from 'node:net';

const ONE_YEAR = 'max-age=31536000';

/** Sends every request to the same path at `https://<host>`. `host`: full name of the node, asked for each time. */
export function redirectToHttps(host: () => string): RequestListener {
  return (req, res) => {
    const path = pathOf(req.url ?? '/');
    const status = req.method === 'GET' || req.method === 'HEAD' ? 302 : 307;
    // A body that nobody reads leaves the connection in no state to go on.
    const headers = { Location: `https://${host()}${path}`, 'Content-Length': 0 };
    res.writeHead(status, status === 302 ? headers : { ...headers, Connection: 'close' }).end();
  };
}

/** Sets Strict-Transport-Security where the name asked for has more than one label. For use over TLS only. */
export function strictTransport(handler: RequestListener): RequestListener {
  return (
    req: IncomingMessage,
    res: ServerResponse<IncomingMessage> & { req: IncomingMessage },
  ) => {
    if (isPinned(req.headers.host)) res.setHeader('Strict-Transport-Security', ONE_YEAR);
    handler(req, res);
  };
}

/** Browsers ignore the header under an address. */
export function isPinned(host: string | undefined): boolean {
  const name = host?.replace(/:\d*$/, '').replace(/\.$/, '') ?? '';
  return name.includes('.') && isIP(name) === 0 && !name.startsWith('[');
}

/** In absolute form (RFC 9112 3.2.2) the authority plays no part. */
function pathOf(target: string): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
  return path.startsWith('/') ? path : `/${path}`;
}
