// Poly1305 (RFC 8439 section 2.5) in five limbs of 26 bits. Two accumulators take alternate blocks: lane 0 the
// even ones, lane 1 the odd ones, each multiplied by r^2 per step; at the end lane 0 is multiplied by r^2, lane 1
// by r, and the lanes are added. What is left of the message, fewer than two blocks, and the length block go
// through the same arithmetic in scalars.
//
// Bounds: limbs are below 2^26 + 2^11 after a carry and below 2^27 + 2^11 with a block added; factors are below
// 2^26, five times that below 2^29; sums of five products stay below 2^59.
import { STREAM, TAG } from './layout';

const MASK: u64 = 0x3ffffff;
/** The bit above the 16 bytes of a block; a padded block has it in the same place (RFC 8439 section 2.8). */
const HIGH_BIT: u64 = 1 << 24;

// The scalar accumulator and r.
let h0: u64 = 0;
let h1: u64 = 0;
let h2: u64 = 0;
let h3: u64 = 0;
let h4: u64 = 0;
let r0: u64 = 0;
let r1: u64 = 0;
let r2: u64 = 0;
let r3: u64 = 0;
let r4: u64 = 0;

/** h = h * r, carried. */
function multiply(): void {
  const s1 = r1 * 5;
  const s2 = r2 * 5;
  const s3 = r3 * 5;
  const s4 = r4 * 5;
  const d0 = h0 * r0 + h1 * s4 + h2 * s3 + h3 * s2 + h4 * s1;
  let d1 = h0 * r1 + h1 * r0 + h2 * s4 + h3 * s3 + h4 * s2;
  let d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s4 + h4 * s3;
  let d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s4;
  let d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0;
  d1 += d0 >> 26;
  d2 += d1 >> 26;
  d3 += d2 >> 26;
  d4 += d3 >> 26;
  const low = (d0 & MASK) + (d4 >> 26) * 5;
  h0 = low & MASK;
  h1 = (d1 & MASK) + (low >> 26);
  h2 = d2 & MASK;
  h3 = d3 & MASK;
  h4 = d4 & MASK;
}

/** Adds the block with these halves and multiplies. */
function block(lo: u64, hi: u64): void {
  h0 += lo & MASK;
  h1 += (lo >> 26) & MASK;
  h2 += ((lo >> 52) | (hi << 12)) & MASK;
  h3 += (hi >> 14) & MASK;
  h4 += (hi >> 40) | HIGH_BIT;
  multiply();
}

/** Both lanes the same; the upper half repeats them so that either half of a packed pair finds its factor. */
function both(limb: u64): v128 {
  return i32x4.splat(<u32>limb);
}

/** Lane 0 from one limb, lane 1 from another, repeated as above. */
function lanes(even: u64, odd: u64): v128 {
  return i64x2.splat(even | (odd << 32));
}

