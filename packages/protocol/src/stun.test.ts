import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from './bytes.ts';
import { formatAddr, parseAddr } from './netaddr.ts';
import {
  encodeStunRequest,
  encodeStunResponse,
  isStun,
  parseStunRequest,
  parseStunResponse,
} from './stun.ts';

const TXID = fromHex('0102030405060708090a0b0c');
const REQUEST = '000100142112a4420102030405060708090a0b0c802200087461696c6e6f646580280004b32c370f';

test('a request is the 40 bytes of the published example', () => {
  assert.equal(toHex(encodeStunRequest(TXID)), REQUEST);
  assert.deepEqual(parseStunRequest(fromHex(REQUEST)), TXID);
});

test('a request with any byte changed outside the transaction id is refused; inside it the CRC refuses', () => {
  for (let i = 0; i < 40; i++) {
    const bytes = fromHex(REQUEST);
    bytes[i]! ^= 0x10;
    assert.equal(parseStunRequest(bytes), undefined, `byte ${i}`);
  }
});

test('every truncation and every extension of a request is refused', () => {
  const bytes = fromHex(REQUEST);
  for (let n = 0; n < bytes.length; n++) {
    assert.equal(parseStunRequest(bytes.subarray(0, n)), undefined, `${n} bytes`);
  }
  assert.equal(parseStunRequest(Uint8Array.of(...bytes, 0)), undefined);
});

const RESPONSES: readonly (readonly [string, string, string, number])[] = [
  [
    '0101000c2112a4420102030405060708090a0b0c002000080001373c2010a746',
    '0102030405060708090a0b0c',
    '1.2.3.4',
    5678,
  ],
  [
    '0101000c2112a4422360b11e3ec68ffa93e08007002000080001c7866957856f',
    '2360b11e3ec68ffa93e08007',
    '72.69.33.45',
    59028,
  ],
  [
    // RFC 5769 section 2.3: SOFTWARE, XOR-MAPPED-ADDRESS over IPv6, MESSAGE-INTEGRITY, FINGERPRINT.
    '010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f722000200014' +
      '0002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275' +
      'bfe3ed4180280004c8fb0b4c',
    'b7e7a701bc34d686fa87dfae',
    '2001:db8:1234:5678:11:2233:4455:6677',
    32853,
  ],
];

test('success responses are read: recorded ones and RFC 5769 2.3', () => {
  for (const [hex, txId, addr, port] of RESPONSES) {
    const response = parseStunResponse(fromHex(hex));
    assert.ok(response !== undefined);
    assert.equal(toHex(response.txId), txId);
    assert.equal(formatAddr(response.addr), addr);
    assert.equal(response.port, port);
  }
});

test('a response is 32 bytes for IPv4, mapped or not, and 44 for IPv6', () => {
  const v4 = encodeStunResponse(TXID, parseAddr('1.2.3.4')!, 5678);
  assert.equal(toHex(v4), RESPONSES[0]![0]);
  assert.deepEqual(encodeStunResponse(TXID, parseAddr('::ffff:1.2.3.4')!, 5678), v4);
  const v6 = encodeStunResponse(TXID, parseAddr('2001:db8::1')!, 9);
  assert.equal(v6.length, 44);
  assert.equal(formatAddr(parseStunResponse(v6)!.addr), '2001:db8::1');
});

test('a response is not changed by reading it, nor its values by what becomes of the buffer', () => {
  const buffer = Buffer.from(RESPONSES[0]![0], 'hex');
  const response = parseStunResponse(buffer)!;
  assert.equal(buffer.toString('hex'), RESPONSES[0]![0]);
  buffer.fill(0);
  assert.equal(formatAddr(response.addr), '1.2.3.4');
  assert.equal(toHex(response.txId), RESPONSES[0]![1]);
});

test('MAPPED-ADDRESS is the fallback, whichever comes first; the old XOR number counts too', () => {
  const mapped = '000100080001162e01020304';
  const xor = '802000080001373d2010a747';
  const head = (n: number): string =>
    `0101${n.toString(16).padStart(4, '0')}2112a442${toHex(TXID)}`;
  assert.equal(formatAddr(parseStunResponse(fromHex(head(12) + mapped))!.addr), '1.2.3.4');
  assert.equal(formatAddr(parseStunResponse(fromHex(head(24) + mapped + xor))!.addr), '1.2.3.5');
  // An unknown attribute with padding stands in front, surplus bytes behind.
  const padded = `80ff0003abcdef00${xor}`;
  assert.equal(formatAddr(parseStunResponse(fromHex(`${head(20)}${padded}ffff`))!.addr), '1.2.3.5');
});

test('every truncation of a response is refused, and a request is no response', () => {
  const bytes = fromHex(RESPONSES[0]![0]);
  for (let n = 0; n < bytes.length; n++) {
    assert.equal(parseStunResponse(bytes.subarray(0, n)), undefined, `${n} bytes`);
  }
  assert.equal(parseStunResponse(fromHex(REQUEST)), undefined);
  assert.equal(parseStunResponse(fromHex(`0111${RESPONSES[0]![0].slice(4)}`)), undefined);
});

test('any bytes are read without an exception, STUN or not', () => {
  const cookie = fromHex('2112a442');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, dressed) => {
      if (dressed && bytes.length >= 20) {
        bytes[0] = 1;
        bytes[1] = 1;
        bytes[2] = 0;
        bytes.set(cookie, 4);
        assert.ok(isStun(bytes));
      }
      parseStunRequest(bytes);
      const response = parseStunResponse(bytes);
      if (response !== undefined) assert.ok([4, 16].includes(response.addr.length));
    }),
  );
});

test('what is encoded is read back, for any address and port', () => {
  const addr = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  const txId = fc.uint8Array({ minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(txId, addr, fc.integer({ min: 0, max: 65535 }), (id, ip, port) => {
      const response = parseStunResponse(encodeStunResponse(id, ip, port));
      assert.deepEqual(response?.txId, Uint8Array.from(id));
      assert.equal(response?.port, port);
      assert.deepEqual([...response!.addr], [...ip]);
      assert.deepEqual(parseStunRequest(encodeStunRequest(id)), Uint8Array.from(id));
    }),
  );
});
