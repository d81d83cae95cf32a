// Cove's side of the benchmark: a node made with the public API that serves what is measured and makes the load itself.
// The node is up before it reads anything; argument: JSON of PeerConfig, the auth key in TS_AUTHKEY.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { nodeCrypto } from '@cove/crypto';
import { hasUdpTrains } from '@cove/native';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import { type Conn, Server, type ServerOptions } from '@cove/tsnet';
import { Load } from './load.ts';
import {
  type Answer,
  ECHO_PORT,
  GOLINK_PORT,
  HOLD_PORT,
  HTTP_PORT,
  PAGE_BYTES,
  type PeerConfig,
  REDIRECT_PORT,
  type Ready,
  type Request,
  type Sample,
  SINK_PORT,
  UDP_PORT,
} from './wire.ts';

export const COVE_PEER: string = fileURLToPath(import.meta.url);

const POLL_MS = 20;

class Peer {
  readonly #config: PeerConfig;
  readonly #nodes: Server[] = [];
  readonly #load: Load;
  #received = 0;
  #datagrams = 0;
  #close: () => Promise<void> = async () => {};

  constructor(config: PeerConfig) {
    this.#config = config;
    this.#load = new Load(this.#add(config.hostname));
  }

  get node(): Server {
    return this.#nodes[0]!;
  }

