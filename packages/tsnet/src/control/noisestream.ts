// A Noise record channel over a socket as a Duplex of plaintext, which carries the HTTP/2 connection.

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { EarlyPayloadReader, type RecordChannel } from '@cove/protocol/controlbase';

export class NoiseStream extends Duplex {
  readonly #socket: Socket;
  readonly #channel: RecordChannel;
  readonly #early = new EarlyPayloadReader();

  /** Takes the socket over. `received` are bytes of the stream that arrived with the handshake. */
  constructor(socket: Socket, channel: RecordChannel, received: Uint8Array) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#channel = channel;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    if (received.length > 0) this.#take(received);
    socket.resume();
  }

  #take(bytes: Uint8Array): void {
    if (this.destroyed) return;
    let room = true;
    try {
      for (const piece of this.#channel.push(bytes)) {
        const plaintext = this.#early.done ? piece : this.#early.push(piece);
        if (plaintext.length > 0) room = this.push(plaintext) && room;
      }
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    if (!room) this.#socket.pause();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: string,
    callback: (error?: Error | null) => void,
  ): void {
    try {
      this.#socket.write(this.#channel.seal(chunk), callback);
    } catch (error) {
      callback(error as Error);
    }
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer', callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }
}
