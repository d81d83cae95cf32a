// The main job, as a stranger runs it: one command, a page through the tunnel, links that survive.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';

const dir = mkdtempSync(join(tmpdir(), 'cove-up-'));
const ARGS = ['up', '--dir', dir, '--owner', 'ada@example.com', ...FREE_PORTS];
let running: RunningCove;

before(async () => {
  running = await RunningCove.start(ARGS);
});
after(async () => {
  await running?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Makes a link as golink's own clients do. */
async function makeLink(short: string, long: string): Promise<void> {
  const { status, body } = await running.ask('/', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-golink': '1' },
    body: new URLSearchParams({ short, long }).toString(),
  });
  assert.ok(status < 400, `${status} ${body}`);
}

test('the ready line names the doorway, the owner and the services', () => {
  const { ready } = running;
  assert.equal(ready.event, 'ready');
  assert.equal(ready.owner, 'ada@example.com');
  assert.match(ready.doorway, /^http:\/\/localhost:\d+$/);
  assert.deepEqual(
    ready.services.map(({ name, url }) => [name, url]),
    [['go', 'http://go/']],
  );
  assert.match(ready.services[0]!.ips[0]!, /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./);
});

test('the go page names the owner, whom only the tunnel could have told it', async () => {
  const { status, body } = await running.ask('/');
  assert.equal(status, 200);
  assert.match(body, /ada@example\.com/);
});

test('the bytes between doorway and go cross as WireGuard: the counters of status move', async () => {
  const bytes = async (): Promise<number> => {
    const { stdout, code, stderr } = await cove(['status', '--dir', dir, '--json']);
    assert.equal(code, 0, stderr);
    const status = JSON.parse(stdout) as { services: { node: { peers: { rxBytes: number }[] } }[] };
    return status.services[0]!.node.peers.reduce((sum, peer) => sum + peer.rxBytes, 0);
  };
  const before = await bytes();
  for (let i = 0; i < 5; i++) await running.ask('/');
  const grown = (await bytes()) - before;
  assert.ok(grown > 500, `only ${grown} bytes`);
});

test('the doorway lists the services, and go answers by path as well', async () => {
  const home = await running.ask('/', { host: 'localhost' });
  assert.equal(home.status, 200);
  assert.match(home.body, /ada@example\.com/);
  const byPath = await running.ask('/go/', { host: 'localhost' });
  assert.equal(byPath.status, 200);
  assert.match(byPath.body, /href="\/go\//);
});

test('a link that was answered survives kill -9 at any moment after', async () => {
  for (let round = 0; round < 3; round++) {
    await makeLink(`kept${round}`, `https://example.com/${round}`);
    await running.stop('SIGKILL');
    running = await RunningCove.start(ARGS);
    for (let i = 0; i <= round; i++) {
      const { status, headers } = await running.ask(`/kept${i}`);
      assert.equal(status, 302);
      assert.equal(headers['location'], `https://example.com/${i}`);
    }
  }
});

test('after a restart go keeps its address', async () => {
  const address = running.ready.services[0]!.ips[0];
  assert.equal(await running.stop(), 0);
  running = await RunningCove.start(ARGS);
  assert.equal(running.ready.services[0]!.ips[0], address);
});

test('a second process on the same directory gets one sentence and changes nothing', async () => {
  const second = await cove([...ARGS, '--json']);
  assert.equal(second.code, 1);
  assert.equal(second.stdout, '');
  assert.match(second.stderr, /^cove: another cove \(process \d+\) is using .*: stop it first/);
  assert.equal((await running.ask('/')).status, 200);
});

test('cove ping shows a direct path and cove netcheck what the network lets through', async () => {
  const pinged = await cove(['ping', 'go', '--dir', dir]);
  assert.equal(pinged.code, 0, pinged.stderr);
  assert.match(
    pinged.stdout,
    /pong from go \(100\.\d+\.\d+\.\d+\) via 127\.0\.0\.1:\d+ in \d+ms\n$/,
  );
  for (const type of ['tsmp', 'icmp', 'peerapi']) {
    const { code, stdout, stderr } = await cove([
      'ping',
      'go',
      `--${type}`,
      '--json',
      '--dir',
      dir,
    ]);
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { type: string }).type, type);
  }
  const unknown = await cove(['ping', 'nobody', '--dir', dir]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /^cove: no machine of this network is called nobody/);
  const { stdout } = await cove(['netcheck', '--json', '--dir', dir]);
  const report = JSON.parse(stdout) as { udp: boolean; nearest: string };
  assert.deepEqual([report.udp, report.nearest], [true, 'own']);
});

