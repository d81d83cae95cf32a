// Going back: clicks and versions of what comes back, and any sequence of changes undone to any moment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GolinkError } from '../errors.ts';
import { type Link, linkId, newLink } from '../links.ts';
import { changesOf, restoreAll, restoreLink } from './history.ts';
import { countedLink, countLinks, listLinks } from './listing.ts';
import { Store } from './store.ts';

const NOBODY = { login: '', node: '' };
const START = Date.parse('2022-06-02T01:02:03Z');
const link = (short: string, long = `http://${short}/`, aliases: string[] = []): Link =>
  newLink({ short, long, owner: 'foo@example.com', created: 1, lastEdit: 1, aliases });
const named = (before: Link, short: string, aliases: readonly string[] = []): Link => ({
  ...{ ...before, id: linkId(short), short, aliases },
});

async function open(): Promise<{ store: Store; clock: { now: number } }> {
  const clock = { now: START };
  const store = await Store.open({ database: ':memory:', now: () => clock.now, log: () => {} });
  return { store, clock };
}

const clicks = async (store: Store, id: string): Promise<number | undefined> =>
  (await countedLink(store, id))?.clicks;

test('a deleted link that is restored has its clicks again, under the name it is restored to', async () => {
  const { store } = await open();
  const first = (await store.change('foo', NOBODY, () => link('foo')))!;
  for (let i = 0; i < 3; i++) store.clicks.count('foo');
  await store.flush();
  await store.change('foo', NOBODY, () => undefined);
  await restoreLink(store, 'foo', first, NOBODY, () => {});
  assert.equal(await clicks(store, 'foo'), 3);
  await store.change('foo', NOBODY, (before) => named(before!, 'bar'));
  await store.change('bar', NOBODY, () => undefined);
  assert.equal(await countLinks(store), 0);
  await restoreLink(store, 'bar', first, NOBODY, () => {});
  assert.deepEqual([await clicks(store, 'foo'), await clicks(store, 'bar')], [3, undefined]);
  assert.equal((await changesOf(store, { id: 'foo', limit: 9 })).length, 6);
  assert.equal(await countLinks(store), 1);
  await store.close();
});

test('a link made anew under a deleted name never has a version that the deleted one had', async () => {
  const { store } = await open();
  const versions: number[] = [];
  const push = (one: Link | undefined): void => void (one && versions.push(one.version));
  push(await store.change('x', NOBODY, () => link('x')));
  push(await store.change('x', NOBODY, (before) => before));
  await store.change('x', NOBODY, () => undefined);
  push(await store.change('x', NOBODY, () => link('x')));
  await store.change('x', NOBODY, () => undefined);
  await store.addMissing([link('x')], NOBODY);
  push(await store.find('x'));
  await store.change('x', NOBODY, () => undefined);
  // Another link takes the name.
  await store.change('y', NOBODY, () => link('y'));
  push(await store.change('y', NOBODY, (before) => named(before!, 'x')));
  assert.deepEqual(
    versions,
    [...versions].sort((a, b) => a - b),
  );
  assert.equal(new Set(versions).size, versions.length, String(versions));
  await store.close();
});

test('clicks counted before a rename that is refused, or after one that was made, stay with the link', async () => {
  const { store } = await open();
  await store.change('a', NOBODY, () => link('a'));
  await store.change('b', NOBODY, () => link('b'));
  store.clicks.count('a');
  await assert.rejects(
    store.change('a', NOBODY, (before) => named(before!, 'b')),
    {
      code: 'ERR_TAKEN',
    },
  );
  // Refused at the last step, when the row had been moved already.
  await assert.rejects(
    store.change('a', NOBODY, (before) => named(before!, 'c', ['b'])),
    {
      code: 'ERR_TAKEN',
    },
  );
  await store.flush();
  assert.deepEqual([await clicks(store, 'a'), await clicks(store, 'b')], [1, 0]);
  await store.change('a', NOBODY, (before) => named(before!, 'c', ['a']));
  // As a replica counts that has not been told.
  store.clicks.count('a');
  store.clicks.count('c');
  await store.flush();
  assert.equal(await clicks(store, 'c'), 3);
  await store.close();
});

