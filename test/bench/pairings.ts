// Who is measured with whom, and how their processes are started.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type Host } from '../harness/lab.ts';
import { peerPath } from '../harness/peers.ts';
import { COVE_PEER } from './covepeer.ts';
import { PeerProcess } from './peerprocess.ts';
import type { Hosts, Tailnet } from './testbed.ts';
import type { PeerConfig } from './wire.ts';

/** What one side runs. */
export type Flavour = 'cove' | 'cove-wasm' | 'cove-js' | 'go';

export const FLAVOUR_TEXT: Readonly<Record<Flavour, string>> = {
  cove: 'Cove as it comes: WebAssembly crypto, UDP offload where it loads',
  'cove-wasm': 'Cove with COVE_NO_NATIVE=1: no native code at all',
  'cove-js': 'Cove with COVE_NO_NATIVE=1 and crypto in plain JavaScript',
  go: 'stock tsnet',
};

export type PairingName =
  | 'cove-cove'
  | 'cove-wasm'
  | 'cove-js'
  | 'cove-go'
  | 'go-cove'
  | 'go-go'
  | 'kernel';

/** Client and server; the client makes the load and sends the streams. */
export const PAIRINGS: Readonly<Record<PairingName, readonly [Flavour, Flavour] | undefined>> = {
  'go-go': ['go', 'go'],
  'cove-cove': ['cove', 'cove'],
  'cove-wasm': ['cove-wasm', 'cove-wasm'],
  'cove-js': ['cove-js', 'cove-js'],
  'cove-go': ['cove', 'go'],
  'go-cove': ['go', 'cove'],
  // The kernel's TCP over wireguard-go.
  kernel: undefined,
};

export const REFERENCE: PairingName = 'go-go';

export interface Pair extends AsyncDisposable {
  readonly client: PeerProcess;
  readonly server: PeerProcess;
}

/** Environment of stock programs: nothing leaves the machine. */
const QUIET = { TS_NO_LOGS_NO_SUPPORT: 'true' };

let started = 0;

export interface Start {
  /** Name and state directory; absent: new ones. */
  readonly identity?: Identity;
  readonly portMapping?: boolean;
}

export interface Identity {
  readonly hostname: string;
  readonly dir: string;
}

export function newIdentity(host: Host): Identity {
  const hostname = `bench-${++started}`;
  return { hostname, dir: mkdtempSync(join(host.dir, `${hostname}-`)) };
}

export async function startPeer(
  flavour: Flavour,
  host: Host,
  tailnet: Tailnet,
  { identity, portMapping = false }: Start = {},
): Promise<PeerProcess> {
  const { hostname, dir } = identity ?? newIdentity(host);
  const env = {
    ...QUIET,
    TS_DISABLE_PORTMAPPER: portMapping ? '0' : '1',
    TS_AUTHKEY: tailnet.authKey,
  };
  if (flavour === 'go') {
    const args = ['-hostname', hostname, '-dir', dir, '-control-url', tailnet.controlUrl];
    return PeerProcess.start(host, [peerPath('benchpeer'), ...args], env);
  }
  const config: PeerConfig = {
    ...{ hostname, dir, controlUrl: tailnet.controlUrl },
    crypto: flavour === 'cove-js' ? 'noble' : 'default',
  };
  const command = [process.execPath, COVE_PEER, JSON.stringify(config)];
  return PeerProcess.start(host, command, {
    ...env,
    ...(flavour !== 'cove' && { COVE_NO_NATIVE: '1' }),
  });
}

/** Both sides, serving, on a direct path (or a relayed one). */
export async function startPair(
  [client, server]: readonly [Flavour, Flavour],
  hosts: Hosts,
  tailnet: Tailnet,
  path: 'direct' | 'relay',
): Promise<Pair> {
  const peers: PeerProcess[] = [];
  const end = async (): Promise<void> => {
    await Promise.all(peers.map((peer) => peer.end()));
  };
  try {
    // One after the other: the start is measured.
    peers.push(await startPeer(server, hosts.server, tailnet));
    peers.push(await startPeer(client, hosts.client, tailnet));
    const [serving, loading] = peers as [PeerProcess, PeerProcess];
    await serving.ask({ op: 'serve' });
    const { address } = serving.ready;
    const seconds = path === 'direct' ? 15 : 0;
    const used = await loading.ask({ op: 'path', address, seconds });
    await serving.ask({ op: 'path', address: loading.ready.address, seconds });
    if ((used !== '') !== (path === 'direct')) throw new Error(`the path is ${used || 'a relay'}`);
    return { client: loading, server: serving, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Two wireguard-go with the kernel's sockets on top. */
export async function startKernelPair(hosts: Hosts): Promise<Pair> {
  const wg = (input: string, ...args: string[]): string =>
    execFileSync('wg', args, { encoding: 'utf8', input }).trim();
  const sides = [hosts.client, hosts.server].map((host, i) => {
    const secret = wg('', 'genkey');
    const keyFile = join(host.dir, `wg-${++started}.key`);
    writeFileSync(keyFile, secret, { mode: 0o600 });
    // The control sockets of all namespaces lie in one folder: no two daemons may have one name.
    const device = `wgb${process.pid % 100_000}n${started}`;
    return { host, device, keyFile, public: wg(secret, 'pubkey'), inner: `10.60.0.${i + 1}` };
  });
  const daemons = sides.map(({ host, device }) =>
    host.start(peerPath('wireguard-go'), ['-f', device], { env: { LOG_LEVEL: 'error' } }),
  );
  const peers: PeerProcess[] = [];
  const end = async (): Promise<void> => {
    await Promise.all(peers.map((peer) => peer.end()));
    await Promise.all(daemons.map((daemon) => daemon.kill()));
  };
  try {
    for (const [i, side] of sides.entries()) {
      const { host, device, keyFile, inner } = side;
      const other = sides[1 - i]!;
      await eventually(
        () => daemons[i]!.stderr,
        10_000,
        () => host.run('wg', ['show', device]),
      );
      await host.run('wg', [
        ...['set', device, 'private-key', keyFile, 'listen-port', '51820'],
        ...['peer', other.public, 'allowed-ips', `${other.inner}/32`],
        ...['endpoint', `${other.host.address}:51820`],
      ]);
      await host.run('ip', ['addr', 'add', `${inner}/24`, 'dev', device]);
      await host.run('ip', ['link', 'set', device, 'mtu', '1280', 'up']);
    }
    for (const [i, { host, inner }] of sides.entries()) {
      const command = [peerPath('benchpeer'), '-kernel', inner];
      peers.push(await PeerProcess.start(host, command, {}, [daemons[i]!.child.pid!]));
    }
    await peers[1]!.ask({ op: 'serve' });
    return { client: peers[0]!, server: peers[1]!, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}
