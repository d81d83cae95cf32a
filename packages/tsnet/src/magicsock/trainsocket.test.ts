import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { hasUdpTrains } from '@cove/native';
import { until } from '../testing/tailnet.ts';
import { PathTable, type UdpPath } from './paths.ts';
import { TrainSocket } from './trainsocket.ts';

const open: (() => void)[] = [];
const skip = hasUdpTrains() ? false : 'the native part is missing';

afterEach(() => {
  for (const close of open.splice(0)) close();
});

interface Bench {
  readonly socket: TrainSocket;
  readonly paths: PathTable;
  readonly received: { readonly bytes: Buffer; readonly from: UdpPath }[];
  readonly events: string[];
  port: number;
}

async function bench(family: 4 | 6 = 4): Promise<Bench> {
  const paths = new PathTable();
  const received: Bench['received'] = [];
  const events: string[] = [];
  const socket = new TrainSocket({
    family,
    port: 0,
    paths,
    events: {
      bound: (port) => {
        b.port = port;
      },
      notBound: (code) => events.push(code),
      packet: (buf, offset, length, from) =>
        received.push({ bytes: Buffer.from(buf.slice(offset, offset + length)), from }),
      train: () => {},
      waiting: () => events.push('waiting'),
      congested: (on) => events.push(`congested ${on}`),
      broken: (code) => events.push(code),
      probeFailed: (path, code) => events.push(`${path.text} ${code}`),
    },
  });
  const b: Bench = { socket, paths, received, events, port: 0 };
  open.push(() => socket.close(() => {}));
  await until(() => b.port > 0, 'bound');
  return b;
}

async function stranger(): Promise<{ socket: Socket; port: number; lengths: number[] }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  const lengths: number[] = [];
  socket.on('message', (message) => lengths.push(message.length));
  await once(socket, 'listening');
  open.push(() => socket.close());
  return { socket, port: socket.address().port, lengths };
}

/** `length` bytes that tell which datagram they are. */
function datagram(length: number, n: number): Buffer {
  return Buffer.alloc(length, n & 255);
}

test('datagrams of any lengths to several paths arrive one by one, in order, as they were', {
  skip,
}, async () => {
  const a = await bench();
  const [b, c] = [await bench(), await bench()];
  const lengths = [1312, 1312, 1312, 96, 96, 1312, 1, 2, 3, 4, 1312, 1312, 700, 1312, 60_000, 9];
  const paths = [b, c].map(({ port }) => a.paths.acquire('127.0.0.1', port)!);
  for (const [n, length] of lengths.entries()) {
    const path = paths[n % 5 === 4 ? 1 : 0]!;
    const bytes = Buffer.concat([Buffer.alloc(7), datagram(length, n)]);
    a.socket.send(path, bytes, 7, length);
    bytes.fill(255);
  }
  a.socket.flush();
  await until(() => b.received.length + c.received.length === lengths.length, 'everything');
  const expected = [b, c].map((_, which) =>
    lengths
      .map((length, n) => datagram(length, n))
      .filter((_, n) => (n % 5 === 4 ? 1 : 0) === which),
  );
  assert.deepEqual(
    [b, c].map(({ received }) => received.map(({ bytes }) => bytes)),
    expected,
  );
  const sources = [...b.received, ...c.received].map(({ from }) => from.text);
  assert.deepEqual([...new Set(sources)], [`127.0.0.1:${a.port}`]);
});

test('a socket of the system gets the datagrams of a train singly, and nothing before the flush', {
  skip,
}, async () => {
  const a = await bench();
  const { port, lengths } = await stranger();
  const path = a.paths.acquire('127.0.0.1', port)!;
  for (let n = 0; n < 40; n++) a.socket.send(path, datagram(1312, n), 0, 1312);
  a.socket.send(path, datagram(80, 0), 0, 80);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(lengths, []);
  assert.deepEqual(a.events, ['waiting']);
  a.socket.flush();
  await until(() => lengths.length === 41, 'all of them');
  assert.deepEqual(lengths, [...Array<number>(40).fill(1312), 80]);
});

test('a train longer than the system takes is several', { skip }, async () => {
  const a = await bench();
  const b = await bench();
  const path = a.paths.acquire('127.0.0.1', b.port)!;
  for (let n = 0; n < 500; n++)
    a.socket.send(path, datagram(n < 300 ? 1312 : 64, n), 0, n < 300 ? 1312 : 64);
  a.socket.flush();
  await until(() => b.received.length === 500, 'all of them');
  assert.ok(b.received.every(({ bytes }, n) => bytes[0] === (n & 255)));
});

test('two sockets may gather at once: one sends when the other begins', { skip }, async () => {
  const [a, b, c] = [await bench(), await bench(), await bench()];
  for (let n = 0; n < 20; n++) {
    const from = n % 2 === 0 ? a : b;
    from.socket.send(from.paths.acquire('127.0.0.1', c.port)!, datagram(100, n), 0, 100);
  }
  a.socket.flush();
  b.socket.flush();
  await until(() => c.received.length === 20, 'both');
  assert.deepEqual(
    c.received.map(({ bytes }) => bytes[0]),
    Array.from({ length: 20 }, (_, n) => n),
  );
});

test('the same source is the same path, also after somebody keeps or drops it', {
  skip,
}, async () => {
  const [a, b] = [await bench(), await bench()];
  const to = a.paths.acquire('127.0.0.1', b.port)!;
  const next = async (): Promise<UdpPath> => {
    const count = b.received.length;
    a.socket.send(to, datagram(10, 1), 0, 10);
    a.socket.flush();
    await until(() => b.received.length > count, 'one more');
    return b.received.at(-1)!.from;
  };
  const first = await next();
  assert.equal(await next(), first);
  const kept = b.paths.acquire('127.0.0.1', a.port)!;
  assert.equal(await next(), kept);
  b.paths.release(kept);
  assert.equal((await next()).text, kept.text);
});

test('IPv6 works the same, where it exists', { skip }, async (t) => {
  const found = await Promise.allSettled([bench(6), bench(6)]);
  const [a, b] = found.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  if (!a || !b) {
    t.skip('no IPv6');
    return;
  }
  const path = a.paths.acquire('::1', b.port)!;
  for (let n = 0; n < 3; n++) a.socket.send(path, datagram(1312, n), 0, 1312);
  a.socket.flush();
  await until(() => b.received.length === 3, 'all');
  assert.equal(b.received[2]!.from.text, `[::1]:${a.port}`);
});

test('a port in use is told by its code; what is sent after close goes nowhere', {
  skip,
}, async () => {
  const a = await bench();
  const codes: string[] = [];
  const nothing = (): void => {};
  new TrainSocket({
    family: 4,
    port: a.port,
    paths: a.paths,
    events: {
      bound: nothing,
      notBound: (code) => codes.push(code),
      packet: nothing,
      train: nothing,
      waiting: nothing,
      congested: nothing,
      broken: nothing,
      probeFailed: nothing,
    },
  });
  await until(() => codes.length > 0, 'told');
  assert.deepEqual(codes, ['EADDRINUSE']);
  const path = a.paths.acquire('127.0.0.1', a.port)!;
  await new Promise<void>((resolve) => a.socket.close(resolve));
  a.socket.send(path, datagram(10, 1), 0, 10);
  a.socket.flush();
  a.socket.probe(path, datagram(10, 1));
  assert.deepEqual(
    a.events.filter((event) => event !== 'waiting'),
    [],
  );
});
