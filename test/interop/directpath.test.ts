// Direct paths between machines on one network: ours with stock peers of several releases, on our control server and on
// a stock one; and what happens when UDP between two machines stops passing.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RunningCove } from '../harness/cove.ts';
import { eventually, type Host, Lab, type Started } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing, peerPath } from '../harness/peers.ts';
import { StockNode } from '../harness/stocknode.ts';

const RELEASES = [CURRENT_RELEASE, '1.98.10', '1.90.9', '1.80.3', '1.68.0'];
const CLI = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const ECHO_NODE = fileURLToPath(new URL('./echonode.js', import.meta.url));
/** Trust in a path lasts 6.5 s after its last sign of life. */
const FALLBACK_LIMIT = 7_000;

const skip = missing({
  root: true,
  programs: [
    ...RELEASES.flatMap(
      (release) =>
        [
          ['tailscale', release],
          ['tailscaled', release],
        ] as const,
    ),
    ['testcontrol', CURRENT_RELEASE],
  ],
});

/** The address the last pong came from, once it is a direct one; `tailscale ping` goes on until then. */
async function pingUntilDirect(node: StockNode, name: string): Promise<string> {
  const printed = await node.cli('ping', '--c=10', '--timeout=5s', name);
  return (
    /pong from \S+ \(\S+\) via (\S+:\d+) in/.exec(printed.trim().split('\n').at(-1)!)?.[1] ??
    printed
  );
}

describe('direct paths on our control server', { skip }, () => {
  let lab: Lab;
  let server: Host;
  let cove: RunningCove;

  before(async () => {
    lab = new Lab();
    server = lab.addHost('server');
    const dir = ['--dir', join(server.dir, 'data')];
    cove = await RunningCove.start(
      ['up', ...dir, '--owner', 'ada@example.com', '--listen', server.address],
      { prefix: ['ip', 'netns', 'exec', server.namespace] },
    );
  });
  after(async () => {
    await cove?.stop();
    await lab?.[Symbol.asyncDispose]();
  });

  const authKey = async (): Promise<string> => {
    const args = ['authkey', 'create', '--user', 'ada@example.com'];
    const { stdout } = await server.run(process.execPath, [
      CLI,
      ...args,
      '--dir',
      join(server.dir, 'data'),
    ]);
    return stdout.trim();
  };
  const url = (): string => `http://${server.address}:8090`;

  for (const release of RELEASES) {
    test(`tailscale ping of ${release} ends with a pong from a direct address of ours`, async () => {
      const node = new StockNode(lab.addHost(`direct-${release}`), release);
      try {
        await node.up(url(), await authKey());
        const begun = Date.now();
        assert.match(await pingUntilDirect(node, 'go'), /^10\.77\.0\.1:\d+$/);
        console.log(`# ${release}: direct after ${Date.now() - begun} ms`);
      } finally {
        await node.stop();
      }
    });
  }

  test('when UDP stops passing, an open connection goes on over the relay within 7 s, and back', async () => {
    const [near, far] = [lab.addHost('near'), lab.addHost('far')];
    const start = async (host: Host, ...more: string[]): Promise<Started> =>
      host.start(process.execPath, [ECHO_NODE, join(host.dir, 'node'), url(), host.name, ...more], {
        env: { TS_AUTHKEY: await authKey() },
      });
    const farNode = await start(far);
    await eventually(
      () => `far is not up\n${farNode.stderr}`,
      30_000,
      () => farNode.stdout.includes('"up"'),
    );
    const nearNode = await start(near, 'far');
    const direct = `10.77.0.${far.address.split('.')[3]}:`;
    await eventually(
      () => `not direct\n${nearNode.stdout.slice(-2000)}${nearNode.stderr}`,
      30_000,
      () => echoes(nearNode).at(-1)?.path.startsWith(direct),
    );
    const rules = ['INPUT', 'OUTPUT'].map((chain) => [chain, '-p', 'udp', '-j', 'DROP']);
    const cutAt = Date.now();
    for (const rule of rules) await near.run('iptables', ['-A', ...rule]);
    const resumed = await eventually(
      () => `no echo by the relay\n${nearNode.stdout.slice(-2000)}`,
      30_000,
      () => echoes(nearNode).find(({ at, took }) => at - took > cutAt + 300 && took < 1_000),
    );
    const gap = resumed.at - cutAt;
    console.log(`# cut: echoes again after ${gap} ms`);
    for (const rule of rules) await near.run('iptables', ['-D', ...rule]);
    const restoredAt = Date.now();
    await eventually(
      () => `not direct again\n${nearNode.stdout.slice(-2000)}`,
      30_000,
      () => {
        const last = echoes(nearNode).at(-1);
        return last && last.at > resumed.at && last.path.startsWith(direct);
      },
    );
    console.log(`# restored: direct after ${Date.now() - restoredAt} ms`);
    assert.ok(!nearNode.stdout.includes('"closed"'), 'the connection lives');
    assert.ok(gap <= FALLBACK_LIMIT, `${gap} ms without an echo`);
  });
});

describe('direct paths on a stock control server', { skip }, () => {
  test('our node and a stock one of testcontrol reach each other directly', async () => {
    await using lab = new Lab();
    const host = lab.addHost('all');
    const control = host.start(peerPath('testcontrol', CURRENT_RELEASE), []);
    const address = await eventually(
      () => `testcontrol did not start\n${control.stderr}`,
      15_000,
      () => /listening on (127\.0\.0\.1:\d+)/.exec(control.stderr)?.[1],
    );
    const url = `http://${address}`;
    const ours = host.start(process.execPath, [ECHO_NODE, join(host.dir, 'node'), url, 'ours'], {
      env: { TS_AUTHKEY: 'any' },
    });
    const node = new StockNode(host, CURRENT_RELEASE);
    await eventually(
      () => `not up\n${ours.stderr}`,
      30_000,
      () => ours.stdout.includes('"up"'),
    );
    await node.up(url, 'any');
    assert.match(await pingUntilDirect(node, 'ours'), /^(10\.77\.0\.1|127\.0\.0\.1):\d+$/);
  });
});

interface Echo {
  readonly at: number;
  readonly took: number;
  readonly path: string;
}

function echoes(node: Started): Echo[] {
  return node.stdout
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.includes('"echo"'))
    .map((line) => JSON.parse(line) as Echo);
}
