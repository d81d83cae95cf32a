// A whole tailnet in one process, on loopback: control, relay, and as many nodes as a test wants.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuthKeyOptions, type ControlOptions, ControlServer } from '@cove/control';
import { type DerpListener, listenDerp } from '@cove/derp';
import { Server, type ServerOptions } from '@cove/tsnet';

const REGION = 900;

export interface NodeOptions extends Partial<ServerOptions> {
  /** The key the node logs in with; false: none. */
  readonly key?: AuthKeyOptions | false;
}

export class TestTailnet implements AsyncDisposable {
  readonly dir: string;
  readonly nodes: Server[] = [];
  readonly #options: Partial<ControlOptions>;
  #http: HttpServer | undefined;
  #control: ControlServer | undefined;
  #relay: DerpListener | undefined;
  #port = 0;
  /** A relay of its own lets in whom it knows while control is away. */
  #isControlAway = false;
  #relayPort = 0;

  private constructor(dir: string, options: Partial<ControlOptions>) {
    this.dir = dir;
    this.#options = options;
  }

  static async start(options: Partial<ControlOptions> = {}): Promise<TestTailnet> {
    const tailnet = new TestTailnet(await mkdtemp(join(tmpdir(), 'cove-tailnet-')), options);
    await tailnet.startControl();
    await tailnet.startRelay();
    return tailnet;
  }

  get control(): ControlServer {
    return this.#control!;
  }

  get isControlAway(): boolean {
    return this.#isControlAway;
  }

  /** Packets that nodes gave the relay so far. */
  get relayedPackets(): number {
    return this.#relay!.derp.metrics().packetsReceived;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async startControl(): Promise<void> {
    const http = createServer();
    await new Promise<void>((resolve) => http.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (http.address() as AddressInfo).port;
    this.#control = await ControlServer.open({
      database: join(this.dir, 'control.sqlite'),
      serverUrl: this.url,
      domain: 'test.internal',
      tailnet: 'test.internal',
      owner: 'alice@test.internal',
      offlineGrace: 50,
      ...this.#options,
    });
    this.#control.attach(http);
    this.#http = http;
    this.#isControlAway = false;
  }

  async stopControl(): Promise<void> {
    this.#isControlAway = true;
    const http = this.#http!;
    const closed = new Promise((resolve) => http.close(resolve));
    await this.#control!.close();
    http.closeAllConnections();
    await closed;
  }

  async startRelay(): Promise<void> {
    this.#relay = await listenDerp({
      certDir: join(this.dir, 'relay'),
      port: this.#relayPort,
      stunPort: 0,
      verify: (key) => this.#isControlAway || this.control.isKnownNode(key),
    });
    this.#relayPort = this.#relay.addresses[0]!.port;
    const node = this.#relay.derpNode({
      Name: `${REGION}a`,
      RegionID: REGION,
      HostName: '127.0.0.1',
      IPv4: '127.0.0.1',
      IPv6: 'none',
    });
    await this.control.setDerpMap({
      Regions: {
        [REGION]: { RegionID: REGION, RegionCode: 'own', RegionName: 'Own', Nodes: [node] },
      },
      omitDefaultRegions: true,
    });
  }

  async stopRelay(): Promise<void> {
    await this.#relay!.close();
  }

  /** A node that is not started yet; its state is kept under its name. */
  async newNode(hostname: string, options: NodeOptions = {}): Promise<Server> {
    const { key = {}, ...given } = options;
    const authKey = key === false ? undefined : (await this.control.createAuthKey(key)).key;
    const node = new Server({
      hostname,
      dir: join(this.dir, 'nodes', hostname),
      controlUrl: this.url,
      env: {},
      // Whatever gateway the tests run behind, it is not theirs.
      portMapping: false,
      ...(authKey === undefined ? {} : { authKey }),
      ...given,
    });
    this.nodes.push(node);
    return node;
  }

  /** A running node. */
  async upNode(hostname: string, options: NodeOptions = {}): Promise<Server> {
    const node = await this.newNode(hostname, options);
    await node.up({ signal: AbortSignal.timeout(15_000) });
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
    await this.#relay?.close();
    await this.stopControl();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Waits until the condition holds; fails with the sentence after the limit. */
export async function until(
  condition: () => unknown,
  what: string,
  limitMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
