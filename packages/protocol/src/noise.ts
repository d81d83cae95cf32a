// The Noise symmetric state (Noise Protocol Framework revision 34, section 5.2) over 25519, ChaChaPoly and
// BLAKE2s, as the control protocol (IK) and WireGuard (IKpsk2) use it.
//
//   h = ck = HASH(protocol name)      the names in use are longer than 32 bytes
//   MixHash(x)      h = HASH(h || x)
//   MixKey(x)       ck, k = HKDF(ck, x)
//   MixKeyAndHash   ck, t, k = HKDF(ck, psk); MixHash(t)
//   Seal, Open      AEAD(k, nonce 0, ad = h), then MixHash(ciphertext); every k is used once
//   Split           k1, k2 = HKDF(ck, empty)
import type { Aead, Blake2s } from './crypto.ts';

const EMPTY: Uint8Array = new Uint8Array(0);
const ZERO_NONCE: Uint8Array = new Uint8Array(12);
const LONG_NAME: Uint8Array = new Uint8Array(33);
const ONE: Uint8Array = Uint8Array.of(1);
const TWO: Uint8Array = Uint8Array.of(2);
const THREE: Uint8Array = Uint8Array.of(3);

/** HKDF (RFC 5869) with HMAC-BLAKE2s and no info, as Noise 4.3 and the WireGuard paper 5.4 spell it. */
export function hkdf2(blake2s: Blake2s, ck: Uint8Array, ikm: Uint8Array): [Uint8Array, Uint8Array] {
  const secret = blake2s.hmac(ck, ikm);
  const first = blake2s.hmac(secret, ONE);
  return [first, blake2s.hmac(secret, first, TWO)];
}

export function hkdf3(
  blake2s: Blake2s,
  ck: Uint8Array,
  ikm: Uint8Array,
): [Uint8Array, Uint8Array, Uint8Array] {
  const secret = blake2s.hmac(ck, ikm);
  const first = blake2s.hmac(secret, ONE);
  const second = blake2s.hmac(secret, first, TWO);
  return [first, second, blake2s.hmac(secret, second, THREE)];
}

/** One side's running handshake. Arrays handed out are never written to afterwards, except by clear(). */
export class SymmetricState {
  readonly #blake2s: Blake2s;
  readonly #aead: Aead;
  #h: Uint8Array;
  #ck: Uint8Array;
  #k: Uint8Array = EMPTY;

  /** protocolName and prologue as bytes; the name must be longer than 32, which makes it hashed. */
  constructor(blake2s: Blake2s, aead: Aead, protocolName: Uint8Array, prologue: Uint8Array) {
    if (protocolName.length <= 32) throw new RangeError('short Noise protocol names are padded');
    this.#blake2s = blake2s;
    this.#aead = aead;
    this.#ck = blake2s.hash(protocolName);
    this.#h = blake2s.hash(this.#ck, prologue);
  }

  /** h; after the last message, the handshake hash. */
  get hash(): Uint8Array {
    return this.#h;
  }

  get chainingKey(): Uint8Array {
    return this.#ck;
  }

  /** The key of the next seal or open; empty before the first mixKey. */
  get key(): Uint8Array {
    return this.#k;
  }

  /** An independent state that goes on from here. */
  clone(): SymmetricState {
    const copy = new SymmetricState(this.#blake2s, this.#aead, LONG_NAME, EMPTY);
    copy.#h = this.#h;
    copy.#ck = this.#ck.slice();
    copy.#k = this.#k.slice();
    return copy;
  }

  mixHash(data: Uint8Array): void {
    this.#h = this.#blake2s.hash(this.#h, data);
  }

  mixKey(ikm: Uint8Array): void {
    [this.#ck, this.#k] = hkdf2(this.#blake2s, this.#ck, ikm);
  }

  mixKeyAndHash(psk: Uint8Array): void {
    const [ck, temporary, k] = hkdf3(this.#blake2s, this.#ck, psk);
    this.#ck = ck;
    this.#k = k;
    this.mixHash(temporary);
  }

  /** Ciphertext and tag of the plaintext under the current key. */
  seal(plaintext: Uint8Array): Uint8Array {
    const out = this.#aead.seal(this.#k, ZERO_NONCE, this.#h, plaintext);
    this.mixHash(out);
    return out;
  }

  /** undefined when the tag does not fit; the state is then unchanged. */
  open(ciphertext: Uint8Array): Uint8Array | undefined {
    const out = this.#aead.open(this.#k, ZERO_NONCE, this.#h, ciphertext);
    if (out !== undefined) this.mixHash(ciphertext);
    return out;
  }

  /** Transport keys: initiator to responder, responder to initiator. */
  split(): [Uint8Array, Uint8Array] {
    return hkdf2(this.#blake2s, this.#ck, EMPTY);
  }

  /** Overwrites the secrets; the state is of no use afterwards. */
  clear(): void {
    this.#ck.fill(0);
    this.#k.fill(0);
  }
}
