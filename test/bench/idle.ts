// What a node costs that does nothing: processor time and datagrams of a minute beside 500 idle peers, the time and
// memory of a map with 2,000 peers, and the processor time of a `cove up` that nobody uses. Each runs in a network
// namespace of its own (`unshare --net`), so that every datagram in it counts. Prints JSON; exits 1 when a target below
// is missed. With --write it keeps docs/idle.json and docs/idle.md.
//
//   node test/dist/bench/idle.js [--write]
import { execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TestNode } from '@cove/control/testing/client';
import { FREE_PORTS, RunningCove } from '../harness/cove.ts';
import { TestTailnet } from '../harness/tailnet.ts';
import type { Up, Usage } from './idlenode.ts';

const IDLE_PEERS = 500;
const LARGE_MAP = 2_000;
/** Until what follows a start (measurements, heartbeats of the first connections) is over. */
const SETTLE_MS = 75_000;
const MEASURED_MS = 60_000;
const MAX_CPU_PERCENT = 1;
const DOCS = fileURLToPath(new URL('../../../docs/', import.meta.url));
const SELF = fileURLToPath(import.meta.url);
const IDLE_NODE = fileURLToPath(new URL('./idlenode.js', import.meta.url));

interface Idle {
  readonly peers: number;
  /** Percent of one core. */
  readonly cpuPercent: number;
  readonly wireguardPackets: number;
  readonly udpDatagrams: number;
  /** Packets through the relay; its keep-alives, one a minute, are not among them. */
  readonly relayPackets: number;
  readonly rssMiB: number;
}

interface LargeMap {
  readonly peers: number;
  /** Start of a node that is logged in, until it is Running: beside these peers, and beside none. */
  readonly upMs: number;
  readonly aloneUpMs: number;
  readonly cpuMs: number;
  readonly aloneCpuMs: number;
  readonly heapKiBPerPeer: number;
}

interface Report {
  readonly date: string;
  readonly node: string;
  readonly machine: string;
  readonly idle: Idle;
  readonly largeMap: LargeMap;
  readonly coveUp: { readonly cpuPercent: number; readonly rssMiB: number };
}

const round = (value: number): number => Math.round(value * 100) / 100;

/** UDP datagrams sent in this namespace so far, of both families. */
function datagrams(): number {
  const v4 = /^Udp: (\d.*)$/m.exec(readFileSync('/proc/net/snmp', 'utf8'))![1]!.split(' ');
  const v6 = /^Udp6OutDatagrams\s+(\d+)$/m.exec(readFileSync('/proc/net/snmp6', 'utf8'))?.[1];
  return Number(v4[3]) + Number(v6 ?? 0);
}

