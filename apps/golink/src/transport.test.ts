import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { WhoIs } from '@cove/tsnet';
import { identifyService, trustsProxy } from './servicemode.ts';
import { person, startService } from './testing/service.ts';
import { isPinned, redirectToHttps, strictTransport } from './transport.ts';

async function ask(
  handler: Parameters<typeof createServer>[1],
  method: string,
  path: string,
  host: string,
) {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    return await new Promise<[number, string | undefined, string | undefined]>(
      (resolve, reject) => {
        const req = request({ port, host: '127.0.0.1', method, path, headers: { host } }, (res) => {
          res.resume();
          const { location } = res.headers;
          resolve([res.statusCode!, location, res.headers['strict-transport-security']]);
        });
        req.on('error', reject);
        req.end(method === 'POST' ? 'short=a' : undefined);
      },
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('port 80 sends GET and HEAD on with 302 and the rest with 307, the path as it came', async () => {
  const handler = redirectToHttps(() => 'foobar.com');
  for (const [method, path, status, location] of [
    ['GET', '/?query=bar', 302, 'https://foobar.com/?query=bar'],
    ['GET', 'http://example.com/?query=bar', 302, 'https://foobar.com/?query=bar'],
    ['GET', 'http://example.com', 302, 'https://foobar.com/'],
    ['HEAD', '/a%2Fb//c', 302, 'https://foobar.com/a%2Fb//c'],
    ['POST', '/', 307, 'https://foobar.com/'],
    ['GET', '//evil.example.com/x', 302, 'https://foobar.com//evil.example.com/x'],
  ] as const)
    assert.deepEqual(
      (await ask(handler, method, path, 'example.com')).slice(0, 2),
      [status, location],
      path,
    );
});

test('browsers are told to stay with HTTPS under full names, never under a bare one or an address', async () => {
  for (const [host, pinned] of [
    ['go', false],
    ['go.prawn-universe.ts.net', true],
    ['go.prawn-universe.ts.net.', true],
    ['go.prawn-universe.ts.net:443', true],
    ['go:8443', false],
    ['go.', false],
    ['100.64.0.1', false],
    ['[fd7a:115c:a1e0::1]:443', false],
    [undefined, false],
  ] as const)
    assert.equal(isPinned(host), pinned, host);
  const handler = strictTransport((_req, res) => void res.end());
  assert.equal((await ask(handler, 'GET', '/', 'go'))[2], undefined);
  assert.equal((await ask(handler, 'GET', '/', 'go.example.ts.net'))[2], 'max-age=31536000');
});

test('identity headers are believed only with a service name and from this machine', () => {
  for (const [service, peer, trusted] of [
    [undefined, '127.0.0.1', false],
    ['', '127.0.0.1', false],
    ['svc:go', '127.0.0.1', true],
    ['svc:go', '127.8.8.8', true],
    ['svc:go', '::ffff:127.0.0.1', true],
    ['svc:go', '[::1]', true],
    ['svc:go', '::1', true],
    ['svc:go', '100.64.1.1', false],
    ['svc:go', '127.0.0.1.example.com', false],
    ['svc:go', undefined, false],
  ] as const)
    assert.equal(trustsProxy(service, peer), trusted, `${service} ${peer}`);
});

test('in service mode the header is the login, and the address behind it tells who is admin', async () => {
  const grants: Record<string, () => Promise<WhoIs | undefined>> = {
    '100.64.0.1': async () => person('alice@example.com', true),
    '100.64.0.2': async () => person('alice@example.com'),
    '100.64.0.3': () => Promise.reject(new Error('no answer')),
  };
  await using go = await startService({
    service: { name: 'svc:go', whoIs: async (address) => grants[address]?.() },
  });
  go.caller = undefined;
  const me = async (headers: Record<string, string>): Promise<unknown> => {
    const { status, body } = await go.get('/.api/v1/me', headers);
    if (status !== 200) return 'refused';
    const { login, admin } = JSON.parse(body) as { login: string; admin: boolean };
    return [login, admin];
  };
  const alice = { 'tailscale-user-login': 'alice@example.com' };
  assert.equal(await me({}), 'refused', 'no header: nobody');
  assert.equal(await me({ 'x-forwarded-for': '100.64.0.1' }), 'refused');
  assert.deepEqual(await me(alice), ['alice@example.com', false]);
  for (const [address, admin] of [
    ['100.64.0.1', true],
    [' 100.64.0.1 ', true],
    ['100.64.0.2', false],
    ['100.64.0.3', false],
    ['100.64.0.9', false],
    ['invalid-ip', false],
    ['100.64.0.1, 100.64.0.1', false],
  ] as const)
    assert.deepEqual(
      await me({ ...alice, 'x-forwarded-for': address }),
      ['alice@example.com', admin],
      address,
    );
  const made = { short: 'me', long: '/who/{{.User}}' };
  await go.post('/', made, { ...alice, 'sec-golink': '1' });
  assert.equal((await go.get('/me', alice)).location, '/who/alice@example.com');
});

test('a service name that is none is refused', () => {
  const whoIs = async () => undefined;
  for (const name of ['go', 'svc:', 'svc:a:b'])
    assert.throws(() => identifyService({ name, whoIs }, whoIs), /not of the form svc:name/);
});
