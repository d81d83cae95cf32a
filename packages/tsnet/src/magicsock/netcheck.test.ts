import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex } from '@cove/protocol/bytes';
import { parseAddr } from '@cove/protocol/netaddr';
import type { DERPRegion } from '@cove/protocol/tailcfg';
import { type Family, Netcheck, type NetcheckReport, STUN_PHASE } from './netcheck.ts';

const region = (id: number, nodes = 1): DERPRegion => ({
  RegionID: id,
  RegionCode: `r${id}`,
  RegionName: `Region ${id}`,
  Nodes: Array.from({ length: nodes }, (_, i) => ({
    Name: `${id}${'abc'[i]}`,
    RegionID: id,
    HostName: `${id}.${i}`,
  })),
});

interface Sent {
  readonly at: number;
  readonly to: string;
  readonly txId: Uint8Array;
}

/** A measurement whose relays are at 10.<region>.<node>.4 and fd00:<region>::<node>. */
class Bench {
  now = 5_000;
  readonly sent: Sent[] = [];
  readonly run: Netcheck;
  #nextTxId = 1;

  constructor(
    regions: readonly DERPRegion[],
    options: { families?: readonly Family[]; home?: number; last?: NetcheckReport } = {},
  ) {
    const { families = [4], home = 0, last } = options;
    this.run = new Netcheck(
      {
        regions,
        home,
        hasIPv6: families.includes(6),
        last,
        addressOf: (node, family) => {
          if (!families.includes(family)) return undefined;
          const [id, i] = node.HostName.split('.');
          return { address: family === 4 ? `10.${id}.${i}.4` : `fd00:${id}::${i}`, port: 3478 };
        },
        newTxId: () => fromHex((this.#nextTxId++).toString(16).padStart(24, '0')),
      },
      this.now,
    );
  }

  advance(ms: number): this {
    const end = this.now + ms;
    while (this.run.nextTick <= end && !this.run.isDone(this.now)) {
      this.now = Math.max(this.now, this.run.nextTick);
      for (const { address, txId } of this.run.tick(this.now))
        this.sent.push({ at: this.now - 5_000, to: address, txId });
      if (this.now >= end) break;
    }
    this.now = end;
    return this;
  }

  answer(to: string, addr = '203.0.113.7', port = 4000): boolean {
    const { txId } = this.sent.find((each) => each.to === to)!;
    return this.run.answer({ txId, addr: parseAddr(addr)!, port }, this.now);
  }

  get targets(): string[] {
    return this.sent.map(({ at, to }) => `${at} ${to}`);
  }
}

test('the first measurement asks each region three times, 100 ms apart, node after node, by both families', () => {
  const b = new Bench([region(1, 2), region(2)], { families: [4, 6] }).advance(1_000);
  assert.deepEqual(b.targets.sort(), [
    '0 10.1.0.4',
    '0 10.2.0.4',
    '0 fd00:1::0',
    '0 fd00:2::0',
    '100 10.1.1.4',
    '100 10.2.0.4',
    '100 fd00:1::1',
    '100 fd00:2::0',
    '200 10.1.0.4',
    '200 10.2.0.4',
    '200 fd00:1::0',
    '200 fd00:2::0',
  ]);
});

test('a region that answered is not asked again, and when all have the measurement is over', () => {
  const b = new Bench([region(1), region(2)]).advance(30);
  b.answer('10.1.0.4');
  assert.equal(b.run.isDone(b.now), false);
  b.advance(100);
  assert.deepEqual(b.targets, ['0 10.1.0.4', '0 10.2.0.4', '100 10.2.0.4']);
  b.answer('10.2.0.4');
  assert.equal(b.run.isDone(b.now), true);
  const { latency, udp, ipv4, ipv6, isFull } = b.run.report();
  assert.deepEqual(
    [[...latency], udp, ipv4, ipv6, isFull],
    [
      [
        [1, 30],
        [2, 130],
      ],
      true,
      true,
      false,
      true,
    ],
  );
});

test('nobody answers: over after 3 s, and no UDP', () => {
  const b = new Bench([region(1)]).advance(STUN_PHASE - 1);
  assert.equal(b.run.isDone(b.now), false);
  b.advance(1);
  assert.equal(b.run.isDone(b.now), true);
  const { udp, mappingVaries, globalV4 } = b.run.report();
  assert.deepEqual([udp, mappingVaries, globalV4], [false, undefined, undefined]);
});

test('three regions are enough: the others get twice as long again as the slowest of them', () => {
  const b = new Bench([1, 2, 3, 4].map((id) => region(id))).advance(10);
  b.answer('10.1.0.4');
  b.advance(10);
  b.answer('10.2.0.4');
  b.advance(20);
  b.answer('10.3.0.4');
  b.advance(79);
  assert.equal(b.run.isDone(b.now), false);
  b.advance(1);
  assert.equal(b.run.isDone(b.now), true);
});

test('no waiting for a family that does not answer once every region did by the other', () => {
  const b = new Bench([region(1)], { families: [4, 6] }).advance(10);
  b.answer('10.1.0.4');
  b.advance(19);
  assert.equal(b.run.isDone(b.now), false);
  b.advance(1);
  assert.equal(b.run.isDone(b.now), true);
});

for (const [what, second, expected] of [
  ['the same address and port', ['203.0.113.7', 4000], false],
  ['another port', ['203.0.113.7', 4001], true],
  ['another address', ['203.0.113.8', 4000], true],
] as const) {
  test(`two servers see ${what}: the mapping varies: ${expected}`, () => {
    const b = new Bench([region(1), region(2)]).advance(10);
    b.answer('10.1.0.4');
    assert.equal(b.run.report().mappingVaries, undefined);
    b.answer('10.2.0.4', second[0], second[1]);
    const report = b.run.report();
    assert.equal(report.mappingVaries, expected);
    assert.equal(report.globalV4, '203.0.113.7:4000');
  });
}

test('an address that several answers named is kept beside the first', () => {
  const b = new Bench([1, 2, 3].map((id) => region(id))).advance(10);
  b.answer('10.1.0.4', '203.0.113.7', 1);
  b.answer('10.2.0.4', '203.0.113.7', 2);
  b.answer('10.3.0.4', '203.0.113.7', 2);
  const { globalV4, otherGlobal } = b.run.report();
  assert.deepEqual([globalV4, otherGlobal], ['203.0.113.7:1', ['203.0.113.7:2']]);
});

test('answers with a foreign transaction, and the same answer twice, count for nothing', () => {
  const b = new Bench([region(1)]).advance(10);
  const addr = parseAddr('203.0.113.66')!;
  assert.equal(b.run.answer({ txId: new Uint8Array(12), addr, port: 1 }, b.now), false);
  assert.equal(b.answer('10.1.0.4'), true);
  const { txId } = b.sent[0]!;
  assert.equal(b.run.answer({ txId, addr, port: 1 }, b.now), false);
  const { globalV4, otherGlobal } = b.run.report();
  assert.deepEqual([globalV4, otherGlobal], ['203.0.113.7:4000', []]);
});

test('later measurements ask home four times, the two fastest twice, the third once, and no others', () => {
  const first = new Bench([1, 2, 3, 4, 5].map((id) => region(id)));
  const { run } = first;
  const last: NetcheckReport = {
    ...run.report(),
    ipv4: true,
    latency: new Map([
      [1, 50],
      [2, 20],
      [3, 10],
      [4, 30],
      [5, 90],
    ]),
  };
  const b = new Bench(
    [1, 2, 3, 4, 5].map((id) => region(id)),
    { home: 1, last },
  ).advance(2_000);
  const count = (to: string): number => b.sent.filter((each) => each.to === to).length;
  assert.deepEqual(
    ['10.1.0.4', '10.2.0.4', '10.3.0.4', '10.4.0.4', '10.5.0.4'].map(count),
    [4, 2, 2, 1, 0],
  );
  const home = b.sent.filter(({ to }) => to === '10.1.0.4').map(({ at }) => at);
  assert.deepEqual(home, [0, 60, 220, 330]);
  assert.equal(b.run.report().isFull, false);
});

test('a relay without STUN, or that this host cannot reach, is not waited for', () => {
  const b = new Bench([region(1)], { families: [] });
  assert.equal(b.run.isDone(b.now), true);
  const c = new Bench([region(1)]);
  for (const at of [0, 100, 200]) {
    for (const probe of c.run.tick(5_000 + at)) c.run.unreachable(probe);
  }
  assert.equal(c.run.isDone(5_200), true);
});
