import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Access, type Caller } from './access.ts';
import { GolinkError } from './errors.ts';
import { LinkEditor } from './linkeditor.ts';
import { changesOf } from './store/history.ts';
import { countedLink, countLinks, deletedLinks, listLinks } from './store/listing.ts';
import { searchLinks } from './store/search.ts';
import { Store } from './store/store.ts';

const START = Date.parse('2022-06-02T01:02:03Z');
const KNOWN = ['foo', 'bar', 'eve', 'boss'].map((name) => `${name}@example.com`);

const caller = (name: string, more: Partial<Caller> = {}): Caller => ({
  ...{ login: `${name}@example.com`, node: 'laptop', admin: false, groups: [], who: undefined },
  ...more,
});
const FOO = caller('foo');
const BAR = caller('bar');
const EVE = caller('eve');
const BOSS = caller('boss', { admin: true });

class Fixture implements AsyncDisposable {
  now: number = START;
  store!: Store;
  editor!: LinkEditor;

  static async open(): Promise<Fixture> {
    const fixture = new Fixture();
    const log = (): void => {};
    fixture.store = await Store.open({ database: ':memory:', now: () => fixture.now, log });
    const access = new Access({
      ...{ readOnly: false, allowUnknownUsers: false },
      isKnownUser: (login) => KNOWN.includes(login),
    });
    fixture.editor = new LinkEditor(fixture.store, access);
    return fixture;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }
}

const refused = (code: GolinkError['code']) => (error: unknown) => {
  assert.ok(error instanceof GolinkError, String(error));
  assert.equal(error.code, code);
  return true;
};

test('a link may be edited by its owner, its editors, members of its groups, admins, or everyone where it says so', async () => {
  await using go = await Fixture.open();
  const { editor } = go;
  await editor.create({ short: 'x', long: 'http://x/' }, FOO);
  await assert.rejects(editor.update('x', { long: 'http://e/' }, EVE), refused('ERR_FORBIDDEN'));
  await editor.update('x', { editors: [BAR.login, 'group:eng'] }, FOO);
  await editor.update('x', { long: 'http://bar/' }, BAR);
  await assert.rejects(editor.update('x', { long: 'http://e/' }, EVE), refused('ERR_FORBIDDEN'));
  await editor.update('x', { long: 'http://eng/' }, { ...EVE, groups: ['eng'] });
  await editor.update('x', { long: 'http://boss/', openEdit: true }, BOSS);
  const link = await editor.update('x', { long: 'http://eve/' }, EVE);
  assert.deepEqual([link.owner, link.long, link.version], [FOO.login, 'http://eve/', 6]);
});

test('an edit of a version that is no longer is refused, and changes nothing', async () => {
  await using go = await Fixture.open();
  const { editor, store } = go;
  const first = await editor.create({ short: 'x', long: 'http://1/' }, FOO);
  await editor.update('x', { long: 'http://2/' }, FOO, { ifVersion: first.version });
  const stale = { ifVersion: first.version };
  await assert.rejects(
    editor.update('x', { long: 'http://3/' }, FOO, stale),
    refused('ERR_CONFLICT'),
  );
  await assert.rejects(editor.remove('x', FOO, stale), refused('ERR_CONFLICT'));
  assert.equal((await store.find('x'))?.long, 'http://2/');
});

test('a renamed link takes history and clicks along; the old name leads there if asked, and stays taken', async () => {
  await using go = await Fixture.open();
  const { editor, store } = go;
  await editor.create({ short: 'Old-Name', long: 'http://x/' }, FOO);
  store.clicks.count('oldname');
  await store.flush();
  store.clicks.count('oldname');
  await editor.update('old-name', { short: 'New', keepOldName: true }, FOO);
  const counted = await countedLink(store, 'oldname');
  assert.deepEqual(
    [counted?.link.short, counted?.link.aliases, counted?.clicks],
    ['New', ['Old-Name'], 2],
  );
  assert.deepEqual(
    (await changesOf(store, { id: 'new', limit: 9 })).map(({ kind }) => kind),
    ['rename', 'create'],
  );
  await assert.rejects(
    editor.create({ short: 'oldname', long: 'http://y/' }, BAR),
    refused('ERR_TAKEN'),
  );
  await editor.create({ short: 'other', long: 'http://y/' }, BAR);
  await assert.rejects(editor.update('other', { short: 'new' }, BAR), refused('ERR_TAKEN'));
  await assert.rejects(editor.update('other', { aliases: ['new'] }, BAR), refused('ERR_TAKEN'));
  await editor.update('new', { aliases: [] }, FOO);
  assert.equal(await store.find('oldname'), undefined);
  await editor.create({ short: 'oldname', long: 'http://z/' }, BAR);
});

