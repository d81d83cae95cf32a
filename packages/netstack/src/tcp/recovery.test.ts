import assert from 'node:assert/strict';
import { both, established, type Family, type Script } from '../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true, scale: 4 };

/** Ten full segments in flight, round trip 10 ms. */
function tenInFlight(family: Family, syn: object): Script {
  const s = established({ family, syn });
  s.write('x'.repeat(10_000));
  assert.equal(s.out.length, 10);
  s.clear();
  s.now += 10;
  return s;
}

both(
  'RTO: the head is retransmitted after 200 ms, then at twice the time (RFC 6298 5.4, 5.5)',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    s.advance(189);
    s.expectNothing();
    s.advance(1);
    s.expect({ flags: 'A', seq: 1, length: 1000 });
    s.expectNothing();
    s.advance(399);
    s.expectNothing();
    s.advance(1);
    s.expect({ flags: 'A', seq: 1 });
    assert.equal(s.counter('tcp.timeouts'), 2);
  },
);

both('RTO: a cumulative ACK restarts the timer (RFC 6298 5.3)', (family) => {
  const s = tenInFlight(family, { mss: 1000 });
  s.arrives({ flags: 'A', seq: 1, ack: 5001 });
  s.clear();
  s.advance(199);
  s.expectNothing();
  s.advance(1);
  s.expect({ flags: 'A', seq: 5001 });
});

both('RTO: after it the window is one segment and grows by slow start (RFC 5681 3.1)', (family) => {
  const s = tenInFlight(family, { mss: 1000 });
  s.advance(250);
  s.expect({ flags: 'A', seq: 1 });
  s.arrives({ flags: 'A', seq: 1, ack: 1001 });
  s.expect({ flags: 'A', seq: 1001 });
  s.expect({ flags: 'A', seq: 2001 });
  s.expectNothing();
});

both(
  'RTO: nothing answered for R2 ends the connection with RST and ETIMEDOUT (RFC 9293 3.8.3)',
  (family) => {
    const suspects: string[] = [];
    const s = established({ family, pathSuspect: (address) => suspects.push(address) });
    s.write('lost');
    const start = s.now;
    s.advance(99_999);
    assert.equal(s.events, '');
    assert.deepEqual(suspects, [s.peer], 'R1 is reported once');
    s.clear();
    s.advance(1);
    assert.equal(s.now - start, 100_000);
    s.expect({ flags: 'RA' });
    assert.equal(s.events, 'closed ETIMEDOUT');
    assert.equal(s.stack.nextTick, undefined);
  },
);

both('Karn: a retransmitted segment gives no sample without timestamps (RFC 6298 3)', (family) => {
  const s = established({ family });
  s.write('x');
  s.advance(5000);
  s.arrives({ flags: 'A', seq: 1, ack: 2 });
  assert.equal(s.socket.roundTripTime, 10);
});

both('with timestamps the echo tells which transmission was answered (RFC 7323 4.1)', (family) => {
  const s = established({ family, syn: { mss: 1000, ts: [1, 0] } });
  s.write('x');
  s.clear();
  while (s.out.length === 0) s.advance(1);
  const again = s.expect({ flags: 'A', seq: 1, length: 1 });
  s.now += 30;
  s.arrives({ flags: 'A', seq: 1, ack: 2, ts: [2, again.tsVal] });
  assert.equal(s.socket.roundTripTime, 0.875 * 10 + 0.125 * 30);
});

both(
  'without SACK: the third duplicate ACK retransmits, the first two send new data (RFC 5681 3.2, RFC 3042)',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    s.write('y'.repeat(5000));
    s.expectNothing();
    const duplicate = { flags: 'A', seq: 1, ack: 1 };
    s.arrives(duplicate);
    s.expect({ flags: 'A', seq: 10_001, length: 1000 });
    s.arrives(duplicate);
    s.expect({ flags: 'A', seq: 11_001, length: 1000 });
    s.arrives(duplicate);
    s.expect({ flags: 'A', seq: 1, length: 1000 });
    assert.equal(s.counter('tcp.fast_recoveries'), 1);
  },
);

both(
  'without SACK: each partial ACK retransmits the next hole, one reduction (RFC 6582 3.2)',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    for (let i = 0; i < 3; i++) s.arrives({ flags: 'A', seq: 1, ack: 1 });
    s.expect({ flags: 'A', seq: 1 });
    s.arrives({ flags: 'A', seq: 1, ack: 3001 });
    s.expect({ flags: 'A', seq: 3001 });
    s.arrives({ flags: 'A', seq: 1, ack: 6001 });
    s.expect({ flags: 'A', seq: 6001 });
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.expectNothing();
    assert.equal(s.counter('tcp.fast_recoveries'), 1);
    assert.equal(s.counter('tcp.timeouts'), 0);
  },
);

