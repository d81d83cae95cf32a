// A node and its keys: a copied state, a new node key, an expiry while a connection is open. Its ID, name, addresses and
// connections stay.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Conn, Server } from '@cove/tsnet';
import { TestTailnet, until } from '../harness/tailnet.ts';

let tailnet: TestTailnet;
let watcher: Server;

before(async () => {
  tailnet = await TestTailnet.start();
  watcher = await tailnet.upNode('watcher');
  await serveEcho(watcher);
});
after(async () => {
  await tailnet[Symbol.asyncDispose]();
});

const limit = (ms = 15_000): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(ms) });

async function serveEcho(node: Server): Promise<void> {
  (await node.listen({ port: 7 })).on('connection', (conn) => {
    conn.on('error', () => {});
    conn.pipe(conn);
  });
}

async function echo(conn: Conn, text: string): Promise<void> {
  const answer = once(conn, 'data', limit());
  conn.write(text);
  assert.equal(String((await answer)[0]), text);
}

/** Opens a connection to the node and says something, until it is answered. */
async function answers(host: string): Promise<void> {
  await until(
    async () => {
      const conn = await watcher.dial({ host, port: 7, ...limit(2_000) }).catch(() => undefined);
      if (conn === undefined) return false;
      const answer = once(conn, 'data', limit(2_000)).catch(() => undefined);
      conn.write('hello');
      const came = await answer;
      conn.destroy();
      return came !== undefined;
    },
    `${host} answers`,
    30_000,
  );
}

test('a state that was copied runs twice: both are up, neither breaks anything, and one may end', async () => {
  const first = await tailnet.upNode('twin');
  await serveEcho(first);
  await answers('twin');
  const dir = join(tailnet.dir, 'nodes', 'copy');
  mkdirSync(dir);
  copyFileSync(
    join(tailnet.dir, 'nodes', 'twin', 'tailscaled.state'),
    join(dir, 'tailscaled.state'),
  );
  let streams = 0;
  const second = await tailnet.newNode('twin', {
    key: false,
    dir,
    log: (_level, message) => {
      if (message === 'map stream is up') streams++;
    },
  });
  const { ips } = await second.up(limit());
  await serveEcho(second);
  assert.deepEqual(ips, (await first.up()).ips);
  await delay(3_000);
  assert.deepEqual([first.state, second.state], ['Running', 'Running']);
  // Each takes the stream from the other, at growing intervals.
  assert.ok(streams <= 15, `${streams} streams in 3 s`);
  const records = tailnet.control.listNodes().filter(({ hostname }) => hostname === 'twin');
  assert.equal(records.length, 1);
  await first.close();
  // The other's handshakes may have ended its session at the watcher, which WireGuard notices after 15 seconds of silence.
  let conn: Conn | undefined;
  for (const end = Date.now() + 30_000; conn === undefined && Date.now() < end; )
    conn = await second.dial({ host: 'watcher', port: 7, ...limit(2_000) }).catch(() => undefined);
  assert.ok(conn, 'the one that is left reaches nobody');
  await echo(conn, 'still here');
  await second.close();
});

test('a forced login: another node key, the same node, and peers follow', async () => {
  const first = await tailnet.upNode('rotating');
  await serveEcho(first);
  await answers('rotating');
  const before = tailnet.control.getNode('rotating');
  await first.close();
  const second = await tailnet.newNode('rotating', { env: { TSNET_FORCE_LOGIN: '1' } });
  await second.up(limit());
  await serveEcho(second);
  const now = tailnet.control.getNode('rotating');
  assert.notEqual(now.nodeKey, before.nodeKey);
  assert.deepEqual(
    [now.id, now.stableId, now.addresses, now.machineKey],
    [before.id, before.stableId, before.addresses, before.machineKey],
  );
  await answers('rotating');
  assert.equal(
    watcher.status().peers.find(({ hostname }) => hostname === 'rotating')?.nodeKey,
    now.nodeKey,
  );
});

test('a key expires while a connection is open: after the new login the connection goes on, and the next start needs none', async () => {
  const first = await tailnet.upNode('renewing', { key: { user: 'dora@test.internal' } });
  await serveEcho(first);
  await answers('renewing');
  const conn = await watcher.dial({ host: 'renewing', port: 7, ...limit() });
  await echo(conn, 'before');
  const before = tailnet.control.getNode('renewing');
  const url = once(first, 'login', limit());
  await tailnet.control.expireNode('renewing');
  await url;
  // Control is away and back while a person takes his time: the login that was begun is forgotten there.
  await tailnet.stopControl();
  const another = once(first, 'login', limit(40_000));
  await tailnet.startControl();
  await another;
  const [pending] = tailnet.control
    .listPending()
    .filter(({ hostname }) => hostname === 'renewing')
    .slice(-1);
  await tailnet.control.approve(pending!.id, { user: 'dora@test.internal' });
  await until(() => first.state === 'Running', 'running again', 20_000);
  await echo(conn, 'after');
  conn.destroy();
  const now = tailnet.control.getNode('renewing');
  assert.notEqual(now.nodeKey, before.nodeKey);
  assert.deepEqual([now.id, now.addresses], [before.id, before.addresses]);
  await first.close();
  const second = await tailnet.newNode('renewing', { key: false });
  assert.deepEqual((await second.up(limit())).ips, before.addresses);
});
