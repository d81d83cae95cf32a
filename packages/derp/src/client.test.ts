import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import dns from 'node:dns/promises';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { createServer, type Server, type Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { boxSharedKey } from '@cove/protocol/crypto';
import {
  encodeFrame,
  encodeRestarting,
  encodeServerKey,
  FrameReader,
  FrameType,
  SERVER_FRAME_LIMITS,
} from '@cove/protocol/derp';
import { openClientInfo, parseClientInfo, sealServerInfo } from '@cove/protocol/derpinfo';
import { DISCO_MAGIC } from '@cove/protocol/disco';
import { PrivateKey } from '@cove/protocol/keys';
import type { DERPNode } from '@cove/protocol/tailcfg';
import { Backoff } from './backoff.ts';
import { DerpClient, type DerpClientOptions, DerpError } from './client.ts';
import { DerpServer } from './server.ts';
import { crypto, settle, VirtualClock } from './testing/harness.ts';
import { DerpHttp } from './upgrade.ts';

const NODE: DERPNode = { Name: '1a', RegionID: 1, HostName: '127.0.0.1' };

interface Seen {
  readonly packets: string[];
  readonly gone: { key: Uint8Array; reason: number }[];
  readonly health: string[];
  readonly restarts: number[][];
  readonly closed: (DerpError | undefined)[];
}

function options(extra: Partial<DerpClientOptions> = {}): {
  options: DerpClientOptions;
  seen: Seen;
} {
  const seen: Seen = { packets: [], gone: [], health: [], restarts: [], closed: [] };
  const handler = {
    packet: (_source: Uint8Array, packet: Uint8Array) => {
      seen.packets.push(Buffer.from(packet).toString());
    },
    peerGone: (key: Uint8Array, reason: number) => {
      seen.gone.push({ key: new Uint8Array(key), reason });
    },
    health: (problem: string) => {
      seen.health.push(problem);
    },
    restarting: (...times: number[]) => {
      seen.restarts.push(times);
    },
    closed: (error: DerpError | undefined) => {
      seen.closed.push(error);
    },
  };
  return {
    seen,
    options: {
      region: { RegionID: 1, Nodes: [NODE] },
      privateKey: PrivateKey.generate(randomBytes),
      handler,
      ...extra,
    },
  };
}

const code =
  (wanted: string) =>
  (error: unknown): boolean =>
    error instanceof DerpError && error.code === wanted;

/** A relay on loopback without TLS. */
async function relay(verify?: () => boolean): Promise<{
  derp: DerpServer;
  region: { RegionID: number; Nodes: DERPNode[] };
  close(): Promise<void>;
}> {
  const derp = new DerpServer(verify === undefined ? {} : { verify });
  const http = createHttpServer();
  new DerpHttp(derp).attach(http);
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as { port: number };
  return {
    derp,
    region: { RegionID: 1, Nodes: [{ ...NODE, DERPPort: port }] },
    async close() {
      await derp.close();
      http.closeAllConnections();
      http.close();
    },
  };
}

/** A relay played by the test, over a stream in memory that is already upgraded to by hand. */
class FakeRelay {
  readonly key: PrivateKey = PrivateKey.generate(randomBytes);
  readonly frames: { type: number; payload: Uint8Array }[] = [];
  stream: Duplex | undefined;
  clientKey: Uint8Array | undefined;

  readonly dial = async (): Promise<Duplex> => {
    const [near, far] = duplexPair();
    far.once('close', () => near.destroy());
    near.once('close', () => far.destroy());
    far.on('error', () => {});
    this.stream = far;
    far.once('data', () => {
      far.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n');
      this.begin();
      const reader = new FrameReader(SERVER_FRAME_LIMITS, (type, payload) =>
        this.#frame(type, new Uint8Array(payload)),
      );
      far.on('data', (chunk: Uint8Array) => reader.push(chunk));
    });
    return near;
  };

  /** What it says first. */
  begin(): void {
    this.stream!.write(encodeServerKey(this.key.publicBytes(crypto.x25519)));
  }

  /** What it says to ClientInfo. */
  admit(shared: Uint8Array): void {
    this.stream!.write(sealServerInfo(shared, randomBytes(24), { version: 2 }));
  }

  #frame(type: number, payload: Uint8Array): void {
    this.frames.push({ type, payload });
    if (type !== FrameType.clientInfo) return;
    const { publicKey, nonce, box } = parseClientInfo(payload);
    this.clientKey = publicKey;
    const shared = boxSharedKey(crypto.x25519, this.key.expose(), publicKey);
    openClientInfo(shared, nonce, box);
    this.admit(shared);
  }
}

