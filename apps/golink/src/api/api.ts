// The JSON API under `/.api/v1`. Callers are who the tunnel says, or whom a token acts for; errors are
// `{"error": {"code", "message"}}`.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { readJson, WebError } from '@cove/web';
import type { Access, Caller } from '../access.ts';
import { GolinkError } from '../errors.ts';
import type { LinkEditor } from '../linkeditor.ts';
import { keepable } from '../links.ts';
import type { Store } from '../store/store.ts';
import { findToken, type Token } from '../store/tokens.ts';
import { LINK_OPERATIONS } from './linkoperations.ts';
import { openApi } from './openapi.ts';
import type { ApiRequest, ApiResponse, Operation } from './operation.ts';
import { mismatch, type Schema } from './schema.ts';
import { SERVICE_OPERATIONS } from './serviceoperations.ts';

export const API_ROOT = '/.api/v1';
const MAX_BODY = 256 * 1024;

export const OPERATIONS: readonly Operation[] = [...LINK_OPERATIONS, ...SERVICE_OPERATIONS];

export interface ApiOptions {
  readonly store: Store;
  readonly access: Access;
  readonly editor: LinkEditor;
  readonly title: string;
  /** Who the tunnel says asks. Rejects with GolinkError ERR_IDENTITY. */
  readonly caller: (req: IncomingMessage) => Promise<Caller>;
  readonly log: (message: string) => void;
}

interface Route {
  readonly operation: Operation;
  readonly pattern: RegExp;
}

export class Api {
  readonly #options: ApiOptions;
  readonly #routes: readonly Route[];
  readonly #document: string;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#routes = OPERATIONS.map((operation) => ({
      operation,
      pattern: new RegExp(`^${operation.path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`),
    }));
    this.#document = JSON.stringify(openApi(OPERATIONS, API_ROOT, `${options.title} links`));
  }

  /** Answers a request; `path` and `search` as sent, behind the root of the API. Never rejects. */
  async serve(
    req: IncomingMessage,
    res: ServerResponse,
    path: string,
    search: string,
  ): Promise<void> {
    try {
      if (path === '/openapi.json') {
        send(res, 200, this.#document);
        return;
      }
      respond(req, res, await this.#run(req, path, search));
    } catch (error) {
      this.refuse(req, res, error);
    }
  }

  async #run(req: IncomingMessage, path: string, search: string): Promise<ApiResponse> {
    const method = req.method === 'HEAD' ? 'get' : (req.method ?? '').toLowerCase();
    const here = this.#routes.filter(({ pattern }) => pattern.test(path));
    if (here.length === 0)
      throw new GolinkError(
        'ERR_NOT_FOUND',
        `There is no ${API_ROOT}${path}; see ${API_ROOT}/openapi.json.`,
      );
    const route = here.find(({ operation }) => operation.method === method);
    if (route === undefined) {
      const allowed = here.map(({ operation }) => operation.method.toUpperCase()).join(', ');
      throw new GolinkError('ERR_METHOD', `${API_ROOT}${path} knows only ${allowed}.`);
    }
    const { operation, pattern } = route;
    const token = await this.#token(req, operation);
    const query = readQuery(operation.query ?? {}, search);
    const body = operation.body === undefined ? {} : await readJson(req, MAX_BODY);
    const wrong = operation.body && mismatch(operation.body, body);
    if (wrong !== undefined) throw new GolinkError('ERR_REQUEST', `${wrong}.`);
    const request: ApiRequest = {
      path: decodeNames(pattern.exec(path)!.groups ?? {}),
      query,
      body: body as ApiRequest['body'],
      ifVersion: versionOf(req.headers['if-match']),
      caller: () =>
        token === undefined ? this.#options.caller(req) : Promise.resolve(callerOf(token)),
      token: token?.name,
    };
    return operation.run(this.#options, request);
  }

  /** Of the Authorization header. Throws GolinkError ERR_API_TOKEN, ERR_FORBIDDEN. */
  async #token(req: IncomingMessage, operation: Operation): Promise<Token | undefined> {
    const header = req.headers.authorization;
    if (header === undefined) return undefined;
    const text = /^Bearer\s+(\S+)\s*$/i.exec(header)?.[1];
    const { store, access } = this.#options;
    const token = text === undefined ? undefined : await findToken(store, text);
    if (token === undefined || !(await access.userExists(token.owner)))
      throw new GolinkError('ERR_API_TOKEN', 'This token is unknown, expired or revoked.');
    if (!token.scopes.includes(operation.scope))
      throw new GolinkError('ERR_FORBIDDEN', `This token has no scope "${operation.scope}".`);
    return token;
  }

  /** Any error as the answer to a request of the API. */
  refuse(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    const known = error instanceof GolinkError || error instanceof WebError;
    if (!known || error.code.startsWith('ERR_DATABASE'))
      this.#options.log(
        `${req.method} ${req.url}: ${error instanceof Error ? error.message : error}`,
      );
    const code = known ? error.code : 'ERR_INTERNAL';
    const message = known ? error.message : 'Something went wrong here. It has been noted.';
    // golink's pages answer 500 to callers they do not know; a program can do more with 403.
    const status = !known ? 500 : code === 'ERR_IDENTITY' ? 403 : error.status;
    if (res.headersSent) {
      res.destroy();
      return;
    }
    if (error instanceof WebError && error.code.startsWith('ERR_BODY'))
      res.setHeader('Connection', 'close');
    if (status === 401) res.setHeader('WWW-Authenticate', 'Bearer');
    send(res, status, JSON.stringify({ error: { code, message } }));
  }
}

