import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDataDir } from '../datadir.ts';
import { isOwner, ownerCookie, ownerSecret, withoutOwner } from './owner.ts';

const asks = (url: string, cookie?: string): IncomingMessage =>
  ({ url, headers: cookie === undefined ? {} : { cookie } }) as IncomingMessage;

test('the secret is made once, and a damaged one is named', () => {
  const root = mkdtempSync(join(tmpdir(), 'cove-owner-'));
  try {
    const dir = openDataDir(root);
    const secret = ownerSecret(dir);
    assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(ownerSecret(dir), secret);
    writeFileSync(join(root, 'doorway.secret'), '');
    assert.throws(() => ownerSecret(dir), { code: 'ERR_INPUT_FILE' });
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('only the whole secret makes an owner, in the link and in the cookie', () => {
  assert.match(ownerCookie(asks('/?owner=abc'), 'abc') ?? '', /^cove-owner=abc; HttpOnly/);
  for (const url of ['/', '/?owner=', '/?owner=ab', '/?owner=abd', 'http:///', '*', '/x?owner=abc'])
    assert.equal(ownerCookie(asks(url), 'abc'), undefined, url);
  assert.ok(isOwner(asks('/', 'a=1; cove-owner=abc'), 'abc'));
  for (const cookie of [undefined, '', 'cove-owner', 'cove-owner=', 'cove-owner=ab', 'x=abc'])
    assert.ok(!isOwner(asks('/', cookie), 'abc'), cookie);
});

test('the cookie does not travel to services, others do', () => {
  assert.equal(withoutOwner('a=1; cove-owner=abc; b=2=3'), 'a=1; b=2=3');
  assert.equal(withoutOwner('cove-owner=abc'), undefined);
  assert.equal(withoutOwner(undefined), undefined);
});
