// Our TCP sends no slower than the kernel's cubic over a link that loses or reorders. `npm run goodput` measures with patience;
// here five short runs of each, all at once, and a floor that only a fault falls through.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type End, goodput, type Impairment, missing } from '../goodput/link.ts';

const skip = missing();
if (skip !== undefined) console.log(`goodput beside the kernel is skipped: ${skip}`);
const RUNS = 5;
const SECONDS = 6;
const FLOOR = 0.6;

async function median(source: End, impairment: Impairment): Promise<number> {
  const rates = await Promise.all(
    Array.from({ length: RUNS }, (_, i) =>
      goodput(source, 'kernel', impairment, { seconds: SECONDS, seed: i + 1 }),
    ),
  );
  return rates.sort((a, b) => a - b)[RUNS >> 1]!;
}

for (const [name, impairment] of [
  ['1 % loss', { delay: 10, loss: 0.01 }],
  ['0.1 % loss and 1 % reordering', { delay: 10, loss: 0.001, reorder: 0.01 }],
] as const) {
  test(`goodput at 20 ms and ${name} is the kernel's`, {
    skip: skip ?? false,
    timeout: 120_000,
  }, async (t) => {
    const [ours, kernels] = await Promise.all([
      median('ours', impairment),
      median('kernel', impairment),
    ]);
    t.diagnostic(`${ours.toFixed(1)} of ${kernels.toFixed(1)} Mbit/s`);
    assert.ok(ours >= FLOOR * kernels, `${ours} of ${kernels} Mbit/s`);
  });
}
