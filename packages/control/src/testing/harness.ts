// A control server on a temporary database and a loopback port, with a wall clock that tests may move.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlOptions, LogEvent } from '../api.ts';
import { ControlServer } from '../server.ts';
import { type TestClient, type TestMapStream, TestNode } from './client.ts';

export const OWNER = 'alice@example.com';

export interface MapView {
  // biome-ignore lint/suspicious/noExplicitAny: messages are inspected member by member
  readonly [member: string]: any;
}

export class Harness implements AsyncDisposable {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'cove-control-'));
  readonly log: LogEvent[] = [];
  /** Added to Date.now. */
  clockOffset = 0;
  server!: ControlServer;
  port = 0;
  readonly #clients: TestClient[] = [];
  #stop: (() => Promise<void>) | undefined;

  static async start(options: Partial<ControlOptions> = {}): Promise<Harness> {
    const harness = new Harness();
    await harness.open(options);
    return harness;
  }

  /** Opens the server, again after stop, on the same database. */
  async open(options: Partial<ControlOptions> = {}): Promise<void> {
    const http = createServer();
    await new Promise<void>((done) => {
      http.listen(this.port, '127.0.0.1', done);
    });
    this.port = (http.address() as AddressInfo).port;
    this.server = await ControlServer.open({
      database: join(this.dir, 'control.db'),
      serverUrl: `http://127.0.0.1:${this.port}`,
      domain: 'cove.test',
      tailnet: 'test net',
      owner: OWNER,
      log: (event) => this.log.push(event),
      now: () => Date.now() + this.clockOffset,
      ...options,
    });
    this.server.attach(http);
    this.#stop = async () => {
      await this.server.close();
      http.closeAllConnections();
      await new Promise((done) => http.close(done));
    };
  }

  async stop(): Promise<void> {
    await this.#stop?.();
    this.#stop = undefined;
  }

  async connect(node: TestNode, version?: number): Promise<TestClient> {
    const client = await node.connect(this.port, this.server.publicKey, version);
    this.#clients.push(client);
    return client;
  }

  /** A connected client of a new machine that has logged in with a key of this user (default: the owner). */
  async join(
    hostname: string,
    options: { user?: string; tags?: string[]; version?: number } = {},
  ): Promise<TestClient> {
    const { user, tags, version } = options;
    const { key } = await this.server.createAuthKey({
      ...(user === undefined ? {} : { user }),
      ...(tags === undefined ? {} : { tags }),
    });
    const client = await this.connect(new TestNode(hostname), version);
    const response = await client.register({ Auth: { AuthKey: key } });
    if (!response.MachineAuthorized) throw new Error(response.Error);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export async function next(stream: TestMapStream): Promise<MapView> {
  return JSON.parse(await stream.next()) as MapView;
}

/** Reads messages until one satisfies the condition. */
export async function until(
  stream: TestMapStream,
  condition: (message: MapView) => boolean,
): Promise<MapView> {
  for (let i = 0; i < 100; i++) {
    const message = await next(stream);
    if (condition(message)) return message;
  }
  throw new Error('the message awaited did not come');
}

/** Messages that arrive within some milliseconds. */
export async function quiet(stream: TestMapStream, ms = 80): Promise<MapView[]> {
  await new Promise((done) => setTimeout(done, ms));
  const out: MapView[] = [];
  while (stream.pending.length > 0) out.push(await next(stream));
  return out;
}
