// Relays of one side under nodes of the other, where no UDP passes: a stock derper for our nodes on our control, and our
// relay for stock clients and our node on a stock control server.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadSelfSigned } from '@cove/derp';
import type { DERPMap } from '@cove/protocol/tailcfg';
import { eventually, type Host, Lab, type Started } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing, peerPath } from '../harness/peers.ts';
import { StockNode } from '../harness/stocknode.ts';

const CLI = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const ECHO_NODE = fileURLToPath(new URL('./echonode.js', import.meta.url));
const NAME = 'relay.test';
const DERP_PORT = 443;
const RELEASES = [CURRENT_RELEASE, '1.90.9', '1.80.3'];
const skip = missing({
  root: true,
  programs: [
    ['derper', CURRENT_RELEASE],
    ['stockcontrol', CURRENT_RELEASE],
    ...RELEASES.map((release) => ['tailscaled', release] as const),
  ],
});

/** A machine whose UDP is blocked both ways. */
async function addRelayedHost(lab: Lab, name: string): Promise<Host> {
  const host = lab.addHost(name);
  for (const chain of ['INPUT', 'OUTPUT']) {
    // What stays on the machine, such as a resolver, may pass.
    const rule = ['-A', chain, '-p', 'udp', '!', chain === 'INPUT' ? '-i' : '-o', 'lo'];
    await host.run('iptables', [...rule, '-j', 'DROP']);
  }
  return host;
}

function startEcho(host: Host, url: string, authKey: string, target?: string): Started {
  const args = [join(host.dir, 'node'), url, host.name];
  return host.start(
    process.execPath,
    [ECHO_NODE, ...args, ...(target === undefined ? [] : [target])],
    { env: { TS_AUTHKEY: authKey } },
  );
}

/** Resolves once the program printed what `pattern` matches. */
function printed(
  program: Started,
  pattern: RegExp,
  stream: 'stdout' | 'stderr' = 'stdout',
): Promise<RegExpExecArray> {
  return eventually(
    () => `no ${pattern}\n${program.stdout.slice(-2000)}\n${program.stderr.slice(-4000)}`,
    45_000,
    () => pattern.exec(program[stream]) ?? undefined,
  );
}

/** The relayed echoes of a program with a target; fails if one went another way. */
async function assertRelayed(near: Started, count: number): Promise<void> {
  const echoes = await eventually(
    () => `no ${count} echoes\n${near.stdout.slice(-2000)}\n${near.stderr.slice(-4000)}`,
    45_000,
    () => {
      const lines = near.stdout.split('\n').filter((line) => line.includes('"echo"'));
      return lines.length >= count && lines;
    },
  );
  for (const line of echoes) assert.match(line, /"path":""/);
}

describe(`a stock derper ${CURRENT_RELEASE} as the relay of our control`, { skip }, () => {
  for (const [what, pinned] of [
    ['a certificate pin', true],
    ['no verification (InsecureForTests)', false],
  ] as const) {
    test(`two of our nodes talk through it, by ${what}`, { timeout: 180_000 }, async () => {
      await using lab = new Lab();
      const server = lab.addHost('server');
      const { cert, key, pin } = await loadSelfSigned(server.dir, [NAME]);
      writeFileSync(join(server.dir, `${NAME}.crt`), cert);
      writeFileSync(join(server.dir, `${NAME}.key`), key, { mode: 0o600 });
      const derper = server.start(peerPath('derper'), [
        ...['-a', `${server.address}:${DERP_PORT}`, '-c', join(server.dir, 'derper.json')],
        ...['-certmode', 'manual', '-certdir', server.dir, '-hostname', NAME],
        ...['-http-port', '-1', '-stun-port', '3478'],
      ]);
      const relay = {
        ...{ Name: '7a', RegionID: 7, HostName: NAME, IPv4: server.address, IPv6: 'none' },
        ...(pinned ? { CertName: pin } : { InsecureForTests: true }),
      };
      const map: DERPMap = {
        Regions: {
          7: { RegionID: 7, RegionCode: 'stock', RegionName: 'Stock', Nodes: [relay] },
        },
        omitDefaultRegions: true,
      };
      const mapFile = join(server.dir, 'derpmap.json');
      writeFileSync(mapFile, JSON.stringify(map));
      const dir = ['--dir', join(server.dir, 'data')];
      const listen = ['--listen', server.address, '--derp-map', mapFile, '--json'];
      const control = server.start(process.execPath, [CLI, 'control', ...dir, ...listen]);
      await printed(control, /"ready"/);
      await printed(derper, /serving on/i, 'stderr');
      const create = [CLI, 'authkey', 'create', '--reusable', ...dir];
      const authKey = (await server.run(process.execPath, create)).stdout.trim();

      const url = `http://${server.address}:8090`;
      const far = startEcho(await addRelayedHost(lab, 'far'), url, authKey);
      await printed(far, /"up"/);
      const near = startEcho(await addRelayedHost(lab, 'near'), url, authKey, 'far');
      await assertRelayed(near, 20);
    });
  }
});

