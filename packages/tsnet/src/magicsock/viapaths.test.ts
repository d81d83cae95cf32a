import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '@cove/protocol/bytes';
import { PathTable } from './paths.ts';
import { ViaPaths } from './viapaths.ts';

test('a path in use is one object, however its hop was found, and goes with its last user', () => {
  const paths = new PathTable();
  const vias = new ViaPaths(paths);
  const path = vias.acquire(vias.find(paths.find('192.0.2.1', 40_000)!, 0x010203));
  paths.find('192.0.2.9', 1);
  const found = vias.find(paths.find('192.0.2.1', 40_000)!, 0x010203);
  assert.equal(found, path);
  assert.equal(vias.acquire(found), path);
  assert.notEqual(vias.find(path.hop, 4), path);
  assert.equal(path.text, '192.0.2.1:40000:vni:66051');
  assert.equal(toHex(path.bytes), 'c00002019c40010203');
  vias.release(path);
  assert.equal(paths.size, 1);
  vias.release(path);
  assert.equal(paths.size, 0);
  vias.release(path);
  assert.equal(paths.size, 0);
});

test('paths of strangers are not kept', () => {
  const paths = new PathTable();
  const vias = new ViaPaths(paths);
  for (let vni = 1; vni < 1_000; vni++) vias.find(paths.find('192.0.2.1', vni)!, vni);
  assert.equal(paths.size, 0);
});
