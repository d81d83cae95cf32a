// What goes on without the servers: control and relay frozen or dead for a minute, control alone away while a node
// restarts, and a node that sleeps. The tests wait side by side.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, type Host, type Started } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import type { StockNode } from '../harness/stocknode.ts';
import { CoveHost } from './covehost.ts';
import { SplitHost, startWitness, type Witness } from './splithost.ts';

const OUTAGE = 60_000;
/** What a busy test machine may add to something that takes milliseconds. */
const AT_ONCE = 3_000;
const FIRST_CONTACT = 15_000;
const RESTART_LIMIT = 20_000;
const SLEEP = 70_000;
const WAKE_LIMIT = 15_000;
const DIRECT = /^10\.77\.0\.\d+:/;

const skip = missing({
  root: true,
  commands: ['curl', 'ss'],
  programs: [
    ['tailscale', CURRENT_RELEASE],
    ['tailscaled', CURRENT_RELEASE],
  ],
});

describe('survival', { skip, concurrency: true }, () => {
  for (const how of ['frozen', 'dead'] as const) {
    test(`control and relay ${how} for 60 s: open and new connections on direct paths notice nothing`, {
      timeout: 240_000,
    }, async () => {
      await using network = await CoveHost.start();
      const key = await network.authKey('ada@example.com', '--reusable');
      const far = startWitness(network.lab, 'far', network.url, key);
      const near = startWitness(network.lab, 'near', network.url, key);
      const stock = network.stockNode('stock', CURRENT_RELEASE);
      await Promise.all([far.up(), near.up(), stock.up(network.url, key, '--hostname=stock')]);
      await serveEcho(stock.host);
      for (const target of ['far', 'stock']) near.watch(target);
      await direct(near, 'far');
      await direct(near, 'stock');
      await stock.curl('http://near/');
      const ticks = curlTicks(stock, 'near');

      const { child } = network.cove;
      if (how === 'dead') await network.kill();
      else child.kill('SIGSTOP');
      try {
        const cutAt = Date.now();
        const asking = askEverySecond(stock, 'near', cutAt + OUTAGE);
        await delay(OUTAGE / 2);
        // They know of each other, and have not spoken yet.
        far.watch('stock');
        const firstContact = await eventually(
          () => `no first contact\n${far.story}\n${stock.log}`,
          FIRST_CONTACT,
          () => far.sights('new', cutAt).find(({ error }) => error === undefined),
        );
        console.log(`# ${how}: first contact took ${firstContact.took} ms`);
        const asked = await asking;
        const now = Date.now();
        for (const target of ['far', 'stock']) assertUnaffected(near, target, cutAt, now);
        assert.ok(asked.length > OUTAGE / 2_000, `${asked.length} pages`);
        const slowest = Math.max(...asked);
        assert.ok(slowest <= AT_ONCE, `a page took the stock peer ${slowest} ms`);
        const lastTick = Number(ticks.stdout.trimEnd().split('\n').at(-1));
        assert.ok(now - lastTick <= AT_ONCE, `the stock peer's open download is ${lastTick - now}`);
      } finally {
        child.kill('SIGCONT');
      }
    });
  }

  test('control alone away: a restarted node answers stock peers within 20 s', {
    timeout: 240_000,
  }, async () => {
    await using network = await SplitHost.start();
    const phoenix = await network.witness('phoenix');
    const stock = network.stockNode('stock', CURRENT_RELEASE);
    await Promise.all([
      phoenix.up(),
      stock.up(network.url, await network.authKey(), '--hostname=stock'),
    ]);
    await stock.curl('http://phoenix/');
    const cache = join(phoenix.stateDir, 'netmap.cache');
    await eventually(
      () => `no cache\n${phoenix.story}`,
      10_000,
      () => statSync(cache, { throwIfNoEntry: false }),
    );
    // The map that names the stock peer has been written, too.
    await delay(3_000);
    assert.equal(statSync(cache).mode & 0o777, 0o600);
    const ports = await udpPorts(phoenix.host);
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
      network.control.child.kill(signal);
      await phoenix.restart();
      const restartedAt = Date.now();
      await eventually(
        () => `no page\n${phoenix.story}\n${stock.log}`,
        40_000,
        async () => (await stock.curl('http://phoenix/', '--max-time', '2')).includes('you are'),
      );
      const took = Date.now() - restartedAt;
      console.log(`# ${signal}: answered ${took} ms after its restart`);
      assert.ok(took <= RESTART_LIMIT, `${took} ms`);
      assert.deepEqual(await udpPorts(phoenix.host), ports, 'its UDP ports');
    }
    await network.startControl();
    const names = await eventually(
      () => `not online\n${phoenix.story}`,
      60_000,
      async () => {
        const list = await network.admin('node', 'list', '--json');
        const { nodes } = JSON.parse(list) as { nodes: { name: string; online: boolean }[] };
        return nodes.every(({ online }) => online) && nodes.map(({ name }) => name);
      },
    );
    assert.deepEqual(names.sort(), ['phoenix', 'stock']);
  });

  test('a node that slept 70 s has its peers and control back at once', {
    timeout: 240_000,
  }, async () => {
    await using network = await CoveHost.start();
    const key = await network.authKey('ada@example.com', '--reusable');
    const sleeper = startWitness(network.lab, 'sleeper', network.url, key);
    const stock = network.stockNode('stock', CURRENT_RELEASE);
    await Promise.all([sleeper.up(), stock.up(network.url, key, '--hostname=stock')]);
    await serveEcho(stock.host);
    sleeper.watch('stock');
    await direct(sleeper, 'stock');
    sleeper.signal('SIGSTOP');
    await delay(SLEEP);
    sleeper.signal('SIGCONT');
    const wokeAt = Date.now();
    const newcomer = startWitness(network.lab, 'newcomer', network.url, key);
    await eventually(
      () => `did not notice\n${sleeper.story}`,
      WAKE_LIMIT,
      () => sleeper.sights('slept', wokeAt).length > 0,
    );
    const opened = await eventually(
      () => `no new connection\n${sleeper.story}`,
      WAKE_LIMIT,
      () => sleeper.sights('new', wokeAt + 500).find(({ error }) => error === undefined),
    );
    console.log(`# woke: a new connection after ${opened.at - wokeAt} ms`);
    assert.ok((await stock.curl('http://sleeper/')).includes('you are stock'));
    await direct(sleeper, 'stock', wokeAt);
    // Control tells of who came meanwhile.
    await newcomer.up();
    sleeper.watch('newcomer');
    await eventually(
      () => `knows no newcomer\n${sleeper.story}`,
      WAKE_LIMIT,
      () =>
        sleeper
          .sights('new', wokeAt)
          .some(({ target, error }) => target === 'newcomer' && error === undefined),
    );
    assert.deepEqual(sleeper.sights('closed'), [], 'the connection from before lives');
  });
});

