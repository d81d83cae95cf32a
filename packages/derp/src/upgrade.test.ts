import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { FrameType } from '@cove/protocol/derp';
import { WebSocket } from 'ws';
import { DerpServer } from './server.ts';
import { RawClient } from './testing/harness.ts';
import { DerpHttp } from './upgrade.ts';

async function serve(
  prepare: (http: Server, derp: DerpHttp) => void = (http, derp) => derp.attach(http),
): Promise<{ derp: DerpServer; url: string; port: number; close(): Promise<void> }> {
  const derp = new DerpServer();
  const http = createServer();
  prepare(http, new DerpHttp(derp));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as { port: number };
  return {
    derp,
    port,
    url: `http://127.0.0.1:${port}`,
    async close() {
      await derp.close();
      http.closeAllConnections();
      http.close();
    },
  };
}

/** Sends bytes; resolves with what comes back until the other side closes or `enough` holds. */
function exchange(
  port: number,
  bytes: string | Uint8Array,
  enough = (_: Buffer) => false,
  timeoutMs = 3000,
): Promise<Buffer> {
  return new Promise((resolve) => {
    let got = Buffer.alloc(0);
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(got);
    };
    const timer = setTimeout(done, timeoutMs);
    socket.on('data', (data) => {
      got = Buffer.concat([got, data]);
      if (enough(got)) done();
    });
    socket.on('error', done);
    socket.on('close', done);
  });
}

const UPGRADE = 'GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ';

test('the upgrade answers 101 with version and key, then ServerKey, in whatever case it was asked', async () => {
  const server = await serve();
  for (const name of ['DERP', 'derp']) {
    const got = await exchange(server.port, `${UPGRADE}${name}\r\n\r\n`, (b) =>
      b.includes('DERP\xf0', 0, 'latin1'),
    );
    const head = got.toString('latin1');
    assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
    assert.match(head, /\r\nUpgrade: DERP\r\n/);
    assert.match(head, /\r\nConnection: Upgrade\r\n/);
    assert.match(head, /\r\nDerp-Version: 2\r\n/);
    assert.ok(head.includes(`\r\nDerp-Public-Key: ${server.derp.publicKeyHex}\r\n`));
    const frame = got.subarray(head.indexOf('\r\n\r\n') + 4);
    assert.equal(frame.subarray(0, 5).toString('hex'), '0100000028');
  }
  await server.close();
});

