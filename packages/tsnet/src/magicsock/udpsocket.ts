// The node's UDP sockets, one per family under the same port number where possible: WireGuard, discovery and STUN share
// them, because a mapping learnt on one socket is of no use to another.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Log } from '../log.ts';
import type { Family } from './netcheck.ts';
import type { PathTable, UdpPath } from './paths.ts';

export interface UdpHandler {
  /** A datagram; the bytes are the receiver's own. */
  packet(datagram: Uint8Array, from: UdpPath): void;
  /** Sockets opened, or ports changed. */
  bound(): void;
  /** The datagram to the path could not be sent. Told only where probe() sent it. */
  sendFailed(path: UdpPath): void;
}

export interface UdpOptions {
  /** 0: any. */
  readonly port: number;
  /** Taken where `port` cannot be had; 0: none. */
  readonly lastPort: number;
  readonly paths: PathTable;
  readonly log: Log;
  readonly now: () => number;
  readonly handler: UdpHandler;
}

/** What magicsock needs of UDP: the real sockets, or a network in memory. */
export interface UdpTransport {
  /** Local port by family; 0: no socket. */
  port(family: Family): number;
  /** False: there is no socket of the family. The bytes are copied or written before the call returns. */
  send(path: UdpPath, buf: Uint8Array, offset: number, length: number): boolean;
  /** As send, for the little that finds out whether a path works at all: failures are told. */
  probe(path: UdpPath, datagram: Uint8Array): boolean;
  /** New sockets on the same ports if possible: the network changed, or they broke. */
  rebind(): void;
  readonly dropped: number;
  close(): void;
}

export type UdpOpen = (options: UdpOptions) => UdpTransport;

/** A burst for every peer fits; the operating system gives what it may. */
const BUFFER_BYTES = 4 << 20;
const MAX_DATAGRAM = 65_507;
/** Between two attempts to mend a socket. */
const REBIND_SPACING = 5_000;
/** Datagrams the system has not taken yet; the next one is dropped. */
const MAX_QUEUED = 256;
/** The network says that nothing gets there, as opposed to a full buffer. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EINVAL',
  'EACCES',
]);
/** The socket itself does not work any more. */
const BROKEN: ReadonlySet<string> = new Set(['EPERM', 'EPIPE', 'ENOTCONN', 'EBADF']);

export const openUdp: UdpOpen = (options) => new UdpSockets(options);

class UdpSockets implements UdpTransport {
  readonly #options: UdpOptions;
  readonly #sockets: Record<Family, Socket | undefined> = { 4: undefined, 6: undefined };
  readonly #ports: Record<Family, number> = { 4: 0, 6: 0 };
  /** Counts the sockets made, so that an old one's events are known as such. */
  #generation = 0;
  #lastRebind = Number.NEGATIVE_INFINITY;
  #closed = false;
  dropped = 0;