/** A stock node in user space hands connections to its own address on to loopback of its machine. */
async function serveEcho(host: Host): Promise<void> {
  const program = `require('net').createServer((s) => s.on('error', () => {}).pipe(s))
    .listen(7, '127.0.0.1', () => console.log('listening'))`;
  const server = host.start(process.execPath, ['--eval', program]);
  await eventually(
    () => `no echo server\n${server.stderr}`,
    10_000,
    () => server.stdout !== '',
  );
}

async function direct(witness: Witness, target: string, since = 0): Promise<void> {
  await eventually(
    () => `no direct path to ${target}\n${witness.story}`,
    30_000,
    () =>
      witness
        .sights('echo', since)
        .some((sight) => sight.target === target && DIRECT.test(sight.path ?? '')),
  );
}

function curlTicks(stock: StockNode, name: string): Started {
  const proxy = ['--proxy', 'socks5h://localhost:1055'];
  return stock.host.start('curl', [...proxy, '--silent', '--no-buffer', `http://${name}/ticks`]);
}

/** Opens a page of the node each second; resolves to what each took, rejects when one fails. */
async function askEverySecond(stock: StockNode, name: string, end: number): Promise<number[]> {
  const took: number[] = [];
  while (Date.now() < end) {
    const begun = Date.now();
    assert.match(await stock.curl(`http://${name}/`), /^you are stock/);
    took.push(Date.now() - begun);
    await delay(Math.max(0, begun + 1_000 - Date.now()));
  }
  return took;
}

function assertUnaffected(witness: Witness, target: string, from: number, until: number): void {
  const of = (event: 'echo' | 'new') =>
    witness.sights(event, from).filter((sight) => sight.target === target);
  assert.deepEqual(witness.sights('closed', from), []);
  let last = from;
  let gap = 0;
  for (const { at, path } of of('echo')) {
    assert.match(path ?? '', DIRECT, 'the path stays direct');
    gap = Math.max(gap, at - last);
    last = at;
  }
  gap = Math.max(gap, until - last);
  assert.ok(gap <= AT_ONCE, `${gap} ms without an echo of ${target}`);
  const opened = of('new');
  assert.deepEqual(
    opened.filter(({ error }) => error !== undefined),
    [],
  );
  assert.ok(opened.length > (until - from) / 1_000, `${opened.length} connections to ${target}`);
  const slowest = Math.max(...opened.map(({ took = 0 }) => took));
  assert.ok(slowest <= AT_ONCE, `a new connection to ${target} took ${slowest} ms`);
  console.log(`# ${target}: longest silence ${gap} ms, slowest of ${opened.length}: ${slowest} ms`);
}

async function udpPorts(host: Host): Promise<string[]> {
  const { stdout } = await host.run('ss', ['-Huln']);
  return [...new Set(stdout.match(/:\d+(?=\s)/g) ?? [])].sort();
}
