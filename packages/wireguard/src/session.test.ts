// Two devices through the life of their keys: renewal, expiry, loss, collision, replay, restart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Count } from './counters.ts';
import { type Datagram, Pair } from './testing/pair.ts';

test('an initiator that sends on a key of 120 s starts a handshake; data goes on meanwhile (6.2)', () => {
  const pair = new Pair();
  pair.connect();
  pair.advanceTo(119_999);
  pair.log.length = 0;
  pair.sendAB();
  pair.settle();
  assert.equal(pair.trace, 'a4');
  pair.advanceTo(120_000);
  pair.sendAB();
  pair.settle();
  assert.equal(pair.trace, 'a4 a4 a1 b2 a0');
  assert.equal(pair.toB.lastHandshake, 120_000);
  assert.equal(pair.b.delivered.length, 2);
});

test('a responder does not renew; it only asks anew when the key is 180 s old', () => {
  const pair = new Pair();
  pair.connect();
  pair.advanceTo(179_999);
  pair.log.length = 0;
  assert.equal(pair.sendBA(), true);
  pair.wire.length = 0;
  assert.equal(pair.trace, 'b4');
  pair.now = 180_000;
  assert.equal(pair.sendBA(), false);
  assert.equal(pair.trace, 'b4 b1');
});

test('an initiator that only receives renews at 165 s, once', () => {
  const pair = new Pair();
  pair.connect();
  for (const at of [164_900, 165_000, 165_100]) {
    pair.advanceTo(at);
    pair.loses = ({ from }) => from === 'a';
    pair.sendBA();
    pair.settle();
  }
  const initiations = pair.log.filter(({ bytes }) => bytes[0] === 1);
  assert.deepEqual(
    initiations.map(({ from, at }) => `${from} ${at}`),
    ['a 165000'],
  );
});

test('a key of 180 s neither sends nor receives (6.2)', () => {
  const pair = new Pair();
  pair.connect();
  pair.now = 179_999;
  pair.sendBA();
  const late = pair.wire.shift()!;
  pair.now = 180_000;
  assert.equal(pair.arrive(late), Count.EXPIRED_KEY);
  assert.equal(pair.toB.hasSession(pair.now), false);
  pair.wire.length = 0;
  assert.equal(pair.sendAB(), false);
  pair.settle();
  assert.equal(pair.b.delivered.length, 1, 'and the new session carries it');
});

test('a packet sealed under the old key is still taken after the change (previous)', () => {
  const pair = new Pair();
  pair.connect();
  pair.now = 120_000;
  pair.sendAB();
  const old = pair.wire.shift()!;
  pair.settle();
  assert.equal(pair.toB.lastHandshake, 120_000);
  assert.equal(pair.arrive(old), Count.DELIVERED);
});

test('data both ways for an hour: a new key every 120 s and nothing lost', () => {
  const pair = new Pair();
  pair.connect();
  let sent = 0;
  for (let at = 1_000; at <= 3_600_000; at += 5_000) {
    pair.advanceTo(at);
    pair.sendAB();
    pair.sendBA();
    pair.settle();
    sent++;
  }
  assert.equal(pair.a.delivered.length, sent);
  assert.equal(pair.b.delivered.length, sent);
  const handshakes = pair.log.filter(({ bytes }) => bytes[0] === 1);
  assert.equal(handshakes.length, 29);
  assert.ok(handshakes.every(({ from }) => from === 'a'));
});

test('what only receives answers with a keepalive after 10 s, and twice if more came (6.5)', () => {
  const pair = new Pair();
  pair.connect();
  pair.advanceTo(10_000);
  assert.equal(pair.trace, 'b0');
  assert.equal(pair.log[0]!.at, 10_000);
  pair.sendAB();
  pair.sendAB();
  pair.advanceTo(40_000);
  assert.equal(pair.trace, 'b0 a4 a4 b0 b0');
  assert.deepEqual(
    pair.log.slice(3).map(({ at }) => at),
    [20_000, 30_000],
  );
});

test('sent data and heard nothing for 15 s: a new handshake, spread by at most 333 ms (6.5)', () => {
  const pair = new Pair();
  pair.connect();
  pair.advanceTo(30_000);
  pair.log.length = 0;
  pair.loses = () => true;
  pair.sendAB();
  pair.advanceTo(50_000);
  assert.equal(pair.trace, 'a4 a1');
  const waited = pair.log[1]!.at - 30_000;
  assert.ok(waited >= 15_000 && waited <= 15_333, `${waited}`);
});

test('a lost initiation is followed after 5 to 5.333 s by an entirely new one (6.4)', () => {
  const pair = new Pair();
  pair.loses = ({ bytes }) => bytes[0] === 1 && pair.log.length === 1;
  pair.sendAB();
  pair.advanceTo(6_000);
  assert.equal(pair.trace, 'a1 a1 b2 a4');
  const [first, second] = pair.log as [Datagram, Datagram];
  const waited = second.at - first.at;
  assert.ok(waited >= 5_000 && waited <= 5_333, `${waited}`);
  assert.notDeepEqual(second.bytes.subarray(4, 8), first.bytes.subarray(4, 8), 'index');
  assert.notDeepEqual(second.bytes.subarray(8, 40), first.bytes.subarray(8, 40), 'ephemeral');
  assert.equal(pair.b.delivered.length, 1);
});

