// A UDP socket through node:dgram: one datagram per system call, on every platform.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import {
  BUFFER_BYTES,
  CONGESTED_BYTES,
  type FamilySocket,
  type FamilySocketOptions,
  MOST_QUEUED_BYTES,
} from './familysocket.ts';
import type { UdpPath } from './paths.ts';

/** Lengths of datagrams for which a buffer is kept. */
const COPIES = 32;

export class DgramSocket implements FamilySocket {
  dropped = 0;
  /** Unknown: node:dgram tells only who asks for a callback with each datagram. */
  readonly refused = 0;
  readonly #options: FamilySocketOptions;
  readonly #socket: Socket;
  /** By length, of which there are few: WireGuard pads. */
  readonly #copies: Map<number, Uint8Array> = new Map();
  #isBound = false;
  #isClosed = false;
  #isCongested = false;

  constructor(options: FamilySocketOptions) {
    const { family, port } = options;
    this.#options = options;
    const socket = createSocket({
      type: family === 4 ? 'udp4' : 'udp6',
      ipv6Only: family === 6,
      // Addresses are literals: there is nothing to look up, and no reason to wait a turn for it.
      lookup: (address, _options, callback) => callback(null, address, family),
    });
    this.#socket = socket;
    socket.on('error', (error: NodeJS.ErrnoException) => this.#failed(error.code ?? error.message));
    // It can be over at once, and nobody is told from inside a constructor.
    queueMicrotask(() => {
      if (this.#isClosed) return;
      socket.bind({ port, address: family === 4 ? '0.0.0.0' : '::' }, () => this.#bound());
    });
  }

  send(path: UdpPath, buf: Uint8Array, offset: number, length: number): void {
    const socket = this.#socket;
    // Not 0: the system is behind, and the rest of the queue is in libuv.
    const queued = socket.getSendQueueSize();
    if (queued >= MOST_QUEUED_BYTES) {
      this.dropped++;
      return;
    }
    const copy = this.#copy(buf, offset, length, queued);
    if (queued < CONGESTED_BYTES || this.#isCongested) socket.send(copy, path.port, path.address);
    else {
      this.#isCongested = true;
      this.#options.events.congested(true);
      // Datagrams leave in order: with this one the queue of now is gone.
      socket.send(copy, path.port, path.address, () => this.#relieved());
    }
  }

  /** While nothing is queued the system has taken every datagram; one that is queued must stay as it is. */
  #copy(buf: Uint8Array, offset: number, length: number, queued: number): Uint8Array {
    let copy = queued === 0 ? this.#copies.get(length) : undefined;
    if (copy === undefined) {
      copy = Buffer.allocUnsafeSlow(length);
      if (queued === 0 && this.#copies.size < COPIES) this.#copies.set(length, copy);
    }
    copy.set(buf.subarray(offset, offset + length));
    return copy;
  }

  probe(path: UdpPath, datagram: Uint8Array): void {
    this.#socket.send(datagram, path.port, path.address, (error) => {
      const code = (error as NodeJS.ErrnoException | null)?.code;
      if (code !== undefined && !this.#isClosed) this.#options.events.probeFailed(path, code);
    });
  }

  flush(): void {}

  close(closed: () => void): void {
    this.#isClosed = true;
    this.#socket.close(closed);
  }

  #bound(): void {
    if (this.#isClosed) return;
    this.#isBound = true;
    const socket = this.#socket;
    try {
      socket.setRecvBufferSize(BUFFER_BYTES);
      socket.setSendBufferSize(BUFFER_BYTES);
    } catch {
      // The system's own size then.
    }
    socket.on('message', (message, from) => this.#received(message, from));
    const { events } = this.#options;
    events.bound(socket.address().port, socket.getRecvBufferSize(), socket.getSendBufferSize());
  }

  #failed(code: string): void {
    if (this.#isClosed) return;
    if (this.#isBound) this.#options.events.broken(code);
    else {
      this.#isClosed = true;
      this.#socket.close();
      this.#options.events.notBound(code);
    }
  }

  #relieved(): void {
    this.#isCongested = false;
    if (!this.#isClosed) this.#options.events.congested(false);
  }

  #received(message: Buffer, from: RemoteInfo): void {
    if (this.#isClosed) return;
    const { paths, events } = this.#options;
    const address = from.address.startsWith('::ffff:') ? from.address.slice(7) : from.address;
    const path = paths.find(address, from.port);
    if (!path) return;
    // Not copied to where the cipher works in place: with next to no garbage of JavaScript's own, the messages, memory
    // outside its heap, pile up until a whole collection.
    const datagram = new Uint8Array(message.buffer, message.byteOffset, message.length);
    events.packet(datagram, 0, datagram.length, path);
  }
}
