// ChaCha20-Poly1305 (RFC 8439) for WireGuard transport packets, in place in the module's memory: nonce of 4 zero
// bytes and the 64-bit counter, no associated data, tag behind the text. The caller puts the key at KEY before
// each call; it and the one-time key are wiped on return.
import { blocks2, blocks4 } from './chacha20';
import { KEY, STREAM, TAG, TAIL, ZEROS } from './layout';
import { authenticate } from './poly1305';

/** A packet up to this long needs one block beside the one-time key's. */
const SHORT: u32 = 64;
/** What four blocks leave beside it. */
const FIRST: u32 = 192;

/** The one-time key and the stream that follows it, as much as the packet may need at once. */
function begin(length: u32, lo: u32, hi: u32): void {
  if (length <= SHORT) blocks2(STREAM, ZEROS, 0, lo, hi);
  else blocks4(STREAM, ZEROS, 0, lo, hi);
}

function crypt(ptr: usize, length: u32, lo: u32, hi: u32): void {
  const first = min<u32>(length, FIRST);
  const whole = first & ~15;
  for (let i: u32 = 0; i < whole; i += 16) {
    v128.store(ptr + i, v128.xor(v128.load(ptr + i), v128.load(STREAM + 64 + i)));
  }
  for (let i: u32 = whole; i < first; i++) {
    store<u8>(ptr + i, load<u8>(ptr + i) ^ load<u8>(STREAM + 64 + i));
  }
  ptr += first;
  let left = length - first;
  let counter: u32 = 4;
  while (left >= 256) {
    blocks4(ptr, ptr, counter, lo, hi);
    ptr += 256;
    left -= 256;
    counter += 4;
  }
  if (left > 0) {
    memory.copy(TAIL, ptr, left);
    if (left <= 128) blocks2(TAIL, TAIL, counter, lo, hi);
    else blocks4(TAIL, TAIL, counter, lo, hi);
    memory.copy(ptr, TAIL, left);
  }
}

function wipe(): void {
  const zero = i64x2.splat(0);
  v128.store(KEY, zero);
  v128.store(KEY, zero, 16);
  v128.store(STREAM, zero);
  v128.store(STREAM, zero, 16);
}

/** Encrypts length bytes at ptr and writes the tag behind them. */
export function seal(ptr: usize, length: u32, lo: u32, hi: u32): void {
  begin(length, lo, hi);
  crypt(ptr, length, lo, hi);
  authenticate(ptr, length);
  v128.store(ptr + length, v128.load(TAG));
  wipe();
}

/** Decrypts length bytes at ptr if the tag behind them fits; otherwise returns 0 and touches nothing. */
export function open(ptr: usize, length: u32, lo: u32, hi: u32): u32 {
  begin(length, lo, hi);
  authenticate(ptr, length);
  const differs = v128.any_true(v128.xor(v128.load(TAG), v128.load(ptr + length)));
  if (!differs) crypt(ptr, length, lo, hi);
  wipe();
  return differs ? 0 : 1;
}
