// Search compared with looking at every link.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type Link, newLink } from '../links.ts';
import { searchLinks } from './search.ts';
import { Store } from './store.ts';

const NOBODY = { login: '', node: '' };
const LINKS = 6_000;
let store: Store;
const links: Link[] = [];

before(async () => {
  store = await Store.open({ database: ':memory:', now: () => 0, log: () => {} });
  for (let i = 0; i < LINKS; i++)
    links.push(
      newLink({
        short: `link-${((i * 2_654_435_761) >>> 0).toString(36)}`,
        long: `https://Wiki.example.com/teams/${i % 97}/page?x=${i % 13}&q="${i % 7}"`,
        owner: `user${i % 50}@example.com`,
        description: i % 10 === 0 ? `Über ${i} 100% 日本語の` : '',
        tags: i % 20 === 0 ? ['docs', `t${i % 9}`] : [],
        created: 0,
        lastEdit: 0,
      }),
    );
  await store.addMissing(links, NOBODY);
});
after(() => store.close());

/** What a search should find, by looking at every link. */
function all(text: string): string[] {
  const words = text.toLowerCase().split(' ');
  const has = (link: Link, word: string): boolean => {
    const field = /^(owner|tag):(.*)$/.exec(word);
    if (field?.[1] === 'owner') return link.owner.toLowerCase().includes(field[2]!);
    if (field?.[1] === 'tag') return link.tags.join(' ').includes(field[2]!);
    return [link.short, link.long, link.owner, link.description, link.tags.join(' ')]
      .join(' ')
      .toLowerCase()
      .includes(word);
  };
  return links.filter((link) => words.every((word) => has(link, word))).map(({ short }) => short);
}

const found = async (text: string, limit = LINKS): Promise<string[]> =>
  (await searchLinks(store, text, limit)).map(({ link }) => link.short);

async function same(text: string): Promise<void> {
  assert.deepEqual((await found(text)).sort(), all(text).sort(), text);
}

test('every link that has all words is found, and no other: rare words, common ones, letters of any script and case', async () => {
  for (const text of [
    ...['teams/12', 'teams/12 user7@', 'wiki user49', 'TEAMS/3/PAGE', 'x=1 x=2', 'x=12', 'zzzqqq'],
    ...['über', 'ÜBER 100%', '日本語', '"3"', 'q="3" teams/96', '100%', '_', 'a_b', 'teams/1\\'],
    ...[
      'owner:user7@',
      'owner:user7 teams/7',
      'tag:docs',
      'tag:docs t3',
      'owner:wiki',
      'tag:wiki docs',
    ],
    ...['7d wiki', 'zq wiki', '11 example wiki', 'wiki example com teams page', 'page/ wiki'],
  ].filter((text) => [...text].length > 2))
    await same(text);
});

test('pieces of links find those links', async () => {
  const piece = fc
    .tuple(fc.nat(LINKS - 1), fc.nat(200), fc.integer({ min: 3, max: 12 }))
    .map(([i, from, length]) => {
      const { short, long, owner, description } = links[i]!;
      const text = [short, long, owner, description].join(' ');
      return text.slice(from % text.length, (from % text.length) + length).replace(/\s/g, '');
    })
    .filter((word) => [...word].length >= 3 && !/^(?:owner|tag):/i.test(word));
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(piece, { minLength: 1, maxLength: 3 }), async (words) => {
      await same(words.join(' '));
    }),
    { numRuns: 150 },
  );
});

test('words of two letters beside longer ones are found anywhere, where a Latin letter, a digit or a sign follows', async () => {
  const pair = fc.tuple(fc.nat(LINKS - 1), fc.nat(40)).map(([i, from]) => {
    const text = links[i]!.short.slice(5) + links[i]!.long;
    return text.slice(from % (text.length - 3), (from % (text.length - 3)) + 2);
  });
  await fc.assert(
    fc.asyncProperty(pair, fc.constantFrom('wiki', 'user7', 'teams/12'), async (two, long) => {
      await same(`${two} ${long}`);
    }),
    { numRuns: 60 },
  );
});

test('the most used come first, at most as many as asked for, and of many not all are looked at', async () => {
  const [rare] = all('teams/12 user7@');
  store.clicks.count(links.find(({ short }) => short === rare)!.id);
  await store.flush();
  assert.equal((await found('teams/12 user', 3))[0], rare);
  assert.equal((await found('wiki', 100)).length, 100);
  assert.deepEqual(await found('wiki', 0), []);
});

test('one letter of any script is found in either case', async () => {
  for (const letter of ['ü', 'Ü']) {
    const found = await searchLinks(store, letter, 5);
    assert.equal(found.length, 5);
    for (const { link } of found) assert.match(link.description, /Über/);
  }
});
