import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { newLink } from '../links.ts';
import { BROWSER, startService } from '../testing/service.ts';
import { distance, nearLinks, oneAway } from './near.ts';
import { Store } from './store.ts';

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

test('the distance up to a limit is the same, and above it where it is above', () => {
  fc.assert(
    fc.property(word, word, fc.nat(4), (a, b, most) => {
      const [whole, limited] = [distance(a, b), distance(a, b, most)];
      return whole <= most ? limited === whole : limited > most;
    }),
    { numRuns: 3_000 },
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

test('among thousands of names that begin alike, one letter missing, doubled, wrong, swapped or a hyphen finds the name, wherever it is', async () => {
  const store = await Store.open({ database: ':memory:', now: () => 0, log: () => {} });
  const link = (short: string, aliases: string[] = []) =>
    newLink({ short, long: '/y', owner: '', created: 0, lastEdit: 0, aliases });
  const names = Array.from(
    { length: 6_000 },
    (_, i) => `link-${((i * 2_654_435_761) >>> 0).toString(36)}`,
  );
  const others = ['spring-cleaning', 'autumn-walk'];
  await store.addMissing([...names.map((name) => link(name)), link('holidays', others)], {
    login: '',
    node: '',
  });
  const near = async (name: string): Promise<string[]> =>
    (await nearLinks(store, name, 5)).map((one) => one.link.short);
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
  for (let i = 0; i < 40; i++) {
    const name = names[(i * 7_919) % names.length]!;
    for (let at = 0; at < name.length; at++) {
      const [head, tail] = [name.slice(0, at), name.slice(at)];
      const letter = letters[(i + at) % letters.length]!;
      for (const typo of [
        head + tail.slice(1),
        head + tail[0] + tail,
        head + letter + tail.slice(1),
        head + (tail[1] ?? '') + tail[0] + tail.slice(2),
        `${head}-${tail}`,
      ]) {
        if (names.some((other) => other.replaceAll('-', '') === typo.replaceAll('-', ''))) continue;
        assert.ok((await near(typo)).includes(name), `${typo} for ${name}`);
      }
    }
  }
  assert.deepEqual(await near('sprung-cleaning'), ['holidays']);
  assert.deepEqual(await near('autumn-wlak2'), ['holidays']);
  assert.equal((await near('link')).length, 5);
  assert.deepEqual(await near('quite-another'), []);
  await store.close();
});
