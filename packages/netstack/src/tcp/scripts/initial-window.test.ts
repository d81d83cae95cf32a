// What leaves before the first acknowledgement (RFC 6928, RFC 5681 3.1).
import assert from 'node:assert/strict';
import { both, established, Script } from '../../testing/scripted.ts';

for (const [mtu, mss, count] of [
  [1280, 1000, 10],
  [1280, 536, 10],
  [3000, 2000, 7],
  [9000, 8900, 2],
] as const) {
  both(`segments of ${mss} bytes: ${count} at first (RFC 6928 2)`, (family) => {
    const s = established({ family, mtu, syn: { mss } });
    s.write('x'.repeat(60_000));
    assert.equal(s.out.length, count);
  });
}

both('a smaller window of the peer bounds the initial window (RFC 5681 3.1)', (family) => {
  const s = established({ family, syn: { mss: 1000, window: 3500 } });
  s.write('x'.repeat(60_000));
  assert.equal(s.out.length, 3);
});

both(
  'one lost SYN leaves the initial window, two leave one segment (RFC 6928 2, RFC 5681 3.1)',
  (family) => {
    for (const [waits, count] of [
      [[1000], 10],
      [[1000, 2000], 1],
    ] as const) {
      const s = new Script({ family });
      s.connect();
      s.expect({ flags: 'S' });
      for (const wait of waits) {
        s.advance(wait);
        s.expect({ flags: 'S' });
      }
      s.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1000 });
      s.expect({ flags: 'A' });
      s.write('x'.repeat(60_000));
      assert.equal(s.out.length, count);
    }
  },
);

both('a lost SYN makes 3 s of the first timeout for data (RFC 6298 5.7)', (family) => {
  const s = new Script({ family });
  s.connect();
  s.advance(1000);
  s.clear();
  s.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1000 });
  s.clear();
  s.write('x');
  s.expect({ flags: 'A', seq: 1 });
  s.advance(2999);
  s.expectNothing();
  s.advance(1);
  s.expect({ flags: 'A', seq: 1 });
});