for (const transport of ['upgrade', 'websocket'] as const) {
  test(`two clients exchange packets over ${transport}, and learn when one is gone`, async () => {
    const server = await relay();
    const a = options({ region: server.region, plain: true, transport });
    const b = options({ region: server.region, plain: true, transport });
    const clientA = await DerpClient.connect(a.options);
    const clientB = await DerpClient.connect(b.options);
    assert.equal(clientA.serverKey, server.derp.publicKey);
    const keyA = a.options.privateKey.publicBytes(crypto.x25519);
    const keyB = b.options.privateKey.publicBytes(crypto.x25519);
    const big = 'x'.repeat(65_536);
    for (const text of ['one', '', big]) assert.equal(clientA.send(keyB, Buffer.from(text)), true);
    clientA.notePreferred(true);
    await clientA.ping();
    await clientB.ping();
    assert.deepEqual(b.seen.packets, ['one', '', big]);
    assert.equal(server.derp.metrics().homeConnections, 1);
    assert.equal(clientA.localAddress, '127.0.0.1');
    await clientA.close();
    await clientB.ping();
    assert.deepEqual(b.seen.gone, [{ key: keyA, reason: 0 }]);
    assert.deepEqual(a.seen.closed, [undefined]);
    assert.equal(clientA.send(keyB, Buffer.from('late')), false);
    assert.equal(clientA.metrics.droppedClosed, 1);
    await assert.rejects(clientA.ping(), code('ERR_CLOSED'));
    await server.close();
  });
}

test('thousands of packets arrive in order as long as the receiver keeps up', async () => {
  const server = await relay();
  const a = options({ region: server.region, plain: true });
  const clientA = await DerpClient.connect(a.options);
  const keyA = a.options.privateKey.publicBytes(crypto.x25519);
  for (let burst = 0; burst < 100; burst++) {
    for (let i = 0; i < 30; i++) clientA.send(keyA, Buffer.from(String(burst * 30 + i)));
    await clientA.ping();
  }
  assert.deepEqual(
    a.seen.packets,
    Array.from({ length: 3000 }, (_, i) => String(i)),
  );
  await clientA.close();
  await server.close();
});

test('a key that is not admitted gets ERR_CLOSED', async () => {
  const server = await relay(() => false);
  const { options: o, seen } = options({ region: server.region, plain: true });
  await assert.rejects(DerpClient.connect(o), code('ERR_CLOSED'));
  assert.deepEqual(seen.closed, []);
  await server.close();
});

test('when the relay goes, closed says so and pending pings end', async () => {
  const fake = new FakeRelay();
  const { options: o, seen } = options({ dial: fake.dial });
  const client = await DerpClient.connect(o);
  const ping = client.ping();
  await settle();
  fake.stream!.end();
  await assert.rejects(ping, code('ERR_CLOSED'));
  assert.deepEqual(
    seen.closed.map((error) => error?.code),
    ['ERR_CLOSED'],
  );
  assert.equal(client.isOpen, false);
});

test('pings of the relay are answered; health, restart and peer gone are passed on', async () => {
  const fake = new FakeRelay();
  const { options: o, seen } = options({ dial: fake.dial });
  const client = await DerpClient.connect(o);
  const key = randomBytes(32);
  for (const frame of [
    encodeFrame(FrameType.ping, Buffer.from('12345678')),
    encodeFrame(FrameType.health, Buffer.from('sick')),
    encodeFrame(FrameType.health),
    encodeRestarting(10, 20),
    encodeFrame(FrameType.peerGone, key, Uint8Array.of(1)),
    encodeFrame(FrameType.keepAlive),
    encodeFrame(0x55, new Uint8Array(100)),
    encodeFrame(FrameType.recvPacket, key, Buffer.from('p')),
  ]) {
    fake.stream!.write(frame);
  }
  await settle();
  const pong = fake.frames.find((frame) => frame.type === FrameType.pong);
  assert.equal(Buffer.from(pong!.payload).toString(), '12345678');
  assert.deepEqual(seen.health, ['sick', '']);
  assert.deepEqual(seen.restarts, [[10, 20]]);
  assert.deepEqual(seen.gone, [{ key: new Uint8Array(key), reason: 1 }]);
  assert.deepEqual(seen.packets, ['p']);
  await client.close();
});

