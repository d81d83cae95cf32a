// Loss by time (RFC 8985), the pipe (RFC 6675) and what may be sent in recovery (RFC 6937).
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { both, established, type Family, type Script } from '../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true, scale: 6 };

function tenInFlight(family: Family): Script {
  const s = established({ family, syn: SACK });
  s.write('x'.repeat(10_000));
  s.clear();
  s.now += 10;
  return s;
}

both(
  'a timeout gives up the head and what is old; segments sent late stay (RFC 8985 6.3)',
  (family) => {
    const s = established({ family, syn: { ...SACK, window: 1000 } });
    s.write('x'.repeat(5000));
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.clear();
    const early = established({ family, noDelay: true, syn: { mss: 1000 } });
    early.write('a'.repeat(1000));
    early.now += 195;
    early.write('b'.repeat(1000));
    early.clear();
    early.advance(5);
    assert.deepEqual(early.sentRanges(), [[1, 1001]]);
    early.arrives({ flags: 'A', seq: 1, ack: 1001 });
    assert.deepEqual(early.sentRanges(), [], 'the second was sent 5 ms before the timeout');
  },
);

both(
  'the echo of an older transmission does not count for the retransmission (RFC 8985 6.2 step 2)',
  (family) => {
    const s = established({ family, syn: { ...SACK, mss: 1012, ts: [50, 0] } });
    s.write('x'.repeat(10_000));
    const original = s.out[0]!.tsVal;
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 4001]], ts: [60, original] });
    assert.deepEqual(s.sentRanges()[0], [1, 1001]);
    s.now += 3;
    // The original arrives after all. Were it taken for the retransmission, everything sent before would be lost.
    s.arrives({ flags: 'A', seq: 1, ack: 4001, ts: [63, original] });
    s.advance(1);
    assert.equal(s.counter('tcp.retransmits'), 1);
  },
);

both(
  'the reordering window grows with reports of duplicates and shrinks after sixteen recoveries (RFC 8985 6.2 step 4)',
  (family) => {
    const s = established({ family, syn: SACK });
    let una = 1;
    /** Rounds without loss until ten segments fit the window again. */
    const refill = (): void => {
      for (let count = 0; count < 10; ) {
        s.write('x'.repeat(10_000));
        count = s.out.length;
        while (s.socket.unacknowledged > 0) {
          for (const out of s.out) una = Math.max(una, ((out.seq - s.iss) | 0) + 1000);
          s.clear();
          s.now += 10;
          s.arrives({ flags: 'A', seq: 1, ack: una });
        }
        s.clear();
      }
    };
    /** Ten segments, the first reported missing; returns how long until it is sent again. */
    const patience = (): number => {
      refill();
      s.write('x'.repeat(10_000));
      s.clear();
      s.now += 10;
      s.arrives({ flags: 'A', seq: 1, ack: una, sack: [[una + 1000, una + 3000]] });
      let waited = 0;
      while (s.out.length === 0 && waited < 30) {
        waited++;
        s.advance(1);
      }
      return waited;
    };
    const repair = (duplicate: boolean): void => {
      s.now += 10;
      const ack = una + 10_000;
      const left = una;
      una = ack;
      s.arrives({ flags: 'A', seq: 1, ack, ...(duplicate ? { sack: [[left, left + 1000]] } : {}) });
      s.clear();
    };
    // The first hole fills late: reordering is known from now on.
    s.write('x'.repeat(10_000));
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 2001]] });
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    una = 10_001;
    const before = patience();
    repair(true);
    const grown = patience();
    repair(false);
    assert.ok(grown > before, `${before} ms, then ${grown} ms`);
    for (let i = 0; i < 16; i++) {
      patience();
      repair(false);
    }
    assert.ok(patience() <= before, 'as at first');
  },
);

