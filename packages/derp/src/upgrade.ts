// The relay's HTTP side: the upgrade on /derp and the small pages beside it.
//
//   GET /derp  Upgrade: DERP         101 with Derp-Version and Derp-Public-Key, then frames; with
//                                    Derp-Fast-Start: 1 no response at all, frames at once
//   GET /derp  Upgrade: websocket    WebSocket with subprotocol derp
//   /derp/probe, /derp/latency-check 200, empty
//   /generate_204                    204, echoing X-Tailscale-Challenge, to tell captive portals
//   /, /robots.txt                   for people and crawlers
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { DERP_VERSION } from '@cove/protocol/derp';
import { unmapAddr } from '@cove/protocol/mappedaddr';
import { formatAddr, parseAddr } from '@cove/protocol/netaddr';
import type { DerpServer } from './server.ts';
import type { WebSocketUpgrader } from './websocket.ts';

const TCP_KEEP_ALIVE_MS = 600_000;
const NO_CACHE = 'no-cache, no-store, must-revalidate, no-transform, max-age=0';
const CHALLENGE = /^[A-Za-z0-9._:-]{1,64}$/;
const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Relay</title>
<h1>Relay</h1>
<p>This is a DERP server: it passes encrypted packets between devices of a private network that have no direct
path to each other. It cannot read them.</p>
</html>
`;

/** The requests of one relay. Bind it to an HTTP server of its own (attach), or call the handlers from yours. */
export class DerpHttp {
  readonly #derp: DerpServer;
  #webSockets: Promise<WebSocketUpgrader> | undefined;

  constructor(derp: DerpServer) {
    this.#derp = derp;
  }

  /** Serves the server's every request and upgrade; what is not the relay's gets 404. Undone by the result. */
  attach(server: HttpServer): () => void {
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
      if (!this.handleRequest(req, res) && !this.handleHome(req, res))
        text(res, 404, 'not found\n');
    };
    const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
      if (!this.handleUpgrade(req, socket, head)) refuse(socket, '404 Not Found');
    };
    server.on('request', onRequest);
    server.on('upgrade', onUpgrade);
    return () => {
      server.off('request', onRequest);
      server.off('upgrade', onUpgrade);
    };
  }

  /** Answers /derp, /derp/probe, /derp/latency-check and /generate_204. False, untouched, for other paths. */
  handleRequest(req: IncomingMessage, res: ServerResponse): boolean {
    switch (path(req)) {
      case '/derp':
        res.setHeader('Upgrade', 'DERP');
        text(res, 426, 'DERP requires connection upgrade\n');
        return true;
      case '/derp/probe':
      case '/derp/latency-check':
        res.setHeader('Access-Control-Allow-Origin', '*');
        if (req.method === 'GET' || req.method === 'HEAD') text(res, 200, '');
        else text(res, 405, 'bogus probe method\n');
        return true;
      case '/generate_204': {
        const challenge = req.headers['x-tailscale-challenge'];
        if (typeof challenge === 'string' && CHALLENGE.test(challenge)) {
          res.setHeader('X-Tailscale-Response', `response ${challenge}`);
        }
        res.setHeader('Cache-Control', NO_CACHE);
        res.writeHead(204).end();
        return true;
      }
      default:
        return false;
    }
  }

  /** Answers / and /robots.txt, for a server that has no pages of its own. */
  handleHome(req: IncomingMessage, res: ServerResponse): boolean {
    switch (path(req)) {
      case '/':
        res.setHeader('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
        res.setHeader('Content-Type', 'text/html; charset=utf-8');
        res.writeHead(200).end(PAGE);
        return true;
      case '/robots.txt':
        text(res, 200, 'User-agent: *\nDisallow: /\n');
        return true;
      default:
        return false;
    }
  }

  /** Takes an upgrade on /derp. False, with the socket untouched, for other paths. */
  handleUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (path(req) !== '/derp') return false;
    socket.on('error', () => socket.destroy());
    const protocol = req.headers.upgrade?.toLowerCase();
    if (req.method !== 'GET' || (protocol !== 'derp' && protocol !== 'websocket')) {
      refuse(socket, '426 Upgrade Required');
      return true;
    }
    const source = sourceAddress(req);
    tune(socket as Socket);
    if (protocol === 'websocket') {
      this.#upgradeWebSocket(req, socket, head, source).catch(() => socket.destroy());
      return true;
    }
    socket.cork();
    if (req.headers['derp-fast-start'] !== '1') {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n' +
          `Derp-Version: ${DERP_VERSION}\r\nDerp-Public-Key: ${this.#derp.publicKeyHex}\r\n\r\n`,
      );
    }
    if (head.length > 0) socket.unshift(head);
    this.#derp.accept(socket, source);
    process.nextTick(() => socket.uncork());
    return true;
  }

  /** `ws` is loaded for the first one: few relays ever see any. */
  async #upgradeWebSocket(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    source: string,
  ): Promise<void> {
    this.#webSockets ??= import('./websocket.ts').then((module) => new module.WebSocketUpgrader());
    const webSockets = await this.#webSockets;
    webSockets.upgrade(req, socket, head, (stream) => this.#derp.accept(stream, source));
  }
}

function path(req: IncomingMessage): string {
  const url = req.url ?? '';
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function sourceAddress(req: IncomingMessage): string {
  const addr = parseAddr(req.socket.remoteAddress?.replace(/%.*$/, '') ?? '');
  return addr === undefined ? '' : formatAddr(unmapAddr(addr));
}

/** Optional calls: the stream under an upgrade need not be a socket. */
function tune(socket: Partial<Socket>): void {
  socket.setTimeout?.(0);
  socket.setNoDelay?.(true);
  socket.setKeepAlive?.(true, TCP_KEEP_ALIVE_MS);
}

function text(res: ServerResponse, status: number, body: string): void {
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.writeHead(status).end(body);
}

/** HTTP servers leave sockets half open: one that is only ended stays for as long as its client likes. */
function refuse(socket: Duplex, status: string): void {
  socket.on('error', () => socket.destroy());
  // Unread bytes would turn the close into a reset that overtakes the answer.
  socket.resume();
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  );
}
