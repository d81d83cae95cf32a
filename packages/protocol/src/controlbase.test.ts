import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  concat,
  fromHex,
  ProtocolError,
  toBase64,
  toHex,
  utf8Decode,
  utf8Encode,
} from './bytes.ts';
import {
  acceptInitiation,
  EarlyPayloadReader,
  encodeEarlyPayload,
  encodeHandshakeError,
  handshakeReplyLength,
  MAX_EARLY_PAYLOAD,
  MAX_RECORD,
  MAX_RECORD_PLAINTEXT,
  RecordChannel,
  startInitiation,
} from './controlbase.ts';
import type { Crypto } from './crypto.ts';
import { machinePublic, PrivateKey } from './keys.ts';
import { nobleCrypto } from './noblecrypto.ts';
import { SymmetricState } from './noise.ts';

// Private keys are one byte repeated; computed with two unrelated sets of primitives.
const key = (byte: number): PrivateKey => PrivateKey.fromBytes(new Uint8Array(32).fill(byte));
const seeded = (byte: number): Crypto => nobleCrypto((n) => new Uint8Array(n).fill(byte));
const client = seeded(0x22);
const server = seeded(0x44);
const machineKey = key(0x11);
const serverKey = key(0x33);
const controlKey = machinePublic(serverKey.publicBytes(client.x25519));

const INITIATION =
  '00820100600faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20' +
  '61d2949213e755bc180b5d5dbbd8c50a2a1beb69f8940d24cab4606a34cd5d41bc1ff365dab9720023c14c30934a4833' +
  'f8c3c41ef9bdfa0e56f6895571c8f6f4';
const HEADER_VALUE =
  'AIIBAGAPqmhO0ohnuX9Kai3uXfjOl052twGOPyKhxM8meFcPIGHSlJIT51W8GAtdXbvYxQoqG+tp+JQNJMq0YGo0zV1BvB/zZdq5cgAjwUwwk0pIM/jDxB75vfoOVvaJVXHI9vQ=';
const RESPONSE =
  '020030ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6b2c3f1b7bf58f2edaee270afd38fbfb96';
const K1 = 'd9811dd6a320dc8484bb37ea989640c99f99a8582f50b829e347bd75da510717';
const K2 = '8561e3fd4551ed82ee22220925e41e923d64b1c04b856f8ec1eaa544a511a427';

const start = () => startInitiation({ crypto: client, machineKey, controlKey, version: 130 });
const accept = (initiation: Uint8Array) =>
  acceptInitiation({ crypto: server, controlKey: serverKey, initiation });

function pair(): [RecordChannel, RecordChannel] {
  const k1 = fromHex(K1);
  const k2 = fromHex(K2);
  return [new RecordChannel(client.aead, k1, k2), new RecordChannel(client.aead, k2, k1)];
}

function code(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return 'none';
}

test('the symmetric state walks through the known intermediate values', () => {
  const { x25519, blake2s, aead } = client;
  const ce = key(0x22);
  const se = key(0x44);
  const state = new SymmetricState(
    blake2s,
    aead,
    utf8Encode('Noise_IK_25519_ChaChaPoly_BLAKE2s'),
    utf8Encode('Tailscale Control Protocol v130'),
  );
  const h = (hex: string): void => assert.equal(toHex(state.hash), hex);
  const ck = (hex: string): void => assert.equal(toHex(state.chainingKey), hex);
  const k = (hex: string): void => assert.equal(toHex(state.key), hex);
  ck('bbea022b948cf3bc5857d70804229179e1116bc40cb8cc074835349c464bca36');
  h('ddf32b89f0047f9724b0e3f6b5df5a6cf9015ff03967e9de0aaaea87ca63fe82');
  const s = serverKey.publicBytes(x25519);
  assert.equal(toHex(s), '7b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b14');
  state.mixHash(s);
  h('88146e8d4be8137779186f7d0d6755034ed9ed1c448c6c9a2cd4edea8246ec26');
  state.mixHash(ce.publicBytes(x25519));
  state.mixKey(x25519.sharedSecret(ce.expose(), s));
  ck('b2de8259dc35a197c9d08ff3bb3a1ab6be2ac4ced1087f2eda169649bc5ea22e');
  k('8a69c1fad7a0cd24bedc1307c95b584809ea82e8367fba67f30818757045fa96');
  const machine = machineKey.publicBytes(x25519);
  assert.equal(toHex(machine), '7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13');
  state.seal(machine);
  state.mixKey(x25519.sharedSecret(machineKey.expose(), s));
  ck('364f9372d1d5a23bf835568aecd883a2f2acfa56f4eb802d4d495f9c40dcd869');
  k('940f1610fcc0489ca02d3648b5a684961027cb750b22987a7c7d3ef54238215e');
  state.seal(new Uint8Array(0));
  h('0af6e1099d20e87a094937c1793eec159e3fb89704f0821bc2f3e7696ddae5a6');
  const fork = state.clone();
  state.mixHash(se.publicBytes(x25519));
  state.mixKey(x25519.sharedSecret(se.expose(), ce.publicBytes(x25519)));
  ck('087f9335cadb63569b8422c59d96c15fce38ec88b0e6fdae299d89e6783e81c9');
  state.mixKey(x25519.sharedSecret(se.expose(), machine));
  ck('9a1940960449405cda46b959bd8eb53b0a98a9825abb57cddef9706b35c8c93c');
  k('dcfdf0025ab85e86cd90ab1508cb0da397e72d7258d4e4a8d3dbfef0b914dd3f');
  state.seal(new Uint8Array(0));
  h('ea034da9232f84fcefa7a09cf76dc84a3467bb5af8a988a1abd8103031b00fcc');
  assert.deepEqual(state.split().map(toHex), [K1, K2]);
  state.clear();
  assert.equal(
    toHex(fork.chainingKey),
    '364f9372d1d5a23bf835568aecd883a2f2acfa56f4eb802d4d495f9c40dcd869',
  );
});