/** Takes pairs (at least 1) of 32 bytes from ptr on; h must be zero and ends up holding their sum. */
function vectors(ptr: usize, pairs: u32): void {
  const keep0 = r0;
  const keep1 = r1;
  const keep2 = r2;
  const keep3 = r3;
  const keep4 = r4;
  h0 = keep0;
  h1 = keep1;
  h2 = keep2;
  h3 = keep3;
  h4 = keep4;
  multiply();
  let f0 = both(h0);
  let f1 = both(h1);
  let f2 = both(h2);
  let f3 = both(h3);
  let f4 = both(h4);
  let g1 = both(h1 * 5);
  let g2 = both(h2 * 5);
  let g3 = both(h3 * 5);
  let g4 = both(h4 * 5);
  const mask = i64x2.splat(MASK);
  const high = i64x2.splat(HIGH_BIT);
  let d0 = i64x2.splat(0);
  let d1 = d0;
  let d2 = d0;
  let d3 = d0;
  let d4 = d0;
  let carry = d0;
  while (true) {
    const first = v128.load(ptr);
    const second = v128.load(ptr, 16);
    const lo = i64x2.shuffle(first, second, 0, 2);
    const hi = i64x2.shuffle(first, second, 1, 3);
    d0 = i64x2.add(d0, v128.and(lo, mask));
    d1 = i64x2.add(d1, v128.and(i64x2.shr_u(lo, 26), mask));
    d2 = i64x2.add(d2, v128.and(v128.or(i64x2.shr_u(lo, 52), i64x2.shl(hi, 12)), mask));
    d3 = i64x2.add(d3, v128.and(i64x2.shr_u(hi, 14), mask));
    d4 = i64x2.add(d4, v128.or(i64x2.shr_u(hi, 40), high));
    // Two limbs of both lanes per vector: low half and high half feed extmul_low and extmul_high.
    const h01 = i32x4.shuffle(d0, d1, 0, 2, 4, 6);
    const h23 = i32x4.shuffle(d2, d3, 0, 2, 4, 6);
    const h44 = i32x4.shuffle(d4, d4, 0, 2, 4, 6);
    ptr += 32;
    pairs--;
    if (pairs === 0) {
      // The last multiplication: r^2 for lane 0, r for lane 1.
      f0 = lanes(h0, keep0);
      f1 = lanes(h1, keep1);
      f2 = lanes(h2, keep2);
      f3 = lanes(h3, keep3);
      f4 = lanes(h4, keep4);
      g1 = lanes(h1 * 5, keep1 * 5);
      g2 = lanes(h2 * 5, keep2 * 5);
      g3 = lanes(h3 * 5, keep3 * 5);
      g4 = lanes(h4 * 5, keep4 * 5);
    }
    d0 = sum(low(h01, f0), upper(h01, g4), low(h23, g3), upper(h23, g2), low(h44, g1));
    d1 = sum(low(h01, f1), upper(h01, f0), low(h23, g4), upper(h23, g3), low(h44, g2));
    d2 = sum(low(h01, f2), upper(h01, f1), low(h23, f0), upper(h23, g4), low(h44, g3));
    d3 = sum(low(h01, f3), upper(h01, f2), low(h23, f1), upper(h23, f0), low(h44, g4));
    d4 = sum(low(h01, f4), upper(h01, f3), low(h23, f2), upper(h23, f1), low(h44, f0));
    // Two chains side by side: 0-1-2-3-4 and 3-4-0-1.
    carry = i64x2.shr_u(d0, 26);
    d0 = v128.and(d0, mask);
    d1 = i64x2.add(d1, carry);
    carry = i64x2.shr_u(d3, 26);
    d3 = v128.and(d3, mask);
    d4 = i64x2.add(d4, carry);
    carry = i64x2.shr_u(d1, 26);
    d1 = v128.and(d1, mask);
    d2 = i64x2.add(d2, carry);
    carry = i64x2.shr_u(d4, 26);
    d4 = v128.and(d4, mask);
    d0 = i64x2.add(d0, i64x2.add(carry, i64x2.shl(carry, 2)));
    carry = i64x2.shr_u(d2, 26);
    d2 = v128.and(d2, mask);
    d3 = i64x2.add(d3, carry);
    carry = i64x2.shr_u(d0, 26);
    d0 = v128.and(d0, mask);
    d1 = i64x2.add(d1, carry);
    carry = i64x2.shr_u(d3, 26);
    d3 = v128.and(d3, mask);
    d4 = i64x2.add(d4, carry);
    if (pairs === 0) break;
  }
  h0 = both64(d0);
  h1 = both64(d1);
  h2 = both64(d2);
  h3 = both64(d3);
  h4 = both64(d4);
}

function low(a: v128, b: v128): v128 {
  return i64x2.extmul_low_i32x4_u(a, b);
}

function upper(a: v128, b: v128): v128 {
  return i64x2.extmul_high_i32x4_u(a, b);
}

