// Relay regions come and go under a running node, and a node restarts behind its relay.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import type { DERPMap } from '@cove/protocol/tailcfg';
import { noUdp } from './testing/noudp.ts';
import { TestTailnet, until } from './testing/tailnet.ts';

let open: TestTailnet | undefined;

async function tailnet(regions: number): Promise<TestTailnet> {
  open = await TestTailnet.start(regions);
  return open;
}

afterEach(async () => {
  await open?.close();
  open = undefined;
});

test('the home region is removed from the map: another is chosen, and open connections go on', async () => {
  const net = await tailnet(2);
  const a = net.add({}, { openUdp: noUdp });
  const b = net.add({ HomeDERP: 2 }, { openUdp: noUdp });
  const whole = net.derpMap;
  const only = (id: number): DERPMap => ({ Regions: { [id]: whole.Regions![id]! } });
  a.engine.setNetworkMap(net.mapFor(a, { derpMap: only(1) }));
  b.engine.setNetworkMap(net.mapFor(b, { derpMap: only(2) }));
  // Each has one region to choose as home, then knows both.
  a.engine.setNetworkMap(net.mapFor(a));
  b.engine.setNetworkMap(net.mapFor(b));
  b.engine.listenTcp({ port: 7 }).on('connection', (conn) => conn.pipe(conn));
  const conn = await a.engine.dialTcp({ address: '100.64.0.2', port: 7 });
  const echo = async (text: string): Promise<void> => {
    const answer = once(conn, 'data');
    conn.write(text);
    assert.equal(String((await answer)[0]), text);
  };
  await echo('before');
  assert.deepEqual([a.engine.homeDerp, b.engine.homeDerp], [1, 2]);
  b.node = { ...b.node, HomeDERP: 1 };
  for (const each of [a, b]) each.engine.setNetworkMap(net.mapFor(each, { derpMap: only(1) }));
  assert.deepEqual(b.homes, [2, 1]);
  await echo('after');
  conn.destroy();
});

test('a node that starts while control is away makes home where its peers look for it', async () => {
  const net = await tailnet(2);
  const measured: number[] = [];
  const a = net.add(
    { HomeDERP: 2 },
    {
      callbacks: {
        homeDerp: (region) => a.homes.push(region),
        derpConnected: () => {},
        netInfo: () => measured.push(a.engine.homeDerp),
      },
    },
  );
  a.engine.setControlConnected(false);
  a.engine.setNetworkMap(net.mapFor(a));
  assert.deepEqual(a.homes, [2], 'at once, from the map');
  await until(() => measured.length > 0, 'a measurement');
  assert.deepEqual(a.homes, [2]);
});

test('a peer that sends under a session from before our restart is told so at once, not after 15 s', async () => {
  const net = await tailnet(1);
  const a = net.add({}, { openUdp: noUdp });
  const b = net.add({}, { openUdp: noUdp });
  net.publish();
  b.engine.listenUdp({ port: 7 });
  const sender = a.engine.listenUdp({ port: 0 });
  const send = (): void => sender.send('hello', 7, '100.64.0.2');
  send();
  await until(() => a.engine.peerStatus()[0]?.active === true, 'a session');
  await b.engine.close();
  const again = net.add({}, { openUdp: noUdp, nodeKey: b.nodeKey });
  again.node = { ...b.node };
  net.engines.splice(net.engines.indexOf(b), 1);
  // Nobody tells `a` of the restart.
  again.engine.setNetworkMap(net.mapFor(again));
  await until(() => again.connected.length > 0, 'it is at its relay');
  const arrived = once(again.engine.listenUdp({ port: 7 }), 'message');
  const timer = setInterval(send, 100);
  const begun = performance.now();
  await arrived;
  clearInterval(timer);
  assert.ok(performance.now() - begun < 4_000, `${performance.now() - begun} ms`);
});
