// The node's UDP sockets, one per family under the same port number where possible: WireGuard, discovery and STUN share
// them, because a mapping learnt on one socket is of no use to another.
import { hasUdpTrains } from '@cove/native';
import type { Log } from '../log.ts';
import { DgramSocket } from './dgramsocket.ts';
import type { FamilySocket } from './familysocket.ts';
import type { Family } from './netcheck.ts';
import type { PathTable, UdpPath } from './paths.ts';
import { TrainSocket } from './trainsocket.ts';

export interface UdpHandler {
  /** A datagram at buf[offset, offset + length), borrowed for the call; it may be overwritten. */
  packet(buf: Uint8Array, offset: number, length: number, from: UdpPath): void;
  /** Sockets opened, or ports changed. */
  bound(): void;
  /** The datagram to the path could not be sent. Told only where probe() sent it. */
  sendFailed(path: UdpPath): void;
  /** The packets of the next calls came in one piece. */
  train(): void;
  /** Datagrams wait for flush(): it is due at the end of the turn. */
  waiting(): void;
  /** The system takes nothing at the moment (true), or again: make no more to send. */
  congested(on: boolean): void;
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
  /**
   * False: there is no socket of the family. The bytes are copied or written before the call returns; they leave at the
   * next flush at the latest.
   */
  send(path: UdpPath, buf: Uint8Array, offset: number, length: number): boolean;
  /** As send, for the little that finds out whether a path works at all: failures are told. */
  probe(path: UdpPath, datagram: Uint8Array): boolean;
  /** Sends what waits. */
  flush(): void;
  /** New sockets on the same ports if possible: the network changed, or they broke. */
  rebind(): void;
  readonly dropped: number;
  readonly refused: number;
  close(): void;
}

export type UdpOpen = (options: UdpOptions) => UdpTransport;

/** Between two attempts to mend a socket. */
const REBIND_SPACING = 5_000;
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
  readonly #sockets: Record<Family, FamilySocket | undefined> = { 4: undefined, 6: undefined };
  readonly #ports: Record<Family, number> = { 4: 0, 6: 0 };
  /** Counts the sockets made, so that an old one's events are known as such. */
  #generation = 0;
  /** Of them, those that the system has not closed yet. */
  #closing = 0;
  /** Asked for where the chosen port cannot be had; 0: none. */
  #lastPort: number;
  #lastRebind = Number.NEGATIVE_INFINITY;
  #closed = false;
  readonly #congested: Set<Family> = new Set();
  /** By sockets that are closed. */
  #dropped = 0;
  #refused = 0;

  constructor(options: UdpOptions) {
    this.#options = options;
    this.#lastPort = options.lastPort;
    // Binding can be over at once, and nobody is told from inside a constructor.
    queueMicrotask(() => {
      if (this.#generation === 0) this.#open();
    });
  }

  port(family: Family): number {
    return this.#ports[family];
  }

  send(path: UdpPath, buf: Uint8Array, offset: number, length: number): boolean {
    const family = path.addr.length === 4 ? 4 : 6;
    const socket = this.#sockets[family];
    if (socket === undefined || this.#ports[family] === 0) return false;
    socket.send(path, buf, offset, length);
    return true;
  }

  probe(path: UdpPath, datagram: Uint8Array): boolean {
    const family = path.addr.length === 4 ? 4 : 6;
    const socket = this.#sockets[family];
    if (socket === undefined || this.#ports[family] === 0) return false;
    socket.probe(path, datagram);
    return true;
  }

  flush(): void {
    this.#sockets[4]?.flush();
    this.#sockets[6]?.flush();
  }

  rebind(): void {
    if (this.#closed) return;
    this.#lastRebind = this.#options.now();
    this.#lastPort = this.#ports[4] || this.#ports[6] || this.#lastPort;
    this.#closeSockets(() => this.#open());
  }

  close(): void {
    this.#closed = true;
    this.#closeSockets(() => {});
  }

  get dropped(): number {
    return this.#dropped + (this.#sockets[4]?.dropped ?? 0) + (this.#sockets[6]?.dropped ?? 0);
  }

  get refused(): number {
    return this.#refused + (this.#sockets[4]?.refused ?? 0) + (this.#sockets[6]?.refused ?? 0);
  }

  #mend(why: string): void {
    if (this.#closed || this.#options.now() - this.#lastRebind < REBIND_SPACING) return;
    this.#options.log('debug', 'udp sockets are opened anew', { why });
    this.rebind();
  }

  /** `closed`: there are none any more. Not told where others wait for the same. */
  #closeSockets(closed: () => void): void {
    this.#generation++;
    this.#closing++;
    const done = (): void => {
      if (--this.#closing === 0) closed();
    };
    for (const family of [4, 6] as const) {
      const socket = this.#sockets[family];
      this.#sockets[family] = undefined;
      this.#ports[family] = 0;
      this.#setCongested(family, false);
      if (!socket) continue;
      this.#closing++;
      socket.close(done);
      this.#dropped += socket.dropped;
      this.#refused += socket.refused;
    }
    done();
  }

  /** IPv4 first; IPv6 asks for the port that it got. */
  #open(): void {
    if (this.#closed) return;
    const generation = this.#generation;
    const ports = [this.#options.port, this.#lastPort].filter((port) => port > 0);
    const wanted = [...new Set([...ports, 0])];
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
    const { handler, paths, log } = this.#options;
    const isCurrent = (): boolean => this.#sockets[family] === socket;
    const Kind = hasUdpTrains() ? TrainSocket : DgramSocket;
    const socket: FamilySocket = new Kind({
      family,
      port,
      paths,
      events: {
        bound: (own, receive, send) => {
          if (this.#generation !== generation || this.#closed) {
            socket.close(() => {});
            return;
          }
          this.#sockets[family] = socket;
          this.#ports[family] = own;
          log('debug', 'udp buffers', { family, receive, send });
          done();
        },
        notBound: (code) => {
          // No such family here: other ports change nothing.
          const isPortTaken = code === 'EADDRINUSE' || code === 'EACCES';
          this.#bind(family, isPortTaken ? others : [], generation, done);
        },
        packet: (buf, offset, length, from) => {
          if (isCurrent()) handler.packet(buf, offset, length, from);
        },
        train: () => handler.train(),
        waiting: () => handler.waiting(),
        congested: (on) => {
          if (isCurrent()) this.#setCongested(family, on);
        },
        broken: (code) => {
          if (isCurrent()) this.#mend(code);
        },
        probeFailed: (path, code) => {
          if (this.#closed) return;
          if (UNREACHABLE.has(code)) handler.sendFailed(path);
          else if (BROKEN.has(code)) this.#mend(code);
        },
      },
    });
  }

  #setCongested(family: Family, on: boolean): void {
    const before = this.#congested.size;
    if (on) this.#congested.add(family);
    else this.#congested.delete(family);
    if (before === 0 || this.#congested.size === 0) {
      if (before !== this.#congested.size) this.#options.handler.congested(on);
    }
  }
}