test('a lost response is made up for by the next initiation', () => {
  const pair = new Pair();
  pair.loses = ({ from }) => from === 'b' && pair.log.length === 2;
  pair.sendAB();
  pair.advanceTo(6_000);
  assert.equal(pair.trace, 'a1 b2 a1 b2 a4');
  assert.equal(pair.b.delivered.length, 1);
  assert.equal(pair.b.device.nextTick !== undefined, true);
});

test('a response that comes again, or answers an initiation since replaced, is dropped', () => {
  const pair = new Pair();
  pair.loses = ({ from }) => from === 'b';
  pair.sendAB();
  pair.advanceTo(6_000);
  const [first, second] = pair.log.filter(({ from }) => from === 'b') as [Datagram, Datagram];
  assert.equal(pair.arrive(first), Count.UNKNOWN_INDEX);
  assert.equal(pair.arrive(second), Count.HANDSHAKE);
  assert.equal(pair.arrive(second), Count.UNKNOWN_INDEX);
  assert.deepEqual(pair.a.events, ['roamed b b', 'complete b']);
});

test('a response ends the wait for an answer to data (6.5)', () => {
  const pair = new Pair();
  pair.connect();
  pair.advanceTo(120_000);
  pair.log.length = 0;
  pair.loses = ({ from, bytes }) => from === 'b' && bytes[0] === 4;
  pair.sendAB();
  pair.advance(30_000);
  assert.equal(pair.trace, 'a4 a1 b2 a0');
});

test('a lost confirmation keeps the responder mute until the next packet', () => {
  const pair = new Pair();
  pair.loses = ({ from, bytes }) => from === 'a' && bytes[0] === 4 && pair.log.length === 3;
  pair.sendAB();
  pair.settle();
  assert.equal(pair.sendBA(), false);
  assert.equal(pair.trace, 'a1 b2 a4', 'staged; an initiation so soon after the response waits');
  pair.sendAB();
  pair.settle();
  assert.equal(pair.trace, 'a1 b2 a4 a4 b4');
  assert.equal(pair.a.delivered.length, 1);
});

test('a responder whose confirmation never comes starts a handshake itself, 5 s after its response', () => {
  const pair = new Pair();
  pair.loses = ({ from, bytes }) => from === 'a' && bytes[0] === 4 && pair.now < 5_000;
  pair.sendAB();
  pair.settle();
  pair.sendBA();
  pair.advanceTo(6_000);
  assert.equal(pair.a.delivered.length, 1);
  assert.equal(pair.trace, 'a1 b2 a4 b1 a2 b4');
});

test('nobody answers: 20 initiations, then the handshake is given up and nothing is left (6.4)', () => {
  const pair = new Pair();
  pair.loses = () => true;
  pair.sendAB();
  pair.advanceTo(94_999);
  assert.deepEqual(pair.a.events, []);
  pair.advanceTo(108_000);
  assert.deepEqual(pair.a.events, ['failed b']);
  assert.equal(pair.a.count(Count.INITIATIONS_SENT), 20);
  assert.equal(pair.a.count(Count.STAGED_DROPPED), 1);
  pair.advanceTo(1_000_000);
  assert.equal(pair.a.count(Count.INITIATIONS_SENT), 20);
  assert.equal(pair.a.device.nextTick, undefined);
  pair.loses = () => false;
  pair.sendAB();
  pair.settle();
  assert.equal(pair.b.delivered.length, 1, 'the next packet starts again');
});

test('a new packet to send begins the 90 s anew (6.4)', () => {
  const pair = new Pair();
  pair.loses = () => true;
  pair.sendAB();
  pair.advanceTo(80_000);
  pair.sendAB();
  pair.advanceTo(170_000);
  assert.deepEqual(pair.a.events, []);
  pair.advanceTo(190_000);
  assert.deepEqual(pair.a.events, ['failed b']);
});

test('both initiate at once: both sessions stand and data flows both ways without waiting', () => {
  const pair = new Pair();
  pair.sendAB();
  pair.sendBA();
  assert.equal(pair.wire.length, 2);
  pair.settle();
  assert.equal(pair.a.delivered.length, 1);
  assert.equal(pair.b.delivered.length, 1);
  assert.equal(pair.sendAB(), true);
  assert.equal(pair.sendBA(), true);
  pair.settle();
  assert.equal(pair.a.delivered.length, 2);
  assert.equal(pair.b.delivered.length, 2);
  pair.advanceTo(100_000);
  assert.ok(!pair.trace.slice(12).includes('1'), pair.trace);
});

test('both initiate at once and every response is lost: the jitter parts them', () => {
  const pair = new Pair();
  pair.loses = ({ bytes }) => bytes[0] === 2 && pair.now < 1_000;
  pair.sendAB();
  pair.sendBA();
  pair.advanceTo(12_000);
  assert.equal(pair.a.delivered.length, 1);
  assert.equal(pair.b.delivered.length, 1);
});

