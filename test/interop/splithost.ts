// `cove control` and one or two `cove derp`, each on a machine of its own in a lab, beside nodes of ours and stock ones:
// control can go away alone, and so can each relay.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DERPMap } from '@cove/protocol/tailcfg';
import { eventually, type Host, Lab, type Started } from '../harness/lab.ts';
import { StockNode } from '../harness/stocknode.ts';

const BIN = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const WITNESS = fileURLToPath(new URL('./witness.js', import.meta.url));
const FIRST_REGION = 900;

interface RelayMap {
  readonly Regions: Readonly<
    Record<string, { readonly Nodes: readonly { readonly [member: string]: unknown }[] }>
  >;
}

/** What witness.ts prints. */
export interface Sight {
  readonly event: 'up' | 'home' | 'echo' | 'new' | 'closed' | 'error' | 'slept';
  readonly at: number;
  readonly target?: string;
  readonly took?: number;
  readonly path?: string;
  readonly error?: string;
  readonly region?: number;
}

/** A node of ours, watched. */
export class Witness {
  readonly host: Host;
  readonly name: string;
  #program: Started;
  readonly #start: () => Started;

  constructor(host: Host, name: string, start: () => Started) {
    this.host = host;
    this.name = name;
    this.#start = start;
    this.#program = start();
  }

  get program(): Started {
    return this.#program;
  }

  get stateDir(): string {
    return join(this.host.dir, 'node');
  }

  /** What it saw since `from` (ms), in order; what is long ago may be forgotten. */
  sights(event: Sight['event'], from = 0): Sight[] {
    return this.#program.stdout
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.includes(`"event":"${event}"`))
      .flatMap((line) => {
        // The first line may be cut.
        if (!line.startsWith('{')) return [];
        const sight = JSON.parse(line) as Sight;
        return sight.at >= from ? [sight] : [];
      });
  }

  async up(): Promise<void> {
    await eventually(
      () => `${this.name} is not up\n${this.#program.stderr}`,
      45_000,
      () => this.sights('up').length > 0,
    );
  }

  watch(target: string): void {
    this.#program.child.stdin!.write(`${target}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#program.child.kill(name);
  }

  /** Kills it and starts it again with the state it left. */
  async restart(): Promise<void> {
    await this.#program.kill('SIGKILL');
    this.#program = this.#start();
  }

  /** For failure messages. */
  get story(): string {
    return `${this.name}:\n${this.#program.stdout.slice(-3000)}\n${this.#program.stderr.slice(-3000)}`;
  }
}

/** Starts a witness on a machine of its own. */
export function startWitness(
  lab: Lab,
  name: string,
  url: string,
  authKey: string,
  ...targets: readonly string[]
): Witness {
  const host = lab.addHost(name);
  const args = [WITNESS, join(host.dir, 'node'), url, name, ...targets];
  const env = { TS_AUTHKEY: authKey, TS_DISABLE_PORTMAPPER: '1' };
  return new Witness(host, name, () => host.start(process.execPath, args, { env, input: true }));
}

export class SplitHost implements AsyncDisposable {
  readonly lab: Lab;
  readonly controlHost: Host;
  readonly relayHosts: readonly Host[];
  #control: Started | undefined;
  readonly #relays: Started[] = [];
  readonly #maps: RelayMap[] = [];
  readonly #stock: StockNode[] = [];

  readonly #verify: boolean;

  private constructor(lab: Lab, relays: number, verify: boolean) {
    this.lab = lab;
    this.#verify = verify;
    this.controlHost = lab.addHost('control');
    this.relayHosts = Array.from({ length: relays }, (_, i) => lab.addHost(`relay${i}`));
  }

