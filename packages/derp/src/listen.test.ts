import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect as netConnect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { after, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { PrivateKey } from '@cove/protocol/keys';
import { formatAddr } from '@cove/protocol/netaddr';
import { encodeStunRequest, parseStunResponse } from '@cove/protocol/stun';
import type { DERPNode } from '@cove/protocol/tailcfg';
import { loadMetacert, loadRelayKey, loadSelfSigned } from './certdir.ts';
import { DerpClient, DerpError } from './client.ts';
import { type DerpListener, listenDerp } from './listen.ts';
import { METACERT_RENEWAL_MS, metacertPem } from './metacert.ts';
import { certificatePin } from './pin.ts';
import { StunServer } from './stunserver.ts';
import { VirtualClock } from './testing/harness.ts';
import { selfSignedCertificate } from './x509.ts';

const dirs: string[] = [];
async function newDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'derp-'));
  dirs.push(dir);
  return join(dir, 'relay');
}
after(async () => {
  for (const dir of dirs) await rm(dir, { recursive: true, force: true });
});

const DAY = 86_400_000;
const hasIPv6: boolean = Object.values(networkInterfaces()).some((list) =>
  list?.some((entry) => entry.address === '::1'),
);

function connectTo(node: DERPNode, ca?: string): Promise<DerpClient> {
  return DerpClient.connect({
    region: { RegionID: 1, Nodes: [node] },
    privateKey: PrivateKey.generate(randomBytes),
    handler: { packet() {} },
    ...(ca === undefined ? {} : { ca }),
  });
}

async function outcome(node: DERPNode, ca?: string): Promise<string> {
  try {
    await (await connectTo(node, ca)).close();
    return 'connected';
  } catch (error) {
    assert.ok(error instanceof DerpError, String(error));
    return error.code;
  }
}

test('a relay on two addresses serves TLS and STUN under its pin, and keeps its identity', async () => {
  const certDir = await newDir();
  const start = (): Promise<DerpListener> =>
    listenDerp({
      host: ['127.0.0.1', '127.0.0.2'],
      port: 0,
      stunPort: 0,
      httpPort: 0,
      certDir,
      hostnames: ['localhost', 'relay.test', '127.0.0.1', '::1'],
    });
  const listener = await start();
  assert.deepEqual(
    listener.addresses.map((entry) => entry.address),
    ['127.0.0.1', '127.0.0.2'],
  );
  assert.equal(listener.addresses[0]!.port, listener.addresses[1]!.port);
  const node = listener.derpNode({ Name: '1a', RegionID: 1, HostName: '127.0.0.1' });
  assert.equal(node.STUNPort, listener.stunAddresses[0]!.port);
  const client = await connectTo(node);
  assert.equal(client.serverKey, listener.publicKey);
  assert.equal(await outcome({ ...node, HostName: '127.0.0.2' }), 'connected');
  const clear = `http://127.0.0.1:${listener.httpAddresses[0]!.port}`;
  assert.equal((await fetch(`${clear}/generate_204`)).status, 204);
  await listener.close();
  assert.equal(await outcome(node), 'ERR_UNREACHABLE');
  const again = await start();
  assert.equal(again.publicKey, listener.publicKey);
  assert.equal(again.certPin, listener.certPin);
  await again[Symbol.asyncDispose]();
});

