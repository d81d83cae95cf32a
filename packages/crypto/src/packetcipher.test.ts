// Every tier of the packet cipher against RFC 8439, the AEAD of node:crypto and each other.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromBase64, fromHex, toHex, utf8Encode } from '@cove/protocol/bytes';
import { type PacketCipher, packetNonce } from '@cove/protocol/crypto';
import { noblePacketCipher } from '@cove/protocol/nobleciphers';
import fc from 'fast-check';
import { nodeAead, nodeCrypto } from './nodecrypto.ts';
import { WASM_BASE64 } from './wasmbytes.ts';
import { wasmPacketCipher } from './wasmcipher.ts';

declare const WebAssembly: {
  Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer };
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: unknown };
};
const EMPTY = new Uint8Array(0);
const wasm = wasmPacketCipher()!;
const ordinary = (bytes: number): Uint8Array => new Uint8Array(bytes);

interface Tier {
  readonly name: string;
  readonly cipher: PacketCipher;
  /** Where the packets lie. */
  alloc(bytes: number): Uint8Array;
}
const SLAB = wasm.allocSlab(200_000);
const TIERS: readonly Tier[] = [
  { name: 'noble', cipher: noblePacketCipher(), alloc: ordinary },
  { name: 'wasm-simd, ordinary memory', cipher: wasm, alloc: ordinary },
  { name: 'wasm-simd, slab', cipher: wasm, alloc: (bytes) => SLAB.fill(0).subarray(0, bytes) },
];

/** What node:crypto makes of the packet, with its tag. */
function expected(key: Uint8Array, lo: number, hi: number, text: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(12);
  packetNonce(nonce, lo, hi);
  return nodeAead.seal(key, nonce, EMPTY, text);
}

test('the module in the tree is what its source compiles to', async () => {
  const { compile, source } = await import(new URL('../scripts/wasm.mjs', import.meta.url).href);
  const bytes: Uint8Array = await compile();
  assert.equal(toHex(bytes), toHex(fromBase64(WASM_BASE64)));
  assert.equal(
    source(bytes),
    readFileSync(new URL('../src/wasmbytes.ts', import.meta.url), 'utf8'),
  );
});

