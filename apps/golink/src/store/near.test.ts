import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BROWSER, startService } from '../testing/service.ts';
import { distance, oneAway } from './near.ts';

/** The textbook's recursion over what the last letters may be, for short words. */
function slow(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length;
  const [x, y] = [a.slice(0, -1), b.slice(0, -1)];
  let least = Math.min(
    slow(x, b) + 1,
    slow(a, y) + 1,
    slow(x, y) + (a.at(-1) === b.at(-1) ? 0 : 1),
  );
  if (a.length > 1 && b.length > 1 && a.at(-1) === b.at(-2) && a.at(-2) === b.at(-1))
    least = Math.min(least, slow(a.slice(0, -2), b.slice(0, -2)) + 1);
  return least;
}

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });

test('the distance is that of the slow way, for all short words', () => {
  fc.assert(
    fc.property(word, word, (a, b) => distance(a, b) === slow(a, b)),
    { numRuns: 300 },
  );
});

test('every name one edit away is looked up', () => {
  fc.assert(
    fc.property(word, word, (a, b) => b === '' || distance(a, b) !== 1 || oneAway(a).has(b)),
    { numRuns: 1_000 },
  );
});

test('a name nobody made shows those it was probably meant to be, the nearest first', async () => {
  await using go = await startService();
  for (const name of ['road-map', 'release-notes', 'wiki', 'payroll', 'x'])
    await go.save(name, '/y');
  const near = async (name: string): Promise<string[]> => {
    const { body, status } = await go.get(`/${name}`, BROWSER);
    assert.equal(status, 404);
    const list = /id="near"[\s\S]*?<\/ul>/.exec(body)?.[0] ?? '';
    return [...list.matchAll(/href="\/([^"]+)"/g)].map((match) => match[1]!);
  };
  assert.deepEqual(await near('raodmap'), ['road-map']);
  assert.deepEqual(await near('roadmapp'), ['road-map']);
  assert.deepEqual(await near('roadmap2027'), ['road-map']);
  assert.deepEqual(await near('relnotes'), []);
  assert.deepEqual(await near('realease-ntes'), ['release-notes']);
  assert.deepEqual(await near('release'), ['release-notes']);
  assert.deepEqual(await near('wikki'), ['wiki']);
  assert.deepEqual(await near('quite-another'), []);
  assert.deepEqual(await near('z'.repeat(5_000)), []);
});
