// A TCP connection of the node as a Node Duplex with the manners of net.Socket: half-close, backpressure both ways,
// timeouts, error codes, ref and unref, so that http, tls, ws and database drivers run on it unchanged.
//
// Writes are copied into the stack's send buffer: a write calls back as soon as it fits. Reads leave data in the
// stack while the stream is full, which closes the window to the peer.
import { Duplex } from 'node:stream';
import { NetstackError, type TcpErrorCode, type TcpHandler, type TcpSocket } from '@cove/netstack';
import type { Clock } from './clock.ts';
import { TsnetError, type TsnetErrorCode } from './errors.ts';
import { IdleTimer } from './idletimer.ts';
import type { Linger } from './linger.ts';
import type { LoopHold } from './loophold.ts';

export interface ConnectTarget {
  /** Address or tailnet name. */
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

/** What a connection needs of its node. */
export interface ConnEnvironment {
  readonly clock: Clock;
  readonly hold: LoopHold;
  readonly linger: Linger;
  /** Opens a connection; throws TsnetError or NetstackError when there is no way to begin. */
  connect(target: ConnectTarget, handler: TcpHandler): TcpSocket;
}

export interface ConnAddress {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

export interface ConnOptions {
  /** Keep the writing side open when the peer ends its own. Default false. */
  readonly allowHalfOpen?: boolean | undefined;
  /** Called once the connection is over, right before 'close'. One function for many costs less than a listener on each. */
  readonly onClosed?: ((conn: Conn) => void) | undefined;
}

interface PendingWrite {
  readonly chunks: readonly Uint8Array[];
  index: number;
  offset: number;
  readonly done: (error?: Error | null) => void;
}

/** The keep-alive probes of net.Socket: ten, one second apart. */
const KEEPALIVE_INTERVAL = 1000;
const KEEPALIVE_PROBES = 10;

export class Conn extends Duplex {
  /** What the stack calls: one small object for each connection, not five functions. */
  static readonly #Events = class implements TcpHandler {
    readonly #conn: Conn;

    constructor(conn: Conn) {
      this.#conn = conn;
    }

    connected(): void {
      this.#conn.#connected();
    }

    readable(): void {
      if (this.#conn.#wantsData) this.#conn.#pull();
    }

    writable(): void {
      this.#conn.#push();
    }

    ended(): void {
      this.#conn.#end();
    }

    closed(_socket: TcpSocket, error: TcpErrorCode | undefined): void {
      this.#conn.#over(error);
    }
  };

  /** As on net.Socket: a TLS socket around this connection says true. */
  readonly encrypted: boolean = false;
  /** The inactivity limit in milliseconds, undefined when there is none. */
  timeout: number | undefined;
  readonly #env: ConnEnvironment;
  readonly #onClosed: ((conn: Conn) => void) | undefined;
  #idle: IdleTimer | undefined;
  #socket: TcpSocket | undefined;
  /** While connecting: stops listening to the signal. */
  #forgetSignal: (() => void) | undefined;
  #connecting = false;
  #wantsData = false;
  #ended = false;
  #pending: PendingWrite | undefined;
  #written = 0;
  #refed = true;
  #held = false;
  #noDelay = false;
  #keepAlive: number | undefined;

  /** Accepted: give the socket. Otherwise call connect(). */
  constructor(env: ConnEnvironment, options: ConnOptions = {}, socket?: TcpSocket) {
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      // 'close' carries hadError, as on net.Socket, and is emitted in _destroy.
      emitClose: false,
      readableHighWaterMark: 64 * 1024,
      writableHighWaterMark: 64 * 1024,
    });
    this.#env = env;
    this.#onClosed = options.onClosed;
    if (socket) {
      this.#socket = socket;
      socket.handler = new Conn.#Events(this);
      this.#hold(true);
      // Reading ahead is what notices the peer's end on a connection nobody reads from.
      this.read(0);
    }
  }

