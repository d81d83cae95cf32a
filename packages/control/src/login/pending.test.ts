import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machinePublic, nodePublic } from '@cove/protocol/keys';
import { type PendingLogin, PendingLogins } from './pending.ts';

const logins = new PendingLogins(() => 0);
let asked = 0;

function begin(source: string | undefined): PendingLogin {
  const key = new Uint8Array(32);
  new DataView(key.buffer).setUint32(0, ++asked);
  return logins.begin({
    ...{ machineKey: machinePublic(key), nodeKey: nodePublic(key), source, hostinfo: {} },
    ...{ oldNodeKey: undefined, nlKey: undefined, ephemeral: false, capVersion: 100 },
  });
}

test('a source that asks again and again with new keys makes only its own logins give way', async () => {
  const mine = begin('192.0.2.1');
  const proxied = begin(undefined);
  const first = begin('192.0.2.2');
  let outcomes = 0;
  // A client whose login gave way asks anew at once.
  const wait = (login: PendingLogin): unknown =>
    logins.wait(login, () => {
      outcomes++;
      begin('192.0.2.2');
    });
  wait(first);
  for (let i = 0; i < 5_000; i++) wait(begin('192.0.2.2'));
  assert.equal(logins.get(mine.id), mine);
  assert.equal(logins.get(proxied.id), proxied);
  assert.equal(logins.get(first.id), undefined);
  assert.equal(logins.size, 2 + 64);
  await new Promise(setImmediate);
  assert.ok(outcomes > 4_900, String(outcomes));
  assert.equal(logins.get(mine.id), mine);
  assert.equal(logins.size, 2 + 64);
});

test('all together are no more than 1,024, the oldest making room', async () => {
  for (let i = 0; i < 3_000; i++) begin(`198.51.${i >> 8}.${i & 255}`);
  await new Promise(setImmediate);
  assert.equal(logins.size, 1024);
});
