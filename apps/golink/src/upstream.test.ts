import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { SqliteDatabase } from '@cove/sqlite';
import type { Golink } from './golink.ts';
import { startService } from './testing/service.ts';
import { writeUpstream } from './testing/upstream.ts';

const root = mkdtempSync(join(tmpdir(), 'golink-upstream-'));
after(() => rmSync(root, { recursive: true, force: true }));

const FIXTURE = {
  links: [
    {
      short: 'B-c',
      long: 'https://b.example.com/{{.Path}}',
      owner: 'foo@example.com',
      created: 1_654_131_723,
      lastEdit: 1_654_131_903,
    },
    { short: 'a', long: 'https://a.example.com/', owner: 'tagged-devices' },
    { short: 'meet', long: '/a' },
  ],
  stats: [
    ['a', 1_654_131_723, 1],
    ['bc', 1_654_131_723, 2],
    ['bc', 1_654_131_903, 3],
    ['bc', 1_654_131_903, 4],
    ['gone', 1_654_131_903, 9],
  ] as const,
};

async function exported(golink: Golink, options?: { readonly stats?: boolean }): Promise<string> {
  const stream = new PassThrough();
  const [body] = await Promise.all([text(stream), golink.exportTo(stream, options)]);
  return body;
}

const EXPORT = `{"Short":"B-c","Long":"https://b.example.com/{{.Path}}","Created":"2022-06-02T01:02:03Z","LastEdit":"2022-06-02T01:05:03Z","Owner":"foo@example.com"}
{"Short":"a","Long":"https://a.example.com/","Created":"0001-01-01T00:00:00Z","LastEdit":"0001-01-01T00:00:00Z","Owner":"tagged-devices"}
{"Short":"meet","Long":"/a","Created":"0001-01-01T00:00:00Z","LastEdit":"0001-01-01T00:00:00Z","Owner":""}
`;
const STATS = 'a,1654131723,1\nbc,1654131723,2\nbc,1654131903,7\n';

test("golink's own database comes in with its clicks, once, and is only read", async () => {
  const path = join(root, 'golink.db');
  writeUpstream(path, FIXTURE);
  const before = readFileSync(path);
  await using go = await startService();
  const dry = await go.golink.importSnapshot(path, { dryRun: true });
  assert.equal(await exported(go.golink), '', 'a dry run changes nothing');
  const first = await go.golink.importSnapshot(path);
  assert.deepEqual(first, dry);
  assert.deepEqual([first.lines, first.added, first.clicks], [3, 3, 10]);
  assert.equal(await exported(go.golink), EXPORT);
  assert.equal((await go.get('/.export-stats')).body, STATS);
  await go.get('/b-c/x');
  const second = await go.golink.importSnapshot(path);
  assert.deepEqual([second.added, second.unchanged], [0, 3]);
  const row = (await go.get('/.export-stats')).body.split('\n');
  assert.ok(row.includes('bc,1654131903,7'), 'past clicks are not added twice');
  const found = JSON.parse((await go.get('/.api/v1/links/b-c')).body) as { clicks: number };
  assert.equal(found.clicks, 10, 'the total has past clicks and those since');
  assert.deepEqual(readFileSync(path), before);
});

test('a golink that still writes (WAL) can be read at the same time', async () => {
  const path = join(root, 'wal.db');
  writeUpstream(path, FIXTURE);
  const writer = new SqliteDatabase(path);
  writer.pragma('journal_mode = WAL');
  writer.prepare("update Links set Long = 'https://new.example.com/' where ID = 'a'").run();
  await using go = await startService();
  assert.equal((await go.golink.importSnapshot(path)).added, 3);
  assert.equal((await go.get('/a')).location, 'https://new.example.com/');
  writer.close();
});