function sum(a: v128, b: v128, c: v128, d: v128, e: v128): v128 {
  return i64x2.add(i64x2.add(i64x2.add(a, b), i64x2.add(c, d)), e);
}

/** The sum of both lanes. */
function both64(v: v128): u64 {
  return i64x2.extract_lane(v, 0) + i64x2.extract_lane(v, 1);
}

/**
 * The tag of RFC 8439 section 2.8 without associated data over the ciphertext at ptr, written to TAG. The
 * one-time key is the first 32 bytes of STREAM.
 */
export function authenticate(ptr: usize, length: u32): void {
  const keyLo = load<u64>(STREAM);
  const keyHi = load<u64>(STREAM, 8);
  // Clamped as section 2.5 says, limb by limb.
  r0 = keyLo & 0x3ffffff;
  r1 = (keyLo >> 26) & 0x3ffff03;
  r2 = ((keyLo >> 52) | (keyHi << 12)) & 0x3ffc0ff;
  r3 = (keyHi >> 14) & 0x3f03fff;
  r4 = (keyHi >> 40) & 0x00fffff;
  h0 = 0;
  h1 = 0;
  h2 = 0;
  h3 = 0;
  h4 = 0;
  const pairs = length >> 5;
  if (pairs > 0) vectors(ptr, pairs);
  ptr += pairs << 5;
  let left = length & 31;
  if (left >= 16) {
    block(load<u64>(ptr), load<u64>(ptr, 8));
    ptr += 16;
    left -= 16;
  }
  if (left > 0) {
    store<u64>(TAG, 0);
    store<u64>(TAG, 0, 8);
    for (let i: u32 = 0; i < left; i++) store<u8>(TAG + i, load<u8>(ptr + i));
    block(load<u64>(TAG), load<u64>(TAG, 8));
  }
  block(0, length);
  finish();
}

/** Reduces h below 2^130 - 5 without a branch, adds the second half of the key and writes the tag. */
function finish(): void {
  let carry = h1 >> 26;
  h1 &= MASK;
  h2 += carry;
  carry = h2 >> 26;
  h2 &= MASK;
  h3 += carry;
  carry = h3 >> 26;
  h3 &= MASK;
  h4 += carry;
  carry = h4 >> 26;
  h4 &= MASK;
  h0 += carry * 5;
  carry = h0 >> 26;
  h0 &= MASK;
  h1 += carry;
  h2 += h1 >> 26;
  h1 &= MASK;
  h3 += h2 >> 26;
  h2 &= MASK;
  h4 += h3 >> 26;
  h3 &= MASK;
  // h - p = h + 5 - 2^130; kept when it is not negative.
  const g0 = h0 + 5;
  const g1 = h1 + (g0 >> 26);
  const g2 = h2 + (g1 >> 26);
  const g3 = h3 + (g2 >> 26);
  const g4 = h4 + (g3 >> 26) - (1 << 26);
  const negative = <u64>(<i64>g4 >> 63);
  h0 = (h0 & negative) | (g0 & MASK & ~negative);
  h1 = (h1 & negative) | (g1 & MASK & ~negative);
  h2 = (h2 & negative) | (g2 & MASK & ~negative);
  h3 = (h3 & negative) | (g3 & MASK & ~negative);
  h4 = (h4 & negative) | (g4 & MASK & ~negative);
  const lo = h0 + (h1 << 26) + (h2 << 52);
  const hi = (h2 >> 12) + (h3 << 14) + (h4 << 40);
  const tagLo = lo + load<u64>(STREAM, 16);
  const overflow = <u64>(tagLo < lo);
  store<u64>(TAG, tagLo);
  store<u64>(TAG, hi + load<u64>(STREAM, 24) + overflow, 8);
  r0 = 0;
  r1 = 0;
  r2 = 0;
  r3 = 0;
  r4 = 0;
}
