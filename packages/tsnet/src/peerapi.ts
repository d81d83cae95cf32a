// PeerAPI: a small HTTP server on the node's own addresses, for other nodes of the tailnet.
//
// The port follows from the address, so that peers of a restarted node find it again. It is reachable whatever the
// packet filter says, hence each request is judged here: the caller must be a node, the Host one of ours, and no
// browser may have been talked into sending it.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { crc32 } from 'node:zlib';
import { formatAddr, parseAddr, parseAddrPort } from '@cove/protocol/netaddr';
import type { Conn } from './conn.ts';
import type { Listener } from './listener.ts';
import type { WhoIs } from './whois.ts';

/** Serves the paths below its prefix; the caller is a node of the tailnet, and nothing more is known of it. */
export type PeerApiHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  caller: WhoIs,
) => void;

export interface PeerApiOptions {
  readonly whoIs: (address: string) => WhoIs | undefined;
  /** Is this one of the node's own addresses? Canonical text. */
  readonly isOwnAddress: (address: string) => boolean;
}

/** The port for the first of a node's addresses: 32768 or'ed with 16 bits of the CRC-32 of its last three bytes. */
export function peerApiPort(address: string): number {
  const addr = parseAddr(address);
  return addr ? 0x8000 | (crc32(addr.subarray(-3)) & 0xffff) : 0;
}

export class PeerApi {
  readonly #options: PeerApiOptions;
  readonly #server: Server;
  readonly #handlers: Map<string, PeerApiHandler> = new Map();

  constructor(options: PeerApiOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => this.#serve(request, response));
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** Serves a listener; neither it nor its connections keep the process alive. */
  attach(listener: Listener): void {
    listener.unref();
    listener.on('connection', (conn: Conn) => {
      conn.unref();
      // Who is no node gets not even an error page.
      if (!this.#options.whoIs(conn.remoteAddress ?? '')) conn.destroy();
    });
    listener.serve(this.#server);
  }

  /** Adds a handler for a path and all below it, as '/v0/put/'. Throws RangeError when the prefix is taken. */
  handle(prefix: string, handler: PeerApiHandler): void {
    if (this.#handlers.has(prefix)) throw new RangeError(`peerapi path ${prefix} is taken`);
    this.#handlers.set(prefix, handler);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const caller = this.#options.whoIs(request.socket.remoteAddress ?? '');
    if (!caller) {
      request.socket.destroy();
      return;
    }
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('X-Frame-Options', 'DENY');
    response.setHeader('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
    const { host, referer, origin } = request.headers;
    if (!this.#isOwnHost(host) || referer !== undefined || origin !== undefined) {
      text(response, 403, 'invalid peerapi request');
      return;
    }
    const path = (request.url ?? '/').replace(/\?.*$/, '');
    if (path === '/') {
      this.#greet(request, response, caller);
      return;
    }
    for (const [prefix, handler] of this.#handlers) {
      if (path === prefix || (prefix.endsWith('/') && path.startsWith(prefix))) {
        handler(request, response, caller);
        return;
      }
    }
    text(response, 404, 'unsupported peerapi path');
  }

  #isOwnHost(host: string | undefined): boolean {
    if (host === 'peer') return true;
    const address = host === undefined ? undefined : parseAddrPort(host)?.addr;
    const bytes = address === undefined ? undefined : parseAddr(address);
    return bytes !== undefined && this.#options.isOwnAddress(formatAddr(bytes));
  }

  #greet(request: IncomingMessage, response: ServerResponse, caller: WhoIs): void {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      text(response, 405, 'method not allowed');
      return;
    }
    const name = escapeHtml(caller.user.displayName);
    const address = escapeHtml(request.socket.remoteAddress ?? '');
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(
      `<!doctype html>\n<title>PeerAPI</title>\n<h1>Hello, ${name} (${address})</h1>\n` +
        '<p>This is the peer API of a tailnet node.</p>\n',
    );
  }
}

function text(response: ServerResponse, status: number, body: string): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`${body}\n`);
}

function escapeHtml(value: string): string {
  return value.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
