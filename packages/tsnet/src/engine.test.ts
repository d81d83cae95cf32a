import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import { afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DerpClient } from '@cove/derp/client';
import { nodePublic, PrivateKey, publicBytes } from '@cove/protocol/keys';
import type { Conn } from './conn.ts';
import type { Engine } from './engine.ts';
import { testNode } from './testing/maps.ts';
import { crypto, TestTailnet, until } from './testing/tailnet.ts';

let open: TestTailnet | undefined;

async function tailnet(regions = 1): Promise<TestTailnet> {
  open = await TestTailnet.start(regions);
  return open;
}

afterEach(async () => {
  await open?.close();
  open = undefined;
});

async function fetchPage(from: Engine, address: string, port: number, path = '/'): Promise<string> {
  const agent = new Agent();
  agent.createConnection = (options) => from.newConn().connect(Number(options.port), options.host!);
  const [message] = (await once(get({ host: address, port, path, agent }), 'response')) as [
    IncomingMessage,
  ];
  let body = '';
  for await (const chunk of message) body += String(chunk);
  return body;
}

async function readAll(conn: Conn): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of conn) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('two engines speak HTTP through a relay, and know who is at the other end', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add({ User: 2 });
  net.publish();
  const http = createServer((req, res) => {
    const who = b.engine.whoIsAddr(req.socket.remoteAddress!)!;
    res.end(`${who.user.loginName} on ${who.node.computedName}`);
  });
  b.engine.listenTcp({ port: 80 }).serve(http);
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'alice@example.com on host1');
  assert.equal(await fetchPage(a.engine, 'fd7a:115c:a1e0::2', 80), 'alice@example.com on host1');
  assert.equal(await fetchPage(a.engine, 'host2', 80), 'alice@example.com on host1');
  assert.deepEqual(a.homes, [1]);
  assert.deepEqual(a.connected, [true]);
  const [status] = a.engine.peerStatus();
  assert.equal(status!.nodeKey, b.node.Key);
  assert.equal(status!.relay, 1);
  assert.equal(status!.active, true);
});

test('a transfer of 16 MiB arrives whole through the relay', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  const listener = b.engine.listenTcp({ port: 80 });
  listener.on('connection', (conn) => conn.pipe(conn));
  const conn = await a.engine.dialTcp({ address: '100.64.0.2', port: 80 });
  const data = randomBytes(16 << 20);
  const echo = readAll(conn);
  conn.end(data);
  assert.ok(data.equals(await echo));
});

test('a dial to oneself loops back', async () => {
  const net = await tailnet();
  const a = net.add();
  net.publish();
  a.engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('self')));
  assert.equal(await fetchPage(a.engine, '100.64.0.1', 80), 'self');
});

test('unknown names and addresses that no peer has fail at once', async () => {
  const net = await tailnet();
  const a = net.add();
  net.publish();
  await assert.rejects(a.engine.dialTcp({ address: 'nobody', port: 80 }), { code: 'ENOTFOUND' });
  await assert.rejects(a.engine.dialTcp({ address: '100.64.0.9', port: 80 }), {
    code: 'EHOSTUNREACH',
    address: '100.64.0.9',
  });
});

test('a closed port is ECONNREFUSED; a port the rules forbid too, without waiting', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  await assert.rejects(a.engine.dialTcp({ address: '100.64.0.2', port: 9 }), {
    code: 'ECONNREFUSED',
    syscall: 'connect',
    address: '100.64.0.2',
    port: 9,
  });
  const only80 = [{ SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 80, Last: 80 } }] }];
  b.engine.setNetworkMap(net.mapFor(b, { filterRules: only80 }));
  b.engine.listenTcp({ port: 81 });
  const started = performance.now();
  await assert.rejects(a.engine.dialTcp({ address: '100.64.0.2', port: 81 }), {
    code: 'ECONNREFUSED',
  });
  assert.ok(performance.now() - started < 2_000);
  assert.equal(b.engine.counters()['drop_in_no_rule'], 1);
});

