// Two machines behind NATs that keep them apart, and a stock node with a public address that relays UDP for both.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, type Host, type Started } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import { StockNode } from '../harness/stocknode.ts';
import { Backbone } from '../netlab/backbone.ts';
import { iptables, Network, SERVER_V4, type Site } from '../netlab/network.ts';

const CLI = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const ECHO_NODE = fileURLToPath(new URL('./echonode.js', import.meta.url));
const RELAY_PORT = 40_000;
const ECHO_SERVER =
  'require("net").createServer((s)=>s.on("error",()=>{}).pipe(s)).listen(7,"127.0.0.1")';
/** Trust in a path lasts 6.5 s after its last sign of life. */
const FALLBACK_LIMIT = 7_500;
/** Relays are looked for every 30 s. */
const RETURN_LIMIT = 45_000;

const POLICY = {
  tagOwners: { 'tag:relay': ['owner@netlab.test'] },
  grants: [
    { src: ['*'], dst: ['*'], ip: ['*'] },
    { src: ['*'], dst: ['tag:relay'], app: { 'tailscale.com/cap/relay': [] } },
  ],
};

const skip = missing({
  root: true,
  commands: ['ip', 'iptables'],
  programs: [
    ['tailscale', CURRENT_RELEASE],
    ['tailscaled', CURRENT_RELEASE],
  ],
});

interface Echo {
  readonly at: number;
  readonly took: number;
  readonly path: string;
  readonly peerRelay: string;
}

function echoes(node: Started): Echo[] {
  return node.stdout
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.includes('"echo"'))
    .map((line) => JSON.parse(line) as Echo);
}

describe('a stock peer relay', { skip, timeout: 300_000 }, () => {
  const url = `http://${SERVER_V4[0]}:8090`;
  let network: Network;
  let sites: Record<'relay' | 'near' | 'far', Site>;
  let relay: StockNode;
  let relayed: RegExp;

  const admin = async (...args: readonly string[]): Promise<string> => {
    const { host, dir } = { host: network.server, dir: join(network.server.dir, 'data') };
    return (await host.run(process.execPath, [CLI, ...args, '--dir', dir])).stdout.trim();
  };
  const authKey = (): Promise<string> => admin('authkey', 'create', '--ephemeral');
  const startNode = async (host: Host, name: string, target?: string): Promise<Started> => {
    const args = [ECHO_NODE, join(host.dir, name), url, name];
    const node = host.start(process.execPath, target === undefined ? args : [...args, target], {
      env: { TS_AUTHKEY: await authKey() },
    });
    await eventually(
      () => `${name} is not up\n${node.stderr}`,
      30_000,
      () => node.stdout.includes('"up"'),
    );
    return node;
  };
  /** The relay's own word: how many endpoints have bytes going both ways. */
  const sessions = async (): Promise<string> => relay.cli('debug', 'peer-relay-sessions');

  before(async () => {
    network = new Network();
    sites = {
      relay: network.addSite('v4only', 'relay'),
      near: network.addSite('hard', 'near'),
      far: network.addSite('hard', 'far'),
    };
    await Backbone.start(network.server);
    const file = join(network.server.dir, 'policy.json');
    writeFileSync(file, JSON.stringify(POLICY));
    await admin('policy', 'set', file);
    relay = new StockNode(sites.relay.host, CURRENT_RELEASE);
    await relay.up(url, await admin('authkey', 'create', '--tag', 'tag:relay'));
    await relay.cli('set', `--relay-server-port=${RELAY_PORT}`);
    relayed = new RegExp(`^${sites.relay.outside[0]}:${RELAY_PORT}:vni:\\d+$`);
  });
  after(async () => {
    await relay?.stop();
    network?.[Symbol.dispose]();
  });

  test('carries packets between two nodes of ours, is missed for seconds only, and is found again', async () => {
    const far = await startNode(sites.far.host, 'far');
    const near = await startNode(sites.near.host, 'near', 'far');
    const begun = Date.now();
    const through = (since: number): Echo | undefined =>
      echoes(near).find(({ at, took, peerRelay }) => at - took > since && relayed.test(peerRelay));
    const first = await eventually(
      () => `not through the relay\n${near.stdout.slice(-2000)}\n${near.stderr.slice(-2000)}`,
      30_000,
      () => through(begun - 1_000),
    );
    console.log(`# through ${first.peerRelay} after ${first.at - begun} ms`);
    await new Promise((done) => setTimeout(done, 2_000));
    console.log(`# ${await sessions()}`);

    await iptables(sites.relay.host, 4, '-A', 'INPUT', '-p', 'udp', '-j', 'DROP');
    const cutAt = Date.now();
    const resumed = await eventually(
      () => `no echo without the relay\n${near.stdout.slice(-2000)}`,
      30_000,
      () => echoes(near).find(({ at, took }) => at - took > cutAt + 300 && took < 1_000),
    );
    console.log(`# cut: echoes again after ${resumed.at - cutAt} ms`);
    await eventually(
      () => `still said to go through the relay\n${near.stdout.slice(-2000)}`,
      15_000,
      () => echoes(near).at(-1)!.peerRelay === '',
    );
    await iptables(sites.relay.host, 4, '-D', 'INPUT', '-p', 'udp', '-j', 'DROP');
    const restoredAt = Date.now();
    await eventually(
      () => `not through the relay again\n${near.stdout.slice(-2000)}`,
      RETURN_LIMIT,
      () => relayed.test(echoes(near).at(-1)!.peerRelay),
    );
    console.log(`# restored: through the relay after ${Date.now() - restoredAt} ms`);
    assert.ok(!near.stdout.includes('"closed"'), 'the connection lives');
    assert.ok(resumed.at - cutAt <= FALLBACK_LIMIT, `${resumed.at - cutAt} ms without an echo`);
    await near.kill();
    await far.kill();
  });

  for (const first of ['ours', 'stock'] as const) {
    test(`carries packets between a node of ours and a stock one; ${first} speaks first`, async () => {
      const { host } = sites.far;
      host.start(process.execPath, ['-e', ECHO_SERVER]);
      const stock = new StockNode(host, CURRENT_RELEASE, { ephemeral: true });
      try {
        await stock.up(url, await authKey(), `--hostname=stock-${first}`);
        const address = (await stock.status()).Self.TailscaleIPs[0]!;
        const name = `ours-${first}`;
        const ours = await startNode(sites.near.host, name, first === 'ours' ? address : undefined);
        if (first === 'ours') {
          await eventually(
            () => `not through the relay\n${ours.stdout.slice(-2000)}\n${ours.stderr.slice(-2000)}`,
            40_000,
            () => relayed.test(echoes(ours).at(-1)?.peerRelay ?? ''),
          );
        }
        // Its status tells a path only while it is in use; the ping fails, since it wants a direct one.
        const via = await eventually(
          () => `stock does not use the relay\n${stock.log}`,
          40_000,
          async () => {
            await stock.cli('ping', '--c=1', name).catch(() => {});
            const peers = Object.values((await stock.status()).Peer ?? {});
            return peers.find(({ HostName }) => HostName === name)?.PeerRelay;
          },
        );
        assert.match(via, relayed);
        await ours.kill();
      } finally {
        await stock.stop();
      }
    });
  }
});
