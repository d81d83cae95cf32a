// docs/tcp.md says which test holds which requirement: every test it names exists, and every requirement has one or says why not.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const SOURCES = new URL('../src/', import.meta.url);
const DOCUMENT = readFileSync(new URL('../../../docs/tcp.md', import.meta.url), 'utf8');

/** Names of the tests of a file, template literals as patterns. */
function namesIn(file: string): RegExp[] {
  const source = readFileSync(new URL(file, SOURCES), 'utf8');
  const calls = source.matchAll(
    /\b(?:test|both)\(\s*(?:'((?:\\.|[^'])*)'|"((?:\\.|[^"])*)"|`([^`]*)`)/g,
  );
  return [...calls].map(([, single, double, template]) => {
    const parts = (single ?? double ?? template ?? '').split(
      template === undefined ? /$^/ : /\$\{(?:[^{}]|\{[^}]*\})*\}/,
    );
    const escaped = parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    return new RegExp(`^${escaped.join('.+')}$`);
  });
}

interface Row {
  readonly cells: string[];
  readonly tests: { readonly file: string; readonly name: string }[];
}

const ROWS: Row[] = DOCUMENT.split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (Source|Input)/.test(line))
  .map((line) => {
    const cells = line.slice(2, -2).split(' | ');
    const tests = (cells.at(-1) ?? '').split('<br>').flatMap((entry) => {
      const match = /^`([^`]+)` (.+)$/.exec(entry.trim());
      return match === null ? [] : [{ file: match[1]!, name: match[2]! }];
    });
    return { cells, tests };
  });

test('every test that docs/tcp.md names exists, and names its RFC', () => {
  const known = new Map<string, RegExp[]>();
  let count = 0;
  for (const { tests } of ROWS) {
    for (const { file, name } of tests) {
      count++;
      if (!known.has(file)) known.set(file, namesIn(file));
      assert.ok(
        known.get(file)!.some((pattern) => pattern.test(name)),
        `${file} has no test "${name}"`,
      );
      assert.match(name, /RFC \d/);
    }
  }
  assert.ok(count > 120, `${count} tests named`);
});

test('every requirement of docs/tcp.md has a test, or says that and why it is not met', () => {
  assert.ok(ROWS.length > 60, `${ROWS.length} rows`);
  for (const { cells, tests } of ROWS) {
    if (cells.length < 3) assert.equal(tests.length, 1, cells[0]);
    else assert.ok(tests.length > 0 || /^no: /.test(cells[2]!), cells[0]);
  }
});

test('every file that docs/tcp.md names exists', () => {
  const files = new Set(
    readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    ),
  );
  for (const [, file] of DOCUMENT.matchAll(/`([a-z/-]+(?:\.test)?\.ts)`/g)) {
    assert.ok(files.has(file!), file);
  }
});
