// Growth before the first loss (RFC 5681 3.1, RFC 3465, RFC 9406).
import assert from 'node:assert/strict';
import { both, established, type Script } from '../../testing/scripted.ts';

/** Acknowledges what is in flight in steps of `segments`; returns how many segments were in flight after each round. */
function rounds(s: Script, count: number, segments: number): number[] {
  const flights: number[] = [];
  let acked = 1;
  for (let i = 0; i < count; i++) {
    let top = acked;
    for (const out of s.out) top = Math.max(top, ((out.seq - s.iss) | 0) + out.payloadLength);
    s.clear();
    s.now += 10;
    while (acked < top) {
      acked = Math.min(acked + 1000 * segments, top);
      s.arrives({ flags: 'A', seq: 1, ack: acked });
      s.write('x'.repeat(s.socket.writable));
      while ((s.stack.nextTick ?? s.now + 1) <= s.now) s.poll();
    }
    flights.push(s.out.length);
  }
  return flights;
}

for (const [name, segments] of [
  ['every segment', 1],
  ['every second segment', 2],
  ['every eighth segment', 8],
  ['whole windows', 1000],
] as const) {
  both(
    `the window doubles each round trip with acknowledgements of ${name} (RFC 5681 3.1, RFC 3465 2.2)`,
    (family) => {
      const s = established({ family, syn: { mss: 1000, scale: 8 } });
      s.write('x'.repeat(s.socket.writable));
      assert.deepEqual(rounds(s, 3, segments), [20, 40, 80]);
    },
  );
}

both('beyond ssthresh it grows by one segment a round trip (RFC 5681 3.1)', (family) => {
  const s = established({
    family,
    syn: { mss: 1000, scale: 8, sackOk: true },
    tcp: { congestion: 'newreno' },
  });
  s.write('x'.repeat(128 * 1024));
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  s.clear();
  s.now += 10;
  // Loss of the first of twenty: ssthresh ten segments.
  for (let edge = 12_001; edge <= 30_001; edge += 1000) {
    s.arrives({ flags: 'A', seq: 1, ack: 10_001, sack: [[11_001, edge]] });
  }
  const flights: number[] = [];
  let acked = 10_001;
  for (let i = 0; i < 4; i++) {
    for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: acked });
    s.write('x'.repeat(s.socket.writable));
    flights.push(s.out.length);
  }
  assert.deepEqual(
    flights.slice(1).map((f, i) => f - flights[i]!),
    [1, 1, 1],
    flights.join(),
  );
});

both('round trips that grow end it before anything is lost (RFC 9406 4.2)', (family) => {
  const s = established({ family, syn: { mss: 1000, scale: 8 } });
  s.write('x'.repeat(s.socket.writable));
  const flights: number[] = [];
  let acked = 1;
  for (let i = 0; i < 9; i++) {
    let top = acked;
    for (const out of s.out) top = Math.max(top, ((out.seq - s.iss) | 0) + out.payloadLength);
    flights.push(s.out.length);
    s.clear();
    // A queue builds up from the third round on.
    s.now += 20 + 10 * Math.max(0, i - 2);
    while (acked < top) {
      acked += 1000;
      s.arrives({ flags: 'A', seq: 1, ack: acked });
      s.write('x'.repeat(s.socket.writable));
      while ((s.stack.nextTick ?? s.now + 1) <= s.now) s.poll();
    }
  }
  assert.ok(flights[2]! >= 2 * flights[1]! - 1, flights.join());
  assert.ok(flights[8]! < 1.3 * flights[7]!, flights.join());
  assert.equal(s.counter('tcp.retransmits'), 0);
});