test('a deleted link comes back as it was, by its owner only, unless its name is taken', async () => {
  await using go = await Fixture.open();
  const { editor, store } = go;
  await editor.create(
    { short: 'x', long: 'http://x/', description: 'what', tags: ['B', 'a'] },
    FOO,
  );
  await editor.remove('x', FOO);
  assert.equal(await store.find('x'), undefined);
  assert.deepEqual(
    (await deletedLinks(store, 9)).map(({ link, by }) => [link.short, by]),
    [['x', FOO.login]],
  );
  const [deletion] = await changesOf(store, { id: 'x', limit: 1 });
  await assert.rejects(editor.restore(deletion!.seq, EVE), refused('ERR_FORBIDDEN'));
  const back = await editor.restore(deletion!.seq, FOO);
  assert.deepEqual([back.long, back.description, back.tags], ['http://x/', 'what', ['a', 'b']]);
  await assert.rejects(editor.restore(999, FOO), refused('ERR_NOT_FOUND'));
  assert.equal((await deletedLinks(store, 9)).length, 0);
});

test('the whole service goes back to a moment: new links go, deleted ones come, changed and renamed ones return', async () => {
  await using go = await Fixture.open();
  const { editor, store } = go;
  for (const short of ['kept', 'changed', 'deleted', 'renamed'])
    await editor.create({ short, long: `http://${short}/` }, FOO);
  const moment = go.now;
  go.now += 60_000;
  await editor.update('changed', { long: 'http://wrong/' }, FOO);
  await editor.update('changed', { long: 'http://worse/' }, FOO);
  await editor.remove('deleted', FOO);
  await editor.update('renamed', { short: 'elsewhere' }, FOO);
  // Somebody took the name that has become free.
  await editor.create({ short: 'renamed', long: 'http://squatter/' }, EVE);
  await assert.rejects(editor.restoreAll(moment, FOO), refused('ERR_FORBIDDEN'));
  const plan = { created: 1, changed: 2, deleted: 1 };
  assert.deepEqual(await editor.restoreAll(moment, BOSS, { dryRun: true }), plan);
  assert.equal((await store.find('changed'))?.long, 'http://worse/');
  go.now += 60_000;
  assert.deepEqual(await editor.restoreAll(moment, BOSS), plan);
  const { links } = await listLinks(store, { limit: 9 });
  assert.deepEqual(
    links.map(({ link }) => [link.short, link.long]),
    ['changed', 'deleted', 'kept', 'renamed'].map((short) => [short, `http://${short}/`]),
  );
  assert.deepEqual(await editor.restoreAll(moment, BOSS), { created: 0, changed: 0, deleted: 0 });
});

test('lists go on where a page ended, in every order', async () => {
  await using go = await Fixture.open();
  const { editor, store } = go;
  for (let i = 0; i < 25; i++) {
    go.now += 1_000;
    await editor.create({ short: `n${i}`, long: 'http://x/' }, i % 5 === 0 ? BAR : FOO);
    for (let k = 0; k < i % 4; k++) store.clicks.count(`n${i}`);
  }
  await store.flush();
  for (const order of ['short', 'clicks', 'edited'] as const) {
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await listLinks(store, {
        order,
        limit: 7,
        ...(after !== undefined && { after }),
      });
      for (const { link } of page.links) seen.push(link.short);
      after = page.next;
    } while (after !== undefined);
    const whole = (await listLinks(store, { order, limit: 100 })).links.map(
      ({ link }) => link.short,
    );
    assert.deepEqual(seen, whole, order);
    assert.equal(new Set(seen).size, 25);
  }
  assert.equal(await countLinks(store, { owner: 'BAR@example.com' }), 5);
  await assert.rejects(listLinks(store, { limit: 5, after: 'nonsense' }), refused('ERR_REQUEST'));
});

test('search finds by every field, exact name first, and takes any text for text', async () => {
  await using go = await Fixture.open();
  const { editor, store } = go;
  await editor.create({ short: 'wiki', long: 'http://docs.example/' }, FOO);
  await editor.create({ short: 'wiki-old', long: 'http://old.example/', tags: ['legacy'] }, BAR);
  await editor.create(
    { short: 'plan', long: 'http://wiki.example/', description: 'Road map' },
    BAR,
  );
  const found = async (text: string): Promise<string[]> =>
    (await searchLinks(store, text, 10)).map(({ link }) => link.short);
  assert.deepEqual(await found('wiki'), ['wiki', 'wiki-old', 'plan']);
  assert.deepEqual(await found('ROAD map'), ['plan']);
  assert.deepEqual(await found('tag:legacy'), ['wiki-old']);
  assert.deepEqual((await found('owner:bar@example wiki')).sort(), ['plan', 'wiki-old']);
  assert.deepEqual(await found('ma'), ['plan']);
  assert.deepEqual(await found('xyz'), []);
  await editor.remove('plan', BAR);
  assert.deepEqual(await found('road'), []);
  for (const odd of [
    '"',
    "'",
    '%',
    '_',
    '\\',
    'a"b',
    '*',
    'NEAR(a b)',
    '\0',
    'short:x',
    '-',
    'AND',
    '( ) ^',
  ])
    assert.ok(Array.isArray(await found(odd)), odd);
});
