// CUBIC as its segments show it (RFC 9438).
import assert from 'node:assert/strict';
import { both, established, type Family, type Script } from '../../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true, scale: 6 };

/** Bytes sent and not acknowledged, as seen on the wire. */
function outstanding(s: Script, acked: number): number {
  let next = acked;
  for (const out of s.out) next = Math.max(next, ((out.seq - s.iss) | 0) + out.payloadLength);
  return next - acked;
}

/** Twenty segments in flight after two round trips, the first of them lost. */
function lossAtTwenty(family: Family): Script {
  const s = established({ family, syn: SACK });
  s.write('x'.repeat(100_000));
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  assert.equal(s.out.length, 20);
  s.now += 10;
  for (let edge = 12_001; edge <= 30_001; edge += 1000) {
    s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[11_001, edge]] });
  }
  return s;
}

both('a loss takes the window to 0.7 of what was in flight (RFC 9438 4.6)', (family) => {
  const s = lossAtTwenty(family);
  const top = 10_001 + outstanding(s, 10_001);
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: top });
  const flight = outstanding(s, top);
  assert.ok(flight >= 13_000 && flight <= 15_000, `${flight} bytes in flight`);
});

both(
  'after a loss the window grows slowly near the old maximum and does not double (RFC 9438 4.2)',
  (family) => {
    const s = lossAtTwenty(family);
    let top = 10_001 + outstanding(s, 10_001);
    for (let round = 0; round < 5; round++) {
      s.clear();
      s.now += 10;
      s.arrives({ flags: 'A', seq: 1, ack: top });
      const flight = outstanding(s, top);
      s.write('y'.repeat(flight));
      assert.ok(flight >= 13_000 && flight < 21_000, `round ${round}: ${flight} bytes`);
      top += flight;
    }
  },
);

both(
  'a timeout starts again from one segment and leaves slow start at 0.7 of the flight (RFC 9438 4.8)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, scale: 6 } });
    s.write('x'.repeat(100_000));
    s.clear();
    s.advance(200);
    assert.equal(s.out.length, 1, 'one segment');
    let top = 10_001;
    const flights: number[] = [];
    for (let round = 0; round < 6; round++) {
      s.clear();
      s.now += 10;
      s.arrives({ flags: 'A', seq: 1, ack: top });
      flights.push(outstanding(s, top) / 1000);
      top += outstanding(s, top);
    }
    assert.ok(flights[0]! <= 8, `slow start: ${flights}`);
    assert.ok(flights[5]! < 12, `no faster than Reno beyond ssthresh: ${flights}`);
  },
);

both('a needless recovery is taken back, window and curve (RFC 9438 4.9)', (family) => {
  const s = lossAtTwenty(family);
  const top = 10_001 + outstanding(s, 10_001);
  s.clear();
  s.now += 10;
  // The original was only late: the retransmission is reported as a duplicate.
  s.arrives({ flags: 'A', seq: 1, ack: top, sack: [[10_001, 11_001]] });
  assert.equal(s.counter('tcp.undone_recoveries'), 1);
  assert.ok(outstanding(s, top) >= 20_000, `${outstanding(s, top)} bytes in flight`);
});