both('a lost tail is repaired within three round trips and no timeout (RFC 8985 7)', (family) => {
  const s = tenInFlight(family);
  s.arrives({ flags: 'A', seq: 1, ack: 9001 });
  const start = s.now;
  // One segment in flight: the peer may be holding its acknowledgement back; but never later than the timeout.
  s.advance(199);
  s.expectNothing();
  s.advance(1);
  assert.deepEqual(s.sentRanges(), [[9001, 10_001]]);
  const several = tenInFlight(family);
  several.arrives({ flags: 'A', seq: 1, ack: 8001 });
  const at = several.now;
  while (several.out.length === 0) several.advance(1);
  assert.ok(several.now - at <= 30, `${several.now - at} ms`);
  assert.equal(several.counter('tcp.timeouts') + s.counter('tcp.timeouts'), 0);
  assert.ok(s.now > start);
});

both(
  'one probe at a time, and a probe that was needed answers for the loss (RFC 8985 7.3, 7.4)',
  (family) => {
    const s = tenInFlight(family);
    s.arrives({ flags: 'A', seq: 1, ack: 8001 });
    while (s.out.length === 0) s.advance(1);
    assert.deepEqual(s.sentRanges(), [[9001, 10_001]]);
    assert.equal(s.counter('tcp.tail_loss_probes'), 1);
    s.advance(100);
    s.expectNothing();
    assert.equal(s.counter('tcp.tail_loss_probes'), 1);
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.write('y'.repeat(60_000));
    assert.ok(s.out.length < 10, `${s.out.length} segments: the window was reduced`);
  },
);

both(
  'a sender that never pauses still gets its probe and its timeout (RFC 8985 7.2, RFC 6298 5.1)',
  (family) => {
    const s = established({ family, syn: SACK, noDelay: true });
    const start = s.now;
    while (s.counter('tcp.timeouts') === 0 && s.now < start + 2000) {
      s.write('x');
      s.advance(5);
    }
    assert.ok(s.now - start <= 450, `first timeout after ${s.now - start} ms`);
    assert.equal(s.counter('tcp.tail_loss_probes'), 1);
  },
);

both('a probe that was not needed costs nothing (RFC 8985 7.4)', (family) => {
  const s = tenInFlight(family);
  s.arrives({ flags: 'A', seq: 1, ack: 8001 });
  while (s.out.length === 0) s.advance(1);
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[9001, 10_001]] });
  s.write('y'.repeat(60_000));
  assert.ok(s.out.length >= 10, `${s.out.length} segments`);
});

both(
  'in recovery no more is sent than arrived, and no more than the reduction allows (RFC 6937 3, RFC 6675 5)',
  (family) => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 38 }), { minLength: 1, maxLength: 12 }),
        fc.constantFrom('cubic', 'newreno'),
        (losses, congestion) => {
          const s = established({ family, syn: SACK, tcp: { congestion } });
          s.write('x'.repeat(120_000));
          let una = 1;
          for (const ack of [10_001, 30_001]) {
            s.clear();
            s.now += 10;
            s.arrives({ flags: 'A', seq: 1, ack });
            una = ack;
          }
          // Forty segments in flight.
          assert.equal(s.sentRanges().length, 40);
          s.now += 10;
          const lost = new Set(losses);
          const received: [number, number][] = [];
          let top = una;
          let delivered = 0;
          let sent = 0;
          let entered = -1;
          let allowed = 0;
          for (let i = 0; i < 40; i++) {
            if (lost.has(i)) continue;
            const left = una + 1000 * i;
            const last = received.at(-1);
            if (left === top) top += 1000;
            else if (last !== undefined && last[1] === left) last[1] += 1000;
            else received.push([left, left + 1000]);
            if (received.length === 0) continue;
            s.arrives({ flags: 'A', seq: 1, ack: top, sack: received.slice(-4).reverse() });
            const now = s.sentRanges().length;
            if (entered < 0 && s.counter('tcp.fast_recoveries') > 0) {
              entered = i;
              sent = 0;
              delivered = 0;
              allowed = congestion === 'cubic' ? 0.7 : 0.5;
            }
            if (entered < 0) continue;
            sent += now;
            delivered++;
            // Each loss detected later leaves the pipe as well: slow start up to the new window.
            assert.ok(sent <= delivered + lost.size + 2, `${sent} sent, ${delivered} delivered`);
          }
          if (entered >= 0) {
            assert.ok(sent <= Math.ceil(allowed * 40) + 2, `${sent} sent in all`);
          }
        },
      ),
      { numRuns: 60 },
    );
  },
);
