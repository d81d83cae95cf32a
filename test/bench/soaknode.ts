// One node of the soak: `soaknode.js NAME CONTROL_URL DIR`, orders and answers over the process channel.
import { once } from 'node:events';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Conn, Server } from '@cove/tsnet';
import type { SoakOrder, SoakSample } from './soak.ts';

const BULK = 7000;
const ECHO = 7001;
/** Short connections at once. */
const SHORT = 4;
const BLOCK = Buffer.alloc(64 * 1024, 7);

const [name, controlUrl, dir] = process.argv.slice(2);
const authKey = process.env['TS_AUTHKEY'];
const node = new Server({
  hostname: name!,
  dir: join(dir!, `soak-${name}`),
  controlUrl: controlUrl!,
  env: {},
  portMapping: false,
  ...(authKey === undefined ? {} : { authKey }),
});
await node.up({ signal: AbortSignal.timeout(30_000) });

const open = new Set<Conn>();
let received = 0;
let exchanges = 0;
let failures = 0;
let began = 0;
let running = false;
const delay = monitorEventLoopDelay({ resolution: 5 });

function watch(conn: Conn): Conn {
  open.add(conn);
  conn.once('close', () => open.delete(conn));
  return conn;
}

const bulk = await node.listen({ port: BULK });
bulk.on('connection', (conn: Conn) => {
  watch(conn).on('error', () => {});
  conn.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
});
const echo = await node.listen({ port: ECHO });
echo.on('connection', (conn: Conn) => {
  watch(conn).on('error', () => {});
  conn.pipe(conn);
});

async function pour(peer: string): Promise<void> {
  const conn = watch(await node.dial({ host: peer, port: BULK }));
  conn.on('error', () => {});
  while (running) {
    if (!conn.write(BLOCK)) await once(conn, 'drain');
  }
  conn.destroy();
}

async function chat(peer: string): Promise<void> {
  while (running) {
    try {
      const conn = watch(await node.dial({ host: peer, port: ECHO }));
      conn.end(BLOCK.subarray(0, 3000));
      let count = 0;
      for await (const chunk of conn) count += (chunk as Buffer).length;
      if (count !== 3000) throw new Error(`${count} bytes came back`);
      exchanges++;
    } catch (error) {
      // What the end of the run cuts is no failure.
      if (running) {
        failures++;
        console.error(`${name}: ${String(error)}`);
      }
    }
    await sleep(20);
  }
}

function sample(): SoakSample {
  global.gc?.();
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) {
    resources[kind] = (resources[kind] ?? 0) + 1;
  }
  const delayP99 = delay.percentile(99) / 1e6;
  delay.reset();
  return {
    at: (performance.now() - began) / 1000,
    ...{ rss, heapUsed, external, arrayBuffers },
    resources,
    connections: open.size,
    ...{ received, exchanges, failures, delayP99 },
  };
}

process.on('message', (order: SoakOrder) => {
  if (order.kind === 'load') {
    running = true;
    began = performance.now();
    delay.enable();
    void pour(order.peer);
    for (let i = 0; i < SHORT; i++) void chat(order.peer);
  } else if (order.kind === 'stop') {
    running = false;
    for (const conn of open) conn.destroy();
  } else {
    process.send!(sample());
  }
});
process.on('disconnect', () => process.exit());
process.send!('up');
