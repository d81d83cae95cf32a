import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DERPMap, DERPRegion } from '@cove/protocol/tailcfg';
import { silent } from '../log.ts';
import { VirtualClock } from '../testing/virtualclock.ts';
import type { Relays } from './derp.ts';
import { HomeKeeper } from './homekeeper.ts';

interface Scene {
  readonly keeper: HomeKeeper;
  readonly homes: number[];
  /** The relay map names these regions, and peers look for the node in `known`. */
  regions(ids: readonly number[], known?: number): void;
  /** A measurement, ten minutes after the last one. */
  measure(latency: Readonly<Record<number, number>>): void;
}

function scene(): Scene {
  const clock = new VirtualClock();
  const regions = new Map<number, DERPRegion>();
  const homes: number[] = [];
  let home = 0;
  const relays: Pick<Relays, 'home' | 'regions' | 'setHome' | 'lastFrame'> = {
    get home() {
      return home;
    },
    regions,
    setHome: (region) => {
      home = region;
    },
    lastFrame: () => undefined,
  };
  const keeper = new HomeKeeper({
    clock,
    log: silent,
    relays: relays as Relays,
    onHome: (region) => homes.push(region),
  });
  return {
    keeper,
    homes,
    regions: (ids, known = 0) => {
      regions.clear();
      for (const id of ids) {
        const node = { Name: `${id}a`, RegionID: id, HostName: 'relay.example.com' };
        regions.set(id, { RegionID: id, RegionCode: `r${id}`, RegionName: `${id}`, Nodes: [node] });
      }
      const map: DERPMap = { Regions: Object.fromEntries(regions) };
      keeper.setMap(map, known);
    },
    measure: (latency) => {
      clock.advance(600_000);
      const entries = Object.entries(latency).map(([id, ms]) => [Number(id), ms] as const);
      keeper.measured({ startedAt: clock.now(), latency: new Map(entries) });
    },
  };
}

test('home stays while control is away, whatever is measured, and moves once control is back', () => {
  const { keeper, homes, regions, measure } = scene();
  regions([1, 2]);
  measure({ 1: 20, 2: 90 });
  keeper.hold(true);
  measure({ 1: 90, 2: 20 });
  measure({ 2: 20 });
  measure({});
  assert.deepEqual(homes, [1]);
  keeper.hold(false);
  measure({ 1: 90, 2: 20 });
  assert.deepEqual(homes, [1, 2]);
});

test('without a home one is chosen even then: where peers look, else the nearest', () => {
  const { keeper, homes, regions, measure } = scene();
  keeper.hold(true);
  regions([1, 2], 2);
  assert.deepEqual(homes, [2]);
  const other = scene();
  other.keeper.hold(true);
  other.regions([1, 2], 7);
  other.measure({ 1: 90, 2: 20 });
  assert.deepEqual(other.homes, [2], 'region 7 is gone');
  measure({ 1: 20, 2: 90 });
  assert.deepEqual(homes, [2]);
});

test('a home that leaves the map is given up at once, even while control is away', () => {
  const { keeper, homes, regions, measure } = scene();
  regions([1, 2, 3]);
  measure({ 1: 20, 2: 90, 3: 50 });
  keeper.hold(true);
  regions([2, 3]);
  measure({ 2: 90, 3: 50 });
  assert.deepEqual(homes, [1, 3]);
  regions([2]);
  assert.deepEqual(homes, [1, 3, 2], 'no choice, no measurement');
});
