// Two relay regions of our own, `cove derp` each: the nearest becomes home, and relayed connections outlive the restart
// and the loss of the relay they run through, and the removal of its region from the map.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import type { StockNode } from '../harness/stocknode.ts';
import { SplitHost, type Witness } from './splithost.ts';

const skip = missing({
  root: true,
  commands: ['iptables'],
  programs: [
    ['tailscale', CURRENT_RELEASE],
    ['tailscaled', CURRENT_RELEASE],
  ],
});
/** Eight seconds of patience with a silent home, a measurement, and the news by control. */
const MOVE_LIMIT = 40_000;
/** A stock node that carries traffic measures every 20 to 26 seconds. */
const STOCK_MOVE_LIMIT = 90_000;

describe('two relay regions of our own', { skip }, () => {
  let network: SplitHost;
  let near: Witness;
  let far: Witness;
  let stock: StockNode;

  before(async () => {
    network = await SplitHost.start(2);
    far = await network.witness('far');
    near = await network.witness('near');
    stock = network.stockNode('stock', CURRENT_RELEASE);
    await Promise.all([
      far.up(),
      near.up(),
      stock.up(network.url, await network.authKey(), '--hostname=stock'),
    ]);
    // Between the two no direct path comes up.
    for (const [here, there] of [
      [near, far],
      [far, near],
    ] as const) {
      for (const [chain, side] of [
        ['INPUT', '-s'],
        ['OUTPUT', '-d'],
      ] as const) {
        const rule = ['-p', 'udp', side, there.host.address, '-j', 'DROP'];
        await here.host.run('iptables', ['-A', chain, ...rule]);
      }
    }
    near.watch('far');
    await echoes(Date.now());
  });
  after(async () => {
    await network?.[Symbol.asyncDispose]();
  });

  /** Resolves with the first echo of a line sent after that time that did not take long. */
  async function echoes(since: number): Promise<number> {
    const echo = await eventually(
      () => `no echo\n${near.story}\n${far.story}`,
      MOVE_LIMIT,
      () => near.sights('echo', since).find(({ at, took }) => at - took! >= since),
    );
    return echo.at - since;
  }

  const home = (witness: Witness): number | undefined => witness.sights('home').at(-1)?.region;
  const homes = (region: number): Promise<true> =>
    eventually(
      () => `not at home in ${region}\n${near.story}\n${far.story}`,
      MOVE_LIMIT,
      () => home(near) === region && home(far) === region,
    );

  /** Resolves when the stock node is at home there; pinged, because one without traffic stops measuring after 45 s. */
  const stockHome = (region: string): Promise<true> =>
    eventually(
      () => `the stock node has not moved\n${stock.log}`,
      STOCK_MOVE_LIMIT,
      async () => {
        await stock.cli('ping', '--tsmp', '--c=1', 'near').catch(() => undefined);
        return (await stock.status()).Self.Relay === region;
      },
    );

  test('the nearest is home, for a stock node too', async () => {
    await homes(900);
    const report = JSON.parse(await stock.cli('netcheck', '--format=json')) as {
      readonly PreferredDERP: number;
      readonly RegionLatency: Readonly<Record<string, number>>;
    };
    assert.equal(report.PreferredDERP, 900);
    assert.deepEqual(Object.keys(report.RegionLatency).sort(), ['900', '901']);
    assert.ok(
      near.sights('echo').every(({ path }) => path === ''),
      'relayed',
    );
  });

  test('a restart of the relay: the connection goes on', async () => {
    await network.relay(0).kill('SIGTERM');
    await network.startRelay(0);
    console.log(`# restart: echoes again after ${await echoes(Date.now())} ms`);
    assert.deepEqual(near.sights('closed'), []);
  });

  test('control away: home stays even where its relay is lost, and both are there again afterwards', async () => {
    await network.control.kill('SIGKILL');
    await network.relay(0).kill('SIGKILL');
    const lostAt = Date.now();
    await delay(25_000);
    assert.deepEqual([home(near), home(far)], [900, 900]);
    assert.deepEqual(near.sights('home', lostAt), []);
    await network.startRelay(0);
    await network.startControl();
    console.log(`# back: echoes again after ${await echoes(Date.now())} ms`);
    assert.deepEqual(near.sights('closed'), []);
  });

  test('the home relay is lost: both move to the other region, and the connection goes on', async () => {
    // Control tells the move, so it must have both back.
    await delay(10_000);
    await network.relay(0).kill('SIGKILL');
    const lostAt = Date.now();
    await homes(901);
    console.log(`# lost: at home elsewhere after ${Date.now() - lostAt} ms`);
    console.log(`# lost: echoes again after ${await echoes(lostAt)} ms`);
    assert.deepEqual(near.sights('closed'), []);
    await stockHome('r901');
  });

  test('the lost relay is back, much nearer: all return', async () => {
    await network.startRelay(0);
    await homes(900);
    await stockHome('r900');
    assert.deepEqual(near.sights('closed'), []);
  });

  test('the home region leaves the map: both move at once, and the connection goes on', async () => {
    await network.control.kill();
    await network.startControl([1]);
    const startedAt = Date.now();
    await homes(901);
    console.log(`# removed: echoes again after ${await echoes(startedAt)} ms`);
    assert.deepEqual(near.sights('closed'), []);
    await stock.cli('ping', '--tsmp', '--c=3', 'near');
  });
});
