// npm run soak -- [--minutes N] [--json FILE]
// Two nodes in two processes at full rate in both directions, with connections that come and go beside it, for N minutes
// (default 10). Nothing may grow: what lives after a forced collection, the resident set, timers, sockets. Every sample is of
// one node after `gc()`; the first half minute, and the first fifth of a long run, do not count.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TestTailnet } from '../harness/tailnet.ts';

export interface SoakSample {
  /** Seconds since the load began. */
  readonly at: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
  /** Handles and requests of the event loop, by kind. */
  readonly resources: Readonly<Record<string, number>>;
  /** Connections of ours that are open, both ends counted where they are. */
  readonly connections: number;
  /** Bytes received over the long connection so far, short connections finished. */
  readonly received: number;
  readonly exchanges: number;
  readonly failures: number;
  /** Event-loop delay since the last sample, milliseconds. */
  readonly delayP99: number;
}

export type SoakOrder =
  | { readonly kind: 'load'; readonly peer: string }
  | { readonly kind: 'sample' }
  | { readonly kind: 'stop' };

const SAMPLE_EVERY = 5000;
/** Samples that never count, while windows, pools and the compiler settle. */
const WARM_UP = 6;
const MiB = 1 << 20;
/** What may be added between the first half and the second: a share, or an amount if that is more. */
const GROWTH = {
  rss: { share: 0.05, amount: 24 * MiB },
  live: { share: 0.02, amount: 4 * MiB },
  connections: { share: 0.1, amount: 20 },
  timers: { share: 0.1, amount: 20 },
} as const;

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, json: { type: 'string' } },
});
const minutes = Number(values.minutes);
const NODE = fileURLToPath(new URL('./soaknode.js', import.meta.url));

async function ask(child: ChildProcess, order: SoakOrder): Promise<SoakSample> {
  child.send(order);
  const [answer] = (await once(child, 'message')) as [SoakSample];
  return answer;
}

function liveMiB({ heapUsed, external }: SoakSample): string {
  return ((heapUsed + external) / MiB).toFixed(1);
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? 0;
}

const children: ChildProcess[] = [];
const samples: Record<string, SoakSample[]> = {};
/** Before the load. */
const idle: Record<string, SoakSample> = {};
await using tailnet = await TestTailnet.start();
try {
  for (const name of ['left', 'right']) {
    const { key } = await tailnet.control.createAuthKey({});
    const child = fork(NODE, [name, tailnet.url, tailnet.dir], {
      env: { ...process.env, TS_AUTHKEY: key },
      execArgv: ['--expose-gc'],
    });
    children.push(child);
    samples[name] = [];
    await once(child, 'message');
  }
  const [left, right] = children as [ChildProcess, ChildProcess];
  idle['left'] = await ask(left, { kind: 'sample' });
  idle['right'] = await ask(right, { kind: 'sample' });
  left.send({ kind: 'load', peer: 'right' } satisfies SoakOrder);
  right.send({ kind: 'load', peer: 'left' } satisfies SoakOrder);
  const until = Date.now() + minutes * 60_000;
  while (Date.now() < until) {
    await sleep(SAMPLE_EVERY);
    samples['left']!.push(await ask(left, { kind: 'sample' }));
    samples['right']!.push(await ask(right, { kind: 'sample' }));
    const last = samples['left']!.at(-1)!;
    if (samples['left']!.length % 6 === 0) {
      console.log(
        `${last.at.toFixed(0)} s: rss ${(last.rss / MiB).toFixed(0)} MiB, live ${((last.heapUsed + last.external) / MiB).toFixed(1)} MiB`,
      );
    }
  }
  const rest: Record<string, SoakSample> = {};
  for (const child of children) child.send({ kind: 'stop' } satisfies SoakOrder);
  await sleep(3000);
  rest['left'] = await ask(left, { kind: 'sample' });
  rest['right'] = await ask(right, { kind: 'sample' });
  report(rest);
} finally {
  for (const child of children) child.kill('SIGKILL');
}

function report(rest: Readonly<Record<string, SoakSample>>): void {
  const complaints: string[] = [];
  const results: Record<string, unknown> = {};
  for (const [name, all] of Object.entries(samples)) {
    const counted = all.slice(Math.max(WARM_UP, Math.ceil(all.length / 5)));
    if (counted.length < 4) throw new Error('too short to tell: at least one minute');
    const half = counted.length >> 1;
    const measures: Record<keyof typeof GROWTH, (sample: SoakSample) => number> = {
      rss: ({ rss }) => rss,
      live: ({ heapUsed, external }) => heapUsed + external,
      connections: ({ connections }) => connections,
      timers: ({ resources }) => resources['Timeout'] ?? 0,
    };
    const growth: Record<string, readonly [number, number]> = {};
    for (const [what, read] of Object.entries(measures) as [
      keyof typeof GROWTH,
      (sample: SoakSample) => number,
    ][]) {
      const before = median(counted.slice(0, half).map(read));
      const after = median(counted.slice(half).map(read));
      growth[what] = [before, after];
      const { share, amount } = GROWTH[what];
      if (after - before > Math.max(share * before, amount)) {
        complaints.push(`${name}: ${what} grew from ${before} to ${after}`);
      }
    }
    const [first, last] = [counted[0]!, counted.at(-1)!];
    const gigabits = ((last.received - first.received) * 8) / (last.at - first.at) / 1e9;
    if (!(gigabits > 0.01)) complaints.push(`${name}: received only ${gigabits} Gbit/s`);
    if (last.failures > 0) complaints.push(`${name}: ${last.failures} exchanges failed`);
    results[name] = {
      gigabits: Number(gigabits.toPrecision(3)),
      exchanges: last.exchanges,
      growth,
      delayP99: Number(median(counted.map(({ delayP99 }) => delayP99)).toFixed(1)),
      before: idle[name],
      afterwards: rest[name],
    };
    console.log(
      `${name}: receives ${gigabits.toFixed(2)} Gbit/s, ${last.exchanges} short connections; first half, second half: ` +
        `rss ${growth['rss']!.map((v) => (v / MiB).toFixed(0)).join(', ')} MiB; ` +
        `live ${growth['live']!.map((v) => (v / MiB).toFixed(1)).join(', ')} MiB; ` +
        `connections ${growth['connections']!.join(', ')}; timers ${growth['timers']!.join(', ')}; ` +
        `live before ${liveMiB(idle[name]!)}, afterwards ${liveMiB(rest[name]!)} MiB`,
    );
  }
  if (values.json !== undefined) {
    mkdirSync(dirname(values.json), { recursive: true });
    const environment = {
      date: new Date().toISOString().slice(0, 10),
      node: process.version,
      kernel: `Linux ${release().split('.').slice(0, 2).join('.')}`,
      cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
      minutes,
    };
    writeFileSync(values.json, `${JSON.stringify({ environment, results }, undefined, 1)}\n`);
  }
  for (const complaint of complaints) console.error(complaint);
  if (complaints.length > 0) process.exitCode = 1;
  else console.log('nothing grew');
}
