// Redirects through the tunnel: golink, and beside it node:http alone, on one node; kept connections from another on a
// direct path, in network namespaces of their own (root only).
import { join } from 'node:path';
import type { TunnelRedirects } from './golinkpage.ts';
import { median } from './golinkprocess.ts';
import { startPeer } from './pairings.ts';
import { Testbed } from './testbed.ts';
import { GOLINK_PORT, type Latencies, REDIRECT_PORT } from './wire.ts';

const CONNECTIONS = 32;
const LINK = { short: 'plain', long: 'https://wiki.example.com/start' };
const WARM_UP_S = 2;
const PATH_S = 15;

export async function tunnelRedirects(rounds: number, seconds: number): Promise<TunnelRedirects> {
  await using bed = new Testbed();
  const tailnet = await bed.tailnet('cove');
  const { client, server } = bed.direct;
  const serving = await startPeer('cove', server, tailnet);
  const asking = await startPeer('cove', client, tailnet);
  try {
    await serving.ask({ op: 'golink', database: join(server.dir, 'links.db'), ...LINK });
    const { address } = serving.ready;
    const path = await asking.ask({ op: 'path', address, seconds: PATH_S });
    if (path === '') throw new Error('there is no direct path');
    const load = (port: number, length: number): Promise<Latencies> =>
      asking.ask({
        ...{ op: 'http', address, seconds: length, connections: CONNECTIONS, rate: 0 },
        redirect: { port, path: `/${LINK.short}` },
      });
    const kinds: readonly (readonly [string, number])[] = [
      ['node:http alone', REDIRECT_PORT],
      ['plain link', GOLINK_PORT],
    ];
    const all = new Map(kinds.map(([name]) => [name, [] as Latencies[]]));
    for (const [, port] of kinds) await load(port, WARM_UP_S);
    for (let round = 0; round < rounds; round++)
      for (const [name, port] of kinds) all.get(name)!.push(await load(port, seconds));
    const middle = (name: string, pick: (one: Latencies) => number): number =>
      median(all.get(name)!.map(pick));
    return {
      ...{ rounds, seconds, connections: CONNECTIONS },
      rows: kinds.map(([name]) => ({
        name,
        perSecond: middle(name, (one) => one.perSecond),
        p50: middle(name, (one) => one.p50 / 1000),
        p99: middle(name, (one) => one.p99 / 1000),
      })),
    };
  } finally {
    await Promise.all([asking.end(), serving.end()]);
  }
}
