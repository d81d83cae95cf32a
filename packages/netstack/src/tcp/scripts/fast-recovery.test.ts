// What is sent between the detection of a loss and its repair (RFC 6582, RFC 6675, RFC 6937), and taking it back.
import assert from 'node:assert/strict';
import { both, established, type Family, type Script } from '../../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true, scale: 6 };

function inFlight(family: Family, syn: object, count: number): Script {
  const s = established({ family, syn });
  s.write('x'.repeat(1000 * count));
  s.clear();
  s.now += 10;
  return s;
}

both(
  'without SACK: duplicates beyond the third release new data one for one at most (RFC 6582 3.2 step 2)',
  (family) => {
    const s = inFlight(family, { mss: 1000 }, 30);
    for (let i = 0; i < 3; i++) s.arrives({ flags: 'A', seq: 1, ack: 1 });
    const first = s.sentRanges();
    assert.deepEqual(first.at(-1), [1, 1001], 'the third retransmits');
    let sent = 0;
    for (let i = 0; i < 6; i++) {
      s.arrives({ flags: 'A', seq: 1, ack: 1 });
      const now = s.sentRanges();
      assert.ok(now.length <= 1, 'one for one');
      for (const [left] of now) assert.ok(left > 10_000, 'new data');
      sent += now.length;
    }
    assert.ok(sent >= 3, `${sent} new segments`);
  },
);

both(
  'without SACK: duplicates made up by the peer do not empty the send buffer (RFC 5681 3.2, bounded inflation)',
  (family) => {
    const s = inFlight(family, { mss: 1000 }, 60);
    for (let i = 0; i < 1000; i++) s.arrives({ flags: 'A', seq: 1, ack: 1 });
    const ranges = s.sentRanges();
    assert.ok(ranges.length <= 25, `${ranges.length} segments for 1000 duplicates`);
  },
);

both(
  'without SACK: a second hole in the same window is no second reduction (RFC 6582 3.2 step 3)',
  (family) => {
    const s = inFlight(family, { mss: 1000 }, 10);
    for (let i = 0; i < 3; i++) s.arrives({ flags: 'A', seq: 1, ack: 1 });
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 4001 });
    assert.deepEqual(s.sentRanges(), [[4001, 5001]]);
    for (let i = 0; i < 4; i++) s.arrives({ flags: 'A', seq: 1, ack: 4001 });
    assert.deepEqual(s.sentRanges(), []);
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    assert.equal(s.counter('tcp.fast_recoveries'), 1);
  },
);

both(
  'with SACK: each acknowledgement in recovery releases in proportion, half the window in all (RFC 6937 3)',
  (family) => {
    const s = established({ family, syn: SACK, tcp: { congestion: 'newreno' } });
    s.write('x'.repeat(100_000));
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.clear();
    s.now += 10;
    let sent = 0;
    let delivered = 0;
    for (let edge = 12_001; edge <= 30_001; edge += 1000) {
      s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[11_001, edge]] });
      delivered++;
      const ranges = s.sentRanges();
      assert.ok(ranges.length <= 1, 'no burst');
      sent += ranges.length;
      assert.ok(sent <= delivered + 1, `${sent} sent for ${delivered} delivered`);
    }
    assert.ok(sent >= 9 && sent <= 11, `${sent} of 19: half`);
  },
);

both(
  'with SACK: the reduction bound lets a drained pipe grow again by slow start (RFC 6937 3.1)',
  (family) => {
    const s = established({ family, syn: SACK, tcp: { congestion: 'newreno' } });
    s.write('x'.repeat(100_000));
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.clear();
    s.now += 10;
    // Sixteen of twenty are lost; the last four arrive at once.
    s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[26_001, 30_001]] });
    const first = s.sentRanges();
    assert.ok(first.length >= 1 && first.length <= 6, `${first.length} at first`);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 + 1000 * first.length, sack: [[26_001, 30_001]] });
    const second = s.sentRanges();
    assert.ok(second.length >= first.length, `then ${second.length}`);
    assert.ok(second.length <= 2 * first.length + 1);
  },
);

both(
  'every retransmission reported as a duplicate: the window comes back, once (RFC 2883, RFC 3708)',
  (family) => {
    const s = inFlight(family, SACK, 10);
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 5001]] });
    assert.deepEqual(s.sentRanges(), [[1, 1001]]);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[1, 1001]] });
    assert.equal(s.counter('tcp.undone_recoveries'), 1);
    s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[1, 1001]] });
    assert.equal(s.counter('tcp.undone_recoveries'), 1);
    s.clear();
    s.write('y'.repeat(100_000));
    assert.ok(s.out.length >= 10, `${s.out.length} segments`);
  },
);

both(
  'one of two retransmissions reported as a duplicate takes nothing back (RFC 3708 3)',
  (family) => {
    const s = inFlight(family, SACK, 10);
    const sack = [
      [1001, 3001],
      [4001, 10_001],
    ] as const;
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack });
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 3001, sack: sack.slice(1) });
    assert.deepEqual(s.sentRanges(), [
      [1, 1001],
      [3001, 4001],
    ]);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[1, 1001]] });
    assert.equal(s.counter('tcp.undone_recoveries'), 0);
  },
);

both(
  'a duplicate the network made, of data never sent again, takes nothing back (RFC 3708 3)',
  (family) => {
    const s = inFlight(family, SACK, 10);
    s.arrives({ flags: 'A', seq: 1, ack: 5001, sack: [[1, 1001]] });
    s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[5001, 6001]] });
    assert.equal(s.counter('tcp.undone_recoveries'), 0);
    assert.equal(s.counter('tcp.retransmits'), 0);
  },
);

both(
  'a timeout whose original is answered is taken back by its timestamp (RFC 3522, RFC 4015)',
  (family) => {
    const s = established({ family, syn: { mss: 988, ts: [50, 0], scale: 6 } });
    s.write('x'.repeat(50_000));
    const original = s.out[0]!.tsVal;
    s.clear();
    s.advance(250);
    assert.equal(s.counter('tcp.timeouts'), 1);
    assert.equal(s.sentRanges().length, 1);
    // The path was held up; the answer to the original comes with its own timestamp.
    s.arrives({ flags: 'A', seq: 1, ack: 977, ts: [60, original] });
    assert.equal(s.counter('tcp.undone_recoveries'), 1);
    for (const [left] of s.sentRanges()) assert.ok(left > 9760, 'only new data, nothing again');
  },
);

both('a timeout whose retransmission is answered stands (RFC 3522)', (family) => {
  const s = established({ family, syn: { mss: 988, ts: [50, 0], scale: 6 } });
  s.write('x'.repeat(50_000));
  s.clear();
  s.advance(250);
  const again = s.out[0]!.tsVal;
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 977, ts: [60, again] });
  assert.equal(s.counter('tcp.undone_recoveries'), 0);
  assert.deepEqual(
    s.sentRanges().map(([left]) => left),
    [977, 1953],
    'slow start goes on with what was lost',
  );
});
