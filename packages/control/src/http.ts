// What the server answers outside the encrypted channel, on any HTTP server it is attached to:
//
//   GET  /key?v=<version>     server keys                POST /ts2021            upgrade to the channel
//   GET  /register/<id>       how to approve a login     POST /verify            relay admission
//   GET  /derpmap/default     relay map                  GET  /health, /generate_204
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  type MachinePublic,
  type NodePublic,
  parseNodePublic,
  ZERO_MACHINE_PUBLIC,
} from '@cove/protocol/keys';
import { approvalPage, PAGE_HEADERS, unknownLoginPage } from './login/page.ts';
import type { PendingLogin } from './login/pending.ts';

const UPGRADE_PROTOCOL = 'tailscale-control-protocol';
/** Base64 of the 101-byte initiation has 136 characters; a little room for other encoders' line ends. */
const MAX_HANDSHAKE_TEXT = 200;
const MAX_VERIFY_BODY = 4096;
const VERIFY_TIMEOUT_MS = 10_000;

export interface HttpOptions {
  readonly publicKey: MachinePublic;
  readonly derpMap: () => string;
  readonly isKnownNode: (key: NodePublic) => boolean;
  readonly pendingLogin: (id: string) => PendingLogin | undefined;
  /** Whether the database answers. */
  readonly healthy: () => boolean;
  /** Takes the connection over; the initiation is decoded, not yet checked. False: no room, already answered. */
  readonly onUpgrade: (initiation: Uint8Array, socket: Duplex, head: Uint8Array) => void;
}

/** Answers the request if its path is one of ours; false otherwise, and nothing was touched. */
export function handleRequest(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  if (path.startsWith('/register/')) {
    if (!allow(request, response, ['GET', 'HEAD'])) return true;
    page(options, path.slice('/register/'.length), response);
    return true;
  }
  switch (path) {
    case '/key':
      if (allow(request, response, ['GET', 'HEAD'])) key(options, query.get('v'), response);
      return true;
    case '/health': {
      if (!allow(request, response, ['GET', 'HEAD'])) return true;
      const healthy = options.healthy();
      const body = JSON.stringify({ status: healthy ? 'pass' : 'fail' });
      send(response, healthy ? 200 : 503, 'application/health+json', body);
      return true;
    }
    case '/derpmap/default':
      if (allow(request, response, ['GET', 'HEAD'])) {
        send(response, 200, 'application/json', options.derpMap());
      }
      return true;
    case '/generate_204':
      response.writeHead(204, { 'Cache-Control': 'no-store' }).end();
      return true;
    case '/verify':
      if (allow(request, response, ['POST'])) verify(options, request, response);
      return true;
    case '/ts2021':
      send(response, 400, 'text/plain; charset=utf-8', 'missing or unknown next protocol\n');
      return true;
    default:
      return false;
  }
}

/** Takes the upgrade over if its path is ours; false otherwise, and nothing was touched. */
export function handleUpgrade(
  options: HttpOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
): boolean {
  const path = (request.url ?? '/').split('?', 1)[0];
  if (path !== '/ts2021') return false;
  socket.on('error', () => socket.destroy());
  if (request.method !== 'POST') {
    refuse(socket, '405 Method Not Allowed', 'only POST upgrades are served');
    return true;
  }
  if (request.headers.upgrade?.toLowerCase() !== UPGRADE_PROTOCOL) {
    refuse(socket, '400 Bad Request', 'missing or unknown next protocol');
    return true;
  }
  const text = request.headers['x-tailscale-handshake'];
  const initiation =
    typeof text === 'string' && text.length <= MAX_HANDSHAKE_TEXT ? base64(text) : undefined;
  if (initiation === undefined) {
    refuse(socket, '400 Bad Request', 'missing or bad X-Tailscale-Handshake');
    return true;
  }
  if (
    Number(request.headers['content-length'] ?? 0) !== 0 ||
    request.headers['transfer-encoding']
  ) {
    refuse(socket, '400 Bad Request', 'the upgrade request has no body');
    return true;
  }
  options.onUpgrade(initiation, socket, head);
  return true;
}

/**
 * Answers an upgrade with a plain error and closes: HTTP servers leave sockets half open, so one that is only ended
 * stays for as long as its client likes. status: code and reason.
 */
export function refuse(socket: Duplex, status: string, text: string): void {
  const body = `${text}\n`;
  // Unread bytes would turn the close into a reset that overtakes the answer.
  socket.resume();
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

export const SWITCHING_PROTOCOLS: string =
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${UPGRADE_PROTOCOL}\r\n` +
  'Connection: upgrade\r\n\r\n';

function base64(text: string): Uint8Array | undefined {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined;
}

function allow(
  request: IncomingMessage,
  response: ServerResponse,
  methods: readonly string[],
): boolean {
  if (methods.includes(request.method ?? '')) return true;
  response.setHeader('Allow', methods.join(', '));
  send(response, 405, 'text/plain; charset=utf-8', 'method not allowed\n');
  return false;
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response
    .writeHead(status, {
      'Content-Type': type,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    })
    .end(body);
}

function key(options: HttpOptions, version: string | null, response: ServerResponse): void {
  if (version === null || !/^\d{1,9}$/.test(version)) {
    send(response, 400, 'text/plain; charset=utf-8', 'v must be the client version, a number\n');
    return;
  }
  const body = { legacyPublicKey: ZERO_MACHINE_PUBLIC, publicKey: options.publicKey };
  send(response, 200, 'application/json', JSON.stringify(body));
}

function page(options: HttpOptions, id: string, response: ServerResponse): void {
  const login = /^[0-9a-f]{1,64}$/.test(id) ? options.pendingLogin(id) : undefined;
  const html = login === undefined ? unknownLoginPage() : approvalPage(login);
  response
    .writeHead(login === undefined ? 404 : 200, {
      ...PAGE_HEADERS,
      'Content-Length': Buffer.byteLength(html),
    })
    .end(html);
}

function verify(options: HttpOptions, request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => request.destroy(), VERIFY_TIMEOUT_MS);
  request.on('close', () => clearTimeout(timer));
  request.on('error', () => {});
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= MAX_VERIFY_BODY) chunks.push(chunk);
    else if (!response.headersSent) {
      response.setHeader('Connection', 'close');
      send(response, 413, 'text/plain; charset=utf-8', 'body too large\n');
    }
  });
  request.on('end', () => {
    clearTimeout(timer);
    if (response.headersSent) return;
    const node = verifyBody(Buffer.concat(chunks));
    if (node === undefined) {
      send(response, 400, 'text/plain; charset=utf-8', 'NodePublic missing or malformed\n');
      return;
    }
    send(response, 200, 'application/json', JSON.stringify({ Allow: options.isKnownNode(node) }));
  });
}

function verifyBody(bytes: Buffer): NodePublic | undefined {
  try {
    const body = JSON.parse(bytes.toString()) as { NodePublic?: unknown } | null;
    return parseNodePublic(String(body?.NodePublic));
  } catch {
    return undefined;
  }
}
