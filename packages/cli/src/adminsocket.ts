// How a second `cove` command talks to the running one: HTTP with JSON bodies over a Unix socket (a named pipe on
// Windows) inside the data directory. Whoever may open the directory (0700) may administer the tailnet; nobody else.
import { createHash } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { CliError, errorCode, explain } from './errors.ts';

/** sun_path holds 108 bytes on Linux and 104 on macOS, with the terminating zero. */
const MAX_SOCKET_PATH = 103;
const MAX_JSON_BODY = 1 << 20;

/** Where the running process of `dir` listens. Deep directories fall back to a name in the temporary directory. */
export function adminSocketPath(dir: string): string {
  const absolute = resolve(dir);
  const digest = createHash('sha256').update(absolute).digest('hex').slice(0, 16);
  if (process.platform === 'win32') return `\\\\.\\pipe\\cove-${digest}`;
  const inside = join(absolute, 'cove.sock');
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH) return inside;
  return join(tmpdir(), `cove-${userInfo().uid}-${digest}.sock`);
}

export interface AdminRequest {
  readonly query: URLSearchParams;
  /** The parsed JSON body, `undefined` where there was none. */
  json(): Promise<unknown>;
  /** The raw body, for streams such as a snapshot to import. */
  readonly stream: IncomingMessage;
  /** Writes one line of progress (JSON) ahead of the result. */
  progress(value: unknown): void;
  /** Writes a part of a long answer ahead of the result. Rejects when the caller has gone. */
  part(text: string): Promise<void>;
}

/** Handlers by `METHOD /path`; each returns what is printed as JSON. */
export type AdminHandlers = Readonly<
  Record<string, (request: AdminRequest) => Promise<unknown> | unknown>
>;

async function readJson(stream: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size > MAX_JSON_BODY) throw new CliError('ERR_REFUSED', 'the request body is over 1 MiB');
    chunks.push(chunk as Buffer);
  }
  if (size === 0) return undefined;
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

/**
 * Answers admin calls for `dir` until closed; `handlers` is asked anew for each. A socket left by a killed process is replaced; one that still answers
 * belongs to a running process and throws `ERR_DIRECTORY_IN_USE`.
 */
export async function serveAdmin(
  dir: string,
  handlers: () => AdminHandlers,
): Promise<AsyncDisposable> {
  const path = adminSocketPath(dir);
  await refuseIfRunning(dir);
  if (process.platform !== 'win32') rmSync(path, { force: true });
  const server = createServer((req, res) => {
    const url = new URL(req.url ?? '/', 'http://cove');
    const route = `${req.method} ${url.pathname}`;
    const handler = route === 'GET /process' ? () => ({ pid: process.pid }) : handlers()[route];
    res.setHeader('content-type', 'application/x-ndjson');
    if (handler === undefined) {
      res
        .writeHead(404)
        .end(
          `${JSON.stringify({ error: 'the running cove does not do that, or is still starting' })}\n`,
        );
      return;
    }
    const admin: AdminRequest = {
      query: url.searchParams,
      stream: req,
      json: () => readJson(req),
      progress: (value) => res.write(`${JSON.stringify({ progress: value })}\n`),
      part: (text) => writePart(res, text),
    };
    Promise.resolve()
      .then(() => handler(admin))
      .then(
        (result) => res.end(`${toJson({ result: result ?? null })}\n`),
        (error: unknown) =>
          res.end(`${JSON.stringify({ error: explain(error), code: errorCode(error) })}\n`),
      );
  });
  await listening(server, path);
  if (process.platform !== 'win32') chmodSync(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      if (process.platform !== 'win32') rmSync(path, { force: true });
    },
  };
}

/** Resolves when the next may be written. */
async function writePart(res: ServerResponse, text: string): Promise<void> {
  const gone = (): Error => new CliError('ERR_REFUSED', 'the caller has gone');
  if (res.destroyed) throw gone();
  if (res.write(`${JSON.stringify({ part: text })}\n`)) return;
  await new Promise<void>((done, fail) => {
    const settle = (): void => {
      res.off('drain', settle).off('close', settle);
      if (res.destroyed) fail(gone());
      else done();
    };
    res.on('drain', settle).on('close', settle);
  });
}

