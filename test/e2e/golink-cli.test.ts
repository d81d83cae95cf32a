// A fresh user's move: golink's database in, served, used, looked after from the command line, and out again.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SqliteDatabase } from '@cove/sqlite';
import { BIN, cove, RunningCove } from '../harness/cove.ts';

const root = mkdtempSync(join(tmpdir(), 'cove-golink-'));
after(() => rmSync(root, { recursive: true, force: true }));

const upstream = join(root, 'golink.db');
const links = join(root, 'links.db');
{
  const database = new SqliteDatabase(upstream);
  database.exec(`
    create table Links (ID text primary key, Short text not null default '', Long text not null default '',
      Created integer not null default 0, LastEdit integer not null default 0, Owner text not null default '');
    create table Stats (ID text not null default '', Created integer not null default 0, Clicks integer);
    insert into Links values
      ('chat', 'chat', '/meet', 1654131723, 1654131723, 'foo@example.com'),
      ('cs', 'cs', 'http://codesearch/{{with .Path}}search?q={{.}}{{end}}', 1654131723, 1654131723, 'bar@example.com'),
      ('meet', 'Meet', 'https://meet.google.com/lookup/', -62135596800, -62135596800, '');
    insert into Stats values ('meet', 1654131723, 5), ('cs', 1654131723, 2), ('meet', 1654131903, 1)`);
  database.close();
}
const SNAPSHOT = `{"Short":"Meet","Long":"https://meet.google.com/lookup/","Created":"0001-01-01T00:00:00Z","LastEdit":"0001-01-01T00:00:00Z","Owner":""}
{"Short":"chat","Long":"/meet","Created":"2022-06-02T01:02:03Z","LastEdit":"2022-06-02T01:02:03Z","Owner":"foo@example.com"}
{"Short":"cs","Long":"http://codesearch/{{with .Path}}search?q={{.}}{{end}}","Created":"2022-06-02T01:02:03Z","LastEdit":"2022-06-02T01:02:03Z","Owner":"bar@example.com"}
`;

