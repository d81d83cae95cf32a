import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HomeRegion, type RegionFacts } from './homeregion.ts';

const quiet: RegionFacts = { score: new Map(), lastFrame: () => undefined };

function run(
  home: HomeRegion,
  now: number,
  latency: Record<number, number>,
  facts: RegionFacts = quiet,
): number {
  const report = {
    startedAt: now - 10,
    latency: new Map(Object.entries(latency).map(([id, ms]) => [Number(id), ms])),
  };
  return home.decide(report, facts, now);
}

test('the region with the lowest latency becomes home', () => {
  assert.equal(run(new HomeRegion(), 0, { 1: 30, 2: 20, 3: 40 }), 2);
});

test('home stays for a gain below 10 ms or below a third', () => {
  const home = new HomeRegion();
  run(home, 0, { 1: 20, 2: 50 });
  assert.equal(run(home, 400_000, { 1: 20, 2: 11 }), 1, '9 ms');
  assert.equal(run(home, 800_000, { 1: 60, 2: 41 }), 1, 'more than two thirds');
  assert.equal(run(home, 1_200_000, { 1: 60, 2: 39 }), 2);
});

test('the best of five minutes counts, not the last report', () => {
  const home = new HomeRegion();
  run(home, 0, { 1: 20, 2: 60 });
  assert.equal(run(home, 200_000, { 1: 100, 2: 60 }), 1, 'region 1 had 20 ms lately');
  assert.equal(run(home, 310_000, { 1: 100, 2: 60 }), 2, 'that is too long ago');
});

test('an unmeasured home stays while frames come from it', () => {
  const at = (frame: number): RegionFacts => ({ score: new Map(), lastFrame: () => frame });
  const home = new HomeRegion();
  run(home, 0, { 1: 20 });
  assert.equal(run(home, 400_000, { 2: 5 }, at(393_000)), 1, 'heard 7 s ago');
  assert.equal(run(home, 800_000, { 2: 5 }, at(790_000)), 2, 'heard 10 s ago');
});

test('without any measurement home stays for two minutes after the last frame', () => {
  const at = (frame: number): RegionFacts => ({ score: new Map(), lastFrame: () => frame });
  const home = new HomeRegion();
  run(home, 0, { 1: 20 });
  assert.equal(run(home, 400_000, {}, at(290_000)), 1);
  assert.equal(run(home, 410_000, {}, at(289_000)), 0);
});

test('scores of the relay map multiply latencies', () => {
  const facts = { score: new Map([[1, 0.5]]), lastFrame: () => undefined };
  assert.equal(run(new HomeRegion(), 0, { 1: 50, 2: 30 }, facts), 1);
  assert.equal(run(new HomeRegion(), 0, { 1: 50, 2: 20 }, facts), 2);
});

test('reports that were only noted count in the next decision', () => {
  const home = new HomeRegion();
  run(home, 0, { 1: 20, 2: 50 });
  home.note({ startedAt: 400_000, latency: new Map([[2, 5]]) }, 400_010);
  assert.equal(home.current, 1);
  assert.equal(run(home, 420_000, { 1: 20, 2: 19 }), 2, 'by its best of five minutes');
});

test('scores weigh on the old home, too', () => {
  const home = new HomeRegion();
  const facts = { ...quiet, score: new Map([[2, 100]]) };
  run(home, 0, { 2: 1 }, facts);
  assert.equal(run(home, 400_000, { 1: 2, 2: 1 }, facts), 1, '100 against 2');
});
