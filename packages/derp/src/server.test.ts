import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { encodeFrame, FrameType, parsePeerGone, parseRestarting } from '@cove/protocol/derp';
import { DISCO_MAGIC } from '@cove/protocol/disco';
import { PrivateKey } from '@cove/protocol/keys';
import fc from 'fast-check';
import { prometheusText } from './metrics.ts';
import { DerpServer, type DerpServerOptions } from './server.ts';
import { RawClient, settle, VirtualClock } from './testing/harness.ts';

function setup(options: DerpServerOptions = {}): { server: DerpServer; clock: VirtualClock } {
  const clock = new VirtualClock();
  return { server: new DerpServer({ clock, ...options }), clock };
}

const disco = (): Uint8Array => Buffer.concat([DISCO_MAGIC, randomBytes(80)]);

test('packets go from key to key, the source told by the server', async () => {
  const { server } = setup();
  const a = await RawClient.to(server).greet();
  const b = await RawClient.to(server).greet();
  a.packet(b, 'hello');
  a.packet(b, '');
  await settle();
  const [first, second] = b.take(FrameType.recvPacket);
  assert.deepEqual(first!.subarray(0, 32), a.publicBytes);
  assert.equal(Buffer.from(first!.subarray(32)).toString(), 'hello');
  assert.equal(second!.length, 32);
  assert.equal(server.has(a.nodeKey), true);
  a.packet(a, 'to myself');
  await settle();
  assert.deepEqual(a.packets(), ['to myself']);
});

test('packets right behind ClientInfo are relayed, without waiting for ServerInfo', async () => {
  const { server } = setup();
  const b = await RawClient.to(server).greet();
  const a = RawClient.to(server);
  await settle();
  const packet = encodeFrame(FrameType.sendPacket, b.publicBytes, Buffer.from('early'));
  a.stream.write(Buffer.concat([a.clientInfo(), packet]));
  await settle();
  assert.deepEqual(b.packets(), ['early']);
});

test('admission: a refused key is cut off, a slow answer keeps the frames that came meanwhile', async () => {
  const asked: string[] = [];
  const answers: ((yes: boolean) => void)[] = [];
  const { server } = setup({
    verify: (key, source) => {
      asked.push(`${key} ${source}`);
      return new Promise((resolve) => answers.push(resolve));
    },
  });
  const a = RawClient.to(server);
  await settle();
  a.stream.write(
    Buffer.concat([
      a.clientInfo(),
      encodeFrame(FrameType.sendPacket, a.publicBytes, Buffer.from('x')),
    ]),
  );
  await settle();
  a.packet(a, 'y');
  await settle();
  assert.deepEqual(asked, [`${a.nodeKey} 192.0.2.1`]);
  assert.deepEqual(a.take(FrameType.serverInfo), []);
  assert.equal(server.has(a.nodeKey), false);
  answers[0]!(true);
  await settle();
  assert.equal(a.take(FrameType.serverInfo).length, 1);
  assert.deepEqual(a.packets(), ['x', 'y']);

  const b = RawClient.to(server);
  await settle();
  b.stream.write(b.clientInfo());
  await settle();
  answers[1]!(false);
  await settle();
  assert.equal(b.ended, true);
  assert.deepEqual(b.take(FrameType.serverInfo), []);
  assert.equal(server.metrics().refused, 1);
});

test('a verify that throws or rejects refuses', async () => {
  for (const verify of [
    () => {
      throw new Error('no');
    },
    () => Promise.reject(new Error('no')),
  ]) {
    const { server } = setup({ verify });
    await assert.rejects(RawClient.to(server).greet(), /not admitted/);
    assert.equal(server.metrics().refused, 1);
  }
});