test('a relay that does not speak DERP is ERR_PROTOCOL', async () => {
  const starts: Record<string, (fake: FakeRelay) => void> = {
    'another magic': (fake) => {
      const frame = encodeServerKey(new Uint8Array(32).fill(9));
      frame[6]! ^= 1;
      fake.stream!.write(frame);
    },
    'another first frame': (fake) => fake.stream!.write(encodeFrame(FrameType.keepAlive)),
    'a short key': (fake) => fake.stream!.write(encodeFrame(FrameType.serverKey, randomBytes(39))),
    'a huge frame': (fake) => fake.stream!.write(Uint8Array.of(1, 0xff, 0xff, 0xff, 0xff)),
    'a zero key': (fake) => fake.stream!.write(encodeServerKey(new Uint8Array(32))),
    'more HTTP': (fake) => fake.stream!.write('HTTP/1.1 200 OK\r\n\r\n'),
  };
  for (const [name, begin] of Object.entries(starts)) {
    const fake = new FakeRelay();
    fake.begin = () => begin(fake);
    await assert.rejects(
      DerpClient.connect(options({ dial: fake.dial }).options),
      code('ERR_PROTOCOL'),
      name,
    );
  }
  const fake = new FakeRelay();
  fake.admit = () => {
    fake.stream!.write(sealServerInfo(randomBytes(32), randomBytes(24), { version: 2 }));
  };
  await assert.rejects(
    DerpClient.connect(options({ dial: fake.dial }).options),
    code('ERR_PROTOCOL'),
  );
});

test('garbage after the greeting closes with ERR_PROTOCOL, once', async () => {
  const fake = new FakeRelay();
  const { options: o, seen } = options({ dial: fake.dial });
  await DerpClient.connect(o);
  fake.stream!.write(encodeFrame(FrameType.recvPacket, new Uint8Array(31)));
  await settle();
  assert.deepEqual(
    seen.closed.map((error) => error?.code),
    ['ERR_PROTOCOL'],
  );
});

test('a rate that the relay sets is kept here: what is over it is dropped', async () => {
  const clock = new VirtualClock();
  const fake = new FakeRelay();
  fake.admit = (shared) => {
    fake.stream!.write(
      sealServerInfo(shared, randomBytes(24), {
        version: 2,
        tokenBucketBytesPerSecond: 1000,
        tokenBucketBytesBurst: 300,
      }),
    );
  };
  const client = await DerpClient.connect(options({ dial: fake.dial, clock }).options);
  // 5 + 32 + 63 bytes each.
  const results = Array.from({ length: 4 }, () => client.send(randomBytes(32), new Uint8Array(63)));
  assert.deepEqual(results, [true, true, true, false]);
  clock.advance(100);
  assert.equal(client.send(randomBytes(32), new Uint8Array(63)), true);
  assert.equal(client.metrics.droppedRate, 1);
  await client.close();
});

test('to a relay that reads nothing 32 packets and 32 of disco wait; the rest is dropped', async () => {
  const fake = new FakeRelay();
  const client = await DerpClient.connect(options({ dial: fake.dial }).options);
  fake.stream!.pause();
  const disco = Buffer.concat([DISCO_MAGIC, new Uint8Array(100)]);
  const to = randomBytes(32);
  for (let i = 0; i < 1000; i++) client.send(to, new Uint8Array(1200));
  for (let i = 0; i < 100; i++) client.send(to, disco);
  await settle();
  const { droppedQueueHead } = client.metrics;
  assert.ok(droppedQueueHead > 900 && droppedQueueHead < 1100 - 64, `${droppedQueueHead} dropped`);
  fake.stream!.resume();
  await client.close();
});

