// Carries one browser request through the tunnel to a service and its answer back. Nothing the browser says about
// identity travels: the service asks the tunnel who is calling, and the tunnel answers with the doorway's node.
import {
  type Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type ServerResponse,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { withoutOwner } from './owner.ts';
import { rewriteHtml, rewriteLocation } from './rewrite.ts';

export interface ProxyTarget {
  /** The service's name in the tailnet, such as `go`. */
  readonly name: string;
  /** Its address there, which is dialled. */
  readonly address: string;
  readonly port: number;
  /** Opens connections through the tunnel. */
  readonly agent: Agent;
  /** Path under which the browser sees the service: `''` for its own host name, or `/go`. */
  readonly prefix: string;
}

/** RFC 9110 7.6.1: these speak of one connection only. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const IDENTITY =
  /^(?:x-)?tailscale-|^x-forwarded-|^x-real-ip$|^forwarded$|^remote-|^x-remote-|^x-webauth-|^x-auth-/;
/** A page longer than this is passed through with its links as they are. */
const MAX_REWRITTEN_PAGE = 8 << 20;

/** The request headers as the service shall see them. */
export function forwardedHeaders(
  headers: IncomingHttpHeaders,
  target: ProxyTarget,
): OutgoingHttpHeaders {
  const origin = serviceOrigin(target);
  const named = new Set((headers.connection ?? '').toLowerCase().split(/\s*,\s*/));
  const out: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (HOP_BY_HOP.has(name) || named.has(name) || IDENTITY.test(name)) continue;
    out[name] = value;
  }
  const cookie = withoutOwner(headers.cookie);
  if (cookie === undefined) delete out['cookie'];
  else out['cookie'] = cookie;
  out['host'] = origin.slice('http://'.length);
  if (headers.origin !== undefined) out['origin'] = origin;
  if (headers.referer !== undefined) {
    const path = /^https?:\/\/[^/]+(\/.*)?$/.exec(headers.referer)?.[1] ?? '/';
    const inside = target.prefix !== '' && path.startsWith(`${target.prefix}/`);
    out['referer'] = origin + (inside ? path.slice(target.prefix.length) : path);
  }
  if (target.prefix !== '') out['accept-encoding'] = 'identity';
  return out;
}

function serviceOrigin(target: ProxyTarget): string {
  return target.port === 80 ? `http://${target.name}` : `http://${target.name}:${target.port}`;
}

/** The response headers as the browser shall see them. */
export function returnedHeaders(
  headers: IncomingHttpHeaders,
  target: ProxyTarget,
): OutgoingHttpHeaders {
  const out: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!HOP_BY_HOP.has(name)) out[name] = value;
  }
  if (headers.location !== undefined) {
    out['location'] = rewriteLocation(headers.location, serviceOrigin(target), target.prefix);
  }
  const cookies = headers['set-cookie'];
  if (cookies !== undefined && target.prefix !== '') {
    out['set-cookie'] = cookies.map((cookie) =>
      cookie.replace(/;\s*path=\/([^;]*)/i, `; Path=${target.prefix}/$1`),
    );
  }
  return out;
}

/** Forwards one request. `path` is what the service sees, with its query. `onError` renders the failure page. */
export function forward(
  req: IncomingMessage,
  res: ServerResponse,
  target: ProxyTarget,
  path: string,
  onError: (error: Error) => void,
): void {
  const upstream = request({
    agent: target.agent,
    host: target.address,
    port: target.port,
    method: req.method ?? 'GET',
    path,
    headers: forwardedHeaders(req.headers, target),
  });
  upstream.once('response', (answer) => {
    const headers = returnedHeaders(answer.headers, target);
    const html = /^text\/html\b/i.test(answer.headers['content-type'] ?? '');
    if (target.prefix !== '' && html && req.method !== 'HEAD') {
      void rewritePage(answer, res, headers, target.prefix).catch((error: Error) =>
        res.destroy(error),
      );
      return;
    }
    res.writeHead(answer.statusCode ?? 502, headers);
    answer.pipe(res);
    answer.once('error', (error) => res.destroy(error));
  });
  upstream.once('error', (error) => {
    if (res.headersSent) res.destroy(error);
    else onError(error);
  });
  res.once('close', () => upstream.destroy());
  req.pipe(upstream);
}

async function rewritePage(
  answer: IncomingMessage,
  res: ServerResponse,
  headers: OutgoingHttpHeaders,
  prefix: string,
): Promise<void> {
  const chunks: Buffer[] = [];
  let size = 0;
  // What is left of a long page is piped on, so leaving the loop must not end it.
  for await (const chunk of answer.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size <= MAX_REWRITTEN_PAGE) continue;
    res.writeHead(answer.statusCode ?? 502, headers);
    for (const held of chunks) res.write(held);
    answer.once('error', (error) => res.destroy(error));
    answer.pipe(res);
    return;
  }
  const page = Buffer.from(rewriteHtml(Buffer.concat(chunks).toString('utf8'), prefix));
  delete headers['etag'];
  res.writeHead(answer.statusCode ?? 502, { ...headers, 'content-length': page.length });
  res.end(page);
}

/** Forwards a protocol switch (WebSocket) and joins the two connections. */
export function forwardUpgrade(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: ProxyTarget,
  path: string,
): void {
  const upstream = request({
    agent: target.agent,
    host: target.address,
    port: target.port,
    method: req.method ?? 'GET',
    path,
    headers: {
      ...forwardedHeaders(req.headers, target),
      connection: 'upgrade',
      upgrade: req.headers.upgrade,
    },
  });
  const fail = (): void => {
    socket.destroy();
    upstream.destroy();
  };
  upstream.once('upgrade', (answer, peer, peerHead) => {
    const lines = [`HTTP/1.1 101 ${answer.statusMessage ?? 'Switching Protocols'}`];
    for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) {
      lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
    }
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (peerHead.length > 0) socket.write(peerHead);
    if (head.length > 0) peer.write(head);
    socket.pipe(peer).pipe(socket);
    peer.once('error', fail);
    socket.once('close', () => peer.destroy());
  });
  upstream.once('response', (answer) => {
    socket.end(
      `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage ?? ''}\r\nconnection: close\r\n\r\n`,
    );
    answer.resume();
  });
  upstream.once('error', fail);
  socket.once('error', fail);
  socket.once('close', () => upstream.destroy());
  upstream.end();
}
