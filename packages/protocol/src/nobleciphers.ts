// ChaCha20-Poly1305 (RFC 8439) and BLAKE2s (RFC 7693) on @noble. Apart from the curve, which weighs more than all the
// rest and which no edge with a faster one has to load.
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { blake2s as blake2sHash } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { type Aead, type Blake2s, type PacketCipher, packetNonce, TAG_LENGTH } from './crypto.ts';

export const nobleAead: Aead = {
  seal: (key, nonce, ad, plaintext) => chacha20poly1305(key, nonce, ad).encrypt(plaintext),
  open(key, nonce, ad, ciphertext) {
    if (ciphertext.length < TAG_LENGTH) return undefined;
    try {
      return chacha20poly1305(key, nonce, ad).decrypt(ciphertext);
    } catch {
      return undefined;
    }
  },
};

/** A cipher with scratch of its own; one serves any number of sessions. */
export function noblePacketCipher(): PacketCipher {
  const nonce = new Uint8Array(12);
  return {
    seal(key, counterLo, counterHi, buf, offset, length) {
      packetNonce(nonce, counterLo, counterHi);
      const text = buf.subarray(offset, offset + length);
      const sealed = buf.subarray(offset, offset + length + TAG_LENGTH);
      if (sealed.length !== length + TAG_LENGTH) throw new RangeError('no room for the tag');
      chacha20poly1305(key, nonce).encrypt(text, sealed);
    },
    open(key, counterLo, counterHi, buf, offset, length) {
      if (length < TAG_LENGTH || offset + length > buf.length) return false;
      packetNonce(nonce, counterLo, counterHi);
      const sealed = buf.subarray(offset, offset + length);
      const text = buf.subarray(offset, offset + length - TAG_LENGTH);
      try {
        chacha20poly1305(key, nonce).decrypt(sealed, text);
        return true;
      } catch {
        return false;
      }
    },
  };
}

export const nobleBlake2s: Blake2s = {
  hash(...parts) {
    const state = blake2sHash.create();
    for (const part of parts) state.update(part);
    return state.digest();
  },
  hmac(key, ...parts) {
    const state = hmac.create(blake2sHash, key);
    for (const part of parts) state.update(part);
    return state.digest();
  },
  keyed(key, outputLength, ...parts) {
    const state = blake2sHash.create({ key, dkLen: outputLength });
    for (const part of parts) state.update(part);
    return state.digest();
  },
};
