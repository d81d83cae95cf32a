import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Conn } from './conn.ts';
import { TsnetError } from './errors.ts';
import { hostPair, type TestHost } from './testing/hosts.ts';

let running: TestHost[] = [];

function hosts(...args: Parameters<typeof hostPair>): ReturnType<typeof hostPair> {
  const pair = hostPair(...args);
  running.push(pair.client, pair.server);
  return pair;
}

afterEach(() => {
  for (const host of running) host.stop();
  running = [];
});

/** Both ends of one connection. */
async function connected(
  pair: ReturnType<typeof hostPair>,
  options: { allowHalfOpen?: boolean } = {},
): Promise<{ near: Conn; far: Conn }> {
  const listener = pair.server.listen(80, options);
  const accepted = once(listener, 'connection');
  const near = await pair.client.dial(80, options);
  const [far] = (await accepted) as [Conn];
  listener.close();
  return { near, far };
}

/** Until the end. Not by iteration, which would destroy the connection. */
async function readAll(conn: Conn): Promise<Buffer> {
  const chunks: Buffer[] = [];
  conn.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(conn, 'end');
  return Buffer.concat(chunks);
}

async function failure(conn: Conn): Promise<TsnetError> {
  const [error] = (await once(conn, 'error')) as [TsnetError];
  return error;
}

test('both ends know the addresses, as net.Socket tells them', async () => {
  const { near, far } = await connected(hosts());
  assert.equal(near.remoteAddress, '100.64.0.2');
  assert.equal(near.remotePort, 80);
  assert.equal(near.remoteFamily, 'IPv4');
  assert.equal(far.remoteAddress, '100.64.0.1');
  assert.equal(far.remotePort, near.localPort);
  assert.deepEqual(far.address(), { address: '100.64.0.2', family: 'IPv4', port: 80 });
  assert.equal(near.encrypted, false);
  near.destroy();
  await once(far, 'close');
  assert.equal(far.remoteAddress, '100.64.0.1', 'whoIs must still work for what was just closed');
});

test('readyState, pending and connecting follow the life of a connection', async () => {
  const pair = hosts();
  const listener = pair.server.listen(80, { allowHalfOpen: true });
  const conn = pair.client.newConn({ allowHalfOpen: true });
  assert.deepEqual([conn.readyState, conn.pending, conn.connecting], ['closed', true, false]);
  conn.connect(80, '100.64.0.2');
  assert.deepEqual([conn.readyState, conn.pending, conn.connecting], ['opening', true, true]);
  const [far] = (await once(listener, 'connection')) as [Conn];
  assert.deepEqual([conn.readyState, conn.pending, conn.connecting], ['open', false, false]);
  conn.end();
  assert.equal(conn.readyState, 'readOnly');
  far.resume().end();
  conn.resume();
  await Promise.all([once(conn, 'close'), once(far, 'close')]);
  assert.equal(conn.readyState, 'closed');
  listener.close();
});

test('writes before the connection stands are sent once it does', async () => {
  const pair = hosts();
  const listener = pair.server.listen(80);
  const conn = pair.client.newConn();
  conn.connect({ port: 80, host: '100.64.0.2' });
  conn.write('early ');
  conn.end('bird');
  const [far] = (await once(listener, 'connection')) as [Conn];
  assert.equal((await readAll(far)).toString(), 'early bird');
  listener.close();
});

test('a mebibyte arrives whole in both directions, and both ends count it', async () => {
  const { near, far } = await connected(hosts());
  const data = randomBytes(1 << 20);
  far.pipe(far);
  const echo = readAll(near);
  near.end(data);
  assert.ok(data.equals(await echo));
  assert.equal(near.bytesWritten, data.length);
  assert.equal(near.bytesRead, data.length);
  assert.equal(far.bytesRead, data.length);
});

test('an end leaves the other direction open where half-open is allowed', async () => {
  const { near, far } = await connected(hosts(), { allowHalfOpen: true });
  near.end('question');
  assert.equal((await readAll(far)).toString(), 'question');
  await delay(20);
  assert.equal(far.writable, true);
  far.end('answer');
  assert.equal((await readAll(near)).toString(), 'answer');
});

test('an end closes both directions where it is not, and a later write is EPIPE', async () => {
  const { near, far } = await connected(hosts());
  near.end();
  far.resume();
  await once(far, 'end');
  await delay(0);
  const error = await new Promise<unknown>((resolve) => {
    assert.equal(far.write('too late', resolve), false);
  });
  assert.equal((error as TsnetError).code, 'EPIPE');
});

