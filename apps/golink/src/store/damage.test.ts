// Files that were damaged, disks that fill up: a sentence, nothing lost that was there, and the process goes on.
import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sql } from 'kysely';
import { GolinkError } from '../errors.ts';
import { newLink } from '../links.ts';
import { changesOf, restoreAll } from './history.ts';
import { countedLink, countLinks, listLinks } from './listing.ts';
import { searchLinks } from './search.ts';
import { Store } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'golink-damage-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const NOBODY = { login: '', node: '' };
const LINKS = 400;
const PAGE = 4096;

const open = (file: string): Promise<Store> =>
  Store.open({ database: file, now: () => 1_654_200_000_000, log: () => {} });
const link = (i: number) =>
  newLink({ short: `name${i}`, long: `http://h/${i}`, owner: 'a@x', created: 1, lastEdit: 1 });

async function whole(file: string): Promise<void> {
  const store = await open(file);
  await store.addMissing(
    Array.from({ length: LINKS }, (_, i) => link(i)),
    NOBODY,
  );
  await store.close();
}

/** Everything a service does with its database. Gives the codes of what failed. */
async function use(file: string): Promise<Set<string>> {
  const failed = new Set<string>();
  const attempt = async (work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      assert.ok(error instanceof GolinkError, `no sentence: ${error}`);
      assert.match(
        error.message,
        /^The database .*\.$|^The history of this link cannot be read\.$/,
      );
      failed.add(error.code);
    }
  };
  let store: Store | undefined;
  await attempt(async () => {
    store = await open(file);
  });
  if (store === undefined) return failed;
  const here = store;
  for (let i = 0; i < LINKS; i += 7) await attempt(() => here.find(`name${i}`));
  await attempt(() => listLinks(here, { limit: LINKS }));
  await attempt(() => searchLinks(here, 'name', 5));
  await attempt(() => countedLink(here, 'name1'));
  await attempt(() => countLinks(here));
  await attempt(() => changesOf(here, { limit: LINKS }));
  await attempt(() =>
    here.change('name3', NOBODY, (before) => before && { ...before, long: 'http://n/' }),
  );
  await attempt(() => here.addMissing([link(LINKS)], NOBODY));
  here.clicks.count('name5');
  await attempt(() => here.flush());
  await attempt(() => restoreAll(here, 0, NOBODY, { dryRun: true }));
  await attempt(() => here.close());
  return failed;
}

test('pages overwritten at random: told at the start, and the file stays as it was', async () => {
  const file = join(dir, 'whole.db');
  await whole(file);
  const pages = readFileSync(file).length / PAGE;
  const outcomes = new Set<string>();
  for (let page = 0; page < pages; page += 3) {
    const hurt = join(dir, `page${page}.db`);
    const bytes = readFileSync(file);
    for (let i = page * PAGE; i < (page + 1) * PAGE; i++) bytes[i] = (i * 2_654_435_761) >>> 11;
    writeFileSync(hurt, bytes);
    const failed = await use(hurt);
    for (const code of failed) outcomes.add(code);
    if (failed.has('ERR_DATABASE_CORRUPT'))
      assert.deepEqual(readFileSync(hurt), bytes, `page ${page}`);
    rmSync(hurt);
  }
  assert.deepEqual([...outcomes], ['ERR_DATABASE_CORRUPT']);
});

test('a file cut off anywhere is told as damaged, not taken for a smaller one', async () => {
  const file = join(dir, 'long.db');
  await whole(file);
  const size = readFileSync(file).length;
  for (const length of [
    1,
    99,
    512,
    PAGE - 1,
    PAGE,
    3 * PAGE + 7,
    size >> 1,
    size - PAGE,
    size - 1,
  ]) {
    const cut = join(dir, `cut${length}.db`);
    copyFileSync(file, cut);
    truncateSync(cut, length);
    assert.deepEqual([...(await use(cut))], ['ERR_DATABASE_CORRUPT'], `${length} bytes`);
    rmSync(cut);
  }
});

test('a full disk refuses changes with a sentence; links are followed, counts are kept until there is room', async () => {
  const file = join(dir, 'full.db');
  await whole(file);
  const store = await open(file);
  const { db } = store.database;
  const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
  const room = (pages: number) =>
    sql`pragma max_page_count = ${sql.lit(rows[0]!.page_count + pages)}`.execute(db);
  await room(0);
  const refused = (error: unknown): boolean => {
    assert.ok(error instanceof GolinkError, String(error));
    assert.match(error.message, /^The database .* cannot be used: database or disk is full\.$/);
    return true;
  };
  const many = Array.from({ length: 500 }, (_, i) => link(10_000 + i));
  await assert.rejects(store.addMissing(many, NOBODY), refused);
  const long = `http://h/${'x'.repeat(100_000)}`;
  await assert.rejects(
    store.change('name1', NOBODY, (before) => ({ ...before!, long })),
    refused,
  );
  // Enough to need a page.
  for (let i = 0; i < LINKS; i++) store.clicks.count(`name${i}`);
  for (let i = 0; i < 900; i++) store.clicks.miss(`missing-${i}-${'x'.repeat(60)}`);
  await assert.rejects(store.flush(), refused);
  assert.equal((await store.find('name1'))?.long, 'http://h/1');
  assert.equal(await countLinks(store), LINKS);
  await room(10_000);
  await store.flush();
  assert.equal((await countedLink(store, 'name1'))?.clicks, 1);
  assert.equal((await store.addMissing(many, NOBODY)).size, 500);
  assert.equal(await countLinks(store), LINKS + 500);
  await store.close();
});