  #add(hostname: string): Server {
    const { dir, controlUrl, crypto } = this.#config;
    const bytes = (n: number): Uint8Array => new Uint8Array(randomBytes(n));
    const options: ServerOptions = {
      hostname,
      dir: join(dir, hostname),
      controlUrl,
      ephemeral: true,
      ...(crypto === 'noble' && { crypto: nobleCrypto(bytes) }),
      ...(process.env['BENCH_VERBOSE'] && {
        log: (level, message, fields) =>
          process.stderr.write(`${level} ${message} ${JSON.stringify(fields ?? {})}\n`),
      }),
    };
    const node = new Server(options);
    this.#nodes.push(node);
    return node;
  }

  async up(): Promise<Ready> {
    const start = performance.now();
    const { ips } = await this.node.up({ signal: AbortSignal.timeout(60_000) });
    const upMs = performance.now() - start;
    const tier = this.#config.crypto === 'noble' ? 'noble' : nodeCrypto().name;
    return {
      event: 'ready',
      address: ips[0]!,
      upMs,
      versions: {
        node: process.version,
        crypto: tier,
        offload: hasUdpTrains() ? 'yes' : 'no',
      },
    };
  }

  async #serve(): Promise<void> {
    const serve = async (port: number, handle: (conn: Conn) => void): Promise<void> => {
      const listener = await this.node.listen({ port });
      listener.on('connection', (conn: Conn) => {
        conn.on('error', () => {});
        handle(conn);
      });
    };
    await serve(SINK_PORT, (conn) =>
      conn.on('data', (bytes: Buffer) => {
        this.#received += bytes.length;
      }),
    );
    await serve(ECHO_PORT, (conn) => conn.on('data', (bytes: Buffer) => conn.write(bytes)));
    await serve(HOLD_PORT, (conn) => conn.resume());
    const page = 'x'.repeat(PAGE_BYTES);
    const headers = { 'Content-Type': 'text/plain', 'Content-Length': PAGE_BYTES };
    const http = createServer((_req, res) => {
      res.writeHead(200, headers);
      res.end(page);
    });
    (await this.node.listen({ port: HTTP_PORT })).serve(http);
    const udp = await this.node.listenPacket({ port: UDP_PORT });
    udp.on('message', () => {
      this.#datagrams++;
    });
  }

  /** Where only this is wanted, golink need not be loaded. */
  async #serveGolink(database: string, short: string, long: string): Promise<void> {
    const { createGolink } = await import('@cove/golink');
    const golink = await createGolink({ database, identify: (req) => this.node.whoIs(req.socket) });
    const line = `${JSON.stringify({ Short: short, Long: long })}\n`;
    const lines = async function* () {
      yield line;
    };
    await golink.importSnapshot(lines());
    this.#close = () => golink.close();
    const headers = { Location: long, 'Content-Length': 0 };
    const bare = createServer((_req, res) => void res.writeHead(302, headers).end());
    (await this.node.listen({ port: GOLINK_PORT })).serve(createServer(golink.handler));
    (await this.node.listen({ port: REDIRECT_PORT })).serve(bare);
  }

  /** The direct path in use, after waiting for one up to the time; '' if there is none. */
  async #path(address: string, seconds: number): Promise<string> {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      // What crosses the tunnel makes the node look for a direct path.
      await this.node.ping({ address, type: 'tsmp', timeout: 1000 }).catch(() => {});
      const peer = this.node.status().peers.find((one) => one.addresses.includes(address));
      if (peer?.currentAddress) return peer.currentAddress;
      if (performance.now() > end) return '';
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  }

  async #sample(gc: boolean): Promise<Sample> {
    if (gc) await freeMemory();
    return {
      atMs: performance.now(),
      received: this.#received,
      datagrams: this.#datagrams,
      counters: this.node.counters(),
    };
  }

  async #addNodes(count: number): Promise<void> {
    const added = Array.from({ length: count }, (_, i) =>
      this.#add(`${this.#config.hostname}-${i}`),
    );
    await Promise.all(added.map((node) => node.up({ signal: AbortSignal.timeout(60_000) })));
  }

  async handle(request: Request): Promise<unknown> {
    switch (request.op) {
      case 'serve':
        return this.#serve();
      case 'golink':
        return this.#serveGolink(request.database, request.short, request.long);
      case 'path':
        return this.#path(request.address, request.seconds);
      case 'sample':
        return this.#sample(request.gc === true);
      case 'stream':
        return this.#load.stream(request.address, request.connections);
      case 'stop':
        return this.#load.stop();
      case 'echo':
        return this.#load.echo(request);
      case 'http':
        return this.#load.http(request);
      case 'connect':
        return this.#load.connect(request);
      case 'flood':
        return this.#load.flood(request);
      case 'idle':
        return this.#load.idle(request.address, request.count);
      case 'nodes':
        return this.#addNodes(request.count);
      case 'profile':
        return request.file === undefined ? beginProfile() : endProfile(request.file);
      case 'close':
        await this.#close();
        await Promise.all(this.#nodes.map((node) => node.close()));
        // Whatever still holds the loop does not hold the benchmark.
        setTimeout(() => process.exit(0), 50);
        return undefined;
    }
  }
}

const inspector = new Session();
const collector = new Session();

/**
 * As `debug.FreeOSMemory` of the Go peer: collects, and gives back what the heap does not use. gc() alone leaves the
 * young generation as large as the busiest moment made it.
 */
async function freeMemory(): Promise<void> {
  collector.connect();
  await collector.post('HeapProfiler.collectGarbage');
  collector.disconnect();
}

async function beginProfile(): Promise<void> {
  inspector.connect();
  await inspector.post('Profiler.enable');
  await inspector.post('Profiler.setSamplingInterval', { interval: 500 });
  await inspector.post('Profiler.start');
}

async function endProfile(file: string): Promise<void> {
  const { profile } = await inspector.post('Profiler.stop');
  inspector.disconnect();
  await writeFile(file, JSON.stringify(profile));
}

async function main(): Promise<void> {
  const peer = new Peer(JSON.parse(process.argv[2]!) as PeerConfig);
  const say = (line: Ready | Answer): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);
  say(await peer.up());
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const request = JSON.parse(line) as Request & { readonly id: number };
    const { id } = request;
    try {
      say({ id, result: await peer.handle(request) });
    } catch (error) {
      say({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
}

if (process.argv[1] === COVE_PEER) await main();
