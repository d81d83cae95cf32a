// One goodput run: an emulated link, a source at one end and a sink at the other, each either the kernel's TCP or ours.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type End = 'ours' | 'kernel';

/** Both directions alike. */
export interface Impairment {
  /** One way, milliseconds. */
  readonly delay?: number;
  readonly jitter?: number;
  /** Probabilities. */
  readonly loss?: number;
  readonly reorder?: number;
  readonly duplicate?: number;
  readonly corrupt?: number;
  /** Mbit/s; absent: unlimited. */
  readonly rate?: number;
  /** Packets. */
  readonly queue?: number;
}

const SOURCE = '10.70.0.1';
const SINK = '10.70.0.2';
const MTU = 1280;
/** As our defaults: what either side may buffer to receive and to send. */
const RECEIVE_LIMIT = 8 << 20;
const SEND_LIMIT = 6 << 20;
const END = fileURLToPath(new URL('./end.js', import.meta.url));

/** Undefined when runs are possible here, else what is missing. */
export function missing(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  for (const command of [
    ['ip', '-V'],
    ['cc', '--version'],
    ['test', '-c', '/dev/net/tun'],
  ]) {
    try {
      execFileSync(command[0]!, command.slice(1), { stdio: 'ignore' });
    } catch {
      return `needs ${command.join(' ')}`;
    }
  }
  return undefined;
}

let built: string | undefined;

/** The emulator, compiled once per process. */
function emulator(): string {
  if (built === undefined) {
    built = join(mkdtempSync(join(tmpdir(), 'cove-link-')), 'linkemulator');
    const source = fileURLToPath(new URL('../../goodput/linkemulator.c', import.meta.url));
    execFileSync('cc', ['-O2', '-o', built, source], { stdio: 'inherit' });
  }
  return built;
}

async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createSocket('udp4').bind(0, '127.0.0.1'));
  await Promise.all(probes.map((probe) => once(probe, 'listening')));
  const ports = probes.map((probe) => probe.address().port);
  for (const probe of probes) probe.close();
  return ports;
}

let runs = 0;

/** Mbit/s of payload that arrive at the sink within `seconds` of the first byte. */
export async function goodput(
  source: End,
  sink: End,
  impairment: Impairment,
  options: { readonly seconds: number; readonly seed: number; readonly congestion?: string },
): Promise<number> {
  const id = `covegp-${process.pid}-${runs++}`;
  const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
  const children: ChildProcess[] = [];
  const namespaces: string[] = [];
  const start = async (command: string, args: readonly string[]): Promise<ChildProcess> => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    await Promise.race([
      once(child.stdout!, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error(`${command} ended`))),
    ]);
    return child;
  };
  try {
    const ends = await Promise.all(
      [source, sink].map(async (end, i) => {
        const name = `${id}-${i}`;
        if (end === 'kernel') {
          ip('netns', 'add', name);
          namespaces.push(name);
          return { end, name, port: `tun:${name}:lk`, local: 0, remote: 0 };
        }
        const [local, remote] = await freePorts(2);
        return { end, name, port: `udp:${remote}:${local}`, local: local!, remote: remote! };
      }),
    );
    const flags = Object.entries(impairment).flatMap(([key, value]) => [`--${key}`, String(value)]);
    const [a, b] = ends.map(({ port }) => port);
    await start(emulator(), [...flags, '--seed', String(options.seed), a!, b!]);
    for (const [i, { end, name }] of ends.entries()) {
      if (end !== 'kernel') continue;
      const inside = (...args: string[]): void => ip('netns', 'exec', name, ...args);
      inside('ip', 'link', 'set', 'lk', 'mtu', String(MTU), 'txqueuelen', '5000', 'up');
      const [own, other] = i === 0 ? [SOURCE, SINK] : [SINK, SOURCE];
      inside('ip', 'addr', 'add', own, 'dev', 'lk');
      // By route, because namespaces may not set every algorithm as their default.
      const congestion = options.congestion ?? 'cubic';
      inside('ip', 'route', 'add', other, 'dev', 'lk', 'src', own, 'congctl', congestion);
      inside(
        'sysctl',
        '-qw',
        `net.ipv4.tcp_rmem=4096 262144 ${RECEIVE_LIMIT}`,
        `net.ipv4.tcp_wmem=4096 65536 ${SEND_LIMIT}`,
        'net.ipv4.tcp_no_metrics_save=1',
      );
    }
    const run = async (i: 0 | 1): Promise<ChildProcess> => {
      const { end, name, local, remote } = ends[i]!;
      const role = i === 0 ? ['source', SOURCE, SINK] : ['sink', SINK, SOURCE];
      const args = [END, end, ...role, String(options.seconds), String(local), String(remote)];
      return end === 'kernel'
        ? await start('ip', ['netns', 'exec', name, process.execPath, ...args])
        : await start(process.execPath, args);
    };
    const counting = await run(1);
    let text = '';
    counting.stdout!.on('data', (piece: Buffer) => {
      text += piece.toString();
    });
    const ended = once(counting, 'close');
    await run(0);
    const patience = setTimeout(() => counting.kill('SIGKILL'), (options.seconds + 20) * 1000);
    await ended;
    clearTimeout(patience);
    const { bytes, ms } = JSON.parse(text) as { bytes: number; ms: number };
    return (bytes * 8) / ms / 1000;
  } finally {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    for (const name of namespaces) ip('netns', 'del', name);
  }
}
