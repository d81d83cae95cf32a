// The primitives every part of the mesh uses, as interfaces that the edge hands in, and the NaCl box made of them.
// The portable implementation is noblecrypto.ts.
//
//   X25519             RFC 7748         Noise, WireGuard, boxes
//   ChaCha20-Poly1305  RFC 8439         Noise records (Aead), WireGuard transport (PacketCipher)
//   BLAKE2s, HMAC      RFC 7693, 2104   handshake hash and HKDF; the keyed mode makes WireGuard's mac1 and mac2
//   NaCl box           X25519, HSalsa20, XSalsa20-Poly1305; 24-byte nonce, tag in front: disco and DERP
import { hsalsa, xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { ProtocolError } from './bytes.ts';

export interface X25519 {
  /** 32-byte public key of a 32-byte private key (clamped inside). */
  publicKey(privateKey: Uint8Array): Uint8Array;
  /** 32-byte shared secret. Throws ProtocolError ERR_WEAK_KEY when it is all zero (RFC 7748 section 6.1). */
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array;
}

/** ChaCha20-Poly1305 on whole messages; results are new arrays, the 16-byte tag comes last. */
export interface Aead {
  seal(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** undefined when the tag does not fit or there is no room for one. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    ad: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | undefined;
}

/**
 * ChaCha20-Poly1305 for WireGuard transport data, in place: nonce = 4 zero bytes and the 64-bit counter in
 * little endian, no associated data. The counter comes as two unsigned 32-bit halves.
 */
export interface PacketCipher {
  /** Encrypts buf[offset, offset + length) in place and writes the 16-byte tag right behind it. */
  seal(
    key: Uint8Array,
    counterLo: number,
    counterHi: number,
    buf: Uint8Array,
    offset: number,
    length: number,
  ): void;
  /**
   * Decrypts in place; length counts the tag. False when the tag does not fit or length < 16: then buf is
   * unchanged.
   */
  open(
    key: Uint8Array,
    counterLo: number,
    counterHi: number,
    buf: Uint8Array,
    offset: number,
    length: number,
  ): boolean;
}

export interface Blake2s {
  /** 32-byte hash of the parts one after the other. */
  hash(...parts: readonly Uint8Array[]): Uint8Array;
  /** HMAC (RFC 2104) over BLAKE2s-256, not the keyed mode. */
  hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** The keyed mode, key of 1 to 32 bytes. */
  keyed(key: Uint8Array, outputLength: 16 | 32, ...parts: readonly Uint8Array[]): Uint8Array;
}

export interface Crypto {
  /** Names the tier, for status output: `noble`, `wasm-simd`, ... */
  readonly name: string;
  readonly x25519: X25519;
  readonly aead: Aead;
  readonly packet: PacketCipher;
  readonly blake2s: Blake2s;
  /** n cryptographically strong bytes in a new array. */
  randomBytes(n: number): Uint8Array;
}

export const TAG_LENGTH = 16;
export const BOX_NONCE_LENGTH = 24;

export function weakKeyError(cause?: unknown): ProtocolError {
  return new ProtocolError('ERR_WEAK_KEY', 'X25519 result is zero or the key is unusable', {
    cause,
  });
}

/** The 12-byte nonce of a WireGuard transport counter, written into out. */
export function packetNonce(out: Uint8Array, counterLo: number, counterHi: number): void {
  out[4] = counterLo;
  out[5] = counterLo >>> 8;
  out[6] = counterLo >>> 16;
  out[7] = counterLo >>> 24;
  out[8] = counterHi;
  out[9] = counterHi >>> 8;
  out[10] = counterHi >>> 16;
  out[11] = counterHi >>> 24;
}

function words(bytes: Uint8Array): Uint32Array {
  const copy = new Uint8Array(bytes);
  return new Uint32Array(copy.buffer);
}

const SIGMA: Uint32Array = words(new TextEncoder().encode('expand 32-byte k'));
const ZERO_INPUT: Uint32Array = new Uint32Array(4);

/**
 * NaCl's beforenm: HSalsa20(X25519(private, public), 16 zero bytes). Cache it per pair of keys. Throws
 * ERR_WEAK_KEY.
 */
export function boxSharedKey(
  x25519: X25519,
  privateKey: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array {
  const out = new Uint32Array(8);
  hsalsa(SIGMA, words(x25519.sharedSecret(privateKey, publicKey)), ZERO_INPUT, out);
  return new Uint8Array(out.buffer);
}

/** 16-byte tag, then the ciphertext. The 24-byte nonce must be fresh and random. */
export function sealBox(
  sharedKey: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return xsalsa20poly1305(sharedKey, nonce).encrypt(plaintext);
}

/** undefined when the box was not sealed with this key and nonce; a nonce of the wrong length is the same. */
export function openBox(
  sharedKey: Uint8Array,
  nonce: Uint8Array,
  box: Uint8Array,
): Uint8Array | undefined {
  if (nonce.length !== BOX_NONCE_LENGTH || box.length < TAG_LENGTH) return undefined;
  try {
    return xsalsa20poly1305(sharedKey, nonce).decrypt(box);
  } catch {
    return undefined;
  }
}
