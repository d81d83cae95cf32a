// HTTP clients over the tailnet: an http.Agent for both http and https URLs, and a connector for undici.
// Hosts of the tailnet are dialled through the node, all others by the machine's own network.
import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

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

export class TailnetAgent extends Agent {
  readonly #dialer: TailnetDialer;

  constructor(dialer: TailnetDialer, options?: AgentOptions) {
    super(options);
    this.#dialer = dialer;
    // Without a protocol of its own the agent is taken by http.request and https.request alike.
    Object.assign(this, { protocol: undefined });
  }

  /** Called by node:http: returns a connection that is still connecting, or gives one to the callback. */
  override createConnection(
    options: ClientRequestArgs,
    callback?: ConnectionCallback,
  ): Duplex | undefined {
    // Node names the default agent of the module that was asked, which tells https from http.
    const standard = options._defaultAgent as { readonly protocol?: string } | undefined;
    const secure = (options.protocol ?? standard?.protocol) === 'https:';
    const host = String(options.hostname ?? options.host ?? 'localhost');
    const target = { host, port: Number(options.port ?? (secure ? 443 : 80)) };
    // At once where possible: node:http can abort a request only if it already has the connection.
    const inside = this.#dialer.reaches(host);
    if (!secure && inside !== undefined) return open(this.#dialer, target, inside);
    openConnection(this.#dialer, target, secure ? (options as ConnectionOptions) : undefined).then(
      (stream) => callback?.(null, stream),
      (error: Error) => (callback as ((error: Error) => void) | undefined)?.(error),
    );
    return undefined;
  }
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
    const tls = secure ? { servername: options.servername ?? host } : undefined;
    openConnection(dialer, { host, port }, tls).then(
      (stream) => callback(null, stream),
      (error: Error) => callback(error, null),
    );
  };
}

function open(dialer: TailnetDialer, target: DialTarget, inside: boolean): Duplex {
  return inside ? dialer.connect(target) : connectTcp(target);
}

async function openConnection(
  dialer: TailnetDialer,
  target: DialTarget,
  tls: ConnectionOptions | undefined,
): Promise<Duplex> {
  await dialer.running();
  const raw = open(dialer, target, dialer.reaches(target.host) ?? true);
  await new Promise<void>((resolve, reject) => {
    raw.once('connect', () => {
      raw.off('error', reject);
      resolve();
    });
    raw.once('error', reject);
  });
  return tls === undefined ? raw : startTls(raw, target.host, tls);
}

function startTls(raw: Duplex, host: string, options: ConnectionOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const { ca, cert, key, rejectUnauthorized, checkServerIdentity } = options;
    const given = { ca, cert, key, rejectUnauthorized, checkServerIdentity };
    const set = Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    );
    const socket = connectTls(
      { ...set, socket: raw, servername: options.servername || host, ALPNProtocols: ['http/1.1'] },
      () => {
        socket.off('error', reject);
        resolve(socket);
      },
    );
    socket.once('error', reject);
  });
}