both('an ACK with data, or with another window, is no duplicate (RFC 5681 2)', (family) => {
  const s = tenInFlight(family, { mss: 1000 });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'a' });
  s.arrives({ flags: 'A', seq: 2, ack: 1, data: 'b' });
  s.arrives({ flags: 'A', seq: 3, ack: 1, data: 'c' });
  s.arrives({ flags: 'A', seq: 4, ack: 1, window: 60_000 });
  s.arrives({ flags: 'A', seq: 4, ack: 1, window: 61_000 });
  s.arrives({ flags: 'A', seq: 4, ack: 1, window: 62_000 });
  assert.equal(s.counter('tcp.fast_recoveries'), 0);
});

both(
  'SACK: three segments delivered above a hole retransmit exactly the hole (RFC 8985 6.2, RFC 6675)',
  (family) => {
    const s = tenInFlight(family, SACK);
    s.arrives({ flags: 'A', seq: 1, ack: 1001, sack: [[2001, 3001]] });
    s.arrives({ flags: 'A', seq: 1, ack: 1001, sack: [[2001, 4001]] });
    s.expectNothing();
    s.arrives({ flags: 'A', seq: 1, ack: 1001, sack: [[2001, 5001]] });
    s.expect({ flags: 'A', seq: 1001, length: 1000 });
    s.expectNothing();
    assert.equal(s.counter('tcp.fast_recoveries'), 1);
  },
);

both('SACK: several holes are repaired in one round trip and one reduction', (family) => {
  const s = tenInFlight(family, SACK);
  const sack: [number, number][] = [
    [9001, 10_001],
    [6001, 8001],
    [3001, 5001],
  ];
  s.arrives({ flags: 'A', seq: 1, ack: 2001, sack });
  const holes = s.out.map((o) => (o.seq - s.iss) | 0);
  assert.equal(holes[0], 2001);
  s.arrives({ flags: 'A', seq: 1, ack: 5001, sack: sack.slice(0, 2) });
  s.arrives({ flags: 'A', seq: 1, ack: 8001, sack: sack.slice(0, 1) });
  const all = s.out.map((o) => (o.seq - s.iss) | 0);
  assert.deepEqual(all, [2001, 5001, 8001]);
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  assert.equal(s.counter('tcp.fast_recoveries'), 1);
  assert.equal(s.counter('tcp.timeouts'), 0);
});

both(
  'SACK: a lost retransmission is found by time and sent again without a timeout (RFC 8985 3.1)',
  (family) => {
    const s = tenInFlight(family, SACK);
    s.write('y'.repeat(20_000));
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 5001]] });
    s.expect({ flags: 'A', seq: 1, length: 1000 });
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 10_001]] });
    const news = s.out.map((o) => (o.seq - s.iss) | 0);
    assert.ok(
      news.every((seq) => seq > 10_000),
      'new data while the hole is being repaired',
    );
    assert.ok(news.length > 0);
    s.clear();
    s.now += 20;
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, news.at(-1)! + 1000]] });
    s.expect({ flags: 'A', seq: 1, length: 1000 });
    assert.equal(s.counter('tcp.timeouts'), 0);
  },
);

both(
  'SACK: reordering within a quarter round trip retransmits nothing (RFC 8985 6.2 step 4)',
  (family) => {
    const s = tenInFlight(family, SACK);
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 2001]] });
    s.now += 1;
    s.arrives({ flags: 'A', seq: 1, ack: 2001 });
    s.now += 1;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    s.advance(100);
    assert.equal(s.counter('tcp.retransmits'), 0);
  },
);

both(
  'SACK: a single hole with little above it is retransmitted by the reordering timer',
  (family) => {
    const s = tenInFlight(family, SACK);
    s.arrives({ flags: 'A', seq: 1, ack: 9001 });
    s.write('z'.repeat(1000));
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 9001, sack: [[10_001, 11_001]] });
    s.advance(30);
    s.expect({ flags: 'A', seq: 9001, length: 1000 });
    assert.equal(s.counter('tcp.timeouts'), 0);
  },
);

both(
  'tail loss: the last segment goes out again after two round trips, before any timeout (RFC 8985 7)',
  (family) => {
    const s = tenInFlight(family, SACK);
    s.arrives({ flags: 'A', seq: 1, ack: 7001 });
    const start = s.now;
    while (s.out.length === 0) s.advance(1);
    assert.ok(s.now - start <= 25, `after ${s.now - start} ms`);
    s.expect({ flags: 'A', seq: 9001, length: 1000 });
    assert.equal(s.counter('tcp.tail_loss_probes'), 1);
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 7001, sack: [[9001, 10_001]] });
    s.advance(10);
    s.expect({ flags: 'A', seq: 7001 });
    s.expect({ flags: 'A', seq: 8001 });
    assert.equal(s.counter('tcp.timeouts'), 0);
  },
);

