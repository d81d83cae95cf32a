import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimNetwork } from '../testing/link.ts';

test('a poll sends no more segments than it may, and whom it left out comes first in the next (StackOptions.segmentsPerPoll)', () => {
  const network = new SimNetwork(1, { delay: 5 });
  const a = network.add('a', ['10.0.0.1'], { segmentsPerPoll: 10 });
  const b = network.add('b', ['10.0.0.2']);
  const received = new Map<number, number>();
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = {
        readable(from) {
          for (let chunk = from.read(); chunk; chunk = from.read())
            received.set(from.remotePort, (received.get(from.remotePort) ?? 0) + chunk.length);
        },
        closed() {},
      };
    },
  });
  const sockets = Array.from({ length: 6 }, () =>
    a.stack.connect({
      remoteAddress: '10.0.0.2',
      remotePort: 80,
      handler: { readable() {}, closed() {} },
    }),
  );
  network.run(() => false, network.now + 100);
  for (const socket of sockets) socket.write(new Uint8Array(12_000));
  const counts: number[] = [];
  for (let poll = 0; poll < 6; poll++) {
    const before = a.sent;
    a.stack.poll(network.now);
    counts.push(a.sent - before);
  }
  // Nine full segments each; the rest waits for acknowledgements (Nagle).
  assert.deepEqual(counts, [10, 10, 10, 10, 10, 4]);
  assert.equal(a.stack.nextTick === undefined || a.stack.nextTick > network.now, true);
  network.run(() => false, network.now + 1000);
  assert.deepEqual(
    [...received.values()],
    sockets.map(() => 12_000),
  );
});
