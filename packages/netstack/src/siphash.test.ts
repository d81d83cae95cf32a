import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sipHash } from './siphash.ts';

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i);

/** The 64-bit value in the paper's notation. */
function hex([low, high]: [number, number]): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

test('SipHash-2-4: the vectors of the paper (appendix A) and of the reference for 0, 1, 8 and 63 bytes', () => {
  const input = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i);
  assert.equal(hex(sipHash(KEY, input(15))), 'a129ca6149be45e5');
  assert.equal(hex(sipHash(KEY, input(0))), '726fdb47dd0e0e31');
  assert.equal(hex(sipHash(KEY, input(1))), '74f839c593dc67fd');
  assert.equal(hex(sipHash(KEY, input(8))), '93f5f5799a932462');
  assert.equal(hex(sipHash(KEY, input(63))), '958a324ceb064572');
});