test('TLS is verified as the map says: name, other name, pin, or not at all', async () => {
  const certDir = await newDir();
  const listener = await listenDerp({
    port: 0,
    stunPort: false,
    certDir,
    hostnames: ['relay.test', '127.0.0.1'],
  });
  const { cert } = await loadSelfSigned(certDir, ['relay.test']);
  const base: DERPNode = {
    Name: '1a',
    RegionID: 1,
    HostName: 'relay.test',
    IPv4: '127.0.0.1',
    IPv6: 'none',
    DERPPort: listener.addresses[0]!.port,
  };
  const pin = listener.certPin!;
  const wrongPin = pin.slice(0, -1) + (pin.endsWith('0') ? '1' : '0');
  const cases: readonly (readonly [string, DERPNode, string | undefined, string])[] = [
    ['authority and name', base, cert, 'connected'],
    ['authority, IP literal', { ...base, HostName: '127.0.0.1' }, cert, 'connected'],
    ['no authority', base, undefined, 'ERR_CERTIFICATE'],
    ['authority, another name', { ...base, HostName: 'other.test' }, cert, 'ERR_CERTIFICATE'],
    ['CertName', { ...base, HostName: 'other.test', CertName: 'relay.test' }, cert, 'connected'],
    ['another CertName', { ...base, CertName: 'other.test' }, cert, 'ERR_CERTIFICATE'],
    ['pin', { ...base, CertName: pin }, undefined, 'connected'],
    [
      'pin in upper case',
      { ...base, CertName: `sha256-raw:${pin.slice(11).toUpperCase()}` },
      undefined,
      'connected',
    ],
    ['another pin', { ...base, CertName: wrongPin }, undefined, 'ERR_CERTIFICATE'],
    [
      'another pin, insecure',
      { ...base, CertName: wrongPin, InsecureForTests: true },
      undefined,
      'ERR_CERTIFICATE',
    ],
    [
      'pin, name not held',
      { ...base, HostName: 'other.test', CertName: pin },
      undefined,
      'ERR_CERTIFICATE',
    ],
    ['pin, IP not held', { ...base, HostName: '127.0.0.9', CertName: pin }, undefined, 'connected'],
    ['insecure', { ...base, InsecureForTests: true }, undefined, 'connected'],
    [
      'insecure, another name',
      { ...base, HostName: 'o.test', InsecureForTests: true },
      undefined,
      'connected',
    ],
  ];
  for (const [name, node, ca, expected] of cases) {
    assert.equal(await outcome(node, ca), expected, name);
  }
  await listener.close();
});

/** The DER certificates of a TLS 1.2 server, from its Certificate message (RFC 5246 section 7.4.2). */
async function certificatesSent(host: string, port: number): Promise<Buffer[]> {
  const socket = netConnect(port, host);
  await once(socket, 'connect');
  let stream = Buffer.alloc(0);
  const [near, far] = duplexPair();
  socket.on('data', (data) => {
    stream = Buffer.concat([stream, data]);
    far.write(data);
  });
  far.on('data', (data: Buffer) => socket.write(data));
  const tls = tlsConnect({ socket: near, maxVersion: 'TLSv1.2', rejectUnauthorized: false });
  await once(tls, 'secureConnect');
  tls.destroy();
  socket.destroy();
  // Handshake records carry a stream of messages: type u8, length u24. Type 11 is Certificate.
  const records: Buffer[] = [];
  for (
    let at = 0;
    at + 5 <= stream.length && stream[at] === 22;
    at += 5 + stream.readUInt16BE(at + 3)
  ) {
    records.push(stream.subarray(at + 5, at + 5 + stream.readUInt16BE(at + 3)));
  }
  const messages = Buffer.concat(records);
  let at = 0;
  while (messages[at] !== 11) at += 4 + messages.readUIntBE(at + 1, 3);
  const list = messages.subarray(at + 7, at + 4 + messages.readUIntBE(at + 1, 3));
  const out: Buffer[] = [];
  for (let i = 0; i < list.length; i += 3 + list.readUIntBE(i, 3)) {
    out.push(list.subarray(i + 3, i + 3 + list.readUIntBE(i, 3)));
  }
  return out;
}

test('a certificate from elsewhere is served, and a pinned one must be within its dates', async () => {
  const now = Date.now();
  for (const [from, to, expected] of [
    [-1, 1, 'connected'],
    [-2, -1, 'ERR_CERTIFICATE'],
    [1, 2, 'ERR_CERTIFICATE'],
  ] as const) {
    const certificate = await selfSignedCertificate({
      keyType: 'P-256',
      commonName: 'x',
      serial: '01',
      notBefore: new Date(now + from * DAY),
      notAfter: new Date(now + to * DAY),
      names: ['127.0.0.1'],
    });
    const listener = await listenDerp({
      port: 0,
      stunPort: false,
      certDir: await newDir(),
      certificate,
    });
    const node = listener.derpNode({ Name: '1a', RegionID: 1, HostName: '127.0.0.1' });
    assert.equal(node.CertName, undefined);
    assert.equal(await outcome({ ...node, CertName: listener.certPin! }), expected);
    await listener.close();
  }
});

