// The README promises nothing that no test holds: every test it names is there.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const APP = join(import.meta.dirname, '..');
const ROOT = join(APP, '../..');
const readme = readFileSync(join(APP, 'README.md'), 'utf8');

const titles: string = readdirSync(join(APP, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => readFileSync(join(APP, 'src', name), 'utf8'))
  .join('\n');

test('every test file, bench and picture the README names exists', () => {
  const files = [...readme.matchAll(/`([\w./-]+\.ts)`/g)].map((match) => match[1]!);
  assert.ok(files.length > 30, `${files.length} files`);
  for (const file of new Set(files)) {
    const places = [join(APP, 'src', file), join(ROOT, file), join(ROOT, 'packages/cli/src', file)];
    assert.ok(places.some(existsSync), file);
  }
  const links = [...readme.matchAll(/\]\((\.\.\/[^)#]+)/g)].map((match) => match[1]!);
  assert.ok(links.length > 5);
  for (const link of links) assert.ok(existsSync(join(APP, link)), link);
});

test('every test the README names by its title exists', () => {
  const table = readme.slice(readme.indexOf('## The template language'));
  const named = [...table.matchAll(/\*([A-Za-z.][^*|\n]{15,})\*/g)].map((match) => match[1]!);
  assert.ok(named.length >= 5, String(named.length));
  for (const title of named) assert.ok(titles.includes(title), title);
});
