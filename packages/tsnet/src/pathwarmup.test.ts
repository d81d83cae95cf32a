import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { nodeCrypto } from '@cove/crypto';
import { PathWarmUp } from './pathwarmup.ts';

test('two nodes of nobody echo small messages and large ones on one connection after the other', async () => {
  const path = new PathWarmUp(nodeCrypto());
  let last = 0;
  let least = Number.POSITIVE_INFINITY;
  let steps = 0;
  for (let i = 0; i < 40; i++) {
    path.step();
    await turn();
    const { echoed } = path;
    // Every fifth step opens a connection.
    if (echoed === last) continue;
    steps++;
    least = Math.min(least, echoed - last);
    last = echoed;
  }
  assert.ok(steps >= 28, `${steps} steps brought something back`);
  assert.ok(least >= 64);
  assert.ok(last > 5 * 6000, `${last} bytes came back`);
  path.close();
  path.step();
  assert.equal(path.echoed, last, 'after the end nothing goes on');
});
