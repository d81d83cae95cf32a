// XChaCha20-Poly1305 with a 24-byte nonce (draft-irtf-cfrg-xchacha-03), for cookie replies only: HChaCha20 makes a
// subkey of key and nonce[0, 16), ChaCha20-Poly1305 then runs with the nonce 4 zero bytes ++ nonce[16, 24).
import type { Aead } from '@cove/protocol/crypto';
import { readU32, writeU32 } from './messages.ts';

/** "expand 32-byte k" */
const SIGMA: readonly number[] = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];

function rotl(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function quarterRound(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  x[a] = x[a]! + x[b]!;
  x[d] = rotl(x[d]! ^ x[a]!, 16);
  x[c] = x[c]! + x[d]!;
  x[b] = rotl(x[b]! ^ x[c]!, 12);
  x[a] = x[a]! + x[b]!;
  x[d] = rotl(x[d]! ^ x[a]!, 8);
  x[c] = x[c]! + x[d]!;
  x[b] = rotl(x[b]! ^ x[c]!, 7);
}

/** Section 2.2: the ChaCha20 rounds without the final addition; first and last row are the 32-byte subkey. */
export function hchacha20(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  const x = new Uint32Array(16);
  for (let i = 0; i < 4; i++) {
    x[i] = SIGMA[i]!;
    x[12 + i] = readU32(nonce, 4 * i);
  }
  for (let i = 0; i < 8; i++) x[4 + i] = readU32(key, 4 * i);
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarterRound(x, i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) {
      quarterRound(x, i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3));
    }
  }
  const out = new Uint8Array(32);
  for (let i = 0; i < 4; i++) {
    writeU32(out, 4 * i, x[i]!);
    writeU32(out, 16 + 4 * i, x[12 + i]!);
  }
  return out;
}

function innerNonce(nonce: Uint8Array): Uint8Array {
  const out = new Uint8Array(12);
  out.set(nonce.subarray(16, 24), 4);
  return out;
}

/** Ciphertext and 16-byte tag. */
export function xsealed(
  aead: Aead,
  key: Uint8Array,
  nonce: Uint8Array,
  ad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return aead.seal(hchacha20(key, nonce), innerNonce(nonce), ad, plaintext);
}

/** undefined when the tag does not fit. */
export function xopened(
  aead: Aead,
  key: Uint8Array,
  nonce: Uint8Array,
  ad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  return aead.open(hchacha20(key, nonce), innerNonce(nonce), ad, ciphertext);
}
