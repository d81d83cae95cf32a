// A tailnet without control for tests: a real relay on loopback, engines with hand-made maps.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '@cove/crypto';
import { type DerpListener, listenDerp } from '@cove/derp';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import type { DERPMap, Node } from '@cove/protocol/tailcfg';
import { systemClock } from '../clock.ts';
import { Engine, type EngineOptions } from '../engine.ts';
import type { NetworkMap } from '../netmap.ts';
import { ALLOW_ALL, testMap, testNode } from './maps.ts';

export const crypto: ReturnType<typeof nodeCrypto> = nodeCrypto();

export interface TestEngine {
  readonly id: number;
  readonly engine: Engine;
  readonly nodeKey: PrivateKey;
  /** As peers see it. */
  node: Node;
  readonly homes: number[];
  readonly connected: boolean[];
}

export class TestTailnet {
  readonly relays: DerpListener[] = [];
  readonly engines: TestEngine[] = [];
  readonly #dir: string;
  derpMap: DERPMap = { Regions: {} };

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async start(regions = 1): Promise<TestTailnet> {
    const tailnet = new TestTailnet(await mkdtemp(join(tmpdir(), 'cove-tailnet-')));
    for (let id = 1; id <= regions; id++) await tailnet.startRelay(id);
    return tailnet;
  }

  async startRelay(id: number, port = 0): Promise<DerpListener> {
    const certDir = join(this.#dir, `${id}`);
    const relay = await listenDerp({ certDir, port, stunPort: 0 });
    this.relays[id] = relay;
    const node = relay.derpNode({ Name: `${id}a`, RegionID: id, HostName: '127.0.0.1' });
    this.derpMap = {
      Regions: {
        ...this.derpMap.Regions,
        [id]: { RegionID: id, RegionCode: `r${id}`, RegionName: `Region ${id}`, Nodes: [node] },
      },
    };
    return relay;
  }

  /** An engine without a map. */
  add(facts: Partial<Node> = {}, options: Partial<EngineOptions> = {}): TestEngine {
    const id = this.engines.length + 1;
    const nodeKey = PrivateKey.generate(crypto.randomBytes);
    const discoKey = PrivateKey.generate(crypto.randomBytes);
    const homes: number[] = [];
    const connected: boolean[] = [];
    const engine = new Engine({
      nodeKey,
      discoKey,
      crypto,
      clock: systemClock,
      callbacks: {
        homeDerp: (region) => homes.push(region),
        derpConnected: (on) => connected.push(on),
      },
      ...options,
    });
    const node = testNode(id, {
      Key: nodePublic(nodeKey.publicBytes(crypto.x25519)),
      DiscoKey: discoPublic(discoKey.publicBytes(crypto.x25519)),
      ...facts,
    });
    const added = { id, engine, nodeKey, node, homes, connected };
    this.engines.push(added);
    return added;
  }

  /** What control would tell the engine: everybody else, and that everybody may do everything. */
  mapFor(of: TestEngine, facts: Partial<NetworkMap> = {}): NetworkMap {
    const peers = this.engines.filter((other) => other !== of).map(({ node }) => node);
    return testMap(of.node, peers, { derpMap: this.derpMap, filterRules: ALLOW_ALL, ...facts });
  }

  /** Gives every engine its map. */
  publish(): void {
    for (const each of this.engines) each.engine.setNetworkMap(this.mapFor(each));
  }

  async close(): Promise<void> {
    await Promise.all(this.engines.map(({ engine }) => engine.close()));
    for (const relay of this.relays) await relay?.close();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/** Waits until the condition holds; fails after the time. */
export async function until(
  condition: () => boolean,
  what: string,
  timeout = 5_000,
): Promise<void> {
  const deadline = performance.now() + timeout;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
