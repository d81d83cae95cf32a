// All primitives in plain JavaScript on @noble: they run anywhere, and are the oracle the faster tiers are tested
// against.
import { x25519 as curve } from '@noble/curves/ed25519.js';
import { type Crypto, weakKeyError, type X25519 } from './crypto.ts';
import { nobleAead, nobleBlake2s, noblePacketCipher } from './nobleciphers.ts';

export const nobleX25519: X25519 = {
  publicKey: (privateKey) => curve.getPublicKey(privateKey),
  sharedSecret(privateKey, publicKey) {
    try {
      return curve.getSharedSecret(privateKey, publicKey);
    } catch (cause) {
      throw weakKeyError(cause);
    }
  },
};

/** Pure JavaScript, anywhere. */
export function nobleCrypto(randomBytes: (n: number) => Uint8Array): Crypto {
  return {
    name: 'noble',
    x25519: nobleX25519,
    aead: nobleAead,
    packet: noblePacketCipher(),
    blake2s: nobleBlake2s,
    randomBytes,
  };
}
