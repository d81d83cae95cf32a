// Three machines on a bridge (root only): two for the peers, one for the coordination server with its relays. A second
// pair has no UDP, so that everything of theirs goes through a relay.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadSelfSigned } from '@cove/derp';
import type { DERPMap } from '@cove/protocol/tailcfg';
import { eventually, type Host, Lab, type Started } from '../harness/lab.ts';
import { peerPath } from '../harness/peers.ts';
import { CROWD } from './crowd.ts';

const CLI = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const STOCK_NAME = 'relay.bench';
const STOCK_PORT = 443;
const STOCK_STUN_PORT = 3500;
const STOCK_REGION = 7;

/** A coordination server and a key that lets any number of machines in, forgotten when they leave. */
export interface Tailnet {
  readonly controlUrl: string;
  readonly authKey: string;
}

export interface Hosts {
  readonly client: Host;
  readonly server: Host;
}

export class Testbed implements AsyncDisposable {
  readonly #lab = new Lab();
  readonly #center: Host;
  readonly direct: Hosts;
  #relayed: Hosts | undefined;
  #alone: Host | undefined;
  #tailnets = 0;

  constructor() {
    this.#center = this.#lab.addHost('center');
    this.direct = { client: this.#lab.addHost('client'), server: this.#lab.addHost('server') };
  }

  /** Two machines whose UDP is dropped. */
  async relayed(): Promise<Hosts> {
    this.#relayed ??= {
      client: await this.#addBlocked('client-noudp'),
      server: await this.#addBlocked('server-noudp'),
    };
    return this.#relayed;
  }

  /** A machine that has to do with none of the others. */
  get alone(): Host {
    this.#alone ??= this.#lab.addHost('alone');
    return this.#alone;
  }

  async #addBlocked(name: string): Promise<Host> {
    const host = this.#lab.addHost(name);
    for (const [chain, device] of [
      ['INPUT', '-i'],
      ['OUTPUT', '-o'],
    ] as const) {
      const rule = ['-A', chain, '-p', 'udp', '!', device, 'lo', '-j', 'DROP'];
      await host.run('iptables', rule);
    }
    return host;
  }

  /** `cove control` with its own relay (`cove derp`'s), or with a stock derper; crowd: machines that stay away. */
  async tailnet(relay: 'cove' | 'derper', crowd = 0): Promise<Tailnet> {
    const number = this.#tailnets++;
    const host = this.#center;
    const dir = ['--dir', join(host.dir, `tailnet-${number}`)];
    const port = 8090 + number;
    const own = ['--derp-port', String(8443 + number), '--stun-port', String(3478 + number)];
    const relays = relay === 'cove' ? own : ['--derp-map', await this.#startDerper()];
    const control = host.start(process.execPath, [
      ...[CLI, 'control', ...dir, '--listen', host.address, '--control-port', String(port)],
      ...[...relays, '--json'],
    ]);
    await printed(control, /"event":"ready"/);
    const key = async (...kind: string[]): Promise<string> => {
      const create = [CLI, 'authkey', 'create', '--reusable', ...kind, ...dir];
      return (await host.run(process.execPath, create)).stdout.trim();
    };
    if (crowd > 0) {
      const args = [CROWD, String(port), await key(), String(crowd)];
      await host.run(process.execPath, args, { timeout: 120_000 });
    }
    const authKey = await key('--ephemeral');
    return { controlUrl: `http://${host.address}:${port}`, authKey };
  }

  /** Returns the file of its relay map. */
  async #startDerper(): Promise<string> {
    const { dir, address } = this.#center;
    const { cert, key, pin } = await loadSelfSigned(dir, [STOCK_NAME]);
    writeFileSync(join(dir, `${STOCK_NAME}.crt`), cert);
    writeFileSync(join(dir, `${STOCK_NAME}.key`), key, { mode: 0o600 });
    const derper = this.#center.start(peerPath('derper'), [
      ...['-a', `${address}:${STOCK_PORT}`, '-c', join(dir, 'derper.json')],
      ...['-certmode', 'manual', '-certdir', dir, '-hostname', STOCK_NAME],
      ...['-http-port', '-1', '-stun-port', String(STOCK_STUN_PORT)],
    ]);
    await printed(derper, /serving on/i);
    const map: DERPMap = {
      Regions: {
        [STOCK_REGION]: {
          ...{ RegionID: STOCK_REGION, RegionCode: 'stock', RegionName: 'Stock' },
          Nodes: [
            {
              ...{ Name: '7a', RegionID: STOCK_REGION, HostName: STOCK_NAME, CertName: pin },
              ...{ IPv4: address, IPv6: 'none', STUNPort: STOCK_STUN_PORT },
            },
          ],
        },
      },
      omitDefaultRegions: true,
    };
    const file = join(dir, 'derpmap.json');
    writeFileSync(file, JSON.stringify(map));
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

async function printed(program: Started, pattern: RegExp): Promise<void> {
  await eventually(
    () => `no ${pattern}\n${program.stdout.slice(-2000)}\n${program.stderr.slice(-4000)}`,
    30_000,
    () => pattern.test(program.stdout + program.stderr),
  );
}
