import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { CLIENT_FRAME_LIMITS, encodeFrame, FrameReader, FrameType } from '@cove/protocol/derp';
import { DISCO_MAGIC } from '@cove/protocol/disco';
import { FrameSender, QUEUE_LENGTH } from './framesender.ts';
import { settle } from './testing/harness.ts';

const KEY = new Uint8Array(32).fill(7);

/** A stream that takes its writes only when told to. */
class Sink extends Writable {
  readonly writes: Uint8Array[] = [];
  #pending: (() => void) | undefined;
  isOpen = true;

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.writes.push(chunk);
    if (this.isOpen) done();
    else this.#pending = done;
  }

  open(): void {
    this.isOpen = true;
    this.#pending?.();
  }

  get payloads(): Uint8Array[] {
    const out: Uint8Array[] = [];
    const reader = new FrameReader(CLIENT_FRAME_LIMITS, (type, payload) => {
      out.push(type === FrameType.recvPacket ? payload.slice(32) : Uint8Array.of(type));
    });
    for (const write of this.writes) reader.push(write);
    return out;
  }
}

function setup(): {
  sink: Sink;
  sender: FrameSender;
  counters: { droppedQueueHead: number; droppedControl: number };
  clock: { now: number };
  drained: () => number;
} {
  const sink = new Sink();
  const counters = { droppedQueueHead: 0, droppedControl: 0 };
  const clock = { now: 0 };
  let drains = 0;
  const drained = (): void => {
    drains++;
  };
  const sender = new FrameSender(sink, FrameType.recvPacket, counters, () => clock.now, drained);
  return { sink, sender, counters, clock, drained: () => drains };
}

/** Fills what the stream is given at once, so that what follows waits. */
function block(sink: Sink, sender: FrameSender): number {
  sink.isOpen = false;
  const packet = new Uint8Array(1000);
  let sent = 0;
  while (sender.queued === 0) {
    sender.sendPacket(KEY, packet);
    sent++;
    assert.ok(sent < 1000);
  }
  sender.flush();
  return sent;
}

test('the packets of a burst leave in one write, the source buffer is free at once', () => {
  const { sink, sender } = setup();
  const packet = Uint8Array.of(0);
  for (let i = 0; i < 20; i++) {
    packet[0] = i;
    sender.sendPacket(KEY, packet);
  }
  assert.equal(sink.writes.length, 0);
  sender.flush();
  assert.equal(sink.writes.length, 1);
  assert.deepEqual(
    sink.payloads.map((payload) => payload[0]),
    Array.from({ length: 20 }, (_, i) => i),
  );
});

test('a batch is cut at 64 KiB, and the largest packet goes by itself', () => {
  const { sink, sender } = setup();
  sender.sendPacket(KEY, new Uint8Array(40_000));
  sender.sendPacket(KEY, new Uint8Array(40_000));
  sender.sendPacket(KEY, new Uint8Array(65_536));
  sender.flush();
  assert.deepEqual(
    sink.payloads.map((payload) => payload.length),
    [40_000, 40_000, 65_536],
  );
  assert.equal(sink.writes.length, 3);
});

test('on a blocked stream 32 packets wait and the oldest goes first; memory stays bounded', async () => {
  const { sink, sender, counters } = setup();
  const before = block(sink, sender);
  const extra = 500;
  for (let i = 0; i < extra; i++) sender.sendPacket(KEY, Uint8Array.of(i >> 8, i));
  assert.equal(sender.queued, QUEUE_LENGTH);
  assert.equal(counters.droppedQueueHead, 1 + extra - QUEUE_LENGTH);
  assert.ok(sink.writableLength < 200_000, `${sink.writableLength} bytes in flight`);
  sink.open();
  await settle();
  const late = sink.payloads.slice(before - 1).map((payload) => (payload[0]! << 8) | payload[1]!);
  assert.deepEqual(
    late,
    Array.from({ length: QUEUE_LENGTH }, (_, i) => extra - QUEUE_LENGTH + i),
  );
  assert.equal(sender.queued, 0);
});

test('disco packets wait in a queue of their own, so that data cannot push them out', async () => {
  const { sink, sender } = setup();
  block(sink, sender);
  const disco = new Uint8Array(100);
  disco.set(DISCO_MAGIC);
  sender.sendPacket(KEY, disco);
  for (let i = 0; i < 100; i++) sender.sendPacket(KEY, Uint8Array.of(1));
  assert.equal(sender.queued, QUEUE_LENGTH + 1);
  sink.open();
  await settle();
  assert.equal(sink.payloads.filter((payload) => payload.length === 100).length, 1);
});

test('disco and data take turns, so that neither starves the other', async () => {
  const { sink, sender } = setup();
  const before = block(sink, sender);
  const disco = new Uint8Array(100);
  disco.set(DISCO_MAGIC);
  for (let i = 0; i < 10; i++) sender.sendPacket(KEY, Uint8Array.of(1));
  for (let i = 0; i < 10; i++) sender.sendPacket(KEY, disco);
  sink.open();
  await settle();
  const late = sink.payloads.slice(before - 1, before + 7).map((payload) => payload.length === 100);
  assert.equal(late.filter((isDisco) => isDisco).length, 4);
});

test('small frames go before waiting packets and are bounded too', async () => {
  const { sink, sender, counters } = setup();
  const before = block(sink, sender);
  for (let i = 0; i < 300; i++) sender.sendControl(encodeFrame(FrameType.keepAlive));
  assert.equal(counters.droppedControl, 300 - 256);
  sink.open();
  await settle();
  const late = sink.payloads.slice(before - 1);
  assert.equal(late.length, 256 + 1);
  assert.ok(late.slice(0, 256).every((payload) => payload[0] === FrameType.keepAlive));
});

test('a write that makes no progress is seen, one that does is not', async () => {
  const { sink, sender, clock } = setup();
  sink.isOpen = false;
  assert.equal(sender.stalledFor(5000), 0);
  sender.sendPacket(KEY, KEY);
  sender.flush();
  clock.now = 3000;
  assert.equal(sender.stalledFor(clock.now), 3000);
  sink.open();
  await settle();
  assert.equal(sender.stalledFor(clock.now), 0);
});

test('nothing is written to a destroyed stream', () => {
  const { sink, sender } = setup();
  sink.destroy();
  sender.sendPacket(KEY, KEY);
  sender.flush();
  assert.equal(sink.writes.length, 0);
});

test('bufferedBytes counts what waits anywhere, dropped frames not, and drained tells when it is gone', async () => {
  const { sink, sender, drained } = setup();
  assert.equal(sender.bufferedBytes, 0);
  const frame = 5 + 32 + 1000;
  const sent = block(sink, sender);
  assert.equal(sender.bufferedBytes, sent * frame);
  for (let i = 0; i < 2 * QUEUE_LENGTH; i++) sender.sendPacket(KEY, new Uint8Array(1000));
  assert.equal(sender.bufferedBytes, (sent - 1 + QUEUE_LENGTH) * frame);
  assert.equal(drained(), 0);
  sink.open();
  await settle();
  assert.equal(sender.bufferedBytes, 0);
  assert.equal(drained(), 1);
});
