// Cases that golink's own tests pin and that stand in no other test here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newLink } from './links.ts';
import { type CountedLink, listLinks } from './store/listing.ts';
import { Store } from './store/store.ts';
import { startService } from './testing/service.ts';

const NOBODY = { login: '', node: '' };
const plain = (short: string, owner = '') =>
  newLink({ short, long: `/${short}`, owner, created: 1_654_131_723, lastEdit: 1_654_131_723 });

test('links are loaded as they were saved, listed, and gone when deleted', async () => {
  await using store = await Store.open({ database: ':memory:', now: Date.now, log: () => {} });
  const links = [plain('short'), plain('Foo.Bar')];
  for (const link of links) await store.change(link.id, NOBODY, () => link);
  for (const link of links) assert.deepEqual(await store.find(link.id), link);
  const all = async (): Promise<string[]> =>
    (await listLinks(store, { limit: 10 })).links.map(({ link }: CountedLink) => link.short);
  assert.deepEqual(await all(), ['Foo.Bar', 'short']);
  for (const { id } of links) await store.change(id, NOBODY, () => undefined);
  assert.deepEqual(await all(), []);
});

test('clicks are counted by any spelling, told by the canonical one, and go with their links', async () => {
  await using go = await startService();
  const clicksOf = async (short: string): Promise<number | undefined> => {
    const { status, body } = await go.get(`/.api/v1/links/${short}`);
    return status === 200 ? (JSON.parse(body) as { clicks: number }).clicks : undefined;
  };
  await go.save('a', '/a');
  await go.save('B-c', '/bc');
  for (const visits of [['a'], ['b-c'], ['a', 'bc', 'BC']]) {
    for (const short of visits) await go.get(`/${short}`);
    await go.get('/.export-stats');
    go.now += 60_000;
  }
  assert.deepEqual([await clicksOf('a'), await clicksOf('B-c')], [2, 3]);
  for (const short of ['a', 'B-c'])
    await go.post(`/.delete/${short}`, { xsrf: await go.token(`/.detail/${short}`) });
  assert.equal((await go.get('/.export-stats')).body, '');
});

test('a list has each link with its clicks, by name, and 0 where there are none', async () => {
  await using go = await startService();
  for (const short of ['beta', 'gamma', 'alpha']) await go.save(short, `/${short}`);
  for (let i = 0; i < 10; i++) await go.get(i < 3 ? '/alpha' : '/beta');
  for (let i = 0; i < 3; i++) await go.get('/beta');
  const { body } = await go.get('/.all');
  const rows = body.split('<tr').filter((row) => row.includes('/.detail/'));
  const seen = rows.map((row) => [/\/\.detail\/(\w+)/.exec(row)![1], />(\d+)</.exec(row)?.[1]]);
  assert.deepEqual(seen, [
    ['alpha', '3'],
    ['beta', '10'],
    ['gamma', '0'],
  ]);
});

test('an owner is searched exactly: a blank at the end or another owner is another', async () => {
  await using store = await Store.open({ database: ':memory:', now: Date.now, log: () => {} });
  const links = [plain('x', 'foo@bar.com'), plain('y', 'bar@foo.com ')];
  for (const link of links) await store.change(link.id, NOBODY, () => link);
  const owned = async (owner: string): Promise<string[]> =>
    (await listLinks(store, { owner, limit: 10 })).links.map(({ link }: CountedLink) => link.short);
  assert.deepEqual(await owned('foo@bar.com'), ['x']);
  assert.deepEqual(await owned('bar@foo.com'), []);
  assert.deepEqual(await owned('nobody@bar.com'), []);
});
