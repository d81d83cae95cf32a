// Two nodes on one machine find the direct path between them, and live with its loss and with a restart.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Server } from '@cove/tsnet';
import { TestTailnet, until } from '../harness/tailnet.ts';

let tailnet: TestTailnet;
let web: Server;
let laptop: Server;

const pathTo = (from: Server, to: string): string =>
  from.status().peers.find(({ hostname }) => hostname === to)!.currentAddress;

before(async () => {
  tailnet = await TestTailnet.start();
  web = await tailnet.upNode('web');
  laptop = await tailnet.upNode('laptop');
  await until(() => web.status().peers.length === 1, 'web sees laptop');
  await until(() => laptop.status().peers.length === 1, 'laptop sees web');
  const listener = await web.listen({ port: 7 });
  listener.on('connection', (conn) => conn.pipe(conn));
});
after(async () => {
  await tailnet[Symbol.asyncDispose]();
});

test('the first byte goes through the relay at once, and the path is direct within a second', async () => {
  const conn = await laptop.dial({ host: 'web', port: 7 });
  const answer = new Promise((resolve) => conn.once('data', resolve));
  conn.write('first');
  await answer;
  assert.ok(laptop.counters()['relay_packets_out']! > 0);
  const begun = performance.now();
  await until(() => pathTo(laptop, 'web') !== '', 'a direct path', 5_000);
  await until(() => pathTo(web, 'laptop') !== '', 'a direct path back', 5_000);
  const took = performance.now() - begun;
  assert.ok(took < 1_000, `took ${took} ms`);
  const relayed = laptop.counters()['relay_packets_out']!;
  const direct = laptop.counters()['udp_packets_out']!;
  const echo = new Promise((resolve) => conn.once('data', resolve));
  conn.write('second');
  await echo;
  assert.equal(laptop.counters()['relay_packets_out'], relayed);
  assert.ok(laptop.counters()['udp_packets_out']! > direct);
  conn.destroy();
});

test('pings tell the address they were answered from', async () => {
  const address = web.status().ips[0]!;
  const port = Number(/:(\d+)$/.exec(pathTo(laptop, 'web'))![1]);
  for (const type of ['disco', 'tsmp', 'icmp', 'peerapi'] as const) {
    const { endpoint, relay, roundTripTime } = await laptop.ping({ address, type });
    assert.match(endpoint ?? '', new RegExp(`:${port}$`), type);
    assert.equal(relay, undefined);
    assert.ok(roundTripTime > 0);
  }
});

test('with the relay and control gone, new connections still come up by the direct path', async () => {
  await tailnet.stopRelay();
  await tailnet.stopControl();
  const conn = await laptop.dial({ host: 'web', port: 7, signal: AbortSignal.timeout(5_000) });
  const echo = new Promise<Buffer>((resolve) => conn.once('data', resolve));
  conn.write('still here');
  assert.equal(String(await echo), 'still here');
  conn.destroy();
  await tailnet.startControl();
  await tailnet.startRelay();
});

test('a restarted node has its UDP port again', async () => {
  const port = Number(/:(\d+)$/.exec(pathTo(laptop, 'web'))![1]);
  await web.close();
  web = await tailnet.upNode('web', { key: false });
  (await web.listen({ port: 7 })).on('connection', (conn) => conn.pipe(conn));
  const conn = await laptop.dial({ host: 'web', port: 7, signal: AbortSignal.timeout(10_000) });
  await until(() => pathTo(laptop, 'web') !== '', 'direct again');
  assert.match(pathTo(laptop, 'web'), new RegExp(`:${port}$`));
  conn.destroy();
});
