// New data on the first two duplicates, so that small windows see a third (RFC 3042).
import assert from 'node:assert/strict';
import { both, established, type Family, type Script } from '../../testing/scripted.ts';

function tenAcked(family: Family, syn: object): Script {
  const s = established({ family, syn: { mss: 1000, ...syn } });
  s.write('x'.repeat(10_000));
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  s.advance(1000);
  s.clear();
  return s;
}

both(
  'without SACK: one new segment on each of the first two duplicates, although the window is full (RFC 3042 2)',
  (family) => {
    const s = tenAcked(family, {});
    s.write('y'.repeat(30_000));
    assert.equal(s.sentRanges().length, 10);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    assert.deepEqual(s.sentRanges(), [[20_001, 21_001]]);
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    assert.deepEqual(s.sentRanges(), [[21_001, 22_001]]);
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    assert.deepEqual(s.sentRanges(), [[10_001, 11_001]]);
  },
);

both('with SACK: likewise, by what the blocks say has left (RFC 3042 2, RFC 6675 4)', (family) => {
  const s = tenAcked(family, { sackOk: true, scale: 6 });
  s.write('y'.repeat(30_000));
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[11_001, 12_001]] });
  assert.deepEqual(s.sentRanges(), [[20_001, 21_001]]);
  s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[11_001, 13_001]] });
  assert.deepEqual(s.sentRanges(), [[21_001, 22_001]]);
});

both("the peer's window forbids it (RFC 3042 2)", (family) => {
  const s = established({ family, syn: { mss: 1000, window: 5000 } });
  s.write('y'.repeat(30_000));
  assert.equal(s.sentRanges().length, 5);
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 1, window: 5000 });
  s.arrives({ flags: 'A', seq: 1, ack: 1, window: 5000 });
  s.expectNothing();
});

both('without new data nothing is sent (RFC 3042 2)', (family) => {
  const s = tenAcked(family, {});
  s.write('y'.repeat(3000));
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  s.expectNothing();
});