interface Model {
  /** Links that live, by ID, with their destination and other names. */
  readonly links: ReadonlyMap<string, string>;
}

const stateOf = async (store: Store): Promise<Model> => {
  const { links } = await listLinks(store, { limit: 100 });
  return {
    links: new Map(
      links.map((counted) => [
        counted.link.id,
        `${counted.link.long} ${[...counted.link.aliases].sort().join(' ')}`,
      ]),
    ),
  };
};

/** The links as the history tells them. */
async function replay(store: Store): Promise<Model> {
  const links = new Map<string, string>();
  for (const { before, after } of [...(await changesOf(store, { limit: 10_000 }))].reverse()) {
    if (before !== undefined) assert.ok(links.delete(before.id), before.id);
    if (after !== undefined) {
      assert.ok(!links.has(after.id), after.id);
      links.set(after.id, `${after.long} ${[...after.aliases].sort().join(' ')}`);
    }
  }
  return { links };
}

test('after any changes, every earlier moment can be returned to, and the history tells what is there', async () => {
  const names = ['a', 'b', 'c', 'd'];
  const name = fc.constantFrom(...names);
  const step = fc.oneof(
    fc.record({ do: fc.constant('put' as const), name, long: fc.nat(9) }),
    fc.record({ do: fc.constant('delete' as const), name }),
    fc.record({ do: fc.constant('rename' as const), name, to: name, keep: fc.boolean() }),
    fc.record({ do: fc.constant('alias' as const), name, to: name }),
    fc.record({ do: fc.constant('undelete' as const), name }),
    fc.record({ do: fc.constant('rewind' as const), to: fc.nat(20) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const { store, clock } = await open();
      try {
        const moments: { at: number; state: Model }[] = [];
        for (const one of steps) {
          clock.now += 1_000;
          try {
            if (one.do === 'put')
              await store.change(one.name, NOBODY, (before) => ({
                ...(before ?? link(one.name)),
                long: `http://${one.long}/`,
              }));
            else if (one.do === 'delete') await store.change(one.name, NOBODY, () => undefined);
            else if (one.do === 'rename')
              await store.change(one.name, NOBODY, (before) =>
                before === undefined || one.to === one.name
                  ? before
                  : named(before, one.to, one.keep ? [one.name] : []),
              );
            else if (one.do === 'alias')
              await store.change(
                one.name,
                NOBODY,
                (before) => before && { ...before, aliases: [one.to] },
              );
            else if (one.do === 'undelete') {
              const [last] = await changesOf(store, { id: one.name, limit: 1 });
              if (last?.kind === 'delete')
                await restoreLink(store, one.name, last.before!, NOBODY, () => {});
            } else if (moments.length > 0) {
              const { at, state } = moments[one.to % moments.length]!;
              await restoreAll(store, at, NOBODY);
              assert.deepEqual(await stateOf(store), state);
            }
          } catch (error) {
            if (!(error instanceof GolinkError && error.code === 'ERR_TAKEN')) throw error;
          }
          const state = await stateOf(store);
          assert.equal(await countLinks(store), state.links.size);
          assert.deepEqual(
            new Map([...state.links].sort()),
            new Map([...(await replay(store)).links].sort()),
          );
          moments.push({ at: clock.now, state });
        }
      } finally {
        await store.close();
      }
    }),
    { numRuns: 60 },
  );
});

test('links that have changed names in a circle get them back', async () => {
  const { store, clock } = await open();
  for (const short of ['a', 'b', 'c', 'd']) await store.change(short, NOBODY, () => link(short));
  const at = clock.now;
  const state = await stateOf(store);
  clock.now += 1_000;
  for (const [from, to] of ['a tmp', 'b a', 'c b', 'tmp c', 'd e'].map((pair) => pair.split(' ')))
    await store.change(from!, NOBODY, (before) => named(before!, to!));
  clock.now += 1_000;
  const middle = await stateOf(store);
  assert.deepEqual(await restoreAll(store, at, NOBODY), { created: 0, changed: 4, deleted: 0 });
  assert.deepEqual(await stateOf(store), state);
  clock.now += 1_000;
  await restoreAll(store, at + 1_500, NOBODY);
  assert.deepEqual(await stateOf(store), middle);
  await store.close();
});
