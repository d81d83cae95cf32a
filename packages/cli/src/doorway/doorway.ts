// The doorway: an HTTP server on loopback, and on loopback only, through which the person who started the tailnet
// reaches its services as a colleague would: every request crosses the tunnel from the doorway's own node.
// `http://go.localhost:8080/` is service `go`; `http://localhost:8080/go/` is the same by path, for systems where
// names below localhost do not resolve.
import {
  type Agent,
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { CliError, errorCode } from '../errors.ts';
import { hostName, judge } from './access.ts';
import { forward, forwardUpgrade, type ProxyTarget } from './proxy.ts';

export interface DoorwayService {
  /** First label at the doorway. */
  readonly name: string;
  /** Its name in the tailnet, the same unless another machine had that first. */
  readonly host: string;
  /** Its address in the tailnet: a name might be another machine's. */
  readonly address: string;
  readonly port: number;
  /** One line for the list of services. */
  readonly summary: string;
}

export interface DoorwayOptions {
  /** 0 takes any free port. */
  readonly port: number;
  readonly services: readonly DoorwayService[];
  /** Opens connections through the tunnel of the doorway's node. */
  readonly agent: Agent;
  /** Renders the pages that are the doorway's own. */
  readonly pages: DoorwayPages;
}

export interface DoorwayPages {
  home(res: ServerResponse, req: IncomingMessage): void;
  failure(res: ServerResponse, status: number, title: string, text: string): void;
  /** Takes a form of the doorway's own pages, already judged to be of the same origin; false if `path` is none. */
  submit(req: IncomingMessage, res: ServerResponse, path: string): boolean;
  /** Answers a request for one of the shared static assets; false if `path` is none. */
  asset(req: IncomingMessage, res: ServerResponse, path: string): boolean;
}

const ENDING: string = 'doorwayEnding';

type Destination =
  | { readonly type: 'own'; readonly path: string }
  | { readonly type: 'moved'; readonly location: string }
  | { readonly type: 'service'; readonly target: ProxyTarget; readonly path: string };

/** Listens on 127.0.0.1 and, where the machine has it, ::1. Throws `ERR_PORT_IN_USE`. */
export async function openDoorway(options: DoorwayOptions): Promise<Doorway> {
  const v4 = await listen(options, '127.0.0.1', options.port);
  const { port } = v4.address() as AddressInfo;
  const servers = [v4];
  try {
    servers.push(await listen(options, '::1', port));
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') {
      v4.close();
      throw error;
    }
  }
  return new Doorway(servers, port);
}

/** A running doorway. */
export class Doorway implements AsyncDisposable {
  readonly port: number;
  readonly #servers: readonly Server[];

  constructor(servers: readonly Server[], port: number) {
    this.#servers = servers;
    this.port = port;
  }

  get url(): string {
    return `http://localhost:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => {
        server.closeAllConnections();
        server.emit(ENDING);
        return new Promise((done) => server.close(done));
      }),
    );
  }
}

async function listen(options: DoorwayOptions, host: string, port: number): Promise<Server> {
  const server = createServer((req, res) => answer(options, req, res));
  server.setMaxListeners(0);
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    // From here on the socket is ours, and a browser that resets it must not end the process.
    socket.on('error', () => socket.destroy());
    // closeAllConnections forgets connections that switched protocol, and close would wait for them.
    const end = (): void => void socket.destroy();
    server.once(ENDING, end);
    socket.once('close', () => server.off(ENDING, end));
    const destination = judge('POST', req.headers).ok ? locate(options, req) : undefined;
    if (destination?.type !== 'service') {
      socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n', () => socket.destroy());
      return;
    }
    forwardUpgrade(req, socket, head, destination.target, destination.path);
  });
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
  });
  await new Promise<void>((done, fail) => {
    server.once('error', (error) => {
      if (errorCode(error) !== 'EADDRINUSE') return fail(error);
      const sentence = `port ${port} on ${host} is in use by another program: choose another with --port`;
      fail(new CliError('ERR_PORT_IN_USE', sentence, { cause: error }));
    });
    server.listen(port, host, done);
  });
  return server;
}

function answer(options: DoorwayOptions, req: IncomingMessage, res: ServerResponse): void {
  const verdict = judge(req.method ?? 'GET', req.headers);
  if (!verdict.ok) {
    options.pages.failure(res, verdict.status, 'Not here', verdict.reason);
    return;
  }
  const destination = locate(options, req);
  switch (destination.type) {
    case 'moved':
      res.writeHead(308, { location: destination.location }).end();
      return;
    case 'own':
      if (options.pages.asset(req, res, destination.path)) return;
      if (req.method === 'POST' && options.pages.submit(req, res, destination.path)) return;
      if (destination.path === '/') options.pages.home(res, req);
      else
        options.pages.failure(
          res,
          404,
          'No such service',
          'The doorway has no service of that name.',
        );
      return;
    case 'service': {
      const { target, path } = destination;
      forward(req, res, target, path, (error) => {
        const text = `${target.name} did not answer through the tunnel (${error.message}). It may still be starting: try again in a moment.`;
        options.pages.failure(res, 502, `${target.name} is not reachable`, text);
      });
    }
  }
}

function locate(options: DoorwayOptions, req: IncomingMessage): Destination {
  const name = hostName(req.headers.host) ?? '';
  const url = req.url?.startsWith('/') ? req.url : '/';
  const label = name.endsWith('.localhost') ? name.slice(0, -'.localhost'.length) : '';
  const byHost = options.services.find((service) => service.name === label);
  if (byHost !== undefined) return service(options, byHost, '', url);
  if (label !== '') return { type: 'own', path: '/no-such-service' };
  const [, first = ''] = /^\/([^/?#]*)/.exec(url) ?? [];
  const byPath = options.services.find((candidate) => candidate.name === first);
  if (byPath === undefined) return { type: 'own', path: url.replace(/[?#].*$/s, '') };
  const rest = url.slice(first.length + 1);
  if (!rest.startsWith('/')) return { type: 'moved', location: `/${first}/${rest}` };
  return service(options, byPath, `/${first}`, rest);
}

function service(
  options: DoorwayOptions,
  found: DoorwayService,
  prefix: string,
  path: string,
): Destination {
  const { host: name, address, port } = found;
  const target = { name, address, port, agent: options.agent, prefix };
  return { type: 'service', target, path };
}
