import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import express from 'express';
import { WebSocket, WebSocketServer } from 'ws';
import type { Conn } from './conn.ts';
import { hostPair, type TestHost } from './testing/hosts.ts';

let running: TestHost[] = [];

function hosts(): ReturnType<typeof hostPair> {
  const pair = hostPair();
  running.push(pair.client, pair.server);
  return pair;
}

afterEach(() => {
  for (const host of running) host.stop();
  running = [];
});

/** An http.Agent that opens its connections on the host. */
function agentOf(host: TestHost, keepAlive: boolean): Agent & { opened: Conn[] } {
  const opened: Conn[] = [];
  const agent = new Agent({ keepAlive, maxSockets: 10 });
  const createConnection = (options: { port?: number | string }): Conn => {
    const conn = host.newConn();
    opened.push(conn);
    return conn.connect(Number(options.port), '100.64.0.2');
  };
  return Object.assign(agent, { createConnection, opened });
}

async function call(
  agent: Agent,
  options: RequestOptions,
  body?: Buffer,
): Promise<{ status: number; body: Buffer; message: IncomingMessage }> {
  const req = request({ host: '100.64.0.2', port: 80, agent, ...options });
  req.end(body);
  const [message] = (await once(req, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return { status: message.statusCode!, body: Buffer.concat(chunks), message };
}

async function text(conn: Conn): Promise<string> {
  let all = '';
  for await (const chunk of conn) all += String(chunk);
  return all;
}

test('an http.Server and an http.Agent speak through connections, and keep them alive', async () => {
  const { client, server } = hosts();
  const http = createServer((req, res) =>
    res.end(`${req.method} ${req.url} from ${req.socket.remoteAddress}`),
  );
  const listener = server.listen(80).serve(http);
  const agent = agentOf(client, true);
  for (let i = 0; i < 5; i++) {
    const { status, body } = await call(agent, { path: `/${i}` });
    assert.equal(status, 200);
    assert.equal(body.toString(), `GET /${i} from 100.64.0.1`);
  }
  assert.equal(agent.opened.length, 1);
  agent.destroy();
  listener.close();
});

test('bodies of a mebibyte pass in both directions, ten at a time', async () => {
  const { client, server } = hosts();
  const http = createServer((req, res) => {
    res.setHeader('content-type', 'application/octet-stream');
    req.pipe(res);
  });
  const listener = server.listen(80).serve(http);
  const agent = agentOf(client, true);
  const data = randomBytes(1 << 20);
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      const { body } = await call(agent, { method: 'POST' }, data);
      assert.ok(body.equals(data));
    }),
  );
  assert.ok(agent.opened.length <= 10);
  agent.destroy();
  listener.close();
});

