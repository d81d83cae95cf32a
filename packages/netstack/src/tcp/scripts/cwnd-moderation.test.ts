// The window does not run away from what is used, nor a burst from the window (RFC 5681 4.1, RFC 9438 5.8, RFC 9293 3.8.2).
import assert from 'node:assert/strict';
import { both, established } from '../../testing/scripted.ts';

both('a window the application does not use does not grow (RFC 9438 5.8)', (family) => {
  const s = established({ family });
  for (let i = 0; i < 50; i++) {
    s.write('x'.repeat(1000));
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 1 + 1000 * (i + 1) });
  }
  s.clear();
  s.write('x'.repeat(100_000));
  assert.equal(s.out.length, 10);
});

both(
  'the window stays within twice the most that was ever in flight (RFC 9293 3.8.2, RFC 5681 3.1)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, scale: 6 } });
    s.write('x'.repeat(12_000));
    s.clear();
    let acked = 1;
    // Twelve segments a round, however often: at most 24 may follow at once.
    for (let i = 1; i <= 20; i++) {
      acked = 1 + 12_000 * i;
      s.now += 5;
      s.arrives({ flags: 'A', seq: 1, ack: acked - 2000 });
      s.now += 5;
      s.arrives({ flags: 'A', seq: 1, ack: acked });
      if (i < 20) s.write('x'.repeat(12_000));
    }
    s.clear();
    s.write('y'.repeat(100_000));
    assert.ok(s.out.length <= 24, `${s.out.length} segments at once`);
    assert.ok(s.out.length >= 12);
  },
);

both(
  'an acknowledgement of a whole window releases 64 segments a turn (RFC 5681 4.1, burst limit)',
  (family) => {
    const s = established({ family, syn: { mss: 100, scale: 8 }, tcp: { congestion: 'newreno' } });
    s.write('x'.repeat(128 * 1024));
    let acked = 1;
    const flush = (): void => {
      while ((s.stack.nextTick ?? s.now + 1) <= s.now) s.poll();
      for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
      s.clear();
    };
    for (let i = 0; i < 5; i++) {
      flush();
      s.now += 10;
      s.arrives({ flags: 'A', seq: 1, ack: acked });
    }
    assert.equal(s.out.length, 64);
    s.poll();
    assert.equal(s.out.length, 128);
  },
);

both(
  'after more than a timeout of silence the window is the initial one again (RFC 5681 4.1)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, scale: 6 } });
    s.write('x'.repeat(30_000));
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 30_001 });
    s.clear();
    s.advance(150);
    s.write('y'.repeat(100_000));
    assert.ok(s.out.length > 10, `not yet idle: ${s.out.length}`);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 30_001 + 1000 * s.out.length });
    let acked = 30_001;
    while (acked < 130_001) {
      for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
      s.clear();
      s.arrives({ flags: 'A', seq: 1, ack: acked });
    }
    s.advance(1000);
    s.clear();
    s.write('z'.repeat(100_000));
    assert.equal(s.out.length, 10);
  },
);
