// HTTPS with a certificate of one's own, on a node of the tailnet: the caller is who the tunnel says, port 80 sends on.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect } from 'node:tls';
import { loadSelfSigned } from '@cove/derp';
import { Server } from '@cove/tsnet';
import { cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';

const dir = mkdtempSync(join(tmpdir(), 'cove-golink-tls-'));
after(() => rmSync(dir, { recursive: true, force: true }));

test('cove golink --tls-cert serves HTTPS to the tailnet, knows the caller, and redirects port 80', async () => {
  const made = await loadSelfSigned(dir, ['links.example.com']);
  writeFileSync(join(dir, 'cert.pem'), made.cert);
  writeFileSync(join(dir, 'key.pem'), made.key);
  const network = await RunningCove.start([
    ...['up', '--dir', join(dir, 'up'), '--owner', 'ada@example.com'],
    ...FREE_PORTS,
  ]);
  const key = async (): Promise<string> =>
    (
      await cove(['authkey', 'create', '--user', 'bob@example.com', '--dir', join(dir, 'up')])
    ).stdout.trim();
  let links: RunningCove | undefined;
  let node: Server | undefined;
  try {
    links = await RunningCove.start([
      ...['golink', '--dir', join(dir, 'links'), '--hostname', 'links', '--auth-key', await key()],
      ...['--control-url', network.ready.control],
      ...['--tls-cert', join(dir, 'cert.pem'), '--tls-key', join(dir, 'key.pem')],
    ]);
    const service = links.ready.services[0]!;
    assert.equal(service.url, 'https://links.example.com/');
    const caller = new Server({
      ...{ hostname: 'caller', dir: join(dir, 'caller'), authKey: key },
      controlUrl: network.ready.control,
    });
    node = caller;
    await caller.up({ signal: AbortSignal.timeout(30_000) });
    const host = service.ips[0]!;
    const plain = await answerOf(
      httpRequest({ host, path: '/a%2Fb?c', agent: caller.agent(), headers: { host: 'links' } }),
    );
    assert.equal(plain.status, 302);
    assert.equal(plain.headers.location, 'https://links.example.com/a%2Fb?c');

    const conn = await caller.dial({ host, port: 443, signal: AbortSignal.timeout(10_000) });
    const secure = connect({ socket: conn, servername: 'links.example.com', ca: made.cert });
    const me = await answerOf(
      httpsRequest({
        ...{ host: 'links.example.com', path: '/.api/v1/me' },
        createConnection: () => secure,
      }),
    );
    assert.equal(me.status, 200, me.body);
    assert.equal((JSON.parse(me.body) as { login: string }).login, 'bob@example.com');
    assert.equal(me.headers['strict-transport-security'], 'max-age=31536000');
  } finally {
    await node?.close();
    assert.equal((await links?.stop()) ?? 0, 0);
    await network.stop();
  }
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

function answerOf(req: ReturnType<typeof httpRequest>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    req.once('error', reject);
    req.once('response', async (res: IncomingMessage) => {
      let body = '';
      for await (const chunk of res) body += String(chunk);
      resolve({ status: res.statusCode!, headers: res.headers, body });
    });
    req.end();
  });
}
