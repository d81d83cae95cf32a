// What connections hold in memory: little when idle, nothing they do not need, and within the limit all together.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { TcpSocket } from '../api.ts';
import { SimNetwork } from '../testing/link.ts';
import { both, established } from '../testing/scripted.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

const reader = {
  readable(socket: TcpSocket): void {
    while (socket.read());
  },
  closed(): void {},
};

/** Heap and buffers in use. */
function memory(): number {
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Two stacks with as many connections between them as asked for. */
function pair(count: number): {
  network: SimNetwork;
  sockets: TcpSocket[];
  open(more: number): void;
} {
  const network = new SimNetwork(1, { delay: 1 });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  const sockets: TcpSocket[] = [];
  b.stack.listen({
    port: 80,
    backlog: 2000,
    accept: (socket) => {
      socket.handler = reader;
      sockets.push(socket);
    },
  });
  const open = (more: number): void => {
    for (let i = 0; i < more; i++) {
      const options = { remoteAddress: '10.0.0.2', remotePort: 80, handler: reader };
      sockets.push(a.stack.connect(options));
    }
    network.run(() => false, network.now + 100);
  };
  open(count);
  return { network, sockets, open };
}

test('an idle connection takes less than 8 KiB, measured over a thousand (RFC 9293 3.3.1)', () => {
  const { sockets, open } = pair(50);
  const before = memory();
  open(500);
  const each = (memory() - before) / 1000;
  assert.equal(sockets.length, 1100);
  assert.ok(each < 8192, `${Math.round(each)} bytes`);
});

test('and less than 8 KiB once it has carried 100 KB and is idle again (RFC 9293 3.3.1)', () => {
  const { network, sockets, open } = pair(50);
  const data = new Uint8Array(100_000);
  const carry = (from: number): void => {
    for (let i = from; i < sockets.length; i += 20) {
      for (const socket of sockets.slice(i, i + 20)) socket.write(data);
      network.run(() => false, network.now + 100);
    }
    network.run(() => false, network.now + 1000);
  };
  // The pools fill up before anything is measured.
  carry(0);
  const before = memory();
  open(500);
  carry(100);
  for (const socket of sockets) assert.equal(socket.unacknowledged + socket.readable, 0);
  const each = (memory() - before) / 1000;
  assert.ok(each < 8192, `${Math.round(each)} bytes`);
});

both(
  'beyond the limit of all buffers a connection keeps 16 KiB and the rest is as if lost (RFC 9293 3.8.6.2.2)',
  (family) => {
    const tcp = { memoryLimit: 100_000 };
    const s = established({ family, tcp, syn: { mss: 1000 } });
    s.app.reading = false;
    for (let i = 0; i < 250; i++)
      s.arrives({ flags: 'A', seq: 1 + 1000 * i, ack: 1, length: 1000 });
    assert.ok(s.socket.readable > 60_000 && s.socket.readable <= 100_000, `${s.socket.readable}`);
    assert.ok(s.counter('drop.tcp.memory') > 0);
    // Reading makes room, and what the peer sends again is taken.
    const next = 1 + s.socket.readable;
    s.app.drain(s.socket);
    s.arrives({ flags: 'A', seq: next, ack: 1, length: 1000 });
    assert.equal(s.socket.readable, 1000);
  },
);

both(
  'at the limit writes are cut to 16 KiB and segments beyond a hole are not kept (RFC 9293 3.10.2)',
  (family) => {
    const s = established({
      family,
      tcp: { memoryLimit: 50_000 },
      syn: { mss: 1000, sackOk: true },
    });
    s.app.reading = false;
    for (let i = 0; i < 60; i++) s.arrives({ flags: 'A', seq: 1 + 1000 * i, ack: 1, length: 1000 });
    assert.equal(s.socket.writable, 16 * 1024);
    s.clear();
    const next = 1 + s.socket.readable;
    s.arrives({ flags: 'A', seq: next + 5000, ack: 1, length: 1000 });
    s.expect({ flags: 'A', ack: next, sack: [] });
  },
);

test('three hundred connections that nobody reads stay within the limit, and another one still works', () => {
  const limit = 8 * 1024 * 1024;
  const network = new SimNetwork(3, { delay: 1 });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2'], { tcp: { memoryLimit: limit } });
  const deaf = { readable() {}, closed() {} };
  const sockets: TcpSocket[] = [];
  b.stack.listen({
    port: 80,
    backlog: 2000,
    accept: (socket) => {
      socket.handler = deaf;
      sockets.push(socket);
    },
  });
  let heard = 0;
  b.stack.listen({
    port: 81,
    accept: (socket) => {
      socket.handler = {
        readable(from) {
          for (let chunk = from.read(); chunk !== undefined; chunk = from.read()) {
            heard += chunk.length;
          }
        },
        closed() {},
      };
    },
  });
  const data = new Uint8Array(120_000);
  for (let i = 0; i < 300; i++) {
    a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler: deaf }).write(data);
  }
  network.run(() => false, 3000);
  const hoarded = sockets.reduce((sum, socket) => sum + socket.readable, 0);
  assert.ok(hoarded > limit / 2, `${hoarded} bytes hoarded`);
  assert.ok(hoarded <= limit + 300 * 16 * 1024, `${hoarded} bytes hoarded`);
  const well = a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 81, handler: deaf });
  well.write(data);
  network.run(() => heard === data.length, network.now + 20_000);
  assert.equal(heard, data.length);
});

both('buffers come with the first byte and go with the last (RFC 9293 3.3.1)', (family) => {
  const s = established({ family, syn: { mss: 1000, sackOk: true }, tcp: { memoryLimit: 1 } });
  // Full at the first byte held: a limit of one byte shows whether anything is.
  assert.equal(s.socket.writable, 128 * 1024);
  s.write('x');
  assert.equal(s.socket.writable, 16 * 1024 - 1);
  s.arrives({ flags: 'A', seq: 1, ack: 2 });
  assert.equal(s.socket.writable, 128 * 1024);
  s.app.reading = false;
  s.arrives({ flags: 'A', seq: 1, ack: 2, data: 'yy' });
  assert.equal(s.socket.writable, 16 * 1024);
  s.app.drain(s.socket);
  assert.equal(s.socket.writable, 128 * 1024);
  s.arrives({ flags: 'A', seq: 11, ack: 2, data: 'z' });
  assert.equal(s.socket.writable, 16 * 1024);
  s.arrives({ flags: 'A', seq: 3, ack: 2, data: 'abcdefgh' });
  s.app.drain(s.socket);
  assert.equal(s.socket.writable, 128 * 1024);
});