test('fast start: no HTTP response, frames at once, and ClientInfo in the same segment is read', async () => {
  const server = await serve();
  const socket = connect(server.port, '127.0.0.1');
  const client = new RawClient(socket);
  // With fast start the key is known before: here from the server itself.
  client.frames.push({
    type: FrameType.serverKey,
    payload: Buffer.concat([
      Buffer.from('44455250f09f9491', 'hex'),
      Buffer.from(server.derp.publicKeyHex, 'hex'),
    ]),
  });
  socket.write(
    Buffer.concat([
      Buffer.from(`${UPGRADE}DERP\r\nDerp-Fast-Start: 1\r\n\r\n`),
      client.clientInfo(),
    ]),
  );
  const deadline = Date.now() + 3000;
  while (!client.frames.some((f) => f.type === FrameType.serverInfo) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(
    client.frames.map((frame) => frame.type),
    [FrameType.serverKey, FrameType.serverKey, FrameType.serverInfo],
  );
  assert.equal(server.derp.has(client.nodeKey), true);
  socket.destroy();
  await server.close();
});

test('without or with another upgrade /derp is 426; other paths are 404', async () => {
  const server = await serve();
  assert.equal((await fetch(`${server.url}/derp`)).status, 426);
  assert.match(
    (await exchange(server.port, `${UPGRADE}h2c\r\n\r\n`)).toString(),
    /^HTTP\/1\.1 426 /,
  );
  assert.equal((await fetch(`${server.url}/nothing`)).status, 404);
  const elsewhere = UPGRADE.replace('/derp', '/other');
  assert.match(
    (await exchange(server.port, `${elsewhere}DERP\r\n\r\n`)).toString(),
    /^HTTP\/1\.1 404 /,
  );
  await server.close();
});

test('a refused upgrade holds no socket, even of a client that never closes', async () => {
  let http!: Server;
  const server = await serve((made, derp) => {
    http = made;
    derp.attach(made);
  });
  for (const head of [UPGRADE, UPGRADE.replace('/derp', '/other')]) {
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(`${head}h2c\r\n\r\n`);
    let got = '';
    socket.on('data', (data) => {
      got += data;
    });
    await once(socket, 'end');
    assert.match(got, /^HTTP\/1\.1 4/);
    let left = 1;
    for (let i = 0; i < 100 && left > 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      left = await new Promise<number>((resolve) => {
        http.getConnections((_, count) => resolve(count));
      });
    }
    assert.equal(left, 0);
    socket.destroy();
  }
  await server.close();
});

test('probes, captive portal check and pages', async () => {
  const server = await serve();
  for (const path of ['/derp/probe', '/derp/latency-check?x=1']) {
    for (const method of ['GET', 'HEAD']) {
      const response = await fetch(server.url + path, { method });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('access-control-allow-origin'), '*');
      assert.equal(await response.text(), '');
    }
    assert.equal((await fetch(server.url + path, { method: 'POST' })).status, 405);
  }
  const portal = await fetch(`${server.url}/generate_204`, {
    headers: { 'X-Tailscale-Challenge': 'ts_derp1.example:3' },
  });
  assert.equal(portal.status, 204);
  assert.equal(portal.headers.get('x-tailscale-response'), 'response ts_derp1.example:3');
  assert.match(portal.headers.get('cache-control')!, /no-store/);
  for (const challenge of ['', 'a b', 'x'.repeat(65), '<script>']) {
    const response = await fetch(`${server.url}/generate_204`, {
      headers: { 'X-Tailscale-Challenge': challenge },
    });
    assert.equal(response.headers.get('x-tailscale-response'), null, challenge);
  }
  assert.match(await (await fetch(server.url)).text(), /DERP server/);
  assert.equal(
    await (await fetch(`${server.url}/robots.txt`)).text(),
    'User-agent: *\nDisallow: /\n',
  );
  await server.close();
});

test('beside other handlers it takes only what is its own', async () => {
  const server = await serve((http, derp) => {
    http.on('request', (req, res) => {
      if (!derp.handleRequest(req, res)) res.end('mine');
    });
    http.on('upgrade', (req, socket, head) => {
      if (!derp.handleUpgrade(req, socket, head)) socket.end('my upgrade');
    });
  });
  assert.equal(await (await fetch(server.url)).text(), 'mine');
  assert.equal((await fetch(`${server.url}/derp/probe`)).status, 200);
  const elsewhere = UPGRADE.replace('/derp', '/ts2021');
  assert.equal((await exchange(server.port, `${elsewhere}x\r\n\r\n`)).toString(), 'my upgrade');
  await server.close();
});

test('WebSocket: without subprotocol derp 1008, text 1003, and the wrong version is an HTTP error', async () => {
  const server = await serve();
  const url = `ws://127.0.0.1:${server.port}/derp`;
  const plain = new WebSocket(url);
  assert.equal((await once(plain, 'close'))[0], 1008);
  const other = new WebSocket(url, ['chat', 'derp']);
  await once(other, 'open');
  assert.equal(other.protocol, 'derp');
  other.send('text');
  assert.equal((await once(other, 'close'))[0], 1003);
  const old = `${UPGRADE}websocket\r\nSec-WebSocket-Version: 1\r\n\r\n`;
  assert.match((await exchange(server.port, old)).toString(), /^HTTP\/1\.1 400 /);
  await server.close();
});

test('random bytes at the port, before and after the upgrade, leave it serving', async () => {
  const server = await serve();
  const heads = [
    '',
    `${UPGRADE}DERP\r\n\r\n`,
    `${UPGRADE}DERP\r\nDerp-Fast-Start: 1\r\n\r\n`,
    UPGRADE,
  ];
  for (let i = 0; i < 40; i++) {
    const bytes = Buffer.concat([Buffer.from(heads[i % heads.length]!), randomBytes(1 + i * 20)]);
    await exchange(server.port, bytes, (got) => got.length > 0, 100);
  }
  assert.equal((await fetch(`${server.url}/derp/probe`)).status, 200);
  assert.equal(server.derp.metrics().peers, 0);
  await server.close();
});