test('close tells whether there was an error', async () => {
  const { near, far } = await connected(hosts());
  near.destroy();
  far.resume();
  const [[nearHad], [farHad]] = await Promise.all([once(near, 'close'), once(far, 'close')]);
  assert.equal(nearHad, false);
  assert.equal(farHad, false);
});

test('a closed port refuses with the facts net.Socket gives', async () => {
  const { client } = hosts();
  const conn = client.newConn();
  conn.connect(81, '100.64.0.2');
  const [error] = (await once(conn, 'error')) as [TsnetError];
  assert.ok(error instanceof TsnetError);
  const { code, syscall, address, port, message } = error;
  assert.deepEqual(
    { code, syscall, address, port, message },
    {
      code: 'ECONNREFUSED',
      syscall: 'connect',
      address: '100.64.0.2',
      port: 81,
      message: 'connect ECONNREFUSED 100.64.0.2:81',
    },
  );
  assert.equal(conn.destroyed, true);
});

test('a silent host is ETIMEDOUT', async () => {
  const { client, server } = hosts({ connectTimeout: 300 });
  server.budget = 0;
  const conn = client.newConn();
  conn.connect(80, '100.64.0.2');
  const error = await failure(conn);
  assert.equal(error.code, 'ETIMEDOUT');
  assert.equal(error.syscall, 'connect');
});

test('a reset by the peer is ECONNRESET', async () => {
  const { near, far } = await connected(hosts());
  far.resetAndDestroy();
  const error = await failure(near);
  assert.deepEqual([error.code, error.syscall], ['ECONNRESET', 'read']);
});

test('destroying with unread data resets the peer', async () => {
  const { near, far } = await connected(hosts());
  const failed = failure(near);
  near.write(randomBytes(300_000));
  await delay(50);
  far.destroy();
  assert.equal((await failed).code, 'ECONNRESET');
});

test('a peer that falls silent during a transfer is ETIMEDOUT', async () => {
  const pair = hosts({ userTimeout: 500 });
  const { near } = await connected(pair);
  pair.server.budget = 0;
  const failed = failure(near);
  near.write('anybody there?');
  assert.equal((await failed).code, 'ETIMEDOUT');
});

test('an abort signal ends a connection attempt with its reason', async () => {
  const { client, server } = hosts();
  server.budget = 0;
  const abort = new AbortController();
  const conn = client.newConn();
  conn.connect({ host: '100.64.0.2', port: 80, signal: abort.signal });
  const reason = new Error('changed my mind');
  setImmediate(() => abort.abort(reason));
  const [error] = (await once(conn, 'error')) as [Error];
  assert.equal(error, reason);
});

test('destroying during the attempt is quiet', async () => {
  const { client } = hosts();
  const conn = client.newConn();
  conn.connect(80, '100.64.0.2');
  conn.destroy();
  const [hadError] = await once(conn, 'close');
  assert.equal(hadError, false);
});

test('a writer that is not read from stops, holding a bounded amount, and resumes', async () => {
  const pair = hosts({ sendBufferLimit: 512 << 10, receiveBufferLimit: 512 << 10 });
  const { near, far } = await connected(pair);
  const chunk = randomBytes(64 << 10);
  let accepted = 0;
  while (accepted < 64 << 20) {
    const more = near.write(chunk);
    accepted += chunk.length;
    if (more) continue;
    const drained = await Promise.race([
      once(near, 'drain').then(() => true),
      delay(300).then(() => false),
    ]);
    if (!drained) break;
  }
  assert.ok(accepted < 2 << 20, `${accepted} bytes were taken while nobody read`);
  const all = readAll(far);
  near.end();
  assert.equal((await all).length, accepted);
});

test('a slow reader gets everything, in order', async () => {
  const { near, far } = await connected(hosts());
  const data = randomBytes(700_000);
  near.end(data);
  const chunks: Buffer[] = [];
  for await (const chunk of far) {
    chunks.push(chunk as Buffer);
    if (chunks.length < 20) await delay(2);
  }
  assert.ok(data.equals(Buffer.concat(chunks)));
});

