// Random and hostile input: no packet makes the stack throw, grow without bound, emit a malformed packet or hand the
// application a byte that was not sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpSocket } from './api.ts';
import { Stack } from './stack.ts';
import { Transfer } from './testing/apps.ts';
import { checkPacket, SimNetwork } from './testing/link.ts';
import { SeededRandom } from './testing/random.ts';
import { established, type Segment } from './testing/scripted.ts';
import { putU16 } from './wire/bigendian.ts';
import { sumBytes } from './wire/checksum.ts';

const FLAGS = ['S', 'SA', 'A', 'PA', 'F', 'FA', 'R', 'RA', '', 'SF', 'U', 'SFRPAU'];

/** A segment near the edges that matter for a connection around `seq` and `ack`. */
function randomSegment(random: SeededRandom, seq: number, ack: number): Segment {
  const near = (value: number): number => {
    switch (random.below(5)) {
      case 0:
        return value;
      case 1:
        return value + random.below(20) - 10;
      case 2:
        return value + random.below(200_000) - 100_000;
      case 3:
        return value + 65535;
      default:
        return random.u32() | 0;
    }
  };
  return {
    flags: FLAGS[random.below(FLAGS.length)]!,
    seq: near(seq),
    ack: near(ack),
    window: random.below(3) === 0 ? 0 : random.below(65536),
    length: random.below(4) === 0 ? random.below(1200) : 0,
    ...(random.below(3) === 0 ? { ts: [random.u32(), random.u32()] as const } : {}),
    ...(random.below(3) === 0
      ? { sack: Array.from({ length: 1 + random.below(3) }, () => [near(ack), near(ack)] as const) }
      : { mss: random.below(65536), scale: random.below(256) }),
  };
}

test('random segments at a connection, in every state they lead to', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = new SeededRandom(seed);
    const s = established({
      passive: random.below(2) === 0,
      syn: { mss: 1000, sackOk: random.below(2) === 0 },
      tcp: { receiveBuffer: 20_000, receiveBufferLimit: 50_000 },
    });
    for (let i = 0; i < 60; i++) {
      const action = random.below(20);
      if (action === 0) s.socket.shutdownWrite();
      else if (action === 1 && random.below(10) === 0) s.socket.abort();
      else if (action === 2 && random.below(5) === 0) s.socket.close();
      else if (action < 6) s.socket.write(new Uint8Array(random.below(5000)));
      else if (action < 8) s.advance(random.below(2000));
      else s.arrives(randomSegment(random, 1 + s.socket.bytesReceived, 1 + random.below(5000)));
      assert.ok(s.socket.readable <= 50_000 + 16 * 256, 'buffered bytes stay bounded');
      assert.ok(s.out.length <= 2000);
      s.clear();
    }
    assert.ok(s.app.events.filter((e) => e.startsWith('closed')).length <= 1);
    s.advance(4_000_000);
    s.socket.abort();
    s.poll();
    s.advance(200_000);
    assert.equal(s.stack.connectionCount, 0, `seed ${seed}`);
    assert.equal(s.stack.nextTick, undefined, `seed ${seed}: a closed connection holds no timer`);
  }
});

