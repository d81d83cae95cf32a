import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '@cove/protocol/bytes';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import fc from 'fast-check';
import { CookieChecker, CookieHolder } from './cookie.ts';
import { parseCookieReply } from './messages.ts';
import { hchacha20, xopened, xsealed } from './xchacha.ts';

// The initiation of handshake.test.ts, to the responder whose private key is 32 x 02.
const MSG1 =
  '01000000443322115dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef220a26599fb2188bb7' +
  '23276fc173af67616c817fc32fd04d686d87ec152fac10eed2bda3bb3b6f1eded6977684082284d817fb46b3a99b6be3' +
  'a0273ed6f169357ca2db0ffb2b85638aa56792500f79d6e9a8fed324037162b1c06b371f000000000000000000000000' +
  '00000000';
const SOURCE = fromHex('0102030404d2');

// The secret is 32 x 05, the nonce of the reply 24 x 06.
const crypto = nobleCrypto((n) => new Uint8Array(n).fill(n === 32 ? 5 : 6));
const responderPublic = crypto.x25519.publicKey(new Uint8Array(32).fill(2));

test('HChaCha20 makes the known subkey (draft-irtf-cfrg-xchacha-03 section 2.2.1)', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i);
  assert.equal(
    toHex(hchacha20(key, fromHex('000000090000004a0000000031415927'))),
    '82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc',
  );
});

test('XChaCha20-Poly1305 agrees with another implementation on any input', () => {
  const bytes = (n: number) => fc.uint8Array({ minLength: n, maxLength: n });
  fc.assert(
    fc.property(bytes(32), bytes(24), fc.uint8Array(), fc.uint8Array(), (key, nonce, ad, text) => {
      const sealed = xsealed(crypto.aead, key, nonce, ad, text);
      assert.deepEqual(sealed, xchacha20poly1305(key, nonce, ad).encrypt(text));
      assert.deepEqual(xopened(crypto.aead, key, nonce, ad, sealed), text);
      sealed[sealed.length - 1]! ^= 1;
      assert.equal(xopened(crypto.aead, key, nonce, ad, sealed), undefined);
    }),
    { numRuns: 50 },
  );
});

test('a cookie reply has the known bytes and the initiator answers it with the known mac2', () => {
  const message = fromHex(MSG1);
  const checker = new CookieChecker(crypto, responderPublic);
  const reply = checker.reply(message, 0x11223344, SOURCE, 0);
  assert.equal(
    toHex(reply),
    '0300000044332211060606060606060606060606060606060606060606060606a2ce6a220bf3b149068d1b87902966ac' +
      'e54b0079088e4102ba1c4fd83c47a4fe',
  );
  const holder = new CookieHolder(crypto, responderPublic);
  const again = message.slice();
  again.fill(0, 116);
  holder.addMacs(again, 0);
  assert.equal(toHex(again), MSG1, 'without a cookie mac2 is zero');
  assert.ok(holder.takeReply(parseCookieReply(reply), 1));
  holder.addMacs(again, 2);
  assert.equal(toHex(again.subarray(132)), 'bf91185fdb1b7638a744206ddf9207c8');
  assert.ok(checker.hasValidMac2(again, SOURCE, 3));
  assert.ok(!checker.hasValidMac2(again, fromHex('0102030504d2'), 3), 'another source');
});

test('mac1 is for one public key only and covers every byte before it', () => {
  const message = fromHex(MSG1);
  const checker = new CookieChecker(crypto, responderPublic);
  assert.ok(checker.hasValidMac1(message));
  for (let at = 0; at < 132; at++) {
    const forged = message.slice();
    forged[at]! ^= 0x80;
    assert.ok(!checker.hasValidMac1(forged), `byte ${at}`);
  }
  const other = crypto.x25519.publicKey(new Uint8Array(32).fill(7));
  assert.ok(!new CookieChecker(crypto, other).hasValidMac1(message));
});

test('a cookie lives 120 s on both sides', () => {
  const checker = new CookieChecker(crypto, responderPublic);
  const holder = new CookieHolder(crypto, responderPublic);
  const message = fromHex(MSG1);
  holder.addMacs(message, 0);
  holder.takeReply(parseCookieReply(checker.reply(message, 1, SOURCE, 0)), 0);
  holder.addMacs(message, 119_999);
  assert.ok(checker.hasValidMac2(message, SOURCE, 119_999));
  assert.ok(!checker.hasValidMac2(message, SOURCE, 120_000), 'the secret is old');
  message.fill(0, 132);
  holder.addMacs(message, 120_000);
  assert.equal(toHex(message.subarray(132)), '00'.repeat(16), 'the cookie is old');
});

test('a cookie reply to something never sent, or to an earlier message, is not taken', () => {
  const checker = new CookieChecker(crypto, responderPublic);
  const holder = new CookieHolder(crypto, responderPublic);
  const message = fromHex(MSG1);
  const reply = parseCookieReply(checker.reply(message, 1, SOURCE, 0));
  assert.ok(!holder.takeReply(reply, 0));
  const other = message.slice();
  other[5]! ^= 1;
  holder.addMacs(other, 0);
  assert.ok(!holder.takeReply(reply, 0));
});