/** One command, which must succeed; its standard output. */
async function golink(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cove(['golink', ...args], {
    timeout: 60_000,
    env: { COVE_DIR: join(root, 'data') },
  });
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

const serve = (...more: string[]): Promise<RunningCove> =>
  RunningCove.start(['golink', '--dev-listen', '127.0.0.1:0', '--database', links, ...more]);

async function ask(running: RunningCove, path: string, init: RequestInit = {}): Promise<Response> {
  const { url } = running.ready.services[0]!;
  return fetch(new URL(path, url), { redirect: 'manual', ...init });
}

/** Lines with the clicks. */
const stats = async (database: string): Promise<readonly string[]> =>
  (await golink('export', '--stats', '--database', database))
    .split('\n')
    .filter((line) => line.startsWith('{"Stats"'));

const save = (running: RunningCove, short: string, long: string): Promise<Response> =>
  ask(running, '/', {
    method: 'POST',
    headers: { 'sec-golink': '1' },
    body: new URLSearchParams({ short, long }),
  });

test("golink's database comes in with its clicks, is served, and leaves as it came", async () => {
  const dry = await golink('import', upstream, '--database', links, '--dry-run');
  assert.match(dry, /3 links would be new\n8 clicks/);
  assert.equal(existsSync(links), false, 'a dry run makes no database');
  const report = JSON.parse(await golink('import', upstream, '--database', links, '--json'));
  assert.deepEqual([report.added, report.clicks, report.invalid], [3, 8, []]);
  const running = await serve();
  try {
    const meet = await ask(running, '/meet/foo');
    assert.equal(meet.headers.get('location'), 'https://meet.google.com/lookup/foo');
    const search = await ask(running, '/cs/term');
    assert.equal(search.headers.get('location'), 'http://codesearch/search?q=term');
    assert.equal(await (await ask(running, '/.healthz')).text(), 'ok\n');
    const metrics = await (await ask(running, '/.metrics')).text();
    assert.match(metrics, /^golinks_total 3$/m);
    assert.match(metrics, /^golink_clicks_total\{path="Meet"\} 1$/m);
    const stats = (await (await ask(running, '/.export-stats')).text()).split('\n');
    for (const row of ['cs,1654131723,2', 'meet,1654131723,5', 'meet,1654131903,1'])
      assert.ok(stats.includes(row), row);
    assert.equal(await (await ask(running, '/.export')).text(), SNAPSHOT);
    assert.equal(await golink('export', '--database', links), SNAPSHOT);
  } finally {
    assert.equal(await running.stop(), 0);
  }
  const before = await stats(links);
  const again = await golink('import', upstream, '--database', links);
  assert.match(again, /^0 links are new/);
  assert.deepEqual(await stats(links), before, 'clicks are not counted twice');
});

test('an import names the links that exist with another destination, and those that cannot be followed', async () => {
  const file = join(root, 'odd.jsonl');
  const here = join(root, 'odd.db');
  const line = (Short: string, Long: string): string => `${JSON.stringify({ Short, Long })}\n`;
  writeFileSync(file, line('wiki', 'http://wiki/'));
  await golink('import', file, '--database', here);
  const odd = line('chat', 'slack://open') + line('bad', 'http://h/{{.Nothing}}');
  writeFileSync(file, line('wiki', 'http://other/') + odd);
  const text = await golink('import', file, '--database', here);
  assert.match(text, /^2 links are new\n/);
  assert.match(
    text,
    /\n1 names exist [^\n]+\n {2}wiki: exists already and leads to http:\/\/wiki\/\n/,
  );
  assert.match(
    text,
    /\n2 cannot be followed [^\n]+\n {2}chat: .*slack: are not followed\.\n {2}bad: /,
  );
});

test('resolve prints where a link leads: from our database, a snapshot, or golink.db, with none of ours there', async () => {
  const snapshot = join(root, 'snapshot.jsonl');
  writeFileSync(snapshot, SNAPSHOT);
  const sources = [
    ['--database', links],
    ['--from', snapshot],
    ['--from', upstream],
  ];
  for (const source of sources)
    assert.equal(
      await golink('resolve', 'chat/foo', ...source),
      'https://meet.google.com/lookup/foo\n',
    );
  assert.equal(
    await golink('resolve', 'http://go/cs/term', '--from', upstream),
    'http://codesearch/search?q=term\n',
  );
  const { code, stderr } = await cove(['golink', 'resolve', 'golang', '--from', upstream]);
  assert.deepEqual([code, stderr], [1, 'cove: There is no link go/golang.\n']);
});

test('while it is served: history, restoring one and all, tokens and a backup that holds everything', async () => {
  const running = await serve();
  try {
    const before = new Date().toISOString();
    for (const long of ['https://one.example.com/', 'https://two.example.com/']) {
      // The clock of changes has milliseconds.
      await new Promise((resolve) => setTimeout(resolve, 5));
      await ask(running, '/.api/v1/links/new', { method: 'DELETE' });
      assert.equal((await save(running, 'new', long)).status, 200);
    }
    const history = JSON.parse(await golink('history', 'NEW', '--database', links, '--json'));
    assert.deepEqual(
      history.map((change: { kind: string; by: string }) => [change.kind, change.by]),
      [
        ['create', 'foo@example.com'],
        ['delete', 'foo@example.com'],
        ['create', 'foo@example.com'],
      ],
    );
    const text = await golink('history', 'new', '--database', links);
    assert.match(text, /^CHANGE +WHEN +WHAT +LINK +BY +DESTINATION\n/);
    const first = String(history[2].change);
    await golink('restore', 'new', '--change', first, '--database', links);
    const restored = await ask(running, '/new');
    assert.equal(restored.headers.get('location'), 'https://one.example.com/');

    const copy = join(root, 'copy.db');
    await golink('backup', copy, '--database', links);
    assert.equal(statSync(copy).mode & 0o777, 0o600);
    assert.equal(await golink('resolve', 'new', '--database', copy), 'https://one.example.com/\n');

    const all = ['restore', '--all', '--at', before, '--database', links];
    assert.match(await golink(...all, '--dry-run'), /^0 links would come back.* 1 that are newer/);
    assert.equal((await ask(running, '/new')).status, 302);
    await golink(...all);
    assert.equal((await ask(running, '/new')).status, 404);
    assert.match(await golink('history', '--database', copy, '--limit', '1'), /restore +new/);

    const token = (
      await golink(
        ...['token', 'create', 'ci', '--owner', 'ci@example.com', '--scope', 'write'],
        ...['--scope', 'read', '--expires', '1h', '--database', links],
      )
    ).trim();
    const headers = { authorization: `Bearer ${token}` };
    const me = (await (await ask(running, '/.api/v1/me', { headers })).json()) as {
      login: string;
    };
    assert.equal(me.login, 'ci@example.com');
    const list = await golink('token', 'list', '--database', links);
    const id = /^(\w+) +ci +ci@example\.com +write,read/m.exec(list)![1]!;
    await golink('token', 'revoke', id, '--database', links);
    assert.equal((await ask(running, '/.api/v1/me', { headers })).status, 401);
    assert.equal(await golink('token', 'list', '--database', links), 'there are no tokens\n');
  } finally {
    await running.stop();
  }
});

test('--readonly follows links and changes none; --schemes and --snapshot do as they say', async () => {
  const more = join(root, 'more.jsonl');
  writeFileSync(more, '{"Short":"app","Long":"slack://open"}\n');
  const readonly = await serve('--readonly', '--schemes', 'https, slack', '--snapshot', more);
  try {
    assert.equal((await ask(readonly, '/app')).headers.get('location'), 'slack://open');
    assert.equal((await save(readonly, 'x', 'https://x/')).status, 405);
    assert.ok((await ask(readonly, '/cs')).status >= 400, 'http is not among the schemes');
  } finally {
    await readonly.stop();
  }
});

test('without --database the links of --dev-listen are gone with the process', async () => {
  const running = await RunningCove.start(['golink', '--dev-listen', 'localhost:0']);
  try {
    assert.equal((await save(running, 'x', 'https://x/')).status, 200);
  } finally {
    await running.stop();
  }
  const { code, stderr } = await cove(['golink', 'history', '--dir', join(root, 'none')]);
  assert.equal(code, 1);
  assert.match(stderr, /there are no links in .*links\.db: name their --dir or --database/);
});

test('what cannot be is said in a sentence, with exit code 2 for wrong usage', async () => {
  const here = ['--database', links];
  for (const [args, exit, pattern] of [
    [['--dev-listen', '0.0.0.0:80'], 2, /only loopback will do/],
    [['--dev-listen', 'nowhere'], 2, /--dev-listen nowhere: give ADDRESS/],
    [['--advertise-tags', 'tag:golink,invalid'], 2, /invalid is not a tag/],
    [['--tls-cert', 'x'], 2, /belong together/],
    [['--tls-cert', '/no/cert', '--tls-key', '/no/key'], 1, /cannot be used: ENOENT/],
    [['restore', 'cs', ...here], 2, /give either NAME and --change N/],
    [['restore', 'cs', '--change', '1', '--all', ...here], 2, /give either/],
    [['restore', '--all', '--at', 'noon', ...here], 2, /noon is not a time/],
    [['restore', '--all', '--at', '5', ...here], 2, /5 is not a time/],
    [['restore', '--all', '--at', '2026-11-21T12:00', ...here], 2, /is not a time/],
    [['restore', 'cs', '--change', '1000001', ...here], 1, /Change 1000001 is none of cs/],
    [['token', 'create', 'x', '--owner', 'o', '--scope', 'root', ...here], 2, /read or write/],
    [['token', 'revoke', 'none', ...here], 1, /there is no token none/],
    [['backup', '/no/such/dir/x.db', ...here], 1, /cannot be copied to/],
    [['import', links, ...here], 1, /a database of this program already/],
    [['export', '--database', '/nowhere.db'], 1, /there are no links in \/nowhere\.db/],
    [['resolve', 'x', '--from', '/nowhere'], 1, /cannot be read: it does not exist/],
  ] as const) {
    const { code, stderr } = await cove(['golink', ...args]);
    assert.equal(code, exit, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, pattern);
    assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace');
  }
  assert.ok(readFileSync(links).length > 0);
});

test('standard output that is full or has no reader any more is told by the exit code, without a stack trace', {
  skip: !existsSync('/dev/full') && 'there is no /dev/full',
  timeout: 120_000,
}, async () => {
  for (const args of ['export', 'history']) {
    const { code, stderr } = await shell(
      `"$NODE" "$BIN" golink ${args} --database "$LINKS" >/dev/full`,
    );
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^cove: the disk is full: .*\n$/);
  }
  const gone = await shell(
    `"$NODE" "$BIN" golink export --database "$LINKS" | true; exit \${PIPESTATUS[0]}`,
  );
  assert.deepEqual([gone.code, gone.stderr], [141, '']);
});

