// Writes frames to one stream: a burst becomes one write, a stream that does not keep up leaves a bounded number of
// packets waiting, and the oldest is dropped beyond that. Server and client send through it.
import type { Writable } from 'node:stream';
import { FRAME_HEADER_LENGTH, writeFrameHeader } from '@cove/protocol/derp';
import { isDisco } from '@cove/protocol/disco';

/** Packets that wait while the stream is blocked; disco has a queue of its own so that it survives load. */
export const QUEUE_LENGTH = 32;
/** Ours: frames without a packet (pongs, peers gone) that wait; more are dropped. */
const CONTROL_QUEUE_LENGTH = 256;
/** Ours: bytes handed to the stream and not yet taken by the system, beyond which packets wait. */
const IN_FLIGHT_LIMIT = 128 << 10;
/** Ours: a write is no longer than this, one large packet aside. */
const BATCH_LIMIT = 64 << 10;
const FIRST_BATCH = 2048;

export interface SenderCounters {
  /** Packets dropped from the head of a full queue. */
  droppedQueueHead: number;
  /** Frames without a packet dropped because too many wait. */
  droppedControl: number;
}

/** Nothing is written before flush(), except when a batch is full. */
export class FrameSender {
  readonly #stream: Writable;
  readonly #packetType: number;
  readonly #counters: SenderCounters;
  readonly #now: () => number;
  readonly #control: Uint8Array[] = [];
  readonly #data: Uint8Array[] = [];
  readonly #disco: Uint8Array[] = [];
  #batch: Uint8Array | undefined;
  #batchLength = 0;
  /** A little more than the last batch took, so that the next seldom grows. */
  #batchHint = FIRST_BATCH;
  #queuedBytes = 0;
  #writing = 0;
  #lastProgress = 0;
  #discoTurn = true;

  /**
   * packetType is SendPacket or RecvPacket; now is monotonic milliseconds. drained is called when the system has taken
   * everything that a blocked stream held back.
   */
  constructor(
    stream: Writable,
    packetType: number,
    counters: SenderCounters,
    now: () => number,
    drained?: () => void,
  ) {
    this.#stream = stream;
    this.#packetType = packetType;
    this.#counters = counters;
    this.#now = now;
    stream.on('drain', () => {
      this.flush();
      if (this.bufferedBytes === 0) drained?.();
    });
  }

  /** Milliseconds for which a write has made no progress; 0 when none is under way. */
  stalledFor(now: number): number {
    return this.#writing === 0 ? 0 : now - this.#lastProgress;
  }

  /** Bytes of frames that the system has not taken yet. */
  get bufferedBytes(): number {
    return this.#stream.writableLength + this.#batchLength + this.#queuedBytes;
  }

  get queued(): number {
    return this.#data.length + this.#disco.length;
  }

  /** Both are copied. */
  sendPacket(key: Uint8Array, packet: Uint8Array): void {
    if (this.queued === 0 && this.#hasRoom()) {
      this.#appendPacket(key, packet);
      return;
    }
    const queue = isDisco(packet) ? this.#disco : this.#data;
    if (queue.length >= QUEUE_LENGTH) {
      this.#queuedBytes -= queue.shift()!.length;
      this.#counters.droppedQueueHead++;
    }
    const length = key.length + packet.length;
    const frame = new Uint8Array(FRAME_HEADER_LENGTH + length);
    writeFrameHeader(frame, 0, this.#packetType, length);
    frame.set(key, FRAME_HEADER_LENGTH);
    frame.set(packet, FRAME_HEADER_LENGTH + key.length);
    queue.push(frame);
    this.#queuedBytes += frame.length;
  }

  /** A whole small frame without a packet; it goes before waiting packets. */
  sendControl(frame: Uint8Array): void {
    if (this.#control.length === 0 && this.#hasRoom()) this.#append(frame);
    else if (this.#control.length < CONTROL_QUEUE_LENGTH) this.#control.push(frame);
    else this.#counters.droppedControl++;
  }

  /** Writes what there is, as far as the stream takes it; the rest follows on its 'drain'. */
  flush(): void {
    if (this.#stream.destroyed) return;
    for (;;) {
      let frame: Uint8Array | undefined;
      while (this.#hasRoom()) {
        frame = this.#nextQueued();
        if (frame === undefined) break;
        this.#append(frame);
      }
      if (this.#batchLength === 0) return;
      this.#writeBatch();
      if (frame === undefined && this.queued + this.#control.length === 0) return;
    }
  }

  #nextQueued(): Uint8Array | undefined {
    const control = this.#control.shift();
    if (control !== undefined) return control;
    this.#discoTurn = !this.#discoTurn;
    const [first, second] = this.#discoTurn ? [this.#disco, this.#data] : [this.#data, this.#disco];
    const frame = first.shift() ?? second.shift();
    this.#queuedBytes -= frame?.length ?? 0;
    return frame;
  }

  #hasRoom(): boolean {
    return this.#stream.writableLength + this.#batchLength < IN_FLIGHT_LIMIT;
  }

  #appendPacket(key: Uint8Array, packet: Uint8Array): void {
    const length = key.length + packet.length;
    const at = this.#reserve(FRAME_HEADER_LENGTH + length);
    const batch = this.#batch!;
    writeFrameHeader(batch, at, this.#packetType, length);
    batch.set(key, at + FRAME_HEADER_LENGTH);
    batch.set(packet, at + FRAME_HEADER_LENGTH + key.length);
  }

  #append(frame: Uint8Array): void {
    const at = this.#reserve(frame.length);
    this.#batch!.set(frame, at);
  }

  /** Room for n bytes at the end of the batch; returns where. */
  #reserve(n: number): number {
    if (this.#batchLength > 0 && this.#batchLength + n > BATCH_LIMIT) this.#writeBatch();
    const at = this.#batchLength;
    const needed = at + n;
    if (this.#batch === undefined) {
      this.#batch = Buffer.allocUnsafeSlow(Math.max(needed, this.#batchHint));
    } else if (needed > this.#batch.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.max(needed, Math.min(BATCH_LIMIT, 2 * this.#batch.length)),
      );
      larger.set(this.#batch.subarray(0, at));
      this.#batch = larger;
    }
    this.#batchLength = needed;
    return at;
  }

  #writeBatch(): void {
    const bytes = this.#batch!.subarray(0, this.#batchLength);
    this.#batchHint = Math.min(
      BATCH_LIMIT,
      Math.max(FIRST_BATCH, bytes.length + (bytes.length >> 2)),
    );
    this.#batch = undefined;
    this.#batchLength = 0;
    if (this.#writing === 0) this.#lastProgress = this.#now();
    this.#writing++;
    this.#stream.write(bytes, this.#written);
  }

  readonly #written = (): void => {
    this.#writing--;
    this.#lastProgress = this.#now();
  };
}
