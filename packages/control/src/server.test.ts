import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { Http2Connection } from './http2/connection.ts';
import { ControlServer } from './server.ts';
import { fetchControlKey, TestNode } from './testing/client.ts';
import { Harness, next, OWNER, quiet } from './testing/harness.ts';
import { runLoad } from './testing/load.ts';

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function get(h: Harness, path: string, init: RequestInit = {}): Promise<Reply> {
  const response = await fetch(`http://127.0.0.1:${h.port}${path}`, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Sends raw bytes and reads until the server closes or some time passes. */
function talk(h: Harness, bytes: string | Uint8Array, ms = 2000): Promise<string> {
  return new Promise((resolve) => {
    const socket: Socket = connect(h.port, '127.0.0.1');
    let text = '';
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
    socket.write(bytes);
  });
}

test('GET /key gives both keys, and 400 without a version', async () => {
  await using h = await Harness.start();
  const { status, text } = await get(h, '/key?v=142');
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(text), {
    legacyPublicKey: `mkey:${'0'.repeat(64)}`,
    publicKey: h.server.publicKey,
  });
  assert.equal(await fetchControlKey(h.port), h.server.publicKey);
  for (const path of ['/key', '/key?v=', '/key?v=x', '/key?v=-1']) {
    assert.equal((await get(h, path)).status, 400, path);
  }
  assert.equal((await get(h, '/key?v=1', { method: 'POST' })).status, 405);
});

test('the small routes', async () => {
  const regions = {
    900: {
      RegionID: 900,
      RegionCode: 'own',
      RegionName: 'Own',
      Nodes: [{ Name: '900a', RegionID: 900, HostName: 'relay.test' }],
    },
  };
  await using h = await Harness.start({ derpMap: { Regions: regions } });
  assert.deepEqual(JSON.parse((await get(h, '/health')).text), { status: 'pass' });
  assert.deepEqual(JSON.parse((await get(h, '/derpmap/default')).text), {
    Regions: JSON.parse(JSON.stringify(regions)),
    omitDefaultRegions: true,
  });
  assert.equal((await get(h, '/generate_204')).status, 204);
  assert.equal((await get(h, '/nothing')).status, 404);
});

test('POST /verify admits the keys of nodes', async () => {
  await using h = await Harness.start();
  const client = await h.join('box');
  const ask = (body: string): Promise<Reply> => get(h, '/verify', { method: 'POST', body });
  const about = (key: string): string => JSON.stringify({ NodePublic: key, Source: '127.0.0.1' });
  assert.deepEqual(JSON.parse((await ask(about(client.node.nodeKey))).text), { Allow: true });
  assert.deepEqual(JSON.parse((await ask(about(client.node.newNodeKey()))).text), { Allow: false });
  for (const body of ['', '{}', 'null', '[]', '{"NodePublic":7}', '{"NodePublic":"nodekey:00"}']) {
    assert.equal((await ask(body)).status, 400, body);
  }
  assert.equal((await ask('x'.repeat(5000))).status, 413);
  assert.equal((await get(h, '/verify')).status, 405);
});

test('the approval page shows the command, escaped, and runs nothing', async () => {
  await using h = await Harness.start();
  const client = await h.connect(new TestNode('<b>&'));
  const { AuthURL } = await client.register({
    Hostinfo: { Hostname: '<img src=x onerror=alert(1)>', OS: "'&<" },
  });
  const path = new URL(AuthURL).pathname;
  const { status, text, headers } = await get(h, path);
  assert.equal(status, 200);
  assert.ok(text.includes(`<code>cove node approve ${path.slice('/register/'.length)}</code>`));
  assert.ok(text.includes('&#60;img src=x onerror=alert(1)&#62;'));
  assert.ok(!/<img|<script|<form/.test(text));
  assert.match(headers.get('content-security-policy')!, /^default-src 'none';/);
  assert.equal(headers.get('cache-control'), 'no-store');
  for (const wrong of ['/register/', '/register/0123', '/register/..%2f', '/register/<script>']) {
    const reply = await get(h, wrong);
    assert.equal(reply.status, 404);
    assert.ok(!reply.text.includes('script'));
  }
});

test('upgrade requests that are none are refused with 400 or 405', async () => {
  await using h = await Harness.start();
  const upgrade = (lines: string, method = 'POST'): string =>
    `${method} /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n${lines}\r\n`;
  const good = Buffer.alloc(101, 1).toString('base64');
  const protocol = 'Upgrade: tailscale-control-protocol\r\n';
  for (const [name, text, status] of [
    ['another protocol', upgrade(`Upgrade: websocket\r\nX-Tailscale-Handshake: ${good}\r\n`), 400],
    ['no handshake', upgrade(protocol), 400],
    ['no base64', upgrade(`${protocol}X-Tailscale-Handshake: !!!\r\n`), 400],
    ['too long', upgrade(`${protocol}X-Tailscale-Handshake: ${'A'.repeat(4000)}\r\n`), 400],
    ['too short', upgrade(`${protocol}X-Tailscale-Handshake: AAAA\r\n`), 400],
    ['a handshake for nobody', upgrade(`${protocol}X-Tailscale-Handshake: ${good}\r\n`), 400],
    ['GET', upgrade(`${protocol}X-Tailscale-Handshake: ${good}\r\n`, 'GET'), 405],
    ['a body', upgrade(`${protocol}X-Tailscale-Handshake: ${good}\r\nContent-Length: 5\r\n`), 400],
    ['another path', upgrade(protocol).replace('/ts2021', '/other'), 404],
  ] as const) {
    assert.match(await talk(h, text), new RegExp(`^HTTP/1.1 ${status} `), name);
  }
  assert.equal((await get(h, '/ts2021', { method: 'POST' })).status, 400);
  assert.equal(h.server.status().connections, 0);
});

test('a refused upgrade holds no socket, even of a client that never closes', async () => {
  await using h = await Harness.start();
  const http = createServer();
  h.server.attach(http);
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done));
  const { port } = http.address() as AddressInfo;
  for (const path of ['/ts2021', '/other']) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nmore`,
    );
    let got = '';
    socket.on('data', (data) => {
      got += data;
    });
    await new Promise((done) => socket.once('end', done));
    assert.match(got, /^HTTP\/1\.1 40[04] /);
    let left = 1;
    for (let i = 0; i < 100 && left > 0; i++) {
      await new Promise((done) => setTimeout(done, 5));
      left = await new Promise<number>((done) => http.getConnections((_, count) => done(count)));
    }
    assert.equal(left, 0, path);
    socket.destroy();
  }
  http.close();
});

test('a fault of ours ends the connection it happened on, and is logged', async (t) => {
  await using h = await Harness.start();
  const other = await h.join('other');
  const client = await h.connect(new TestNode('box'));
  const broken = t.mock.method(Http2Connection.prototype, 'receive', () => {
    throw new RangeError('broken');
  });
  await assert.rejects(client.request('GET', '/'));
  broken.mock.restore();
  assert.equal((await other.request('GET', '/')).status, 404);
  const faults = h.log.filter(({ message }) => message === 'connection failed');
  assert.equal(faults.length, 1);
  assert.match(String(faults[0]!.fields?.['error']), /RangeError: broken/);
});

test('records and frames that are none end their connection only', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const stream = await a.stream();
  await next(stream);
  for (const bytes of [
    Buffer.alloc(5000, 0xff),
    Buffer.from([4, 0, 20, ...Buffer.alloc(20)]),
    Buffer.from([4, 0xff, 0xff]),
    Buffer.from([1, 2, 3]),
  ]) {
    const client = await h.connect(new TestNode('rude'));
    client.socket.write(bytes);
    await new Promise((done) => client.socket.once('close', done));
  }
  assert.equal(h.server.status().connections, 1);
  assert.deepEqual(await quiet(stream, 20), []);
});

test('paths inside the channel: what is not there is 404, not implemented 501, wrong methods 405', async () => {
  await using h = await Harness.start();
  const client = await h.join('box');
  for (const [method, path, status] of [
    ['GET', '/machine/map', 405],
    ['GET', '/machine/register', 405],
    ['POST', '/machine/set-dns', 501],
    ['GET', '/machine/set-dns', 405],
    ['PATCH', '/machine/set-device-attr', 501],
    ['POST', '/machine/audit-log', 501],
    ['POST', '/machine/id-token', 501],
    ['POST', '/machine/feature/query', 501],
    ['GET', '/machine/whoami', 501],
    ['GET', '/machine/tka/bootstrap', 501],
    ['POST', '/machine/webclient/init/1/to/2', 501],
    ['GET', '/machine/ssh/action/1/to/2?local_user=x', 501],
    ['POST', '/machine/update-health', 204],
    ['POST', '/c2n/abc', 204],
    ['GET', '/c2n/abc', 405],
    ['GET', '/', 404],
    ['POST', '/machine/nothing', 404],
  ] as const) {
    const answer = await client.request(method, path, '{}');
    assert.equal(answer.status, status, `${method} ${path}`);
  }
});

test('whatever stands in a request, the answer is a status and the server goes on', async () => {
  await using h = await Harness.start();
  const known = await h.join('known');
  const { key } = await h.server.createAuthKey({ reusable: true });
  const keyText = fc.constantFrom(
    known.node.nodeKey,
    `nodekey:${'0'.repeat(64)}`,
    `nodekey:${'ab'.repeat(32)}`,
    'nodekey:',
    '',
    7,
  );
  const time = fc.constantFrom(
    '0001-01-01T00:00:00Z',
    '1970-01-01T00:02:03Z',
    '2999-01-01T00:00:00Z',
    'soon',
  );
  const odd = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.string());
  const hostinfo = fc.oneof(
    fc.record(
      {
        Hostname: fc.oneof(fc.string(), fc.constant('known')),
        OS: fc.string(),
        RequestTags: fc.array(fc.string(), { maxLength: 3 }),
        NetInfo: fc.record({ PreferredDERP: fc.constantFrom(-1, 0, 1, 65_536, 1.5) }),
        Services: fc.array(fc.record({ Proto: fc.string(), Port: fc.integer() }), { maxLength: 2 }),
      },
      { requiredKeys: [] },
    ),
    odd,
  );
  const body = fc.oneof(
    fc.record(
      {
        Version: fc.constantFrom(0, 96, 97, 130, 65_535, -1, 1e20),
        NodeKey: keyText,
        OldNodeKey: keyText,
        Auth: fc.oneof(fc.record({ AuthKey: fc.constantFrom(key, 'x', '') }), odd),
        Expiry: time,
        Followup: fc.constantFrom('', `http://127.0.0.1:${h.port}/register/00`, 'http://x/'),
        Hostinfo: hostinfo,
        Ephemeral: fc.boolean(),
        DiscoKey: fc.constantFrom(known.node.discoKey, 'discokey:x', ''),
        Endpoints: fc.oneof(fc.array(fc.constantFrom('1.2.3.4:5', 'x', '[::1]:0')), odd),
        OmitPeers: fc.boolean(),
        ReadOnly: fc.boolean(),
        Compress: fc.constantFrom('zstd', '', 'gzip'),
      },
      { requiredKeys: [] },
    ),
    odd,
  );
  let client = known;
  let requests = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('/machine/register', '/machine/map'),
      fc.oneof(
        body.map((value) => JSON.stringify(value)),
        fc.string(),
      ),
      async (path, text) => {
        if (requests++ % 100 === 0) client = await h.connect(known.node);
        const answer = await client.request('POST', path, text ?? '');
        assert.ok([200, 400, 404].includes(answer.status), `${answer.status}: ${text}`);
      },
    ),
    { numRuns: 600 },
  );
  assert.deepEqual(
    h.log.filter(({ level }) => level === 'error'),
    [],
  );
  const fresh = await h.join('fresh');
  assert.ok((await next(await fresh.stream()))['Node']);
});

