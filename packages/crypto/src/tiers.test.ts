// One set of vectors and properties for every tier of every primitive.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { fromHex, ProtocolError, toHex, utf8Encode } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import fc from 'fast-check';
import { nodeCrypto } from './nodecrypto.ts';

const TIERS: readonly Crypto[] = [nobleCrypto((n) => randomBytes(n)), nodeCrypto()];
const fill = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte);
const weak = (error: unknown): boolean =>
  error instanceof ProtocolError && error.code === 'ERR_WEAK_KEY';

// RFC 8439 section 2.8.2.
const KEY = fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f');
const NONCE = fromHex('070000004041424344454647');
const AD = fromHex('50515253c0c1c2c3c4c5c6c7');
const TEXT = utf8Encode(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
);
const SEALED =
  'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b' +
  '1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc' +
  '3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691';

for (const { name, x25519, aead, blake2s, randomBytes: random } of TIERS) {
  test(`${name}: X25519 gives the published results (RFC 7748 section 6.1)`, () => {
    const alice = fromHex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a');
    const bob = fromHex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
    const alicePublic = x25519.publicKey(alice);
    const bobPublic = x25519.publicKey(bob);
    assert.equal(
      toHex(alicePublic),
      '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
    );
    assert.equal(
      toHex(bobPublic),
      'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
    );
    const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742';
    assert.equal(toHex(x25519.sharedSecret(alice, bobPublic)), shared);
    assert.equal(toHex(x25519.sharedSecret(bob, alicePublic)), shared);
  });

  test(`${name}: X25519 refuses points of low order (RFC 7748 section 6.1)`, () => {
    for (const point of [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ]) {
      assert.throws(() => x25519.sharedSecret(fill(0x11), fromHex(point)), weak, point);
    }
  });

  test(`${name}: X25519 ignores the top bit of a public key (RFC 7748 section 5)`, () => {
    const point = x25519.publicKey(fill(0x22));
    const marked = point.slice();
    marked[31] = marked[31]! | 0x80;
    assert.deepEqual(
      x25519.sharedSecret(fill(0x11), marked),
      x25519.sharedSecret(fill(0x11), point),
    );
  });

  test(`${name}: the AEAD gives the published result (RFC 8439 section 2.8.2)`, () => {
    assert.equal(toHex(aead.seal(KEY, NONCE, AD, TEXT)), SEALED);
    assert.deepEqual(aead.open(KEY, NONCE, AD, fromHex(SEALED)), TEXT);
  });

  test(`${name}: the AEAD opens nothing that was changed, cut or sealed with other data`, () => {
    const sealed = fromHex(SEALED);
    for (let n = 0; n < sealed.length; n += n < 20 ? 1 : 13) {
      assert.equal(aead.open(KEY, NONCE, AD, sealed.subarray(0, n)), undefined);
    }
    for (let bit = 0; bit < sealed.length * 8; bit += 7) {
      const bad = sealed.slice();
      bad[bit >> 3] = bad[bit >> 3]! ^ (1 << (bit & 7));
      assert.equal(aead.open(KEY, NONCE, AD, bad), undefined);
    }
    assert.equal(aead.open(KEY, NONCE, AD.subarray(1), sealed), undefined);
    assert.equal(aead.open(fill(1), NONCE, AD, sealed), undefined);
    assert.equal(aead.open(KEY, fill(1, 12), AD, sealed), undefined);
  });

  test(`${name}: BLAKE2s, plain and keyed, gives the published results (RFC 7693 and its vectors)`, () => {
    const abc = '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982';
    assert.equal(toHex(blake2s.hash(utf8Encode('abc'))), abc);
    assert.equal(toHex(blake2s.hash(utf8Encode('a'), utf8Encode(''), utf8Encode('bc'))), abc);
    const key = Uint8Array.from({ length: 32 }, (_, i) => i);
    assert.equal(
      toHex(blake2s.keyed(key, 32)),
      '48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49',
    );
    assert.equal(blake2s.keyed(key, 16, TEXT).length, 16);
    // The output length is part of the parameters: a shorter one is not a prefix.
    assert.notEqual(toHex(blake2s.keyed(key, 16)), '48a8997da407876b3d79c0d92325ad3b');
  });

  test(`${name}: results are plain arrays of their own`, () => {
    for (const bytes of [
      x25519.publicKey(fill(1)),
      aead.seal(KEY, NONCE, AD, TEXT),
      aead.open(KEY, NONCE, AD, fromHex(SEALED))!,
      blake2s.hash(TEXT),
      blake2s.hmac(KEY, TEXT),
      blake2s.keyed(KEY, 16, TEXT),
    ]) {
      assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
      const copy = bytes.slice();
      bytes.fill(0);
      assert.notDeepEqual(copy, bytes);
    }
    assert.equal(random(24).length, 24);
    assert.notDeepEqual(random(24), random(24));
  });
}

test('the tiers agree with each other on anything', () => {
  const [first, ...others] = TIERS as [Crypto, ...Crypto[]];
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(
      key,
      key,
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      bytes,
      bytes,
      (k, p, nonce, a, b) => {
        for (const other of others) {
          assert.deepEqual(other.aead.seal(k, nonce, a, b), first.aead.seal(k, nonce, a, b));
          assert.deepEqual(other.aead.open(k, nonce, a, first.aead.seal(k, nonce, a, b)), b);
          assert.deepEqual(other.blake2s.hash(a, b), first.blake2s.hash(a, b));
          assert.deepEqual(other.blake2s.hmac(a, b, k), first.blake2s.hmac(a, b, k));
          assert.deepEqual(other.blake2s.keyed(k, 16, a, b), first.blake2s.keyed(k, 16, a, b));
        }
        if (a.length % 8 === 0) {
          for (const other of others) {
            assert.deepEqual(other.x25519.publicKey(k), first.x25519.publicKey(k));
            assert.deepEqual(other.x25519.sharedSecret(k, p), first.x25519.sharedSecret(k, p));
          }
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('a private key array that is overwritten and used again is imported again', () => {
  const { x25519 } = nodeCrypto();
  const array = fill(0x11);
  const before = x25519.publicKey(array);
  array.fill(0x22);
  assert.notDeepEqual(x25519.publicKey(array), before);
  assert.deepEqual(x25519.publicKey(fill(0x22)), x25519.publicKey(array));
});
