import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { errnoName, Tun } from './tun.ts';

const nothing = { headroom: 16, tailroom: 32, packets: () => {}, lost: () => {} };

test('a name that no interface can have is refused before the kernel is asked', () => {
  for (const name of [
    '',
    '.',
    '..',
    'a b',
    'a/b',
    'a:b',
    'sixteen-bytes-xx',
    '%d%d',
    '100%',
    'ÄÖÜäöüßß',
  ]) {
    assert.throws(() => Tun.open({ name, ...nothing }), { code: 'ERR_NAME' }, name);
  }
});

test('without the addon the error says what to install', () => {
  const script = `
    import { Tun } from ${JSON.stringify(fileURLToPath(new URL('./tun.js', import.meta.url)))};
    try { Tun.open({ name: 'cove%d', headroom: 16, tailroom: 32, packets() {}, lost() {} }); }
    catch (error) { console.log(error.code, error.message); }`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, COVE_NO_NATIVE: '1' },
  });
  assert.match(stdout, /^ERR_NOT_BUILT the native part of Cove is missing: /);
});

test('error numbers have their names', () => {
  assert.equal(errnoName(17), 'EEXIST');
  assert.equal(errnoName(4711), 'error 4711');
});