/** Without admin rights or groups: those come with the person, through the tunnel. */
function callerOf(token: Token): Caller {
  return {
    login: token.owner,
    node: `token ${token.name}`,
    admin: false,
    groups: [],
    who: undefined,
  };
}

function respond(req: IncomingMessage, res: ServerResponse, response: ApiResponse): void {
  const { status, body, version, location } = response;
  if (version !== undefined) {
    res.setHeader('ETag', `"${version}"`);
    if (
      status === 200 &&
      req.method !== 'POST' &&
      versionOf(req.headers['if-none-match']) === version
    ) {
      res.writeHead(304).end();
      return;
    }
  }
  if (location !== undefined) res.setHeader('Location', API_ROOT + location);
  if (body === undefined) res.writeHead(status).end();
  else send(res, status, JSON.stringify(body));
}

function send(res: ServerResponse, status: number, json: string): void {
  res.setHeader('Content-Type', 'application/json');
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.statusCode = status;
  res.end(`${json}\n`);
}

/** `"7"`, `W/"7"` or 7. Anything else matches no version: 0. */
function versionOf(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined;
  const match = /^\s*(?:W\/)?"?(\d{1,15})"?\s*$/.exec(header);
  return match === null ? 0 : Number(match[1]);
}

function decodeNames(groups: Readonly<Record<string, string>>): Record<string, string> {
  try {
    return Object.fromEntries(
      Object.entries(groups).map(([name, value]) => [name, keepable(decodeURIComponent(value))]),
    );
  } catch (cause) {
    throw new GolinkError('ERR_REQUEST', 'The address is not valid percent-encoded UTF-8.', {
      cause,
    });
  }
}

/** Numbers and booleans are written as text in a query. */
function readQuery(
  schemas: Readonly<Record<string, Schema>>,
  search: string,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, text] of new URLSearchParams(search)) {
    const schema = Object.hasOwn(schemas, name) ? schemas[name] : undefined;
    if (schema === undefined) throw new GolinkError('ERR_REQUEST', `${name} is not known here.`);
    const value =
      schema.type === 'integer' && /^-?\d{1,15}$/.test(text)
        ? Number(text)
        : schema.type === 'boolean' && /^(?:true|false)$/.test(text)
          ? text === 'true'
          : text;
    const wrong = mismatch(schema, value, name);
    if (wrong !== undefined) throw new GolinkError('ERR_REQUEST', `${wrong}.`);
    values[name] = value;
  }
  return values;
}
