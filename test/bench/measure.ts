// The measurements of one pair in one round, in a fixed order: what needs a fresh process comes first.
import type { CaseName, Values } from './metrics.ts';
import type { Pair } from './pairings.ts';
import type { PeerProcess } from './peerprocess.ts';

export interface Plan {
  readonly cases: ReadonlySet<CaseName>;
  /** Of every single measurement but streams. */
  readonly seconds: number;
  /** Of every direct stream; the buffers of some grow for many seconds. */
  readonly streamSeconds: number;
}

const ECHO_RATE = 500;
const ECHO_BYTES = 64;
const HTTP_RATE = 1000;
const HTTP_CLIENTS = 32;
const CONNECT_CLIENTS = 8;
const IDLE_CONNECTIONS = 1000;
const FURTHER_NODES = 8;
/** Not counted at the beginning of a stream. */
const RAMP_MS = 500;
const SETTLE_MS = 1000;
/** After its first connection a node of ours is compiled. */
const WARM_MS = 2000;
const GIB = 2 ** 30;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

interface StreamResult {
  readonly gbps: number;
  /** CPU seconds per GiB. */
  readonly cpu: number;
}

/** Counts what arrives, and the CPU time of both ends meanwhile. */
export async function stream(
  { client, server }: Pair,
  connections: number,
  seconds: number,
): Promise<StreamResult> {
  const { address } = server.ready;
  await client.ask({ op: 'stream', address, connections });
  await pause(RAMP_MS);
  const cpuFrom = client.usage().cpuSeconds + server.usage().cpuSeconds;
  const from = await server.ask({ op: 'sample' });
  await pause(seconds * 1000);
  const to = await server.ask({ op: 'sample' });
  const cpuTo = client.usage().cpuSeconds + server.usage().cpuSeconds;
  await client.ask({ op: 'stop' });
  await drained(server);
  const bytes = to.received - from.received;
  return {
    gbps: (bytes * 8) / (to.atMs - from.atMs) / 1e6,
    cpu: (cpuTo - cpuFrom) / (bytes / GIB),
  };
}

/** Waits until nothing arrives any more. */
async function drained(server: PeerProcess): Promise<void> {
  let last = -1;
  for (let i = 0; i < 20; i++) {
    const { received } = await server.ask({ op: 'sample' });
    if (received === last) return;
    last = received;
    await pause(50);
  }
}

export async function measurePair(pair: Pair, plan: Plan, isKernel: boolean): Promise<Values> {
  const { client, server } = pair;
  const { cases, seconds, streamSeconds } = plan;
  const { address } = server.ready;
  const values: Values = {};
  if (cases.has('start') && !isKernel) {
    values['start.process'] = client.startMs / 1000;
    values['start.up'] = client.ready.upMs! / 1000;
    await pause(SETTLE_MS);
    values['rss.first'] = client.usage().rssMiB;
  }
  if (cases.has('echo')) {
    const paced = { op: 'echo', address, rate: ECHO_RATE, size: ECHO_BYTES } as const;
    // Until the code is compiled.
    await client.ask({ ...paced, rate: 0, seconds: 1 });
    const closed = await client.ask({ ...paced, rate: 0, seconds: seconds / 2 });
    values['echo.rate'] = closed.perSecond;
    const echo = await client.ask({ ...paced, seconds });
    values['echo.p50'] = echo.p50;
    values['echo.p99'] = echo.p99;
  }
  if (cases.has('http')) {
    const http = { op: 'http', address, connections: HTTP_CLIENTS } as const;
    values['http.rate'] = (await client.ask({ ...http, seconds, rate: 0 })).perSecond;
    const paced = await client.ask({ ...http, seconds, rate: HTTP_RATE });
    values['http.before.p50'] = paced.p50 / 1000;
    values['http.before.p99'] = paced.p99 / 1000;
  }
  if (cases.has('stream')) {
    const one = await stream(pair, 1, streamSeconds);
    values['stream1.gbps'] = one.gbps;
    values['stream1.cpu'] = one.cpu;
    const eight = await stream(pair, 8, streamSeconds);
    values['stream8.gbps'] = eight.gbps;
    values['stream8.cpu'] = eight.cpu;
    if (!isKernel) {
      await pause(SETTLE_MS);
      const [a, b] = [client.usage(), server.usage()];
      values['rss.stream8.peak'] = Math.max(a.peakRssMiB, b.peakRssMiB);
      values['rss.stream8.after'] = Math.max(a.rssMiB, b.rssMiB);
    }
    if (cases.has('http')) {
      const paced = await client.ask({
        ...{ op: 'http', address, connections: HTTP_CLIENTS },
        ...{ seconds, rate: HTTP_RATE },
      });
      values['http.after.p50'] = paced.p50 / 1000;
      values['http.after.p99'] = paced.p99 / 1000;
    }
  }
  if (cases.has('connect')) {
    const result = await client.ask({
      ...{ op: 'connect', address, seconds, connections: CONNECT_CLIENTS },
    });
    values['connect.rate'] = result.perSecond;
  }
  if (cases.has('udp')) values['udp.pps'] = await flood(pair, seconds);
  return values;
}

