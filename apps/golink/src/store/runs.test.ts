import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Runs } from './runs.ts';

test('words come out in order, all of them once, whatever is taken at a time', async () => {
  const words = Array.from({ length: 9_001 }, (_, i) => ((i * 2_654_435_761) >>> 7).toString(36));
  const runs = await Runs.of(words);
  const taken: string[] = [];
  for (let count = 1; runs.left > 0; count = (count * 3) % 1_000) taken.push(...runs.take(count));
  assert.deepEqual(taken, [...words].sort());
  assert.deepEqual(runs.take(5), []);
});

test('sorting many lets other events in between', { timeout: 10_000 }, async () => {
  let events = 0;
  let isDone = false;
  const count = (): void => {
    events++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await Runs.of(Array.from({ length: 20_000 }, (_, i) => String(i)));
  isDone = true;
  assert.ok(events >= 9, String(events));
});