test('without filter rules nothing comes in, and shields up keeps only replies', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  for (const { engine } of [a, b])
    engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('ok')));
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'ok');
  b.engine.setShieldsUp(true);
  await assert.rejects(a.engine.dialTcp({ address: '100.64.0.2', port: 80 }), {
    code: 'ECONNREFUSED',
  });
  assert.equal(await fetchPage(b.engine, '100.64.0.1', 80), 'ok', 'outbound works');
  b.engine.setShieldsUp(false);
  b.engine.setNetworkMap(net.mapFor(b, { filterRules: [] }));
  await assert.rejects(a.engine.dialTcp({ address: '100.64.0.2', port: 80 }), {
    code: 'ECONNREFUSED',
  });
});

test('datagrams pass both ways, and replies to what was sent need no rule', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  const server = b.engine.listenUdp({ port: 53 });
  server.on('message', (bytes, from) => server.send(`re: ${bytes}`, from.port, from.address));
  a.engine.setNetworkMap(net.mapFor(a, { filterRules: [] }));
  const client = a.engine.listenUdp({ port: 0 });
  client.send('question', 53, '100.64.0.2');
  const [reply, from] = await once(client, 'message');
  assert.equal(String(reply), 're: question');
  assert.deepEqual(
    { ...(from as object) },
    { address: '100.64.0.2', family: 'IPv4', port: 53, size: 12, localAddress: '100.64.0.1' },
  );
});

test('pings of all three kinds are answered', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  const address = '100.64.0.2';
  const disco = await a.engine.ping({ address, type: 'disco' });
  assert.equal(disco.relay, 1);
  const tsmp = await a.engine.ping({ address, type: 'tsmp' });
  assert.equal(tsmp.peerApiPort, b.engine.peerApiPort);
  const icmp = await a.engine.ping({ address, type: 'icmp' });
  assert.ok(icmp.roundTripTime > 0 && icmp.roundTripTime < 1000);
  b.engine.setNetworkMap(net.mapFor(b, { filterRules: [] }));
  await a.engine.ping({ address, type: 'tsmp' });
  await a.engine.ping({ address, type: 'disco' });
  await assert.rejects(a.engine.ping({ address, type: 'icmp', timeout: 100 }), {
    code: 'ETIMEDOUT',
  });
});

test('peerapi answers nodes whatever the filter says, and only to its own Host', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  b.engine.setNetworkMap(net.mapFor(b, { filterRules: [] }));
  const port = b.engine.peerApiPort;
  assert.ok(port >= 32768 && port <= 65535);
  assert.match(await fetchPage(a.engine, '100.64.0.2', port), /Hello, Alice \(100\.64\.0\.1\)/);
  assert.match(await fetchPage(a.engine, '100.64.0.2', port, '/v0/nothing'), /unsupported/);
  const raw = await a.engine.dialTcp({ address: '100.64.0.2', port });
  raw.end('GET / HTTP/1.1\r\nHost: evil.example:80\r\nConnection: close\r\n\r\n');
  assert.match(String(await readAll(raw)), /^HTTP\/1.1 403/);
});

test('packets with a source address that is not the peer’s are dropped', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  const c = net.add();
  net.publish();
  // a believes to be c, and b to have c's address behind it: a's packets carry c's source address.
  const asC = { ...a.node, Addresses: c.node.Addresses, AllowedIPs: c.node.Addresses };
  a.engine.setNetworkMap({
    ...net.mapFor(a),
    self: asC,
    peers: new Map([[b.id, b.node]]),
  });
  b.engine.listenTcp({ port: 80 });
  const abort = AbortSignal.timeout(300);
  await assert.rejects(a.engine.dialTcp({ address: '100.64.0.2', port: 80, signal: abort }), {
    name: 'TimeoutError',
  });
  assert.ok(b.engine.counters()['wireguard_wrong_source']! >= 1);
});

