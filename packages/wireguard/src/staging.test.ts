import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StagedPackets } from './staging.ts';

const packet = (mark: number, length = 20): Uint8Array => new Uint8Array(length).fill(mark);
const budget = (limit = 1e9) => ({ used: 0, limit });

test('packets come out in order, copied, with room for header, padding and tag', () => {
  const staged = new StagedPackets(budget());
  const buf = Uint8Array.of(0, 1, 2, 3, 0);
  staged.push(buf, 1, 3);
  buf.fill(9);
  staged.push(packet(2), 0, 20);
  const first = staged.shift()!;
  assert.equal(first.length, 3);
  assert.deepEqual(first.slot.subarray(16, 19), Uint8Array.of(1, 2, 3));
  assert.ok(first.slot.length >= 16 + 16 + 16);
  assert.equal(staged.shift()!.slot[16], 2);
  assert.equal(staged.shift(), undefined);
});

test('beyond 128 the oldest goes', () => {
  const staged = new StagedPackets(budget());
  let dropped = 0;
  for (let i = 0; i < 130; i++) dropped += staged.push(packet(i), 0, 20);
  assert.equal(dropped, 2);
  assert.equal(staged.size, 128);
  assert.equal(staged.shift()!.slot[16], 2);
});

test('over the budget a queue drops its own oldest, and an empty one the newcomer', () => {
  const shared = budget(3 * (20 + 48));
  const a = new StagedPackets(shared);
  const b = new StagedPackets(shared);
  for (let i = 0; i < 3; i++) assert.equal(a.push(packet(i), 0, 20), 0);
  assert.equal(a.push(packet(3), 0, 20), 1);
  assert.equal(a.size, 3);
  assert.equal(b.push(packet(4), 0, 20), 1);
  assert.equal(b.size, 0);
  assert.equal(a.clear(), 3);
  assert.equal(shared.used, 0);
  assert.equal(b.push(packet(4), 0, 20), 0);
});
