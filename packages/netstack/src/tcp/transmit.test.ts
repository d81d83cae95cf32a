import assert from 'node:assert/strict';
import fc from 'fast-check';
import { both, established } from '../testing/scripted.ts';

both(
  'writes of one tick leave as one segment, PSH on the last (RFC 9293 3.9.1, MUST-60)',
  (family) => {
    const s = established({ family });
    for (const word of ['a', 'b', 'c']) s.socket.write(new Uint8Array(Buffer.from(word)));
    s.poll();
    s.expect({ flags: 'PA', seq: 1, data: 'abc' });
    s.arrives({ flags: 'A', seq: 1, ack: 4 });
    s.socket.setNoDelay(true);
    s.write('x'.repeat(2500));
    assert.deepEqual(
      s.out.map((o) => [o.payloadLength, (o.flags & 8) !== 0]),
      [
        [1000, false],
        [1000, false],
        [500, true],
      ],
    );
  },
);

both(
  'Nagle: a small segment waits while data is unacknowledged; noDelay sends it (RFC 9293 3.7.4)',
  (family) => {
    const s = established({ family });
    s.write('a');
    s.expect({ flags: 'PA', data: 'a' });
    s.write('b');
    s.write('c');
    s.expectNothing();
    s.arrives({ flags: 'A', seq: 1, ack: 2 });
    s.expect({ flags: 'PA', seq: 2, data: 'bc' });
    s.write('d');
    s.expectNothing();
    s.socket.setNoDelay(true);
    s.poll();
    s.expect({ flags: 'PA', seq: 4, data: 'd' });
    s.write('e');
    s.expect({ flags: 'PA', seq: 5, data: 'e' });
  },
);

both('the initial window is ten segments (RFC 6928)', (family) => {
  const s = established({ family });
  s.write('x'.repeat(50_000));
  assert.equal(s.out.length, 10);
});

both(
  'slow start grows by the bytes acknowledged, however few ACKs bring them (RFC 3465)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, scale: 4 } });
    s.write('x'.repeat(100_000));
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    assert.equal(s.out.length, 20);
  },
);

both("the peer's window bounds what is in flight (RFC 9293 3.8.6)", (family) => {
  const s = established({ family, syn: { mss: 1000, window: 2500 } });
  s.write('x'.repeat(10_000));
  assert.deepEqual(
    s.out.map((o) => o.payloadLength),
    [1000, 1000],
  );
  s.clear();
  s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 2500 });
  s.expect({ flags: 'A', seq: 2001, length: 1000 });
  s.expectNothing();
});

both(
  'a window below a segment but at least half the largest is used (RFC 9293 3.8.6.2.1)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, window: 600 } });
    s.write('x'.repeat(5000));
    s.expect({ flags: 'A', length: 600 });
  },
);

both(
  'silly windows are not used before the override timer (RFC 9293 3.8.6.2.1, MUST-38)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, window: 5000 } });
    s.write('x'.repeat(5000));
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: 5001, window: 100 });
    s.write('y'.repeat(5000));
    s.expectNothing();
    s.advance(299);
    s.expectNothing();
    s.advance(1);
    s.expect({ flags: 'A', seq: 5001, length: 100 });
  },
);

both(
  'zero window: one byte probes after the RTO, doubling, and data resumes when it opens (RFC 9293 3.8.6.1)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, window: 1000 }, noDelay: true });
    s.write('x'.repeat(3000));
    s.expect({ flags: 'A', length: 1000 });
    s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
    s.expectNothing();
    const gaps: number[] = [];
    for (let probe = 0, at = s.now; probe < 6; probe++) {
      while (s.out.length === 0) s.advance(1);
      s.expect({ flags: 'A', seq: 1001, length: 1 });
      gaps.push(s.now - at);
      at = s.now;
      s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
    }
    assert.deepEqual(gaps, [200, 400, 800, 1600, 3200, 6400]);
    s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 4000 });
    s.expect({ flags: 'A', seq: 1001, length: 1 });
    s.expect({ flags: 'A', seq: 1002, length: 1000 });
    s.expect({ flags: 'PA', seq: 2002, length: 999 });
  },
);

both(
  'zero window: the connection lives for hours as long as probes are answered (MUST-37)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, window: 1000 } });
    s.write('x'.repeat(3000));
    s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
    s.clear();
    for (let i = 0; i < 240; i++) {
      s.advance(60_000);
      if (s.out.length > 0) s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
      s.clear();
    }
    assert.equal(s.state, 'ESTABLISHED');
    s.advance(200_000);
    assert.equal(s.events, 'closed ETIMEDOUT', 'and no longer when they are not');
  },
);