test('routes to subnets are used only when accepted, and belong to their most specific peer', async () => {
  const net = await tailnet();
  const a = net.add({}, { acceptRoutes: true });
  const b = net.add();
  const c = net.add();
  b.node = { ...b.node, AllowedIPs: [...b.node.Addresses, '192.0.2.0/24'] };
  c.node = { ...c.node, AllowedIPs: [...c.node.Addresses, '192.0.2.128/25'] };
  net.publish();
  assert.equal(a.engine.routesTo('192.0.2.1'), true);
  assert.equal(b.engine.routesTo('192.0.2.200'), false);
  // b sends as 192.0.2.x: fine for its own half, spoofed for the half that is c's, whom a never spoke to.
  const udp = a.engine.listenUdp({ port: 9 });
  const heard: string[] = [];
  udp.on('message', (_bytes, from) => heard.push(from.address));
  for (const address of ['192.0.2.200', '192.0.2.1']) {
    const self = { ...b.node, Addresses: [...b.node.Addresses, `${address}/32`] };
    b.engine.setNetworkMap({ ...net.mapFor(b), self });
    const from = b.engine.listenUdp({ port: 0, address });
    from.send('x', 9, '100.64.0.1');
    const dropped = (): number => a.engine.counters()['drop_in_not_local']!;
    await until(() => dropped() + heard.length === (address === '192.0.2.1' ? 2 : 1), address);
    from.close();
  }
  assert.deepEqual(heard, ['192.0.2.1']);
  assert.equal(a.engine.whoIsAddr('192.0.2.1'), undefined, 'who sits behind a router is unknown');
});

test('a jailed peer can be reached and cannot reach', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  for (const { engine } of [a, b])
    engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('ok')));
  const jailed = { ...b.node, IsJailed: true };
  a.engine.setNetworkMap({ ...net.mapFor(a), peers: new Map([[b.id, jailed]]) });
  await assert.rejects(b.engine.dialTcp({ address: '100.64.0.1', port: 80 }), {
    code: 'ECONNREFUSED',
  });
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'ok');
  a.engine.setNetworkMap(net.mapFor(a));
  assert.equal(await fetchPage(b.engine, '100.64.0.1', 80), 'ok', 'set free');
});

test('rules that name a peer outside the tailnet lock allow nothing', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  a.engine.listenTcp({ port: 80 });
  const unsigned = { ...b.node, UnsignedPeerAPIOnly: true };
  a.engine.setNetworkMap({ ...net.mapFor(a), peers: new Map([[b.id, unsigned]]) });
  await assert.rejects(b.engine.dialTcp({ address: '100.64.0.1', port: 80 }), {
    code: 'ECONNREFUSED',
  });
  const port = a.engine.peerApiPort;
  assert.match(await fetchPage(b.engine, '100.64.0.1', port), /Hello/);
});

test('forged and garbage packets are counted and dropped, whoever sends them', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  const region = net.derpMap.Regions!['1']!;
  const handler = { packet: () => {} };
  const stranger = await DerpClient.connect({
    region,
    privateKey: PrivateKey.generate(crypto.randomBytes),
    handler,
  });
  const to = b.nodeKey.publicBytes(crypto.x25519);
  for (let i = 0; i < 20; i++) stranger.send(to, randomBytes(148));
  await until(() => b.engine.counters()['drop_in_unknown_source'] === 20, 'strangers dropped');
  await stranger.close();
  // The same key as a, without a's WireGuard: the relay vouches for it.
  const forger = await DerpClient.connect({ region, privateKey: a.nodeKey, handler });
  for (let length = 1; length <= 200; length += 3) {
    const garbage = randomBytes(length);
    garbage[0] = length % 6;
    garbage.fill(0, Math.min(1, length), Math.min(4, length));
    forger.send(to, garbage);
  }
  const disco = randomBytes(200);
  disco.set([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]);
  forger.send(to, disco);
  await until(() => b.engine.counters()['drop_in_disco'] === 1, 'garbage disco dropped');
  const counters = b.engine.counters();
  assert.ok(counters['wireguard_malformed']! > 0);
  assert.equal(counters['packets_in'], 0);
  await forger.close();
  b.engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('alive')));
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'alive');
});

