// `cove ping` and `cove netcheck`: which way packets take, and what the network lets through.
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import type { Pong } from '../admin/node.ts';
import { callAdmin } from '../adminsocket.ts';
import { CliError, errorCode } from '../errors.ts';
import { dirOption, jsonOption, parseCount, parseLifetime, print } from './options.ts';

interface PingCommandOptions {
  readonly dir: string;
  readonly json?: true;
  readonly count: number;
  readonly timeout: number | null;
  readonly size?: number;
  readonly untilDirect: boolean;
  readonly tsmp?: true;
  readonly icmp?: true;
  readonly peerapi?: true;
}

const PAUSE_MS = 1000;

export function pingCommand(): Command {
  return new Command('ping')
    .description('ask a machine of the network whether it is there, and show the path')
    .argument('<host>', 'its name or address')
    .option('-c, --count <n>', 'how many pings at most', parseCount, 10)
    .option('--timeout <time>', 'how long to wait for each', parseLifetime, 5000)
    .option('--size <bytes>', 'how long a ping is, 124 to 9000', parseCount)
    .option('--no-until-direct', 'go on after a direct path was found')
    .option('--tsmp', 'through WireGuard, answered by the node')
    .option('--icmp', 'through WireGuard, answered by its IP stack')
    .option('--peerapi', 'its peerapi server')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(ping);
}

async function ping(host: string, options: PingCommandOptions): Promise<void> {
  const { dir, json, count, untilDirect } = options;
  const type = options.tsmp
    ? 'tsmp'
    : options.icmp
      ? 'icmp'
      : options.peerapi
        ? 'peerapi'
        : 'disco';
  const query = new URLSearchParams({ host, type, timeout: String(options.timeout ?? 5000) });
  if (options.size !== undefined) query.set('size', String(options.size));
  let answered = 0;
  let direct = false;
  for (let i = 0; i < count; i++) {
    if (i > 0) await delay(PAUSE_MS);
    try {
      const pong = (await callAdmin(dir, `GET /ping?${query}`)) as Pong;
      answered++;
      print({ type, ...pong }, json, () => describePong(pong));
      direct = pong.endpoint !== undefined;
    } catch (error) {
      if (errorCode((error as Error).cause) !== 'ETIMEDOUT') throw error;
      print({ type, host, error: (error as Error).message }, json, () => `ping ${host} timed out`);
    }
    if (direct && untilDirect) return;
    if (type !== 'disco' && answered > 0 && untilDirect) return;
  }
  if (answered === 0) throw new CliError('ERR_REFUSED', `${host} did not answer`);
  if (!direct && untilDirect)
    throw new CliError('ERR_REFUSED', 'direct connection not established');
}

function describePong(pong: Pong): string {
  const { host, address, milliseconds, peerApiPort } = pong;
  const via = describePath(pong);
  const port = peerApiPort ? `, peerapi port ${peerApiPort}` : '';
  return `pong from ${host} (${address}) via ${via} in ${Math.max(1, Math.round(milliseconds))}ms${port}`;
}

function describePath({ endpoint, peerRelay, relay }: Pong): string {
  if (endpoint !== undefined) return endpoint;
  if (peerRelay !== undefined) return `peer-relay(${peerRelay})`;
  return relay === undefined ? 'the tunnel' : `DERP(${relay})`;
}

interface Netcheck {
  readonly udp: boolean;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly globalV4?: string;
  readonly globalV6?: string;
  readonly mappingVariesByDestination?: boolean;
  readonly nearest?: string;
  readonly latency: readonly { readonly region: string; readonly milliseconds: number }[];
}

export function netcheckCommand(): Command {
  return new Command('netcheck')
    .description('show what the network lets through: UDP, addresses, kind of NAT, nearest relay')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async ({ dir, json }: { dir: string; json?: true }) => {
      const report = (await callAdmin(dir, 'GET /netcheck')) as Netcheck;
      print(report, json, () => describeNetcheck(report));
    });
}

function describeNetcheck(report: Netcheck): string {
  const {
    udp,
    ipv4,
    ipv6,
    globalV4,
    globalV6,
    mappingVariesByDestination: varies,
    nearest,
    latency,
  } = report;
  const family = (works: boolean, address: string | undefined): string =>
    works ? `yes${address === undefined ? '' : `, ${address}`}` : 'no';
  return [
    'Report:',
    `\t* UDP: ${udp}`,
    `\t* IPv4: ${family(ipv4, globalV4)}`,
    `\t* IPv6: ${family(ipv6, globalV6)}`,
    `\t* MappingVariesByDestIP: ${varies ?? ''}`,
    `\t* Nearest DERP: ${nearest ?? 'unknown (no response to latency probes)'}`,
    ...(latency.length > 0 ? ['\t* DERP latency:'] : []),
    ...latency.map(({ region, milliseconds }) => `\t\t- ${region}: ${milliseconds.toFixed(1)}ms`),
  ].join('\n');
}
