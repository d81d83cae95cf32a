// Nodes behind every kind of access meet every other kind: Cove with Cove, Cove with stock, and stock with stock as the
// reference in the same run. `npm run test:netlab`; with `-- --full` all pairs five times, and docs/nat.md is written.
// To narrow it down while one works on something: COVE_NETLAB_KINDS=easy,hard COVE_NETLAB_FLAVOURS=cove–cove
// COVE_NETLAB_ROUNDS=1.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import { Backbone } from './backbone.ts';
import { doubtCut, limit, MAX_FIRST_BYTE, MAX_MOVE } from './bounds.ts';
import { type CutResult, cutAndRestore } from './cut.ts';
import { type MappingResult, meetMapped } from './mapping.ts';
import { FLAVOURS, type Flavours, REFERENCE, type Result } from './measure.ts';
import {
  KIND_TEXT,
  KINDS,
  type Kind,
  kindPairs,
  MAPPING_PROTOCOLS,
  type MappingProtocol,
  Network,
} from './network.ts';
import { likelyRelayed, MEDIAN_KINDS, ROUNDS, run, Stations } from './plan.ts';
import { makeReport, toMarkdown } from './report.ts';
import type { Netcheck } from './station.ts';
import { type Summary, summarise } from './summary.ts';

const FULL = process.env['COVE_NETLAB'] === 'full';
const list = (name: string): readonly string[] | undefined => process.env[name]?.split(',');
const SELECTED = KINDS.filter((kind) => list('COVE_NETLAB_KINDS')?.includes(kind) ?? true);
const CHOSEN_FLAVOURS = FLAVOURS.filter(
  (one) => list('COVE_NETLAB_FLAVOURS')?.includes(one) ?? true,
);
const ROUNDS_WANTED = Number(process.env['COVE_NETLAB_ROUNDS'] ?? ROUNDS);
const NARROWED = SELECTED.length < KINDS.length || ROUNDS_WANTED < ROUNDS;

/** What a stock node must find, or the lab is not what it says. */
const FACTS: Readonly<Record<Kind, Partial<Netcheck>>> = {
  none: { UDP: true, IPv4: true, IPv6: true, MappingVariesByDestIP: false },
  easy: { UDP: true, IPv4: true, IPv6: false, MappingVariesByDestIP: false },
  hard: { UDP: true, IPv4: true, IPv6: false, MappingVariesByDestIP: true },
  double: { UDP: true, IPv4: true, IPv6: false, MappingVariesByDestIP: false },
  portmap: { UDP: true, IPv4: true, IPv6: false, MappingVariesByDestIP: false, PMP: true },
  noudp: { UDP: false, IPv6: false },
  v6only: { UDP: true, IPv4: false, IPv6: true },
  v4only: { UDP: true, IPv4: true, OSHasIPv6: false },
};

const skip = missing({
  root: true,
  commands: ['ip', 'iptables', 'ip6tables', 'iptables-legacy', 'miniupnpd', 'tcpdump'],
  programs: [
    ['tailscale', CURRENT_RELEASE],
    ['tailscaled', CURRENT_RELEASE],
  ],
});

const root = fileURLToPath(new URL('../../../', import.meta.url));
const say = (line: string): void => void process.stderr.write(`${line}\n`);

