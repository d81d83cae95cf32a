import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '@cove/crypto';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import fc from 'fast-check';
import { recordAead } from './recordaead.ts';

const crypto = nodeCrypto();
const oracle = nobleCrypto((n) => crypto.randomBytes(n)).aead;
const fast = recordAead(crypto);

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const message = fc.record({
  key: bytes(32),
  nonce: fc.oneof(
    bytes(12),
    bytes(8).map((counter) => Uint8Array.of(0, 0, 0, 0, ...counter)),
  ),
  ad: fc.oneof(fc.constant(new Uint8Array(0)), bytes(32)),
  text: fc.uint8Array({ maxLength: 300 }),
});

test('seals and opens as RFC 8439 says, whatever nonce and associated data', () => {
  fc.assert(
    fc.property(message, ({ key, nonce, ad, text }) => {
      const sealed = fast.seal(key, nonce, ad, text);
      assert.deepEqual(sealed, new Uint8Array(oracle.seal(key, nonce, ad, text)));
      const before = sealed.slice();
      assert.deepEqual(new Uint8Array(fast.open(key, nonce, ad, sealed)!), text);
      assert.deepEqual(sealed, before);
    }),
  );
});

test('what was changed does not open', () => {
  fc.assert(
    fc.property(message, fc.nat(), ({ key, nonce, ad, text }, at) => {
      const sealed = fast.seal(key, nonce, ad, text).slice();
      sealed[at % sealed.length]! ^= 1;
      assert.equal(fast.open(key, nonce, ad, sealed), undefined);
      assert.equal(fast.open(key, nonce, ad, sealed.subarray(0, at % 16)), undefined);
    }),
  );
});