test('the metacert stands behind the certificate and names the relay key', async () => {
  const certDir = await newDir();
  const listener = await listenDerp({ port: 0, stunPort: false, certDir });
  const { address, port } = listener.addresses[0]!;
  // Node shows only certificates that sign each other; the handshake in clear (TLS 1.2) shows what was sent.
  const sent = await certificatesSent(address, port);
  assert.equal(sent.length, 2);
  assert.equal(certificatePin(sent[0]!), listener.certPin);
  const meta = new X509Certificate(sent[1]!);
  assert.equal(meta.subject, `CN=derpkey${listener.derp.publicKeyHex}`);
  assert.equal(meta.issuer, meta.subject);
  assert.equal(meta.serialNumber, '02');
  assert.equal(meta.verify(meta.publicKey), true);
  assert.equal(meta.publicKey.asymmetricKeyType, 'ed25519');
  await listener.close();
});

test('a metacert is valid for 30 days both ways', async () => {
  const now = Date.UTC(2026, 10, 21);
  const meta = new X509Certificate(await metacertPem('ab'.repeat(32), now));
  assert.equal(Date.parse(meta.validFrom), now - 30 * DAY);
  assert.equal(Date.parse(meta.validTo), now + 30 * DAY);
  assert.equal(meta.ca, false);
});

