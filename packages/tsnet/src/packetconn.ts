// A UDP socket of the node in the shape of dgram.Socket: 'message' events, send, close.
import { EventEmitter } from 'node:events';
import type { BindUdpOptions, UdpDatagram, UdpSocket } from '@cove/netstack';
import { type ConnAddress, familyOf } from './conn.ts';
import { closedError } from './errors.ts';
import type { LoopHold } from './loophold.ts';

/** Where a datagram came from, as dgram.RemoteInfo, and the own address it came to. */
export interface PacketInfo {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
  readonly size: number;
  readonly localAddress: string;
}

export interface PacketConnEvents {
  message: [bytes: Buffer, from: PacketInfo];
  close: [];
  error: [error: Error];
}

type SendCallback = (error: Error | null, bytes: number) => void;

export class PacketConn extends EventEmitter<PacketConnEvents> {
  readonly #hold: LoopHold;
  readonly #socket: UdpSocket;
  #open = true;
  #held = true;

  /** bind: the stack's bindUdp with port and address filled in. */
  constructor(hold: LoopHold, bind: (options: Pick<BindUdpOptions, 'receive'>) => UdpSocket) {
    super();
    this.#hold = hold;
    this.#socket = bind({ receive: (datagram) => this.#receive(datagram) });
    hold.acquire();
  }

  /** Throws ERR_CLOSED. The address of a socket on every own address is `::`. */
  address(): ConnAddress {
    if (!this.#open) throw closedError('the socket');
    const address = this.#socket.address ?? '::';
    return { address, family: familyOf(address), port: this.#socket.port };
  }

  /**
   * Sends one datagram, copied before the call returns, to an IP literal. Best effort: one that finds the queue full
   * is lost without an error. Errors go to the callback, or are thrown without one: EMSGSIZE, ERR_CLOSED.
   */
  send(message: Uint8Array | string, port: number, address: string, callback?: SendCallback): void {
    const bytes = typeof message === 'string' ? Buffer.from(message) : message;
    try {
      if (!this.#open) throw closedError('the socket');
      this.#socket.send({ address, port }, bytes);
    } catch (error) {
      if (!callback) throw error;
      process.nextTick(callback, error as Error, 0);
      return;
    }
    if (callback) process.nextTick(callback, null, bytes.length);
  }

  /** Idempotent. */
  close(callback?: () => void): this {
    if (callback) {
      if (this.#open) this.once('close', callback);
      else process.nextTick(callback);
    }
    if (!this.#open) return this;
    this.#open = false;
    this.#socket.close();
    this.unref();
    process.nextTick(() => this.emit('close'));
    return this;
  }

  ref(): this {
    this.#keep(this.#open);
    return this;
  }

  unref(): this {
    this.#keep(false);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #receive({ bytes, remoteAddress: address, remotePort: port, localAddress }: UdpDatagram): void {
    if (!this.#open) return;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const from = { address, family: familyOf(address), port, size: bytes.length, localAddress };
    this.emit('message', buffer, from);
  }

  #keep(on: boolean): void {
    if (on === this.#held) return;
    this.#held = on;
    if (on) this.#hold.acquire();
    else this.#hold.release();
  }
}
