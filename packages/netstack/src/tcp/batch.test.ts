// Acknowledgements that arrive together: what they say of loss and of the window is what they would say one by one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../testing/random.ts';
import { established, type Script, type Segment } from '../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true, scale: 6 };

/** A sender with twenty full segments in flight from byte 10001 on, and much more to send. */
function twentyInFlight(): Script {
  const s = established({ syn: SACK });
  s.write('x'.repeat(100_000));
  assert.equal(s.out.length, 10, 'the initial window');
  s.clear();
  s.now += 20;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  assert.equal(s.out.length, 20, 'slow start');
  s.clear();
  s.now += 20;
  return s;
}

const UNA = 10_001;

/** Three reports, each of one segment more behind the missing one at `ack`. */
function reports(ack: number): Segment[] {
  return [1, 2, 3].map((n) => ({
    flags: 'A',
    seq: 1,
    ack,
    sack: [[ack + 1000, ack + 1000 + n * 1000]],
  }));
}

/** How many segments are sent once everything is acknowledged: the window. */
function windowAfter(s: Script): number {
  const end = Math.max(
    ...s.out.map(({ seq, payloadLength }) => ((seq - s.iss) | 0) + payloadLength),
  );
  s.clear();
  s.now += 20;
  s.arrives({ flags: 'A', seq: 1, ack: Math.max(end, UNA + 20_000) });
  return s.out.length;
}

test('a loss that one batch shows costs 30 % of what was in flight before it (RFC 9438 4.6)', () => {
  const s = twentyInFlight();
  // Twelve arrived, the thirteenth did not, three behind it did.
  const ack = UNA + 12_000;
  s.arrives({ flags: 'A', seq: 1, ack }, ...reports(ack));
  assert.equal((s.out[0]!.seq - s.iss) | 0, ack, 'the hole is filled');
  const window = windowAfter(s);
  assert.ok(window >= 13 && window <= 24, `${window} segments`);
});

test('what one batch first misses and then acknowledges was no loss', () => {
  const s = twentyInFlight();
  s.arrives(...reports(UNA), { flags: 'A', seq: 1, ack: UNA + 4000 });
  assert.equal(s.counter('tcp.retransmits'), 0);
  assert.equal(s.counter('tcp.undone_recoveries'), 1);
  assert.ok(windowAfter(s) >= 20);
});

test('reports of duplicates widen the reordering window whatever the initial sequence number (RFC 8985 6.2)', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = new SeededRandom(seed);
    const s = established({ randomBytes: (n) => random.bytes(n), syn: SACK });
    let una = 1;
    /** Ten segments, the first reported missing; how long until it is sent again. */
    const patience = (): number => {
      s.write('x'.repeat(10_000));
      s.clear();
      s.now += 20;
      s.arrives({ flags: 'A', seq: 1, ack: una, sack: [[una + 1000, una + 3000]] });
      let waited = 0;
      for (; s.out.length === 0 && waited < 60; waited++) s.advance(1);
      return waited;
    };
    const repair = (duplicate: boolean): void => {
      s.now += 20;
      const left = una;
      una += 10_000;
      s.arrives({
        flags: 'A',
        seq: 1,
        ack: una,
        ...(duplicate ? { sack: [[left, left + 1000]] as const } : {}),
      });
      s.clear();
    };
    // A hole that fills late: reordering is known from now on.
    s.write('x'.repeat(10_000));
    s.now += 20;
    s.arrives(
      { flags: 'A', seq: 1, ack: 1, sack: [[1001, 2001]] },
      { flags: 'A', seq: 1, ack: 10_001 },
    );
    una = 10_001;
    const before = patience();
    repair(true);
    const grown = patience();
    assert.ok(grown > before, `seed ${seed}: ${before} ms, then ${grown} ms`);
  }
});