test('timeout is emitted after silence only, once, and leaves the connection open', async () => {
  const { near, far } = await connected(hosts());
  let timeouts = 0;
  near.setTimeout(400, () => timeouts++);
  assert.equal(near.timeout, 400);
  const ticking = setInterval(() => far.write('.'), 20);
  near.resume();
  await delay(600);
  assert.equal(timeouts, 0, 'while data comes in');
  clearInterval(ticking);
  await delay(1_000);
  assert.equal(timeouts, 1);
  assert.equal(near.destroyed, false);
  near.setTimeout(0);
  assert.equal(near.timeout, undefined);
});

test('destroySoon sends what was written before it destroys', async () => {
  const { near, far } = await connected(hosts());
  const data = randomBytes(200_000);
  near.write(data);
  near.destroySoon();
  assert.ok(data.equals(await readAll(far)));
  if (!near.closed) await once(near, 'close');
});

test('what lingers after the application is done ends with the last acknowledgement', async () => {
  const pair = hosts();
  const { near, far } = await connected(pair);
  far.end();
  near.resume().end('bye');
  far.resume();
  await Promise.all([once(near, 'close'), once(far, 'close')]);
  const started = performance.now();
  await Promise.all([pair.client.env.linger.drained(), pair.server.env.linger.drained()]);
  assert.ok(performance.now() - started < 500);
  const again = await connected(pair);
  pair.server.budget = 0;
  again.near.end('into the void');
  again.near.destroy();
  const silent = performance.now();
  await pair.client.env.linger.drained();
  const waited = performance.now() - silent;
  assert.ok(waited > 900 && waited < 5_000, `${waited} ms for a peer that is gone`);
});

test('cork gathers writes, and _writev delivers them in order', async () => {
  const { near, far } = await connected(hosts());
  near.cork();
  for (let i = 0; i < 100; i++) near.write(`${i},`);
  near.uncork();
  near.end();
  const expected = Array.from({ length: 100 }, (_, i) => `${i},`).join('');
  assert.equal((await readAll(far)).toString(), expected);
});

test('TLS runs inside a connection, both ends', async () => {
  const { near, far } = await connected(hosts());
  const psk = randomBytes(32);
  const ciphers = 'PSK+HIGH';
  const serverSide = new TLSSocket(far, {
    isServer: true,
    ciphers,
    maxVersion: 'TLSv1.2',
    pskCallback: () => psk,
  } as ConstructorParameters<typeof TLSSocket>[1]);
  serverSide.on('data', (chunk: Buffer) => serverSide.end(`echo ${chunk}`));
  const clientSide = tlsConnect({
    socket: near,
    ciphers,
    maxVersion: 'TLSv1.2',
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk, identity: 'test' }),
  });
  await once(clientSide, 'secureConnect');
  clientSide.write('hello');
  const chunks: Buffer[] = [];
  for await (const chunk of clientSide) chunks.push(chunk as Buffer);
  assert.equal(Buffer.concat(chunks).toString(), 'echo hello');
});

test('a hundred connections carry a mebibyte each at once', async () => {
  const pair = hosts();
  const listener = pair.server.listen(80);
  listener.on('connection', (conn) => conn.pipe(conn));
  const data = randomBytes(1 << 20);
  await Promise.all(
    Array.from({ length: 100 }, async () => {
      const conn = await pair.client.dial(80);
      const echo = readAll(conn);
      conn.end(data);
      assert.ok(data.equals(await echo));
    }),
  );
  listener.close();
});

test('pipeline ends both streams, and an error in one destroys the other', async () => {
  const pair = hosts();
  const { near, far } = await connected(pair);
  const { near: near2, far: far2 } = await connected(pair);
  const piped = pipeline(far, near2);
  const all = readAll(far2);
  near.end('through');
  await piped;
  assert.equal((await all).toString(), 'through');
});

test('an open connection keeps the process alive unless unref was called', async () => {
  const pair = hosts();
  let count = 0;
  const { hold } = pair.client.env;
  const { acquire, release } = hold;
  hold.acquire = () => {
    count++;
    acquire.call(hold);
  };
  hold.release = () => {
    count--;
    release.call(hold);
  };
  const { near } = await connected(pair);
  assert.equal(count, 1);
  near.unref();
  assert.equal(count, 0);
  near.ref().ref();
  assert.equal(count, 1);
  near.end('last words');
  near.destroy();
  assert.equal(count, 1, 'until the last words have arrived');
  while (count > 0) await delay(1);
  near.ref();
  assert.equal(count, 0);
});
