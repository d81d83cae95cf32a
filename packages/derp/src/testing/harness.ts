// For tests: a clock that stands until it is moved, and a client that speaks DERP frame by frame over a stream in
// memory, so that it can also speak it wrongly.
import { randomBytes } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { nodeCrypto } from '@cove/crypto';
import { toHex } from '@cove/protocol/bytes';
import { boxSharedKey, type Crypto } from '@cove/protocol/crypto';
import {
  CLIENT_FRAME_LIMITS,
  DERP_VERSION,
  encodeFrame,
  FrameReader,
  FrameType,
  parseServerKey,
} from '@cove/protocol/derp';
import { type DerpClientInfo, openServerInfo, sealClientInfo } from '@cove/protocol/derpinfo';
import { type NodePublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import type { Clock } from '../clock.ts';
import type { DerpServer } from '../server.ts';

export const crypto: Crypto = nodeCrypto();

export class VirtualClock implements Clock {
  #now = 1000;
  #timers: { at: number; callback: () => void }[] = [];

  readonly now = (): number => this.#now;

  schedule(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  /** Fires in order what becomes due. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = end;
  }
}

/** Lets streams in memory carry what was written: they need several turns of the loop. */
export async function settle(turns = 6): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

export interface Frame {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** The client's end of a stream, with no manners of its own. */
export class RawClient {
  readonly key: PrivateKey = PrivateKey.generate(randomBytes);
  readonly publicBytes: Uint8Array = this.key.publicBytes(crypto.x25519);
  readonly stream: Duplex;
  readonly frames: Frame[] = [];
  ended = false;

  constructor(stream: Duplex, key?: PrivateKey) {
    this.stream = stream;
    if (key !== undefined) {
      this.key = key;
      this.publicBytes = key.publicBytes(crypto.x25519);
    }
    const reader = new FrameReader(CLIENT_FRAME_LIMITS, (type, payload) => {
      this.frames.push({ type, payload: new Uint8Array(payload) });
    });
    stream.on('data', (chunk: Uint8Array) => reader.push(chunk));
    stream.on('error', () => {});
    stream.on('end', () => {
      this.ended = true;
    });
    stream.on('close', () => {
      this.ended = true;
    });
  }

  /** Connects to a server in memory. */
  static to(server: DerpServer, key?: PrivateKey): RawClient {
    const [near, far] = duplexPair();
    // A pair in memory tells the other side nothing of destroy(); a socket does.
    far.once('close', () => near.destroy());
    near.once('close', () => far.destroy());
    const client = new RawClient(near, key);
    server.accept(far, '192.0.2.1');
    return client;
  }

  get nodeKey(): NodePublic {
    return nodePublic(this.publicBytes);
  }

  send(type: number, ...parts: readonly Uint8Array[]): void {
    this.stream.write(encodeFrame(type, ...parts));
  }

  packet(to: RawClient | Uint8Array, text: string | Uint8Array): void {
    const packet = typeof text === 'string' ? Buffer.from(text) : text;
    this.send(FrameType.sendPacket, to instanceof RawClient ? to.publicBytes : to, packet);
  }

  /** Frames of a type since the last look, taken out. */
  take(type: number): Uint8Array[] {
    const found = this.frames.filter((frame) => frame.type === type).map((f) => f.payload);
    const rest = this.frames.filter((frame) => frame.type !== type);
    this.frames.splice(0, this.frames.length, ...rest);
    return found;
  }

  /** Packets received since the last look, as text. */
  packets(): string[] {
    return this.take(FrameType.recvPacket).map((payload) =>
      Buffer.from(payload.subarray(32)).toString(),
    );
  }

  sharedKey(): Uint8Array {
    const serverKey = this.frames.find((frame) => frame.type === FrameType.serverKey);
    if (serverKey === undefined) throw new Error('no ServerKey frame yet');
    return boxSharedKey(crypto.x25519, this.key.expose(), parseServerKey(serverKey.payload));
  }

  clientInfo(info: DerpClientInfo = { version: DERP_VERSION, canAckPings: true }): Uint8Array {
    return sealClientInfo(this.sharedKey(), this.publicBytes, randomBytes(24), info);
  }

  /** Greets and waits for the answer; throws if there is none. */
  async greet(): Promise<this> {
    await settle();
    this.stream.write(this.clientInfo());
    await settle();
    const info = this.take(FrameType.serverInfo)[0];
    if (info === undefined) throw new Error(`not admitted: ${toHex(this.publicBytes)}`);
    openServerInfo(this.sharedKey(), info);
    return this;
  }
}