describe(`our relay for nodes of a stock control server ${CURRENT_RELEASE}`, { skip }, () => {
  test(`stock clients ${RELEASES.join(', ')} and our node talk through it`, {
    timeout: 180_000,
  }, async () => {
    await using lab = new Lab();
    const server = lab.addHost('server');
    const listen = ['--listen', server.address, '--cert-dir', join(server.dir, 'relay'), '--json'];
    const relay = server.start(process.execPath, [CLI, 'derp', ...listen]);
    const ready = await printed(relay, /^\{.*"ready".*\}\n/);
    const mapFile = join(server.dir, 'derpmap.json');
    const { derpMap } = JSON.parse(ready[0]) as { readonly derpMap: DERPMap };
    const [region] = Object.values(derpMap.Regions!);
    // Clients before 1.84 know no pin, and this server gives everybody the same map.
    const relays = region!.Nodes!.map(({ CertName: _, ...node }) => ({
      ...node,
      InsecureForTests: true,
    }));
    const unpinned: DERPMap = {
      Regions: { [region!.RegionID]: { ...region!, Nodes: relays } },
      omitDefaultRegions: true,
    };
    writeFileSync(mapFile, JSON.stringify(unpinned));
    const control = server.start(peerPath('stockcontrol'), [
      ...['--listen', `${server.address}:8090`, '--derp-map', mapFile],
    ]);
    await printed(control, /listening on/, 'stderr');
    const url = `http://${server.address}:8090`;

    const ours = startEcho(await addRelayedHost(lab, 'ours'), url, 'any');
    await printed(ours, /"up"/);
    const nodes: StockNode[] = [];
    for (const release of RELEASES) {
      const node = new StockNode(await addRelayedHost(lab, `stock-${release}`), release);
      nodes.push(node);
      await node.up(url, 'any');
    }
    const addresses = await Promise.all(nodes.map(addressOf));
    addresses.push(/"ips":\["([\d.]+)"/.exec(ours.stdout)![1]!);
    for (const [i, node] of nodes.entries()) {
      const pong = await eventually(
        () => `no pong\n${node.log}`,
        30_000,
        () => node.cli('ping', '--c=1', '--until-direct=false', addresses[i + 1]!),
      );
      assert.match(pong, /via DERP\(own\) in /);
      assert.equal((await node.status()).Self.Relay, 'own');
    }
    // stockclients.test.ts expects the same of these releases on our control.
    for (const node of nodes.slice(1)) {
      const { Self: self, CurrentTailnet: tailnet } = await node.status();
      assert.equal(tailnet?.MagicDNSEnabled, true);
      assert.match(await node.cli('dns', 'query', self.DNSName), /RCodeServerFailure/);
    }
  });
});

async function addressOf(node: StockNode): Promise<string> {
  return (await node.status()).Self.TailscaleIPs[0]!;
}
