// Reaching a coordination server: ports, the race, and a clear error for each way it can go wrong.
import assert from 'node:assert/strict';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { nodeCrypto } from '@cove/crypto';
import { type MachinePublic, machinePublic, PrivateKey } from '@cove/protocol/keys';
import { type Clock, systemClock } from '../clock.ts';
import type { TsnetError } from '../errors.ts';
import { type ControlUrl, dialTargets, parseControlUrl } from './controlurl.ts';
import { dialControl } from './dial.ts';
import { connectError } from './problems.ts';
import { fetchServerKey } from './serverkey.ts';
import { FakeControl } from './testing/fakecontrol.ts';

const crypto = nodeCrypto();
const machineKey = PrivateKey.generate((n) => crypto.randomBytes(n));
const closers: (() => void | Promise<void>)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

async function tcpServer(handle: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcp((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    handle(socket);
  });
  return listen(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

async function listen(server: Server, onClose: () => void = () => {}): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    onClose();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function key(
  url: string,
  signal: AbortSignal = AbortSignal.timeout(5_000),
): Promise<MachinePublic> {
  return fetchServerKey({ url: parseControlUrl(url), version: 119, signal });
}

function dial(
  url: string,
  controlKey: MachinePublic,
  fields: { clock?: Clock; signal?: AbortSignal } = {},
) {
  return dialControl({
    url: parseControlUrl(url),
    controlKey,
    machineKey,
    version: 119,
    crypto,
    clock: fields.clock ?? systemClock,
    forceTls: false,
    signal: fields.signal ?? AbortSignal.timeout(5_000),
  });
}

async function failure(promise: Promise<unknown>): Promise<TsnetError> {
  return promise.then(
    () => assert.fail('did not fail'),
    (error: TsnetError) => error,
  );
}

test('the server URL: normal form, and what is not one', () => {
  assert.equal(parseControlUrl('https://Control.Example.com/').text, 'https://control.example.com');
  assert.equal(parseControlUrl('https://control.example.com:443').port, 443);
  assert.equal(parseControlUrl('http://[::1]:8080/').host, '::1');
  assert.equal(parseControlUrl('https://h/base/').basePath, '/base');
  for (const bad of ['', 'control.example.com', 'ftp://h', 'https://u:p@h', 'https://h/?a=1']) {
    assert.throws(() => parseControlUrl(bad), TypeError, bad);
  }
});

const PORTS: readonly [url: string, plain: number | undefined, tls: number | undefined][] = [
  ['https://h', 80, 443],
  ['https://h:8443', 80, 8443],
  ['http://h.example.com', 80, 443],
  ['http://h.example.com:8080', 8080, 443],
  ['http://100.64.0.1:8080', 8080, 443],
  ['http://localhost', 80, undefined],
  ['http://localhost:8080', 8080, undefined],
  ['http://127.0.0.1:8080', 8080, undefined],
  ['http://192.168.1.2', 80, undefined],
  ['http://172.31.0.1', 80, undefined],
  ['http://172.32.0.1', 80, 443],
  ['http://[::1]:9', 9, undefined],
  ['http://[fd00::1]', 80, undefined],
];
for (const [text, plain, tls] of PORTS) {
  test(`ports tried for ${text}: ${plain} plain, ${tls} TLS (3.2)`, () => {
    const url: ControlUrl = parseControlUrl(text);
    assert.deepEqual(dialTargets(url, false), { plain, tls });
    // Forced TLS leaves out the plain attempt only where TLS is possible.
    assert.deepEqual(dialTargets(url, true), { plain: tls === undefined ? plain : undefined, tls });
  });
}

test('the key of a control server is fetched', async () => {
  const control = new FakeControl();
  const url = await control.listen();
  closers.push(() => control.close());
  assert.equal(await key(url), machinePublic(control.key.publicBytes(crypto.x25519)));
});

const NOT_TAILSCALE: readonly [what: string, status: number, body: string, code: string][] = [
  [
    'a web page',
    200,
    '<!doctype html><title>Welcome to nginx</title>',
    'ERR_CONTROL_NOT_TAILSCALE',
  ],
  ['JSON of another kind', 200, '{"hello":1}', 'ERR_CONTROL_NOT_TAILSCALE'],
  ['null', 200, 'null', 'ERR_CONTROL_NOT_TAILSCALE'],
  ['a key of the wrong length', 200, '{"publicKey":"mkey:ab"}', 'ERR_CONTROL_NOT_TAILSCALE'],
  ['a zero key', 200, `{"publicKey":"mkey:${'0'.repeat(64)}"}`, 'ERR_CONTROL_NOT_TAILSCALE'],
  ['an empty 200', 200, '', 'ERR_CONTROL_NOT_TAILSCALE'],
  ['404', 404, 'not found', 'ERR_CONTROL_NOT_TAILSCALE'],
  ['a megabyte', 200, 'x'.repeat(1 << 20), 'ERR_CONTROL_NOT_TAILSCALE'],
  ['502 of a proxy', 502, 'bad gateway', 'ERR_CONTROL_STATUS'],
];
for (const [what, status, body, code] of NOT_TAILSCALE) {
  test(`${what} in answer to the key request: ${code}`, async () => {
    const url = await listen(
      createHttp((_request, response) => response.writeHead(status).end(body)),
    );
    const error = await failure(key(url));
    assert.equal(error.code, code);
    assert.ok(error.message.includes(url), error.message);
  });
}

test('a redirect says where to', async () => {
  const url = await listen(
    createHttp((_request, response) =>
      response.writeHead(301, { location: 'https://elsewhere.example/' }).end(),
    ),
  );
  assert.match((await failure(key(url))).message, /https:\/\/elsewhere\.example\//);
});

test('nobody listens: unreachable, with the reason', async () => {
  const error = await failure(key('http://127.0.0.1:1'));
  assert.equal(error.code, 'ERR_CONTROL_UNREACHABLE');
  assert.match(error.message, /ECONNREFUSED/);
});

test('https to a plain http port: TLS fails, with a hint', async () => {
  const url = await listen(createHttp());
  const error = await failure(key(url.replace('http:', 'https:')));
  assert.equal(error.code, 'ERR_CONTROL_TLS');
  assert.match(error.message, /plain http/);
});

test('certificate problems are told apart, and a certificate of tomorrow points at the clock', () => {
  const url = parseControlUrl('https://h');
  const as = (code: string) => connectError(url, Object.assign(new Error(code), { code }));
  assert.equal(as('CERT_NOT_YET_VALID').code, 'ERR_CONTROL_CLOCK');
  assert.match(as('CERT_NOT_YET_VALID').message, /clock/);
  assert.equal(as('CERT_HAS_EXPIRED').code, 'ERR_CONTROL_TLS');
  assert.equal(as('SELF_SIGNED_CERT_IN_CHAIN').code, 'ERR_CONTROL_TLS');
  assert.equal(as('ENOTFOUND').code, 'ERR_CONTROL_UNREACHABLE');
  const many = connectError(
    url,
    new AggregateError([Object.assign(new Error('first'), { code: 'EX' })]),
  );
  assert.match(many.message, /first/);
});

test('a server that holds another key than it shows: ERR_CONTROL_KEY', async () => {
  const control = new FakeControl({ wrongKey: true });
  const url = await control.listen();
  closers.push(() => control.close());
  const error = await failure(dial(url, await key(url)));
  // The server cannot read the initiation and hangs up: the client must ask for the key again.
  assert.equal(error.code, 'ERR_CONTROL_KEY');
});

test('an error frame instead of the response: its words are passed on (4.3)', async () => {
  const control = new FakeControl({ handshakeError: 'go away' });
  const url = await control.listen();
  closers.push(() => control.close());
  const error = await failure(dial(url, await key(url)));
  assert.equal(error.code, 'ERR_CONTROL_KEY');
  assert.match(error.message, /go away/);
});

const SOME_KEY = machinePublic(machineKey.publicBytes(crypto.x25519));
const HEADS: readonly [what: string, head: string, code: string][] = [
  ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 'ERR_CONTROL_NOT_TAILSCALE'],
  ['426', 'HTTP/1.1 426 Upgrade Required\r\n\r\n', 'ERR_CONTROL_NOT_TAILSCALE'],
  [
    '101 to a WebSocket',
    'HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n',
    'ERR_CONTROL_NOT_TAILSCALE',
  ],
  ['502', 'HTTP/1.1 502 Bad Gateway\r\n\r\n', 'ERR_CONTROL_STATUS'],
  ['no HTTP at all', 'SSH-2.0-OpenSSH\r\n\r\n', 'ERR_CONTROL_NOT_TAILSCALE'],
  [
    'a head without end',
    `HTTP/1.1 101 S\r\n${'A: b\r\n'.repeat(5_000)}`,
    'ERR_CONTROL_UNREACHABLE',
  ],
  [
    'bytes that are no handshake',
    'HTTP/1.1 101 S\r\nUpgrade: tailscale-control-protocol\r\n\r\nhello',
    'ERR_CONTROL_KEY',
  ],
];
for (const [what, head, code] of HEADS) {
  test(`the upgrade answered by ${what}: ${code}`, async () => {
    const url = await tcpServer((socket) => socket.once('data', () => socket.write(head)));
    assert.equal((await failure(dial(url, SOME_KEY))).code, code);
  });
}

test('a server that accepts and says nothing: given up after the budget of 10 seconds (3.3)', async () => {
  const url = await tcpServer(() => {});
  let fire = (): void => {};
  const clock: Clock = {
    ...systemClock,
    schedule(delayMs, callback, ref) {
      if (delayMs === 10_000) fire = callback;
      return systemClock.schedule(delayMs, callback, ref);
    },
  };
  const dialling = failure(dial(url, SOME_KEY, { clock }));
  setTimeout(() => fire(), 20);
  const error = await dialling;
  assert.equal(error.code, 'ERR_CONTROL_UNREACHABLE');
  assert.match(error.message, /10 seconds/);
});

test('a server that hangs up in the middle of the handshake: ERR_CONTROL_KEY', async () => {
  const url = await tcpServer((socket) =>
    socket.once('data', () =>
      socket.end('HTTP/1.1 101 S\r\nUpgrade: tailscale-control-protocol\r\n\r\n\x02\x00\x30abc'),
    ),
  );
  assert.equal((await failure(dial(url, SOME_KEY))).code, 'ERR_CONTROL_KEY');
});

test('an aborted dial rejects with the reason and leaves no connection', async () => {
  let closed = false;
  const url = await tcpServer((socket) => {
    socket.resume();
    socket.on('close', () => {
      closed = true;
    });
  });
  const reason = new Error('no longer wanted');
  const abort = new AbortController();
  setTimeout(() => abort.abort(reason), 20);
  assert.equal(await failure(dial(url, SOME_KEY, { signal: abort.signal })), reason);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(closed);
});
