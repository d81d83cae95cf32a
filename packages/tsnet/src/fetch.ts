// fetch over the tailnet: the standard's Request and Response on node:http and the node's agent, because the fetch
// built into Node takes no connection from outside. Redirects, bodies as streams, abort signals; no cookies, no cache,
// no content decoding (none is asked for).
import http from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';

const MAX_REDIRECTS = 20;
const NULL_BODY = new Set([101, 204, 205, 304]);

export interface FetchAgents {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

/** As the global fetch: rejects with TypeError for network failures, whose cause is the connection's error. */
export async function fetchThrough(
  agents: FetchAgents,
  input: string | URL | Request,
  init?: RequestInit,
): Promise<Response> {
  // The caller's own signal: the one a Request derives from it does not outlive garbage collection.
  const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined);
  let request = new Request(input, init);
  for (let redirects = 0; ; redirects++) {
    const url = new URL(request.url);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new TypeError(`fetch failed: ${url.protocol} is not http or https`);
    }
    const answer = await send(agents, url, request, signal ?? undefined);
    const next = redirectTarget(answer, url);
    if (next === undefined || request.redirect === 'manual')
      return toResponse(answer, url, redirects > 0);
    answer.resume();
    if (request.redirect === 'error') throw new TypeError('fetch failed: unexpected redirect');
    if (redirects >= MAX_REDIRECTS) throw new TypeError('fetch failed: too many redirects');
    request = redirected(request, next, answer.statusCode!);
  }
}

function send(
  agents: FetchAgents,
  url: URL,
  request: Request,
  signal: AbortSignal | undefined,
): Promise<http.IncomingMessage> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const secure = url.protocol === 'https:';
    const { request: open } = secure ? https : http;
    const agent = secure ? agents.https : agents.http;
    const headers: Record<string, string> = {};
    for (const [name, value] of request.headers) headers[name] = value;
    headers['accept'] ??= '*/*';
    headers['user-agent'] ??= 'cove';
    const { method } = request;
    const outgoing = open(url, { agent, method, headers, ...(signal ? { signal } : {}) });
    // A request that still waits for its connection does not report an abort.
    const onAbort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    outgoing.on('close', () => signal?.removeEventListener('abort', onAbort));
    outgoing.on('response', resolve);
    outgoing.on('error', (cause) => {
      reject(signal?.aborted ? signal.reason : new TypeError('fetch failed', { cause }));
    });
    if (request.body === null) {
      outgoing.end();
      return;
    }
    // Failures arrive as the request's error.
    pipeline(Readable.fromWeb(request.body as NodeReadableStream), outgoing).catch(() => {});
  });
}

function redirectTarget(answer: http.IncomingMessage, from: URL): URL | undefined {
  const { location } = answer.headers;
  if (location === undefined || ![301, 302, 303, 307, 308].includes(answer.statusCode ?? 0)) {
    return undefined;
  }
  try {
    return new URL(location, from);
  } catch (cause) {
    throw new TypeError('fetch failed: the redirect leads nowhere', { cause });
  }
}

/** The request after a redirect (fetch standard, HTTP-redirect fetch). */
function redirected(request: Request, to: URL, status: number): Request {
  const toGet =
    (status === 303 && request.method !== 'GET' && request.method !== 'HEAD') ||
    ((status === 301 || status === 302) && request.method === 'POST');
  if (!toGet && request.body !== null) {
    throw new TypeError('fetch failed: a body that was sent cannot be sent again');
  }
  const headers = new Headers(request.headers);
  if (toGet) {
    for (const name of [
      'content-encoding',
      'content-language',
      'content-location',
      'content-type',
      'content-length',
    ]) {
      headers.delete(name);
    }
  }
  if (new URL(request.url).origin !== to.origin) {
    for (const name of ['authorization', 'proxy-authorization', 'cookie']) headers.delete(name);
  }
  return new Request(to, {
    method: toGet ? 'GET' : request.method,
    headers,
    signal: request.signal,
    redirect: request.redirect,
  });
}

function toResponse(answer: http.IncomingMessage, url: URL, redirected: boolean): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) {
    headers.append(answer.rawHeaders[i]!, answer.rawHeaders[i + 1]!);
  }
  const status = answer.statusCode ?? 0;
  const empty = NULL_BODY.has(status);
  if (empty) answer.resume();
  const body = empty ? null : (Readable.toWeb(answer) as unknown as ReadableStream);
  const response = new Response(body, { status, statusText: answer.statusMessage ?? '', headers });
  // A constructed Response knows neither; callers of fetch read both.
  Object.defineProperty(response, 'url', { value: url.href });
  Object.defineProperty(response, 'redirected', { value: redirected });
  return response;
}
