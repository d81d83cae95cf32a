// The fuzzer finds what it is there to find, and the instrumented program is still the same program.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FuzzTarget } from '@cove/protocol/testing/fuzztarget';
import { Coverage } from './coverage.ts';
import { fuzz, minimize } from './engine.ts';
import { instrument } from './instrument.ts';

async function load(source: string): Promise<Record<string, (bytes: Uint8Array) => unknown>> {
  const { code } = instrument(source, 0);
  return await import(`data:text/javascript,${encodeURIComponent(code)}`);
}

const NESTED = `export function run(b) {
  if (b[0] === 0x43) {
    if (b[1] === 0x4f) {
      switch (b[2]) {
        case 0x56:
          if (b.length > 3 && b[3] === 0x45) throw new Error('found');
          break;
        default:
      }
    }
  }
}`;

test('a fault behind four byte comparisons is found and the way there minimized', async () => {
  const coverage = new Coverage();
  globalThis.coveCoverage = coverage;
  const { run } = await load(NESTED);
  const target: FuzzTarget = { name: 'nested', run: run as FuzzTarget['run'], seeds: [] };
  const outcome = fuzz(target, coverage, [], { seed: 3, seconds: 20 });
  assert.match(String(outcome.finding?.error), /found/);
  assert.deepEqual([...outcome.finding!.input.subarray(0, 4)], [...Buffer.from('COVE')]);
  const small = minimize(target, coverage, outcome.corpus, 1000);
  assert.ok(small.some((input) => input.length === 4 && input[0] === 0x43));
  assert.ok(small.length <= outcome.corpus.length);
});

const TRICKY = `const re = /[/{]\\/{2}/g; const x = 4 / 2 / 1;
export function values(b) {
  const label = \`a\${b.length > 0 && { if: 1 } ? \`{\${b[0]}}\` : '}'}{\`;
  const o = { if: (y) => { return y || 7; }, default: 3, case: '/*' };
  let n = 0;
  for (const v of b) if (v & 1) n++; else n += 2;
  while (n > 10) n -= 3;
  do { n++; } while (n < 3 || false);
  switch (n % 3) { case (1 ? 1 : 2): { n += 10; break; } case 2: n += 20; default: n += o.default; }
  const f = (v) => ({ v });
  try { if (n > 1e3) throw n; } catch { n = 0; } finally { n += f(1).v; }
  return [label, o.if(0), o.if(5), n, re.source, x, null ?? (n && 'yes'), '"\\'' + "'"];
}`;

test('an instrumented program computes what it did before', async () => {
  globalThis.coveCoverage = new Coverage();
  const { values } = await load(TRICKY);
  const plain = (await import(`data:text/javascript,${encodeURIComponent(TRICKY)}`)).values;
  for (const bytes of [[], [1], [2, 3, 4], [255, 255, 9, 9, 1, 0]]) {
    assert.deepEqual(values!(Uint8Array.from(bytes)), plain(Uint8Array.from(bytes)));
  }
  assert.ok(globalThis.coveCoverage.hit().length > 10);
});
