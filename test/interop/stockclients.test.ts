// Stock clients on our control and relay: each release joins with a key and nothing else, sees its peers, pings `go`
// and opens http://go/, whose page names that node's user.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { RunningCove } from '../harness/cove.ts';
import { eventually, type Host, Lab } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import { StockNode } from '../harness/stocknode.ts';

const RELEASES = [CURRENT_RELEASE, '1.90.9', '1.80.3'];
const skip = missing({
  root: true,
  programs: RELEASES.flatMap(
    (release) =>
      [
        ['tailscale', release],
        ['tailscaled', release],
      ] as const,
  ),
});

describe('stock clients on our control and relay', { skip }, () => {
  let lab: Lab;
  let server: Host;
  let cove: RunningCove;

  before(async () => {
    lab = new Lab();
    server = lab.addHost('server');
    cove = await RunningCove.start(
      [
        'up',
        '--dir',
        join(server.dir, 'data'),
        '--owner',
        'ada@example.com',
        '--listen',
        server.address,
      ],
      { prefix: ['ip', 'netns', 'exec', server.namespace] },
    );
  });
  after(async () => {
    await cove?.stop();
    await lab?.[Symbol.asyncDispose]();
  });

  const authKey = async (user: string): Promise<string> => {
    const bin = new URL('../../../packages/cli/bin/cove.js', import.meta.url).pathname;
    const { stdout } = await server.run(process.execPath, [
      bin,
      'authkey',
      'create',
      '--user',
      user,
      '--dir',
      join(server.dir, 'data'),
    ]);
    return stdout.trim();
  };

  for (const release of RELEASES) {
    test(`${release} joins, sees go, pings it and opens http://go/ as its own user`, async () => {
      const user = `user-${release}@example.com`;
      const node = new StockNode(lab.addHost(`client-${release}`), release);
      try {
        await node.up(`http://${server.address}:8090`, await authKey(user));
        const status = await node.status();
        assert.equal(status.BackendState, 'Running');
        assert.equal(status.User[String(status.Self.UserID)]?.LoginName, user);
        const go = Object.values(status.Peer ?? {}).find((peer) => peer.DNSName.startsWith('go.'));
        assert.ok(go, `no peer go in ${JSON.stringify(status.Peer)}`);
        assert.match(await node.cli('status'), /\bgo\b/);
        const pong = await node.cli('ping', '--c=3', '--until-direct=false', '--timeout=10s', 'go');
        assert.match(pong, /pong from go /);
        const page = await eventually(
          () => `no page\n${node.log}`,
          30_000,
          () => node.curl('http://go/'),
        );
        assert.ok(page.includes(user), 'the page names the user of the calling node');
      } finally {
        await node.stop();
      }
    });
  }

  test('a stock client opens a link that the owner made at the doorway', async () => {
    const node = new StockNode(lab.addHost('reader'), CURRENT_RELEASE);
    try {
      await node.up(`http://${server.address}:8090`, await authKey('reader@example.com'));
      await server.run('curl', [
        '--silent',
        '--fail',
        '--max-time',
        '10',
        '-H',
        'Sec-Golink: 1',
        '-H',
        `Host: go.localhost:8080`,
        '--data',
        'short=docs&long=https://example.com/docs',
        'http://127.0.0.1:8080/',
      ]);
      const head = await eventually(
        () => node.log,
        20_000,
        () => node.curl('http://go/docs/intro', '--dump-header', '-', '--output', '/dev/null'),
      );
      assert.match(head, /302/);
      assert.match(head, /location: https:\/\/example\.com\/docs\/intro/i);
    } finally {
      await node.stop();
    }
  });

  test('tailscale logout frees the way for another login, and the peer is seen leaving', async () => {
    const host = lab.addHost('leaver');
    const node = new StockNode(host, CURRENT_RELEASE);
    try {
      await node.up(
        `http://${server.address}:8090`,
        await authKey('leaver@example.com'),
        '--hostname=leaver',
      );
      await node.cli('logout');
      const status = await node.status();
      assert.equal(status.BackendState, 'NeedsLogin');
      await node.up(
        `http://${server.address}:8090`,
        await authKey('leaver@example.com'),
        '--hostname=leaver',
      );
      assert.equal((await node.status()).BackendState, 'Running');
    } finally {
      await node.stop();
    }
  });
});