test('a blind injector neither kills nor corrupts a transfer (RFC 5961)', () => {
  const network = new SimNetwork(21, { delay: 2, rate: 1250, queue: 100 });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  const client = new Transfer({ send: 300_000, seed: 1 }, 2);
  const server = new Transfer({ send: 300_000, seed: 2 }, 1);
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = server;
      server.start(socket);
    },
  });
  a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler: client });
  const random = new SeededRandom(77);
  let template: Uint8Array | undefined;
  network.tap = (bytes, from) => {
    if (from === a && bytes[33]! & 0x10) template = bytes;
    return true;
  };
  for (let i = 0; i < 20_000 && !(client.isClosed && server.isClosed); i++) {
    if (!network.step()) break;
    if (template === undefined) continue;
    // The injector knows addresses and ports, and guesses numbers.
    const forged = new Uint8Array(40);
    forged.set(template.subarray(0, 24));
    putU16(forged, 2, 40);
    putU16(forged, 10, 0);
    putU16(forged, 10, ~sumBytes(forged, 0, 20));
    forged.set(random.bytes(8), 24);
    forged[32] = 0x50;
    forged[33] = [0x04, 0x14, 0x02, 0x11][random.below(4)]!;
    putU16(forged, 34, 1000);
    const pseudo = new Uint8Array(32);
    pseudo.set(forged.subarray(12, 20));
    pseudo.set([0, 6, 0, 20], 8);
    pseudo.set(forged.subarray(20), 12);
    putU16(forged, 36, ~sumBytes(pseudo, 0, 32));
    b.stack.input(forged, 0, 40, network.now);
  }
  network.run(() => client.isClosed && server.isClosed, network.now + 60_000);
  assert.equal(client.closedWith, undefined);
  assert.equal(server.closedWith, undefined);
  assert.equal(server.received, 300_000);
  assert.equal(client.received, 300_000);
  assert.ok((b.stack.counters()['tcp.segments.received'] ?? 0) > 1000);
});

test('random bytes and mutated real packets at a whole stack', () => {
  const random = new SeededRandom(5);
  const recorded: Uint8Array[] = [];
  const handler = { readable: (s: TcpSocket) => void s.read(), closed() {} };
  for (const [a, b] of [
    ['10.0.0.1', '10.0.0.2'],
    ['fd00::1', 'fd00::2'],
  ]) {
    const network = new SimNetwork(1, { delay: 1 });
    network.tap = (bytes) => recorded.push(bytes) > 0;
    const left = network.add('a', [a!]).stack;
    const right = network.add('b', [b!]).stack;
    right.listen({ port: 80, accept: (s) => s.write(new Uint8Array(3000)) });
    left.connect({ remoteAddress: b!, remotePort: 80, handler }).write(new Uint8Array(3000));
    left.ping({ address: b!, payload: new Uint8Array(2000), done() {} });
    left.bindUdp({ port: 0, receive() {} }).send({ address: b!, port: 5 }, new Uint8Array(3000));
    network.run(() => false, 50);
  }
  assert.ok(recorded.length > 20);
  let emitted = 0;
  const stack = new Stack({
    randomBytes: (n) => random.bytes(n),
    output: (buf, offset, length) => {
      emitted++;
      checkPacket(new Uint8Array(buf.subarray(offset, offset + length)), 1280);
    },
  });
  stack.setAddresses(['10.0.0.2', 'fd00::2']);
  stack.listen({ port: 80, accept: (s) => s.write(new Uint8Array(100)) });
  stack.bindUdp({ port: 5, receive() {} });
  let now = 0;
  for (let i = 0; i < 30_000; i++) {
    let bytes: Uint8Array;
    if (random.below(10) === 0) {
      bytes = random.bytes(random.below(100));
      if (bytes.length > 0) bytes[0] = random.below(2) === 0 ? 0x45 : 0x60;
    } else {
      bytes = new Uint8Array(recorded[random.below(recorded.length)]!);
      for (let n = random.below(4); n > 0; n--) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      if (random.below(5) === 0) bytes = bytes.subarray(0, random.below(bytes.length));
      if (bytes[0]! >>> 4 === 4 && bytes.length >= 20) {
        putU16(bytes, 10, 0);
        putU16(bytes, 10, ~sumBytes(bytes, 0, Math.min(bytes.length, (bytes[0]! & 15) * 4)));
      }
    }
    stack.input(bytes, 0, bytes.length, now);
    if (i % 8 === 0) {
      now += random.below(50);
      stack.poll(now);
    }
  }
  assert.ok(emitted > 100, `${emitted} answers`);
  assert.ok(stack.connectionCount < 2000);
});