test('an import at the start and an export end soon when asked to, and leave nothing half done behind', {
  timeout: 120_000,
}, async () => {
  const file = join(root, 'many.jsonl');
  const many = Array.from(
    { length: 40_000 },
    (_, i) => `{"Short":"n${i}","Long":"http://x/${i}"}\n`,
  );
  writeFileSync(file, many.join(''));
  const database = join(root, 'many.db');
  const restored = spawnCove(
    '--dev-listen',
    '127.0.0.1:0',
    '--database',
    database,
    '--snapshot',
    file,
  );
  // The first links are in.
  await until(() => existsSync(`${database}-wal`) && statSync(`${database}-wal`).size > 1_000_000);
  assert.equal(await restored.end('SIGTERM'), 130);
  const count = (await golink('export', '--database', database)).split('\n').length - 1;
  assert.ok(count > 0 && count < 40_000 && count % 4_000 === 0, `${count} links`);
  await golink('import', file, '--database', database);
  const target = join(root, 'target.jsonl');
  writeFileSync(target, 'what was there');
  const exported = spawnCove('export', target, '--database', database);
  const beside = (): string[] =>
    readdirSync(root).filter((name) => name.startsWith('target.jsonl.'));
  await until(() => beside().length > 0);
  assert.equal(await exported.end('SIGINT'), 130);
  assert.deepEqual(beside(), []);
  assert.equal(readFileSync(target, 'utf8'), 'what was there');
});

async function until(isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !isSo(); ) {
    assert.ok(Date.now() < end, 'it does not come to that');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function spawnCove(...args: string[]): { end(signal: NodeJS.Signals): Promise<number | null> } {
  const child = spawn(process.execPath, [BIN, 'golink', ...args], {
    stdio: 'ignore',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  const ended = once(child, 'close');
  return {
    async end(signal) {
      child.kill(signal);
      return ((await ended) as [number | null])[0];
    },
  };
}

async function shell(
  line: string,
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  const env = { ...process.env, NODE: process.execPath, BIN, LINKS: links };
  const child = spawn('bash', ['-c', line], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}