test('of two connections of one key the newest gets packets, then whichever wrote last', async () => {
  const { server } = setup();
  const sender = await RawClient.to(server).greet();
  const old = await RawClient.to(server).greet();
  sender.packet(old, '1');
  await settle();
  const young = await RawClient.to(server, old.key).greet();
  sender.packet(old, '2');
  await settle();
  old.send(FrameType.notePreferred, Uint8Array.of(1));
  await settle();
  sender.packet(old, '3');
  await settle();
  assert.deepEqual([old.packets(), young.packets()], [['1', '3'], ['2']]);
  assert.equal(server.metrics().duplicateConnections, 1);
  old.stream.destroy();
  await settle();
  sender.packet(old, '4');
  await settle();
  assert.deepEqual(young.packets(), ['4']);
  assert.deepEqual(sender.take(FrameType.peerGone), []);
  assert.equal(server.metrics().duplicateConnections, 0);
});

test('when the last connection of a key ends, those who heard from it are told, once', async () => {
  const { server } = setup();
  const [a, b, c] = [
    await RawClient.to(server).greet(),
    await RawClient.to(server).greet(),
    await RawClient.to(server).greet(),
  ];
  a.packet(b, 'x');
  a.packet(b, 'y');
  await settle();
  a.stream.destroy();
  await settle();
  const gone = b.take(FrameType.peerGone).map(parsePeerGone);
  assert.equal(gone.length, 1);
  assert.deepEqual(gone[0], { key: a.publicBytes, reason: 0 });
  assert.deepEqual(c.take(FrameType.peerGone), []);
  assert.equal(server.has(a.nodeKey), false);
});

test('who is gone is not told, and not remembered as a receiver', async () => {
  const { server } = setup();
  const a = await RawClient.to(server).greet();
  const b = await RawClient.to(server).greet();
  a.packet(b, 'x');
  await settle();
  b.stream.destroy();
  await settle();
  a.stream.destroy();
  await settle();
  assert.equal(server.metrics().peerGoneSent, 0);
});

test('while admission is decided nothing more is read', async () => {
  const { server } = setup({ verify: () => new Promise(() => {}) });
  const a = RawClient.to(server);
  await settle();
  a.stream.write(a.clientInfo());
  await settle();
  // Streams hold up to 64 KiB on their own from Node 22 on.
  for (let i = 0; i < 1000; i++) a.packet(a, new Uint8Array(1000));
  await settle(50);
  assert.ok(a.stream.writableLength > 800_000, `${a.stream.writableLength} bytes still unread`);
});

test('a disco packet for an unknown key is answered: three at once, then one a second', async () => {
  const { server, clock } = setup();
  const a = await RawClient.to(server).greet();
  const nobody = randomBytes(32);
  a.packet(nobody, 'not disco');
  for (let i = 0; i < 5; i++) a.packet(nobody, disco());
  await settle();
  const gone = a.take(FrameType.peerGone).map(parsePeerGone);
  assert.equal(gone.length, 3);
  assert.deepEqual([Buffer.from(gone[0]!.key), gone[0]!.reason], [nobody, 1]);
  clock.advance(1000);
  a.packet(nobody, disco());
  a.packet(nobody, disco());
  await settle();
  assert.equal(a.take(FrameType.peerGone).length, 1);
  assert.equal(server.metrics().droppedUnknownDestination, 8);
});

test('a key that left and came back is found again by those who sent to it before', async () => {
  const { server } = setup();
  const a = await RawClient.to(server).greet();
  const b = await RawClient.to(server).greet();
  a.packet(b, '1');
  await settle();
  b.stream.destroy();
  await settle();
  const again = await RawClient.to(server, b.key).greet();
  a.packet(b, '2');
  await settle();
  assert.deepEqual(again.packets(), ['2']);
});

test('a ping gets its first 8 bytes back; shorter ones and longer than 1000 end the connection', async () => {
  const { server } = setup();
  const a = await RawClient.to(server).greet();
  a.send(FrameType.ping, Buffer.from('12345678'));
  a.send(FrameType.ping, Buffer.from('abcdefgh and more'));
  await settle();
  assert.deepEqual(
    a.take(FrameType.pong).map((payload) => Buffer.from(payload).toString()),
    ['12345678', 'abcdefgh'],
  );
  for (const length of [7, 1001]) {
    const b = await RawClient.to(server).greet();
    b.send(FrameType.ping, new Uint8Array(length));
    await settle();
    assert.equal(b.ended, true, `${length} bytes`);
  }
});