test('120 s without a frame, or 10 s without progress in writing, end the connection', async () => {
  for (const [name, writes] of [
    ['silent', false],
    ['stuck', true],
  ] as const) {
    const clock = new VirtualClock();
    const fake = new FakeRelay();
    const { options: o, seen } = options({ dial: fake.dial, clock });
    const client = await DerpClient.connect(o);
    await settle();
    if (writes) {
      fake.stream!.pause();
      await settle();
      for (let i = 0; i < 200; i++) client.send(randomBytes(32), new Uint8Array(1200));
      await settle();
    }
    clock.advance(writes ? 8_000 : 119_000);
    assert.equal(client.isOpen, true, name);
    clock.advance(3_000);
    assert.deepEqual(
      seen.closed.map((error) => error?.code),
      ['ERR_TIMEOUT'],
      name,
    );
  }
});

test('KeepAlive every 60 s keeps a silent connection', async () => {
  const clock = new VirtualClock();
  const fake = new FakeRelay();
  const client = await DerpClient.connect(options({ dial: fake.dial, clock }).options);
  for (let i = 0; i < 5; i++) {
    clock.advance(60_000);
    fake.stream!.write(encodeFrame(FrameType.keepAlive));
    await settle();
  }
  assert.equal(client.isOpen, true);
  assert.equal(client.lastReceivedAt, clock.now());
  await client.close();
});

test('a ping without answer is ERR_TIMEOUT, an aborted one ends with its reason', async () => {
  const clock = new VirtualClock();
  const fake = new FakeRelay();
  const client = await DerpClient.connect(options({ dial: fake.dial, clock }).options);
  const ping = client.ping({ timeoutMs: 3000 });
  clock.advance(3000);
  await assert.rejects(ping, code('ERR_TIMEOUT'));
  const abort = new AbortController();
  const other = client.ping({ signal: abort.signal });
  abort.abort(new Error('enough'));
  await assert.rejects(other, /enough/);
  await client.close();
});

test('connecting is given up after 10 s, or when the signal says so, at any step', async () => {
  const silent = async (): Promise<Duplex> => {
    const [near, far] = duplexPair();
    near.once('close', () => far.destroy());
    return near;
  };
  const keyless = new FakeRelay();
  keyless.begin = () => {};
  const infoless = new FakeRelay();
  infoless.admit = () => {};
  for (const dial of [silent, keyless.dial, infoless.dial]) {
    const clock = new VirtualClock();
    const late = DerpClient.connect(options({ dial, clock }).options);
    await settle();
    clock.advance(10_000);
    await assert.rejects(late, code('ERR_TIMEOUT'));
    const abort = new AbortController();
    const stopped = DerpClient.connect(options({ dial, signal: abort.signal }).options);
    await settle();
    abort.abort(new Error('never mind'));
    await assert.rejects(stopped, /never mind/);
  }
  const aborted = AbortSignal.abort(new Error('before'));
  await assert.rejects(
    DerpClient.connect(options({ dial: silent, signal: aborted }).options),
    /before/,
  );
});

/** A TCP server that does one thing with each connection. */
async function tcp(
  onConnection: (socket: Socket) => void,
): Promise<{ port: number; server: Server }> {
  const server = createServer(onConnection).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, server };
}

test('nodes are tried in order, STUN-only ones left out; the ideal one is named to another', async () => {
  const server = await relay();
  let asked = '';
  const { port, server: deaf } = await tcp((socket) => {
    socket.once('data', (data) => {
      asked = data.toString();
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
    });
  });
  const good = server.region.Nodes[0]!;
  const Nodes = [
    { ...NODE, Name: 'stun', STUNOnly: true, DERPPort: good.DERPPort! },
    { ...NODE, Name: 'deaf', DERPPort: port },
    { ...good, Name: 'good' },
  ];
  const connect = (nodes: DERPNode[]): Promise<DerpClient> =>
    DerpClient.connect(options({ region: { RegionID: 1, Nodes: nodes }, plain: true }).options);
  const client = await connect(Nodes);
  assert.equal(client.node.Name, 'good');
  assert.match(asked, /^GET \/derp HTTP\/1\.1\r\n/);
  assert.match(asked, /\r\nIdeal-Node: stun\r\n/);
  assert.match(asked, new RegExp(`\r\nHost: 127\\.0\\.0\\.1:${port}\r\n`));
  await assert.rejects(connect(Nodes.slice(0, 2)), code('ERR_REFUSED'));
  await assert.rejects(connect(Nodes.slice(0, 1)), code('ERR_UNREACHABLE'));
  await client.close();
  deaf.close();
  await assert.rejects(connect([{ ...NODE, DERPPort: port }]), code('ERR_UNREACHABLE'));
  await assert.rejects(connect([{ ...NODE, IPv4: 'none', IPv6: 'none' }]), code('ERR_UNREACHABLE'));
  await server.close();
});

