// Two stacks over a seeded link with a virtual clock: every byte arrives once and in order, whatever the link does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpOptions } from '../api.ts';
import { Transfer } from '../testing/apps.ts';
import { type LinkConditions, SimNetwork } from '../testing/link.ts';

interface Run {
  readonly network: SimNetwork;
  readonly client: Transfer;
  readonly server: Transfer;
}

export function transfer(
  seed: number,
  conditions: LinkConditions,
  up: number,
  down: number,
  tcp: Partial<TcpOptions> = {},
  addresses: readonly [string, string] = ['100.64.0.1', '100.64.0.2'],
): Run {
  const network = new SimNetwork(seed, conditions);
  const a = network.add('a', [addresses[0]], { tcp });
  const b = network.add('b', [addresses[1]], { tcp });
  const client = new Transfer({ send: up, seed: 1 }, 2);
  const server = new Transfer({ send: down, seed: 2 }, 1);
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = server;
      server.start(socket);
    },
  });
  a.stack.connect({ remoteAddress: addresses[1], remotePort: 80, handler: client });
  network.run(() => client.closed$ && server.closed$, 3_600_000);
  assert.equal(server.received, up, `seed ${seed}: all of the client's bytes arrive`);
  assert.equal(client.received, down, `seed ${seed}: all of the server's bytes arrive`);
  assert.equal(client.closedWith, undefined);
  assert.equal(server.closedWith, undefined);
  assert.ok(client.ended$ && server.ended$, 'both see the end');
  // TIME-WAIT ends, and then nothing is left.
  network.run(() => false, network.now + 200_000);
  assert.equal(a.stack.connectionCount + b.stack.connectionCount, 0);
  assert.equal(a.stack.nextTick, undefined, 'no timer is left');
  assert.equal(b.stack.nextTick, undefined, 'no timer is left');
  return { network, client, server };
}

test('a perfect link carries both directions to the end', () => {
  transfer(1, { delay: 1 }, 1_000_000, 300_000);
});
