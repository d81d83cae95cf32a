import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Http2Error } from './errors.ts';
import { encodeResponseHead, HpackDecoder } from './hpack.ts';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
const decode = (decoder: HpackDecoder, text: string): string[] =>
  decoder.decode(hex(text), 65_536).map((field) => `${field.name}: ${field.value}`);

test('requests without Huffman coding share a dynamic table (RFC 7541 C.3)', () => {
  const decoder = new HpackDecoder();
  const common = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
  assert.deepEqual(decode(decoder, '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'), common);
  assert.deepEqual(decode(decoder, '8286 84be 5808 6e6f 2d63 6163 6865'), [
    ...common,
    'cache-control: no-cache',
  ]);
  assert.deepEqual(
    decode(decoder, '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65'),
    [
      ':method: GET',
      ':scheme: https',
      ':path: /index.html',
      ':authority: www.example.com',
      'custom-key: custom-value',
    ],
  );
});

test('requests with Huffman coding (RFC 7541 C.4)', () => {
  const decoder = new HpackDecoder();
  assert.deepEqual(decode(decoder, '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'), [
    ':method: GET',
    ':scheme: http',
    ':path: /',
    ':authority: www.example.com',
  ]);
  assert.equal(decode(decoder, '8286 84be 5886 a8eb 1064 9cbf').at(-1), 'cache-control: no-cache');
  assert.equal(
    decode(decoder, '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf').at(-1),
    'custom-key: custom-value',
  );
});

test('a literal that is never indexed is read and kept out of the table (RFC 7541 C.2.3)', () => {
  const decoder = new HpackDecoder();
  assert.deepEqual(decode(decoder, '1008 7061 7373 776f 7264 0673 6563 7265 74'), [
    'password: secret',
  ]);
  assert.throws(() => decode(decoder, 'be'), { name: 'Http2Error', code: 'COMPRESSION_ERROR' });
});

test('the oldest entries leave a table that grows beyond its size (RFC 7541 4.4)', () => {
  const decoder = new HpackDecoder();
  const value = 'v'.repeat(100);
  for (let i = 0; i < 40; i++) {
    const block = Buffer.concat([
      hex('40 02'),
      Buffer.from(String(i).padStart(2, '0')),
      Buffer.from([100]),
      Buffer.from(value),
    ]);
    decoder.decode(block, 65_536);
  }
  // 134 octets each: 30 fit into 4096.
  assert.deepEqual(decode(decoder, 'be'), [`39: ${value}`]);
  assert.deepEqual(decode(decoder, Buffer.from([0x80 | (62 + 29)]).toString('hex')), [
    `10: ${value}`,
  ]);
  assert.throws(() => decode(decoder, Buffer.from([0x80 | (62 + 30)]).toString('hex')), Http2Error);
});

for (const [name, block, code] of [
  ['field 0', '80', 'COMPRESSION_ERROR'],
  ['a field beyond both tables', 'ff00', 'COMPRESSION_ERROR'],
  ['an integer without end', '7fffffffffffff', 'COMPRESSION_ERROR'],
  ['a string longer than the block', '0005 61', 'COMPRESSION_ERROR'],
  ['a table size above the limit', '3fe2 1f 82', 'COMPRESSION_ERROR'],
  ['a table size behind a field', '82 20', 'COMPRESSION_ERROR'],
  ['Huffman padding of zeros', '0081 00 00', 'COMPRESSION_ERROR'],
  ['Huffman padding of a whole octet', '0083 f1ffff 00', 'COMPRESSION_ERROR'],
  ['EOS inside a string', '0084 ffffffff 00', 'COMPRESSION_ERROR'],
] as const) {
  test(`refused: ${name}`, () => {
    assert.throws(() => decode(new HpackDecoder(), block), { name: 'Http2Error', code });
  });
}

test('a header list larger than allowed is refused', () => {
  const decoder = new HpackDecoder();
  assert.throws(() => decoder.decode(hex('82'.repeat(1000)), 16_384), {
    code: 'ENHANCE_YOUR_CALM',
  });
});

test('any bytes are fields or an Http2Error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        new HpackDecoder().decode(bytes, 4096);
      } catch (error) {
        assert.ok(error instanceof Http2Error);
      }
    }),
  );
});

test('answers read back as written', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(200, 204, 400, 404, 405, 500, 501),
      fc.option(fc.constantFrom('application/json', 'text/plain; charset=utf-8'), {
        nil: undefined,
      }),
      fc.option(fc.nat(), { nil: undefined }),
      (status, type, length) => {
        const fields = new HpackDecoder().decode(encodeResponseHead(status, type, length), 4096);
        const expected = [{ name: ':status', value: String(status) }];
        if (type !== undefined) expected.push({ name: 'content-type', value: type });
        if (length !== undefined) expected.push({ name: 'content-length', value: String(length) });
        assert.deepEqual(fields, expected);
      },
    ),
  );
});