test('a link that is another one here keeps its own destination and its own clicks', async () => {
  const path = join(root, 'conflict.db');
  writeUpstream(path, FIXTURE);
  await using go = await startService();
  await go.save('BC', 'https://mine.example.com/');
  const report = await go.golink.importSnapshot(path);
  assert.deepEqual([report.added, report.clicks], [2, 1]);
  assert.match(report.conflicting[0]!.reason, /leads to https:\/\/mine\.example\.com\//);
  assert.equal((await go.get('/.export-stats')).body, 'a,1654131723,1\n');
});

test('other databases, files that are damaged and files that are not there are a sentence each', async () => {
  const other = join(root, 'other.db');
  new SqliteDatabase(other).exec('create table t (a)').close();
  const damaged = join(root, 'damaged.db');
  writeFileSync(damaged, `SQLite format 3\0${'x'.repeat(5000)}`);
  const own = join(root, 'own.db');
  await (await startService({ database: own }))[Symbol.asyncDispose]();
  await using go = await startService();
  for (const [path, pattern] of [
    [other, /none of golink: it has no table Links/],
    [damaged, /damaged\.db cannot be read/],
    [own, /a database of this program already/],
    [join(root, 'nowhere.db'), /no such file/],
  ] as const)
    await assert.rejects(go.golink.importSnapshot(path), pattern);
});

test('a snapshot with clicks and all that golink does not know makes the same service again', async () => {
  await using go = await startService();
  const made = await go.send(
    'POST',
    '/.api/v1/links',
    JSON.stringify({
      ...{ short: 'Team', long: 'https://t.example.com/?q=1', description: 'Our <team>' },
      ...{ tags: ['work', 'wiki'], editors: ['bar@example.com', 'group:eng'] },
      ...{ aliases: ['crew', 'Us-2'], openEdit: true, append: 'path' },
    }),
    { 'content-type': 'application/json', 'sec-golink': '1' },
  );
  assert.equal(made.status, 201, made.body);
  await go.save('zed', 'https://z.example.com/');
  await go.get('/crew');
  const snapshot = await exported(go.golink, { stats: true });
  assert.match(snapshot, /\n\{"Short":"Us-2","Long":"\/Team",.*"AliasOf":"Team"\}\n/);
  assert.match(snapshot, /\n\{"Stats":\[\["team",\d+,1\]\]\}\n$/);
  await using again = await startService();
  const report = await again.golink.importSnapshot(chunks(snapshot));
  assert.deepEqual([report.lines, report.added, report.clicks], [2, 2, 1]);
  assert.deepEqual([report.conflicting, report.invalid], [[], []]);
  assert.equal(await exported(again.golink, { stats: true }), snapshot);
  assert.equal((await again.get('/us2/x')).location, 'https://t.example.com/x?q=1');

  // What golink would give back of it: five keys of each line that has a name.
  const plain = snapshot
    .split('\n')
    .flatMap((line) => {
      const { Short, Long, Created, LastEdit, Owner } = JSON.parse(line || '{}') as Record<
        string,
        string
      >;
      return Short ? [JSON.stringify({ Short, Long, Created, LastEdit, Owner })] : [];
    })
    .join('\n');
  await using back = await startService();
  assert.equal((await back.golink.importSnapshot(chunks(plain))).added, 4);
  assert.equal((await back.get('/us2')).location, '/Team', 'another name is a link to the link');
});

test('other names that are taken, and those whose link is missing, are told and not lost', async () => {
  await using go = await startService();
  await go.save('crew', 'https://other.example.com/');
  const lines = [
    '{"Short":"team","Long":"https://t.example.com/","Aliases":["crew","us","x"]}',
    '{"Short":"x","Long":"https://x.example.com/"}',
    '{"Short":"us","Long":"/team","AliasOf":"team"}',
    '{"Short":"crew","Long":"/team","AliasOf":"team"}',
    '{"Short":"orphan","Long":"/nobody","AliasOf":"nobody"}',
  ].join('\n');
  const dry = await go.golink.importSnapshot(chunks(lines), { dryRun: true });
  const report = await go.golink.importSnapshot(chunks(lines));
  assert.deepEqual(report, dry);
  assert.deepEqual(
    report.conflicting.map(({ line, short, reason }) => [line, short, reason]),
    [
      [1, 'team', 'its other name crew is taken'],
      [1, 'team', 'its other name x is taken'],
      [4, 'crew', 'exists already and leads to https://other.example.com/'],
    ],
  );
  assert.equal((await go.get('/us')).location, 'https://t.example.com/');
  assert.equal((await go.get('/x')).location, 'https://x.example.com/');
  assert.equal((await go.get('/orphan')).location, '/nobody');
});

test('what is wrong with fields that golink does not have is told by line', async () => {
  await using go = await startService();
  const bad = [
    { Tags: 'work' },
    { Editors: ['a b'] },
    { Aliases: ['.x'] },
    { OpenEdit: 'yes' },
    { Append: 'front' },
    { Description: 'x'.repeat(1001) },
  ].map((more, i) => JSON.stringify({ Short: `l${i}`, Long: 'https://x/', ...more }));
  bad.push('{"Stats":[["l0",1]]}', '{"Stats":{}}');
  const report = await go.golink.importSnapshot(chunks(bad.join('\n')));
  assert.deepEqual(
    report.invalid.map(({ reason }) => reason.slice(0, 40)),
    [
      'has tags that are no list of words',
      'has editors: "a b" is empty, too long or',
      'has another name that no link can have',
      'has an openedit that is neither true nor',
      'has an append that is neither end nor pa',
      'has a description of more than 1000 char',
      'has clicks that are no [name, seconds, c',
      'has clicks that are no list',
    ],
  );
  assert.equal(report.added, 0);
});

async function* chunks(source: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(source);
}