test('one side loses its memory: the other finds out within 15 s of sending (6.5)', () => {
  const pair = new Pair();
  pair.connect();
  pair.advanceTo(60_000);
  pair.restartB();
  pair.sendAB();
  pair.settle();
  assert.equal(pair.b.count(Count.UNKNOWN_INDEX), 1);
  pair.advanceTo(76_000);
  assert.ok(pair.toA.hasSession(pair.now));
  pair.sendBA();
  pair.settle();
  assert.equal(pair.a.delivered.length, 1);
});

test('one side loses its memory and initiates: its session replaces the old one at once', () => {
  const pair = new Pair();
  pair.connect();
  pair.advanceTo(60_000);
  pair.restartB();
  pair.sendBA();
  pair.settle();
  assert.equal(pair.a.delivered.length, 1);
  pair.sendAB();
  pair.settle();
  assert.equal(pair.b.delivered.length, 1);
});

test('a session reset by the caller is made anew by the next packet, within the 5 s spacing too', () => {
  const pair = new Pair();
  pair.connect();
  pair.now = 1_000;
  pair.a.device.resetSession(pair.toB);
  assert.equal(pair.toB.hasSession(pair.now), false);
  pair.sendAB();
  pair.settle();
  assert.equal(pair.trace, 'a1 b2 a4');
  assert.equal(pair.b.delivered.length, 1);
});

test('every datagram is taken once, in whatever order it comes (RFC 6479)', () => {
  const pair = new Pair();
  pair.connect();
  for (let i = 0; i < 100; i++) pair.sendAB(40, i);
  const shuffled = pair.wire
    .splice(0)
    .sort((x, y) => ((x.bytes[8]! * 37) % 101) - ((y.bytes[8]! * 37) % 101));
  for (const datagram of [...shuffled, ...shuffled]) pair.arrive(datagram);
  assert.equal(pair.b.delivered.length, 100);
  assert.equal(new Set(pair.b.delivered.map((packet) => packet[20])).size, 100);
  assert.equal(pair.b.count(Count.REPLAY), 100);
});

test('an initiation that comes again is dropped, and so is an older one (5.1)', () => {
  const pair = new Pair();
  pair.loses = ({ from }) => from === 'b';
  pair.sendAB();
  pair.advanceTo(6_000);
  const [first, second] = pair.log.filter(({ from }) => from === 'a') as [Datagram, Datagram];
  assert.equal(pair.arrive(second), Count.OLD_TIMESTAMP);
  assert.equal(pair.arrive(first), Count.OLD_TIMESTAMP);
  assert.equal(pair.trace, 'a1 b2 a1 b2');
});

test('a second initiation within 20 ms is dropped', () => {
  const pair = new Pair();
  pair.sendAB();
  pair.settle();
  pair.a.device.resetSession(pair.toB);
  pair.now = 20;
  pair.sendAB();
  assert.equal(pair.arrive(pair.wire.shift()!), Count.FLOOD);
  pair.a.device.resetSession(pair.toB);
  pair.now = 21;
  pair.sendAB();
  assert.equal(pair.arrive(pair.wire.shift()!), Count.HANDSHAKE);
});

test('a wall clock that steps back an hour does not lock the node out', () => {
  const pair = new Pair();
  pair.connect();
  pair.skewA = -3_600_000;
  pair.advanceTo(180_000);
  pair.sendAB();
  pair.settle();
  assert.equal(pair.b.delivered.length, 1);
});

test('keys are wiped 540 s after the last was made, and timers are then idle', () => {
  const pair = new Pair();
  pair.connect();
  pair.sendAB();
  const old = pair.wire.shift()!;
  pair.sendAB();
  pair.settle();
  pair.b.delivered.length = 0;
  pair.advanceTo(539_999);
  assert.equal(pair.a.device.nextTick, 540_000);
  pair.advanceTo(540_001);
  assert.equal(pair.a.device.nextTick, undefined);
  assert.equal(pair.b.device.nextTick, undefined);
  assert.equal(pair.arrive(old), Count.UNKNOWN_INDEX);
  pair.sendAB();
  pair.settle();
  assert.equal(pair.b.delivered.length, 1);
});

test('a persistent keepalive starts a session by itself and holds it with a packet per interval', () => {
  const pair = new Pair({ persistentKeepalive: 25_000 });
  pair.advanceTo(110_000);
  assert.equal(pair.trace, 'a1 b2 a0 a0 a0 a0 a0');
  assert.deepEqual(
    pair.log.slice(2).map(({ at }) => at),
    [0, 25_000, 50_000, 75_000, 100_000],
  );
});

test('at most 128 packets wait per peer, the oldest go first', () => {
  const pair = new Pair();
  for (let i = 0; i < 150; i++) pair.sendAB(40, i);
  assert.equal(pair.a.count(Count.STAGED_DROPPED), 22);
  pair.settle();
  assert.deepEqual(
    pair.b.delivered.map((packet) => packet[20]),
    Array.from({ length: 128 }, (_, i) => i + 22),
  );
});