test('KeepAlive comes every 60 to 65 s', async () => {
  const { server, clock } = setup();
  const a = await RawClient.to(server).greet();
  clock.advance(59_000);
  await settle();
  assert.equal(a.take(FrameType.keepAlive).length, 0);
  clock.advance(7_000);
  await settle();
  assert.equal(a.take(FrameType.keepAlive).length, 1);
  for (let i = 0; i < 120; i++) {
    clock.advance(5_000);
    await settle(2);
  }
  const count = a.take(FrameType.keepAlive).length;
  assert.ok(count >= 9 && count <= 10, `${count} in 600 s`);
});

test('who does not greet within 10 s is cut off', async () => {
  const { server, clock } = setup();
  const a = RawClient.to(server);
  const b = await RawClient.to(server).greet();
  a.stream.write(Uint8Array.of(FrameType.clientInfo, 0, 0));
  clock.advance(9_000);
  await settle();
  assert.equal(a.ended, false);
  clock.advance(2_000);
  await settle();
  assert.deepEqual([a.ended, b.ended], [true, false]);
  assert.equal(server.metrics().handshakeTimeouts, 1);
});

test('a client that reads nothing loses packets, holds up no one, and is cut off after 10 s', async () => {
  const { server, clock } = setup();
  const a = await RawClient.to(server).greet();
  const slow = await RawClient.to(server).greet();
  const b = await RawClient.to(server).greet();
  slow.stream.pause();
  const packet = new Uint8Array(1200);
  for (let i = 0; i < 1000; i++) a.packet(slow, packet);
  a.packet(b, 'still served');
  await settle(500);
  assert.deepEqual(b.packets(), ['still served']);
  const { droppedQueueHead, packetsSent } = server.metrics();
  assert.equal(packetsSent, 1001);
  assert.ok(droppedQueueHead > 700 && droppedQueueHead < 968, `${droppedQueueHead} dropped`);
  clock.advance(11_000);
  await settle();
  assert.equal(server.has(slow.nodeKey), false);
  assert.equal(server.has(b.nodeKey), true);
  assert.equal(server.metrics().writeTimeouts, 1);
});

test('over its rate a client is read from later, and nothing is lost', async () => {
  const { server, clock } = setup({ perClientRate: { bytesPerSecond: 10_000, burstBytes: 1 } });
  const a = await RawClient.to(server).greet();
  const b = await RawClient.to(server).greet();
  // The burst is raised to 65568: the largest frame fits, the next must wait for its debt.
  for (let i = 0; i < 8; i++) a.packet(b, new Uint8Array(20_000).fill(i));
  await settle(50);
  const first = b.packets().length;
  assert.ok(first >= 3 && first <= 5, `${first} at once`);
  clock.advance(1_000);
  await settle(50);
  assert.ok(first + b.packets().length < 8);
  for (let i = 0; i < 30; i++) {
    clock.advance(1_000);
    await settle(10);
  }
  assert.equal(server.metrics().packetsSent, 8);
});

test('frames that only relays of a mesh may send end the connection, as do malformed ones', async () => {
  const { server } = setup();
  const wrong: readonly (readonly [string, number, Uint8Array])[] = [
    ['WatchConns', FrameType.watchConns, new Uint8Array(0)],
    ['ClosePeer', FrameType.closePeer, new Uint8Array(32)],
    ['ForwardPacket', FrameType.forwardPacket, new Uint8Array(64)],
    ['SendPacket without a key', FrameType.sendPacket, new Uint8Array(31)],
    ['SendPacket too long', FrameType.sendPacket, new Uint8Array(32 + 65_537)],
    ['NotePreferred of 2 bytes', FrameType.notePreferred, new Uint8Array(2)],
    ['NotePreferred of 0 bytes', FrameType.notePreferred, new Uint8Array(0)],
  ];
  for (const [name, type, payload] of wrong) {
    const a = await RawClient.to(server).greet();
    a.send(type, payload);
    await settle();
    assert.equal(a.ended, true, name);
    assert.equal(server.has(a.nodeKey), false, name);
  }
  assert.equal(server.metrics().protocolErrors, wrong.length);
});

