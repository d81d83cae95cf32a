// HTTP clients over a node: http, https and fetch, with a dialer that stands in for the tunnel.
import assert from 'node:assert/strict';
import { createServer, get, type IncomingMessage, request, type Server } from 'node:http';
import https from 'node:https';
import { type AddressInfo, connect, createServer as createTcp } from 'node:net';
import { after, before, test } from 'node:test';
import {
  type DialTarget,
  TailnetAgent,
  type TailnetDialer,
  TailnetHttpsAgent,
  undiciConnector,
} from './agent.ts';
import { type FetchAgents, fetchThrough } from './fetch.ts';

/** Every host is of the tailnet and is the server of this test. */
class FakeDialer implements TailnetDialer {
  readonly dialled: DialTarget[] = [];
  port = 0;
  up = true;
  #waiting: (() => void)[] = [];

  reaches(host: string): boolean | undefined {
    return this.up ? host !== '127.0.0.1' : undefined;
  }

  async running(): Promise<void> {
    if (!this.up) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  start(): void {
    this.up = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  connect(target: DialTarget) {
    this.dialled.push(target);
    return connect({ host: '127.0.0.1', port: this.port });
  }
}

let server: Server;
const dialer = new FakeDialer();
before(async () => {
  server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const url = new URL(req.url!, 'http://x');
      const to = url.searchParams.get('to');
      if (to !== null) {
        res.writeHead(Number(url.pathname.slice(1)), { location: to }).end();
      } else if (url.pathname === '/hang') {
        // No answer.
      } else if (url.pathname === '/204') {
        res.writeHead(204).end();
      } else {
        res.writeHead(
          200,
          [
            ['set-cookie', 'a=1'],
            ['set-cookie', 'b=2'],
          ].flat(),
        );
        res.end(
          JSON.stringify({
            method: req.method,
            path: req.url,
            host: req.headers.host,
            auth: req.headers.authorization,
            type: req.headers['content-type'],
            body: Buffer.concat(chunks).toString(),
          }),
        );
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  dialer.port = (server.address() as AddressInfo).port;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const agentsOf = (of: TailnetDialer): FetchAgents => ({
  http: new TailnetAgent(of),
  https: new TailnetHttpsAgent(of),
});
const agents = agentsOf(dialer);
const call = (url: string, init?: RequestInit): Promise<Response> =>
  fetchThrough(agents, url, init);

test('fetch: a GET by name arrives with its host, the response has url and headers', async () => {
  const response = await call('http://web/a?b=c');
  assert.equal(response.status, 200);
  assert.equal(response.url, 'http://web/a?b=c');
  assert.equal(response.redirected, false);
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
  const seen = (await response.json()) as Record<string, unknown>;
  assert.deepEqual([seen['method'], seen['path'], seen['host']], ['GET', '/a?b=c', 'web']);
  assert.deepEqual(dialer.dialled.at(-1), { host: 'web', port: 80 });
});

test('fetch: a POST sends its body, from text and from a stream', async () => {
  const text = await call('http://web:8080/', { method: 'POST', body: 'hello' });
  assert.equal(((await text.json()) as { body: string }).body, 'hello');
  assert.deepEqual(dialer.dialled.at(-1), { host: 'web', port: 8080 });
  const stream = new Blob(['from ', 'a stream']).stream();
  const init = { method: 'PUT', body: stream, duplex: 'half' } as RequestInit;
  assert.equal(
    ((await (await call('http://web/', init)).json()) as { body: string }).body,
    'from a stream',
  );
});

test('fetch: redirects are followed; POST becomes GET after 303; secrets stay with their origin', async () => {
  const same = await call('http://web/302?to=/next', { headers: { authorization: 'x' } });
  assert.equal(same.redirected, true);
  assert.equal(same.url, 'http://web/next');
  assert.equal(((await same.json()) as { auth: string }).auth, 'x');
  const other = await call('http://web/302?to=http://other/', { headers: { authorization: 'x' } });
  assert.equal(((await other.json()) as { auth?: string }).auth, undefined);
  const posted = await call('http://web/303?to=/', { method: 'POST', body: 'b' });
  const seen = (await posted.json()) as { method: string; body: string; type?: string };
  assert.deepEqual([seen.method, seen.body, seen.type], ['GET', '', undefined]);
});

test('fetch: redirect error and manual, an answer without a body, and other schemes', async () => {
  await assert.rejects(call('http://web/302?to=/', { redirect: 'error' }), TypeError);
  assert.equal((await call('http://web/302?to=/', { redirect: 'manual' })).status, 302);
  await assert.rejects(call('ftp://web/'), TypeError);
  assert.equal((await call('http://web/204')).body, null);
});

test('fetch: more than 20 redirects is an error', async () => {
  const circle = createServer((_req, res) => res.writeHead(302, { location: '/' }).end());
  await new Promise<void>((resolve) => circle.listen(0, '127.0.0.1', resolve));
  const { port } = circle.address() as AddressInfo;
  await assert.rejects(call(`http://127.0.0.1:${port}/`), /too many redirects/);
  circle.close();
});

test('fetch: an abort rejects with its reason, whether the server or the tunnel is silent', async () => {
  const reason = new Error('enough');
  const abort = new AbortController();
  setTimeout(() => abort.abort(reason), 20);
  await assert.rejects(call('http://web/hang', { signal: abort.signal }), reason);
  const down = new FakeDialer();
  down.up = false;
  const later = new AbortController();
  setTimeout(() => later.abort(reason), 20);
  await assert.rejects(
    fetchThrough(agentsOf(down), 'http://web/', { signal: later.signal }),
    reason,
  );
  await assert.rejects(call('http://web/', { signal: AbortSignal.abort(reason) }), reason);
});

test('fetch: a refused connection is a TypeError whose cause has the code', async () => {
  const dead = new FakeDialer();
  dead.port = 1;
  const error = await fetchThrough(agentsOf(dead), 'http://web/').catch((e: Error) => e);
  assert.ok(error instanceof TypeError);
  assert.equal((error.cause as NodeJS.ErrnoException).code, 'ECONNREFUSED');
});

test('a request made before the node runs is sent once it does', async () => {
  const late = new FakeDialer();
  late.port = dialer.port;
  late.up = false;
  const answer = fetchThrough(agentsOf(late), 'http://web/');
  setTimeout(() => late.start(), 20);
  assert.equal((await answer).status, 200);
});

test('http.request: the agent connects at once, so that a destroyed request ends', async () => {
  const silent = createTcp(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const stuck = new FakeDialer();
  stuck.port = (silent.address() as AddressInfo).port;
  const outgoing = request({ host: 'web', agent: new TailnetAgent(stuck) });
  const ended = new Promise<Error>((resolve) => outgoing.on('error', resolve));
  outgoing.end();
  outgoing.destroy(new Error('no'));
  assert.equal((await ended).message, 'no');
  silent.close();
});

test('keep-alive: requests one after the other use one connection', async () => {
  const keeping = new TailnetAgent(dialer, { keepAlive: true, maxSockets: 1 });
  const before = dialer.dialled.length;
  for (let i = 0; i < 5; i++) {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get('http://web/', { agent: keeping }, resolve).on('error', reject);
    });
    for await (const chunk of response) void chunk;
  }
  assert.equal(dialer.dialled.length, before + 1);
  keeping.destroy();
});

test('https requests go through TLS on port 443, with their own agent and with fetch', async () => {
  // The server of this test speaks no TLS: that TLS was tried is the point.
  const failure = /EPROTO|ERR_SSL|ECONNRESET/;
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
    https.get('https://web/', { agent: agents.https }, () => {}).on('error', resolve);
  });
  assert.match(String(error.code), failure);
  assert.deepEqual(dialer.dialled.at(-1), { host: 'web', port: 443 });
  const { cause } = (await call('https://web:8443/').catch((e: Error) => e)) as Error;
  assert.match(String((cause as NodeJS.ErrnoException).code), failure);
  assert.deepEqual(dialer.dialled.at(-1), { host: 'web', port: 8443 });
});

test('hosts outside the tailnet are dialled by the machine', async () => {
  const before = dialer.dialled.length;
  const response = await call(`http://127.0.0.1:${dialer.port}/`);
  assert.equal(response.status, 200);
  assert.equal(dialer.dialled.length, before);
});

test('the undici connector gives a connected socket, or the error', async () => {
  const connector = undiciConnector(dialer);
  const socket = await new Promise<{ destroy(): void } | null>((resolve, reject) => {
    connector({ hostname: 'web', port: '', protocol: 'http:' }, (error, stream) =>
      error ? reject(error) : resolve(stream),
    );
  });
  assert.ok(socket);
  socket.destroy();
  const dead = new FakeDialer();
  dead.port = 1;
  const error = await new Promise<Error | null>((resolve) => {
    undiciConnector(dead)({ hostname: 'web', port: 80, protocol: 'http:' }, (e) => resolve(e));
  });
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
});
