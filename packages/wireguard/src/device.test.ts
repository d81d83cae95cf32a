import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CookieHolder } from './cookie.ts';
import { Count } from './counters.ts';
import { createInitiation } from './handshake.ts';
import {
  A_ADDRESS,
  B_ADDRESS,
  End,
  ipv4,
  Pair,
  prefix,
  slotOf,
  strongBytes,
  testCrypto,
} from './testing/pair.ts';

test('the first packet waits for the handshake, then arrives; the initiator speaks first (6.2)', () => {
  const pair = new Pair();
  assert.equal(pair.sendAB(100, 7), false);
  pair.settle();
  assert.equal(pair.trace, 'a1 b2 a4');
  assert.deepEqual(pair.b.delivered, [ipv4(A_ADDRESS, B_ADDRESS, 100, 7)]);
  assert.ok(pair.toB.hasSession(pair.now));
  assert.ok(pair.toA.hasSession(pair.now));
  assert.deepEqual(pair.a.events, ['roamed b b', 'complete b']);
  assert.deepEqual(pair.b.events, ['roamed a a', 'complete a']);
});

test('with nothing waiting, the initiator confirms with a keepalive', () => {
  const pair = new Pair();
  pair.a.device.wake(pair.toB, 0);
  pair.settle();
  assert.equal(pair.trace, 'a1 b2 a0');
  assert.equal(pair.b.count(Count.KEEPALIVE), 1);
  assert.deepEqual(pair.b.delivered, []);
});

test('with a session data goes both ways at once, trimmed of its padding', () => {
  const pair = new Pair();
  pair.connect();
  for (const length of [20, 21, 31, 32, 33, 100, 1279, 1280]) {
    assert.equal(pair.sendAB(length, 1), true);
    assert.equal(pair.sendBA(length, 2), true);
    pair.settle();
    assert.deepEqual(pair.b.delivered.pop(), ipv4(A_ADDRESS, B_ADDRESS, length, 1));
    assert.deepEqual(pair.a.delivered.pop(), ipv4(B_ADDRESS, A_ADDRESS, length, 2));
    const size = pair.log.at(-1)!.bytes.length;
    assert.equal(size, 32 + Math.min(1280, Math.ceil(length / 16) * 16));
  }
});

test('padding is zeros up to a multiple of 16, and stops at the MTU', () => {
  const open = { seal: () => {}, open: () => true };
  const pair = new Pair({ crypto: { ...testCrypto, packet: open }, mtu: 1276 });
  pair.connect();
  for (const [length, padded] of [
    [33, 48],
    [1270, 1276],
    [1276, 1276],
    [1277, 1277],
  ] as const) {
    const slot = new Uint8Array(2048).fill(0xee);
    slot.set(ipv4(A_ADDRESS, B_ADDRESS, length), 16);
    pair.a.device.send(pair.toB, slot, 16, length, 0);
    const { bytes } = pair.log.at(-1)!;
    assert.equal(bytes.length, 32 + padded);
    assert.ok(bytes.subarray(16 + length, 16 + padded).every((byte) => byte === 0));
  }
});

test('a preshared key on both sides works, on one side it does not', () => {
  const both = new Pair({ presharedKey: new Uint8Array(32).fill(9) });
  both.connect();
  assert.equal(both.sendAB(), true);

  const one = new Pair({ presharedKey: new Uint8Array(32).fill(9) });
  one.b.device.removePeer(one.toA);
  one.toA = one.b.device.addPeer(
    {
      publicKey: one.a.device.publicKey,
      allowedIPs: [prefix(`${A_ADDRESS}/32`)],
      context: 'a',
    },
    0,
  );
  one.sendAB();
  one.settle();
  assert.equal(one.trace, 'a1 b2');
  assert.equal(one.a.count(Count.BAD_HANDSHAKE), 1);
});

test('a packet is sealed in its own slot: no copy, nothing outside the slot touched', () => {
  const pair = new Pair();
  pair.connect();
  const slot = new Uint8Array(200).fill(0xee);
  slot.set(ipv4(A_ADDRESS, B_ADDRESS, 50), 40);
  pair.a.device.send(pair.toB, slot, 40, 50, 0);
  assert.deepEqual(slot.subarray(24, 40 + 64 + 16), pair.log.at(-1)!.bytes);
  assert.ok(slot.subarray(0, 24).every((byte) => byte === 0xee));
  assert.ok(slot.subarray(120).every((byte) => byte === 0xee));
});