test('the one-time authenticator agrees with integer arithmetic at its edges (RFC 8439 section 2.5)', async () => {
  const { compile } = await import(new URL('../scripts/wasm.mjs', import.meta.url).href);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = new WebAssembly.Module(await compile('assembly/poly1305.ts'));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const { authenticate } = exports as { authenticate(ptr: number, length: number): void };
  const heap = new Uint8Array(memory.buffer);
  const little = (bytes: Uint8Array): bigint =>
    BigInt(`0x0${toHex(Uint8Array.from(bytes).reverse())}`);
  const tag = (key: Uint8Array, text: Uint8Array): bigint => {
    const r = little(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
    const padded = new Uint8Array(Math.ceil(text.length / 16) * 16 + 16);
    padded.set(text);
    new DataView(padded.buffer).setUint32(padded.length - 8, text.length, true);
    let h = 0n;
    for (let i = 0; i < padded.length; i += 16) {
      h = ((h + little(padded.subarray(i, i + 16)) + (1n << 128n)) * r) % ((1n << 130n) - 5n);
    }
    return (h + little(key.subarray(16, 32))) & ((1n << 128n) - 1n);
  };
  const edge = fc.constantFrom(0x00, 0xff, 0x01, 0xfe, 0xfb, 0x02, 0x04, 0x80, 0xfc, 0x0f);
  const edges = (maxLength: number, minLength = 0): fc.Arbitrary<Uint8Array> =>
    fc
      .oneof(
        fc.array(edge, { minLength, maxLength }),
        fc
          .tuple(edge, fc.nat(maxLength - minLength))
          .map(([byte, n]) => Array(minLength + n).fill(byte)),
        fc.array(fc.nat(255), { minLength, maxLength }),
      )
      .map((bytes) => Uint8Array.from(bytes));
  fc.assert(
    fc.property(edges(16, 16), edges(16, 16), edges(200), (r, s, text) => {
      const key = Uint8Array.from([...r, ...s]);
      heap.set(key, 320);
      heap.set(text, 1024);
      authenticate(1024, text.length);
      assert.equal(little(heap.subarray(832, 848)), tag(key, text));
    }),
    { numRuns: 2000 },
  );
});

test('this machine runs the WebAssembly tier', () => {
  assert.equal(nodeCrypto().name, 'wasm-simd');
  assert.equal(nodeCrypto().packet, wasm);
});

for (const { name, cipher, alloc } of TIERS) {
  test(`${name}: the WireGuard nonce gives the stream of RFC 8439 with a zero first word`, () => {
    // Appendix A.5 has a nonce whose first word is zero: 00000000 0102030405060708, but with associated data;
    // its ciphertext is the same without.
    const key = fromHex('1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0');
    const text = utf8Encode(
      'Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference material or to cite them other than as /“work in progress./”',
    );
    assert.equal(text.length, 265);
    const buf = alloc(300);
    buf.set(text, 3);
    cipher.seal(key, 0x04030201, 0x08070605, buf, 3, text.length);
    assert.equal(
      toHex(buf.subarray(3, 3 + 265)),
      '64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf' +
        '332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4' +
        'b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a' +
        '0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29' +
        'a6ad5cb4022b02709b',
    );
    assert.equal(cipher.open(key, 0x04030201, 0x08070605, buf, 3, 265 + 16), true);
    assert.deepEqual(new Uint8Array(buf.subarray(3, 3 + 265)), text);
  });

  test(`${name}: every length up to 1500 seals and opens as node:crypto does, touching nothing around`, () => {
    const key = randomBytes(32);
    const step = cipher === wasm ? 1 : 7;
    for (let length = 0; length <= 1500; length += step) {
      const offset = length % 5;
      const text = randomBytes(length);
      const sealed = expected(key, length, 0xfffffffe, text);
      const buf = alloc(offset + length + 16 + 40).fill(0xee);
      buf.set(text, offset);
      cipher.seal(key, length, 0xfffffffe, buf, offset, length);
      assert.deepEqual(
        new Uint8Array(buf.subarray(offset, offset + length + 16)),
        sealed,
        `${length}`,
      );
      assert.equal(cipher.open(key, length, 0xfffffffe, buf, offset, length + 16), true);
      assert.deepEqual(Buffer.from(buf.subarray(offset, offset + length)), text);
      assert.ok(buf.subarray(0, offset).every((byte) => byte === 0xee));
      assert.ok(buf.subarray(offset + length + 16).every((byte) => byte === 0xee));
    }
  });

  test(`${name}: long packets and trains seal and open`, () => {
    const key = randomBytes(32);
    for (const length of [2048, 9000, 65535, 65536, 131_000, 150_000]) {
      const text = randomBytes(length);
      const buf = alloc(length + 16);
      buf.set(text);
      cipher.seal(key, 1, 0, buf, 0, length);
      assert.deepEqual(new Uint8Array(buf), expected(key, 1, 0, text));
      assert.equal(cipher.open(key, 1, 0, buf, 0, length + 16), true);
      assert.deepEqual(Buffer.from(buf.subarray(0, length)), text);
    }
  });

  test(`${name}: a single wrong bit anywhere fails the packet and leaves it as it was`, () => {
    const key = randomBytes(32);
    for (const length of [0, 1, 15, 16, 31, 33, 200, 275]) {
      const buf = alloc(length + 16);
      buf.set(randomBytes(length));
      cipher.seal(key, 7, 8, buf, 0, length);
      const sealed = new Uint8Array(buf);
      for (let bit = 0; bit < sealed.length * 8; bit += length > 100 ? 5 : 1) {
        buf[bit >> 3] = buf[bit >> 3]! ^ (1 << (bit & 7));
        const before = new Uint8Array(buf);
        assert.equal(cipher.open(key, 7, 8, buf, 0, length + 16), false);
        assert.deepEqual(new Uint8Array(buf), before);
        buf.set(sealed);
      }
      assert.equal(cipher.open(key, 6, 8, buf, 0, length + 16), false);
      assert.equal(cipher.open(key, 7, 9, buf, 0, length + 16), false);
      assert.equal(cipher.open(randomBytes(32), 7, 8, buf, 0, length + 16), false);
      assert.equal(cipher.open(key, 7, 8, buf, 0, length + 16), true);
    }
  });

  test(`${name}: a packet without room for its tag is refused`, () => {
    const buf = alloc(40);
    const key = randomBytes(32);
    assert.throws(() => cipher.seal(key, 0, 0, buf, 0, 25), RangeError);
    assert.throws(() => cipher.seal(key, 0, 0, buf, 20, 5), RangeError);
    for (let length = 0; length < 16; length++) {
      assert.equal(cipher.open(key, 0, 0, buf, 0, length), false);
    }
    assert.equal(cipher.open(key, 0, 0, buf, 0, 41), false);
    assert.equal(cipher.open(key, 0, 0, buf, 30, 16), false);
  });

  test(`${name}: extreme one-time keys and limbs reduce as in node:crypto`, () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.nat(0xffffffff),
        fc.nat(0xffffffff),
        fc.array(fc.constantFrom(0x00, 0xff, 0xfe, 0x01, 0xfb), { maxLength: 130 }),
        (key, lo, hi, pattern) => {
          // Choose the text so that the ciphertext, which Poly1305 sees, is all such bytes.
          const wanted = Uint8Array.from(pattern);
          const stream = expected(key, lo, hi, new Uint8Array(wanted.length));
          const text = wanted.map((byte, i) => byte ^ stream[i]!);
          const buf = alloc(wanted.length + 16);
          buf.set(text);
          cipher.seal(key, lo, hi, buf, 0, wanted.length);
          assert.deepEqual(new Uint8Array(buf), expected(key, lo, hi, text));
          assert.deepEqual(new Uint8Array(buf.subarray(0, wanted.length)), wanted);
        },
      ),
      { numRuns: 200 },
    );
  });
}