  /** Regions 900, 901 and so on, one relay each; with `verify` they serve only whom control knows. */
  static async start(relays = 1, verify = true): Promise<SplitHost> {
    const split = new SplitHost(new Lab(), relays, verify);
    try {
      for (let i = 0; i < relays; i++) await split.startRelay(i);
      await split.startControl();
      return split;
    } catch (error) {
      await split[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `http://${this.controlHost.address}:8090`;
  }

  get control(): Started {
    return this.#control!;
  }

  relay(index: number): Started {
    return this.#relays[index]!;
  }

  async startRelay(index: number): Promise<void> {
    const host = this.relayHosts[index]!;
    const args = ['derp', '--listen', host.address, '--cert-dir', join(host.dir, 'relay')];
    const verify = this.#verify ? ['--verify-url', `${this.url}/verify`] : [];
    const relay = host.start(process.execPath, [BIN, ...args, ...verify, '--json']);
    this.#relays[index] = relay;
    const line = await eventually(
      () => `no relay\n${relay.stderr}`,
      20_000,
      () => /^.*"ready".*$/m.exec(relay.stdout)?.[0],
    );
    this.#maps[index] = (JSON.parse(line) as { derpMap: RelayMap }).derpMap;
  }

  /** With a relay map of these relays; absent: of all. */
  async startControl(relays: readonly number[] = this.relayHosts.map((_, i) => i)): Promise<void> {
    const host = this.controlHost;
    const regions = relays.map((i) => {
      const id = FIRST_REGION + i;
      const nodes = this.#maps[i]!.Regions[FIRST_REGION]!.Nodes;
      const own = nodes.map((node) => ({ ...node, Name: `${id}a`, RegionID: id }));
      return [id, { RegionID: id, RegionCode: `r${id}`, RegionName: `Relay ${id}`, Nodes: own }];
    });
    const map = join(host.dir, 'relays.json');
    // On one bridge all relays are equally far; the scores make the first one the nearest.
    const RegionScore = Object.fromEntries(relays.map((i) => [FIRST_REGION + i, 10 ** (3 * i)]));
    const HomeParams = { RegionScore };
    writeFileSync(map, JSON.stringify({ HomeParams, Regions: Object.fromEntries(regions) }));
    const where = ['--dir', join(host.dir, 'data'), '--listen', host.address];
    const control = host.start(process.execPath, [
      ...[BIN, 'control', ...where, '--derp-map', map, '--owner', 'ada@example.com', '--json'],
    ]);
    this.#control = control;
    await eventually(
      () => `no control\n${control.stderr}`,
      20_000,
      () => control.stdout.includes('"ready"'),
    );
  }

  /** All relays without their pins, which clients before 1.84 do not know. */
  openMap(): DERPMap {
    const regions = this.#maps.map(({ Regions }, i) => {
      const id = FIRST_REGION + i;
      const nodes = Regions[FIRST_REGION]!.Nodes.map(({ CertName: _, ...node }) => ({
        ...node,
        RegionID: id,
        InsecureForTests: true,
      }));
      return [id, { RegionID: id, RegionCode: `r${id}`, RegionName: `Relay ${id}`, Nodes: nodes }];
    });
    return { Regions: Object.fromEntries(regions), omitDefaultRegions: true };
  }

  /** Runs `cove ...` where control runs; resolves to its standard output, trimmed. */
  async admin(...args: readonly string[]): Promise<string> {
    const dir = ['--dir', join(this.controlHost.dir, 'data')];
    const { stdout } = await this.controlHost.run(process.execPath, [BIN, ...args, ...dir]);
    return stdout.trim();
  }

  authKey(): Promise<string> {
    return this.admin('authkey', 'create', '--user', 'ada@example.com');
  }

  async witness(name: string, ...targets: readonly string[]): Promise<Witness> {
    return startWitness(this.lab, name, this.url, await this.authKey(), ...targets);
  }

  stockNode(name: string, release: string): StockNode {
    const node = new StockNode(this.lab.addHost(name), release);
    this.#stock.push(node);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#stock.map((node) => node.stop()));
    await this.lab[Symbol.asyncDispose]();
  }
}
