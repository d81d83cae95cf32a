import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import type { Conn } from './conn.ts';
import { PeerApi, peerApiPort } from './peerapi.ts';
import { hostPair, type TestHost } from './testing/hosts.ts';
import type { WhoIs } from './whois.ts';

let running: TestHost[] = [];

afterEach(() => {
  for (const host of running) host.stop();
  running = [];
});

const caller: WhoIs = {
  node: {
    id: 1,
    stableId: 'n1',
    name: 'a.example.ts.net',
    computedName: 'a',
    addresses: ['100.64.0.1'],
    tags: [],
  },
  user: { id: 1, loginName: 'eve@example.com', displayName: '<Eve> & "Co"' },
  capabilities: {},
};

function serve(whoIs: () => WhoIs | undefined): { client: TestHost; api: PeerApi } {
  const { client, server } = hostPair();
  running.push(client, server);
  const api = new PeerApi({ whoIs, isOwnAddress: (address) => address === '100.64.0.2' });
  api.attach(server.listen(50000));
  return { client, api };
}

async function ask(client: TestHost, head: string): Promise<string> {
  const conn: Conn = await client.dial(50000);
  let all = '';
  conn.on('data', (chunk: Buffer) => {
    all += String(chunk);
  });
  conn.on('error', () => {});
  conn.write(head.replaceAll('\n', '\r\n'));
  await once(conn, 'close');
  return all;
}

const get = (path: string, host: string, more = ''): string =>
  `GET ${path} HTTP/1.1\nHost: ${host}\nConnection: close\n${more}\n`;

test('the port is 32768 or more, follows from the last three bytes, and suits both families', () => {
  // CRC-32 of 40 00 01 and of the last three bytes of the IPv6 address, as crc32 tools give them.
  assert.equal(peerApiPort('100.64.0.1'), 58436);
  assert.equal(peerApiPort('100.64.0.1'), peerApiPort('10.64.0.1'));
  assert.ok(peerApiPort('fd7a:115c:a1e0::1') >= 32768);
  assert.equal(peerApiPort('nonsense'), 0);
});

test('the greeting names the caller, escaped, under headers that keep browsers out', async () => {
  const { client } = serve(() => caller);
  const answer = await ask(client, get('/', '100.64.0.2:50000'));
  assert.match(answer, /^HTTP\/1.1 200/);
  assert.ok(answer.includes('Hello, &#60;Eve&#62; &#38; &#34;Co&#34; (100.64.0.1)'));
  assert.match(answer, /X-Content-Type-Options: nosniff/i);
  assert.match(answer, /Content-Security-Policy: default-src 'none'/i);
});

test('a Host that is not ours, a Referer or an Origin is refused', async () => {
  const { client } = serve(() => caller);
  for (const host of ['peer', '100.64.0.2:50000', '100.64.0.2:1'])
    assert.match(await ask(client, get('/', host)), /^HTTP\/1.1 200/, host);
  for (const host of ['evil.example', '100.64.0.3:50000', '100.64.0.2', '[::1]:50000', 'peer:80'])
    assert.match(await ask(client, get('/', host)), /^HTTP\/1.1 403/, host);
  for (const header of ['Referer: http://x/\n', 'Origin: http://x\n'])
    assert.match(await ask(client, get('/', 'peer', header)), /^HTTP\/1.1 403/, header);
});

test('a caller who is no node gets no answer at all', async () => {
  const { client } = serve(() => undefined);
  assert.equal(await ask(client, get('/', 'peer')), '');
});

test('paths can be added; others do not exist', async () => {
  const { client, api } = serve(() => caller);
  api.handle('/v0/put/', (request, response, who) =>
    response.end(`${request.url} by ${who.node.computedName}`),
  );
  assert.throws(() => api.handle('/v0/put/', () => {}), RangeError);
  assert.match(await ask(client, get('/v0/put/x?y', 'peer')), /\/v0\/put\/x\?y by a$/);
  assert.match(await ask(client, get('/v0/put', 'peer')), /404.*unsupported peerapi path/s);
  assert.match(await ask(client, get('/', 'peer').replace('GET', 'POST')), /^HTTP\/1.1 405/);
});