/** Machines that joined, said once where they are, and left. */
async function addPeers(tailnet: TestTailnet, count: number): Promise<void> {
  const { key } = await tailnet.control.createAuthKey({ reusable: true });
  const port = Number(new URL(tailnet.url).port);
  const numbers = Array.from({ length: count }, (_, i) => i)[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (const i of numbers) {
      const client = await new TestNode(`peer-${i}`).connect(port, tailnet.control.publicKey);
      await client.register({ Auth: { AuthKey: key } });
      const { status } = await client.update({
        Endpoints: [`192.0.2.${i % 250}:${1024 + i}`, `198.51.100.${i % 250}:41641`],
        Hostinfo: { Hostname: `peer-${i}`, OS: 'linux', NetInfo: { PreferredDERP: 900 } },
      });
      if (status !== 200) throw new Error(`update: ${status}`);
      // Others are told of a machine once it has listened.
      const stream = await client.stream({ Compress: 'zstd' });
      await stream.next();
      client.close();
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

interface Running extends AsyncDisposable {
  readonly up: Up;
  usage(): Promise<Usage>;
}

async function startNode(tailnet: TestTailnet, name: string): Promise<Running> {
  const { key } = await tailnet.control.createAuthKey({ ephemeral: false });
  const child = fork(IDLE_NODE, [join(tailnet.dir, name), tailnet.url], {
    execArgv: ['--expose-gc'],
    env: { ...process.env, TS_AUTHKEY: key },
  });
  const [up] = (await once(child, 'message')) as [Up];
  return {
    up,
    usage: async () => {
      child.send('usage');
      return ((await once(child, 'message')) as [Usage])[0];
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      await once(child, 'close');
    },
  };
}

async function measureIdle(): Promise<Idle> {
  await using tailnet = await TestTailnet.start();
  await addPeers(tailnet, IDLE_PEERS);
  await using node = await startNode(tailnet, 'idle');
  await delay(SETTLE_MS);
  const before = { usage: await node.usage(), sent: datagrams(), relay: tailnet.relayedPackets };
  await delay(MEASURED_MS);
  const sent = datagrams() - before.sent;
  const relayPackets = tailnet.relayedPackets - before.relay;
  const after = await node.usage();
  return {
    peers: after.peers,
    cpuPercent: round((100 * (after.cpuMs - before.usage.cpuMs)) / MEASURED_MS),
    wireguardPackets: after.packetsOut - before.usage.packetsOut,
    udpDatagrams: sent,
    relayPackets,
    rssMiB: round(after.rssMiB),
  };
}

async function measureLargeMap(): Promise<LargeMap> {
  const start = async (peers: number): Promise<Up> => {
    await using tailnet = await TestTailnet.start();
    await addPeers(tailnet, peers);
    // The second start has a login already.
    await (await startNode(tailnet, 'node'))[Symbol.asyncDispose]();
    await using node = await startNode(tailnet, 'node');
    if (node.up.usage.peers !== peers) throw new Error(`${node.up.usage.peers} of ${peers} peers`);
    return node.up;
  };
  const alone = await start(0);
  const crowded = await start(LARGE_MAP);
  const heap = crowded.usage.heapMiB - alone.usage.heapMiB;
  return {
    peers: LARGE_MAP,
    upMs: round(crowded.upMs),
    aloneUpMs: round(alone.upMs),
    cpuMs: round(crowded.usage.cpuMs),
    aloneCpuMs: round(alone.usage.cpuMs),
    heapKiBPerPeer: round((heap * 1024) / LARGE_MAP),
  };
}

async function measureCoveUp(): Promise<Report['coveUp']> {
  const dir = mkdtempSync(join(tmpdir(), 'cove-idle-'));
  const cove = await RunningCove.start(['up', '--dir', dir, ...FREE_PORTS]);
  try {
    await cove.ask('/');
    await delay(SETTLE_MS);
    const before = processorMs(cove.child.pid!);
    await delay(MEASURED_MS);
    const used = processorMs(cove.child.pid!) - before;
    const status = readFileSync(`/proc/${cove.child.pid}/status`, 'utf8');
    const rssMiB = Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) / 1024;
    return { cpuPercent: round((100 * used) / MEASURED_MS), rssMiB: round(rssMiB) };
  } finally {
    await cove.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** User and system time; the kernel counts in hundredths of a second. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

const PARTS = { idle: measureIdle, largeMap: measureLargeMap, coveUp: measureCoveUp } as const;

/** Measures one part in a namespace of its own, where it is alone. */
async function apart<T>(part: keyof typeof PARTS): Promise<T> {
  const child = spawn('unshare', ['--net', process.execPath, SELF, part], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${part} ended with ${code}`);
  return JSON.parse(text) as T;
}

function page({ date, node, machine, idle, largeMap, coveUp }: Report): string {
  return `# A node that does nothing

\`node test/dist/bench/idle.js --write\` (root, Linux) writes this page.

${date}; ${node}; ${machine}. Each in a network namespace of its own, ${SETTLE_MS / 1000} s after its start, over
${MEASURED_MS / 1000} s.

| | |
| --- | --- |
| Peers known, none of them spoken to | ${idle.peers} |
| Processor time of the node | ${idle.cpuPercent} % of a core |
| UDP datagrams of the node and of all others in the namespace | ${idle.udpDatagrams} |
| Packets through the relay | ${idle.relayPackets} |
| WireGuard packets | ${idle.wireguardPackets} |
| Resident memory | ${idle.rssMiB} MiB |
| \`cove up\` that nobody uses: control, relay, \`go\` and the doorway | ${coveUp.cpuPercent} % of a core, ${coveUp.rssMiB} MiB |

Peers cost nothing until there is something to say to them: no keep-alive, no timer. What remains is one keep-alive a minute from
the relay and one from control.

A map of ${largeMap.peers} peers: a node that is logged in is Running ${Math.round(largeMap.upMs)} ms after its start (alone
${Math.round(largeMap.aloneUpMs)} ms), for ${Math.round(largeMap.cpuMs - largeMap.aloneCpuMs)} ms of processor time more and ${largeMap.heapKiBPerPeer} KiB of heap per peer.
`;
}

async function main(write: boolean): Promise<void> {
  const [idle, coveUp] = await Promise.all([
    apart<Idle>('idle'),
    apart<Report['coveUp']>('coveUp'),
  ]);
  const largeMap = await apart<LargeMap>('largeMap');
  const report: Report = {
    date: new Date().toISOString().slice(0, 10),
    node: `Node ${process.version}`,
    machine: `${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release().split('-')[0]}`,
    idle,
    largeMap,
    coveUp,
  };
  console.log(JSON.stringify(report, undefined, 2));
  if (write) {
    writeFileSync(join(DOCS, 'idle.json'), `${JSON.stringify(report, undefined, 2)}\n`);
    writeFileSync(join(DOCS, 'idle.md'), page(report));
  }
  const missed = [
    idle.peers < IDLE_PEERS && `${idle.peers} peers`,
    idle.cpuPercent >= MAX_CPU_PERCENT && `an idle node takes ${idle.cpuPercent} % of a core`,
    coveUp.cpuPercent >= MAX_CPU_PERCENT && `an idle cove up takes ${coveUp.cpuPercent} %`,
    idle.wireguardPackets + idle.relayPackets > 0 && 'idle peers are sent something',
  ].filter((reason) => reason !== false);
  for (const reason of missed) console.error(`missed: ${reason}`);
  process.exitCode = missed.length > 0 ? 1 : 0;
}

const [argument] = process.argv.slice(2);
if (argument !== undefined && Object.hasOwn(PARTS, argument)) {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  console.log(JSON.stringify(await PARTS[argument as keyof typeof PARTS]()));
} else await main(argument === '--write');
