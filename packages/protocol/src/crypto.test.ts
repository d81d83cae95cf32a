// The primitives themselves are tested for every tier at once in packages/crypto; here is what only lives here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex, utf8Encode } from './bytes.ts';
import { boxSharedKey, openBox, packetNonce, sealBox } from './crypto.ts';
import { nobleX25519 } from './noblecrypto.ts';

const fill = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte);

test('the box of the NaCl paper comes out (Cryptography in NaCl, sections 8 and 10)', () => {
  const alice = fromHex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a');
  const bobPublic = fromHex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
  const shared = boxSharedKey(nobleX25519, alice, bobPublic);
  assert.equal(toHex(shared), '1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389');
  const nonce = fromHex('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37');
  const text = fromHex(
    'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31' +
      '0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705',
  );
  const box = sealBox(shared, nonce, text);
  assert.equal(toHex(box.subarray(0, 16)), 'f3ffc7703f9400e52a7dfb4b3d3305d9');
  assert.equal(toHex(box.subarray(16, 32)), '8e993b9f48681273c29650ba32fc76ce');
  assert.deepEqual(openBox(shared, nonce, box), text);
});

test('a disco box comes out, from either side of the pair', () => {
  const a = fill(7);
  const b = fill(8);
  const shared = boxSharedKey(nobleX25519, a, nobleX25519.publicKey(b));
  assert.equal(toHex(shared), '0f302b7b6c5ee727dd670a618ff3c319807de308963fd25f0f01dc66ef3387d0');
  assert.deepEqual(boxSharedKey(nobleX25519, b, nobleX25519.publicKey(a)), shared);
  const inner = fromHex(`01000102030405060708090a0b0c${'09'.repeat(32)}`);
  assert.equal(
    toHex(sealBox(shared, fill(10, 24), inner)),
    'd7e1180cc2326705fcfe8397eb950c372a0ef0164e2467c401055ec8fbfba6180a10642d5e91190871d0a73a04afad9de38f330a5570b9ae42416544662f',
  );
});

test('a box opens for no other nonce, key, length or bit', () => {
  const key = fill(1);
  const nonce = fill(2, 24);
  const box = sealBox(key, nonce, utf8Encode('hello'));
  for (let n = 0; n < box.length; n++)
    assert.equal(openBox(key, nonce, box.subarray(0, n)), undefined);
  for (let bit = 0; bit < box.length * 8; bit++) {
    const bad = box.slice();
    bad[bit >> 3] = bad[bit >> 3]! ^ (1 << (bit & 7));
    assert.equal(openBox(key, nonce, bad), undefined);
  }
  assert.equal(openBox(fill(3), nonce, box), undefined);
  assert.equal(openBox(key, fill(3, 24), box), undefined);
  assert.equal(openBox(key, nonce.subarray(1), box), undefined);
  assert.deepEqual(openBox(key, nonce, sealBox(key, nonce, new Uint8Array(0))), new Uint8Array(0));
});

test('a shared key with a point of low order is refused', () => {
  for (const point of [fill(0), Uint8Array.of(1, ...fill(0, 31))]) {
    assert.throws(() => boxSharedKey(nobleX25519, fill(7), point), { code: 'ERR_WEAK_KEY' });
  }
});

test('a packet nonce is four zero bytes and the counter in little endian', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (counter) => {
      const out = new Uint8Array(12);
      packetNonce(out, Number(counter & 0xffffffffn), Number(counter >> 32n));
      const view = new DataView(out.buffer);
      assert.equal(view.getUint32(0), 0);
      assert.equal(view.getBigUint64(4, true), counter);
    }),
  );
});
