// UDP sockets that send and receive trains: datagrams of one size, one behind the other, in one system call.
import { getSystemErrorName } from 'node:util';
import { binding } from './binding.ts';
import { NativeError } from './errors.ts';

/** Each received message has so many bytes of the room. */
export const UDP_ROOM_LENGTH = 65_536;
/** Messages told of at once at most, and so the rooms a socket needs. */
export const UDP_MESSAGES = 16;

/** Numbers by which the addon describes one message; IPv4 addresses are one word. */
export const UdpMark = { length: 0, segment: 1, port: 2, scope: 3, address: 4 } as const;
/** Numbers per message. */
export const UDP_MARKS = 8;

export interface UdpTrainEvents {
  /**
   * `count` messages lie in the room, the i-th at i * UDP_ROOM_LENGTH, marked from i * UDP_MARKS on. A message is one
   * datagram or, where its length is more than its segment, several of the segment's length, the last perhaps shorter.
   * Borrowed for the call.
   */
  messages(count: number): void;
  /** The system takes datagrams again; once after wantWritable. */
  writable(): void;
  /** The system's name of what went wrong with the socket. */
  failed(code: string): void;
}

export interface UdpTrainOptions {
  readonly family: 4 | 6;
  /** 0: any. */
  readonly port: number;
  /** Asked of the system, in both directions. */
  readonly bufferBytes: number;
  /** UDP_MESSAGES * UDP_ROOM_LENGTH bytes; sockets of one thread may share it. */
  readonly room: Uint8Array;
  /** UDP_MESSAGES * UDP_MARKS numbers; shared like the room. */
  readonly marks: Int32Array;
  readonly events: UdpTrainEvents;
}

interface UdpBinding {
  udpOpen(
    family: number,
    port: number,
    bufferBytes: number,
    room: Uint8Array,
    marks: Int32Array,
    onEvent: (kind: number, value: number) => void,
  ): object | number;
  udpName(socket: object, out: Int32Array): void;
  udpSend(
    socket: object,
    buf: Uint8Array,
    offset: number,
    length: number,
    segment: number,
    address: Uint8Array,
    scope: number,
  ): number;
  udpWantWritable(socket: object): void;
  udpClose(socket: object, closed: () => void): void;
  ifIndex(name: string): number;
  ifName(index: number): string;
}

const MESSAGES = 0;
const WRITABLE = 1;

/** False where there is no addon: then there are no such sockets. */
export function hasUdpTrains(): boolean {
  return 'udpOpen' in (binding() ?? {});
}

function addon(): UdpBinding {
  const functions = binding();
  if (functions === undefined) throw new NativeError('ERR_NOT_BUILT', 'the native part is missing');
  return functions as UdpBinding;
}

/** The zone of link-local addresses, by name and by number; 0 and '' where there is no such interface. */
export function interfaceIndex(name: string): number {
  return addon().ifIndex(name);
}

export function interfaceName(index: number): string {
  return addon().ifName(index);
}

export class UdpTrainSocket {
  readonly port: number;
  /** Bytes of the system's buffers, as the system counts them. */
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
  /** The system hands over trains as such. */
  readonly receivesTrains: boolean;
  readonly #addon: UdpBinding;
  readonly #socket: object;

  /** Bound to every address of the family. Throws an Error with the system's code, as node:dgram tells it. */
  constructor(options: UdpTrainOptions) {
    const { family, port, bufferBytes, room, marks, events } = options;
    this.#addon = addon();
    const socket = this.#addon.udpOpen(family, port, bufferBytes, room, marks, (kind, value) => {
      if (kind === MESSAGES) events.messages(value);
      else if (kind === WRITABLE) events.writable();
      else events.failed(getSystemErrorName(value));
    });
    if (typeof socket === 'number') {
      const code = getSystemErrorName(socket);
      throw Object.assign(new Error(`bind ${code} port ${port}`), { code });
    }
    this.#socket = socket;
    const name = new Int32Array(4);
    this.#addon.udpName(socket, name);
    this.port = name[0]!;
    this.receiveBuffer = name[1]!;
    this.sendBuffer = name[2]!;
    this.receivesTrains = name[3] === 1;
  }

  /**
   * Sends buf[offset, offset + length) as datagrams of `segment` bytes, the last perhaps shorter: at most 64, and at
   * most 65,507 bytes together. `address` is 4 or 16 bytes and the port in two more; `scope` its zone or 0. Returns 0
   * or the negative number of the system's error; nothing was sent then. The bytes are the caller's again at once.
   */
  send(
    buf: Uint8Array,
    offset: number,
    length: number,
    segment: number,
    address: Uint8Array,
    scope: number,
  ): number {
    return this.#addon.udpSend(this.#socket, buf, offset, length, segment, address, scope);
  }

  /** After -EAGAIN: have writable() called. */
  wantWritable(): void {
    this.#addon.udpWantWritable(this.#socket);
  }

  /** No events follow. */
  close(closed: () => void): void {
    this.#addon.udpClose(this.#socket, closed);
  }
}
