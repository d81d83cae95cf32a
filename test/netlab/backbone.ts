// The server of the lab: control, and two relays with STUN, so that a node can compare what two servers see of it.
// The second relay is never anyone's home: its region is given a bad score.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DERPMap } from '@cove/protocol/tailcfg';
import { eventually, type Host, type Started } from '../harness/lab.ts';
import { SERVER_V4, SERVER_V6 } from './network.ts';

const BIN = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const SECOND_REGION = 901;
const BAD_SCORE = 100;

export class Backbone {
  readonly #host: Host;
  readonly #dir: string;

  private constructor(host: Host) {
    this.#host = host;
    this.#dir = join(host.dir, 'data');
  }

  static async start(host: Host): Promise<Backbone> {
    const backbone = new Backbone(host);
    const [first, second] = await Promise.all([
      backbone.#relay('a', SERVER_V4[0]!, SERVER_V6),
      backbone.#relay('b', SERVER_V4[1]!),
    ]);
    const map: DERPMap = {
      ...first,
      Regions: { ...first.Regions, [SECOND_REGION]: renumber(second) },
      HomeParams: { RegionScore: { [SECOND_REGION]: BAD_SCORE } },
    };
    const file = join(host.dir, 'derpmap.json');
    writeFileSync(file, JSON.stringify(map));
    await backbone.#ready([
      'control',
      '--dir',
      backbone.#dir,
      '--owner',
      'owner@netlab.test',
      '--derp-map',
      file,
      ...listen(SERVER_V4[0]!, SERVER_V6),
    ]);
    return backbone;
  }

  /** A key that lets any number of machines in, which are forgotten when they leave. */
  async authKey(): Promise<string> {
    const { stdout } = await this.#host.run(process.execPath, [
      BIN,
      'authkey',
      'create',
      '--reusable',
      '--ephemeral',
      '--dir',
      this.#dir,
    ]);
    return stdout.trim();
  }

  async #relay(name: string, ...addresses: string[]): Promise<DERPMap> {
    const certDir = join(this.#host.dir, `relay-${name}`);
    const line = await this.#ready(['derp', '--cert-dir', certDir, ...listen(...addresses)]);
    return (JSON.parse(line) as { derpMap: DERPMap }).derpMap;
  }

  async #ready(args: readonly string[]): Promise<string> {
    const started: Started = this.#host.start(process.execPath, [BIN, ...args, '--json']);
    return eventually(
      () => `cove ${args[0]} is not ready\n${started.stderr}`,
      30_000,
      () => /^\{"event":"ready".*$/m.exec(started.stdout)?.[0],
    );
  }
}

function listen(...addresses: readonly string[]): string[] {
  return addresses.flatMap((address) => ['--listen', address]);
}

function renumber(map: DERPMap): NonNullable<DERPMap['Regions']>[string] {
  const region = Object.values(map.Regions ?? {})[0]!;
  return {
    ...region,
    RegionID: SECOND_REGION,
    RegionCode: 'second',
    RegionName: 'Second relay',
    Nodes: region.Nodes.map((node) => ({
      ...node,
      Name: `${SECOND_REGION}a`,
      RegionID: SECOND_REGION,
    })),
  };
}
