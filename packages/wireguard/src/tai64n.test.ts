import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '@cove/protocol/bytes';
import fc from 'fast-check';
import { compareTai64n, encodeTai64n, stampAfter, steadyClock } from './tai64n.ts';
import type { WallTime } from './types.ts';

const time: fc.Arbitrary<WallTime> = fc.record({
  seconds: fc.integer({ min: 0, max: 2 ** 40 }),
  nanos: fc.integer({ min: 0, max: 999_999_999 }),
});

test('1700000000.5 s is 400000006553f10a1d000000', () => {
  const stamp = stampAfter({ seconds: 1_700_000_000, nanos: 500_000_000 }, undefined);
  assert.equal(toHex(encodeTai64n(stamp)), '400000006553f10a1d000000');
});

test('seconds beyond 32 bits carry into the upper word', () => {
  const stamp = encodeTai64n({ seconds: 2 ** 32 - 10, nanos: 0 });
  assert.equal(toHex(stamp), '400000010000000000000000');
});

test('a stamp is always later than the last, whatever the clock does, and its low 24 bits are clear', () => {
  fc.assert(
    fc.property(fc.array(time, { minLength: 2 }), (times) => {
      let last: WallTime | undefined;
      for (const at of times) {
        const stamp = stampAfter(at, last);
        assert.equal(stamp.nanos % 2 ** 24, 0);
        assert.ok(stamp.nanos < 1e9);
        if (last) assert.ok(compareTai64n(encodeTai64n(stamp), encodeTai64n(last)) > 0);
        last = stamp;
      }
    }),
  );
});

test('two stamps within 16.8 ms differ by one granule', () => {
  const first = stampAfter({ seconds: 5, nanos: 1 }, undefined);
  assert.deepEqual(stampAfter({ seconds: 5, nanos: 2 }, first), { seconds: 5, nanos: 2 ** 24 });
  const end = { seconds: 5, nanos: 59 * 2 ** 24 };
  assert.deepEqual(stampAfter({ seconds: 5, nanos: 3 }, end), { seconds: 6, nanos: 0 });
});

test('the steady clock stands still while the clock below it is behind', () => {
  let now = { seconds: 100, nanos: 5 };
  const clock = steadyClock(() => now);
  assert.deepEqual(clock(), { seconds: 100, nanos: 5 });
  now = { seconds: 99, nanos: 7 };
  assert.deepEqual(clock(), { seconds: 100, nanos: 5 });
  now = { seconds: 100, nanos: 6 };
  assert.deepEqual(clock(), { seconds: 100, nanos: 6 });
});
