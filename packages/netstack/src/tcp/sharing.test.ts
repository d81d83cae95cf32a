// Flows that share a link, and the start of a flow on an empty one (RFC 9438, RFC 5681, RFC 9406); turns of bulk and
// interactive flows in one stack.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Transfer } from '../testing/apps.ts';
import { type LinkConditions, SimNetwork } from '../testing/link.ts';
import { established } from '../testing/scripted.ts';

/**
 * What two senders of different hosts with these algorithms get through one bottleneck in half a minute. The
 * rare random losses keep the two from falling into step with the queue.
 */
function share(first: 'cubic' | 'newreno', second: 'cubic' | 'newreno', seed: number): number {
  const network = new SimNetwork(seed, { delay: 10, rate: 1250, queue: 60, loss: 0.0005 });
  const a = network.add('a', ['10.0.0.1'], { tcp: { congestion: first } });
  const b = network.add('b', ['10.0.0.2']);
  const other = network.add('c', ['10.0.0.3'], { tcp: { congestion: second } });
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
  for (const host of [a, other]) {
    const handler = new Transfer({ send: 1_000_000_000, seed: 1, writeSize: 65536 }, 2);
    host.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler });
    network.run(() => false, network.now + 1);
  }
  // One queue for both: the link of the first carries the packets of the second.
  const [left, right] = [a, other];
  Object.defineProperty(right, 'busyUntil', {
    get: () => left.busyUntil,
    set: (at: number) => {
      left.busyUntil = at;
    },
  });
  network.run(() => false, 5000);
  const at = servers.map((server) => server.received);
  network.run(() => false, 30_000);
  const [mine, theirs] = servers.map((server, i) => server.received - at[i]!);
  assert.ok(mine! + theirs! > 0.85 * 1250 * 25_000, `the link is used: ${mine! + theirs!}`);
  return mine! / theirs!;
}

test('CUBIC and Reno get equal shares at 20 ms, within 30 % (RFC 9438 4.3)', () => {
  let sum = 0;
  for (const seed of [1, 2]) sum += Math.log(share('cubic', 'newreno', seed));
  const ratio = Math.exp(sum / 2);
  assert.ok(ratio > 0.7 && ratio < 1.3, `${ratio.toFixed(2)} to 1`);
});

/** One bulk transfer on an empty link: milliseconds until `bytes` are there, and what was sent twice. */
function alone(link: LinkConditions, bytes: number): { elapsed: number; again: number } {
  const network = new SimNetwork(1, link);
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  const server = new Transfer({ send: 0, seed: 2 }, 1);
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = server;
      server.start(socket);
    },
  });
  const handler = new Transfer({ send: 2 * bytes, seed: 1 }, 2);
  a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler });
  network.run(() => server.received >= bytes, 20_000);
  return { elapsed: network.now, again: a.stack.counters()['tcp.retransmits'] ?? 0 };
}

/** One way in milliseconds, and bytes per millisecond: the path itself holds up to 200 packets. */
const PATHS = [0.5, 2, 5, 10, 20, 50].flatMap((delay) =>
  [1250, 2500, 6250, 12_500].flatMap((rate) =>
    2 * delay * rate <= 200 * 1280 ? [{ delay, rate }] : [],
  ),
);

test('slow start loses nothing of a queue of a hundred packets that holds half of what the path does (RFC 9406)', () => {
  assert.ok(PATHS.length > 16);
  for (const path of PATHS) {
    const { again } = alone({ ...path, queue: 100 }, 500_000 + 6 * path.delay * path.rate);
    assert.equal(again, 0, `${again} lost at ${JSON.stringify(path)}`);
  }
});

test('slow start fills a path whose delay varies by a fifth about as fast as one whose does not (RFC 9406 4.3)', () => {
  for (const path of PATHS.filter(({ delay, rate }) => delay >= 5 && rate >= 2500)) {
    const bytes = 12 * 2 * path.delay * path.rate;
    const steady = alone({ ...path, queue: 1000 }, bytes).elapsed;
    const varying = alone({ ...path, queue: 1000, reorder: 1, reorderBy: 0.2 }, bytes).elapsed;
    assert.ok(varying < 1.25 * steady, `${varying} ms, not ${steady}, at ${JSON.stringify(path)}`);
  }
});

test('1 % of the packets reordered: fewer than one in a thousand is sent again for nothing (RFC 8985 6.2)', () => {
  const network = new SimNetwork(3, {
    delay: 10,
    rate: 5000,
    queue: 1000,
    reorder: 0.01,
    reorderBy: 0.2,
  });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  const server = new Transfer({ send: 0, seed: 2 }, 1);
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = server;
      server.start(socket);
    },
  });
  const handler = new Transfer({ send: 20_000_000, seed: 1 }, 2);
  a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler });
  network.run(() => server.received === 20_000_000, 60_000);
  const counters = a.stack.counters();
  const again = counters['tcp.retransmits'] ?? 0;
  assert.ok(
    again < counters['tcp.segments.sent']! / 1000,
    `${again} of ${counters['tcp.segments.sent']}`,
  );
});

test('a bulk flow and an interactive one take turns: 64 segments, then the others (burst limit, RFC 5681 4.1)', () => {
  const s = established({ syn: { mss: 1000, scale: 8 }, tcp: { congestion: 'newreno' } });
  let acked = 1;
  s.write('x'.repeat(128 * 1024));
  for (let i = 0; i < 4; i++) {
    while ((s.stack.nextTick ?? s.now + 1) <= s.now) s.poll();
    for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: acked });
    s.write('x'.repeat(s.socket.writable));
  }
  const bulk = s.socket;
  const bulkPort = s.localPort;
  s.clear();
  const other = s.stack.connect({ remoteAddress: s.peer, remotePort: 80, handler: s.app });
  s.socket = other;
  s.poll();
  const at = s.out.findIndex((out) => out.sourcePort !== bulkPort);
  assert.ok(at >= 0 && at <= 64, `the SYN goes out after ${at} segments`);
  assert.ok(bulk.unacknowledged > 64_000);
});
