// CPU profiles of Cove's peers (`--profile`), as a short text: where each end of a pair spends its time.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stream } from './measure.ts';
import { FLAVOUR_TEXT, type Flavour, type Pair, startPair } from './pairings.ts';
import { describe, environment } from './results.ts';
import type { Hosts, Tailnet } from './testbed.ts';

const TOP = 15;
const SECONDS = 3;
const ENDS = ['client', 'server'] as const;

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

/** Of a .cpuprofile, as V8 writes it. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: CallFrame;
  }[];
  readonly samples: readonly number[];
  /** Microseconds. */
  readonly timeDeltas: readonly number[];
}

/** Functions by self time, the share of the time that was not idle. */
export function summarise(text: string): string {
  const profile = JSON.parse(text) as CpuProfile;
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  for (const [i, id] of profile.samples.entries()) {
    const name = names.get(id) ?? '?';
    times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0));
  }
  const idle = times.get('(idle)') ?? 0;
  times.delete('(idle)');
  const busy = [...times.values()].reduce((sum, time) => sum + time, 0);
  const lines = [...times]
    .sort(([, a], [, b]) => b - a)
    .slice(0, TOP)
    .map(([name, time]) => `${((100 * time) / busy).toFixed(1).padStart(5)} %  ${name}`);
  const seconds = (time: number): string => (time / 1e6).toFixed(1);
  return [`busy ${seconds(busy)} s, idle ${seconds(idle)} s`, ...lines].join('\n');
}

/** V8 mixes up the functions of an addon among each other. */
const ADDON = /^(udp|tun|netlink|ifIndex|ifName)/;

function nameOf({ functionName, url, lineNumber }: CallFrame): string {
  if (url.startsWith('wasm')) return 'packet cipher (WebAssembly)';
  if (url === '' && ADDON.test(functionName)) return '@cove/native (system calls of UDP)';
  const name = functionName || '(anonymous)';
  if (url === '') return name;
  const place = url.replace(/^.*\/((?:packages|apps|test)\/)/, '$1').replace('/dist/', '/');
  return `${name}  ${place}:${lineNumber + 1}`;
}

const WORK: Readonly<Record<string, (pair: Pair) => Promise<unknown>>> = {
  'one connection': (pair) => stream(pair, 1, SECONDS),
  'eight connections': (pair) => stream(pair, 8, SECONDS),
  'echo of 64 bytes, one after the other': ({ client, server }) =>
    client.ask({
      ...{ op: 'echo', address: server.ready.address },
      ...{ size: 64, seconds: SECONDS, rate: 0 },
    }),
  'HTTP, 32 clients': ({ client, server }) =>
    client.ask({
      ...{ op: 'http', address: server.ready.address },
      ...{ connections: 32, seconds: SECONDS, rate: 0 },
    }),
};

/** Profiles of a pair of one flavour, as a page. */
export async function writeProfiles(
  flavour: Flavour,
  hosts: Hosts,
  tailnet: Tailnet,
  file: string,
): Promise<void> {
  const parts = [
    `# CPU profiles\n\n\`npm run bench -- --profile\` writes this page: self time of each end's process while the load runs.\n` +
      `${FLAVOUR_TEXT[flavour]}; ${describe(environment())}.\n`,
  ];
  for (const [title, work] of Object.entries(WORK)) {
    await using pair = await startPair([flavour, flavour], hosts, tailnet, 'direct');
    // Compiled and warm first.
    await work(pair);
    for (const end of ENDS) await pair[end].ask({ op: 'profile' });
    await work(pair);
    for (const end of ENDS) {
      const raw = join(hosts[end].dir, `${end}.cpuprofile`);
      await pair[end].ask({ op: 'profile', file: raw });
      const role = end === 'client' ? 'client, sends' : 'server, receives';
      const summary = summarise(readFileSync(raw, 'utf8'));
      parts.push(`## ${title}: ${role}\n\n\`\`\`\n${summary}\n\`\`\`\n`);
    }
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, parts.join('\n'));
}