test('a slot without room is a RangeError, before anything is sent', () => {
  const pair = new Pair();
  pair.connect();
  const send = (size: number, offset: number, length: number) => () =>
    pair.a.device.send(pair.toB, new Uint8Array(size), offset, length, 0);
  assert.throws(send(200, 15, 20), RangeError);
  assert.throws(send(16 + 32 + 15, 16, 20), RangeError);
  assert.throws(send(200, 16, 0), RangeError);
  assert.equal(pair.trace, '');
});

test('an inner source that is not the peer’s is dropped and counted (cryptokey routing, section 2)', () => {
  const pair = new Pair();
  pair.connect();
  const send = (packet: Uint8Array) => {
    pair.a.device.send(pair.toB, slotOf(packet), 16, packet.length, 0);
    pair.settle();
  };
  send(ipv4('100.64.0.9', B_ADDRESS, 40));
  send(ipv4(B_ADDRESS, A_ADDRESS, 40));
  assert.equal(pair.b.count(Count.WRONG_SOURCE), 2);
  const garbage = new Uint8Array(40).fill(0x15);
  send(garbage);
  const tooLong = ipv4(A_ADDRESS, B_ADDRESS, 40);
  tooLong[3] = 60;
  send(tooLong);
  assert.equal(pair.b.count(Count.BAD_PACKET), 2);
  assert.deepEqual(pair.b.delivered, []);
});

test('a prefix moved to another peer takes its packets along; a removed peer leaves no route', () => {
  const pair = new Pair();
  const { device } = pair.a;
  const publicKey = new Uint8Array(32).fill(9);
  const other = device.addPeer({ publicKey, allowedIPs: [], context: 'o' }, 0);
  const b = prefix(`${B_ADDRESS}/32`).addr;
  assert.equal(device.route(b), pair.toB);
  device.setAllowedIPs(other, [prefix(`${B_ADDRESS}/32`)]);
  assert.equal(device.route(b), other);
  device.setAllowedIPs(pair.toB, []);
  assert.equal(device.route(b), other, 'what had moved away is not taken along');
  device.removePeer(other);
  assert.equal(device.route(b), undefined);
  assert.equal(device.peerByKey(publicKey), undefined);
  assert.equal(other.live, false);
});

test('routePacket reads the destination of IPv4 and IPv6 packets and of nothing else', () => {
  const pair = new Pair();
  const { device } = pair.a;
  const route = (packet: Uint8Array) => device.routePacket(packet, 0, packet.length);
  assert.equal(route(ipv4(A_ADDRESS, B_ADDRESS, 20)), pair.toB);
  assert.equal(route(ipv4(B_ADDRESS, A_ADDRESS, 20)), undefined);
  device.setAllowedIPs(pair.toB, [prefix('fd7a:115c:a1e0::2/128')]);
  const six = new Uint8Array(40);
  six[0] = 0x60;
  six.set(prefix('fd7a:115c:a1e0::2/128').addr, 24);
  assert.equal(route(six), pair.toB);
  assert.equal(route(six.subarray(0, 39)), undefined);
  assert.equal(route(new Uint8Array(40)), undefined);
});

test('addPeer refuses keys that cannot be', () => {
  const pair = new Pair();
  const add = (publicKey: Uint8Array, more: object = {}) =>
    pair.a.device.addPeer({ publicKey, allowedIPs: [], context: 'x', ...more }, 0);
  assert.throws(() => add(new Uint8Array(31)), RangeError);
  assert.throws(() => add(pair.a.device.publicKey), RangeError);
  assert.throws(() => add(pair.b.device.publicKey), RangeError);
  assert.throws(() => add(new Uint8Array(32), { presharedKey: new Uint8Array(3) }), RangeError);
  assert.throws(() => add(new Uint8Array(32), { persistentKeepalive: Number.NaN }), RangeError);
});

test('bytes of both directions and the time of the handshake are counted per peer', () => {
  const pair = new Pair();
  pair.now = 1234;
  pair.sendAB(100);
  pair.settle();
  const sent = 148 + 32 + 112;
  assert.equal(pair.toB.txBytes, sent);
  assert.equal(pair.toA.rxBytes, sent);
  assert.equal(pair.toA.txBytes, 92);
  assert.equal(pair.toB.rxBytes, 92);
  assert.equal(pair.toB.lastHandshake, 1234);
  assert.equal(pair.toA.lastHandshake, 1234);
  pair.a.device.wake(pair.toB, pair.now);
  pair.settle();
  assert.equal(pair.toB.txBytes, sent + 32);
  assert.equal(pair.toA.rxBytes, sent + 32);
});

