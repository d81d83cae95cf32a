// HTTP clients over the tailnet: agents for node:http and node:https, and a connector for undici.
// Hosts of the tailnet are dialled through the node, all others by the machine's own network.
import {
  type ClientRequestArgs,
  Agent as HttpAgent,
  type AgentOptions as HttpAgentOptions,
} from 'node:http';
import {
  Agent as HttpsAgent,
  type AgentOptions as HttpsAgentOptions,
  type RequestOptions,
} from 'node:https';
import { connect as connectTcp, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { closedError } from './errors.ts';

export interface DialTarget {
  readonly host: string;
  readonly port: number;
}

export interface TailnetDialer {
  /** Whether the host is of the tailnet; undefined while the node is not running. */
  reaches(host: string): boolean | undefined;
  /** Resolves when the node is running. */
  running(): Promise<void>;
  /** A connection to a host of the tailnet, still connecting. */
  connect(target: DialTarget): Duplex;
}

type ConnectionCallback = (error: Error | null, stream: Duplex) => void;

/** For http URLs. */
export class TailnetAgent extends HttpAgent {
  readonly #dialer: TailnetDialer;

  constructor(dialer: TailnetDialer, options?: HttpAgentOptions) {
    super(options);
    this.#dialer = dialer;
  }

  /** Called by node:http: returns a connection that is still connecting, or gives one to the callback. */
  override createConnection(
    options: ClientRequestArgs,
    callback?: ConnectionCallback,
  ): Duplex | undefined {
    const target = targetOf(options, 80);
    // At once where possible: node:http can abort a request only if it already has the connection.
    const inside = this.#dialer.reaches(target.host);
    if (inside !== undefined) return open(this.#dialer, target, inside);
    connected(this.#dialer, target).then(
      (stream) => callback?.(null, stream),
      (error: Error) => fail(callback, error),
    );
    return undefined;
  }
}

/** For https URLs. */
export class TailnetHttpsAgent extends HttpsAgent {
  readonly #dialer: TailnetDialer;

  constructor(dialer: TailnetDialer, options?: HttpsAgentOptions) {
    super(options);
    this.#dialer = dialer;
  }

  override createConnection(options: RequestOptions, callback?: ConnectionCallback): undefined {
    connected(this.#dialer, targetOf(options, 443)).then(
      (socket) => {
        // The base class starts TLS over a given socket and keeps sessions.
        const over = { ...options, socket } as RequestOptions;
        callback?.(null, super.createConnection(over) as Duplex);
      },
      (error: Error) => fail(callback, error),
    );
    return undefined;
  }
}

function targetOf(options: ClientRequestArgs, defaultPort: number): DialTarget {
  const host = String(options.hostname ?? options.host ?? 'localhost');
  return { host, port: Number(options.port ?? defaultPort) };
}

/** Node calls back with the error alone. */
function fail(callback: ConnectionCallback | undefined, error: Error): void {
  (callback as ((error: Error) => void) | undefined)?.(error);
}

export interface UndiciConnectOptions {
  readonly hostname: string;
  readonly port: string | number;
  readonly protocol: string;
  readonly servername?: string | null | undefined;
}

/** What `new undici.Agent({ connect })` takes. */
export type UndiciConnector = (
  options: UndiciConnectOptions,
  callback: (error: Error | null, socket: Duplex | null) => void,
) => void;

export function undiciConnector(dialer: TailnetDialer): UndiciConnector {
  return (options, callback) => {
    const secure = options.protocol === 'https:';
    const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = Number(options.port || (secure ? 443 : 80));
    const opening = connected(dialer, { host, port }).then((stream) =>
      secure ? startTls(stream, options.servername || host) : stream,
    );
    opening.then(
      (stream) => callback(null, stream),
      (error: Error) => callback(error, null),
    );
  };
}

function open(dialer: TailnetDialer, target: DialTarget, inside: boolean): Duplex {
  return inside ? dialer.connect(target) : connectTcp(target);
}

async function connected(dialer: TailnetDialer, target: DialTarget): Promise<Duplex> {
  await dialer.running();
  const stream = open(dialer, target, dialer.reaches(target.host) ?? true);
  return settled(stream, 'connect');
}

function startTls(socket: Duplex, servername: string): Promise<Duplex> {
  const tls = connectTls({
    socket,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(servername) === 0 ? { servername } : {}),
  });
  return settled(tls, 'secureConnect');
}

/** Resolves with the stream at the event, rejects at an error before. */
function settled(stream: Duplex, event: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    // Stays until whoever awaits this has run: a peer may accept and reset in one breath.
    stream.on('error', reject);
    stream.once('close', () => reject(closedError('the connection')));
    stream.once(event, () => {
      setImmediate(() => stream.off('error', reject));
      resolve(stream);
    });
  });
}
