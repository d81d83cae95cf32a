// Our relay under the stock probe, STUN client and DERP client; our client on the stock relay. Loopback only, no
// root. The stock programs are looked for in COVE_PEERS_BIN, where scripts/install-peers.sh puts them, and on PATH.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { nodeCrypto } from '@cove/crypto';
import {
  DerpHttp,
  type DerpListener,
  DerpServer,
  listenDerp,
  loadSelfSigned,
  metacertPem,
  type RelayCertificate,
} from '@cove/derp';
import { DerpClient, type DerpClientOptions } from '@cove/derp/client';
import { DISCO_MAGIC } from '@cove/protocol/disco';
import { PrivateKey } from '@cove/protocol/keys';
import { formatAddr } from '@cove/protocol/netaddr';
import { encodeStunRequest, parseStunResponse } from '@cove/protocol/stun';
import type { DERPNode } from '@cove/protocol/tailcfg';
import { peerPath } from '../harness/peers.ts';

const PROGRAMS = ['derper', 'derpprobe', 'stunc'] as const;
type Program = (typeof PROGRAMS)[number];

function find(program: Program): string | undefined {
  const own = process.env['COVE_PEERS_BIN'];
  return [
    ...(own === undefined ? [] : [join(own, program)]),
    peerPath(program),
    ...(process.env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, program)),
  ].find((path) => existsSync(path));
}

const absent = PROGRAMS.filter((program) => find(program) === undefined);
const reason = `stock ${absent.join(', ')} not found: set COVE_PEERS_BIN or run scripts/install-peers.sh`;
/** In CI an absence must fail, not skip. */
const skip = absent.length > 0 && !process.env['CI'] ? reason : false;
if (skip !== false) console.error(`derp interop skipped: ${skip}`);

interface Finished {
  readonly code: number | null;
  readonly output: string;
}

