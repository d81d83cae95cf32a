import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { nodeCrypto } from '@cove/crypto';
import { warmUp } from './warmup.ts';

test('warming up takes several turns, happens once in a process, and leaves nothing behind that runs', async () => {
  const real = nodeCrypto();
  let drawn = 0;
  const crypto = {
    ...real,
    randomBytes: (length: number): Uint8Array => {
      drawn++;
      return real.randomBytes(length);
    },
  };
  warmUp(crypto);
  assert.equal(drawn, 0, 'nothing at once');
  await turn();
  const first = drawn;
  assert.ok(first > 0);
  for (let i = 0; i < 20; i++) await turn();
  const all = drawn;
  assert.ok(all > first);
  warmUp(crypto);
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(drawn, all);
});
