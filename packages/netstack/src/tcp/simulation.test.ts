// Two stacks over a seeded link with a virtual clock: every byte arrives once and in order, whatever the link does, and
// afterwards nothing is left. The network checks each packet on its way (testing/link.ts).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpOptions } from '../api.ts';
import { Transfer } from '../testing/apps.ts';
import { type LinkConditions, SimNetwork } from '../testing/link.ts';
import { SeededRandom } from '../testing/random.ts';

interface Run {
  readonly network: SimNetwork;
  /** Virtual milliseconds until both ends were closed. */
  readonly elapsed: number;
  count(name: string): number;
}

function transfer(
  seed: number,
  conditions: LinkConditions,
  up: number,
  down: number,
  tcp: Partial<TcpOptions> = {},
  family: 4 | 6 = 4,
): Run {
  const [ours, theirs] =
    family === 4 ? ['100.64.0.1', '100.64.0.2'] : ['fd7a:115c:a1e0::1', 'fd7a:115c:a1e0::2'];
  const network = new SimNetwork(seed, conditions);
  const a = network.add('a', [ours!], { tcp });
  const b = network.add('b', [theirs!], { tcp });
  const client = new Transfer({ send: up, seed: 1 }, 2);
  const server = new Transfer({ send: down, seed: 2 }, 1);
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = server;
      server.start(socket);
    },
  });
  a.stack.connect({ remoteAddress: theirs!, remotePort: 80, handler: client });
  network.run(() => client.isClosed && server.isClosed, 3_600_000);
  const elapsed = network.now;
  assert.equal(server.received, up, `seed ${seed}: all of the client's bytes arrive`);
  assert.equal(client.received, down, `seed ${seed}: all of the server's bytes arrive`);
  assert.equal(client.closedWith, undefined, `seed ${seed}: client`);
  assert.equal(server.closedWith, undefined, `seed ${seed}: server`);
  assert.ok(client.hasEnded && server.hasEnded, 'both see the end');
  network.run(() => false, network.now + 200_000);
  assert.equal(a.stack.connectionCount + b.stack.connectionCount, 0, 'no connection is left');
  assert.equal(a.stack.nextTick, undefined, 'no timer is left');
  assert.equal(b.stack.nextTick, undefined, 'no timer is left');
  const count = (name: string): number =>
    (a.stack.counters()[name] ?? 0) + (b.stack.counters()[name] ?? 0);
  return { network, elapsed, count };
}

const KB = 1000;

test('a perfect link carries both directions without a retransmission, IPv4 and IPv6', () => {
  for (const family of [4, 6] as const) {
    const run = transfer(1, { delay: 1 }, 1000 * KB, 300 * KB, {}, family);
    assert.equal(run.count('tcp.retransmits'), 0);
  }
});

const GRID: LinkConditions[] = [];
for (const delay of [0, 1, 10, 50]) {
  for (const loss of [0, 0.001, 0.01, 0.03]) {
    for (const reorder of [0, 0.01]) {
      GRID.push({ delay, loss, reorder, duplicate: reorder, corrupt: loss / 10, rate: 1250 });
    }
  }
}

for (const [name, tcp] of [
  ['SACK and timestamps', {}],
  ['neither SACK nor timestamps', { sack: false, timestamps: false }],
  ['NewReno', { congestion: 'newreno' }],
] as const) {
  test(`link grid, ${name}: round trips 0-100 ms, loss 0-3 %, reordering, duplicates, corruption`, () => {
    GRID.forEach((conditions, seed) => {
      transfer(seed, { ...conditions, queue: 200 }, 400 * KB, 60 * KB, tcp);
    });
  });
}

test('a link that loses every fifth packet delivers in the end', () => {
  for (let seed = 1; seed <= 5; seed++) {
    transfer(seed, { delay: 5, loss: 0.2, reorder: 0.1, duplicate: 0.05 }, 40 * KB, 40 * KB);
  }
});

