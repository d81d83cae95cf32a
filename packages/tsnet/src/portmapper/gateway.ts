// The default gateway and our address on its network, as the operating system's routing table has them.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { formatAddr, parseAddr, parsePrefix, prefixContains } from '@cove/protocol/netaddr';
import { type Gateway, isPrivateIPv4 } from './lease.ts';

const execute = promisify(execFile);
/** Milliseconds for a program that prints the routes. */
const PROGRAM_LIMIT = 2_000;

export interface DefaultRoute {
  readonly gateway: string;
  /** Interface name, where the table names it. */
  readonly device?: string;
  /** Our own address, where the table names it. */
  readonly self?: string;
}

const RTF_UP = 1;
const RTF_GATEWAY = 2;

/** Linux, /proc/net/route: hex columns in the byte order of a little-endian machine; the lowest metric wins. */
export function parseProcNetRoute(text: string): DefaultRoute | undefined {
  let best: { metric: number; route: DefaultRoute } | undefined;
  for (const line of text.split('\n').slice(1)) {
    const [device, destination, gateway, flags, , , metric, mask] = line.trim().split(/\s+/);
    if (destination !== '00000000' || mask !== '00000000') continue;
    if (!/^[0-9A-Fa-f]{8}$/.test(gateway ?? '')) continue;
    const flagBits = Number.parseInt(flags ?? '', 16);
    if ((flagBits & (RTF_UP | RTF_GATEWAY)) !== (RTF_UP | RTF_GATEWAY)) continue;
    const value = Number(metric);
    if (!(value >= 0) || (best && best.metric <= value)) continue;
    const bytes = Uint8Array.from({ length: 4 }, (_, i) =>
      Number.parseInt(gateway!.slice(6 - 2 * i, 8 - 2 * i), 16),
    );
    best = { metric: value, route: { gateway: formatAddr(bytes), device: device! } };
  }
  return best?.route;
}

/** macOS and BSD, `route -n get default`. */
export function parseRouteGet(text: string): DefaultRoute | undefined {
  const gateway = /^\s*gateway:\s*(\S+)\s*$/m.exec(text)?.[1];
  const device = /^\s*interface:\s*(\S+)\s*$/m.exec(text)?.[1];
  if (gateway === undefined || parseAddr(gateway)?.length !== 4) return undefined;
  return { gateway, ...(device !== undefined && { device }) };
}

/** macOS and BSD, `netstat -rn -f inet`: the first default route through an address. */
export function parseNetstat(text: string): DefaultRoute | undefined {
  for (const line of text.split('\n')) {
    const columns = line.trim().split(/\s+/);
    if (columns[0] !== 'default' && columns[0] !== '0.0.0.0') continue;
    const gateway = columns[1] ?? '';
    if (parseAddr(gateway)?.length !== 4) continue;
    const device = columns.slice(3).find((column) => /^[a-z]+\d+$/.test(column));
    return { gateway, ...(device !== undefined && { device }) };
  }
  return undefined;
}

/** Windows, `route print -4 0.0.0.0`: destination, mask, gateway, own address, metric; the lowest metric wins. */
export function parseRoutePrint(text: string): DefaultRoute | undefined {
  let best: { metric: number; route: DefaultRoute } | undefined;
  for (const line of text.split('\n')) {
    const [destination, mask, gateway = '', self = '', metric] = line.trim().split(/\s+/);
    if (destination !== '0.0.0.0' || mask !== '0.0.0.0') continue;
    if (parseAddr(gateway)?.length !== 4 || parseAddr(self)?.length !== 4) continue;
    const value = Number(metric);
    if (!(value >= 0) || (best && best.metric <= value)) continue;
    best = { metric: value, route: { gateway, self } };
  }
  return best?.route;
}

async function defaultRoute(signal?: AbortSignal): Promise<DefaultRoute | undefined> {
  const options = { timeout: PROGRAM_LIMIT, maxBuffer: 1 << 20, ...(signal && { signal }) };
  const print = async (program: string, args: readonly string[]): Promise<string> => {
    try {
      return (await execute(program, args, options)).stdout;
    } catch {
      return '';
    }
  };
  switch (process.platform) {
    case 'linux':
    case 'android':
      return parseProcNetRoute(await readFile('/proc/net/route', 'latin1').catch(() => ''));
    case 'win32':
      return parseRoutePrint(await print('route.exe', ['print', '-4', '0.0.0.0']));
    default:
      return (
        parseRouteGet(await print('/sbin/route', ['-n', 'get', 'default'])) ??
        parseNetstat(await print('netstat', ['-rn', '-f', 'inet']))
      );
  }
}

/** Our address among those of the machine that is on the gateway's network. */
export function selfOn(
  route: DefaultRoute,
  addressesOf: ReturnType<typeof networkInterfaces>,
): string | undefined {
  if (route.self !== undefined) return route.self;
  const gateway = parseAddr(route.gateway);
  for (const [name, addresses] of Object.entries(addressesOf)) {
    if (route.device !== undefined && name !== route.device) continue;
    for (const { family, address, cidr } of addresses ?? []) {
      const network = family === 'IPv4' && cidr !== null ? parsePrefix(cidr) : undefined;
      if (network && gateway && prefixContains(network, gateway)) return address;
    }
  }
  return undefined;
}

function interfaces(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces();
  } catch {
    // Forbidden in some sandboxes.
    return {};
  }
}

/**
 * Undefined without an IPv4 default route, and when the gateway has a public address: such a one is a provider's
 * router, which maps nothing for anybody.
 */
export async function findGateway(signal?: AbortSignal): Promise<Gateway | undefined> {
  const route = await defaultRoute(signal);
  if (route === undefined || !isPrivateIPv4(route.gateway)) return undefined;
  const self = selfOn(route, interfaces());
  return self === undefined ? undefined : { address: route.gateway, self };
}