test('peers in different home regions reach each other', async () => {
  const net = await tailnet(2);
  const one = { Regions: { '1': net.derpMap.Regions!['1']! } };
  const a = net.add({ HomeDERP: 1 });
  const b = net.add({ HomeDERP: 2 });
  const noHome1 = {
    Regions: {
      '1': { ...net.derpMap.Regions!['1']!, NoMeasureNoHome: true },
      '2': net.derpMap.Regions!['2']!,
    },
  };
  const noHome2 = {
    Regions: {
      '1': net.derpMap.Regions!['1']!,
      '2': { ...net.derpMap.Regions!['2']!, NoMeasureNoHome: true },
    },
  };
  a.engine.setNetworkMap(net.mapFor(a, { derpMap: noHome2 }));
  b.engine.setNetworkMap(net.mapFor(b, { derpMap: noHome1 }));
  b.engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('over there')));
  assert.deepEqual([a.homes, b.homes], [[1], [2]]);
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'over there');
  assert.equal(a.engine.peerStatus()[0]!.relay, 2);
  assert.ok(one);
});

test('with several regions the home is measured, and chosen', async () => {
  const net = await tailnet(3);
  const latency: Record<string, number>[] = [];
  const a = net.add(
    {},
    {
      callbacks: {
        homeDerp: (region) => homes.push(region),
        derpConnected: () => {},
        netInfo: (info) => latency.push({ ...info.DERPLatency }),
      },
    },
  );
  const homes: number[] = [];
  net.publish();
  await until(() => homes.length > 0, 'a home');
  assert.ok([1, 2, 3].includes(homes[0]!));
  assert.deepEqual(Object.keys(latency[0]!).sort(), ['1-v4', '2-v4', '3-v4']);
  assert.equal(a.engine.homeDerp, homes[0]);
});

test('a relay that goes and comes back carries on', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  b.engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('still here')));
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'still here');
  const { port } = net.relays[1]!.addresses[0]!;
  await net.relays[1]!.close();
  await until(() => a.connected.length === 2, 'the loss is noticed');
  assert.deepEqual(a.connected, [true, false]);
  await net.startRelay(1, port);
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'still here');
  assert.deepEqual(a.connected, [true, false, true]);
});

test('a peer that restarts with new keys of discovery is reached again', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  b.engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('first')));
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'first');
  await b.engine.close();
  const again = net.add({}, { nodeKey: b.nodeKey });
  again.node = { ...b.node, DiscoKey: again.node.DiscoKey! };
  net.engines.splice(net.engines.indexOf(b), 1);
  again.engine.setNetworkMap(net.mapFor(again));
  await until(() => again.connected.length > 0, 'the new one is at its relay');
  net.publish();
  again.engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('second')));
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'second');
});

test('a peer that restarts while control is away tells its new disco key through the tunnel', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add({ Hostinfo: { App: 'cove' } });
  net.publish();
  await a.engine.ping({ address: '100.64.0.2', type: 'tsmp' });
  await b.engine.close();
  const again = net.add({}, { nodeKey: b.nodeKey });
  again.node = { ...b.node, DiscoKey: again.node.DiscoKey! };
  net.engines.splice(net.engines.indexOf(b), 1);
  a.node = { ...a.node, Hostinfo: { App: 'cove' } };
  again.engine.setNetworkMap(net.mapFor(again));
  await until(() => again.connected.length > 0, 'the new one is at its relay');
  await assert.rejects(a.engine.ping({ address: '100.64.0.2', type: 'disco', timeout: 100 }));
  await again.engine.ping({ address: '100.64.0.1', type: 'tsmp' });
  await a.engine.ping({ address: '100.64.0.2', type: 'disco' });
});

test('a ping is as long as wanted, and its pong as short as ever', async () => {
  const net = await tailnet();
  const a = net.add();
  net.add();
  net.publish();
  const ping = (size: number): Promise<unknown> =>
    a.engine.ping({ address: '100.64.0.2', type: 'disco', size });
  await ping(124);
  const before = net.relays[1]!.derp.metrics().bytesReceived;
  await ping(9_000);
  const grown = net.relays[1]!.derp.metrics().bytesReceived - before;
  assert.ok(grown >= 9_000 && grown < 10_000, `${grown} bytes`);
  for (const size of [123, 9_001, 500.5]) await assert.rejects(ping(size), RangeError);
});

