// Requests inside the encrypted channel: which path is what, bodies read, errors turned into statuses. Every handler
// compares the node key of the body with the machine key of the connection.
import { ProtocolError } from '@cove/protocol/bytes';
import { encodeJson } from '@cove/protocol/json';
import { parseMapRequest } from '@cove/protocol/mapmessage';
import { parseRegisterRequest, type RegisterRequest } from '@cove/protocol/register';
import type { Core } from '../core.ts';
import type { Exchange } from '../http2/exchange.ts';
import type { PendingLogins } from '../login/pending.ts';
import type { RegisterResult, Registrar } from '../login/register.ts';
import { serveMap } from '../map/session.ts';
import type { Session } from './session.ts';

/** Paths a stock client may try and does without. */
const NOT_IMPLEMENTED: ReadonlyMap<string, readonly string[]> = new Map([
  ['/machine/set-dns', ['POST']],
  ['/machine/set-device-attr', ['PATCH']],
  ['/machine/audit-log', ['POST']],
  ['/machine/id-token', ['POST']],
  ['/machine/feature/query', ['POST']],
  ['/machine/whoami', ['GET']],
]);
const NOT_IMPLEMENTED_PREFIXES: readonly string[] = [
  '/machine/tka/',
  '/machine/webclient/',
  '/machine/ssh/action/',
];

const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const EMPTY: Uint8Array = new Uint8Array(0);

export class Router {
  readonly #core: Core;
  readonly #registrar: Registrar;
  readonly #pending: PendingLogins;
  /** Requests by path and status, for the metrics. */
  readonly counts: Map<string, number> = new Map();

  constructor(core: Core, registrar: Registrar, pending: PendingLogins) {
    this.#core = core;
    this.#registrar = registrar;
    this.#pending = pending;
  }

  /** Never throws: what goes wrong inside becomes a 500. */
  serve(session: Session, exchange: Exchange): void {
    try {
      this.#serve(session, exchange);
    } catch (error) {
      this.#fail(exchange, error);
    }
  }

  #serve(session: Session, exchange: Exchange): void {
    const { method } = exchange;
    const path = exchange.path.split('?', 1)[0]!;
    if (path === '/machine/map' || path === '/machine/register') {
      if (method !== 'POST') this.#text(exchange, path, 405, 'method not allowed');
      else if (path === '/machine/map') this.#map(session, exchange);
      else this.#register(session, exchange);
      return;
    }
    if (path === '/machine/update-health' || path.startsWith('/c2n/')) {
      // Reports nobody asked for: taken with thanks, so that they are not repeated.
      if (method === 'POST') this.#reply(exchange, path, 204, '', EMPTY);
      else this.#text(exchange, path, 405, 'method not allowed');
      return;
    }
    const methods = NOT_IMPLEMENTED.get(path);
    if (methods !== undefined && !methods.includes(method)) {
      this.#text(exchange, path, 405, 'method not allowed');
    } else if (
      methods !== undefined ||
      NOT_IMPLEMENTED_PREFIXES.some((prefix) => path.startsWith(prefix))
    ) {
      this.#text(exchange, 'unimplemented', 501, 'not implemented');
    } else this.#text(exchange, 'unknown', 404, 'not found');
  }

  #map(session: Session, exchange: Exchange): void {
    const refuse = (status: number, text: string): void => {
      this.#text(exchange, '/machine/map', status, text);
    };
    const request = this.#parse(exchange, '/machine/map', parseMapRequest);
    if (request === undefined) return;
    const served = serveMap(this.#core, session.machine, request, exchange, refuse);
    if (served === 'node') session.known = true;
    if (served !== undefined) this.#count('/machine/map', 200);
  }

  #register(session: Session, exchange: Exchange): void {
    const request = this.#parse(exchange, '/machine/register', parseRegisterRequest);
    if (request === undefined) return;
    this.#registrar
      .register(session.machine, request, session.source)
      .then((result) => this.#registered(session, request, result, exchange))
      .catch((error: unknown) => this.#fail(exchange, error));
  }

  #registered(
    session: Session,
    request: RegisterRequest,
    result: RegisterResult,
    exchange: Exchange,
  ): void {
    const path = '/machine/register';
    switch (result.type) {
      case 'refuse':
        this.#text(exchange, path, 400, result.text);
        break;
      case 'answer':
        if (result.response.MachineAuthorized) session.known = true;
        this.#reply(exchange, path, 200, JSON_TYPE, encodeJson(result.response));
        break;
      case 'wait': {
        const cancel = this.#pending.wait(result.login, (outcome) => {
          exchange.onClose = undefined;
          try {
            const { machine, source } = session;
            const final = this.#registrar.outcome(machine, request, outcome, source);
            this.#registered(session, request, final, exchange);
          } catch (error) {
            this.#fail(exchange, error);
          }
        });
        exchange.onClose = cancel;
        break;
      }
    }
  }

  #parse<T>(exchange: Exchange, path: string, parse: (bytes: Uint8Array) => T): T | undefined {
    try {
      return parse(exchange.body);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#text(exchange, path, 400, error.message);
      return undefined;
    }
  }

  #fail(exchange: Exchange, error: unknown): void {
    this.#core.log('error', 'request failed', {
      path: exchange.path.slice(0, 100),
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    this.#text(exchange, 'failed', 500, 'internal error');
  }

  #text(exchange: Exchange, path: string, status: number, text: string): void {
    this.#reply(exchange, path, status, TEXT_TYPE, Buffer.from(`${text}\n`));
  }

  #reply(
    exchange: Exchange,
    path: string,
    status: number,
    contentType: string,
    body: Uint8Array,
  ): void {
    this.#count(path.startsWith('/c2n/') ? '/c2n' : path, status);
    exchange.reply(status, contentType, body);
  }

  #count(path: string, status: number): void {
    const key = `${path} ${status}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }
}
