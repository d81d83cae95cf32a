// Admin calls that concern the paths of one embedded node: ping and netcheck.
import type { NetcheckReport, PingType, Server } from '@cove/tsnet';
import type { AdminHandlers, AdminRequest } from '../adminsocket.ts';
import { CliError } from '../errors.ts';

const TYPES: readonly PingType[] = ['disco', 'tsmp', 'icmp', 'peerapi'];

/** One answered ping as `cove ping` prints it. */
export interface Pong {
  readonly host: string;
  readonly address: string;
  readonly milliseconds: number;
  /** Direct `ip:port`, or absent. */
  readonly endpoint?: string;
  /** Peer relay, `ip:port:vni:n`, where there was no direct path. */
  readonly peerRelay?: string;
  /** Relay region, where there was neither. */
  readonly relay?: string;
  readonly peerApiPort?: number;
}

/** `regionName` gives the code of a relay region, such as `own`. */
export function nodeHandlers(node: Server, regionName: (id: number) => string): AdminHandlers {
  return {
    'GET /ping': (request) => ping(node, request, regionName),
    'GET /netcheck': () => describe(node, regionName),
  };
}

async function ping(
  node: Server,
  { query }: AdminRequest,
  regionName: (id: number) => string,
): Promise<Pong> {
  const wanted = query.get('host') ?? '';
  const type = TYPES.find((candidate) => candidate === (query.get('type') ?? 'disco'));
  if (type === undefined)
    throw new CliError('ERR_REFUSED', `there is no ping of type ${query.get('type')}`);
  const timeout = Number(query.get('timeout') ?? 5000);
  const asked = query.get('size');
  const size = asked === null ? undefined : Number(asked);
  const { host, address } = find(node, wanted);
  const result = await node.ping({ address, type, timeout, size });
  return {
    host,
    address,
    milliseconds: result.roundTripTime,
    ...(result.endpoint !== undefined && { endpoint: result.endpoint }),
    ...(result.peerRelay !== undefined && { peerRelay: result.peerRelay }),
    ...(result.relay !== undefined && { relay: regionName(result.relay) }),
    ...(result.peerApiPort !== undefined && { peerApiPort: result.peerApiPort }),
  };
}

function find(node: Server, wanted: string): { host: string; address: string } {
  const { peers, self } = node.status();
  const name = wanted.toLowerCase().replace(/\.$/, '');
  if (self?.addresses.includes(wanted) || self?.computedName === name || self?.name === name) {
    throw new CliError('ERR_REFUSED', `${wanted} is this node itself`);
  }
  for (const peer of peers) {
    if (peer.computedName === name || peer.name === name)
      return { host: peer.computedName, address: peer.addresses[0] ?? '' };
    if (peer.addresses.includes(wanted)) return { host: peer.computedName, address: wanted };
  }
  throw new CliError(
    'ERR_REFUSED',
    `no machine of this network is called ${wanted}: \`cove node list\` shows them`,
  );
}

function describe(node: Server, regionName: (id: number) => string): unknown {
  const report: NetcheckReport | undefined = node.netcheck();
  if (report === undefined)
    throw new CliError(
      'ERR_REFUSED',
      'the network has not been measured yet: try again in a few seconds',
    );
  const { udp, ipv4, ipv6, globalV4, globalV6, mappingVaries, latency } = report;
  const regions = [...latency].sort((a, b) => a[1] - b[1]);
  return {
    udp,
    ipv4,
    ipv6,
    globalV4,
    globalV6,
    mappingVariesByDestination: mappingVaries,
    // With hysteresis: the home region, whatever was fastest this time.
    nearest:
      regions.length === 0 || node.homeRegion === 0 ? undefined : regionName(node.homeRegion),
    latency: regions.map(([id, milliseconds]) => ({ region: regionName(id), milliseconds })),
  };
}