test('a port or host name that is none is ERR_UNREACHABLE; the next node is tried', {
  timeout: 10_000,
}, async () => {
  const good = await relay();
  const odd = createServer();
  odd.listen(0, '127.0.0.1');
  await once(odd, 'listening');
  try {
    const { port } = odd.address() as { port: number };
    const left = once(odd, 'connection').then(([socket]) =>
      once((socket as Socket).resume(), 'close'),
    );
    const nodes: DERPNode[] = [
      { ...NODE, DERPPort: 70_000 },
      { ...NODE, DERPPort: -1 },
      { ...NODE, HostName: 'two\nlines', IPv4: '127.0.0.1', IPv6: 'none', DERPPort: port },
    ];
    const connect = (Nodes: DERPNode[]): Promise<DerpClient> =>
      DerpClient.connect(options({ region: { RegionID: 1, Nodes }, plain: true }).options);
    for (const node of nodes) await assert.rejects(connect([node]), code('ERR_UNREACHABLE'));
    await left;
    await (await connect([...nodes.slice(0, 2), ...good.region.Nodes])).close();
  } finally {
    odd.close();
    await good.close();
  }
});

test('a name that the resolver says nothing of is asked for once, however often it is dialled', {
  timeout: 20_000,
}, async (t) => {
  const asked: string[] = [];
  let answer = (_found: { address: string; family: number }): void => {};
  const silent = new Promise<{ address: string; family: number }>((resolve) => {
    answer = resolve;
  });
  t.mock.method(dns, 'lookup', (host: string, { family }: { family: number }) => {
    asked.push(`${host} ${family}`);
    return silent;
  });
  syncBuiltinESMExports();
  const good = await relay();
  try {
    const [node] = good.region.Nodes;
    const named = { ...node!, HostName: 'silent.example' };
    const dial = (): Promise<DerpClient> =>
      DerpClient.connect(options({ region: { RegionID: 1, Nodes: [named] }, plain: true }).options);
    await Promise.all(
      [dial(), dial(), dial()].map((one) => assert.rejects(one, code('ERR_TIMEOUT'))),
    );
    assert.deepEqual(asked, ['silent.example 6', 'silent.example 4']);
    answer({ address: '127.0.0.1', family: 4 });
    await settle();
    await (await dial()).close();
    assert.equal(asked.length, 4, 'an answer holds for those who waited for it');
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
    await good.close();
  }
});

test('a host name is looked up, and a family that does not answer loses to the other', async () => {
  const server = await relay();
  const { DERPPort } = server.region.Nodes[0]!;
  // The relay listens on 127.0.0.1 only: ::1 refuses.
  for (const node of [
    { HostName: 'localhost' },
    { HostName: 'relay.invalid', IPv4: '127.0.0.1', IPv6: '::1' },
    { HostName: 'relay.invalid', IPv4: '127.0.0.1', IPv6: 'none' },
    { HostName: 'relay.invalid', IPv4: '127.0.0.1' },
  ]) {
    const region = { RegionID: 1, Nodes: [{ ...NODE, ...node, DERPPort: DERPPort! }] };
    const client = await DerpClient.connect(
      options({ region, plain: true, preferIPv6: true }).options,
    );
    await client.close();
  }
  await server.close();
});

test('waiting grows with the square of failures up to 5 s and starts anew after success', () => {
  const backoff = new Backoff(() => 0.5);
  assert.deepEqual(
    Array.from({ length: 4 }, () => backoff.next()),
    [10, 40, 90, 160],
  );
  for (let i = 0; i < 30; i++) backoff.next();
  assert.equal(backoff.next(), 5000);
  backoff.reset();
  assert.equal(backoff.next(), 10);
  assert.equal(new Backoff(() => 0).next(), 5);
});
