// A UDP socket that hands the system trains: consecutive datagrams of one size to one path leave in one system call, and
// arrive in one where the other side, or its network card, sends them together.

import { constants } from 'node:os';
import {
  errnoName,
  interfaceIndex,
  interfaceName,
  UDP_MARKS,
  UDP_MESSAGES,
  UDP_ROOM_LENGTH,
  UdpMark,
  type UdpTrainOptions,
  UdpTrainSocket,
} from '@cove/native';
import { formatAddr } from '@cove/protocol/netaddr';
import { receiveRoom } from '../slab.ts';
import {
  BUFFER_BYTES,
  type FamilySocket,
  type FamilySocketOptions,
  MOST_QUEUED_BYTES,
} from './familysocket.ts';
import type { UdpPath } from './paths.ts';

/** Datagrams per train at most, and their bytes: what the system takes of IPv4 in one call. */
const TRAIN_DATAGRAMS = 64;
const TRAIN_BYTES = 65_507;

const { EAGAIN, EWOULDBLOCK, ENOBUFS, EIO, EINVAL, EMSGSIZE, EPERM, EPIPE, ENOTCONN, EBADF } =
  constants.errno;

/** The socket itself does not work any more. */
const BROKEN: ReadonlySet<number> = new Set([EPERM, EPIPE, ENOTCONN, EBADF]);

/** What all sockets of a thread share: nothing of it outlives one event, or one flush. */
interface Shared {
  readonly room: Uint8Array;
  readonly marks: Int32Array;
  /** The train being gathered, and whose it is. */
  readonly train: Uint8Array;
  owner: TrainSocket | undefined;
}

let shared: Shared | undefined;

function share(): Shared {
  shared ??= {
    room: receiveRoom(),
    marks: new Int32Array(UDP_MESSAGES * UDP_MARKS),
    train: new Uint8Array(TRAIN_BYTES),
    owner: undefined,
  };
  return shared;
}

interface Waiting {
  readonly path: UdpPath;
  bytes: Uint8Array;
  readonly segment: number;
}

/** What is asked of the system's socket. */
export type SystemSocket = Pick<
  UdpTrainSocket,
  'port' | 'receiveBuffer' | 'sendBuffer' | 'send' | 'wantWritable' | 'close'
>;

export class TrainSocket implements FamilySocket {
  dropped = 0;
  refused = 0;
  readonly #options: FamilySocketOptions;
  readonly #shared: Shared = share();
  readonly #socket: SystemSocket | undefined;
  /** The train: where to, its length, that of its first datagram, how many; full when no other may follow. */
  #path: UdpPath | undefined;
  #length = 0;
  #segment = 0;
  #count = 0;
  #isFull = false;
  /** The system sends no trains here, or none to these paths. */
  #sendsTrains = true;
  readonly #noTrains: WeakSet<UdpPath> = new WeakSet();
  readonly #scopes: Map<string, number> = new Map();
  /** What the system did not take, in order. */
  readonly #queue: Waiting[] = [];
  #queuedBytes = 0;
  #isClosed = false;
  /** Source of the last message, and what the table said of it. */
  readonly #source: Int32Array = new Int32Array(UDP_MARKS);
  #sourcePath: UdpPath | undefined;
  #sourceVersion = -1;