test('the handshake gives the known bytes on both sides', () => {
  const { initiation, finish } = start();
  assert.equal(toHex(initiation), INITIATION);
  assert.equal(toBase64(initiation), HEADER_VALUE);
  const accepted = accept(initiation);
  assert.equal(toHex(accepted.response), RESPONSE);
  assert.equal(accepted.version, 130);
  assert.equal(accepted.machine, machinePublic(machineKey.publicBytes(client.x25519)));
  const channel = finish(accepted.response);
  const hello = channel.seal(utf8Encode('hello'));
  assert.equal(toHex(hello), '0400153eb7c70f517b459ce906fe831d0a1cc7d9d8bf3725');
  const again = channel.seal(utf8Encode('hello'));
  assert.equal(toHex(again), '04001506247a9f9b8d4f68a2fe2e148d0b8612cfd0d21146');
  const world = accepted.channel.seal(utf8Encode('world'));
  assert.equal(toHex(world), '0400158e61318d0317e6dc26969582d51ff70119aac792d4');
  assert.deepEqual(accepted.channel.push(concat(hello, again)).map(utf8Decode), ['hello', 'hello']);
  assert.deepEqual(channel.push(world).map(utf8Decode), ['world']);
  assert.equal(
    code(() => finish(accepted.response)),
    'ERR_CLOSED',
  );
});

test('every truncation and every flipped bit of an initiation is refused with a typed error', () => {
  const initiation = fromHex(INITIATION);
  for (let n = 0; n < initiation.length; n++) {
    assert.equal(
      code(() => accept(initiation.subarray(0, n))),
      'ERR_TRUNCATED',
    );
  }
  assert.equal(
    code(() => accept(concat(initiation, Uint8Array.of(0)))),
    'ERR_MALFORMED',
  );
  for (let i = 0; i < initiation.length; i++) {
    const bad = initiation.slice();
    bad[i] = bad[i]! ^ 0x01;
    const expected = i >= 2 && i < 5 ? 'ERR_MALFORMED' : 'ERR_DECRYPT';
    assert.equal(
      code(() => accept(bad)),
      expected,
      `byte ${i}`,
    );
  }
  const zeroPoint = initiation.slice();
  zeroPoint.fill(0, 5, 37);
  assert.equal(
    code(() => accept(zeroPoint)),
    'ERR_WEAK_KEY',
  );
});

test('every truncation and every flipped byte of a response is refused with a typed error', () => {
  const response = fromHex(RESPONSE);
  for (let n = 0; n < response.length; n++) {
    assert.equal(
      code(() => start().finish(response.subarray(0, n))),
      'ERR_TRUNCATED',
    );
  }
  for (let i = 0; i < response.length; i++) {
    const bad = response.slice();
    bad[i] = bad[i]! ^ 0x04;
    assert.equal(
      code(() => start().finish(bad)),
      i < 3 ? 'ERR_MALFORMED' : 'ERR_DECRYPT',
    );
  }
  assert.equal(
    code(() => start().finish(concat(response, response))),
    'ERR_MALFORMED',
  );
});

