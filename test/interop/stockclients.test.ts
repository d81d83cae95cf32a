// Stock clients on our control and relay: each release joins with a key and nothing else, opens http://go/, and its
// command line shows what it shows on any other network.
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { eventually } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import type { StockNode } from '../harness/stocknode.ts';
import { CoveHost } from './covehost.ts';
import { notOffered } from './record.ts';

interface Kind {
  readonly release: string;
  /** With a network interface of its own; otherwise in user space. */
  readonly tun?: boolean;
}

const KINDS: readonly Kind[] = [
  { release: CURRENT_RELEASE },
  { release: '1.98.10' },
  { release: '1.90.9' },
  { release: '1.80.3' },
  { release: '1.68.0' },
  { release: CURRENT_RELEASE, tun: true },
  { release: '1.80.3', tun: true },
];
const OWNER = 'ada@example.com';
/** relays.test.ts shows that these do the same on a stock control server. */
const SILENT_IN_USER_SPACE = ['1.90.9', '1.80.3'];
const NO_RESOLVER =
  'in user space it answers no name unless the network has a resolver of its own; on a stock control server neither';
/** Who has no resolver of the system to fall back on says so; that is about the lab. */
const ABOUT_SYSTEM_DNS = /OS base config|DNS configuration of your device/;

const skip = missing({
  root: true,
  programs: KINDS.flatMap(
    ({ release }) =>
      [
        ['tailscale', release],
        ['tailscaled', release],
      ] as const,
  ),
});

describe('stock clients on our control and relay', { skip }, () => {
  let network: CoveHost;
  let goAddress: string;
  let before1: { readonly name: string; readonly address: string } | undefined;

  before(async () => {
    network = await CoveHost.start(OWNER);
    goAddress = network.cove.ready.services[0]!.ips[0]!;
  });
  after(() => network?.[Symbol.asyncDispose]());

  for (const { release, tun = false } of KINDS) {
    const title = `${release}, ${tun ? 'TUN' : 'user space'}`;
    test(title, { timeout: 180_000 }, async (t) => {
      const name = `client-${release.replaceAll('.', '-')}${tun ? '-tun' : ''}`;
      const user = `user-${name}@example.com`;
      const node = network.stockNode(name, release, { tun });
      const check = (what: string, run: (t: TestContext) => Promise<void>): Promise<void> =>
        t.test(what, run);

      await check('joins with a key and nothing else', async () => {
        await node.up(network.url, await network.authKey(user), `--hostname=${name}`);
        assert.equal((await node.status()).BackendState, 'Running');
      });
      await check('status shows itself, its user and its peers', async () => {
        await assertStatus(node, name, user);
        assert.match(await node.cli('status'), /\bgo\b/);
        assert.match(await node.cli('ip'), /^100\.\S+\nfd7a:115c:a1e0:\S+\n$/);
      });
      await check('opens http://go/, which names its user', async () => {
        const page = await eventually(
          () => `no page\n${node.log}`,
          30_000,
          () => node.curl('http://go/'),
        );
        assert.ok(page.includes(user), 'the page names the user of the calling node');
      });
      await check('ping finds the direct path', async () => {
        const printed = await node.cli('ping', 'go');
        assert.match(printed, new RegExp(`pong from go \\(${goAddress}\\) via 10\\.77\\.0\\.1:`));
      });
      await check('ping --tsmp', async () => {
        assert.match(
          await node.cli('ping', '--tsmp', '--c=1', 'go'),
          new RegExp(`pong from go \\(${goAddress}, \\d+\\) via TSMP in `),
        );
      });
      await check('ping --icmp', async () => {
        assert.match(
          await node.cli('ping', '--icmp', '--c=1', 'go'),
          new RegExp(`pong from go \\(${goAddress}\\) via ICMP in `),
        );
      });
      await check('ping --peerapi', async () => {
        assert.match(
          await node.cli('ping', '--peerapi', '--c=1', 'go'),
          new RegExp(`hit peerapi of ${goAddress} \\(go\\.cove\\.internal\\.\\) at http://`),
        );
      });
      await check('whois names the machine and its user', () => assertWhois(node, goAddress));
      await check('netcheck finds our relay the nearest', () => assertNetcheck(node));
      await check('dns query is answered by MagicDNS', async (own) => {
        if (release === '1.68.0') return notOffered(own, 'the release has no such command');
        const printed = await node.cli('dns', 'query', 'go.cove.internal');
        if (!tun && SILENT_IN_USER_SPACE.includes(release) && /RCodeServerFailure/.test(printed)) {
          return notOffered(own, NO_RESOLVER);
        }
        assert.match(printed, /RCodeSuccess/);
        assert.match(printed, new RegExp(`go\\.cove\\.internal\\..*${goAddress}`));
      });
      await check('pings a stock peer of another release', async (own) => {
        const peer = before1;
        before1 = { name, address: (await node.status()).Self.TailscaleIPs[0]! };
        if (peer === undefined) return notOffered(own, 'the first on the network');
        const printed = await node.cli('ping', peer.name);
        assert.ok(printed.includes(`pong from ${peer.name} (${peer.address}) via 10.77.0.`));
      });
      await check("the machine's own ping and resolver know go", async (own) => {
        if (!tun) return notOffered(own, 'user space touches neither');
        assert.match(
          await node.run('ping', '-c', '1', '-W', '5', 'go'),
          new RegExp(`${goAddress}.*\\n.*bytes from`),
        );
        assert.match(await node.run('getent', 'hosts', 'go.cove.internal'), new RegExp(goAddress));
      });
    });
  }

  test('a stock client opens a link that the owner made at the doorway', async () => {
    const node = network.stockNode('reader', CURRENT_RELEASE);
    await node.up(network.url, await network.authKey('reader@example.com'));
    await network.host.run('curl', [
      ...['--silent', '--fail', '--max-time', '10', '-H', 'Sec-Golink: 1'],
      ...['-H', 'Host: go.localhost:8080', '--data', 'short=docs&long=https://example.com/docs'],
      'http://127.0.0.1:8080/',
    ]);
    const head = await eventually(
      () => node.log,
      20_000,
      () => node.curl('http://go/docs/intro', '--dump-header', '-', '--output', '/dev/null'),
    );
    assert.match(head, /302/);
    assert.match(head, /location: https:\/\/example\.com\/docs\/intro/i);
  });
});