  constructor(
    options: FamilySocketOptions,
    open: (options: UdpTrainOptions) => SystemSocket = (asked) => new UdpTrainSocket(asked),
  ) {
    const { family, port, events } = options;
    const { room, marks } = this.#shared;
    this.#options = options;
    try {
      this.#socket = open({
        family,
        port,
        bufferBytes: BUFFER_BYTES,
        room,
        marks,
        events: {
          messages: (count) => this.#received(count),
          writable: () => this.#drain(),
          failed: (code) => events.broken(code),
        },
      });
    } catch (error) {
      this.#isClosed = true;
      queueMicrotask(() => events.notBound((error as NodeJS.ErrnoException).code ?? 'UNKNOWN'));
      return;
    }
    const { port: own, receiveBuffer, sendBuffer } = this.#socket;
    queueMicrotask(() => {
      if (!this.#isClosed) events.bound(own, receiveBuffer, sendBuffer);
    });
  }

  send(path: UdpPath, buf: Uint8Array, offset: number, length: number): void {
    if (
      path !== this.#path ||
      this.#isFull ||
      length > this.#segment ||
      this.#length + length > TRAIN_BYTES ||
      this.#shared.owner !== this
    ) {
      this.#begin(path, length);
    }
    if (length > TRAIN_BYTES) {
      this.dropped++;
      return;
    }
    this.#shared.train.set(buf.subarray(offset, offset + length), this.#length);
    this.#length += length;
    this.#isFull = length < this.#segment || ++this.#count === TRAIN_DATAGRAMS;
  }

  probe(path: UdpPath, datagram: Uint8Array): void {
    const errno = this.#transmit(path, datagram, 0, datagram.length, datagram.length);
    if (errno !== 0) {
      const code = errnoName(errno);
      // Whoever asks must not be answered from inside the call.
      queueMicrotask(() => {
        if (!this.#isClosed) this.#options.events.probeFailed(path, code);
      });
    }
  }

  flush(): void {
    const path = this.#path;
    if (path === undefined) return;
    this.#path = undefined;
    this.#shared.owner = undefined;
    const length = this.#length;
    this.#length = 0;
    if (length > 0) this.#sendOrQueue(path, this.#shared.train, length, this.#segment);
  }

  close(closed: () => void): void {
    this.flush();
    this.#isClosed = true;
    for (const { bytes, segment } of this.#queue.splice(0)) this.#drop(bytes.length, segment);
    this.#queuedBytes = 0;
    if (this.#socket) this.#socket.close(closed);
    else queueMicrotask(closed);
  }

  #drop(length: number, segment: number): void {
    this.dropped += Math.ceil(length / segment);
  }

  #begin(path: UdpPath, length: number): void {
    const isNew = this.#path === undefined;
    this.#shared.owner?.flush();
    this.#shared.owner = this;
    this.#path = path;
    this.#segment = length;
    this.#length = 0;
    this.#count = 0;
    this.#isFull = false;
    if (isNew) this.#options.events.waiting();
  }

  #sendOrQueue(path: UdpPath, buf: Uint8Array, length: number, segment: number): void {
    const taken = this.#queue.length === 0 ? this.#sendTrain(path, buf, length, segment) : 0;
    if (taken === length) return;
    const bytes = buf.slice(taken, length);
    if (this.#queuedBytes + bytes.length > MOST_QUEUED_BYTES) {
      this.#drop(bytes.length, segment);
      return;
    }
    const isFirst = this.#queue.length === 0;
    this.#queue.push({ path, bytes, segment });
    this.#queuedBytes += bytes.length;
    if (!isFirst) return;
    this.#socket!.wantWritable();
    this.#options.events.congested(true);
  }

  /**
   * Returns how many bytes are done with: all, unless the system takes no more now. What it refuses is lost, as a
   * datagram may be.
   */
  #sendTrain(path: UdpPath, buf: Uint8Array, length: number, segment: number): number {
    if (length > segment && (!this.#sendsTrains || this.#noTrains.has(path))) {
      return this.#sendSingly(path, buf, length, segment);
    }
    const errno = this.#transmit(path, buf, 0, length, segment);
    if (errno === 0) return length;
    if (errno === EAGAIN || errno === EWOULDBLOCK) return 0;
    if (length > segment && (errno === EIO || errno === EINVAL || errno === EMSGSIZE)) {
      // The interface cannot, having no checksum offload; or the datagrams do not fit this path whole, and the fragments
      // of single ones may.
      if (errno === EIO) this.#sendsTrains = false;
      else this.#noTrains.add(path);
      return this.#sendSingly(path, buf, length, segment);
    }
    this.#refused(errno, Math.ceil(length / segment));
    return length;
  }

  #sendSingly(path: UdpPath, buf: Uint8Array, length: number, segment: number): number {
    for (let at = 0; at < length; at += segment) {
      const size = Math.min(segment, length - at);
      const errno = this.#transmit(path, buf, at, size, size);
      if (errno === EAGAIN || errno === EWOULDBLOCK) return at;
      if (errno !== 0) this.#refused(errno, 1);
    }
    return length;
  }

  #refused(errno: number, datagrams: number): void {
    if (errno === ENOBUFS) this.dropped += datagrams;
    else this.refused += datagrams;
    if (this.#isClosed || !BROKEN.has(errno)) return;
    this.#options.events.broken(errnoName(errno));
  }

  /** Returns 0 or the error's number. */
  #transmit(
    path: UdpPath,
    buf: Uint8Array,
    offset: number,
    length: number,
    segment: number,
  ): number {
    const scope = path.addr.length === 16 ? this.#scopeOf(path.address) : 0;
    const socket = this.#socket;
    return socket === undefined
      ? EBADF
      : -socket.send(buf, offset, length, segment, path.bytes, scope);
  }

  /** The number of a link-local address's zone. */
  #scopeOf(address: string): number {
    const at = address.indexOf('%');
    if (at < 0) return 0;
    const zone = address.slice(at + 1);
    const known = this.#scopes.get(zone);
    if (known !== undefined) return known;
    const scope = /^\d+$/.test(zone) ? Number(zone) : interfaceIndex(zone);
    if (this.#scopes.size >= 256) this.#scopes.clear();
    this.#scopes.set(zone, scope);
    return scope;
  }

  #drain(): void {
    while (this.#queue.length > 0) {
      const first = this.#queue[0]!;
      const { path, bytes, segment } = first;
      const taken = this.#sendTrain(path, bytes, bytes.length, segment);
      // What the system says may have ended it all.
      if (this.#isClosed) return;
      this.#queuedBytes -= taken;
      if (taken < bytes.length) {
        first.bytes = bytes.subarray(taken);
        this.#socket!.wantWritable();
        return;
      }
      this.#queue.shift();
    }
    if (!this.#isClosed) this.#options.events.congested(false);
  }

  #received(count: number): void {
    const { room, marks } = this.#shared;
    const { events } = this.#options;
    for (let i = 0; i < count && !this.#isClosed; i++) {
      const path = this.#sourceOf(i * UDP_MARKS);
      if (path === undefined) continue;
      const segment = marks[i * UDP_MARKS + UdpMark.segment]!;
      let at = i * UDP_ROOM_LENGTH;
      const end = at + marks[i * UDP_MARKS + UdpMark.length]!;
      if (at + segment < end) events.train();
      // An empty datagram is one too.
      do {
        events.packet(room, at, Math.min(segment, end - at), path);
        at += segment;
      } while (at < end && !this.#isClosed);
    }
  }

  #sourceOf(at: number): UdpPath | undefined {
    const { marks } = this.#shared;
    const { paths, family } = this.#options;
    const source = this.#source;
    let isSame = this.#sourceVersion === paths.version;
    for (let i = UdpMark.port; i < (family === 4 ? UdpMark.address + 1 : UDP_MARKS); i++) {
      if (source[i] === marks[at + i]) continue;
      source[i] = marks[at + i]!;
      isSame = false;
    }
    if (!isSame) {
      this.#sourcePath = paths.find(this.#sourceAddress(), source[UdpMark.port]!);
      this.#sourceVersion = paths.version;
    }
    return this.#sourcePath;
  }

  #sourceAddress(): string {
    const words = this.#options.family === 4 ? 1 : 4;
    const bytes = new Uint8Array(4 * words);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < words; i++) view.setInt32(4 * i, this.#source[UdpMark.address + i]!);
    const scope = this.#source[UdpMark.scope]!;
    const text = formatAddr(bytes);
    return scope === 0 ? text : `${text}%${interfaceName(scope) || scope}`;
  }
}