both('zero window: a probe that is taken moves the sequence on', (family) => {
  const s = established({ family, syn: { mss: 1000, window: 1000 } });
  s.write('x'.repeat(2000));
  s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
  s.clear();
  s.advance(200);
  s.expect({ flags: 'A', seq: 1001, length: 1 });
  s.arrives({ flags: 'A', seq: 1, ack: 1002, window: 2000 });
  s.expect({ flags: 'PA', seq: 1002, length: 999 });
});

both(
  'a window shrunk under data in flight: no new data, and the connection lives (MUST-34, SHLD-14..17)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, window: 5000 } });
    s.write('x'.repeat(10_000));
    assert.equal(s.out.length, 5);
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: 2001, window: 500 });
    s.expectNothing();
    s.advance(250);
    s.expect({ flags: 'A', seq: 2001, length: 1000 });
    s.arrives({ flags: 'A', seq: 1, ack: 5001, window: 5000 });
    assert.ok(s.out.length > 0);
    assert.equal(s.state, 'ESTABLISHED');
  },
);

both('a window shrunk to zero under data in flight is probed, not timed out', (family) => {
  const s = established({ family, syn: { mss: 1000, window: 5000 } });
  s.write('x'.repeat(5000));
  s.clear();
  s.arrives({ flags: 'A', seq: 1, ack: 1, window: 0 });
  for (let i = 0; i < 20; i++) {
    s.advance(60_000);
    for (const out of s.out) assert.ok(out.payloadLength <= 1);
    if (s.out.length > 0) s.arrives({ flags: 'A', seq: 1, ack: 1, window: 0 });
    s.clear();
  }
  assert.equal(s.state, 'ESTABLISHED');
});

both('write takes what there is room for, and writable follows (backpressure)', (family) => {
  const s = established({ family, tcp: { sendBufferLimit: 20_000 } });
  assert.equal(s.write('x'.repeat(30_000)), 20_000);
  assert.equal(s.write('y'), 0);
  assert.equal(s.socket.writable, 0);
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 1001 });
  assert.equal(s.events, '', 'not for every crumb');
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  assert.equal(s.events, 'writable');
  assert.equal(s.socket.writable, 10_000);
});

both('a paused output holds data back but not acknowledgements', (family) => {
  const s = established({ family });
  s.stack.setOutputPaused(true);
  s.write('held');
  s.expectNothing();
  s.arrives({ flags: 'PA', seq: 1, ack: 1, length: 1000 });
  s.expect({ flags: 'A', seq: 1, ack: 1001, length: 0 });
  s.stack.setOutputPaused(false);
  s.poll();
  s.expect({ flags: 'PA', seq: 1, data: 'held' });
});

both('one turn sends at most 64 segments of a connection, and asks for another turn', (family) => {
  const s = established({ family, syn: { mss: 100, scale: 8 }, tcp: { congestion: 'newreno' } });
  s.write('x'.repeat(128 * 1024));
  let acked = 1;
  for (let i = 0; i < 6; i++) {
    for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: acked });
    while (s.out.length < 64 && (s.stack.nextTick ?? s.now + 1) <= s.now) s.poll();
  }
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: acked });
  assert.equal(s.out.length, 64);
  assert.ok(s.stack.nextTick! <= s.now);
  s.poll();
  assert.ok(s.out.length > 64);
});

both(
  'no segment is below the MSS with more queued, unless a rule says so (RFC 9293 3.8.6.2.1 MUST-38)',
  (family) => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 15 }),
        fc.integer({ min: 2000, max: 60_000 }),
        (sizes, window) => {
          const s = established({ family, syn: { mss: 1000, window } });
          let acked = 1;
          const total = sizes.reduce((a, b) => a + b, 0);
          const burst = (): void => {
            let last = 0;
            for (const out of s.out) {
              assert.ok(last === 0 || last === 1000, 'only the last of a burst is short');
              last = out.payloadLength;
              acked = Math.max(acked, ((out.seq - s.iss) | 0) + last);
            }
            s.clear();
          };
          for (let i = 0; i < sizes.length || (acked <= total && i < 100); i++) {
            if (i < sizes.length) s.write('x'.repeat(sizes[i]!));
            burst();
            s.now += 5;
            s.arrives({ flags: 'A', seq: 1, ack: acked, window });
            burst();
          }
          assert.equal(acked, total + 1, 'everything is sent');
        },
      ),
      { numRuns: 60 },
    );
  },
);
