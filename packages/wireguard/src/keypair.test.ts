import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Keypair, Keypairs } from './keypair.ts';
import { testCrypto } from './testing/pair.ts';

function keypair(name: number, initiator = true): Keypair {
  return new Keypair(undefined, {
    keys: { send: new Uint8Array(32).fill(name), receive: new Uint8Array(32).fill(name) },
    localIndex: name,
    remoteIndex: 0x01020304,
    initiator,
    createdAt: 0,
  });
}

/** Slots as `previous/current/next`, by local index. */
function slots(pairs: Keypairs): string {
  const name = (pair: Keypair | undefined) => pair?.localIndex ?? '-';
  return `${name(pairs.previous)}/${name(pairs.current)}/${name(pairs.next)}`;
}

/** `i1` we initiated 1 and got the response, `r2` we responded with 2, `c2` a packet came under 2. */
const TABLE: readonly (readonly [events: string, slots: string, discarded: string])[] = [
  ['i1', '-/1/-', ''],
  ['i1 i2', '1/2/-', ''],
  ['i1 i2 i3', '2/3/-', '1'],
  ['r1', '-/-/1', ''],
  ['r1 c1', '-/1/-', ''],
  ['r1 c1 c1', '-/1/-', ''],
  ['r1 r2', '-/-/2', '1'],
  ['i1 r2', '-/1/2', ''],
  ['i1 i2 r3', '-/2/3', '1'],
  ['i1 r2 c2', '1/2/-', ''],
  ['i1 i2 r3 c3', '2/3/-', '1'],
  ['i1 r2 i3', '2/3/-', '1'],
  ['r1 i2', '1/2/-', ''],
  ['i1 r2 c1', '-/1/2', ''],
];

for (const [events, expected, gone] of TABLE) {
  test(`keypairs after ${events}: ${expected} (previous/current/next)`, () => {
    const discarded: number[] = [];
    const pairs = new Keypairs((pair) => discarded.push(pair.localIndex));
    const made = new Map<number, Keypair>();
    for (const event of events.split(' ')) {
      const name = Number(event.slice(1));
      const pair = made.get(name) ?? keypair(name, event[0] === 'i');
      made.set(name, pair);
      if (event[0] === 'i') pairs.installInitiated(pair);
      else if (event[0] === 'r') pairs.installResponded(pair);
      else pairs.confirm(pair);
    }
    assert.equal(slots(pairs), expected);
    assert.equal(discarded.join(' '), gone);
    pairs.clear();
    assert.equal(slots(pairs), '-/-/-');
    assert.equal(new Set(discarded).size, made.size, 'every key is discarded in the end, once');
  });
}

test('a sealed message carries type, receiver and the counter in little endian, from 0', () => {
  const pair = keypair(1);
  for (let i = 0; i < 300; i++) pair.seal(testCrypto.packet, new Uint8Array(32), 16, 0);
  const buf = new Uint8Array(40);
  pair.seal(testCrypto.packet, buf, 20, 0);
  assert.deepEqual(
    [...buf.subarray(4, 20)],
    [4, 0, 0, 0, 4, 3, 2, 1, 300 & 255, 300 >> 8, 0, 0, 0, 0, 0, 0],
  );
  assert.equal(pair.sent, 301);
});

test('a key sends and receives until it is 180 s old', () => {
  const pair = keypair(1);
  assert.ok(pair.canSend(179_999));
  assert.ok(!pair.canSend(180_000));
  assert.ok(pair.isExpired(180_000));
});

test('only an initiator renews: sending at 120 s, receiving at 165 s and then once', () => {
  const initiator = keypair(1, true);
  const responder = keypair(2, false);
  assert.ok(!initiator.wantsRenewalSending(119_999));
  assert.ok(initiator.wantsRenewalSending(120_000));
  assert.ok(!responder.wantsRenewalSending(179_999));
  assert.ok(!initiator.wantsRenewalReceiving(164_999));
  assert.ok(initiator.wantsRenewalReceiving(165_000));
  assert.ok(!initiator.wantsRenewalReceiving(165_000));
  assert.ok(!responder.wantsRenewalReceiving(179_999));
});

test('wiping clears both keys', () => {
  const keys = { send: new Uint8Array(32).fill(1), receive: new Uint8Array(32).fill(2) };
  const input = { localIndex: 1, remoteIndex: 2, initiator: true, createdAt: 0 };
  new Keypair(undefined, { keys, ...input }).wipe();
  assert.deepEqual([...keys.send, ...keys.receive], new Array(64).fill(0));
});
