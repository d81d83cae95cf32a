// A hundred downloads at once through the tunnel: every byte right, and the memory they took given back.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, get, type Server as HttpServer } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Server } from '@cove/tsnet';
import { TestTailnet } from '../harness/tailnet.ts';

const CONNECTIONS = 100;
const SIZE = 1 << 20;

let tailnet: TestTailnet;
let server: Server;
let client: Server;
let http: HttpServer;
const file = randomBytes(SIZE);
const expected = createHash('sha256').update(file).digest('hex');

before(async () => {
  tailnet = await TestTailnet.start();
  [server, client] = await Promise.all([tailnet.upNode('files'), tailnet.upNode('reader')]);
  http = createServer((_req, res) => void res.end(file));
  (await server.listen({ port: 80 })).serve(http);
});
after(async () => {
  http?.closeAllConnections();
  await tailnet?.[Symbol.asyncDispose]();
});

/** Each on a connection of its own. */
function download(): Promise<string> {
  return new Promise((done, fail) => {
    const agent = client.agent({ keepAlive: false });
    const req = get('http://files/', { agent }, (res) => {
      const hash = createHash('sha256');
      res.on('data', (chunk: Buffer) => hash.update(chunk));
      res.once('end', () => done(hash.digest('hex')));
      res.once('error', fail);
    });
    req.once('error', fail);
  });
}

async function downloadAll(): Promise<void> {
  const hashes = await Promise.all(Array.from({ length: CONNECTIONS }, download));
  assert.equal(hashes.filter((hash) => hash === expected).length, CONNECTIONS);
}

/** Bytes held by live objects, buffers included. */
async function memory(): Promise<number> {
  // Closed connections wait out TIME-WAIT; what they hold then must be small, not nothing.
  await delay(500);
  global.gc?.();
  await delay(50);
  global.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test(`${CONNECTIONS} connections fetch 1 MiB each at once, hashes equal`, {
  timeout: 120_000,
}, async () => {
  await downloadAll();
});

test('memory returns afterwards', {
  timeout: 120_000,
  skip: global.gc === undefined ? 'needs --expose-gc' : false,
}, async () => {
  const before = await memory();
  await downloadAll();
  const grown = (await memory()) - before;
  assert.ok(grown < 8 << 20, `${(grown / 1048576).toFixed(1)} MiB more than before`);
});
