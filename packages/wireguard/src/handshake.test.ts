import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '@cove/crypto';
import { fromHex, toHex } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import { hkdf3 } from '@cove/protocol/noise';
import { CookieHolder } from './cookie.ts';
import {
  agree,
  consumeResponse,
  createInitiation,
  createResponse,
  type Identity,
  openInitiation,
  openTimestamp,
} from './handshake.ts';
import { Keypair } from './keypair.ts';
import { parseInitiation, parseResponse } from './messages.ts';
import { encodeTai64n } from './tai64n.ts';

// Private keys are a repeated byte: S_i 01, S_r 02, E_i 03, E_r 04; indices 0x11223344 and 0x55667788; no psk.
const SENDER_I = 0x11223344;
const SENDER_R = 0x55667788;
const MSG1 =
  '01000000443322115dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef220a26599fb2188bb7' +
  '23276fc173af67616c817fc32fd04d686d87ec152fac10eed2bda3bb3b6f1eded6977684082284d817fb46b3a99b6be3' +
  'a0273ed6f169357ca2db0ffb2b85638aa56792500f79d6e9a8fed324037162b1c06b371f000000000000000000000000' +
  '00000000';
const MSG2 =
  '020000008877665544332211ac01b2209e86354fb853237b5de0f4fab13c7fcbf433a61c019369617fecf10b073e026e' +
  '79d31e0903c498588cb80a84b9df76ba538e59e4c051b6f59a5f8b8300000000000000000000000000000000';
const NO_PSK = new Uint8Array(32);

const repeated = (byte: number, n = 32): Uint8Array => new Uint8Array(n).fill(byte);

function identity(crypto: Crypto, byte: number): Identity {
  const privateKey = repeated(byte);
  return { crypto, privateKey, publicKey: crypto.x25519.publicKey(privateKey) };
}

function transcript(crypto: Crypto, psk: Uint8Array = NO_PSK) {
  const initiator = identity(crypto, 1);
  const responder = identity(crypto, 2);
  const shared = agree(crypto, initiator.privateKey, responder.publicKey)!;
  const first = createInitiation(initiator, {
    remotePublic: responder.publicKey,
    staticShared: shared,
    ephemeralPrivate: repeated(3),
    sender: SENDER_I,
    timestamp: encodeTai64n({ seconds: 1_700_000_000, nanos: 486539264 }),
  })!;
  const opened = openInitiation(responder, parseInitiation(first.message))!;
  const stamp = openTimestamp(opened, shared)!;
  const afterFirst = { ck: toHex(opened.state.chainingKey), h: toHex(opened.state.hash) };
  const second = createResponse(responder, opened, {
    presharedKey: psk,
    ephemeralPrivate: repeated(4),
    sender: SENDER_R,
  })!;
  return { initiator, responder, first, opened, stamp, afterFirst, second };
}

const noble = nobleCrypto((n) => new Uint8Array(n));