test('close ends the pings under way', async () => {
  const net = await tailnet();
  const a = net.add();
  net.add();
  a.engine.setNetworkMap(net.mapFor(a));
  const pings = (['disco', 'tsmp', 'icmp'] as const).map((type) =>
    assert.rejects(a.engine.ping({ address: '100.64.0.2', type }), { code: 'ERR_CLOSED' }),
  );
  await a.engine.close();
  await Promise.all(pings);
  await assert.rejects(a.engine.ping({ address: '100.64.0.2', type: 'tsmp' }), {
    code: 'ERR_CLOSED',
  });
});

test('a node whose key is renewed keeps its listeners and its open connections', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  const listener = b.engine.listenTcp({ port: 80 });
  listener.on('connection', (conn) => conn.pipe(conn));
  const conn = await a.engine.dialTcp({ address: '100.64.0.2', port: 80 });
  conn.write('before');
  assert.equal(String((await once(conn, 'data'))[0]), 'before');
  const renewed = PrivateKey.generate(crypto.randomBytes);
  b.engine.setNodeKey(renewed);
  b.node = { ...b.node, Key: nodePublic(renewed.publicBytes(crypto.x25519)) };
  await until(() => b.connected.length === 3, 'b is back at its relay');
  net.publish();
  conn.write('after');
  assert.equal(String((await once(conn, 'data'))[0]), 'after');
});

test('a peer removed from the map can neither be reached nor reach', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  b.engine.listenTcp({ port: 80 }).serve(createServer((_req, res) => res.end('ok')));
  assert.equal(await fetchPage(a.engine, '100.64.0.2', 80), 'ok');
  b.engine.setNetworkMap({ ...net.mapFor(b), peers: new Map() });
  assert.equal(b.engine.whoIsAddr('100.64.0.1'), undefined);
  await assert.rejects(
    a.engine.dialTcp({ address: '100.64.0.2', port: 80, signal: AbortSignal.timeout(200) }),
    { name: 'TimeoutError' },
  );
  await assert.rejects(b.engine.dialTcp({ address: '100.64.0.1', port: 80 }), {
    code: 'EHOSTUNREACH',
  });
});

test('close resets connections, ends listeners and refuses everything after', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  const listener = b.engine.listenTcp({ port: 80 });
  const accepted = once(listener, 'connection');
  const near = await a.engine.dialTcp({ address: '100.64.0.2', port: 80 });
  const [far] = (await accepted) as [Conn];
  const failed = once(near, 'error').catch(() => []);
  const ended = Promise.race([failed, once(near, 'end')]);
  far.on('error', () => {});
  near.resume();
  await b.engine.close();
  await ended;
  assert.equal(far.destroyed, true);
  assert.equal(listener.listening, false);
  assert.throws(() => b.engine.listenTcp({ port: 81 }), { code: 'ERR_CLOSED' });
  await b.engine.close();
});

test('nothing of a connection stays in memory after it is over', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  const alive: WeakRef<Conn>[] = [];
  b.engine.listenTcp({ port: 80 }).on('connection', (conn) => {
    alive.push(new WeakRef(conn));
    conn.pipe(conn);
  });
  const load = async (): Promise<number> => {
    await Promise.all(
      Array.from({ length: 30 }, async () => {
        const conn = await a.engine.dialTcp({ address: '100.64.0.2', port: 80 });
        alive.push(new WeakRef(conn));
        const echo = readAll(conn);
        conn.end(randomBytes(128 << 10));
        await echo;
      }),
    );
    await delay(50);
    gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  await load();
  const before = await load();
  // What is kept grows with every load; what waits for the collector does not.
  const grown = Math.min(await load(), await load(), await load()) - before;
  const left = alive.filter((ref) => ref.deref() !== undefined).length;
  assert.ok(left < 30, `${left} of ${alive.length} connections are still there`);
  assert.ok(grown < 24 << 20, `${grown} bytes more`);
});

