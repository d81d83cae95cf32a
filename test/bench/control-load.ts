// Coordination server under load: N nodes join 8 at a time and hold their map streams, then disco keys change one by
// one. The server runs in a process of its own, with its database on disk. Prints JSON; exits 1 when a target
// below is missed.
//
//   node test/dist/bench/control-load.js [nodes=500] [changes=40]
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ControlServer } from '@cove/control';
import { type LoadResult, runLoad } from '@cove/control/testing/load';
import type { MachinePublic } from '@cove/protocol/keys';

const MIN_JOINS_PER_SECOND = 100;
const MAX_CHANGE_P99_MS = 100;
const MAX_RSS_MIB = 300;

interface Ready {
  readonly type: 'ready';
  readonly port: number;
  readonly publicKey: MachinePublic;
  readonly authKey: string;
}

interface Usage {
  readonly type: 'usage';
  readonly cpuMs: number;
  readonly rssMiB: number;
  readonly peakRssMiB: number;
  readonly commits: number;
}

async function serve(dir: string): Promise<void> {
  const control = await ControlServer.open({
    database: join(dir, 'control.db'),
    serverUrl: 'http://127.0.0.1:1',
    domain: 'load.test',
    tailnet: 'load',
    owner: 'owner@example.com',
  });
  const http = createServer();
  control.attach(http);
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done));
  const { key } = await control.createAuthKey({ reusable: true, user: 'member@example.com' });
  const { port } = http.address() as AddressInfo;
  process.send!({ type: 'ready', port, publicKey: control.publicKey, authKey: key });
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    const usage: Usage = {
      type: 'usage',
      cpuMs: (user + system) / 1000,
      rssMiB: process.memoryUsage.rss() / 1048576,
      peakRssMiB: process.resourceUsage().maxRSS / 1024,
      commits: Number(/commits_total (\d+)/.exec(control.metrics())?.[1]),
    };
    process.send!(usage);
  });
  process.on('disconnect', () => process.exit());
}

function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]!;
}

const round = (value: number): number => Math.round(value * 10) / 10;

async function main(nodes: number, changes: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'cove-control-load-'));
  const self = fileURLToPath(import.meta.url);
  const execArgv = (process.env['SERVER_NODE_OPTIONS'] ?? '').split(' ').filter(Boolean);
  const child = fork(self, ['--serve', dir], { execArgv });
  const messages = (): Promise<Ready | Usage> =>
    new Promise((resolve, reject) => {
      child.once('message', (message) => resolve(message as Ready | Usage));
      child.once('exit', (code) => reject(new Error(`server exited with ${code}`)));
    });
  const usage = async (): Promise<Usage> => {
    const answer = messages();
    child.send('usage');
    return (await answer) as Usage;
  };
  try {
    const ready = (await messages()) as Ready;
    const before = await usage();
    let joined: Usage | undefined;
    const result: LoadResult = await runLoad({
      port: ready.port,
      controlKey: ready.publicKey,
      authKey: ready.authKey,
      nodes,
      parallel: 8,
      changes,
      onJoined: async () => {
        joined = await usage();
      },
    });
    const after = await usage();
    const report = {
      nodes,
      joinsPerSecond: round(nodes / result.joinSeconds),
      settleMs: round(result.settleSeconds * 1000),
      changeP50Ms: round(percentile(result.changeMs, 0.5)),
      changeP99Ms: round(percentile(result.changeMs, 0.99)),
      cpuMsPerJoin: round((joined!.cpuMs - before.cpuMs) / nodes),
      cpuMsPerChange: round((after.cpuMs - joined!.cpuMs) / changes),
      commits: after.commits,
      rssMiB: round(after.rssMiB),
      peakRssMiB: round(after.peakRssMiB),
      peerEntries: result.peerEntries,
      notToldOnce: result.notToldOnce,
      laterFullMaps: result.laterFullMaps,
      messages: result.messages,
    };
    console.log(JSON.stringify(report, undefined, 2));
    const missed = [
      report.notToldOnce > 0 && 'some node was not told exactly once of some other',
      report.laterFullMaps > 0 && 'a full map came behind the first',
      report.joinsPerSecond < MIN_JOINS_PER_SECOND && `below ${MIN_JOINS_PER_SECOND} joins/s`,
      report.changeP99Ms > MAX_CHANGE_P99_MS && `a change took above ${MAX_CHANGE_P99_MS} ms`,
      report.peakRssMiB > MAX_RSS_MIB && `server above ${MAX_RSS_MIB} MiB`,
    ].filter((reason) => reason !== false);
    for (const reason of missed) console.error(`missed: ${reason}`);
    process.exitCode = missed.length > 0 ? 1 : 0;
  } finally {
    child.disconnect();
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[2] === '--serve') await serve(process.argv[3]!);
else await main(Number(process.argv[2] ?? 500), Number(process.argv[3] ?? 40));