/** IDs of a tailnet service may lie beyond 2^53. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'bigint' ? Number(item) : item,
  );
}

async function listening(server: Server, path: string): Promise<void> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(path, done);
  });
}

/** Throws `ERR_DIRECTORY_IN_USE` if a running `cove` answers for `dir`. */
export async function refuseIfRunning(dir: string): Promise<void> {
  let running: unknown;
  try {
    running = await callAdmin(dir, 'GET /process');
  } catch (error) {
    if (errorCode(error) === 'ERR_NOT_RUNNING') return;
    throw error;
  }
  const pid = (running as { pid?: number }).pid ?? '?';
  throw new CliError(
    'ERR_DIRECTORY_IN_USE',
    `another cove (process ${pid}) is using ${resolve(dir)}: stop it first, or choose another --dir`,
  );
}

export interface AdminCall {
  readonly body?: unknown;
  /** Sent as it is instead of a JSON body. */
  readonly stream?: NodeJS.ReadableStream;
  onProgress?(value: unknown): void;
}

interface AdminMessage {
  readonly progress?: unknown;
  readonly part?: string;
  readonly result?: unknown;
  readonly error?: string;
  readonly code?: string;
}

/**
 * Calls the running process of `dir`.
 * Throws `ERR_NOT_RUNNING` if none answers, `ERR_REFUSED` with its sentence if it refuses; `cause.code` is the code it gave.
 */
export async function callAdmin(
  dir: string,
  route: string,
  call: AdminCall = {},
): Promise<unknown> {
  let last: AdminMessage | undefined;
  for await (const message of messagesOf(dir, route, call)) {
    if (message.progress !== undefined) call.onProgress?.(message.progress);
    else last = message;
  }
  return last!.result;
}

/** The parts of a long answer as they are taken; whoever stops taking them ends the call. Throws as `callAdmin`. */
export async function* partsOf(dir: string, route: string): AsyncGenerator<string> {
  for await (const { part } of messagesOf(dir, route, {})) if (part !== undefined) yield part;
}

/** What comes, to the result. */
async function* messagesOf(
  dir: string,
  route: string,
  call: AdminCall,
): AsyncGenerator<AdminMessage> {
  const response = await send(dir, route, call);
  let rest = '';
  let last: AdminMessage | undefined;
  response.setEncoding('utf8');
  for await (const chunk of whole(response)) {
    rest += chunk;
    const lines = rest.split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      last = JSON.parse(line) as AdminMessage;
      if (last.error !== undefined)
        throw new CliError('ERR_REFUSED', last.error, { cause: { code: last.code } });
      yield last;
    }
  }
  if (last === undefined || !('result' in last)) throw endedEarly();
}

async function* whole(response: IncomingMessage): AsyncGenerator<string> {
  try {
    yield* response as AsyncIterable<string>;
  } catch (error) {
    throw errorCode(error) === 'ECONNRESET' ? endedEarly(error) : error;
  }
}

function endedEarly(cause?: unknown): CliError {
  const sentence = 'the running cove ended before it answered';
  return new CliError('ERR_REFUSED', sentence, cause === undefined ? {} : { cause });
}

async function send(dir: string, route: string, call: AdminCall): Promise<IncomingMessage> {
  const [method, path] = route.split(' ') as [string, string];
  return new Promise<IncomingMessage>((done, fail) => {
    const req = request({ socketPath: adminSocketPath(dir), method, path }, done);
    req.once('error', (error) => {
      const code = errorCode(error);
      if (code === 'ECONNRESET' || code === 'EPIPE') return fail(endedEarly(error));
      if (code !== 'ENOENT' && code !== 'ECONNREFUSED' && code !== 'ENOTDIR') return fail(error);
      const hint = `no cove is running on ${resolve(dir)}: start it with \`cove up\`, or name its --dir`;
      fail(new CliError('ERR_NOT_RUNNING', hint, { cause: error }));
    });
    if (call.stream !== undefined) {
      call.stream.once('error', (error) => req.destroy(error));
      call.stream.pipe(req);
    } else {
      req.end(call.body === undefined ? undefined : JSON.stringify(call.body));
    }
  });
}