/** Thousands of datagrams received per second. */
async function flood({ client, server }: Pair, seconds: number): Promise<number> {
  const { address } = server.ready;
  const sent = client.ask({ op: 'flood', address, seconds: seconds + 0.4, size: 64 });
  await pause(200);
  const from = await server.ask({ op: 'sample' });
  await pause(seconds * 1000);
  const to = await server.ask({ op: 'sample' });
  await sent;
  return (to.datagrams - from.datagrams) / (to.atMs - from.atMs);
}

/** KiB of each end per connection, garbage collected before and after; in fresh processes. */
export async function idleConnections({ client, server }: Pair): Promise<number> {
  const collected = async (): Promise<number> => {
    for (const peer of [client, server]) await peer.ask({ op: 'sample', gc: true });
    await pause(300);
    return client.usage().rssMiB + server.usage().rssMiB;
  };
  const { address } = server.ready;
  // The first ones also pay for compilation, some of which nodes do on their own meanwhile, and for tables.
  await client.ask({ op: 'idle', address, count: IDLE_CONNECTIONS });
  await pause(WARM_MS);
  const before = await collected();
  await client.ask({ op: 'idle', address, count: IDLE_CONNECTIONS });
  const after = await collected();
  await client.ask({ op: 'stop' });
  return ((after - before) * 1024) / 2 / IDLE_CONNECTIONS;
}

/** MiB of a peer that did nothing yet, garbage collected. */
export async function idleRss(peer: PeerProcess): Promise<number> {
  await pause(SETTLE_MS);
  await peer.ask({ op: 'sample', gc: true });
  await pause(300);
  return peer.usage().rssMiB;
}

/** MiB that each further node of the process takes. */
export async function furtherNodes(peer: PeerProcess): Promise<number> {
  await pause(SETTLE_MS);
  const before = peer.usage().rssMiB;
  await peer.ask({ op: 'nodes', count: FURTHER_NODES });
  await pause(SETTLE_MS);
  return (peer.usage().rssMiB - before) / FURTHER_NODES;
}

/** Everything crosses a relay. */
export async function measureRelayed(
  pair: Pair,
  { seconds }: Plan,
  relay: 'relay' | 'derper',
): Promise<Values> {
  const { address } = pair.server.ready;
  const paced = { op: 'echo', address, rate: ECHO_RATE, size: ECHO_BYTES } as const;
  // Until the code is compiled.
  await pair.client.ask({ ...paced, rate: 0, seconds: 1 });
  const echo = await pair.client.ask({ ...paced, seconds: Math.min(1, seconds) });
  const { gbps } = await stream(pair, 1, seconds);
  return { [`${relay}.echo.p50`]: echo.p50, [`${relay}.gbps`]: gbps };
}
