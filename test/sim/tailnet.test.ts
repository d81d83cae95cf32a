// Nodes of one tailnet in one process: they log in, find each other by name and talk through the tunnel.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createServer, get, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer, get as getHttps } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadSelfSigned } from '@cove/derp';
import type { Clock, Server, TsnetError, WhoIs } from '@cove/tsnet';
import { TestTailnet, until } from '../harness/tailnet.ts';

/** Serves a greeting to whoever the tunnel says is calling. */
async function greet(node: Server, port = 80): Promise<void> {
  const http = createServer((req, res) => {
    node.whoIs(req.socket).then(
      (who) => res.end(`${who.user.loginName} on ${who.node.computedName}`),
      (error: TsnetError) => res.writeHead(500).end(error.code),
    );
  });
  (await node.listen({ port })).serve(http);
}

async function failure(promise: Promise<unknown>): Promise<TsnetError> {
  return promise.then(
    () => assert.fail('did not fail'),
    (error: TsnetError) => error,
  );
}

const limit = (ms = 15_000): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(ms) });

describe('a tailnet in one process', () => {
  let tailnet: TestTailnet;
  let web: Server;
  let laptop: Server;

  before(async () => {
    tailnet = await TestTailnet.start({ ephemeralTimeout: 500 });
    web = await tailnet.upNode('web', { key: { tags: ['tag:web'] } });
    laptop = await tailnet.upNode('laptop', { key: { user: 'bob@test.internal' } });
    await greet(web);
    await until(() => web.status().peers.length === 1, 'web sees laptop');
    await until(() => laptop.status().peers.length === 1, 'laptop sees web');
  });
  after(async () => {
    await tailnet[Symbol.asyncDispose]();
  });

  test('up gives addresses of both families and the full name', async () => {
    const { ips, dnsName, name, magicDnsSuffix } = await laptop.up(limit());
    assert.match(ips[0]!, /^100\./);
    assert.match(ips[1]!, /^fd7a:115c:a1e0:/);
    assert.equal(dnsName, 'laptop.test.internal');
    assert.equal(name, 'laptop');
    assert.equal(magicDnsSuffix, 'test.internal');
  });

  test('fetch by short name: the answer names the caller, from the tunnel', async () => {
    const response = await laptop.fetch('http://web/', limit());
    assert.equal(response.status, 200);
    assert.equal(await response.text(), 'bob@test.internal on laptop');
  });

  for (const host of ['web.test.internal', 'WEB.test.internal.']) {
    test(`fetch by full name ${host}`, async () => {
      assert.equal(
        await (await laptop.fetch(`http://${host}/`, limit())).text(),
        'bob@test.internal on laptop',
      );
    });
  }

  test('fetch by IPv4 and IPv6 address', async () => {
    for (const ip of web.status().ips) {
      const host = ip.includes(':') ? `[${ip}]` : ip;
      const response = await laptop.fetch(`http://${host}/`, limit());
      assert.equal(await response.text(), 'bob@test.internal on laptop');
    }
  });

  test('http.get with the agent, kept alive over many requests', async () => {
    const agent = laptop.agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 20; i++) {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        get('http://web/', { agent }, resolve).on('error', reject);
      });
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      assert.equal(Buffer.concat(chunks).toString(), 'bob@test.internal on laptop');
    }
    agent.destroy();
  });

  test('https through the tunnel: the caller is known inside TLS too', async () => {
    const { cert, key } = await loadSelfSigned(join(tailnet.dir, 'tls'), ['web.test.internal']);
    const server = createHttpsServer({ cert, key }, (req, res) => {
      web.whoIs(req.socket).then(
        (who) => res.end(who.user.loginName),
        (error: TsnetError) => res.end(error.code),
      );
    });
    const listener = (await web.listen({ port: 443 })).serve(server);
    const agent = laptop.httpsAgent({ ca: cert });
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      getHttps('https://web.test.internal/', { agent }, resolve).on('error', reject);
    });
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    assert.equal(Buffer.concat(chunks).toString(), 'bob@test.internal');
    agent.destroy();
    listener.close();
    listener.closeAllConnections();
  });

  test('hosts that are not of the tailnet are reached without it', async () => {
    const response = await laptop.fetch(`${tailnet.url}/key?v=119`, limit());
    assert.match(await response.text(), /mkey:/);
  });

  test('whoIs: a person, a tagged machine, oneself, and nobody', async () => {
    const [laptopIp] = laptop.status().ips;
    const [webIp] = web.status().ips;
    const bob = await web.whoIs(laptopIp!);
    assert.equal(bob.user.loginName, 'bob@test.internal');
    assert.deepEqual(bob.node.tags, []);
    assert.equal(bob.node.name, 'laptop.test.internal');
    const machine: WhoIs = await laptop.whoIs(`${webIp}:80`);
    assert.deepEqual(machine.node.tags, ['tag:web']);
    assert.equal(machine.user.loginName, 'tagged-devices');
    assert.equal((await web.whoIs(webIp!)).node.computedName, 'web');
    assert.equal((await failure(web.whoIs('192.0.2.1'))).code, 'ERR_NO_SUCH_PEER');
    assert.equal((await failure(web.whoIs('not an address'))).code, 'ERR_NO_SUCH_PEER');
  });

  test('whoIs does not believe a kernel socket, whatever its addresses', async () => {
    const http = createServer((req, res) => {
      web.whoIs(req.socket).then(
        () => res.end('known'),
        (error: TsnetError) => res.end(error.code),
      );
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const { port } = http.address() as { port: number };
    const response = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(await response.text(), 'ERR_NO_SUCH_PEER');
    http.closeAllConnections();
    http.close();
  });

  test('a port nobody listens on: ECONNREFUSED, at once', async () => {
    const error = await failure(laptop.dial({ host: 'web', port: 81, ...limit() }));
    assert.equal(error.code, 'ECONNREFUSED');
  });

  test('a name nobody has: ENOTFOUND; an address nobody has: EHOSTUNREACH', async () => {
    assert.equal(
      (await failure(laptop.dial({ host: 'nobody', port: 80, ...limit() }))).code,
      'ENOTFOUND',
    );
    assert.equal(
      (await failure(laptop.dial({ host: '100.127.255.1', port: 80, ...limit() }))).code,
      'EHOSTUNREACH',
    );
  });

  test('http to a name nobody has: the request fails, the process lives', async () => {
    const ask = (host: string): Promise<string | undefined> =>
      new Promise((done) => {
        const req = get({ host, agent: laptop.agent(), path: '/' });
        req.once('error', (error: NodeJS.ErrnoException) => done(error.code));
      });
    assert.equal(await ask('nobody'), 'ENOTFOUND');
    await assert.rejects(laptop.fetch('http://nobody/', limit()), TypeError);
  });

  test('close ends a dial that is under way', async () => {
    const node = await tailnet.upNode('leaver', { ephemeral: true });
    const dialled = failure(node.dial({ host: 'web', port: 81 }));
    await node.close();
    assert.ok((await dialled).code);
  });

  test('an aborted dial rejects with the reason', async () => {
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await assert.rejects(laptop.dial({ host: 'web', port: 80, signal }), reason);
  });

  test('bad arguments are refused before anything happens', async () => {
    await assert.rejects(laptop.listen({ port: 70_000 }), RangeError);
    await assert.rejects(laptop.listen({ port: 80, host: 'name' }), TypeError);
    await assert.rejects(laptop.dial({ host: 'web', port: -1 }), RangeError);
  });

  test('listen on port 0 gives a port; on a taken one EADDRINUSE; on a foreign address EADDRNOTAVAIL', async () => {
    const listener = await laptop.listen({ port: 0 });
    const { port } = listener.address()!;
    assert.ok(port > 0);
    assert.equal((await failure(laptop.listen({ port }))).code, 'EADDRINUSE');
    listener.close();
    assert.equal(
      (await failure(laptop.listen({ port: 0, host: '192.0.2.7' }))).code,
      'EADDRNOTAVAIL',
    );
  });

  test('4 MiB go there and back unharmed, both sides at once', async () => {
    const listener = await web.listen({ port: 9000 });
    listener.on('connection', (conn) => conn.pipe(conn));
    const conn = await laptop.dial({ host: 'web', port: 9000, ...limit() });
    const sent = randomBytes(4 << 20);
    const hash = createHash('sha256');
    let length = 0;
    const done = (async () => {
      for await (const chunk of conn) {
        hash.update(chunk as Buffer);
        length += (chunk as Buffer).length;
        if (length === sent.length) break;
      }
    })();
    conn.write(sent);
    await done;
    conn.destroy();
    assert.equal(hash.digest('hex'), createHash('sha256').update(sent).digest('hex'));
    listener.close();
  });

  test('datagrams: the answer comes back to the port that asked', async () => {
    const server = await web.listenPacket({ port: 5353 });
    server.on('message', (message, from) => server.send(message, from.port, from.address));
    const client = await laptop.listenPacket({ port: 0 });
    const answer = new Promise<Buffer>((resolve) => client.once('message', resolve));
    client.send('ping', 5353, web.status().ips[0]!);
    assert.equal((await answer).toString(), 'ping');
    server.close();
    client.close();
  });

  test('status: each sees the other with name, owner, addresses and relay', () => {
    const [peer] = laptop.status().peers;
    assert.equal(peer?.computedName, 'web');
    assert.deepEqual(peer?.tags, ['tag:web']);
    assert.equal(peer?.relay, 'own');
    assert.equal(peer?.active, true);
    assert.ok(peer!.rxBytes > 0 && peer!.txBytes > 0);
    assert.equal(laptop.status().state, 'Running');
    JSON.stringify(laptop.status());
  });

  test('a one-time key lets in one node, a reusable one several', async () => {
    const once = await tailnet.control.createAuthKey({});
    await tailnet.upNode('first', { key: false, authKey: once.key });
    const second = await tailnet.newNode('second', { key: false, authKey: once.key });
    const error = await failure(second.up(limit()));
    assert.equal(error.code, 'ERR_LOGIN_REFUSED');
    assert.match(error.message, /used/);
    const many = await tailnet.control.createAuthKey({ reusable: true });
    await tailnet.upNode('third', { key: false, authKey: many.key });
    await tailnet.upNode('fourth', { key: false, authKey: async () => many.key });
  });

  test('an ephemeral node leaves the tailnet when it closes', async () => {
    const guest = await tailnet.upNode('guest', { ephemeral: true, key: {} });
    await until(
      () => laptop.status().peers.some(({ name }) => name.startsWith('guest.')),
      'guest comes',
    );
    await guest.close();
    assert.equal(guest.state, 'Stopped');
    await until(
      () => !laptop.status().peers.some(({ name }) => name.startsWith('guest.')),
      'guest goes',
    );
    assert.ok(!tailnet.control.listNodes().some(({ name }) => name === 'guest'));
  });

  test('a closed node refuses everything with ERR_CLOSED, and closing again is nothing', async () => {
    const node = await tailnet.upNode('shortlived');
    const listener = await node.listen({ port: 80 });
    await node.close();
    await node.close();
    assert.equal(listener.listening, false);
    assert.equal((await failure(node.up())).code, 'ERR_CLOSED');
    assert.equal((await failure(node.dial({ host: 'web', port: 80 }))).code, 'ERR_CLOSED');
    assert.equal((await failure(node.listen({ port: 80 }))).code, 'ERR_CLOSED');
  });

  test('closing ends a wait for a login', async () => {
    const node = await tailnet.newNode('waiting', { key: false });
    const waiting = failure(node.up());
    await new Promise((resolve) => node.once('login', resolve));
    await node.close();
    assert.equal((await waiting).code, 'ERR_CLOSED');
  });

  test('interactive: the login event carries the URL, approval lets the node in', async () => {
    const node = await tailnet.newNode('phone', { key: false });
    const url = new Promise<string>((resolve) => node.once('login', resolve));
    const up = node.up(limit());
    assert.ok((await url).startsWith(`${tailnet.url}/`));
    assert.equal(node.state, 'NeedsLogin');
    assert.equal(node.status().loginUrl, await url);
    const [pending] = tailnet.control.listPending().filter(({ hostname }) => hostname === 'phone');
    await tailnet.control.approve(pending!.id, { user: 'carol@test.internal' });
    await up;
    assert.equal(node.state, 'Running');
    assert.equal(node.status().self?.user, 'carol@test.internal');
  });

  test('requests made before the node is up start it and wait for it, however many', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => {
      warnings.push(warning);
    };
    process.on('warning', onWarning);
    const node = await tailnet.newNode('eager', { key: { user: 'eve@test.internal' } });
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => (await node.fetch('http://web/', limit())).text()),
    );
    process.off('warning', onWarning);
    assert.deepEqual(new Set(answers), new Set(['eve@test.internal on eager']));
    assert.deepEqual(warnings, []);
  });

  test('nobody logs the node in: the timeout says where', async () => {
    const node = await tailnet.newNode('lonely', { key: false });
    const error = await failure(node.up(limit(1_000)));
    assert.equal(error.code, 'ERR_LOGIN_REQUIRED');
    assert.match(error.message, /http:\/\/127\.0\.0\.1/);
  });

  test('restarted with the same state: the same address and name, and no key needed', async () => {
    const before = await tailnet.upNode('keeper');
    const { ips, dnsName } = await before.up();
    await before.close();
    const again = await tailnet.upNode('keeper', { key: false });
    assert.deepEqual((await again.up()).ips, ips);
    assert.equal((await again.up()).dnsName, dnsName);
    assert.equal(
      tailnet.control.listNodes().filter(({ hostname }) => hostname === 'keeper').length,
      1,
    );
  });

  test('two nodes on one state directory: the second is refused', async () => {
    const first = await tailnet.upNode('twin');
    const second = await tailnet.newNode('twin', { key: false });
    assert.equal((await failure(second.up(limit()))).code, 'ERR_STATE_LOCKED');
    await first.close();
  });

  test('after a logout the next start is a new login', async () => {
    const node = await tailnet.upNode('leaver', { ephemeral: true });
    await node.logout(limit());
    assert.equal(node.state, 'Stopped');
    const again = await tailnet.newNode('leaver', { key: false });
    const url = new Promise<string>((resolve) => again.once('login', resolve));
    again.up().catch(() => {});
    assert.match(await url, /^http/);
  });

  test('an expired key: NeedsLogin, a new login, and the listener still answers', async () => {
    const node = await tailnet.upNode('expiring', { key: { user: 'dora@test.internal' } });
    await greet(node);
    assert.equal((await laptop.fetch('http://expiring/', limit())).status, 200);
    const url = new Promise<string>((resolve) => node.once('login', resolve));
    await tailnet.control.expireNode('expiring');
    await url;
    assert.equal(node.state, 'NeedsLogin');
    const [pending] = tailnet.control
      .listPending()
      .filter(({ hostname }) => hostname === 'expiring');
    await tailnet.control.approve(pending!.id, { user: 'dora@test.internal' });
    await until(() => node.state === 'Running', 'running again');
    await until(async () => {
      const response = await laptop.fetch('http://expiring/', limit(2_000)).catch(() => undefined);
      return (await response?.text()) === 'bob@test.internal on laptop';
    }, 'the listener answers under the new key');
  });

  test('grants of the policy reach whoIs as capabilities, and a new policy takes effect at once', async () => {
    const grant = (value: string): string =>
      JSON.stringify({
        tagOwners: { 'tag:web': ['alice@test.internal'] },
        acls: [{ action: 'accept', src: ['*'], dst: ['*:*'] }],
        grants: [
          {
            src: ['bob@test.internal'],
            dst: ['tag:web'],
            app: { 'example.com/cap/test': [{ role: value }] },
          },
        ],
      });
    await tailnet.control.setPolicy(grant('reader'));
    const laptopIp = laptop.status().ips[0]!;
    const capability = async (): Promise<unknown> =>
      (await web.whoIs(laptopIp)).capabilities['example.com/cap/test'];
    await until(async () => (await capability()) !== undefined, 'the grant arrives');
    assert.deepEqual(await capability(), [{ role: 'reader' }]);
    await tailnet.control.setPolicy(grant('writer'));
    await until(
      async () => JSON.stringify(await capability())?.includes('writer'),
      'the new grant',
    );
    await tailnet.control.setPolicy(undefined);
    await until(async () => (await capability()) === undefined, 'the grant goes');
  });

  test('a deleted node disappears from its peers', async () => {
    await tailnet.upNode('doomed');
    await until(
      () => laptop.status().peers.some(({ computedName }) => computedName === 'doomed'),
      'comes',
    );
    await tailnet.control.deleteNode('doomed');
    await until(
      () => !laptop.status().peers.some(({ computedName }) => computedName === 'doomed'),
      'goes',
    );
    assert.equal(
      (await failure(laptop.dial({ host: 'doomed', port: 80, ...limit() }))).code,
      'ENOTFOUND',
    );
  });

  test('control away: what is known goes on working; control back: news arrive again', async () => {
    await tailnet.stopControl();
    assert.equal(
      await (await laptop.fetch('http://web/', limit())).text(),
      'bob@test.internal on laptop',
    );
    await tailnet.startControl();
    await tailnet.upNode('newcomer');
    await until(
      () => laptop.status().peers.some(({ computedName }) => computedName === 'newcomer'),
      'news',
      30_000,
    );
  });

  test('control away: a node that restarts starts from the last map, with its address, and news arrive later', async () => {
    const first = await tailnet.upNode('phoenix');
    const { ips } = await first.up();
    await until(() => first.status().peers.length > 0, 'phoenix knows its peers');
    await first.close();
    await tailnet.stopControl();
    try {
      const second = await tailnet.newNode('phoenix', { key: false });
      const up = await second.up({ signal: AbortSignal.timeout(20_000) });
      assert.deepEqual(up.ips, ips);
      const response = await second.fetch('http://web/');
      assert.match(await response.text(), /phoenix/);
      assert.match(second.status().problem ?? '', /cannot be reached|was lost/);
      await tailnet.startControl();
      await until(() => second.status().problem === undefined, 'the server is back', 30_000);
      await second.logout();
      await assert.rejects(stat(join(tailnet.dir, 'nodes', 'phoenix', 'netmap.cache')), {
        code: 'ENOENT',
      });
    } finally {
      if (tailnet.isControlAway) await tailnet.startControl();
    }
  });

  test('no relay answers and the clock is far off: the clock is named', async () => {
    await tailnet.stopRelay();
    const clock: Clock = {
      now: () => performance.now(),
      wallNow: () => Date.now() - 400 * 86_400_000,
      schedule(delayMs, callback) {
        const timer = setTimeout(callback, delayMs);
        return { cancel: () => clearTimeout(timer) };
      },
    };
    const node = await tailnet.newNode('yesteryear', { clock });
    const error = await failure(node.up(limit(2000)));
    assert.equal(error.code, 'ERR_CONTROL_CLOCK');
    assert.match(error.message, /400 days behind/);
    await node.close();
    await tailnet.startRelay();
  });

  test('relay away and back: traffic resumes', async () => {
    await tailnet.stopRelay();
    await tailnet.startRelay();
    await until(
      async () => {
        const response = await laptop.fetch('http://web/', limit(3_000)).catch(() => undefined);
        return (await response?.text()) === 'bob@test.internal on laptop';
      },
      'an answer over the new relay',
      30_000,
    );
  });
});

test('no control server there: the timeout of up() tells why', async () => {
  const tailnet = await TestTailnet.start();
  try {
    const node = await tailnet.newNode('lost', { controlUrl: 'http://127.0.0.1:1', key: {} });
    const error = await failure(node.up(limit(500)));
    assert.equal(error.code, 'ERR_CONTROL_UNREACHABLE');
    assert.match(error.message, /ECONNREFUSED/);
    assert.equal((error.cause as Error).name, 'TimeoutError');
    assert.equal(node.status().problem, error.message);
  } finally {
    await tailnet[Symbol.asyncDispose]();
  }
});
