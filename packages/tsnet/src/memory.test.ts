// What idle connections and peers hold in memory, and that they give it back.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { encodeJson } from '@cove/protocol/json';
import { parseMapResponse } from '@cove/protocol/mapmessage';
import type { Node } from '@cove/protocol/tailcfg';
import type { Conn } from './conn.ts';
import { foldMapResponse } from './control/map.ts';
import type { NetworkMap } from './netmap.ts';
import { hostPair, type TestHost } from './testing/hosts.ts';
import { testNode } from './testing/maps.ts';
import { TestTailnet } from './testing/tailnet.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Heap and buffers in use. */
async function memory(): Promise<number> {
  // What a collection finds unreachable may be let go of by a finalizer only.
  for (let i = 0; i < 3; i++) {
    gc();
    await turn();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !isSo(); i++) await delay(10);
}

async function dialMany(from: TestHost, port: number, count: number): Promise<Conn[]> {
  const conns: Conn[] = [];
  while (conns.length < count) {
    const some = Math.min(32, count - conns.length);
    conns.push(...(await Promise.all(Array.from({ length: some }, () => from.dial(port)))));
  }
  return conns;
}

test('an idle connection takes less than 4 KiB of heap at an end, and gives all of it back', async () => {
  const { client, server } = hostPair({ timeWait: 1 });
  try {
    const accepted = new Set<Conn>();
    server.listen(80).on('connection', (conn) => {
      accepted.add(conn.resume());
      conn.on('close', () => accepted.delete(conn));
    });
    const rounds: { before: number; each: number; after: number }[] = [];
    // The first round pays for code and for tables that stay.
    for (let i = 0; i < 3; i++) {
      const before = await memory();
      const conns = await dialMany(client, 80, 1000);
      await until(() => accepted.size === 1000);
      const each = ((await memory()) - before) / 2000;
      for (const conn of conns.splice(0)) conn.destroy();
      await until(() => accepted.size === 0 && client.stack.nextTick === undefined);
      assert.equal(accepted.size, 0);
      rounds.push({ before, each, after: await memory() });
    }
    const { before, after } = rounds.at(-1)!;
    const each = Math.min(...rounds.map((round) => round.each));
    assert.ok(each < 4096, `${Math.round(each)} bytes`);
    assert.ok(after < 1.05 * before, `${after} bytes, ${before} before`);
  } finally {
    client.stop();
    server.stop();
  }
});

test('a connection that stands keeps nothing of the signal that could have ended its dial', async () => {
  const { client, server } = hostPair();
  try {
    server.listen(80).on('connection', (conn) => conn.resume());
    const dial = async (): Promise<[Conn, WeakRef<AbortSignal>]> => {
      const { signal } = new AbortController();
      const conn = client.newConn();
      conn.connect({ host: server.address, port: 80, signal });
      await once(conn, 'connect');
      return [conn, new WeakRef(signal)];
    };
    const [conn, signal] = await dial();
    await memory();
    assert.equal(signal.deref(), undefined);
    conn.destroy();
  } finally {
    client.stop();
    server.stop();
  }
});

/** As control describes a machine that is away. */
function away(id: number): Node {
  const key = (prefix: string): string => prefix + (id + 0x1000).toString(16).padEnd(64, 'a');
  const addresses = [
    `100.70.${id >> 8}.${id & 255}/32`,
    `fd7a:115c:a1e0::7:${id.toString(16)}/128`,
  ];
  return testNode(2, {
    ID: id + 1000,
    StableID: `n${id}CNTRL`,
    Name: `away-${id}.example.ts.net.`,
    Key: key('nodekey:') as Node['Key'],
    Machine: key('mkey:') as NonNullable<Node['Machine']>,
    DiscoKey: key('discokey:') as NonNullable<Node['DiscoKey']>,
    Addresses: addresses,
    AllowedIPs: addresses,
    Endpoints: [`192.0.2.${id & 255}:41641`],
    DERP: '127.3.3.40:1',
    Hostinfo: { Hostname: `away-${id}`, OS: 'linux', NetInfo: { PreferredDERP: 1 } },
    Created: '2026-01-01T00:00:00Z',
    KeyExpiry: '2036-01-01T00:00:00Z',
    LastSeen: '2026-01-02T00:00:00Z',
    Cap: 121,
    Online: false,
  });
}

test('a peer that nothing is said to takes less than 2.5 KiB of heap, and leaves nothing behind', async () => {
  const net = await TestTailnet.start(1);
  try {
    const { engine } = net.add();
    net.publish();
    const alone = net.mapFor(net.engines[0]!);
    const crowd = (count: number): NetworkMap => {
      const peers = Array.from({ length: count }, (_, i) => away(i));
      const bytes = encodeJson({ Node: alone.self, Peers: peers });
      const { peers: read } = foldMapResponse(undefined, parseMapResponse(bytes), Date.now());
      return { ...alone, peers: read };
    };
    const visit = async (): Promise<{ before: number; each: number; after: number }> => {
      const before = await memory();
      engine.setNetworkMap(crowd(1000));
      const each = ((await memory()) - before) / 1000;
      engine.setNetworkMap(alone);
      return { before, each, after: await memory() };
    };
    await visit();
    const { before, each, after } = await visit();
    assert.ok(each > 500 && each < 2560, `${Math.round(each)} bytes`);
    assert.ok(after < 1.05 * before, `${after} bytes, ${before} before`);
  } finally {
    await net.close();
  }
});