test('a relay ends although somebody connected and says nothing, or is no WebSocket client of ours', {
  timeout: 20_000,
}, async () => {
  const certDir = await newDir();
  const listener = await listenDerp({ port: 0, httpPort: 0, stunPort: false, certDir });
  const ports = [listener.addresses[0]!.port, listener.httpAddresses[0]!.port];
  const sockets = ports.map((port) => netConnect(port, '127.0.0.1').on('error', () => {}));
  const upgrade = netConnect(ports[1]!, '127.0.0.1').on('error', () => {});
  const gone = [...sockets, upgrade].map((socket) => once(socket, 'close'));
  try {
    for (const socket of sockets) await once(socket, 'connect');
    upgrade.write(
      'GET /derp HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    await once(upgrade, 'data');
    const late = new Promise((resolve) => setTimeout(resolve, 3_000, 'late').unref());
    assert.notEqual(await Promise.race([listener.close(), late]), 'late');
    for (const socket of [...sockets, upgrade]) socket.resume();
    await Promise.all(gone);
  } finally {
    for (const socket of [...sockets, upgrade]) socket.destroy();
    await listener.close();
  }
});

test('a metacert that cannot be renewed is tried again, and the relay goes on', {
  timeout: 20_000,
}, async () => {
  const certDir = await newDir();
  const clock = new VirtualClock();
  const listener = await listenDerp({ port: 0, stunPort: false, certDir, clock });
  try {
    const path = join(certDir, 'derpmeta.pem');
    // What neither can be read nor replaced.
    await rm(path);
    await mkdir(join(path, 'in the way'), { recursive: true });
    clock.advance(METACERT_RENEWAL_MS);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await rm(path, { recursive: true });
    clock.advance(METACERT_RENEWAL_MS);
    const deadline = performance.now() + 5_000;
    while (!existsSync(path) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.ok(existsSync(path));
    const node = listener.derpNode({ Name: '1a', RegionID: 1, HostName: '127.0.0.1' });
    assert.equal(await outcome(node), 'connected');
  } finally {
    await listener.close();
  }
});

test('random TLS noise and plain HTTP at the TLS port leave it serving', async () => {
  const certDir = await newDir();
  const listener = await listenDerp({ port: 0, stunPort: false, certDir });
  const { port } = listener.addresses[0]!;
  for (const bytes of [
    randomBytes(500),
    'GET / HTTP/1.1\r\n\r\n',
    Buffer.from('16030100050100', 'hex'),
  ]) {
    const socket = netConnect(port, '127.0.0.1');
    socket.on('error', () => {});
    // What is not read keeps the end from being seen.
    socket.resume();
    socket.write(bytes);
    socket.end();
    await once(socket, 'close');
  }
  const tls = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(tls, 'secureConnect');
  tls.resume();
  tls.write(randomBytes(300));
  await once(tls, 'close');
  const node = listener.derpNode({ Name: '1a', RegionID: 1, HostName: '127.0.0.1' });
  assert.equal(await outcome(node), 'connected');
  await listener.close();
});

test('a port in use rejects and leaves nothing open', async () => {
  const certDir = await newDir();
  const first = await listenDerp({ port: 0, stunPort: false, certDir });
  const { port } = first.addresses[0]!;
  await assert.rejects(
    listenDerp({ host: ['127.0.0.2', '127.0.0.1'], port, stunPort: false, certDir }),
    { code: 'EADDRINUSE' },
  );
  const other = await listenDerp({ host: '127.0.0.2', port, stunPort: false, certDir });
  await other.close();
  await first.close();
});

test('without TLS only a client that is told so connects', async () => {
  const certDir = await newDir();
  const listener = await listenDerp({ port: 0, stunPort: false, certDir, tls: false });
  const node = listener.derpNode({ Name: '1a', RegionID: 1, HostName: '127.0.0.1' });
  assert.equal(listener.certPin, undefined);
  assert.equal(node.CertName, undefined);
  assert.equal(await outcome(node), 'ERR_UNREACHABLE');
  await listener.close();
});

test('the kept certificate is 0600, reused, and made anew for another name, near its end, or when broken', async () => {
  const dir = await newDir();
  const now = Date.UTC(2026, 10, 21);
  const first = await loadSelfSigned(dir, ['a.test', '10.0.0.1', '2001:db8::1'], now);
  const x509 = new X509Certificate(first.cert);
  assert.equal(
    x509.subjectAltName,
    'DNS:a.test, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1',
  );
  assert.equal(x509.verify(x509.publicKey), true);
  assert.equal((await stat(join(dir, 'derp.pem'))).mode & 0o777, 0o600);
  assert.deepEqual(await loadSelfSigned(dir, ['2001:db8::1', 'a.test'], now + 365 * DAY), first);
  const renewed = await loadSelfSigned(dir, ['a.test'], now + 9.5 * 365 * DAY);
  assert.notEqual(renewed.pin, first.pin);
  const named = await loadSelfSigned(dir, ['b.test'], now + 9.5 * 365 * DAY);
  assert.notEqual(named.pin, renewed.pin);
  await writeFile(join(dir, 'derp.pem'), 'broken');
  assert.notEqual((await loadSelfSigned(dir, ['b.test'], now)).pin, named.pin);
  assert.deepEqual(await readdir(dir), ['derp.pem']);
  await assert.rejects(loadSelfSigned(dir, []), RangeError);
});

test('the metacert is 0600, reused, and made anew for another key, near its end, or when broken', async () => {
  const dir = await newDir();
  const path = join(dir, 'derpmeta.pem');
  const now = Date.UTC(2026, 10, 21);
  const [key, other] = ['ab'.repeat(32), 'cd'.repeat(32)];
  const first = await loadMetacert(dir, key, now);
  assert.equal(new X509Certificate(first).subject, `CN=derpkey${key}`);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal(await loadMetacert(dir, key, now + 15 * DAY), first);
  const renewed = await loadMetacert(dir, key, now + 17 * DAY);
  assert.notEqual(renewed, first);
  assert.equal(Date.parse(new X509Certificate(renewed).validTo), now + 47 * DAY);
  assert.notEqual(await loadMetacert(dir, key, now - 60 * DAY), renewed);
  assert.equal(
    new X509Certificate(await loadMetacert(dir, other, now)).subject,
    `CN=derpkey${other}`,
  );
  await writeFile(path, 'broken');
  assert.ok(new X509Certificate(await loadMetacert(dir, other, now)));
  assert.deepEqual(await readdir(dir), ['derpmeta.pem']);
});

test('the relay key is kept as stock relays keep it, and a broken file is not overwritten', async () => {
  const dir = await newDir();
  const key = await loadRelayKey(dir);
  const path = join(dir, 'derper.key');
  assert.deepEqual(JSON.parse(await readFile(path, 'utf8')), { PrivateKey: key.exposeText() });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await loadRelayKey(dir)).exposeText(), key.exposeText());
  await writeFile(path, '{"PrivateKey":"privkey:00"}');
  await assert.rejects(loadRelayKey(dir), { code: 'ERR_BAD_KEY' });
  assert.equal(await readFile(path, 'utf8'), '{"PrivateKey":"privkey:00"}');
});

