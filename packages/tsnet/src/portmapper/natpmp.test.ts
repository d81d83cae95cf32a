import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '@cove/protocol/bytes';
import fc from 'fast-check';
import { natPmpLostState } from './epoch.ts';
import { encodeExternalAddressRequest, encodeMapRequest, parseNatPmpResponse } from './natpmp.ts';

test('requests are those that miniupnpd 2.3.1 took (RFC 6886 sections 3.2, 3.3, 3.4)', () => {
  assert.equal(toHex(encodeExternalAddressRequest()), '0000');
  assert.equal(
    toHex(encodeMapRequest({ internalPort: 60_598, suggestedPort: 0, lifetime: 7_200 })),
    '00010000ecb6000000001c20',
  );
  assert.equal(
    toHex(encodeMapRequest({ internalPort: 60_598, suggestedPort: 0, lifetime: 0 })),
    '00010000ecb6000000000000',
  );
});

const RECORDED = [
  ['00800000000000020b4d0001', { type: 'external-address', epoch: 2, address: '11.77.0.1' }],
  [
    '0081000000000002ecb6ecb600001c20',
    { type: 'map', epoch: 2, internalPort: 60_598, externalPort: 60_598, lifetime: 7_200 },
  ],
  [
    '0081000000000005ecb6000000000000',
    { type: 'map', epoch: 5, internalPort: 60_598, externalPort: 0, lifetime: 0 },
  ],
  // By hand: a gateway that has the protocol turned off, and one that stops after the epoch.
  ['008000020000000a00000000', { type: 'error', opcode: 0, result: 2, epoch: 10 }],
  ['008100040000000a', { type: 'error', opcode: 1, result: 4, epoch: 10 }],
] as const;

for (const [bytes, value] of RECORDED) {
  test(`answer ${bytes} is read, with more behind it too, and cut short is none`, () => {
    assert.deepEqual(parseNatPmpResponse(fromHex(bytes)), value);
    assert.deepEqual(parseNatPmpResponse(fromHex(`${bytes}00ff`)), value);
    const needed = value.type === 'error' ? 8 : bytes.length / 2;
    for (let length = 0; length < needed; length++) {
      assert.equal(parseNatPmpResponse(fromHex(bytes).subarray(0, length)), undefined);
    }
  });
}

test('requests, other versions and unknown opcodes are no answers', () => {
  for (const bytes of [
    '00010000ecb6000000001c20',
    '02800000000000020b4d0001',
    '00820000000000020b4d000100000000',
  ]) {
    assert.equal(parseNatPmpResponse(fromHex(bytes)), undefined);
  }
});

test('any bytes are an answer or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const answer = parseNatPmpResponse(bytes);
      assert.ok(answer === undefined || bytes.length >= 8);
    }),
  );
});

test('a count of seconds may run slow by an eighth and two seconds, not more (RFC 6886 section 3.6)', () => {
  const before = { epoch: 1_000, at: 0 };
  const after = (epoch: number): boolean => natPmpLostState(before, { epoch, at: 800_000 });
  assert.equal(after(1_800), false);
  assert.equal(after(1_698), false);
  assert.equal(after(1_697), true);
  assert.equal(after(5_000), false, 'running ahead is no loss');
  assert.equal(after(0), true);
});