both('tail loss: a probe carries new data when there is some and the window allows', (family) => {
  const s = established({ family, syn: { ...SACK, window: 65535 } });
  s.write('x'.repeat(10_000));
  s.clear();
  s.now += 10;
  s.arrives({ flags: 'A', seq: 1, ack: 2001, window: 500 });
  assert.equal(s.out.length, 0);
  s.write('y'.repeat(100));
  s.expectNothing();
  s.advance(25);
  s.expect({ flags: 'A', seq: 9001 });
});

both('SACK: a peer that goes back on its word still gets everything (RFC 2018 8)', (family) => {
  const s = tenInFlight(family, SACK);
  s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [[1001, 10_001]] });
  s.clear();
  s.now += 10;
  // The retransmission arrives, but the peer has thrown away what it had reported.
  s.arrives({ flags: 'A', seq: 1, ack: 1001 });
  const seen = new Set<number>();
  for (let i = 0; i < 40 && !seen.has(9001); i++) {
    s.advance(100);
    let top = 1001;
    for (const out of s.out) seen.add((out.seq - s.iss) | 0);
    while (seen.has(top)) top += 1000;
    if (s.out.length > 0) s.arrives({ flags: 'A', seq: 1, ack: top });
  }
  assert.deepEqual(
    [...seen].sort((a, b) => a - b),
    [1001, 2001, 3001, 4001, 5001, 6001, 7001, 8001, 9001],
  );
});

both('SACK: blocks that make no sense are ignored (RFC 6675 5)', (family) => {
  const s = tenInFlight(family, SACK);
  for (const block of [
    [5001, 4001],
    [20_001, 30_001],
    [9001, 50_000],
    [-5000, 1],
    [1, 1],
  ] as const) {
    s.arrives({ flags: 'A', seq: 1, ack: 1, sack: [block] });
  }
  assert.equal(s.counter('tcp.fast_recoveries'), 0);
  s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
  assert.equal(s.socket.unacknowledged, 0);
});

both('after an idle time the window is at most the initial one again (RFC 5681 4.1)', (family) => {
  const s = established({ family, syn: SACK });
  let acked = 1;
  s.write('x'.repeat(100_000));
  for (let i = 0; i < 5; i++) {
    for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: acked });
  }
  for (; acked < 100_001; ) {
    for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: acked });
  }
  s.advance(2000);
  s.clear();
  s.write('y'.repeat(100_000));
  assert.equal(s.out.length, 10);
});

both(
  'black hole: two timeouts of full segments halve the segment, not below what every path carries (RFC 4821)',
  (family) => {
    const s = established({ family, mtu: 3000, syn: { mss: 2600 } });
    s.write('x'.repeat(10_400));
    s.clear();
    s.advance(200);
    s.expect({ flags: 'A', seq: 1, length: 2600 });
    s.advance(400);
    s.expect({ flags: 'A', seq: 1, length: 1300 });
    s.expect({ flags: 'A', seq: 1301, length: 1300 });
    // It may have been an outage: once all is repaired full segments get a second chance, but no third.
    s.arrives({ flags: 'A', seq: 1, ack: 10_401 });
    s.write('y'.repeat(2600));
    s.expect({ flags: 'A', seq: 10_401, length: 2600 });
    s.clear();
    s.advance(5000);
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: 13_001 });
    s.write('z'.repeat(5000));
    s.expect({ flags: 'A', seq: 13_001, length: 1300 });
  },
);

both(
  'RTO: a new path ends the wait of a doubled timeout and repeats the acknowledgement',
  (family) => {
    const s = tenInFlight(family, { mss: 1000 });
    s.advance(190);
    s.advance(400);
    s.clear();
    s.stack.pathChanged((address) => address === '100.64.0.9');
    s.advance(1);
    s.expectNothing();
    s.stack.pathChanged((address) => address === s.peer);
    s.advance(1);
    if (family === 4) {
      // Two timeouts halved the segment.
      s.expect({ flags: 'A', seq: 1, ack: 1, length: 536 });
      s.expect({ flags: 'A', seq: 537, length: 464 });
    } else {
      s.expect({ flags: 'A', seq: 1, ack: 1, length: 1000 });
    }
    s.advance(198);
    s.expectNothing();
  },
);

both(
  'a path that lost packets: three duplicates of the acknowledgement make the peer send again (RFC 5681 3.2)',
  (family) => {
    const s = established({ family });
    s.arrives({ flags: 'A', seq: 1, ack: 1, length: 100 });
    s.advance(1);
    s.clear();
    s.stack.pathChanged((address) => address === '100.64.0.9', true);
    s.advance(1);
    s.expectNothing();
    s.stack.pathChanged((address) => address === s.peer, true);
    s.advance(1);
    for (let i = 0; i < 4; i++) s.expect({ flags: 'A', seq: 1, ack: 101, length: 0 });
    s.expectNothing();
  },
);

both('a new path costs a connection that waits for nothing one acknowledgement', (family) => {
  const s = established({ family });
  s.stack.pathChanged(() => true);
  s.advance(1);
  s.expect({ flags: 'A', seq: 1, ack: 1, length: 0 });
  s.expectNothing();
});
