// A TCP listener of the node in the shape of net.Server: 'connection' events, address(), close(), async iteration,
// and serve() which hands every connection to an http.Server or any other server that takes a Duplex.
import { EventEmitter } from 'node:events';
import type { TcpSocket } from '@cove/netstack';
import { Conn, type ConnAddress, type ConnEnvironment, familyOf } from './conn.ts';
import { TsnetError } from './errors.ts';

export interface ListenerOptions {
  readonly allowHalfOpen?: boolean | undefined;
  /** Connections that may wait while nobody takes them; later ones are reset. */
  readonly backlog: number;
}

/** The stack's side: where it listens, and how to stop. */
export interface ListeningSocket {
  readonly port: number;
  readonly address: string | undefined;
  close(): void;
}

/** What net.Server, http.Server, https.Server and http2 servers have in common. */
export interface ConnectionServer {
  emit(event: 'connection', conn: Conn): boolean;
  listeners(event: 'listening'): unknown[];
}

export interface ListenerEvents {
  connection: [conn: Conn];
  /** A connection was reset because of maxConnections or a full backlog. */
  drop: [];
  close: [];
  error: [error: Error];
}

export class Listener extends EventEmitter<ListenerEvents> implements AsyncIterable<Conn> {
  /** Connections above this are reset. */
  maxConnections: number | undefined;
  readonly #env: ConnEnvironment;
  readonly #backlog: number;
  readonly #socket: ListeningSocket;
  readonly #connections: Set<Conn> = new Set();
  /** Accepted, not yet taken. */
  readonly #queue: Conn[] = [];
  readonly #takers: ((conn: Conn | undefined) => void)[] = [];
  readonly #onClosed: (conn: Conn) => void = (conn) => this.#forget(conn);
  #allowHalfOpen: boolean;
  #listening = true;
  #held = true;

  /** open: starts listening with the given accept callback; throws as the stack does. */
  constructor(
    env: ConnEnvironment,
    options: ListenerOptions,
    open: (accept: (socket: TcpSocket) => void) => ListeningSocket,
  ) {
    super();
    this.#env = env;
    this.#backlog = options.backlog;
    this.#allowHalfOpen = options.allowHalfOpen ?? false;
    this.#socket = open((socket) => this.#accept(socket));
    env.hold.acquire();
    (this as EventEmitter).on('newListener', (event) => {
      if (event === 'connection') process.nextTick(() => this.#drain());
    });
  }

  get listening(): boolean {
    return this.#listening;
  }

  /** Null once closed. The address of a listener on every own address is `::`. */
  address(): ConnAddress | null {
    if (!this.#listening) return null;
    const address = this.#socket.address ?? '::';
    return { address, family: familyOf(address), port: this.#socket.port };
  }

  /**
   * Hands every connection to the server, as if it had accepted it itself. Close the listener to stop; the server's
   * own close() ends idle connections but does not know the listener.
   */
  serve(server: ConnectionServer): this {
    // HTTP clients may end their side right after the request.
    this.#allowHalfOpen = true;
    // An http.Server enforces headersTimeout, requestTimeout and closeIdleConnections only from its 'listening' event
    // on; it never hears one here.
    for (const listener of server.listeners('listening')) {
      if (typeof listener === 'function' && listener.name === 'setupConnectionsTracking')
        listener.call(server);
    }
    return this.on('connection', (conn) => {
      server.emit('connection', conn);
    });
  }

  /** Stops accepting. 'close' and the callback follow when the last connection has ended. */
  close(callback?: (error?: Error) => void): this {
    if (!this.#listening) {
      if (callback)
        process.nextTick(callback, new TsnetError('ERR_CLOSED', 'the listener is closed'));
      return this;
    }
    if (callback) this.once('close', () => callback());
    this.#listening = false;
    this.#socket.close();
    this.#hold(false);
    for (const conn of this.#queue.splice(0)) conn.destroy();
    for (const take of this.#takers.splice(0)) take(undefined);
    this.#maybeClosed();
    return this;
  }

  /** Destroys every connection accepted here. */
  closeAllConnections(): void {
    for (const conn of this.#connections) conn.destroy();
  }

  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(callback, null, this.#connections.size);
    return this;
  }

  ref(): this {
    this.#hold(this.#listening);
    return this;
  }

  unref(): this {
    this.#hold(false);
    return this;
  }

  /** Each accepted connection once, until the listener is closed. */
  [Symbol.asyncIterator](): AsyncIterator<Conn> {
    const done: IteratorResult<Conn> = { done: true, value: undefined };
    return {
      next: () => {
        const waiting = this.#queue.shift();
        if (waiting) return Promise.resolve({ done: false, value: waiting });
        if (!this.#listening) return Promise.resolve(done);
        return new Promise((resolve) => {
          this.#takers.push((conn) => resolve(conn ? { done: false, value: conn } : done));
        });
      },
      return: () => Promise.resolve(done),
    };
  }

  /** Stops accepting; does not wait for live connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#listening) this.close();
  }

  #accept(socket: TcpSocket): void {
    const full = this.#connections.size >= (this.maxConnections ?? Number.POSITIVE_INFINITY);
    if (!this.#listening || full || this.#queue.length >= this.#backlog) {
      socket.abort();
      this.emit('drop');
      return;
    }
    const options = { allowHalfOpen: this.#allowHalfOpen, onClosed: this.#onClosed };
    const conn = new Conn(this.#env, options, socket);
    this.#connections.add(conn);
    const take = this.#takers.shift();
    if (take) {
      // It may be reset before whoever awaits it runs.
      conn.on('error', ignoreError);
      take(conn);
    } else if (this.listenerCount('connection') > 0) this.emit('connection', conn);
    else this.#wait(conn);
  }

  /** Keeps a connection until somebody takes it. Errors meanwhile have nobody to go to. */
  #wait(conn: Conn): void {
    conn.on('error', ignoreError);
    this.#queue.push(conn);
  }

  #forget(conn: Conn): void {
    this.#connections.delete(conn);
    const at = this.#queue.indexOf(conn);
    if (at >= 0) this.#queue.splice(at, 1);
    this.#maybeClosed();
  }

  #drain(): void {
    while (this.listenerCount('connection') > 0) {
      const conn = this.#queue.shift();
      if (!conn) return;
      this.emit('connection', conn);
    }
  }

  #maybeClosed(): void {
    if (!this.#listening && this.#connections.size === 0)
      process.nextTick(() => this.emit('close'));
  }

  #hold(on: boolean): void {
    if (on === this.#held) return;
    this.#held = on;
    if (on) this.#env.hold.acquire();
    else this.#env.hold.release();
  }
}

function ignoreError(): void {}