test('60 nodes at once: each is told of every other exactly once', async () => {
  await using h = await Harness.start();
  const { key } = await h.server.createAuthKey({ reusable: true, user: 'bob@example.com' });
  const result = await runLoad({
    port: h.port,
    controlKey: h.server.publicKey,
    authKey: key,
    nodes: 60,
    parallel: 8,
    changes: 5,
  });
  assert.equal(result.peerEntries, 60 * 59);
  assert.equal(result.notToldOnce, 0);
  assert.equal(result.laterFullMaps, 0);
  assert.equal(result.changeMs.length, 5);
});

test('two servers may listen; other listeners keep their paths; detach and close let go', async () => {
  await using h = await Harness.start();
  const second = createServer((incoming, response) => {
    if (incoming.url === '/mine') response.end('mine');
  });
  const detach = h.server.attach(second);
  await new Promise<void>((done) => second.listen(0, '127.0.0.1', done));
  const { port } = second.address() as AddressInfo;
  const ask = (path: string): Promise<string> =>
    fetch(`http://127.0.0.1:${port}${path}`).then((response) => response.text());
  assert.equal(await ask('/mine'), 'mine');
  assert.match(await ask('/key?v=1'), /publicKey/);
  const client = await new TestNode('other').connect(port, h.server.publicKey);
  assert.match((await client.register()).AuthURL, /\/register\//);
  client.close();
  detach();
  const answered = await new Promise((resolve) => {
    const call = request({ port, host: '127.0.0.1', path: '/key?v=1', timeout: 100 });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.on('response', () => resolve(true));
    call.end();
  });
  assert.equal(answered, false);
  second.closeAllConnections();
  second.close();
});

test('administration: users, names, tags, expiry, and the log of it all', async () => {
  await using h = await Harness.start();
  const { server } = h;
  await h.join('box');
  await h.join('box');
  assert.deepEqual(
    server.listNodes().map((node) => node.fqdn),
    ['box.cove.test', 'box-1.cove.test'],
  );
  for (const ref of [
    2,
    '2',
    'box-1',
    'box-1.cove.test',
    'box-1.cove.test.',
    '100.64.0.2',
    'fd7a:115c:a1e0::2',
    server.getNode(2).stableId,
    server.getNode(2).nodeKey,
  ]) {
    assert.equal(server.getNode(ref).id, 2, String(ref));
  }
  for (const ref of ['nobody', 3, '', 'box-2']) {
    assert.throws(() => server.getNode(ref), { code: 'ERR_NOT_FOUND' });
  }
  await assert.rejects(server.renameNode(2, 'box'), { code: 'ERR_CONFLICT' });
  for (const name of ['Box', 'a.b', '-a', '', 'a'.repeat(64)]) {
    await assert.rejects(server.renameNode(2, name), { code: 'ERR_INVALID_ARGUMENT' });
  }
  assert.equal((await server.renameNode(2, 'files')).fqdn, 'files.cove.test');
  assert.equal((await server.expireNode(1)).expired, true);
  await assert.rejects(server.setNodeTags(1, []), { code: 'ERR_INVALID_ARGUMENT' });
  await assert.rejects(server.setNodeTags(1, ['nope']), { code: 'ERR_INVALID_ARGUMENT' });
  const tagged = await server.setNodeTags(1, ['tag:a', 'tag:a']);
  assert.deepEqual(
    [tagged.user, tagged.tags, tagged.expired],
    ['tagged-devices', ['tag:a'], false],
  );
  const bob = await server.ensureUser('bob@example.com', 'Bob');
  assert.deepEqual(await server.ensureUser('BOB@example.com'), bob);
  await assert.rejects(server.ensureUser('bob'), { code: 'ERR_INVALID_ARGUMENT' });
  assert.deepEqual(
    server.listUsers().map(({ loginName, role }) => [loginName, role]),
    [
      [OWNER, 'admin'],
      ['bob@example.com', 'member'],
    ],
  );
  await assert.rejects(server.createAuthKey({ user: OWNER, tags: ['tag:a'] }), {
    code: 'ERR_INVALID_ARGUMENT',
  });
  await assert.rejects(server.createAuthKey({ expiresIn: 0 }), { code: 'ERR_INVALID_ARGUMENT' });
  await assert.rejects(server.expireAuthKey('x'), { code: 'ERR_NOT_FOUND' });
  await assert.rejects(server.setPolicy('{"grants": [{}]}'), { code: 'ERR_POLICY' });
  assert.deepEqual(server.getPolicy(), { version: 0 });
  const kinds = server
    .listEvents({ limit: 1000 })
    .map(({ kind, actor }) => `${actor.split(':')[0]} ${kind}`);
  assert.deepEqual(kinds, [
    'system user.created',
    'admin authkey.created',
    'authkey node.created',
    'admin authkey.created',
    'authkey node.created',
    'admin node.renamed',
    'admin node.expired',
    'admin node.tagged',
    'admin user.created',
  ]);
  assert.equal(server.listEvents({ after: 3, limit: 2 })[0]!.seq, 4);
  const log = JSON.stringify(server.listEvents({ limit: 1000 }));
  assert.ok(!/(?:tskey|cove)-auth-[0-9a-f]{12}-/.test(log));
  // All records are plain JSON.
  for (const record of [
    server.listNodes(),
    server.listUsers(),
    server.listAuthKeys(),
    server.status(),
    server.listPending(),
  ]) {
    assert.deepEqual(JSON.parse(JSON.stringify(record)), record);
  }
  assert.match(server.metrics(), /^cove_control_nodes 2$/m);
});

test('a text of digits is the name of a node before it is an ID; clients do not choose such names', async () => {
  await using h = await Harness.start();
  await h.join('1');
  assert.equal(h.server.getNode('1').name, 'n1');
  await h.join('box');
  await h.server.renameNode(2, '1');
  assert.equal(h.server.getNode('1').id, 2);
  assert.equal(h.server.getNode('1.cove.test').id, 2);
  assert.equal(h.server.getNode(1).id, 1);
  assert.equal(h.server.getNode('2').id, 2);
});

test('bad relay maps are refused', async () => {
  await using h = await Harness.start();
  const node = { Name: 'a', RegionID: 900, HostName: 'relay.test' };
  const region = { RegionID: 900, RegionCode: 'x', RegionName: 'X', Nodes: [node] };
  for (const Regions of [
    { 901: region },
    { 0: { ...region, RegionID: 0 } },
    { 70000: { ...region, RegionID: 70_000 } },
    { 900: { ...region, Nodes: [node, node] } },
    { 900: { ...region, Nodes: [{ ...node, HostName: '' }] } },
    { 900: { ...region, Nodes: [{ ...node, RegionID: 1 }] } },
  ]) {
    await assert.rejects(h.server.setDerpMap({ Regions }), { code: 'ERR_INVALID_ARGUMENT' });
  }
  assert.deepEqual(h.server.getDerpMap(), { Regions: {} });
});

test('options that cannot work are refused', async () => {
  await using h = await Harness.start();
  const open = (options: object): Promise<ControlServer> =>
    ControlServer.open({
      database: `${h.dir}/other.db`,
      serverUrl: 'http://127.0.0.1:1',
      domain: 'cove.test',
      tailnet: 'test',
      owner: OWNER,
      ...options,
    });
  for (const options of [
    { serverUrl: 'ftp://x' },
    { serverUrl: 'http://x/path' },
    { domain: 'single' },
    { domain: 'Upper.test' },
    { owner: 'alice' },
    { tailnet: '' },
    { derpMap: { Regions: { 1: { RegionID: 2, Nodes: [] } } } },
  ]) {
    await assert.rejects(open(options), { code: 'ERR_INVALID_ARGUMENT' }, JSON.stringify(options));
  }
  await assert.rejects(open({ database: `${h.dir}/control.db` }), { code: 'ERR_DATABASE_LOCKED' });
  // A refused start holds nothing.
  const server = await open({});
  await server.close();
});

test('after close nothing is served and nothing changes', async () => {
  await using h = await Harness.start();
  const client = await h.join('box');
  const stream = await client.stream();
  await next(stream);
  await h.server.close();
  await assert.rejects(stream.next());
  await assert.rejects(h.server.createAuthKey(), { code: 'ERR_CLOSED' });
  await h.server.close();
});
