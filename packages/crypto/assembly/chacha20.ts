// ChaCha20 (RFC 8439 section 2.4). Four blocks at a time: one vector per state word, one lane per block; after the
// rounds, 4x4 transposes turn words back into blocks. For what is short, two blocks at a time: one vector per row
// of a block, turned for the diagonal rounds; this takes little more than half the time.
import { KEY } from './layout';

// A swizzle with a constant stays one byte shuffle on x64; the shuffle instruction, shifts and ors come out slower.
function rot16(v: v128): v128 {
  return i8x16.swizzle(v, i8x16(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

function rot8(v: v128): v128 {
  return i8x16.swizzle(v, i8x16(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
}

function rot12(v: v128): v128 {
  return v128.or(i32x4.shl(v, 12), i32x4.shr_u(v, 20));
}

function rot7(v: v128): v128 {
  return v128.or(i32x4.shl(v, 7), i32x4.shr_u(v, 25));
}

/** Writes dst = src ^ stream for words 4g to 4g+3 of each of the four blocks. */
function xorGroup(dst: usize, src: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = i32x4.shuffle(a, b, 0, 4, 1, 5);
  const cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const ef = i32x4.shuffle(a, b, 2, 6, 3, 7);
  const gh = i32x4.shuffle(c, d, 2, 6, 3, 7);
  v128.store(dst, v128.xor(v128.load(src), i64x2.shuffle(ab, cd, 0, 2)));
  v128.store(dst, v128.xor(v128.load(src, 64), i64x2.shuffle(ab, cd, 1, 3)), 64);
  v128.store(dst, v128.xor(v128.load(src, 128), i64x2.shuffle(ef, gh, 0, 2)), 128);
  v128.store(dst, v128.xor(v128.load(src, 192), i64x2.shuffle(ef, gh, 1, 3)), 192);
}

/**
 * dst = src ^ the 256 bytes of stream from block `counter` on, under the key at KEY and the nonce of 4 zero
 * bytes and the two halves. dst may be src.
 */
export function blocks4(dst: usize, src: usize, counter: u32, nonceLo: u32, nonceHi: u32): void {
  const counters = i32x4.add(i32x4.splat(counter), i32x4(0, 1, 2, 3));
  let x0 = i32x4.splat(0x61707865);
  let x1 = i32x4.splat(0x3320646e);
  let x2 = i32x4.splat(0x79622d32);
  let x3 = i32x4.splat(0x6b206574);
  let x4 = v128.load32_splat(KEY, 0);
  let x5 = v128.load32_splat(KEY, 4);
  let x6 = v128.load32_splat(KEY, 8);
  let x7 = v128.load32_splat(KEY, 12);
  let x8 = v128.load32_splat(KEY, 16);
  let x9 = v128.load32_splat(KEY, 20);
  let x10 = v128.load32_splat(KEY, 24);
  let x11 = v128.load32_splat(KEY, 28);
  let x12 = counters;
  let x13 = i32x4.splat(0);
  let x14 = i32x4.splat(nonceLo);
  let x15 = i32x4.splat(nonceHi);
  for (let i = 0; i < 10; i++) {
    // Columns.
    x0 = i32x4.add(x0, x4);
    x1 = i32x4.add(x1, x5);
    x2 = i32x4.add(x2, x6);
    x3 = i32x4.add(x3, x7);
    x12 = rot16(v128.xor(x12, x0));
    x13 = rot16(v128.xor(x13, x1));
    x14 = rot16(v128.xor(x14, x2));
    x15 = rot16(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12);
    x9 = i32x4.add(x9, x13);
    x10 = i32x4.add(x10, x14);
    x11 = i32x4.add(x11, x15);
    x4 = rot12(v128.xor(x4, x8));
    x5 = rot12(v128.xor(x5, x9));
    x6 = rot12(v128.xor(x6, x10));
    x7 = rot12(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x4);
    x1 = i32x4.add(x1, x5);
    x2 = i32x4.add(x2, x6);
    x3 = i32x4.add(x3, x7);
    x12 = rot8(v128.xor(x12, x0));
    x13 = rot8(v128.xor(x13, x1));
    x14 = rot8(v128.xor(x14, x2));
    x15 = rot8(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12);
    x9 = i32x4.add(x9, x13);
    x10 = i32x4.add(x10, x14);
    x11 = i32x4.add(x11, x15);
    x4 = rot7(v128.xor(x4, x8));
    x5 = rot7(v128.xor(x5, x9));
    x6 = rot7(v128.xor(x6, x10));
    x7 = rot7(v128.xor(x7, x11));
    // Diagonals.
    x0 = i32x4.add(x0, x5);
    x1 = i32x4.add(x1, x6);
    x2 = i32x4.add(x2, x7);
    x3 = i32x4.add(x3, x4);
    x15 = rot16(v128.xor(x15, x0));
    x12 = rot16(v128.xor(x12, x1));
    x13 = rot16(v128.xor(x13, x2));
    x14 = rot16(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15);
    x11 = i32x4.add(x11, x12);
    x8 = i32x4.add(x8, x13);
    x9 = i32x4.add(x9, x14);
    x5 = rot12(v128.xor(x5, x10));
    x6 = rot12(v128.xor(x6, x11));
    x7 = rot12(v128.xor(x7, x8));
    x4 = rot12(v128.xor(x4, x9));
    x0 = i32x4.add(x0, x5);
    x1 = i32x4.add(x1, x6);
    x2 = i32x4.add(x2, x7);
    x3 = i32x4.add(x3, x4);
    x15 = rot8(v128.xor(x15, x0));
    x12 = rot8(v128.xor(x12, x1));
    x13 = rot8(v128.xor(x13, x2));
    x14 = rot8(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15);
    x11 = i32x4.add(x11, x12);
    x8 = i32x4.add(x8, x13);
    x9 = i32x4.add(x9, x14);
    x5 = rot7(v128.xor(x5, x10));
    x6 = rot7(v128.xor(x6, x11));
    x7 = rot7(v128.xor(x7, x8));
    x4 = rot7(v128.xor(x4, x9));
  }
  x0 = i32x4.add(x0, i32x4.splat(0x61707865));
  x1 = i32x4.add(x1, i32x4.splat(0x3320646e));
  x2 = i32x4.add(x2, i32x4.splat(0x79622d32));
  x3 = i32x4.add(x3, i32x4.splat(0x6b206574));
  x4 = i32x4.add(x4, v128.load32_splat(KEY, 0));
  x5 = i32x4.add(x5, v128.load32_splat(KEY, 4));
  x6 = i32x4.add(x6, v128.load32_splat(KEY, 8));
  x7 = i32x4.add(x7, v128.load32_splat(KEY, 12));
  x8 = i32x4.add(x8, v128.load32_splat(KEY, 16));
  x9 = i32x4.add(x9, v128.load32_splat(KEY, 20));
  x10 = i32x4.add(x10, v128.load32_splat(KEY, 24));
  x11 = i32x4.add(x11, v128.load32_splat(KEY, 28));
  x12 = i32x4.add(x12, counters);
  x14 = i32x4.add(x14, i32x4.splat(nonceLo));
  x15 = i32x4.add(x15, i32x4.splat(nonceHi));
  xorGroup(dst, src, x0, x1, x2, x3);
  xorGroup(dst + 16, src + 16, x4, x5, x6, x7);
  xorGroup(dst + 32, src + 32, x8, x9, x10, x11);
  xorGroup(dst + 48, src + 48, x12, x13, x14, x15);
}

function turn1(v: v128): v128 {
  return i32x4.shuffle(v, v, 1, 2, 3, 0);
}

function turn2(v: v128): v128 {
  return i32x4.shuffle(v, v, 2, 3, 0, 1);
}

function turn3(v: v128): v128 {
  return i32x4.shuffle(v, v, 3, 0, 1, 2);
}

/** As blocks4, for 128 bytes. */
export function blocks2(dst: usize, src: usize, counter: u32, nonceLo: u32, nonceHi: u32): void {
  const a = i32x4(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
  const b = v128.load(KEY);
  const c = v128.load(KEY, 16);
  const nonce = i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(0), 2, nonceLo), 3, nonceHi);
  const first = i32x4.replace_lane(nonce, 0, counter);
  const second = i32x4.replace_lane(nonce, 0, counter + 1);
  let a0 = a;
  let b0 = b;
  let c0 = c;
  let d0 = first;
  let a1 = a;
  let b1 = b;
  let c1 = c;
  let d1 = second;
  for (let i = 0; i < 10; i++) {
    a0 = i32x4.add(a0, b0);
    a1 = i32x4.add(a1, b1);
    d0 = rot16(v128.xor(d0, a0));
    d1 = rot16(v128.xor(d1, a1));
    c0 = i32x4.add(c0, d0);
    c1 = i32x4.add(c1, d1);
    b0 = rot12(v128.xor(b0, c0));
    b1 = rot12(v128.xor(b1, c1));
    a0 = i32x4.add(a0, b0);
    a1 = i32x4.add(a1, b1);
    d0 = rot8(v128.xor(d0, a0));
    d1 = rot8(v128.xor(d1, a1));
    c0 = i32x4.add(c0, d0);
    c1 = i32x4.add(c1, d1);
    b0 = rot7(v128.xor(b0, c0));
    b1 = rot7(v128.xor(b1, c1));
    b0 = turn1(b0);
    b1 = turn1(b1);
    c0 = turn2(c0);
    c1 = turn2(c1);
    d0 = turn3(d0);
    d1 = turn3(d1);
    a0 = i32x4.add(a0, b0);
    a1 = i32x4.add(a1, b1);
    d0 = rot16(v128.xor(d0, a0));
    d1 = rot16(v128.xor(d1, a1));
    c0 = i32x4.add(c0, d0);
    c1 = i32x4.add(c1, d1);
    b0 = rot12(v128.xor(b0, c0));
    b1 = rot12(v128.xor(b1, c1));
    a0 = i32x4.add(a0, b0);
    a1 = i32x4.add(a1, b1);
    d0 = rot8(v128.xor(d0, a0));
    d1 = rot8(v128.xor(d1, a1));
    c0 = i32x4.add(c0, d0);
    c1 = i32x4.add(c1, d1);
    b0 = rot7(v128.xor(b0, c0));
    b1 = rot7(v128.xor(b1, c1));
    b0 = turn3(b0);
    b1 = turn3(b1);
    c0 = turn2(c0);
    c1 = turn2(c1);
    d0 = turn1(d0);
    d1 = turn1(d1);
  }
  v128.store(dst, v128.xor(v128.load(src), i32x4.add(a0, a)));
  v128.store(dst, v128.xor(v128.load(src, 16), i32x4.add(b0, b)), 16);
  v128.store(dst, v128.xor(v128.load(src, 32), i32x4.add(c0, c)), 32);
  v128.store(dst, v128.xor(v128.load(src, 48), i32x4.add(d0, first)), 48);
  v128.store(dst, v128.xor(v128.load(src, 64), i32x4.add(a1, a)), 64);
  v128.store(dst, v128.xor(v128.load(src, 80), i32x4.add(b1, b)), 80);
  v128.store(dst, v128.xor(v128.load(src, 96), i32x4.add(c1, c)), 96);
  v128.store(dst, v128.xor(v128.load(src, 112), i32x4.add(d1, second)), 112);
}