test('nothing of a dial stays in memory when it is given up', { timeout: 20_000 }, async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const net = await tailnet();
  const a = net.add();
  net.add();
  net.publish();
  const dial = async (): Promise<WeakRef<Conn>> => {
    const conn = a.engine.newConn();
    const failed = once(conn, 'error').catch(() => {});
    const controller = new AbortController();
    conn.on('error', () => {});
    conn.connect({ host: '100.64.0.2', port: 80, signal: controller.signal });
    controller.abort(new Error('enough'));
    await failed;
    return new WeakRef(conn);
  };
  const alive = await Promise.all(Array.from({ length: 50 }, dial));
  let left = alive.length;
  for (let i = 0; i < 20 && left > 5; i++) {
    await delay(20);
    gc();
    left = alive.filter((ref) => ref.deref() !== undefined).length;
  }
  assert.ok(left <= 5, `${left} of ${alive.length} are still there`);
});

test('garbage, forgeries and replays by UDP are counted and dropped, and change no path', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  net.publish();
  await until(() => b.engine.endpoints.length > 0, 'b knows where it is');
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const port = Number(/:(\d+)$/.exec(b.engine.endpoints[0]!.addrPort)![1]);
  let answers = 0;
  socket.on('message', () => answers++);
  const send = (bytes: Uint8Array): void => socket.send(bytes, port, '127.0.0.1');
  for (const length of [0, 1, 31]) send(new Uint8Array(length).fill(7));
  const stun = Buffer.from('010100002112a442000000000000000000000000', 'hex');
  send(stun);
  for (const type of [1, 2, 3, 4, 5, 200]) {
    const garbage = randomBytes(148);
    garbage.set([type, 0, 0, 0]);
    send(garbage);
  }
  const disco = randomBytes(120);
  disco.set([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]);
  send(disco);
  // From a's disco key, which b knows, but not sealed with it.
  const forged = Uint8Array.from(disco);
  forged.set(publicBytes(a.node.DiscoKey!), 6);
  send(forged);
  const counted = (): Readonly<Record<string, number>> => b.engine.counters();
  await until(() => counted()['drop_in_disco_malformed'] === 1, 'everything arrived');
  assert.equal(counted()['drop_in_noise'], 3);
  assert.equal(counted()['drop_in_stun'], 1);
  assert.equal(counted()['drop_in_disco'], 1);
  assert.equal(counted()['udp_packets_in'], 6);
  assert.equal(counted()['wireguard_malformed']! + counted()['wireguard_bad_mac1']!, 5);
  assert.equal(counted()['wireguard_unknown_index'], 1);
  assert.equal(answers, 0);
  assert.equal(b.engine.peerStatus().length, 0);
  socket.close();
});

test('two thousand peers that do not speak cost no timer and next to no time', async () => {
  const net = await tailnet();
  const a = net.add();
  const b = net.add();
  const crowd = Array.from({ length: 2_000 }, (_, i) => {
    const key = randomBytes(32).toString('hex');
    return testNode(1_000 + i, {
      Key: `nodekey:${key}`,
      DiscoKey: `discokey:${key}`,
      Addresses: [`100.65.${i >> 8}.${i & 255}/32`],
      AllowedIPs: [`100.65.${i >> 8}.${i & 255}/32`],
      Endpoints: [`192.0.2.1:${i + 1}`, `[2001:db8::1]:${i + 1}`],
    });
  });
  const map = net.mapFor(a);
  const peers = new Map([...map.peers, ...crowd.map((node) => [node.ID, node] as const)]);
  a.engine.setNetworkMap({ ...map, peers });
  b.engine.setNetworkMap(net.mapFor(b));
  await a.engine.ping({ address: '100.64.0.2', type: 'tsmp' });
  const before = process.cpuUsage();
  await delay(500);
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 250_000, `${user + system} us of 500,000`);
  assert.equal(a.engine.peerStatus().length, 1);
});
