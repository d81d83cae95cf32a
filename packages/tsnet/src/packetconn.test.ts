import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { PacketConn } from './packetconn.ts';
import { hostPair, type TestHost } from './testing/hosts.ts';

let running: TestHost[] = [];

function sockets(): { near: PacketConn; far: PacketConn } {
  const { client, server } = hostPair();
  running.push(client, server);
  const open = ({ env, stack }: TestHost, port: number): PacketConn =>
    new PacketConn(env.hold, ({ receive }) => stack.bindUdp({ port, receive }));
  return { near: open(client, 0), far: open(server, 53) };
}

afterEach(() => {
  for (const host of running) host.stop();
  running = [];
});

test('datagrams arrive whole, with where they came from, up to the largest there is', async () => {
  const { near, far } = sockets();
  assert.deepEqual(far.address(), { address: '::', family: 'IPv6', port: 53 });
  for (const size of [0, 1, 1200, 1300, 65_507]) {
    const data = randomBytes(size);
    near.send(data, 53, '100.64.0.2');
    const [bytes, from] = (await once(far, 'message')) as [Buffer, { port: number; size: number }];
    assert.ok(bytes.equals(data), `${size} bytes`);
    assert.equal(from.size, size);
    assert.equal(from.port, near.address().port);
  }
});

test('what cannot be sent is an error in the callback, or thrown without one', async () => {
  const { near } = sockets();
  assert.throws(() => near.send(new Uint8Array(65_508), 53, '100.64.0.2'), { code: 'EMSGSIZE' });
  const [error, count] = await new Promise<[Error | null, number]>((resolve) => {
    near.send(new Uint8Array(65_508), 53, '100.64.0.2', (e, n) => resolve([e, n]));
  });
  assert.equal((error as { code?: string } | null)?.code, 'EMSGSIZE');
  assert.equal(count, 0);
});

test('after close nothing is sent or received, and the port is free again', async () => {
  const { near, far } = sockets();
  let heard = 0;
  far.on('message', () => heard++);
  near.send('x', 53, '100.64.0.2');
  far.close();
  await once(far, 'close');
  assert.throws(() => far.address(), { code: 'ERR_CLOSED' });
  assert.throws(() => far.send('x', 1, '100.64.0.1'), { code: 'ERR_CLOSED' });
  const { stack, env } = running[1]!;
  // What was sent before it has been dealt with when this arrives.
  const behind = new PacketConn(env.hold, ({ receive }) => stack.bindUdp({ port: 54, receive }));
  near.send('behind', 54, '100.64.0.2');
  await once(behind, 'message');
  behind.close();
  assert.equal(heard, 0);
  const again = new PacketConn(env.hold, ({ receive }) => stack.bindUdp({ port: 53, receive }));
  near.send('y', 53, '100.64.0.2');
  assert.equal(String((await once(again, 'message'))[0]), 'y');
});
