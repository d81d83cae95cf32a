// Moving in: a golink snapshot of 10,000 links, templates included, taken over offline and by a running service.
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';

const LINKS = 10_000;
const root = mkdtempSync(join(tmpdir(), 'cove-import-'));
const snapshot = join(root, 'links.json');
after(() => rmSync(root, { recursive: true, force: true }));

const TEMPLATES = [
  'https://example.com/{{.Path}}',
  'https://search.example.com/{{with .Path}}?q={{.}}{{end}}',
  'https://wiki.example.com/{{if .Path}}find/{{QueryEscape .Path}}{{else}}home{{end}}',
  'https://hr.example.com/{{.User}}',
];

function link(i: number): string {
  const long =
    i % 5 === 0 ? TEMPLATES[(i / 5) % TEMPLATES.length]! : `https://example.com/page/${i}`;
  const created = new Date(Date.UTC(2024, 0, 1) + i * 60_000).toISOString();
  return JSON.stringify({
    Short: `link-${i}`,
    Long: long,
    Created: created,
    LastEdit: created,
    Owner: `user${i % 50}@example.com`,
  });
}
writeFileSync(snapshot, `${Array.from({ length: LINKS }, (_, i) => link(i)).join('\n')}\n`);

interface Report {
  readonly added: number;
  readonly unchanged: number;
  readonly conflicting: readonly unknown[];
  readonly invalid: readonly unknown[];
}

const importInto = async (
  dir: string,
  ...more: string[]
): Promise<{ report: Report; stderr: string }> => {
  const { code, stdout, stderr } = await cove(
    ['golink', 'import', snapshot, '--dir', dir, '--json', ...more],
    { timeout: 60_000 },
  );
  assert.equal(code, 0, stderr);
  return { report: JSON.parse(stdout) as Report, stderr };
};

test('offline: a dry run changes nothing, the import takes all, a second run nothing twice', async () => {
  const dir = join(root, 'offline');
  assert.equal((await importInto(dir, '--dry-run')).report.added, LINKS);
  const first = await importInto(dir);
  assert.equal(first.report.added, LINKS);
  assert.match(first.stderr, /10000 lines read, 10000 links added/, 'progress is shown');
  const second = await importInto(dir);
  assert.deepEqual([second.report.added, second.report.unchanged], [0, LINKS]);
  const { stdout } = await cove(['golink', 'export', '--dir', dir]);
  const before = readFileSync(snapshot, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { Short: string; Long: string; Owner: string });
  const exported = new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => {
        const { Short, Long, Owner } = JSON.parse(line) as {
          Short: string;
          Long: string;
          Owner: string;
        };
        return [Short, `${Long} ${Owner}`];
      }),
  );
  assert.equal(exported.size, LINKS);
  for (const { Short, Long, Owner } of before)
    assert.equal(exported.get(Short), `${Long} ${Owner}`);
});

test('into a running service: the links answer at once', async () => {
  const running = await RunningCove.start([
    'up',
    '--dir',
    join(root, 'running'),
    '--owner',
    'user7@example.com',
    ...FREE_PORTS,
  ]);
  try {
    assert.equal((await importInto(join(root, 'running'))).report.added, LINKS);
    assert.equal((await running.ask('/link-7')).headers['location'], 'https://example.com/page/7');
    assert.equal(
      (await running.ask('/link-5/kernel')).headers['location'],
      'https://search.example.com/?q=kernel',
    );
    assert.equal(
      (await running.ask('/link-15')).headers['location'],
      'https://hr.example.com/user7@example.com',
    );
    assert.equal((await importInto(join(root, 'running'))).report.added, 0);
  } finally {
    await running.stop();
  }
});

test('lines that are no links are named, the others taken, the exit code is 1', async () => {
  const dir = join(root, 'partly');
  const input = `${link(1)}\nnot json\n{"Short":"","Long":"x"}\n${link(2)}\n`;
  const { code, stdout, stderr } = await cove(['golink', 'import', '-', '--dir', dir, '--json'], {
    input,
  });
  assert.equal(code, 1);
  assert.equal((JSON.parse(stdout) as Report).added, 2);
  assert.match(stderr, /line 2: /);
  assert.match(stderr, /line 3: /);
});

test('a file that is not there is one sentence', async () => {
  const { code, stderr } = await cove([
    'golink',
    'import',
    join(root, 'nowhere.json'),
    '--dir',
    join(root, 'x'),
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /^cove: .*nowhere\.json cannot be read/);
});

test('an export replaces its target only when it is whole', async () => {
  const dir = join(root, 'exported');
  const out = join(root, 'out');
  mkdirSync(out);
  const target = join(out, 'links.json');
  writeFileSync(target, 'what was there\n');
  const nowhere = join(root, 'no-links-here');
  const wrong = await cove(['golink', 'export', target, '--dir', nowhere]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /^cove: there are no links in .*no-links-here: name the directory/);
  assert.equal(readFileSync(target, 'utf8'), 'what was there\n');
  assert.ok(!existsSync(nowhere), 'looking for links makes no directory');

  await cove(['golink', 'import', '-', '--dir', dir], { input: `${link(1)}\n` });
  const right = await cove(['golink', 'export', target, '--dir', dir]);
  assert.equal(right.code, 0, right.stderr);
  assert.match(readFileSync(target, 'utf8'), /^\{"Short":"link-1",[^\n]*\n$/);
  assert.deepEqual(readdirSync(out), ['links.json']);
});

test('files that cannot be opened are one sentence, for export and import', async () => {
  const dir = join(root, 'unopened');
  await cove(['golink', 'import', '-', '--dir', dir], { input: `${link(1)}\n` });
  for (const [args, pattern] of [
    [['export', join(root, 'no', 'such', 'links.json')], /^cove: .*links\.json cannot be written/],
    [['export', root], /^cove: .* cannot be written/],
    [['import', root], /^cove: .* cannot be read/],
  ] as const) {
    const { code, stderr } = await cove(['golink', ...args, '--dir', dir]);
    assert.equal(code, 1, args[0]);
    assert.match(stderr, pattern);
    assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace');
  }
});