test('random bytes at every port crash nothing, and honest requests go on', async () => {
  const { stdout } = await cove(['status', '--dir', dir, '--json']);
  const status = JSON.parse(stdout) as {
    control: { localUrl: string };
    relay: { addresses: { port: number }[]; stunAddresses: { port: number }[] };
  };
  const urls = [running.ready.doorway, status.control.localUrl].map((url) =>
    Number(new URL(url).port),
  );
  for (const port of [...urls, ...status.relay.addresses.map((address) => address.port)]) {
    for (let i = 0; i < 20; i++) {
      const socket = createConnection({ host: '127.0.0.1', port });
      socket.on('error', () => {});
      socket.resume();
      socket.end(randomBytes(1 + i * 97));
      await new Promise((done) => socket.once('close', done));
    }
  }
  const udp = createSocket('udp4');
  for (const { port } of status.relay.stunAddresses) {
    for (let i = 0; i < 200; i++) {
      await new Promise((done) => udp.send(randomBytes(i * 7), port, '127.0.0.1', done));
    }
  }
  udp.close();
  assert.equal((await running.ask('/')).status, 200);
});

test('a machine without a key waits at the doorway until the owner lets it in', {
  timeout: 60_000,
}, async () => {
  const guest = mkdtempSync(join(tmpdir(), 'cove-guest-'));
  const joining = RunningCove.start([
    'golink',
    '--dir',
    guest,
    '--hostname',
    'guest',
    '--control-url',
    running.ready.control,
  ]);
  try {
    const secretFile = join(dir, 'doorway.secret');
    assert.equal(statSync(secretFile).mode & 0o777, 0o600);
    const link = `/?owner=${readFileSync(secretFile, 'utf8').trim()}`;
    const opened = await running.ask(link, { host: 'localhost' });
    assert.deepEqual([opened.status, opened.headers['location']], [303, '/']);
    const [setCookie = ''] = opened.headers['set-cookie'] ?? [];
    assert.match(setCookie, /^cove-owner=[^;]+; HttpOnly; SameSite=Strict; Path=\//);
    const cookie = setCookie.replace(/;.*/, '');
    assert.ok(running.errors().includes(`${running.ready.doorway}${link}`));

    let id: string | undefined;
    while (id === undefined) {
      const { body } = await running.ask('/', { host: 'localhost', headers: { cookie } });
      id = /name="id" value="([^"]+)"/.exec(body)?.[1];
      await new Promise((done) => setTimeout(done, 100));
    }
    const form = {
      method: 'POST',
      host: 'localhost',
      body: new URLSearchParams({ id, user: 'guest@example.com' }).toString(),
    };
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const stranger = await running.ask('/', { host: 'localhost' });
    assert.match(stranger.body, new RegExp(`guest.*npx cove node approve ${id}`, 's'));
    assert.doesNotMatch(stranger.body, /<form/);
    for (const path of ['/approve', '/deny']) {
      for (const headers of [type, { ...type, cookie: 'cove-owner=guessed' }]) {
        const { status, body } = await running.ask(path, { ...form, headers });
        assert.equal(status, 403);
        assert.match(body, /npx cove node approve/);
      }
    }
    const owner = { ...type, cookie };
    const foreign = { ...owner, origin: 'https://evil.example' };
    assert.equal((await running.ask('/approve', { ...form, headers: foreign })).status, 403);
    assert.equal((await running.ask('/approve', { ...form, headers: owner })).status, 303);
    const joined = await joining;
    assert.match(joined.errors(), /To let this node in, open http/);
    assert.equal(joined.ready.services[0]!.url, 'http://guest/');
    assert.match((await running.ask('/', { host: 'localhost' })).body, /guest@example\.com/);
    await joined.stop();
  } finally {
    await joining.then((joined) => joined.stop()).catch(() => undefined);
    rmSync(guest, { recursive: true, force: true });
  }
});

test('a restart on the same ports makes no new keys', async () => {
  const listKeys = async (): Promise<string> =>
    (await cove(['authkey', 'list', '--dir', dir])).stdout;
  await running.stop();
  const port = new URL(running.ready.control).port;
  const args = [...ARGS, '--control-port', port];
  running = await RunningCove.start(args);
  const before = await listKeys();
  await running.stop();
  running = await RunningCove.start(args);
  const states = (text: string): string[] => text.match(/^[0-9a-f]{12}/gm) ?? [];
  assert.ok(states(before).length > 0);
  assert.deepEqual(states(await listKeys()), states(before));
});

test('a key for others can be made, listed and made useless', async () => {
  const made = await cove([
    'authkey',
    'create',
    '--dir',
    dir,
    '--user',
    'bob@example.com',
    '--json',
  ]);
  assert.equal(made.code, 0, made.stderr);
  const { id, key, user } = JSON.parse(made.stdout) as { id: string; key: string; user: string };
  assert.equal(user, 'bob@example.com');
  assert.ok(key.length > 20);
  const expired = await cove(['authkey', 'expire', id, '--dir', dir]);
  assert.equal(expired.code, 0, expired.stderr);
  const listed = await cove(['authkey', 'list', '--dir', dir]);
  assert.match(listed.stdout, new RegExp(`${id}\\s+revoked`));
  assert.ok(!listed.stdout.includes(key), 'the secret is shown once');
});