for (const crypto of [noble, { ...nodeCrypto(), name: 'node:crypto' }]) {
  test(`KDF3 of the initial chaining key and bytes 00 to 1f gives the known three values (${crypto.name})`, () => {
    const ck = crypto.blake2s.hash(
      new TextEncoder().encode('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s'),
    );
    assert.equal(toHex(ck), '60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36');
    const input = Uint8Array.from({ length: 32 }, (_, i) => i);
    assert.deepEqual(hkdf3(crypto.blake2s, ck, input).map(toHex), [
      '6ff66e10ab4a55ac8144a867fcd9f8ee64d4bd6239223338cb3437cf085ab031',
      '203b22d63d63e35cebb9e40210cf8c1d7f90879428a4c766cda9ef34bb299398',
      '35a7b2fc3e4f59db341dbe588e3b75897980c463d5bbb855f8ed8134ff40133a',
    ]);
  });

  test(`the initiation of known keys has the known bytes, CK and H (${crypto.name})`, () => {
    const { initiator, responder, first, opened, stamp, afterFirst } = transcript(crypto);
    assert.equal(
      toHex(initiator.publicKey),
      'a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209',
    );
    new CookieHolder(crypto, responder.publicKey).addMacs(first.message, 0);
    assert.equal(toHex(first.message), MSG1);
    assert.equal(toHex(opened.remotePublic), toHex(initiator.publicKey));
    assert.equal(toHex(stamp), '400000006553f10a1d000000');
    assert.deepEqual(afterFirst, {
      ck: '4696b0ed00cff9c62cf447eb5f9c899d508e66b889a8cef23c4ae5c60f902b5e',
      h: 'ad959175b436957808f37756e466939554eb703316a6ce612509d0d6ac4e1e64',
    });
  });

  test(`the response of known keys has the known bytes, and both sides derive the known transport keys (${crypto.name})`, () => {
    const { initiator, first, second } = transcript(crypto);
    new CookieHolder(crypto, initiator.publicKey).addMacs(second.message, 0);
    assert.equal(toHex(second.message), MSG2);
    const t1 = 'b30c71d520eb54edcf0ad32b6c2e5bdff747e6e2bf8a126ae52eb1c7140b4398';
    const t2 = 'bc8d9cb5d3c1654d26eef4fab1426ff05fff238c2ddac280941197772e21c21c';
    const keys = consumeResponse(initiator, first.pending, NO_PSK, parseResponse(second.message))!;
    assert.deepEqual([toHex(keys.send), toHex(keys.receive)], [t1, t2]);
    assert.deepEqual([toHex(second.keys.receive), toHex(second.keys.send)], [t1, t2]);
  });

  test(`transport data under the known keys has the known bytes (5.4.6) (${crypto.name})`, () => {
    const { initiator, first, second } = transcript(crypto);
    const keys = consumeResponse(initiator, first.pending, NO_PSK, parseResponse(second.message))!;
    const common = { createdAt: 0 };
    const i = new Keypair(undefined, {
      ...common,
      keys,
      localIndex: SENDER_I,
      remoteIndex: SENDER_R,
      initiator: true,
    });
    const r = new Keypair(undefined, {
      ...common,
      keys: second.keys,
      localIndex: SENDER_R,
      remoteIndex: SENDER_I,
      initiator: false,
    });
    const keepalive = new Uint8Array(32);
    i.seal(crypto.packet, keepalive, 16, 0);
    assert.equal(
      toHex(keepalive),
      '0400000088776655000000000000000045576729b6ca056a23180fed4b237620',
    );
    r.seal(crypto.packet, new Uint8Array(32), 16, 0);
    const data = new Uint8Array(48);
    for (let n = 0; n < 16; n++) data[16 + n] = n;
    r.seal(crypto.packet, data, 16, 16);
    assert.equal(
      toHex(data),
      '0400000044332211010000000000000' +
        '0e6ff9ab21acb06862e4b1855f7b7a511dc5a2aff86de5b97e3ddd8724186f756',
    );
    assert.ok(i.open(crypto.packet, 1, 0, data, 16, 32));
    assert.equal(toHex(data.subarray(16, 32)), '000102030405060708090a0b0c0d0e0f');
  });

  test(`a preshared key that differs makes the response unreadable and leaves the handshake pending (${crypto.name})`, () => {
    const { initiator, first, second } = transcript(crypto, repeated(9));
    const response = parseResponse(second.message);
    assert.equal(consumeResponse(initiator, first.pending, NO_PSK, response), undefined);
    const keys = consumeResponse(initiator, first.pending, repeated(9), response)!;
    assert.equal(toHex(keys.send), toHex(second.keys.receive));
  });

  test(`any bit flipped in an initiation keeps its timestamp from opening (${crypto.name})`, () => {
    const message = fromHex(MSG1);
    const responder = identity(crypto, 2);
    const shared = agree(crypto, responder.privateKey, identity(crypto, 1).publicKey)!;
    for (let at = 8; at < 116; at += 5) {
      const forged = message.slice();
      forged[at]! ^= 1 << (at & 7);
      const opened = openInitiation(responder, parseInitiation(forged));
      assert.equal(opened && openTimestamp(opened, shared), undefined, `byte ${at}`);
    }
  });

  test(`a zero ephemeral key is refused, not thrown about (RFC 7748 section 6.1) (${crypto.name})`, () => {
    const message = fromHex(MSG1);
    message.fill(0, 8, 40);
    assert.equal(openInitiation(identity(crypto, 2), parseInitiation(message)), undefined);
    const { initiator, first, second } = transcript(crypto);
    second.message.fill(0, 12, 44);
    const response = parseResponse(second.message);
    assert.equal(consumeResponse(initiator, first.pending, NO_PSK, response), undefined);
  });
}