  /** Starts connecting; 'connect' or 'error' follows. Destroys the connection with the signal's reason on abort. */
  connect(port: number, host?: string | (() => void), onConnect?: () => void): this;
  connect(
    options: { host?: string; port: number; localAddress?: string; signal?: AbortSignal },
    onConnect?: () => void,
  ): this;
  connect(
    first: number | { host?: string; port: number; localAddress?: string; signal?: AbortSignal },
    second?: string | (() => void),
    third?: () => void,
  ): this {
    const options = typeof first === 'object' ? first : { port: first };
    const host = typeof second === 'string' ? second : (options as { host?: string }).host;
    const onConnect = typeof second === 'function' ? second : third;
    if (this.#socket || this.#connecting) throw new TypeError('the connection is already used');
    if (onConnect) this.once('connect', onConnect);
    const { port, localAddress, signal } = options as {
      port: number;
      localAddress?: string;
      signal?: AbortSignal;
    };
    this.#connecting = true;
    this.#hold(true);
    const target = { host: host ?? 'localhost', port: Number(port), localAddress };
    try {
      this.#socket = this.#env.connect(target, new Conn.#Events(this));
    } catch (error) {
      // As net.Socket: never before the caller, or http on its behalf, could listen for the error.
      setImmediate(() => this.destroy(connectError(error, target)));
      return this;
    }
    if (signal) {
      const onAbort = (): void => {
        this.destroy(signal.reason as Error);
      };
      if (signal.aborted) setImmediate(onAbort);
      else {
        signal.addEventListener('abort', onAbort, { once: true });
        this.#forgetSignal = () => signal.removeEventListener('abort', onAbort);
      }
    }
    this.#idle?.touch();
    return this;
  }

  get connecting(): boolean {
    return this.#connecting;
  }

  /** Not connected yet. */
  get pending(): boolean {
    return !this.#socket || this.#connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.#connecting) return 'opening';
    if (!this.#socket || this.destroyed) return 'closed';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** Canonical text; the tailnet address WireGuard authenticated. Kept after the connection is closed. */
  get remoteAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#socket?.remotePort;
  }

  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    return this.#socket && familyOf(this.#socket.remoteAddress);
  }

  get localAddress(): string | undefined {
    return this.#socket?.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket?.localPort;
  }

  get localFamily(): 'IPv4' | 'IPv6' | undefined {
    return this.#socket && familyOf(this.#socket.localAddress);
  }

  address(): ConnAddress | Record<string, never> {
    const socket = this.#socket;
    if (!socket || this.destroyed) return {};
    const { localAddress: address, localPort: port } = socket;
    return { address, family: familyOf(address), port };
  }

  /** Bytes handed to the reader's side of the stream so far, or still queued in the stack. */
  get bytesRead(): number {
    return this.#socket?.bytesReceived ?? 0;
  }

  /** Bytes written by the application, queued ones included. */
  get bytesWritten(): number {
    return this.#written + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  /** 'timeout' is emitted after so many milliseconds without traffic; the connection stays open. 0: never. */
  setTimeout(timeout: number, onTimeout?: () => void): this {
    if (!(timeout >= 0)) throw new RangeError(`timeout out of range: ${timeout}`);
    this.timeout = timeout === 0 ? undefined : timeout;
    if (timeout > 0) this.#idle ??= new IdleTimer(this.#env.clock, () => this.emit('timeout'));
    this.#idle?.set(this.destroyed ? 0 : timeout);
    if (onTimeout) {
      if (timeout === 0) this.removeListener('timeout', onTimeout);
      else this.once('timeout', onTimeout);
    }
    return this;
  }

  setNoDelay(on = true): this {
    this.#noDelay = on;
    if (!this.#connecting) this.#socket?.setNoDelay(on);
    return this;
  }

  /** Milliseconds of silence before the first probe; 0 keeps the default of two hours. */
  setKeepAlive(on = false, initialDelay = 0): this {
    this.#keepAlive = on ? initialDelay : undefined;
    if (!this.#connecting) this.#applyKeepAlive();
    return this;
  }

  /** The connection keeps the process alive (the default). */
  ref(): this {
    this.#refed = true;
    if (this.#socket || this.#connecting) this.#hold(!this.destroyed);
    return this;
  }

  unref(): this {
    this.#refed = false;
    this.#hold(false);
    return this;
  }

  /** Ends the writing side and destroys the connection; what was written is still sent. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Tells the peer RST. */
  resetAndDestroy(): this {
    this.#socket?.abort();
    return this.destroy();
  }

  override write(
    chunk: unknown,
    encoding?: BufferEncoding | ((error: Error | null | undefined) => void),
    done?: (error: Error | null | undefined) => void,
  ): boolean {
    if (this.writableEnded && this.readableEnded && !this.allowHalfOpen) {
      const message = 'This socket has been ended by the other party';
      const error = new TsnetError('EPIPE', message, { syscall: 'write' });
      const callback = typeof encoding === 'function' ? encoding : done;
      if (callback) process.nextTick(callback, error);
      this.destroy(error);
      return false;
    }
    return super.write(chunk, encoding as BufferEncoding, done);
  }

  override _read(): void {
    this.#wantsData = true;
    if (this.#socket && !this.#connecting) this.#pull();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    this.#begin([chunk], done);
  }

  override _writev(
    chunks: readonly { chunk: Uint8Array; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#begin(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#connecting) {
      this.once('connect', () => this._final(done));
      return;
    }
    // Like shutdown(2), done when the end is queued; waiting for the peer would keep alive what http lets go of.
    this.#socket?.shutdownWrite();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#connecting = false;
    this.#idle?.set(0);
    this.#dropSignal();
    // As the kernel does it: what was accepted is still sent, and only unread data makes it a reset. An http.Server
    // counts on it when it answers 408 and destroys with an error.
    if (this.#socket) this.#env.linger.close(this.#socket, this.#held);
    this.#hold(false);
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.done(error);
    done(error);
    process.nextTick(() => {
      this.#onClosed?.(this);
      this.emit('close', error !== null);
    });
  }

  #begin(chunks: readonly Uint8Array[], done: PendingWrite['done']): void {
    this.#pending = { chunks, index: 0, offset: 0, done };
    this.#idle?.touch();
    if (!this.#socket && !this.#connecting) {
      this.#pending = undefined;
      done(new TsnetError('EPIPE', 'write EPIPE', { syscall: 'write' }));
      return;
    }
    if (!this.#connecting) this.#push();
  }

  #push(): void {
    const pending = this.#pending;
    const socket = this.#socket;
    if (!pending || !socket) return;
    this.#idle?.touch();
    for (let chunk = pending.chunks[pending.index]; chunk; chunk = pending.chunks[pending.index]) {
      pending.offset += socket.write(chunk, pending.offset);
      if (pending.offset < chunk.length) return;
      this.#written += chunk.length;
      pending.index++;
      pending.offset = 0;
    }
    this.#pending = undefined;
    pending.done();
  }

  #pull(): void {
    const socket = this.#socket!;
    while (this.#wantsData && !this.#ended) {
      const chunk = socket.read();
      if (!chunk) {
        if (socket.readEnded) this.#end();
        return;
      }
      this.#idle?.touch();
      this.#wantsData = this.push(chunk);
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.push(null);
    // An unread end must still be noticed by a connection nobody reads from: net.Socket does the same.
    if (this.readableLength === 0) this.read(0);
  }

  #dropSignal(): void {
    this.#forgetSignal?.();
    this.#forgetSignal = undefined;
  }

  #connected(): void {
    if (this.destroyed) return;
    this.#connecting = false;
    this.#dropSignal();
    this.#idle?.touch();
    if (this.#noDelay) this.#socket!.setNoDelay(true);
    if (this.#keepAlive !== undefined) this.#applyKeepAlive();
    this.emit('connect');
    this.emit('ready');
    if (this.destroyed) return;
    this.#push();
    this.read(0);
    if (this.#wantsData) this.#pull();
  }

  #over(code: TcpErrorCode | undefined): void {
    if (this.destroyed) return;
    if (this.#connecting) {
      const { remoteAddress: address, remotePort: port } = this.#socket!;
      this.destroy(callError('connect', code ?? 'ECONNABORTED', { address, port }));
    } else if (code !== undefined) {
      this.destroy(callError(this.#pending ? 'write' : 'read', code));
    } else {
      this.#wantsData = true;
      this.#pull();
      this.#end();
    }
  }

  #applyKeepAlive(): void {
    const delay = this.#keepAlive;
    if (delay === undefined) this.#socket?.setKeepAlive(undefined);
    else {
      const times = { interval: KEEPALIVE_INTERVAL, probes: KEEPALIVE_PROBES };
      this.#socket?.setKeepAlive(delay > 0 ? { idle: delay, ...times } : times);
    }
  }

  #hold(on: boolean): void {
    const wanted = on && this.#refed;
    if (wanted === this.#held) return;
    this.#held = wanted;
    if (wanted) this.#env.hold.acquire();
    else this.#env.hold.release();
  }
}

export function familyOf(address: string): 'IPv4' | 'IPv6' {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/** An error as net.Socket reports it: `connect ECONNREFUSED 100.64.0.2:80`. */
function callError(
  syscall: string,
  code: TsnetErrorCode,
  at?: { address: string; port: number },
): TsnetError {
  const where = at ? ` ${at.address}:${at.port}` : '';
  return new TsnetError(code, `${syscall} ${code}${where}`, { syscall, ...at });
}

function connectError(error: unknown, target: ConnectTarget): Error {
  if (error instanceof NetstackError && error.code !== 'ERR_CLOSED') {
    const code = error.code === 'EAFNOSUPPORT' ? 'ENETUNREACH' : error.code;
    if (code !== 'ENOBUFS')
      return callError('connect', code, { address: target.host, port: target.port });
  }
  return error as Error;
}
