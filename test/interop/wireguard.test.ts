// @cove/wireguard against wireguard-go: two namespaces, the stock daemon with its TUN in one, ours in the other.
// Needs root, and the programs wireguard-go, wg and ping.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, type Host, Lab, type Started } from '../harness/lab.ts';
import { missing } from '../harness/peers.ts';
import { type NodeConfig, PROGRAM } from './wireguardnode.ts';

const STOCK_INNER = '10.60.0.1';
const OUR_INNER = '10.60.0.2';
const PORT = 51820;

function programsMissing(): string | false {
  const absent = ['wireguard-go', 'wg', 'ping'].filter(
    (program) => spawnSync('which', [program]).status !== 0,
  );
  return absent.length > 0 && `not installed: ${absent.join(', ')}`;
}
const skip = missing({ root: true }) || (!process.env['CI'] && programsMissing());

const wg = (input: string | undefined, ...args: string[]): string =>
  execFileSync('wg', args, { encoding: 'utf8', ...(input !== undefined && { input }) }).trim();

interface Keys {
  readonly private: string;
  readonly public: string;
}

function keys(): Keys {
  const secret = wg(undefined, 'genkey');
  return { private: secret, public: wg(secret, 'pubkey') };
}

/** The daemon; disposing ends it in order, so that it takes its control socket with it. */
interface Stock extends AsyncDisposable {
  readonly interface: string;
}

let daemons = 0;

/** wireguard-go with one peer, up. */
async function startStock(
  host: Host,
  own: Keys,
  peer: { readonly publicKey: string; readonly presharedKey?: string; readonly endpoint?: string },
): Promise<Stock> {
  // The control sockets of all namespaces lie in one folder: no two daemons may have one name.
  const name = `wg${process.pid}n${++daemons}`;
  const daemon = host.start('wireguard-go', ['-f', name], { env: { LOG_LEVEL: 'error' } });
  const keyFile = join(host.dir, 'key');
  const pskFile = join(host.dir, 'psk');
  writeFileSync(keyFile, own.private, { mode: 0o600 });
  writeFileSync(pskFile, peer.presharedKey ?? '', { mode: 0o600 });
  await eventually(
    () => daemon.stderr,
    10_000,
    () => host.run('wg', ['show', name]),
  );
  await host.run('wg', [
    ...['set', name, 'private-key', keyFile, 'listen-port', String(PORT)],
    ...['peer', peer.publicKey, 'allowed-ips', `${OUR_INNER}/32`],
    ...(peer.endpoint ? ['endpoint', peer.endpoint] : []),
    ...(peer.presharedKey ? ['preshared-key', pskFile] : []),
  ]);
  await host.run('ip', ['addr', 'add', `${STOCK_INNER}/24`, 'dev', name]);
  await host.run('ip', ['link', 'set', name, 'mtu', '1280', 'up']);
  return { interface: name, [Symbol.asyncDispose]: () => daemon.kill() };
}

async function startOurs(host: Host, config: NodeConfig): Promise<Started> {
  const started = host.start(process.execPath, [PROGRAM, JSON.stringify(config)]);
  await eventually(
    () => started.stderr,
    10_000,
    () => started.stdout.includes('listening'),
  );
  return started;
}

for (const crypto of ['noble', 'node'] as const) {
  test(`wireguard-go initiates, we respond and answer its pings (${crypto})`, {
    skip,
  }, async () => {
    await using lab = new Lab();
    const [theirs, ours] = [lab.addHost('stock'), lab.addHost('ours')];
    const [stock, own] = [keys(), keys()];
    const node = await startOurs(ours, {
      crypto,
      privateKey: own.private,
      port: PORT,
      address: OUR_INNER,
      peer: { publicKey: stock.public, address: STOCK_INNER },
      pings: 0,
      interval: 0,
      size: 0,
    });
    const endpoint = `${ours.address}:${PORT}`;
    await using daemon = await startStock(theirs, stock, { publicKey: own.public, endpoint });
    const ping = await theirs.run('ping', ['-c', '20', '-i', '0.05', '-W', '2', OUR_INNER]);
    assert.match(ping.stdout, / 0% packet loss/);
    const large = await theirs.run('ping', ['-c', '5', '-i', '0.05', '-s', '1252', OUR_INNER]);
    assert.match(large.stdout, / 0% packet loss/);
    assert.equal(node.stdout.match(/complete/g)?.length, 1);
    const shown = await theirs.run('wg', ['show', daemon.interface, 'latest-handshakes']);
    assert.ok(Number(shown.stdout.split('\t')[1]) > 1_600_000_000, shown.stdout);
  });

  test(`we initiate, wireguard-go responds and answers our pings (${crypto}, preshared key)`, {
    skip,
  }, async () => {
    await using lab = new Lab();
    const [theirs, ours] = [lab.addHost('stock'), lab.addHost('ours')];
    const [stock, own] = [keys(), keys()];
    const presharedKey = wg(undefined, 'genpsk');
    await using _daemon = await startStock(theirs, stock, {
      publicKey: own.public,
      presharedKey,
    });
    const node = await startOurs(ours, {
      crypto,
      privateKey: own.private,
      port: PORT,
      address: OUR_INNER,
      peer: {
        publicKey: stock.public,
        presharedKey,
        address: STOCK_INNER,
        endpoint: { host: theirs.address, port: PORT },
      },
      pings: 20,
      interval: 20,
      size: 1252,
    });
    await eventually(
      () => node.stdout + node.stderr,
      10_000,
      () => node.stdout.match(/^pong /gm)?.length === 20,
    );
    assert.equal(node.stdout.match(/complete/g)?.length, 1);
  });
}

test('one side restarts: the other finds the way back by itself', { skip }, async () => {
  await using lab = new Lab();
  const [theirs, ours] = [lab.addHost('stock'), lab.addHost('ours')];
  const [stock, own] = [keys(), keys()];
  const config: NodeConfig = {
    crypto: 'node',
    privateKey: own.private,
    port: PORT,
    address: OUR_INNER,
    peer: { publicKey: stock.public, address: STOCK_INNER },
    pings: 0,
    interval: 0,
    size: 0,
  };
  const first = await startOurs(ours, config);
  await using _daemon = await startStock(theirs, stock, {
    publicKey: own.public,
    endpoint: `${ours.address}:${PORT}`,
  });
  await theirs.run('ping', ['-c', '2', '-i', '0.1', OUR_INNER]);
  await first.kill();
  const second = await startOurs(ours, config);
  // wireguard-go hears nothing for 15 s, then initiates anew.
  await eventually(
    () => second.stdout + second.stderr,
    25_000,
    () => theirs.run('ping', ['-c', '1', '-W', '1', OUR_INNER]).then(() => true),
  );
  assert.match(second.stdout, /complete/);
});
