// A node of ours that does nothing, as a program of its own for idle.ts. It says by IPC when it is up, and answers every
// message with what it has used so far. Arguments: state directory, control URL. The auth key is in TS_AUTHKEY.
import { Server } from '@cove/tsnet';

/** Since the start of the process. */
export interface Usage {
  readonly cpuMs: number;
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly peers: number;
  /** WireGuard datagrams by UDP and by relay. */
  readonly packetsOut: number;
}

export interface Up {
  /** From the request for it to the first map in use, milliseconds. */
  readonly upMs: number;
  readonly usage: Usage;
}

const [dir, controlUrl] = process.argv.slice(2) as [string, string];
const node = new Server({ dir, controlUrl, hostname: 'idle', portMapping: false });

function usage(): Usage {
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const counters = node.counters();
  return {
    cpuMs: (user + system) / 1000,
    rssMiB: rss / 1048576,
    heapMiB: heapUsed / 1048576,
    peers: node.status().peers.length,
    packetsOut: (counters['udp_packets_out'] ?? 0) + (counters['relay_packets_out'] ?? 0),
  };
}

const begun = performance.now();
await node.up({ signal: AbortSignal.timeout(60_000) });
process.send!({ upMs: performance.now() - begun, usage: usage() } satisfies Up);
process.on('message', () => process.send!(usage()));
process.on('disconnect', () => process.exit());