test('STUN answers a node with its address and no one else at all', async () => {
  const server = await StunServer.listen(hasIPv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'], 0);
  for (const { address, port, family } of server.addresses) {
    const socket = createSocket(family === 'IPv6' ? 'udp6' : 'udp4');
    socket.bind(0, address);
    await once(socket, 'listening');
    const txId = randomBytes(12);
    socket.send(randomBytes(40), port, address);
    socket.send(encodeStunRequest(txId).subarray(0, 39), port, address);
    socket.send(encodeStunRequest(txId), port, address);
    const [datagram] = (await once(socket, 'message')) as [Buffer];
    const response = parseStunResponse(datagram)!;
    assert.equal(datagram.length, family === 'IPv6' ? 44 : 32);
    assert.deepEqual(Buffer.from(response.txId), txId);
    assert.equal(formatAddr(response.addr), address);
    assert.equal(response.port, socket.address().port);
    socket.close();
  }
  assert.deepEqual(server.metrics, {
    answered: hasIPv6 ? 2 : 1,
    ignored: hasIPv6 ? 4 : 2,
    sendErrors: 0,
  });
  await assert.rejects(StunServer.listen(['127.0.0.1'], server.addresses[0]!.port), {
    code: 'EADDRINUSE',
  });
  await server.close();
});

test('a STUN request from port 0 gets no answer, and one that cannot be sent is an error counted', async (t) => {
  let socket: Socket | undefined;
  const bind = Socket.prototype.bind;
  t.mock.method(Socket.prototype, 'bind', function (this: Socket, ...args: unknown[]) {
    socket = this;
    return (bind as (...args: unknown[]) => Socket).apply(this, args);
  });
  const server = await StunServer.listen(['127.0.0.1'], 0);
  const from = { address: '127.0.0.1', family: 'IPv4', size: 40 };
  socket!.emit('message', encodeStunRequest(randomBytes(12)), { ...from, port: 0 });
  assert.deepEqual(server.metrics, { answered: 0, ignored: 1, sendErrors: 0 });
  await server.close();
  socket!.emit('message', encodeStunRequest(randomBytes(12)), { ...from, port: 9 });
  assert.deepEqual(server.metrics, { answered: 1, ignored: 1, sendErrors: 1 });
});

test('STUN answers do not pile up where the system takes none', { timeout: 10_000 }, async (t) => {
  let socket: Socket | undefined;
  const bind = Socket.prototype.bind;
  t.mock.method(Socket.prototype, 'bind', function (this: Socket, ...args: unknown[]) {
    socket = this;
    return (bind as (...args: unknown[]) => Socket).apply(this, args);
  });
  const server = await StunServer.listen(['127.0.0.1'], 0);
  try {
    let queued = 0;
    t.mock.method(socket!, 'send', (bytes: Uint8Array) => {
      queued += bytes.length;
    });
    t.mock.method(socket!, 'getSendQueueSize', () => queued);
    const from = { address: '192.0.2.1', family: 'IPv4', size: 40, port: 7 };
    for (let i = 0; i < 10_000; i++)
      socket!.emit('message', encodeStunRequest(randomBytes(12)), from);
    assert.ok(queued > 60_000 && queued < 70_000, `${queued} bytes wait`);
    assert.equal(server.metrics.sendErrors, 10_000 - Math.ceil(queued / 32));
  } finally {
    await server.close();
  }
});

test('a STUN server on :: alone answers IPv4 too, with the plain address', {
  skip: hasIPv6 ? false : 'no IPv6 here',
}, async () => {
  const server = await StunServer.listen(['::'], 0);
  const socket = createSocket('udp4');
  socket.send(encodeStunRequest(randomBytes(12)), server.addresses[0]!.port, '127.0.0.1');
  const [datagram] = (await once(socket, 'message')) as [Buffer];
  assert.equal(formatAddr(parseStunResponse(datagram)!.addr), '127.0.0.1');
  socket.close();
  await server.close();
});
