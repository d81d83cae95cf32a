import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, test } from 'node:test';
import { adminSocketPath, callAdmin, partsOf, refuseIfRunning, serveAdmin } from './adminsocket.ts';
import { CliError, errorCode } from './errors.ts';

let dir: string;
let admin: AsyncDisposable;
let written: number;
let partsEnded: () => void = () => {};

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cove-admin-'));
  admin = await serveAdmin(dir, () => ({
    'GET /sum': ({ query }) => ({ sum: Number(query.get('a')) + Number(query.get('b')) }),
    'POST /echo': ({ json }) => json(),
    'POST /count': async ({ stream, progress }) => {
      let bytes = 0;
      for await (const chunk of stream) {
        bytes += (chunk as Buffer).length;
        progress({ bytes });
      }
      return { bytes };
    },
    'GET /parts': async ({ query, part }) => {
      try {
        for (written = 0; written < Number(query.get('n')); written++)
          await part(`${written} ${'x'.repeat(100_000)}`);
      } finally {
        partsEnded();
      }
    },
    'GET /half': async ({ part }) => {
      await part('half');
      throw new CliError('ERR_INPUT_FILE', 'no more');
    },
    'GET /fails': () => {
      throw new CliError('ERR_INPUT_FILE', 'that did not work');
    },
  }));
});
afterEach(async () => {
  await admin[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

test('a call reaches its handler with parameters and body, and brings back the result', async () => {
  assert.deepEqual(await callAdmin(dir, 'GET /sum?a=2&b=3'), { sum: 5 });
  assert.deepEqual(await callAdmin(dir, 'POST /echo', { body: { x: ['é'] } }), { x: ['é'] });
});

test('a stream goes in while progress comes out', async () => {
  const seen: unknown[] = [];
  const stream = Readable.from([Buffer.alloc(70_000), Buffer.alloc(30_000)]);
  const result = await callAdmin(dir, 'POST /count', {
    stream,
    onProgress: (value) => seen.push(value),
  });
  assert.deepEqual(result, { bytes: 100_000 });
  assert.deepEqual(seen.at(-1), { bytes: 100_000 });
});

test('a long answer comes in parts as they are taken, and ends where they no longer are', async () => {
  const sizes: number[] = [];
  for await (const part of partsOf(dir, 'GET /parts?n=50')) sizes.push(part.length);
  assert.deepEqual([sizes.length, sizes[49]], [50, 100_003]);
  const ended = new Promise<void>((resolve) => {
    partsEnded = resolve;
  });
  for await (const part of partsOf(dir, 'GET /parts?n=5000')) {
    assert.ok(part.startsWith('0 '));
    // Time for the other side to write more than is taken.
    await new Promise((done) => setTimeout(done, 50));
    break;
  }
  await ended;
  assert.ok(written < 100, `${written} parts were written for one`);
  const taken: string[] = [];
  await assert.rejects(
    async () => {
      for await (const part of partsOf(dir, 'GET /half')) taken.push(part);
    },
    { code: 'ERR_REFUSED', message: 'no more' },
  );
  assert.deepEqual(taken, ['half']);
});

test('a refusal carries its sentence; an unknown call is refused too', async () => {
  await assert.rejects(callAdmin(dir, 'GET /fails'), {
    code: 'ERR_REFUSED',
    message: 'that did not work',
  });
  await assert.rejects(callAdmin(dir, 'GET /nothing'), { code: 'ERR_REFUSED' });
});

test('a body over 1 MiB is refused, and the next call works', async () => {
  const body = { text: 'x'.repeat(1 << 20) };
  await assert.rejects(callAdmin(dir, 'POST /echo', { body }), /over 1 MiB/);
  assert.deepEqual(await callAdmin(dir, 'GET /sum?a=1&b=1'), { sum: 2 });
});

test('a running cove that ends before or amid an answer is said to have ended', async () => {
  const broken = mkdtempSync(join(tmpdir(), 'cove-ended-'));
  const server = createServer((req, res) => {
    if (req.url === '/amid') res.write('{"progress":1}\n', () => res.destroy());
    else req.socket.destroy();
  });
  try {
    await new Promise<void>((done) => void server.listen(adminSocketPath(broken), done));
    for (const path of ['/amid', '/before'])
      await assert.rejects(callAdmin(broken, `GET ${path}`), {
        code: 'ERR_REFUSED',
        message: 'the running cove ended before it answered',
      });
  } finally {
    server.close();
    rmSync(broken, { recursive: true, force: true });
  }
});

test('the socket is for its owner alone', () => {
  assert.equal(statSync(adminSocketPath(dir)).mode & 0o777, 0o600);
});

test('while one process answers, another is refused the directory', async () => {
  await assert.rejects(
    serveAdmin(dir, () => ({})),
    { code: 'ERR_DIRECTORY_IN_USE' },
  );
  await assert.rejects(refuseIfRunning(dir), new RegExp(`process ${process.pid}`));
});

test('a socket left behind by a killed process is replaced', async () => {
  await admin[Symbol.asyncDispose]();
  writeFileSync(adminSocketPath(dir), '');
  admin = await serveAdmin(dir, () => ({ 'GET /sum': () => 1 }));
  assert.equal(await callAdmin(dir, 'GET /sum'), 1);
});

test('nothing running: the error says how to start it', async () => {
  const empty = join(dir, 'empty');
  await assert.rejects(
    callAdmin(empty, 'GET /status'),
    (error) => errorCode(error) === 'ERR_NOT_RUNNING',
  );
});

test('a directory too deep for a socket path still gets one', () => {
  const deep = join(dir, 'x'.repeat(200));
  assert.ok(Buffer.byteLength(adminSocketPath(deep)) <= 103);
  assert.notEqual(adminSocketPath(deep), adminSocketPath(`${deep}y`));
});

test('a request that is cut off does not end the process', async () => {
  const req = request({
    socketPath: adminSocketPath(dir),
    method: 'POST',
    path: '/echo',
    headers: { 'content-length': 100 },
  });
  req.on('error', () => {});
  req.write('{"half');
  await new Promise((done) => setTimeout(done, 20));
  req.destroy();
  assert.deepEqual(await callAdmin(dir, 'GET /sum?a=1&b=2'), { sum: 3 });
});