async function run(
  program: Program,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const child = spawn(find(program)!, args, { env: { ...process.env, ...env }, timeout: 60_000 });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

/** The certificate of a stock relay has to be in files named after its host. */
const NAME = 'relay.test';

describe('DERP and STUN with stock peers', { skip }, () => {
  let dir: string;
  let certificate: RelayCertificate;
  let certFile: string;

  before(async () => {
    assert.deepEqual(absent, [], reason);
    dir = await mkdtemp(join(tmpdir(), 'cove-derp-'));
    certificate = await loadSelfSigned(dir, ['localhost', NAME, '127.0.0.1', '::1']);
    certFile = join(dir, 'cert.pem');
    await writeFile(certFile, certificate.cert);
  });
  after(async () => {
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });

  describe('our relay', () => {
    let listener: DerpListener;
    before(async () => {
      const host = ['127.0.0.1', '::1'];
      const hostnames = ['localhost', NAME, '127.0.0.1', '::1'];
      listener = await listenDerp({ host, port: 0, stunPort: 0, certDir: dir, hostnames });
    });
    after(async () => {
      await listener?.close();
    });

    async function probe(node: Partial<DERPNode>, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
      const whole = {
        ...listener.derpNode({ Name: '1a', RegionID: 1, HostName: 'localhost' }),
        IPv4: '127.0.0.1',
        IPv6: '::1',
        ...node,
      };
      const map = join(dir, 'map.json');
      const region = { RegionID: 1, RegionCode: 't', RegionName: 'Test', Nodes: [whole] };
      await writeFile(map, JSON.stringify({ Regions: { 1: region } }));
      return run('derpprobe', ['-once', '-spread=false', '-derp-map', `file://${map}`], env);
    }

    // Its TLS probe asks an authority even where the relay is pinned.
    test('derpprobe finds TLS, both STUN families and relaying good, by pin', async () => {
      const { code, output } = await probe({}, { SSL_CERT_FILE: certFile });
      assert.equal(code, 0, output);
      for (const name of ['t/1a/1a/mesh', 't/1a/tls', 't/1a/udp', 't/1a/udp6']) {
        assert.match(output, new RegExp(`good: derp/${name}: `), output);
      }
    });

    test('derpprobe agrees by the certificate as authority, too', async () => {
      const { code, output } = await probe({ CertName: '' }, { SSL_CERT_FILE: certFile });
      assert.equal(code, 0, output);
      assert.match(output, /good: derp\/t\/1a\/1a\/mesh: /);
    });

    test('derpprobe refuses another pin', async () => {
      const { output } = await probe({ CertName: `sha256-raw:${'0'.repeat(64)}` });
      assert.match(output, /bad: derp\/t\/1a\/1a\/mesh: /);
    });

    test('stunc learns its address over both families', async () => {
      for (const { address, port } of listener.stunAddresses) {
        const { code, output } = await run('stunc', [address, String(port)]);
        assert.equal(code, 0, output);
        const shown = address.includes(':') ? '[::1]' : '127.0.0.1';
        assert.ok(output.includes(`stun addr: ${shown}:`), output);
      }
    });
  });

  test('the stock client reads our metacert and starts fast', async () => {
    const derp = new DerpServer();
    const server = createHttpsServer({
      key: certificate.key,
      cert: certificate.cert + (await metacertPem(derp.publicKeyHex, Date.now())),
    });
    const fast: unknown[] = [];
    server.on('upgrade', (req) => fast.push(req.headers['derp-fast-start']));
    new DerpHttp(derp).attach(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const node = { Name: '1a', RegionID: 1, HostName: NAME, IPv4: '127.0.0.1', IPv6: 'none' };
    const region = {
      RegionID: 1,
      RegionCode: 't',
      RegionName: 'Test',
      Nodes: [{ ...node, DERPPort: port, STUNPort: -1, CertName: certificate.pin }],
    };
    const map = join(dir, 'fast.json');
    await writeFile(map, JSON.stringify({ Regions: { 1: region } }));
    const { output } = await run('derpprobe', [
      '-once',
      '-spread=false',
      '-derp-map',
      `file://${map}`,
    ]);
    assert.match(output, /good: derp\/t\/1a\/1a\/mesh: /, output);
    assert.ok(fast.length >= 2, output);
    assert.deepEqual(new Set(fast), new Set(['1']));
    await derp.close();
    server.close();
  });

  describe('the stock relay', () => {
    let derper: ChildProcess;
    let output = '';
    let port: number;
    let stunPort: number;

    before(async () => {
      port = await freePort();
      stunPort = await freePort();
      await writeFile(join(dir, `${NAME}.crt`), certificate.cert);
      await writeFile(join(dir, `${NAME}.key`), certificate.key, { mode: 0o600 });
      derper = spawn(
        find('derper')!,
        [
          ...['-a', `127.0.0.1:${port}`, '-c', join(dir, 'stock.key'), '-certmode', 'manual'],
          ...['-certdir', dir, '-hostname', NAME, '-http-port', '-1', '-stun-port', `${stunPort}`],
        ],
        { stdio: ['ignore', 'pipe', 'pipe'] },
      );
      for (const stream of [derper.stdout!, derper.stderr!]) {
        stream.on('data', (text) => (output += text));
      }
      await listening(port, () => output);
    });
    after(async () => {
      if (derper === undefined || derper.exitCode !== null) return;
      derper.kill();
      await once(derper, 'close');
    });

    interface Side {
      readonly client: DerpClient;
      readonly key: Uint8Array;
      readonly packets: string[];
      readonly gone: number[];
    }

    async function join2(
      node: Partial<DERPNode>,
      extra: Partial<DerpClientOptions> = {},
    ): Promise<[Side, Side]> {
      const one = async (): Promise<Side> => {
        const privateKey = PrivateKey.generate(randomBytes);
        const packets: string[] = [];
        const gone: number[] = [];
        const client = await DerpClient.connect({
          region: {
            RegionID: 1,
            Nodes: [
              {
                ...{ Name: '1a', RegionID: 1, HostName: NAME, IPv4: '127.0.0.1', IPv6: 'none' },
                DERPPort: port,
                ...node,
              },
            ],
          },
          privateKey,
          handler: {
            packet: (_source, packet) => packets.push(Buffer.from(packet).toString()),
            peerGone: (_key, why) => gone.push(why),
          },
          ...extra,
        });
        return { client, key: privateKey.publicBytes(nodeCrypto().x25519), packets, gone };
      };
      return [await one(), await one()];
    }

    const ways: Record<string, () => [Partial<DERPNode>, Partial<DerpClientOptions>]> = {
      'the certificate as authority': () => [{}, { ca: certificate.cert }],
      'the pin': () => [{ CertName: certificate.pin }, {}],
      'no verification': () => [{ InsecureForTests: true }, {}],
      WebSocket: () => [{ CertName: certificate.pin }, { transport: 'websocket' }],
    };
    for (const [name, way] of Object.entries(ways)) {
      test(`our clients exchange packets through it, by ${name}`, async () => {
        const [a, b] = await join2(...way());
        a.client.notePreferred(true);
        a.client.send(b.key, Buffer.from('from a'));
        b.client.send(a.key, Buffer.alloc(65_536, 'x'));
        a.client.send(randomBytes(32), Buffer.concat([DISCO_MAGIC, randomBytes(80)]));
        await eventually(() => b.packets.length === 1 && a.packets.length === 1);
        assert.deepEqual(b.packets, ['from a']);
        assert.equal(a.packets[0]?.length, 65_536);
        await eventually(() => a.gone.length === 1);
        await b.client.close();
        await eventually(() => a.gone.length === 2);
        assert.deepEqual(a.gone, [1, 0]);
        assert.ok((await a.client.ping()) < 5_000);
        await a.client.close();
      });
    }

    test('its STUN server answers our request', async () => {
      const socket = createSocket('udp4');
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      const txId = randomBytes(12);
      socket.send(encodeStunRequest(txId), stunPort, '127.0.0.1');
      const [datagram] = (await once(socket, 'message', {
        signal: AbortSignal.timeout(5_000),
      })) as [Buffer];
      const response = parseStunResponse(datagram);
      assert.deepEqual(Buffer.from(response!.txId), txId);
      assert.equal(formatAddr(response!.addr), '127.0.0.1');
      assert.equal(response!.port, socket.address().port);
      socket.close();
    });
  });
});

async function eventually(holds: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!holds()) {
    assert.ok(Date.now() < end, `not within 10 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function listening(port: number, output: () => string): Promise<void> {
  const end = Date.now() + 15_000;
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (open) return;
    assert.ok(Date.now() < end, `derper did not start\n${output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