describe('network lab', { skip, timeout: FULL ? 3_600_000 : 1_200_000 }, () => {
  let network: Network;
  let results: Result[] = [];
  const netchecks = new Map<Kind, Netcheck>();
  const cuts: CutResult[] = [];
  const mappings = new Map<MappingProtocol, MappingResult>();

  before(async () => {
    network = new Network();
    const backbone = await Backbone.start(network.server);
    const stations = new Stations(network, SELECTED);
    const authKey = await backbone.authKey();
    results = await run(stations, network.server, {
      kinds: SELECTED,
      flavours: CHOSEN_FLAVOURS,
      full: FULL,
      rounds: ROUNDS_WANTED,
      authKey,
      log: say,
    });
    if (SELECTED.includes('easy')) {
      for (const one of CHOSEN_FLAVOURS) {
        let cut = await cutAndRestore(stations.a('easy'), stations.b('easy'), one);
        say(`cut ${JSON.stringify(cut)}`);
        const reason = doubtCut(cut);
        if (reason !== undefined) {
          say(`the cut of ${one} is measured again: ${reason}`);
          cut = await cutAndRestore(stations.a('easy'), stations.b('easy'), one);
          say(`cut ${JSON.stringify(cut)}`);
        }
        cuts.push(cut);
      }
    }
    if (SELECTED.includes('hard')) {
      for (const protocol of MAPPING_PROTOCOLS)
        mappings.set(
          protocol,
          await meetMapped(network, protocol, stations.a('hard'), authKey, say),
        );
    }
    for (const kind of SELECTED) netchecks.set(kind, await stations.b(kind).netcheck());
    const report = makeReport(FULL, results, cuts, [...mappings.values()]);
    const whole = FULL && !NARROWED;
    writeFileSync(
      `${root}${whole ? 'docs' : 'test/dist/netlab'}/nat.json`,
      `${JSON.stringify(report, undefined, 1)}\n`,
    );
    writeFileSync(`${root}${whole ? 'docs' : 'test/dist/netlab'}/nat.md`, toMarkdown(report));
  });
  after(() => network?.[Symbol.dispose]());

  for (const kind of SELECTED) {
    test(`the lab: ${kind} is ${KIND_TEXT[kind]}`, () => {
      const found = netchecks.get(kind)!;
      const facts = Object.keys(FACTS[kind]) as (keyof Netcheck)[];
      const relevant = Object.fromEntries(facts.map((fact) => [fact, found[fact]]));
      assert.deepEqual(relevant, FACTS[kind], JSON.stringify(found));
    });
  }

  for (const pair of kindPairs(SELECTED)) {
    const name = pair.join('–');
    const hasMedian =
      ROUNDS_WANTED >= ROUNDS && (FULL || pair.every((kind) => MEDIAN_KINDS.includes(kind)));
    for (const one of CHOSEN_FLAVOURS) {
      const summary = (of: Flavours = one): Summary => summarise(results, pair, of)!;
      test(`${name}, ${one}: every contact connects, and its first byte waits for no path`, () => {
        const { connected, rounds, firstByte, errors } = summary();
        assert.equal(connected, rounds, errors.join('\n'));
        assert.ok(firstByte! <= MAX_FIRST_BYTE, `median first byte after ${firstByte} ms`);
      });
      if (one === REFERENCE || !CHOSEN_FLAVOURS.includes(REFERENCE)) continue;
      test(`${name}, ${one}: direct where stock–stock is`, () => {
        if (summary(REFERENCE).directRounds === 0) return;
        const { directRounds, rounds, unconfirmed, path } = summary();
        assert.equal(directRounds, rounds, `${path} at the end`);
        assert.equal(unconfirmed, 0, 'bytes crossed the relay while the path was called direct');
      });
      if (!hasMedian || likelyRelayed(pair)) continue;
      test(`${name}, ${one}: direct as soon as stock–stock, or half as long again`, () => {
        const stock = summary(REFERENCE).direct;
        assert.ok(stock !== undefined, 'stock–stock stayed on the relay');
        const { direct = Number.POSITIVE_INFINITY } = summary();
        assert.ok(direct <= limit(stock), `${direct} ms, stock–stock ${stock} ms`);
      });
    }
  }

  for (const protocol of SELECTED.includes('hard') ? MAPPING_PROTOCOLS : []) {
    test(`hard–hard, which stays on the relay, is direct at the port that ${protocol} alone mapped`, () => {
      const met = mappings.get(protocol)!;
      assert.equal(met.error, undefined);
      assert.ok(
        met.mapped.includes(met.path),
        `${met.path} is none of ${met.mapped.join(', ') || 'no mapped address'}`,
      );
      for (const one of CHOSEN_FLAVOURS)
        assert.equal(summarise(results, ['hard', 'hard'], one)!.directRounds, 0);
    });
  }

  for (const one of SELECTED.includes('easy') ? CHOSEN_FLAVOURS : []) {
    test(`easy–easy, ${one}: a cut moves traffic to the relay within 7 s, an open connection lives, and the path comes back`, () => {
      const cut = cuts.find(({ flavours }) => flavours === one)!;
      assert.equal(cut.error ?? cut.closed, undefined);
      assert.ok(cut.moved !== undefined, 'did not move');
      if (one !== REFERENCE) {
        assert.ok(cut.moved <= MAX_MOVE, `moved after ${cut.moved} ms`);
        assert.ok(cut.silence! <= MAX_MOVE, `silent for ${cut.silence} ms`);
      }
      assert.ok(cut.restored !== undefined, 'not direct again');
    });
  }
});