async function assertStatus(node: StockNode, name: string, user: string): Promise<void> {
  // Warnings of the first seconds go away once it is connected.
  const status = await eventually(
    () => `warnings remain\n${node.log}`,
    20_000,
    async () => {
      const now = await node.status();
      return now.Health?.every((line) => ABOUT_SYSTEM_DNS.test(line)) !== false && now;
    },
  );
  const { Self: self, CurrentTailnet: tailnet } = status;
  assert.equal(status.BackendState, 'Running');
  assert.equal(self.DNSName, `${name}.cove.internal.`);
  assert.equal(self.Online, true);
  assert.equal(self.Relay, 'own');
  assert.equal(self.TailscaleIPs.length, 2);
  assert.equal(status.MagicDNSSuffix, 'cove.internal');
  assert.deepEqual(tailnet, {
    Name: 'cove.internal',
    MagicDNSSuffix: 'cove.internal',
    MagicDNSEnabled: true,
  });
  assert.equal(status.User[String(self.UserID)]?.LoginName, user);
  const peers = Object.values(status.Peer ?? {});
  const go = peers.find((peer) => peer.DNSName === 'go.cove.internal.');
  assert.ok(go, `no peer go in ${JSON.stringify(status.Peer)}`);
  assert.equal(go.HostName, 'go');
  assert.equal(go.OS, 'linux');
  assert.equal(go.Online, true);
  assert.equal(go.InNetworkMap, true);
  assert.equal(go.Relay, 'own');
  assert.deepEqual(go.Tags, ['tag:service']);
  assert.equal(status.User[String(go.UserID)]?.LoginName, 'tagged-devices');
  const doorway = peers.find((peer) => status.User[String(peer.UserID)]?.LoginName === OWNER);
  assert.equal(doorway?.Online, true, 'the doorway, as a machine of the owner');
}

async function assertWhois(node: StockNode, goAddress: string): Promise<void> {
  assert.match(await node.cli('whois', goAddress), /Name:\s+go\.cove\.internal\n/);
  const go = JSON.parse(await node.cli('whois', '--json', `${goAddress}:80`)) as WhoIsJson;
  assert.equal(go.Node.Name, 'go.cove.internal.');
  assert.equal(go.Node.ComputedName, 'go');
  assert.deepEqual(go.Node.Tags, ['tag:service']);
  assert.equal(go.UserProfile.LoginName, 'tagged-devices');
  const peers = Object.values((await node.status()).Peer ?? {});
  const doorway = peers.find((peer) => peer.Tags === undefined && peer.DNSName !== '')!;
  const printed = await node.cli('whois', doorway.TailscaleIPs[0]!);
  assert.match(printed, /User:\n\s+Name:\s+\S+@example\.com\n/);
}

interface WhoIsJson {
  readonly Node: {
    readonly Name: string;
    readonly ComputedName: string;
    readonly Tags?: readonly string[];
  };
  readonly UserProfile: { readonly LoginName: string };
}

async function assertNetcheck(node: StockNode): Promise<void> {
  const printed = await node.cli('netcheck');
  assert.match(printed, /UDP: true/);
  assert.match(printed, /Nearest DERP: Own relay/);
  assert.match(printed, /- own: [\d.]+(?:ms|µs)/);
  const report = JSON.parse(await node.cli('netcheck', '--format=json')) as {
    readonly UDP: boolean;
    readonly IPv4: boolean;
    readonly PreferredDERP: number;
    readonly RegionLatency: Readonly<Record<string, number>>;
    readonly GlobalV4: string;
  };
  assert.equal(report.UDP, true);
  assert.equal(report.IPv4, true);
  assert.equal(report.PreferredDERP, 900);
  assert.ok(report.RegionLatency['900']! > 0);
  assert.ok(report.GlobalV4.startsWith(`${node.host.address}:`), report.GlobalV4);
}
