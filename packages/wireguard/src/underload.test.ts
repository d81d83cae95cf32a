// A device that strangers keep busy: cookies, rate limits, and any bytes at all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PrivateKey } from '@cove/protocol/keys';
import fc from 'fast-check';
import { CookieHolder } from './cookie.ts';
import { Count } from './counters.ts';
import { encodeInitiation } from './messages.ts';
import { LoadMeter, SourceLimiter } from './ratelimiter.ts';
import { End, Pair, strongBytes, testCrypto } from './testing/pair.ts';

/** Initiations with a good mac1 from nobody, which cost the receiver one failed DH each until it is under load. */
function flood(pair: Pair, n: number): number[] {
  const holder = new CookieHolder(testCrypto, pair.b.device.publicKey);
  return Array.from({ length: n }, () => {
    // A zero ephemeral key fails before the DH, which keeps the test fast.
    const message = encodeInitiation({
      sender: 1,
      ephemeral: new Uint8Array(32),
      sealedStatic: strongBytes(48),
      sealedTimestamp: strongBytes(28),
    });
    holder.addMacs(message, pair.now);
    return pair.b.device.receive(message, 0, message.length, pair.now, 'flooder');
  });
}

test('128 handshakes at once bring the device under load, and cookies are demanded (5.3)', () => {
  const pair = new Pair();
  const counts = flood(pair, 200);
  assert.equal(counts.indexOf(Count.COOKIE_SENT), 128);
  assert.equal(pair.b.replies.length, 72);
  assert.ok(pair.b.replies.every(({ from, bytes }) => from === 'flooder' && bytes.length === 64));
});

test('under load an initiation is answered with a cookie, its retry carries mac2 and goes through', () => {
  const pair = new Pair();
  flood(pair, 129);
  pair.wire.length = 0;
  pair.log.length = 0;
  pair.sendAB();
  pair.settle();
  assert.equal(pair.trace, 'a1 b3');
  assert.equal(pair.a.count(Count.HANDSHAKE), 1, 'the cookie');
  pair.now = 4_999;
  flood(pair, 129);
  pair.wire.length = 0;
  pair.log.length = 0;
  pair.advanceTo(5_400);
  assert.equal(pair.trace, 'a1 b2 a4', 'not before the next retry (6.6)');
  assert.ok(pair.log[0]!.bytes.subarray(132).some((byte) => byte !== 0));
  assert.equal(pair.b.delivered.length, 1);
});

test('a mac2 from another source does not count', () => {
  const pair = new Pair();
  flood(pair, 129);
  pair.wire.length = 0;
  pair.sendAB();
  pair.settle();
  pair.now = 4_999;
  flood(pair, 129);
  pair.wire.length = 0;
  pair.now = 5_400;
  pair.a.device.tick(pair.now);
  assert.equal(pair.arrive(pair.wire.shift()!, 'elsewhere'), Count.COOKIE_SENT);
});

test('load passes a second after its last sign', () => {
  const meter = new LoadMeter();
  let loaded = false;
  for (let i = 0; i < 300; i++) loaded = meter.note(0);
  assert.ok(loaded);
  assert.ok(meter.note(999));
  assert.ok(!meter.note(3_000));
});

test('load is not declared for 250 handshakes per second, steadily', () => {
  const meter = new LoadMeter();
  for (let i = 0; i < 10_000; i++) assert.ok(!meter.note(i * 4));
});

test('a source gets 5 at once and 20 per second, whatever others do', () => {
  const limiter = new SourceLimiter();
  const a = Uint8Array.of(1, 2, 3, 4, 0, 80);
  const sameHost = Uint8Array.of(1, 2, 3, 4, 9, 99);
  const b = Uint8Array.of(1, 2, 3, 5, 0, 80);
  const taken = Array.from({ length: 8 }, (_, i) => limiter.allow(i % 2 ? a : sameHost, 0));
  assert.deepEqual(taken, [true, true, true, true, true, false, false, false]);
  assert.ok(limiter.allow(b, 0));
  assert.ok(!limiter.allow(a, 40));
  assert.ok(limiter.allow(a, 91));
  assert.ok(!limiter.allow(a, 92));
});

test('the limiter forgets idle sources and never remembers more than 4096', () => {
  const limiter = new SourceLimiter();
  for (let i = 0; i < 5_000; i++) limiter.allow(Uint8Array.of(i, i >> 8, 0, 1, 0, 0), 0);
  assert.equal(limiter.size, 4096);
  limiter.allow(Uint8Array.of(9, 9, 9, 9, 0, 0), 1_000);
  assert.equal(limiter.size, 1);
});

test('any bytes at receive are filed under a reason, answered by nothing, and leave nothing behind', () => {
  const pair = new Pair();
  pair.connect();
  const { device } = pair.b;
  const before = device.nextTick;
  const header = fc.constantFrom([], [1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0]);
  const length = fc.constantFrom(0, 1, 28, 31, 32, 60, 88, 144, 1300);
  const bytes = fc
    .tuple(
      header,
      length.chain((n) => fc.uint8Array({ minLength: n, maxLength: n + 1 })),
    )
    .map(([head, tail]) => Uint8Array.from([...head, ...tail]));
  fc.assert(
    fc.property(bytes, (datagram) => {
      const count = device.receive(datagram, 0, datagram.length, 0, 'anyone');
      assert.ok(
        [Count.MALFORMED, Count.BAD_MAC1, Count.UNKNOWN_INDEX].some((reason) => reason === count),
        `${count}`,
      );
    }),
    { numRuns: 1_000 },
  );
  assert.equal(pair.trace, '');
  assert.equal(device.nextTick, before);
  assert.equal([...device.peers()].length, 1);
});

test('every datagram of a session with any one byte changed is refused, and the session goes on', () => {
  const pair = new Pair();
  pair.loses = ({ bytes }) => {
    if (bytes[0] !== 4) return false;
    return true;
  };
  pair.connect();
  pair.now = 200_000;
  pair.loses = () => false;
  pair.sendAB(64, 1);
  const refuseAll = (position: number): void => {
    const datagram = pair.wire[0]!;
    const end = datagram.from === 'a' ? pair.b : pair.a;
    for (let at = 0; at < datagram.bytes.length; at += position) {
      // mac2 means nothing while there is no load.
      const tail = datagram.bytes[0] === 1 || datagram.bytes[0] === 2 ? 16 : 0;
      if (at >= datagram.bytes.length - tail) break;
      const forged = datagram.bytes.slice();
      forged[at]! ^= 1 << (at & 7);
      const delivered = end.delivered.length;
      const count = end.device.receive(forged, 0, forged.length, pair.now, 'evil');
      assert.ok(count > Count.HANDSHAKE, `type ${datagram.bytes[0]} byte ${at}: ${count}`);
      assert.equal(end.delivered.length, delivered);
    }
    pair.arrive(pair.wire.shift()!);
  };
  refuseAll(1);
  refuseAll(1);
  refuseAll(1);
  assert.equal(pair.b.delivered.length, 1);
});

test('2,000 idle peers: no timer, and under 3 kB each', () => {
  const end = new End({ privateKey: PrivateKey.generate(strongBytes) });
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  gc();
  const before = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 2_000; i++) {
    end.device.addPeer(
      {
        publicKey: strongBytes(32),
        allowedIPs: [{ addr: Uint8Array.of(100, 64, i >> 8, i), bits: 32 }],
        context: '',
      },
      0,
    );
  }
  gc();
  const after = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  assert.equal(end.device.nextTick, undefined);
  const each = (after - before) / 2_000;
  assert.ok(each < 3_000, `${each} bytes`);
});
