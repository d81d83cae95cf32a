import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { freeLabel, isLabel, isLoginName, isTag, labelOf } from './names.ts';

for (const [hostname, label] of [
  ["Joe's Mac mini", 'joes-mac-mini'],
  ['Test@Host', 'test-host'],
  ['mail.server', 'mail-server'],
  ['My-PC!', 'my-pc'],
  ['我的电脑', 'node'],
  ['printer.local', 'printer'],
  ['box.localdomain', 'box'],
  ['nas.lan', 'nas'],
  ['--x--', 'x'],
  ['', 'node'],
  ['2024', 'n2024'],
  ['7'.repeat(64), `n${'7'.repeat(62)}`],
  ['a'.repeat(100), 'a'.repeat(63)],
] as const) {
  test(`the label of ${JSON.stringify(hostname.slice(0, 20))} is ${label.slice(0, 20)}`, () => {
    assert.equal(labelOf(hostname), label);
  });
}

test('any hostname gives a DNS label', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => isLabel(labelOf(text))));
});

test('a taken label gets the first free suffix and stays within 63 characters', () => {
  const taken = new Set(['go', 'go-1', 'x'.repeat(63)]);
  assert.equal(
    freeLabel('go', (label) => taken.has(label)),
    'go-2',
  );
  assert.equal(
    freeLabel('new', (label) => taken.has(label)),
    'new',
  );
  const long = freeLabel('x'.repeat(63), (label) => taken.has(label));
  assert.equal(long, `${'x'.repeat(61)}-1`);
});

test('tags and login names', () => {
  for (const good of ['tag:a', 'tag:Web-1']) assert.ok(isTag(good), good);
  for (const bad of ['tag:', 'tag:1a', 'tag:a b', 'web', 'tag:-a', `tag:${'a'.repeat(80)}`]) {
    assert.ok(!isTag(bad), bad);
  }
  for (const good of ['a@b', 'alice.b+c@example.com']) assert.ok(isLoginName(good), good);
  for (const bad of ['alice', '@b', 'a@', 'a@b@c', 'a b@c', '"a"@b'])
    assert.ok(!isLoginName(bad), bad);
});