test('an error frame instead of the response fails the handshake with the words of the server', () => {
  const frame = encodeHandshakeError('go away');
  assert.equal(toHex(frame), '030007676f2061776179');
  assert.equal(handshakeReplyLength(frame.subarray(0, 2)), undefined);
  assert.equal(handshakeReplyLength(frame.subarray(0, 3)), 10);
  assert.throws(() => start().finish(frame), { code: 'ERR_REMOTE', message: 'go away' });
});

test('a stream cut anywhere comes out whole', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 }),
      (messages, cuts) => {
        const [sender, receiver] = pair();
        const stream = concat(...messages.map((message) => sender.seal(message)));
        const out: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = at + cuts[i % cuts.length]!;
          out.push(...receiver.push(stream.subarray(at, next)));
          at = next;
        }
        assert.deepEqual(toHex(concat(...out)), toHex(concat(...messages)));
        assert.ok(out.every((piece) => piece.length > 0));
      },
    ),
    { numRuns: 30 },
  );
});

test('long writes are split at 4077 bytes and an empty one makes an empty record', () => {
  const [sender] = pair();
  assert.equal(MAX_RECORD_PLAINTEXT, 4077);
  assert.equal(sender.seal(new Uint8Array(4077)).length, MAX_RECORD);
  assert.equal(sender.seal(new Uint8Array(4078)).length, MAX_RECORD + 3 + 17);
  assert.equal(sender.seal(new Uint8Array(0)).length, 19);
});

test('a bad record kills the channel for good', () => {
  const cases: [string, string][] = [
    ['030015', 'ERR_MALFORMED'],
    ['04000f', 'ERR_MALFORMED'],
    ['040ffe', 'ERR_MALFORMED'],
    [`040010${'00'.repeat(16)}`, 'ERR_DECRYPT'],
  ];
  for (const [hex, expected] of cases) {
    for (const step of [1, 100]) {
      const [sender, receiver] = pair();
      const bytes = fromHex(hex);
      assert.equal(
        code(() => {
          for (let at = 0; at < bytes.length; at += step)
            receiver.push(bytes.subarray(at, at + step));
          receiver.push(Uint8Array.of(0));
        }),
        expected,
      );
      assert.equal(
        code(() => receiver.push(sender.seal(utf8Encode('x')))),
        'ERR_CLOSED',
      );
    }
  }
});

test('a record heard twice or out of order does not authenticate', () => {
  const [sender, receiver] = pair();
  const first = sender.seal(utf8Encode('1'));
  receiver.push(first);
  assert.equal(
    code(() => receiver.push(first)),
    'ERR_DECRYPT',
  );
});

test('arbitrary bytes give plaintext or a typed error, nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      code(() => accept(bytes));
      code(() => start().finish(bytes));
      code(() => pair()[1].push(bytes));
      code(() => new EarlyPayloadReader().push(bytes));
    }),
    { numRuns: 60 },
  );
});

test('an early payload is split from the HTTP/2 bytes wherever the stream is cut', () => {
  const json = utf8Encode(`{"nodeKeyChallenge":"chalpub:${'00'.repeat(32)}"}`);
  const http2 = fromHex('000012040000000000');
  const stream = concat(encodeEarlyPayload(json), http2);
  assert.equal(
    toHex(stream.subarray(0, 9)),
    `ffffff5453${json.length.toString(16).padStart(8, '0')}`,
  );
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new EarlyPayloadReader();
    const out = concat(reader.push(stream.subarray(0, cut)), reader.push(stream.subarray(cut)));
    assert.equal(toHex(out), toHex(http2));
    assert.equal(toHex(reader.json!), toHex(json));
  }
});

test('without the magic the first bytes pass through, however they are cut', () => {
  for (const hex of ['000012040000000000aabb', 'ffffff545400000000', 'ffffff00', '00']) {
    const stream = fromHex(hex);
    const reader = new EarlyPayloadReader();
    const out = concat(...Array.from(stream, (byte) => reader.push(Uint8Array.of(byte))));
    assert.equal(toHex(out), hex);
    assert.equal(reader.json, undefined);
    assert.equal(reader.done, true);
  }
});

test('an early payload that claims more than the limit is refused before it is held', () => {
  const claim = fromHex('ffffff5453').length;
  const header = new Uint8Array(claim + 4);
  header.set(fromHex('ffffff5453'));
  new DataView(header.buffer).setUint32(5, MAX_EARLY_PAYLOAD + 1);
  assert.equal(
    code(() => new EarlyPayloadReader().push(header)),
    'ERR_TOO_LARGE',
  );
});