test('pipelined requests are answered in order', async () => {
  const { client, server } = hosts();
  const http = createServer(async (req, res) => {
    if (req.url === '/slow') await delay(30);
    res.end(req.url);
  });
  const listener = server.listen(80).serve(http);
  const conn = await client.dial(80);
  for (const path of ['/slow', '/b', '/c'])
    conn.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\n${path === '/c' ? 'Connection: close\r\n' : ''}\r\n`,
    );
  const all = await text(conn);
  assert.deepEqual(
    [...all.matchAll(/\r\n\r\n(?:[0-9a-f]+\r\n)?(\/[a-z]+)/g)].map((match) => match[1]),
    ['/slow', '/b', '/c'],
  );
  listener.close();
});

test('a client that ends its side after the request still gets its answer', async () => {
  const { client, server } = hosts();
  const http = createServer((req, res) => {
    req.resume();
    res.end('done');
  });
  const listener = server.listen(80).serve(http);
  const conn = await client.dial(80, { allowHalfOpen: true });
  conn.end('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(await text(conn), /done$/);
  listener.close();
});

test('an aborted request is seen by the server, an aborted response by the client', async () => {
  const { client, server } = hosts();
  const seen: string[] = [];
  const http = createServer((req, res) => {
    if (req.url === '/break') {
      res.writeHead(200, { 'content-length': '1000' });
      res.write('part');
      setTimeout(() => res.destroy(), 20);
      return;
    }
    res.on('close', () => seen.push(res.writableFinished ? 'finished' : 'aborted'));
  });
  const listener = server.listen(80).serve(http);
  const agent = agentOf(client, false);
  const req = request({ port: 80, agent, path: '/hang' });
  req.on('error', () => {});
  req.end();
  await once(http, 'request');
  req.destroy();
  await delay(100);
  assert.deepEqual(seen, ['aborted']);
  await assert.rejects(call(agent, { path: '/break' }), { code: 'ECONNRESET' });
  listener.close();
});

test('a request to a closed port fails with ECONNREFUSED', async () => {
  const { client } = hosts();
  await assert.rejects(call(agentOf(client, false), {}), { code: 'ECONNREFUSED', port: 80 });
});

test('request.setTimeout fires on a silent server', async () => {
  const { client, server } = hosts();
  const listener = server.listen(80).serve(createServer(() => {}));
  const req = request({ port: 80, agent: agentOf(client, false) });
  req.on('error', () => {});
  req.setTimeout(60);
  req.end();
  await once(req, 'timeout');
  req.destroy();
  listener.close();
});

test('an http.Server that never listened itself enforces its timeouts all the same', async () => {
  const { client, server } = hosts();
  const http = createServer({ headersTimeout: 50, connectionsCheckingInterval: 20 }, () => {});
  const listener = server.listen(80).serve(http);
  const conn = await client.dial(80);
  conn.write('GET / HTTP/1.1\r\nX-Slow: ');
  assert.match(await text(conn), /^HTTP\/1.1 408/);
  listener.close();
  http.closeAllConnections();
});

test('connections wait for whoever takes them, and are iterated once each', async () => {
  const { client, server } = hosts();
  const listener = server.listen(80);
  for (let i = 0; i < 3; i++) (await client.dial(80)).end(`${i}`);
  await delay(20);
  const got: string[] = [];
  for await (const conn of listener) {
    got.push(await text(conn));
    if (got.length === 3) setTimeout(() => listener.close(), 20);
  }
  assert.deepEqual(got.sort(), ['0', '1', '2']);
});

test('connections beyond the backlog and maxConnections are reset', async () => {
  const { client, server } = hosts();
  const listener = server.listen(80, { backlog: 2 });
  let dropped = 0;
  listener.on('drop', () => dropped++);
  const conns = await Promise.all([1, 2, 3].map(() => client.dial(80)));
  const reset = conns.map((conn) =>
    once(conn, 'error').then(([error]) => error as { code: string }),
  );
  assert.equal((await Promise.race(reset)).code, 'ECONNRESET');
  assert.equal(dropped, 1);
  const taken: Conn[] = [];
  listener.on('connection', (conn) => taken.push(conn));
  await delay(5);
  assert.equal(taken.length, 2);
  listener.maxConnections = 2;
  const late = await client.dial(80);
  const [error] = await once(late, 'error');
  assert.equal((error as { code: string }).code, 'ECONNRESET');
  listener.close();
});

test('close stops accepting at once and tells when the last connection has ended', async () => {
  const { client, server } = hosts();
  const listener = server.listen(80);
  const accepted = once(listener, 'connection');
  const near = await client.dial(80);
  const [far] = (await accepted) as [Conn];
  assert.deepEqual(listener.address(), { address: '::', family: 'IPv6', port: 80 });
  let closed = false;
  listener.close(() => {
    closed = true;
  });
  assert.equal(listener.listening, false);
  assert.equal(listener.address(), null);
  await assert.rejects(client.dial(80), { code: 'ECONNREFUSED' });
  assert.equal(closed, false);
  far.resume();
  near.end();
  await once(listener, 'close');
  assert.equal(closed, true);
  await assert.rejects(
    new Promise<void>((resolve, reject) => {
      listener.close((error) => (error ? reject(error) : resolve()));
    }),
    { code: 'ERR_CLOSED' },
  );
});

test('a second listener on a port is EADDRINUSE', () => {
  const { server } = hosts();
  const listener = server.listen(80);
  assert.throws(() => server.listen(80), { code: 'EADDRINUSE' });
  listener.close();
});

test('Express and ws run on a listener, and ws clients on connections', async () => {
  const { client, server } = hosts();
  const app = express();
  app.get('/hello/:name', (req, res) => {
    res.json({ hello: req.params['name'], ip: req.ip, secure: req.secure });
  });
  const http = createServer(app);
  const sockets = new WebSocketServer({ server: http });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`re: ${data}`)));
  const listener = server.listen(80).serve(http);
  const agent = agentOf(client, true);
  const { body } = await call(agent, { path: '/hello/world' });
  assert.deepEqual(JSON.parse(String(body)), { hello: 'world', ip: '100.64.0.1', secure: false });
  const ws = new WebSocket('ws://100.64.0.2/', { agent });
  await once(ws, 'open');
  const big = 'x'.repeat(300_000);
  for (const message of ['one', big]) {
    ws.send(message);
    assert.equal(String((await once(ws, 'message'))[0]), `re: ${message}`);
  }
  ws.close(1000, 'done');
  const [code] = await once(ws, 'close');
  assert.equal(code, 1000);
  agent.destroy();
  listener.close();
});
