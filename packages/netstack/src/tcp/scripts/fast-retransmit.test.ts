// When a loss is believed before any timeout (RFC 5681 3.2, RFC 6582 3.2, RFC 6675 4, RFC 8985 6.2).
import assert from 'node:assert/strict';
import { both, established, type Family, type Script } from '../../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true, scale: 6 };

function tenInFlight(family: Family, syn: object): Script {
  const s = established({ family, syn });
  s.write('x'.repeat(10_000));
  s.clear();
  s.now += 10;
  return s;
}

both(
  'without SACK: two duplicates retransmit nothing, the third does (RFC 5681 3.2 step 2)',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
    s.expectNothing();
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
    s.expect({ flags: 'A', seq: 1, length: 1000 });
    s.expectNothing();
  },
);

both(
  'without SACK: an advance between duplicates starts the count anew (RFC 5681 3.2)',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    for (const ack of [1, 1, 1001, 1001, 1001]) s.arrives({ flags: 'A', seq: 1, ack });
    s.expectNothing();
    s.arrives({ flags: 'A', seq: 1, ack: 1001 });
    s.expect({ flags: 'A', seq: 1001 });
  },
);

both(
  'without SACK: after a timeout duplicates of the same window retransmit nothing more (RFC 6582 3.2 step 6)',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    s.advance(190);
    s.expect({ flags: 'A', seq: 1 });
    for (let i = 0; i < 6; i++) s.arrives({ flags: 'A', seq: 1, ack: 1 });
    assert.equal(s.counter('tcp.fast_recoveries'), 0);
    s.expectNothing();
  },
);

both(
  'with SACK: three segments reported above a hole retransmit it (RFC 6675 4, RFC 8985 6.2)',
  (family) => {
    const s = tenInFlight(family, SACK);
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 3001]] });
    s.expectNothing();
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 4001]] });
    s.expect({ flags: 'A', seq: 1, length: 1000 });
    s.expectNothing();
  },
);

both('with SACK: one report of three segments at once is enough (RFC 6675 4)', (family) => {
  const s = tenInFlight(family, SACK);
  s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[7001, 10_001]] });
  const ranges = s.sentRanges();
  assert.deepEqual(ranges[0], [1, 1001]);
});

both(
  'with SACK: blocks without SACK having been agreed are not looked at (RFC 2018 2)',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 9001]] });
    s.expectNothing();
  },
);

both(
  'with SACK: after reordering was seen a quarter round trip must pass first (RFC 8985 6.2 step 4)',
  (family) => {
    const s = tenInFlight(family, SACK);
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 2001]] });
    s.arrives({ flags: 'A', seq: 1, ack: 2001 });
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.write('y'.repeat(10_000));
    assert.equal(s.sentRanges().length, 10);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 12_001, sack: [[13_001, 17_001]] });
    s.expectNothing();
    s.advance(2);
    s.expectNothing();
    s.advance(2);
    assert.deepEqual(s.sentRanges(), [[12_001, 13_001]]);
  },
);