test('random settings on random links', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const conditions: LinkConditions = {
      delay: random.below(100),
      loss: random.next() * 0.05,
      reorder: random.next() * 0.2,
      reorderBy: random.next() * 3,
      duplicate: random.next() * 0.05,
      corrupt: random.next() * 0.01,
      rate: 100 + random.below(5000),
      queue: 10 + random.below(200),
    };
    const receiveBuffer = 2000 + random.below(300_000);
    transfer(seed, conditions, random.below(200 * KB), random.below(100 * KB), {
      sack: random.next() < 0.7,
      timestamps: random.next() < 0.7,
      windowScaling: random.next() < 0.7,
      congestion: random.next() < 0.5 ? 'cubic' : 'newreno',
      receiveBuffer,
      receiveBufferLimit: Math.max(receiveBuffer, random.below(2_000_000)),
      sendBufferLimit: 3000 + random.below(1_000_000),
    });
  }
});

test('the same seed gives the same run, packet for packet', () => {
  const digest = (): number => {
    let hash = 0;
    const network = new SimNetwork(99, { delay: 5, loss: 0.02, reorder: 0.05, corrupt: 0.01 });
    network.tap = (bytes) => {
      for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0;
      return true;
    };
    const a = network.add('a', ['10.0.0.1']);
    const b = network.add('b', ['10.0.0.2']);
    const client = new Transfer({ send: 200 * KB, seed: 1 }, 2);
    const server = new Transfer({ send: 0, seed: 2 }, 1);
    b.stack.listen({
      port: 1,
      accept: (socket) => {
        socket.handler = server;
        server.start(socket);
      },
    });
    a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 1, handler: client });
    network.run(() => client.isClosed && server.isClosed, 600_000);
    assert.equal(server.received, 200 * KB);
    return hash;
  };
  assert.equal(digest(), digest());
});

test('1 % reordering costs SACK peers less than a fifth of the time and hardly any retransmission (RFC 8985)', () => {
  const link: LinkConditions = { delay: 10, rate: 5000, queue: 1000, reorderBy: 0.2 };
  const plain = transfer(3, link, 5000 * KB, 0);
  const mixed = transfer(3, { ...link, reorder: 0.01 }, 5000 * KB, 0);
  assert.ok(mixed.elapsed < 1.2 * plain.elapsed, `${mixed.elapsed} ms instead of ${plain.elapsed}`);
  assert.ok(mixed.count('tcp.retransmits') < 20, `${mixed.count('tcp.retransmits')} retransmits`);
});

test('a long fat link is filled: 100 ms, 100 Mbit/s', () => {
  const run = transfer(5, { delay: 50, rate: 12_500, queue: 1000 }, 20_000 * KB, 0);
  const rate = 20_000_000 / run.elapsed;
  assert.ok(rate > 0.5 * 12_500, `${rate} of 12500 bytes per ms`);
});

test('two flows of one host share a narrow link', () => {
  const network = new SimNetwork(8, { delay: 10, rate: 1250, queue: 50 });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  const servers: Transfer[] = [];
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      const server = new Transfer({ send: 0, seed: 2 }, 1);
      servers.push(server);
      socket.handler = server;
      server.start(socket);
    },
  });
  for (let i = 0; i < 2; i++) {
    const handler = new Transfer({ send: 20_000 * KB, seed: 1 }, 2);
    a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler });
  }
  network.run(() => false, 10_000);
  const [first, second] = servers.map((server) => server.received);
  const total = first! + second!;
  assert.ok(total > 0.8 * 1250 * 10_000, `the link is used: ${total}`);
  assert.ok(Math.min(first!, second!) > 0.2 * total, `${first} and ${second}`);
});

test('a peer that vanishes ends every connection within R2 and frees everything (RFC 9293 3.8.3)', () => {
  const network = new SimNetwork(4, { delay: 5 });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  const clients: Transfer[] = [];
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = new Transfer({ send: 0, seed: 2 }, 1);
    },
  });
  for (let i = 0; i < 10; i++) {
    clients.push(new Transfer({ send: 5000 * KB, seed: 1 }, 2));
    a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler: clients[i]! });
  }
  network.run(() => false, 30);
  network.conditions = { loss: 1 };
  network.run(() => false, network.now + 100_000 + 120_000);
  assert.ok(clients.every((client) => client.closedWith === 'ETIMEDOUT'));
  assert.equal(a.stack.connectionCount, 0);
  assert.equal(a.stack.nextTick, undefined);
});