test('unknown frames and a second ClientInfo are passed over', async () => {
  const { server } = setup();
  const a = await RawClient.to(server).greet();
  a.send(0x7f, new Uint8Array(5000));
  a.stream.write(a.clientInfo());
  a.packet(a, 'alive');
  await settle();
  assert.deepEqual(a.packets(), ['alive']);
});

test('a ClientInfo that does not open, is cut off; so is any other first frame', async () => {
  const { server } = setup();
  const starts: ((client: RawClient) => void)[] = [
    (client) => {
      const frame = client.clientInfo();
      frame[frame.length - 1]! ^= 1;
      client.stream.write(frame);
    },
    (client) => client.send(FrameType.clientInfo, new Uint8Array(32), randomBytes(80)),
    (client) => client.send(FrameType.clientInfo, new Uint8Array(71)),
    (client) => client.stream.write(Uint8Array.of(FrameType.clientInfo, 0xff, 0xff, 0xff, 0xff)),
    (client) => client.send(FrameType.ping, new Uint8Array(8)),
    (client) => client.stream.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  ];
  for (const [i, start] of starts.entries()) {
    const client = RawClient.to(server);
    await settle();
    start(client);
    await settle();
    assert.equal(client.ended, true, `start ${i}`);
  }
  assert.equal(server.metrics().peers, 0);
});

test('any bytes before and after the greeting leave the server serving others', async () => {
  const { server } = setup();
  const a = await RawClient.to(server).greet();
  const b = await RawClient.to(server).greet();
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.uint8Array({ maxLength: 400 }), async (greeted, bytes) => {
      const client = RawClient.to(server);
      if (greeted) await client.greet();
      client.stream.write(bytes);
      await settle(3);
      client.stream.destroy();
      await settle(2);
    }),
    { numRuns: 150 },
  );
  a.packet(b, 'here');
  await settle();
  assert.deepEqual(b.packets(), ['here']);
  assert.equal(server.metrics().peers, 2);
});

test('a closed or full server accepts no one; closePeer ends a key; metrics have Prometheus form', async () => {
  const { server } = setup({ maxConnections: 3 });
  const a = await RawClient.to(server).greet();
  await RawClient.to(server, a.key).greet();
  await RawClient.to(server).greet();
  const [, refused] = duplexPair();
  assert.equal(server.accept(refused), false);
  assert.equal(refused.destroyed, true);
  assert.equal(server.closePeer(a.nodeKey), 2);
  assert.equal(server.closePeer(a.nodeKey), 0);
  await settle();
  assert.equal(a.ended, true);
  assert.match(prometheusText(server.metrics()), /^cove_derp_connections 1$/m);
  assert.match(prometheusText(server.metrics()), /^cove_derp_accepted_total 3$/m);
  await server.close();
  const [, late] = duplexPair();
  assert.equal(server.accept(late), false);
  assert.equal(server.metrics().connections, 0);
});

test('a restart is announced to every client', async () => {
  const { server } = setup();
  const a = await RawClient.to(server).greet();
  server.announceRestart(1000, 60_000);
  await settle();
  const [notice] = a.take(FrameType.restarting);
  assert.deepEqual(parseRestarting(notice!), { reconnectInMs: 1000, tryForMs: 60_000 });
});

test('the public key follows from the private one', () => {
  const privateKey = PrivateKey.fromBytes(new Uint8Array(32).fill(0x0c));
  const { server } = setup({ privateKey });
  assert.equal(
    server.publicKeyHex,
    '97c3b10b4d6c133a78ea5dcc1cf6421d3f81ae37b1f628ce14ca6fce7730f333',
  );
});
