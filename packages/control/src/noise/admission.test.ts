import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MachinePublic, machinePublic } from '@cove/protocol/keys';
import { TestNode } from '../testing/client.ts';
import { Harness } from '../testing/harness.ts';
import { type Connection, hasRoom, MAX_STRANGERS, sourceOf } from './admission.ts';

function machine(n: number): MachinePublic {
  const bytes = new Uint8Array(32).fill(1);
  new DataView(bytes.buffer).setUint32(0, n);
  return machinePublic(bytes);
}

function strangers(count: number, source?: string): Connection[] {
  return Array.from({ length: count }, (_, n) => ({ machine: machine(n), source, known: false }));
}

const nobody = (): boolean => false;

test('sources: an IPv4 address, mapped or not, the /64 of an IPv6 address, nothing for loopback', () => {
  assert.equal(sourceOf('192.0.2.7'), '192.0.2.7');
  assert.equal(sourceOf('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(sourceOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::');
  assert.equal(sourceOf('fe80::1%eth0'), 'fe80::');
  for (const none of ['127.0.0.1', '127.9.9.9', '::ffff:127.0.0.1', '::1', '', undefined]) {
    assert.equal(sourceOf(none), undefined, none);
  }
});

test('strangers have room up to a limit; machines with a node, and their connections, are outside of it', () => {
  const full = strangers(MAX_STRANGERS);
  const fresh = machine(1_000_000);
  assert.equal(hasRoom(full.slice(1), fresh, undefined, nobody), true);
  assert.equal(hasRoom(full, fresh, undefined, nobody), false);
  assert.equal(
    hasRoom(full, fresh, undefined, (key) => key === fresh),
    true,
  );
  assert.equal(
    hasRoom(full, fresh, undefined, (key) => key === full[0]!.machine),
    true,
  );
  const joined = [{ ...full[0]!, known: true }, ...full.slice(1)];
  assert.equal(hasRoom(joined, fresh, undefined, nobody), true);
});

test('one source holds no more than 64 connections of strangers', () => {
  const there = strangers(64, '192.0.2.1');
  const fresh = machine(1_000_000);
  assert.equal(hasRoom(there, fresh, '192.0.2.1', nobody), false);
  assert.equal(hasRoom(there.slice(1), fresh, '192.0.2.1', nobody), true);
  assert.equal(hasRoom(there, fresh, '192.0.2.2', nobody), true);
  assert.equal(hasRoom(there, fresh, undefined, nobody), true);
});

test('a machine without a node holds 8 connections, and as many as it likes once it has one', async () => {
  await using h = await Harness.start();
  const node = new TestNode('box');
  const client = await h.connect(node);
  for (let i = 1; i < 8; i++) await h.connect(node);
  await assert.rejects(h.connect(node), /upgrade refused: HTTP\/1\.1 503/);
  const other = await h.connect(new TestNode('other'));
  assert.match((await other.register()).AuthURL, /\/register\//);
  const { key } = await h.server.createAuthKey();
  assert.equal((await client.register({ Auth: { AuthKey: key } })).MachineAuthorized, true);
  await h.connect(node);
  assert.equal(h.server.status().connections, 10);
});
