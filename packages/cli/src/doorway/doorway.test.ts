import assert from 'node:assert/strict';
import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, createConnection } from 'node:net';
import { after, before, test } from 'node:test';
import { isLoopbackName, judge } from './access.ts';
import { type Doorway, openDoorway } from './doorway.ts';
import { rewriteHtml, rewriteLocation } from './rewrite.ts';

/** Stands in for the tunnel: whatever name is dialled, the app on loopback answers. */
class LoopbackAgent extends Agent {
  readonly #port: number;
  constructor(port: number) {
    super({ keepAlive: false });
    this.#port = port;
  }
  override createConnection(): ReturnType<typeof createConnection> {
    return createConnection({ host: '127.0.0.1', port: this.#port });
  }
}

let app: Server;
let seen: IncomingMessage | undefined;
let doorway: Doorway;

const LONG_PAGE = 20 << 20;

const respond: Record<string, (req: IncomingMessage, res: ServerResponse) => void> = {
  '/page': (_req, res) => {
    res.setHeader('content-type', 'text/html; charset=utf-8');
    res.setHeader('set-cookie', 'a=1; Path=/; HttpOnly');
    res.end('<a href="/.detail/x">x</a><form action="/"><a href="//other/">o</a>');
  },
  '/long-page': (_req, res) => {
    res.setHeader('content-type', 'text/html');
    res.end(Buffer.alloc(LONG_PAGE, 'x'));
  },
  '/redirect': (_req, res) => res.writeHead(302, { location: 'http://go/next' }).end(),
  '/echo': (req, res) => void req.pipe(res),
};

function open(): Promise<Doorway> {
  return openDoorway({
    port: 0,
    agent: new LoopbackAgent((app.address() as AddressInfo).port),
    services: [{ name: 'go', host: 'go', address: '100.64.0.9', port: 80, summary: 'links' }],
    pages: {
      home: (res) => void res.end('doorway home'),
      failure: (res, status, title) => void res.writeHead(status).end(title),
      asset: () => false,
      submit: () => false,
    },
  });
}

before(async () => {
  app = createServer((req, res) => {
    seen = req;
    const handler = respond[new URL(req.url!, 'http://app').pathname];
    if (handler !== undefined) handler(req, res);
    else res.end('ok');
  });
  app.on('upgrade', (_req, socket) => {
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n',
    );
    socket.pipe(socket);
  });
  await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
  doorway = await open();
});
after(async () => {
  await doorway[Symbol.asyncDispose]();
  app.closeAllConnections();
  await new Promise((done) => app.close(done));
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

function ask(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
  body?: string | Buffer,
): Promise<Answer> {
  return new Promise((done, fail) => {
    const host = `localhost:${doorway.port}`;
    const options = { host: '127.0.0.1', port: doorway.port, path, method, agent: false };
    const req = request({ ...options, headers: { host, ...headers } }, async (res) => {
      const chunks: Buffer[] = [];
      for await (const chunk of res) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString('utf8');
      done({ status: res.statusCode!, headers: res.headers, body: text });
    });
    req.once('error', fail);
    req.end(body);
  });
}

test('only localhost, names below it and loopback literals are loopback names', () => {
  for (const name of ['localhost', 'go.localhost', '127.0.0.1', '127.9.9.9', '[::1]']) {
    assert.ok(isLoopbackName(name), name);
  }
  for (const name of [
    'go',
    'localhost.example.com',
    '10.0.0.1',
    '0.0.0.0',
    '[::]',
    'evillocalhost',
  ]) {
    assert.ok(!isLoopbackName(name), name);
  }
});

test('a write is judged by Sec-Fetch-Site and Origin; a program that sends neither is let through', () => {
  const host = 'go.localhost:8080';
  assert.ok(judge('POST', { host }).ok);
  assert.ok(judge('POST', { host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }).ok);
  assert.ok(!judge('POST', { host, origin: 'http://localhost:8080' }).ok);
  assert.ok(!judge('POST', { host, origin: 'null' }).ok);
  assert.ok(!judge('DELETE', { host, 'sec-fetch-site': 'same-site' }).ok);
  assert.ok(judge('GET', { host, 'sec-fetch-site': 'cross-site' }).ok);
});

test('a request for another Host is refused, as after DNS rebinding', async () => {
  for (const host of ['go', 'evil.example', '192.168.1.5:8080', 'localhost.evil.example']) {
    const { status } = await ask('/', { host });
    assert.equal(status, 421, host);
  }
});

test('the service sees its own name and none of the identity headers a browser could invent', async () => {
  const { status } = await ask('/x?y=1', {
    host: `go.localhost:${doorway.port}`,
    'tailscale-user-login': 'mallory@example.com',
    'x-forwarded-for': '100.64.0.9',
    forwarded: 'for=1.2.3.4',
    connection: 'x-drop-me',
    'x-drop-me': '1',
    'x-kept': '1',
    cookie: 'a=1; cove-owner=secret; b=2=3',
    referer: `http://go.localhost:${doorway.port}/.all`,
  });
  assert.equal(status, 200);
  assert.equal(seen?.url, '/x?y=1');
  assert.equal(seen?.headers.host, 'go');
  assert.equal(seen?.headers.referer, 'http://go/.all');
  assert.equal(seen?.headers['x-kept'], '1');
  assert.equal(seen?.headers.cookie, 'a=1; b=2=3', "the owner's secret stays here");
  for (const name of ['tailscale-user-login', 'x-forwarded-for', 'forwarded', 'x-drop-me']) {
    assert.equal(seen?.headers[name], undefined, name);
  }
});

test('a same-origin form post arrives with the origin the service expects', async () => {
  const host = `go.localhost:${doorway.port}`;
  const { body } = await ask('/echo', { host, origin: `http://${host}` }, 'POST', 'a=1');
  assert.equal(body, 'a=1');
  assert.equal(seen?.headers.origin, 'http://go');
});

test('below a path, root-relative links, cookies and redirects get the prefix', async () => {
  const page = await ask('/go/page');
  assert.equal(
    page.body,
    '<a href="/go/.detail/x">x</a><form action="/go/"><a href="//other/">o</a>',
  );
  assert.deepEqual(page.headers['set-cookie'], ['a=1; Path=/go/; HttpOnly']);
  assert.equal((await ask('/go/redirect')).headers.location, '/go/next');
  assert.equal((await ask('/go')).headers.location, '/go/');
  const own = await ask('/redirect', { host: `go.localhost:${doorway.port}` });
  assert.equal(own.headers.location, '/next');
});

test('the doorway shows its own page, and 404 for a name it does not serve', async () => {
  assert.equal((await ask('/')).body, 'doorway home');
  assert.equal((await ask('/nothing')).status, 404);
  assert.equal((await ask('/', { host: `nope.localhost:${doorway.port}` })).status, 404);
});

test('a large body passes both ways unchanged', async () => {
  const big = Buffer.alloc(3 << 20, 'x');
  const { body } = await ask('/go/echo', {}, 'POST', big);
  assert.equal(body.length, big.length);
});

test('a page too long to be rewritten passes whole below a path', async () => {
  const { status, body } = await ask('/go/long-page');
  assert.equal(status, 200);
  assert.equal(body.length, LONG_PAGE);
});

test('a refused protocol switch that the other side resets ends nothing', async () => {
  const request =
    'GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
  for (let i = 0; i < 20; i++) {
    const socket = createConnection({ host: '127.0.0.1', port: doorway.port });
    socket.on('error', () => {});
    await new Promise((done) => socket.once('connect', done));
    socket.write(request + 'y'.repeat(i * 1000));
    if (i % 2 === 0) await new Promise((done) => socket.once('data', done));
    socket.write('z');
    socket.resetAndDestroy();
    await new Promise((done) => socket.once('close', done));
  }
  assert.equal((await ask('/')).status, 200);
});

test('a protocol switch is joined end to end', async () => {
  const socket = createConnection({ host: '127.0.0.1', port: doorway.port });
  socket.write(
    `GET /ws HTTP/1.1\r\nHost: go.localhost:${doorway.port}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`,
  );
  let text = '';
  for await (const chunk of socket) {
    text += (chunk as Buffer).toString('latin1');
    if (text.endsWith('\r\n\r\n')) socket.write('hello through');
    if (text.endsWith('hello through')) break;
  }
  assert.match(text, /^HTTP\/1\.1 101 /);
});

test('a doorway ends although a switched connection is open', { timeout: 5000 }, async () => {
  const other = await open();
  const socket = createConnection({ host: '127.0.0.1', port: other.port });
  socket.on('error', () => {});
  socket.write(
    `GET /ws HTTP/1.1\r\nHost: go.localhost:${other.port}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`,
  );
  await new Promise((done) => socket.once('data', done));
  const closed = new Promise((done) => socket.once('close', done));
  await other[Symbol.asyncDispose]();
  await closed;
});

test('bytes that are no HTTP get an answer and the next request works', async () => {
  const socket = createConnection({ host: '127.0.0.1', port: doorway.port });
  socket.on('error', () => {});
  socket.resume();
  socket.end(Buffer.from([0, 1, 2, 3, 255, 13, 10, 13, 10]));
  await new Promise((done) => socket.once('close', done));
  assert.equal((await ask('/')).status, 200);
});

test('only root-relative link attributes are rewritten', () => {
  assert.equal(rewriteHtml('<img src="/a.png" alt="/x">', '/go'), '<img src="/go/a.png" alt="/x">');
  assert.equal(rewriteHtml('<a href="https://e/">', '/go'), '<a href="https://e/">');
  assert.equal(rewriteLocation('https://example.com/', 'http://go', '/go'), 'https://example.com/');
  assert.equal(rewriteLocation('//example.com/', 'http://go', '/go'), '//example.com/');
});
