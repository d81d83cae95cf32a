// Nodes behind every kind of access meet every other kind: Cove with Cove, Cove with stock, and stock with stock as the
// reference in the same run. `npm run test:netlab`; with `-- --full` all pairs five times, and docs/nat.md is written.
// To narrow it down while one works on something: COVE_NETLAB_KINDS=easy,hard COVE_NETLAB_FLAVOURS=cove–cove
// COVE_NETLAB_ROUNDS=1.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import { Backbone } from './backbone.ts';
import { FLAVOURS, type Flavours, type Result } from './measure.ts';
import { KINDS, type Kind, Network } from './network.ts';
import { kindPairs, ROUNDS, run, Stations } from './plan.ts';

const FULL = process.env['COVE_NETLAB'] === 'full';
const CHOSEN = process.env['COVE_NETLAB_KINDS']?.split(',') as Kind[] | undefined;
const SELECTED = KINDS.filter((kind) => CHOSEN?.includes(kind) ?? true);
const FLAVOURS_WANTED =
  (process.env['COVE_NETLAB_FLAVOURS']?.split(',') as Flavours[] | undefined) ??
  (FULL ? FLAVOURS : FLAVOURS.slice(0, 3));
const ROUNDS_WANTED = Number(process.env['COVE_NETLAB_ROUNDS'] ?? ROUNDS);

const skip = missing({
  root: true,
  programs: [
    ['tailscale', CURRENT_RELEASE],
    ['tailscaled', CURRENT_RELEASE],
  ],
});

describe('network lab', { skip, timeout: 3_600_000 }, () => {
  let network: Network;
  let results: Result[] = [];

  before(async () => {
    network = new Network();
    const backbone = await Backbone.start(network.server);
    const stations = new Stations(network, SELECTED);
    results = await run(stations, network.server, {
      kinds: SELECTED,
      flavours: FLAVOURS_WANTED,
      full: FULL,
      rounds: ROUNDS_WANTED,
      authKey: await backbone.authKey(),
      log: (line) => process.stderr.write(`${line}\n`),
    });
  });
  after(() => network?.[Symbol.dispose]());

  const of = (a: Kind, b: Kind, flavours?: Flavours): Result[] =>
    results.filter(
      (result) =>
        result.from === a &&
        result.to === b &&
        (flavours === undefined || result.flavours === flavours),
    );

  for (const [a, b] of kindPairs(SELECTED)) {
    test(`${a}–${b} connects`, () => {
      for (const result of of(a, b)) assert.ok(result.firstByte, JSON.stringify(result));
    });
  }
});
