import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadSelfSigned } from '@cove/derp';
import type { Listener } from '@cove/tsnet';
import { parseTags } from '../commands/options.ts';
import { readCertificate, serveTls, tunnelEnd } from './tls.ts';

test('with a certificate of our own requests come in over HTTPS, and the caller is who the tunnel says', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cove-tls-'));
  const accepted: Socket[] = [];
  const ends: unknown[] = [];
  const tunnel = createServer((socket) => void accepted.push(socket));
  const http = createHttpServer((req, res) => {
    ends.push(tunnelEnd(req as IncomingMessage));
    req.pipe(res);
  });
  try {
    const made = await loadSelfSigned(dir, ['go.example.com', '127.0.0.1']);
    const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
    writeFileSync(cert, made.cert);
    writeFileSync(key, made.key);
    const certificate = readCertificate(cert, key);
    assert.deepEqual(certificate.names, ['go.example.com']);
    serveTls(tunnel as unknown as Listener, http, certificate);
    await new Promise<void>((done) => void tunnel.listen(0, '127.0.0.1', done));
    const { port } = tunnel.address() as AddressInfo;
    const body = 'x'.repeat(200_000);
    const answer = await new Promise<string>((resolve, reject) => {
      const req = request(
        { port, host: '127.0.0.1', method: 'POST', rejectUnauthorized: false, agent: false },
        async (res) => {
          let text = '';
          for await (const chunk of res) text += String(chunk);
          resolve(text);
        },
      );
      req.on('error', reject);
      req.end(body);
    });
    assert.equal(answer, body);
    assert.equal(ends[0], accepted[0]);
    // What is no TLS ends, and nothing else does.
    const plain = connect(port, '127.0.0.1', () => plain.write('GET / HTTP/1.1\r\n\r\n'));
    plain.on('error', () => {});
    await new Promise((done) => plain.once('close', done));
    assert.throws(() => readCertificate(join(dir, 'none'), key), /cannot be used: ENOENT/);
  } finally {
    for (const socket of accepted) socket.destroy();
    http.closeAllConnections();
    tunnel.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

test('tags are read with blanks and empty parts around them; what is none is refused', () => {
  for (const [text, tags] of [
    ['', []],
    ['tag:golink', ['tag:golink']],
    ['tag:golink,tag:server', ['tag:golink', 'tag:server']],
    [' tag:golink , tag:server ', ['tag:golink', 'tag:server']],
    ['tag:golink,', ['tag:golink']],
  ] as const)
    assert.deepEqual(parseTags(text), tags, text);
  for (const text of ['golink', 'tag:golink,invalid'])
    assert.throws(() => parseTags(text), { code: 'ERR_USAGE' });
});