test('after a call neither the session key nor the one-time key is left in the memory', () => {
  const key = randomBytes(32);
  const slab = wasm.allocSlab(64);
  const memory = Buffer.from(slab.buffer);
  wasm.seal(key, 1, 2, slab, 0, 16);
  assert.equal(memory.includes(key), false);
  wasm.open(key, 1, 2, slab, 0, 32);
  wasm.open(key, 1, 3, slab, 0, 32);
  assert.equal(memory.includes(key), false);
  // Where assembly/layout.ts keeps the stream, whose first block is the one-time key.
  assert.equal(
    memory.subarray(320, 352).every((byte) => byte === 0),
    true,
  );
  wasm.freeSlab(slab);
});

test('slabs do not overlap, come zeroed, and their memory returns when freed', () => {
  const first = wasm.allocSlab(1000);
  const second = wasm.allocSlab(1);
  const third = wasm.allocSlab(5000);
  assert.ok(first.byteOffset % 64 === 0 && second.byteOffset % 64 === 0);
  assert.ok(second.byteOffset >= first.byteOffset + 1000);
  assert.ok(third.byteOffset > second.byteOffset);
  first.fill(1);
  third.fill(3);
  const where = first.byteOffset;
  wasm.freeSlab(first);
  wasm.freeSlab(third);
  wasm.freeSlab(second);
  const again = wasm.allocSlab(7000);
  assert.equal(again.byteOffset, where);
  assert.ok(again.every((byte) => byte === 0));
  wasm.freeSlab(again);
  assert.throws(() => wasm.freeSlab(again), RangeError);
  assert.throws(() => wasm.allocSlab(0), RangeError);
  assert.throws(() => wasm.allocSlab(1.5), RangeError);
});

test('when the memory is full a slab is ordinary memory and serves all the same', () => {
  const slab = wasm.allocSlab(32 * 1024 * 1024);
  assert.notEqual(slab.buffer, SLAB.buffer);
  wasm.seal(randomBytes(32), 0, 0, slab, 0, 100);
  wasm.freeSlab(slab);
  assert.ok(slab.every((byte) => byte === 0));
});
