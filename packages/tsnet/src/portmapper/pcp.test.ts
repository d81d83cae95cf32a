import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '@cove/protocol/bytes';
import fc from 'fast-check';
import { pcpLostState } from './epoch.ts';
import { encodeAnnounceRequest, encodePcpMapRequest, parsePcpResponse } from './pcp.ts';

const NONCE = '46eca1545aaace2b4a2ef129';

test('requests are those that miniupnpd 2.3.1 took (RFC 6887 sections 7.1, 11.1, 14.1)', () => {
  assert.equal(
    toHex(encodeAnnounceRequest('192.168.77.2')),
    '020000000000000000000000000000000000ffffc0a84d02',
  );
  const map = {
    client: '192.168.77.2',
    nonce: fromHex(NONCE),
    internalPort: 42_564,
    suggestedPort: 0,
    suggestedAddress: '0.0.0.0',
    lifetime: 7_200,
  };
  assert.equal(
    toHex(encodePcpMapRequest(map)),
    `0201000000001c2000000000000000000000ffffc0a84d02${NONCE}11000000a644000000000000000000000000ffff00000000`,
  );
  assert.equal(
    toHex(
      encodePcpMapRequest({
        ...map,
        suggestedPort: 42_564,
        suggestedAddress: '11.77.0.1',
        lifetime: 0,
      }),
    ),
    `020100000000000000000000000000000000ffffc0a84d02${NONCE}11000000a644a64400000000000000000000ffff0b4d0001`,
  );
});

const MAP =
  `0281000000001c200000000200000000000000000000000046eca1545aaace2b4a2ef12911000000` +
  'a644a64400000000000000000000ffff0b4d0001';

const RECORDED = [
  ['028000000000000000000002000000000000000000000000', { type: 'announce', epoch: 2 }],
  [
    MAP,
    {
      type: 'map',
      epoch: 2,
      lifetime: 7_200,
      nonce: fromHex(NONCE),
      internalPort: 42_564,
      externalPort: 42_564,
      externalAddress: '11.77.0.1',
    },
  ],
  // By hand: ADDRESS_MISMATCH for 30 minutes.
  [
    '0281000c000007080000000a000000000000000000000000',
    { type: 'error', opcode: 1, result: 12, lifetime: 1_800, epoch: 10 },
  ],
] as const;

for (const [bytes, value] of RECORDED) {
  test(`answer ${bytes} is read, with options behind it too, and cut short is none`, () => {
    assert.deepEqual(parsePcpResponse(fromHex(bytes)), value);
    assert.deepEqual(parsePcpResponse(fromHex(`${bytes}03000000`)), value);
    for (let length = 0; length < bytes.length / 2; length++) {
      assert.equal(parsePcpResponse(fromHex(bytes).subarray(0, length)), undefined);
    }
  });
}

test('an external IPv6 address is told as one', () => {
  const v6 = `${MAP.slice(0, 88)}20010db8000000000000000000000001`;
  const answer = parsePcpResponse(fromHex(v6));
  assert.equal(answer?.type === 'map' && answer.externalAddress, '2001:db8::1');
});

test('a mapping of TCP, requests and other versions are no answers', () => {
  assert.equal(parsePcpResponse(fromHex(MAP.replace('11000000', '06000000'))), undefined);
  assert.equal(parsePcpResponse(fromHex(`0201${MAP.slice(4)}`)), undefined);
  assert.equal(parsePcpResponse(fromHex(`01${MAP.slice(2)}`)), undefined);
});

test('any bytes are an answer or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, dressed) => {
      const input = dressed ? Uint8Array.of(2, 0x81, 0, 0, ...bytes) : bytes;
      const answer = parsePcpResponse(input);
      assert.ok(answer === undefined || input.length >= 24);
    }),
  );
});

test('a gateway began anew when its seconds went back or differ from ours by a sixteenth (RFC 6887 section 8.5)', () => {
  const before = { epoch: 10_000, at: 0 };
  const after = (epoch: number, seconds: number): boolean =>
    pcpLostState(before, { epoch, at: seconds * 1_000 });
  assert.equal(after(10_000, 0), false);
  assert.equal(after(9_999, 0), false, 'answers may overtake one another');
  assert.equal(after(9_998, 0), true);
  assert.equal(after(11_600, 1_600), false);
  assert.equal(after(11_498, 1_600), false);
  assert.equal(after(11_497, 1_600), true);
  assert.equal(after(11_710, 1_600), true, 'too fast is as bad');
});
