// Measures how far the relay regions are: a STUN exchange with each (RFC 8489), and where no UDP comes back at all,
// a round trip on a connection to the relay itself.
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { toHex } from '@cove/protocol/bytes';
import { parseAddr } from '@cove/protocol/netaddr';
import { encodeStunRequest, parseStunResponse, STUN_TXID_LENGTH } from '@cove/protocol/stun';
import type { DERPNode, DERPRegion } from '@cove/protocol/tailcfg';
import { type Clock, sleep } from '../clock.ts';
import type { LatencyReport } from './homeregion.ts';

export interface NetcheckReport extends LatencyReport {
  /** Some STUN answer came. */
  readonly udp: boolean;
}

export interface NetcheckOptions {
  readonly regions: Iterable<DERPRegion>;
  readonly clock: Clock;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Milliseconds of a round trip to a relay of the region; rejects when none answers. */
  readonly relayLatency: (region: DERPRegion, signal: AbortSignal) => Promise<number>;
  readonly signal?: AbortSignal | undefined;
}

const STUN_PHASE = 3_000;
const RELAY_PHASE = 5_000;
/** When each probe of a region goes out; the node is the try modulo the region's nodes. */
const PROBES: readonly number[] = [0, 100, 200];
/** So many regions are enough: the others get as long again as the slowest of them took, twice. */
const ENOUGH_REGIONS = 3;
const DEFAULT_STUN_PORT = 3478;

/** Never rejects except for the signal; a region that cannot be measured is absent. */
export async function netcheck(options: NetcheckOptions): Promise<NetcheckReport> {
  const { clock, signal } = options;
  const startedAt = clock.now();
  const latency = new Map<number, number>();
  const regions = [...options.regions];
  await stunPhase(options, regions, latency);
  const udp = latency.size > 0;
  if (!udp) {
    await Promise.all(
      regions.map(async (region) => {
        const limit = AbortSignal.timeout(RELAY_PHASE);
        const either = signal ? AbortSignal.any([signal, limit]) : limit;
        try {
          latency.set(region.RegionID, await options.relayLatency(region, either));
        } catch {
          // No way there: the region stays absent.
        }
      }),
    );
  }
  signal?.throwIfAborted();
  return { startedAt, latency, udp };
}

async function stunPhase(
  options: NetcheckOptions,
  regions: readonly DERPRegion[],
  latency: Map<number, number>,
): Promise<void> {
  const { clock, signal, randomBytes } = options;
  const sent = new Map<string, { readonly region: number; readonly at: number }>();
  const socket = createSocket('udp4');
  // Unreachable relays are simply not answered for.
  socket.on('error', () => {});
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  signal?.addEventListener('abort', onAbort, { once: true });
  let slowest = 0;
  socket.on('message', (bytes) => {
    const response = parseStunResponse(bytes);
    const probe = response && sent.get(toHex(response.txId));
    if (!probe) return;
    const took = Math.max(clock.now() - probe.at, 0.001);
    latency.set(probe.region, Math.min(took, latency.get(probe.region) ?? took));
    slowest = Math.max(slowest, took);
    if (latency.size === regions.length) stop.abort();
    else if (latency.size === ENOUGH_REGIONS) clock.schedule(2 * slowest, onAbort);
  });
  const probes = regions.flatMap((region) =>
    region.Nodes.length === 0
      ? []
      : PROBES.map(async (delay, i) => {
          const node = region.Nodes[i % region.Nodes.length]!;
          const address = await addressOf(node);
          if (delay > 0) await sleep(clock, delay, stop.signal);
          if (address === undefined || stop.signal.aborted || latency.has(region.RegionID)) return;
          const txId = randomBytes(STUN_TXID_LENGTH);
          sent.set(toHex(txId), { region: region.RegionID, at: clock.now() });
          const port =
            node.STUNPort === undefined || node.STUNPort === 0 ? DEFAULT_STUN_PORT : node.STUNPort;
          if (port > 0) await send(socket, encodeStunRequest(txId), port, address);
        }),
  );
  try {
    const all = Promise.allSettled(probes);
    if (probes.length > 0) await sleep(clock, STUN_PHASE, stop.signal, true);
    await all;
  } catch {
    // Stopped early, which is what one hopes for.
  } finally {
    signal?.removeEventListener('abort', onAbort);
    socket.close();
  }
}

/** The relay's IPv4 address; undefined when it has none. */
async function addressOf(node: DERPNode): Promise<string | undefined> {
  const literal = node.STUNTestIP || node.IPv4;
  if (literal) return parseAddr(literal)?.length === 4 ? literal : undefined;
  try {
    return (await lookup(node.HostName, { family: 4 })).address;
  } catch {
    return undefined;
  }
}

function send(socket: Socket, bytes: Uint8Array, port: number, address: string): Promise<void> {
  return new Promise((resolve) => {
    socket.send(bytes, port, address, () => resolve());
  });
}
