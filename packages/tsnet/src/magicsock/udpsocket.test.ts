import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { silent } from '../log.ts';
import { until } from '../testing/tailnet.ts';
import { PathTable, type UdpPath } from './paths.ts';
import { openUdp, type UdpTransport } from './udpsocket.ts';

const open: (() => void)[] = [];

afterEach(() => {
  for (const close of open.splice(0)) close();
});

interface Bench {
  readonly udp: UdpTransport;
  readonly paths: PathTable;
  readonly received: { readonly text: string; readonly from: UdpPath }[];
  readonly failed: string[];
  bound: number;
}

async function bench(port = 0, lastPort = 0): Promise<Bench> {
  const paths = new PathTable();
  const b: Bench = {
    paths,
    received: [],
    failed: [],
    bound: 0,
    udp: openUdp({
      port,
      lastPort,
      paths,
      log: silent,
      now: () => performance.now(),
      handler: {
        packet: (buf, offset, length, from) => {
          const text = String(Buffer.from(buf.subarray(offset, offset + length)));
          b.received.push({ text, from });
        },
        bound: () => b.bound++,
        sendFailed: (path) => b.failed.push(path.text),
        train: () => {},
        waiting: () => setImmediate(() => b.udp.flush()),
        congested: () => {},
      },
    }),
  };
  open.push(() => b.udp.close());
  await until(() => b.bound === 1, 'bound');
  return b;
}

/** Sockets of this process, as far as the system tells. */
function openSockets(): number {
  if (process.platform !== 'linux') return 0;
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

async function stranger(): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  open.push(() => socket.close());
  return { socket, port: socket.address().port };
}

test('datagrams go both ways; a source in use is the same object every time', async () => {
  const b = await bench();
  const { socket, port } = await stranger();
  const path = b.paths.acquire('127.0.0.1', port)!;
  const arrived = once(socket, 'message') as Promise<[Buffer]>;
  const bytes = Buffer.from('..hello..');
  assert.equal(b.udp.send(path, bytes, 2, 5), true);
  bytes.fill(0);
  assert.equal(String((await arrived)[0]), 'hello', 'the buffer is ours again at once');
  socket.send('one', b.udp.port(4), '127.0.0.1');
  socket.send('two', b.udp.port(4), '127.0.0.1');
  await until(() => b.received.length === 2, 'both');
  assert.deepEqual(
    b.received.map(({ from }) => from === path),
    [true, true],
  );
});

test('both families have the same port where IPv6 exists', async () => {
  const { udp } = await bench();
  assert.ok(udp.port(4) > 0);
  if (udp.port(6) > 0) assert.equal(udp.port(6), udp.port(4));
});

test('the port of the last run is taken again, and another one where it is in use', async () => {
  const first = await bench();
  const port = first.udp.port(4);
  const second = await bench(0, port);
  assert.notEqual(second.udp.port(4), port);
  assert.ok(second.udp.port(4) > 0);
  first.udp.close();
  await until(() => first.udp.port(4) === 0, 'closed');
  await new Promise((resolve) => setTimeout(resolve, 20));
  const third = await bench(0, port);
  assert.equal(third.udp.port(4), port);
});

test('rebinding keeps the port and goes on receiving', async () => {
  const b = await bench();
  const port = b.udp.port(4);
  const { socket, port: other } = await stranger();
  b.udp.rebind();
  assert.equal(b.udp.port(4), 0);
  assert.equal(b.udp.send(b.paths.find('127.0.0.1', other)!, Buffer.from('x'), 0, 1), false);
  await until(() => b.bound === 2, 'bound again');
  assert.equal(b.udp.port(4), port);
  socket.send('again', port, '127.0.0.1');
  await until(() => b.received.length === 1, 'received');
});

test('two causes to rebind in one moment open one pair of sockets, at the port of before', {
  timeout: 10_000,
}, async () => {
  const b = await bench();
  const port = b.udp.port(4);
  const { socket } = await stranger();
  const before = openSockets();
  b.udp.rebind();
  b.udp.rebind();
  await until(() => b.bound > 1 && b.udp.port(4) > 0, 'bound again');
  assert.equal(b.udp.port(4), port);
  socket.send('again', port, '127.0.0.1');
  await until(() => b.received.length === 1, 'received');
  assert.equal(b.bound, 2);
  assert.equal(openSockets(), before);
  b.udp.close();
  if (process.platform === 'linux') await until(() => openSockets() < before, 'closed');
});

test('an address nothing leads to is told of a probe, and does not disturb the rest', async () => {
  const b = await bench();
  const path = b.paths.find('255.255.255.255', 9)!;
  assert.equal(b.udp.probe(path, Buffer.from('x')), true);
  await until(() => b.failed.length === 1, 'told');
  assert.equal(b.failed[0], '255.255.255.255:9');
  assert.ok(b.udp.port(4) > 0);
});

test('nothing is said and nothing is sent after close', async () => {
  const b = await bench();
  b.udp.close();
  assert.equal(b.udp.send(b.paths.find('127.0.0.1', 9)!, Buffer.from('x'), 0, 1), false);
  b.udp.rebind();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(b.bound, 1);
});

test('paths: strangers are not kept, what was acquired twice is released twice', () => {
  const paths = new PathTable();
  for (let port = 1; port < 100; port++) paths.find('192.0.2.1', port);
  assert.equal(paths.size, 0);
  const path = paths.acquire('192.0.2.1', 7)!;
  assert.equal(paths.acquire('192.0.2.1', 7), path);
  paths.release(path);
  assert.equal(paths.find('192.0.2.1', 7), path);
  paths.release(path);
  assert.equal(paths.size, 0);
  assert.deepEqual([...path.bytes], [192, 0, 2, 1, 0, 7]);
  assert.equal(paths.find('not an address', 7), undefined);
  assert.equal(paths.find('192.0.2.1', 0), undefined);
  assert.equal(paths.find('fe80::1%eth0', 7)!.addr.length, 16);
});