test('what handshakeComplete sends goes before what was staged', () => {
  const pair = new Pair();
  pair.a.onComplete = () => pair.sendAB(40, 1);
  pair.sendAB(40, 2);
  pair.settle();
  assert.deepEqual(
    pair.b.delivered.map((packet) => packet[20]),
    [1, 2],
  );
});

test('a peer that authenticates from elsewhere is reported once per change of path', () => {
  const pair = new Pair();
  pair.connect();
  pair.b.events.length = 0;
  for (const from of ['a', 'x', 'x', 'y', 'a']) {
    pair.sendAB();
    pair.arrive(pair.wire.shift()!, from);
  }
  assert.deepEqual(pair.b.events, ['roamed a x', 'roamed a y', 'roamed a a']);
  const forged = pair.log.at(-1)!.bytes.slice();
  forged[20]! ^= 1;
  forged[8]! += 1;
  assert.equal(pair.b.device.receive(forged, 0, forged.length, 0, 'evil'), Count.BAD_TAG);
  assert.equal(pair.b.events.length, 3);
});

test('what a caller hands in is copied, also out of a Buffer, whose slice copies nothing', () => {
  const pair = new Pair();
  const { device } = pair.a;
  const publicKey = Buffer.alloc(32, 9);
  const addr = Buffer.of(1, 2, 3, 4);
  const peer = device.addPeer({ publicKey, allowedIPs: [{ addr, bits: 32 }], context: 'x' }, 0);
  publicKey.fill(8);
  addr.fill(7);
  assert.deepEqual(peer.publicKey, new Uint8Array(32).fill(9));
  device.removePeer(peer);
  assert.equal(device.route(Uint8Array.of(1, 2, 3, 4)), undefined);
});

test('an initiation from a key that is no peer is refused where nobody looks it up', () => {
  const pair = new Pair();
  pair.b.device.removePeer(pair.toA);
  pair.sendAB();
  pair.settle();
  assert.equal(pair.b.count(Count.UNKNOWN_PEER), 1);
  assert.equal(pair.trace, 'a1');
});

test('a peer unknown so far is looked up when its initiation decrypts, and forgotten when idle', () => {
  const pair = new Pair();
  const { publicKey } = pair.a.device;
  const asked: Uint8Array[] = [];
  const end = new End({
    privateKey: pair.b.privateKey,
    lookupPeer: (key) => {
      asked.push(key);
      return { publicKey, allowedIPs: [], context: 'found' };
    },
  });
  pair.b = end;
  pair.sendAB();
  const datagram = pair.wire.shift()!;
  assert.equal(pair.arrive(datagram), Count.HANDSHAKE);
  assert.deepEqual(asked, [publicKey]);
  const peer = end.device.peerByKey(publicKey)!;
  assert.ok(peer.onDemand);
  assert.equal(end.device.nextTick, 540_000);
  end.device.tick(540_000);
  assert.deepEqual(end.events, ['roamed found a', 'forgotten found']);
  assert.equal(peer.live, false);
  assert.equal(end.device.nextTick, undefined);
});

test('a name borrowed without its key makes no peer: the timestamp has to open first', () => {
  const pair = new Pair();
  const { publicKey } = pair.a.device;
  const victim = new End({
    privateKey: pair.b.privateKey,
    lookupPeer: () => ({ publicKey, allowedIPs: [], context: 'found' }),
  });
  const liar = { crypto: testCrypto, privateKey: strongBytes(32), publicKey };
  const { message } = createInitiation(liar, {
    remotePublic: victim.device.publicKey,
    staticShared: strongBytes(32),
    ephemeralPrivate: strongBytes(32),
    sender: 1,
    timestamp: new Uint8Array(12),
  })!;
  new CookieHolder(testCrypto, victim.device.publicKey).addMacs(message, 0);
  assert.equal(victim.device.receive(message, 0, 148, 0, 'liar'), Count.BAD_HANDSHAKE);
  assert.equal([...victim.device.peers()].length, 0);
  assert.deepEqual(victim.sent, []);
});

test('a closed device is inert', () => {
  const pair = new Pair();
  pair.connect();
  pair.sendAB();
  pair.b.device.close();
  assert.equal(pair.arrive(pair.wire.shift()!), Count.MALFORMED);
  assert.equal(pair.b.device.nextTick, undefined);
  assert.equal(pair.sendBA(), false);
  assert.equal(pair.trace, 'a4');
});