  constructor(options: UdpOptions) {
    this.#options = options;
    // Binding can be over at once, and nobody is told from inside a constructor.
    queueMicrotask(() => this.#open([options.port, options.lastPort]));
  }

  port(family: Family): number {
    return this.#ports[family];
  }

  send(path: UdpPath, buf: Uint8Array, offset: number, length: number): boolean {
    const family = path.addr.length === 4 ? 4 : 6;
    const socket = this.#sockets[family];
    if (socket === undefined || this.#ports[family] === 0) return false;
    if (socket.getSendQueueCount() >= MAX_QUEUED) {
      this.dropped++;
      return true;
    }
    // The system takes it at once, or reads it later: by then the caller's buffer has another packet in it.
    const copy = Buffer.allocUnsafe(length);
    copy.set(buf.subarray(offset, offset + length));
    socket.send(copy, path.port, path.address);
    return true;
  }

  probe(path: UdpPath, datagram: Uint8Array): boolean {
    const family = path.addr.length === 4 ? 4 : 6;
    const socket = this.#sockets[family];
    if (socket === undefined || this.#ports[family] === 0) return false;
    socket.send(datagram, path.port, path.address, (error) => {
      if (error) this.#sendFailed(path, error as NodeJS.ErrnoException);
    });
    return true;
  }

  rebind(): void {
    if (this.#closed) return;
    this.#lastRebind = this.#options.now();
    const { port } = this.#options;
    const current = this.#ports[4] || this.#ports[6];
    this.#closeSockets(() => this.#open([port, current]));
  }

  close(): void {
    this.#closed = true;
    this.#closeSockets(() => {});
  }

  #sendFailed(path: UdpPath, error: NodeJS.ErrnoException): void {
    if (this.#closed) return;
    const code = error.code ?? '';
    if (UNREACHABLE.has(code)) this.#options.handler.sendFailed(path);
    else if (BROKEN.has(code)) this.#mend(code);
  }

  #mend(why: string): void {
    if (this.#closed || this.#options.now() - this.#lastRebind < REBIND_SPACING) return;
    this.#options.log('debug', 'udp sockets are opened anew', { why });
    this.rebind();
  }

  #closeSockets(closed: () => void): void {
    this.#generation++;
    let open = 1;
    const done = (): void => {
      if (--open === 0) closed();
    };
    for (const family of [4, 6] as const) {
      const socket = this.#sockets[family];
      this.#sockets[family] = undefined;
      this.#ports[family] = 0;
      if (!socket) continue;
      open++;
      socket.close(done);
    }
    done();
  }

  /** IPv4 first; IPv6 asks for the port that it got. */
  #open(ports: readonly number[]): void {
    if (this.#closed) return;
    const generation = this.#generation;
    const wanted = [...new Set([...ports.filter((port) => port > 0), 0])];
    this.#bind(4, wanted, generation, () => {
      const got = this.#ports[4];
      this.#bind(6, got > 0 ? [got, 0] : wanted, generation, () => {
        if (this.#generation !== generation || this.#closed) return;
        this.#options.log('debug', 'udp sockets', { v4: this.#ports[4], v6: this.#ports[6] });
        this.#options.handler.bound();
      });
    });
  }

  #bind(family: Family, ports: readonly number[], generation: number, done: () => void): void {
    if (this.#generation !== generation || this.#closed) return;
    const [port, ...others] = ports;
    if (port === undefined) {
      done();
      return;
    }
    const socket = createSocket({
      type: family === 4 ? 'udp4' : 'udp6',
      ipv6Only: family === 6,
      // Addresses are literals: there is nothing to look up, and no reason to wait a turn for it.
      lookup: (address, _options, callback) => callback(null, address, family),
    });
    let isBound = false;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (isBound) {
        if (this.#sockets[family] === socket) this.#mend(error.code ?? error.message);
        return;
      }
      socket.close();
      // No such family here: other ports change nothing.
      const isPortTaken = error.code === 'EADDRINUSE' || error.code === 'EACCES';
      this.#bind(family, isPortTaken ? others : [], generation, done);
    });
    socket.bind({ port, address: family === 4 ? '0.0.0.0' : '::' }, () => {
      isBound = true;
      if (this.#generation !== generation || this.#closed) {
        socket.close();
        return;
      }
      this.#sockets[family] = socket;
      this.#ports[family] = socket.address().port;
      this.#enlargeBuffers(socket, family);
      socket.on('message', (message, from) => this.#received(socket, family, message, from));
      done();
    });
  }

  #received(socket: Socket, family: Family, message: Buffer, from: RemoteInfo): void {
    if (this.#sockets[family] !== socket || message.length > MAX_DATAGRAM) return;
    const address = from.address.startsWith('::ffff:') ? from.address.slice(7) : from.address;
    const path = this.#options.paths.find(address, from.port);
    // Everything behind this takes plain arrays.
    const datagram = new Uint8Array(message.buffer, message.byteOffset, message.length);
    if (path) this.#options.handler.packet(datagram, path);
  }

  #enlargeBuffers(socket: Socket, family: Family): void {
    try {
      socket.setRecvBufferSize(BUFFER_BYTES);
      socket.setSendBufferSize(BUFFER_BYTES);
    } catch {
      // The system's own size then.
    }
    const [receive, send] = [socket.getRecvBufferSize(), socket.getSendBufferSize()];
    this.#options.log('debug', 'udp buffers', { family, receive, send });
  }
}
