// Applications for tests: one that writes a known stream, one that reads and checks it.
import assert from 'node:assert/strict';
import type { TcpHandler, TcpSocket } from '../api.ts';

/** Byte `i` of the test stream of `seed`. */
export function patternByte(seed: number, i: number): number {
  return (Math.imul(i ^ (i >>> 8) ^ seed, 0x9e3779b1) >>> 23) & 0xff;
}

export function patternBytes(seed: number, from: number, count: number): Uint8Array {
  const out = new Uint8Array(count);
  for (let i = 0; i < count; i++) out[i] = patternByte(seed, from + i);
  return out;
}

export interface TransferOptions {
  /** Bytes to send, then FIN. */
  readonly send: number;
  readonly seed: number;
  /** Bytes per write; default as much as fits. */
  readonly writeSize?: number;
  readonly close?: boolean;
}

/** Sends its stream, checks what it receives against the peer's, closes after both ends are done. */
export class Transfer implements TcpHandler {
  sent = 0;
  received = 0;
  connectedCount = 0;
  hasEnded = false;
  hasFinished = false;
  closedWith: string | undefined | null = null;
  readonly #options: TransferOptions;
  readonly #peerSeed: number;

  constructor(options: TransferOptions, peerSeed: number) {
    this.#options = options;
    this.#peerSeed = peerSeed;
  }

  get isClosed(): boolean {
    return this.closedWith !== null;
  }

  connected(socket: TcpSocket): void {
    this.connectedCount++;
    this.start(socket);
  }

  start(socket: TcpSocket): void {
    this.#write(socket);
  }

  #write(socket: TcpSocket): void {
    const { send, seed, writeSize } = this.#options;
    while (this.sent < send) {
      const want = Math.min(send - this.sent, writeSize ?? 16384);
      const count = socket.write(patternBytes(seed, this.sent, want));
      this.sent += count;
      if (count < want) return;
    }
    socket.shutdownWrite();
  }

  writable(socket: TcpSocket): void {
    this.#write(socket);
  }

  readable(socket: TcpSocket): void {
    for (let chunk = socket.read(); chunk !== undefined; chunk = socket.read()) {
      for (let i = 0; i < chunk.length; i++) {
        if (chunk[i] !== patternByte(this.#peerSeed, this.received + i)) {
          assert.fail(`byte ${this.received + i} differs`);
        }
      }
      this.received += chunk.length;
    }
  }

  ended(): void {
    assert.equal(this.hasEnded, false, 'ended is told once');
    this.hasEnded = true;
  }

  finished(): void {
    this.hasFinished = true;
  }

  closed(_socket: TcpSocket, error: string | undefined): void {
    assert.equal(this.closedWith, null, 'closed is told once');
    this.closedWith = error;
  }
}
