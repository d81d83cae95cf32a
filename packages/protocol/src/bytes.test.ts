import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  concat,
  equalBytes,
  fromBase64,
  fromHex,
  ProtocolError,
  Reader,
  toBase64,
  toHex,
  utf8Decode,
  utf8DecodeLossy,
  utf8Encode,
  Writer,
} from './bytes.ts';

const refused = (code: string) => (error: unknown) =>
  error instanceof ProtocolError && error.code === code;

test('a writer and a reader agree on every width and byte order', () => {
  const bytes = new Writer(1)
    .u8(0x01)
    .u16(0x0203)
    .u32(0x04050607)
    .u16le(0x0908)
    .u32le(0x0d0c0b0a)
    .u64(0x0e0f101112131415n)
    .bytes(Uint8Array.of(0x16, 0x17))
    .finish();
  assert.equal(toHex(bytes), '0102030405060708090a0b0c0d0e0f1011121314151617');
  // A view in the middle of a larger buffer reads the same.
  const reader = new Reader(concat(Uint8Array.of(9), bytes, Uint8Array.of(9)).subarray(1, 24));
  assert.equal(reader.u8(), 1);
  assert.equal(reader.u16(), 0x0203);
  assert.equal(reader.u32(), 0x04050607);
  assert.equal(reader.u16le(), 0x0908);
  assert.equal(reader.u32le(), 0x0d0c0b0a);
  assert.equal(reader.u64(), 0x0e0f101112131415n);
  assert.equal(reader.position, 21);
  assert.equal(toHex(reader.rest()), '1617');
  assert.equal(reader.remaining, 0);
});

test('a read past the end throws ERR_TRUNCATED and moves nothing', () => {
  const reader = new Reader(Uint8Array.of(1, 2, 3));
  for (const read of [
    () => reader.u32(),
    () => reader.u32le(),
    () => reader.u64(),
    () => reader.bytes(4),
    () => reader.bytes(-1),
    () => reader.skip(4),
  ]) {
    assert.throws(read, refused('ERR_TRUNCATED'));
    assert.equal(reader.position, 0);
  }
  assert.equal(reader.bytes(3).length, 3);
  assert.throws(() => reader.u8(), refused('ERR_TRUNCATED'));
});

test('hex goes both ways, in either case', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.deepEqual(fromHex(toHex(bytes)), bytes);
      assert.deepEqual(fromHex(toHex(bytes).toUpperCase()), bytes);
    }),
  );
  for (const bad of ['0', 'zz', '0x00', ' 00', '0é']) {
    assert.throws(() => fromHex(bad), refused('ERR_MALFORMED'));
  }
});

test('base64 is that of node:buffer, both ways', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const text = Buffer.from(bytes).toString('base64');
      assert.equal(toBase64(bytes), text);
      assert.deepEqual(fromBase64(text), bytes);
      assert.deepEqual(fromBase64(text.replace(/(.{5})/g, '$1\r\n')), bytes);
    }),
  );
  for (const bad of [
    'A',
    'AA',
    'AAA',
    'A===',
    '=',
    '====',
    'AA=A',
    'A-__',
    'AA==AAAA',
    'AAA\u0141',
  ]) {
    assert.throws(() => fromBase64(bad), refused('ERR_MALFORMED'), bad);
  }
});

test('strict UTF-8 refuses what the lossy form replaces; a byte order mark is text', () => {
  const bad = Uint8Array.of(0x61, 0xff, 0x62);
  assert.throws(() => utf8Decode(bad), refused('ERR_MALFORMED'));
  assert.equal(utf8DecodeLossy(bad), 'a\ufffdb');
  assert.equal(utf8Decode(utf8Encode('\ufeffé€𝄞')), '\ufeffé€𝄞');
});

test('equalBytes compares all bytes and the length', () => {
  assert.equal(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
  assert.equal(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false);
  assert.equal(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(0, 2)), false);
  assert.equal(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1)), false);
  assert.equal(equalBytes(new Uint8Array(0), new Uint8Array(0)), true);
});
