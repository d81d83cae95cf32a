// Selective acknowledgement, both directions (RFC 2018, RFC 2883, RFC 6675).
import assert from 'node:assert/strict';
import { both, established, Script } from '../../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true, scale: 6 };

both('SACK-permitted is on the SYN only, and answered only when offered (RFC 2018 2)', (family) => {
  const s = new Script({ family });
  s.connect();
  s.expect({ flags: 'S', sackOk: true });
  s.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1000, sackOk: true });
  s.expect({ flags: 'A', sackOk: false });
  const passive = new Script({ family });
  passive.listen();
  passive.arrives({ flags: 'S', seq: 0 });
  passive.expect({ flags: 'SA', sackOk: false });
});

both('SACK-permitted on a segment without SYN is not looked at (RFC 2018 2)', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'A', seq: 1, ack: 1, sackOk: true });
  s.arrives({ flags: 'A', seq: 11, ack: 1, data: 'ahead' });
  s.expect({ flags: 'A', ack: 1, sack: [] });
});

both('the first block holds the segment that triggered it (RFC 2018 4)', (family) => {
  const s = established({ family, syn: SACK });
  for (const at of [11, 31, 51]) s.arrives({ flags: 'A', seq: at, ack: 1, data: 'x'.repeat(5) });
  s.clear();
  s.arrives({ flags: 'A', seq: 16, ack: 1, data: 'x'.repeat(5) });
  s.expect({
    flags: 'A',
    ack: 1,
    sack: [
      [11, 21],
      [51, 56],
      [31, 36],
    ],
  });
});

both(
  'duplicates inside a block report themselves first, then the block (RFC 2883 4.1)',
  (family) => {
    const s = established({ family, syn: SACK });
    s.arrives({ flags: 'A', seq: 11, ack: 1, data: 'x'.repeat(10) });
    s.clear();
    s.arrives({ flags: 'A', seq: 13, ack: 1, data: 'x'.repeat(4) });
    s.expect({
      flags: 'A',
      ack: 1,
      sack: [
        [13, 17],
        [11, 21],
      ],
    });
  },
);

both('blocks that reach outside what is in flight are no news (RFC 6675 3)', (family) => {
  const s = established({ family, syn: SACK });
  s.write('x'.repeat(10_000));
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[9001, 11_001]] });
  s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[-3000, -1000]] });
  s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[5001, 5001]] });
  assert.equal(s.counter('tcp.fast_recoveries'), 0);
  s.expectNothing();
});

both(
  'what was reported is kept until acknowledged, and sent again should the peer have thrown it away (RFC 2018 8)',
  (family) => {
    const s = established({ family, syn: SACK });
    s.write('x'.repeat(5000));
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 5001]] });
    s.clear();
    assert.equal(s.socket.unacknowledged, 5000);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 1001 });
    const again = new Set<number>();
    for (let i = 0; i < 30; i++) {
      s.advance(100);
      for (const [left] of s.sentRanges()) {
        again.add(left);
        s.arrives({ flags: 'A', seq: 1, ack: left + 1000 });
      }
    }
    assert.deepEqual([...again].sort(), [1001, 2001, 3001, 4001]);
    assert.equal(s.socket.unacknowledged, 0);
  },
);

both('no more than the window is in the pipe while holes are repaired (RFC 6675 5)', (family) => {
  const s = established({ family, syn: SACK });
  s.write('x'.repeat(60_000));
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  s.clear();
  s.now += 10;
  // Every second of twenty segments is lost.
  const sack = [
    [28_001, 29_001],
    [26_001, 27_001],
    [24_001, 25_001],
    [22_001, 23_001],
  ] as const;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack });
  assert.ok(s.sentRanges().length <= 5, 'no more than has left, and one');
});
