import assert from 'node:assert/strict';
import fc from 'fast-check';
import { both, established, Script } from '../testing/scripted.ts';

const SACK = { mss: 1000, sackOk: true };

both(
  'data in order is delivered once per batch and acknowledged once (RFC 9293 3.8.6.3 MUST-58, 59)',
  (family) => {
    const s = established({ family });
    s.arrives(
      { flags: 'A', seq: 1, ack: 1, data: 'ab' },
      { flags: 'A', seq: 3, ack: 1, data: 'cd' },
      { flags: 'PA', seq: 5, ack: 1, data: 'ef' },
    );
    s.expect({ flags: 'A', ack: 7 });
    s.expectNothing();
    assert.equal(s.events, 'readable');
    assert.equal(s.app.received, 'abcdef');
  },
);

both(
  'full segments beyond the first sixteen are acknowledged eight at a time within a batch',
  (family) => {
    const s = established({ family });
    const segments = Array.from({ length: 33 }, (_, i) => ({
      flags: 'A',
      seq: 1 + 1000 * i,
      ack: 1,
      length: 1000,
    }));
    s.arrives(...segments);
    const acks = s.out.map((a) => ((a.ack - s.peerIss - 1) | 0) / 1000);
    assert.deepEqual(
      acks.slice(0, 16),
      Array.from({ length: 16 }, (_, i) => i + 1),
    );
    assert.deepEqual(acks.slice(16), [24, 32, 33]);
  },
);

both('one small segment waits for company, at most 30 ms (MUST-40, SHLD-18)', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'a' });
  s.expectNothing();
  s.advance(29);
  s.expectNothing();
  s.advance(1);
  s.expect({ flags: 'A', ack: 2 });
});

both('an answer written by the handler carries the acknowledgement', (family) => {
  const s = established({ family });
  s.app.readable = (socket) => {
    socket.read();
    socket.write(new Uint8Array(Buffer.from('pong')));
  };
  s.arrives({ flags: 'PA', seq: 1, ack: 1, data: 'ping' });
  s.expect({ flags: 'PA', seq: 1, ack: 5, data: 'pong' });
  s.expectNothing();
});

both(
  'a gap is acknowledged at once with SACK blocks, the latest first (RFC 2018 4, RFC 5681 4.2)',
  (family) => {
    const s = established({ family, syn: SACK });
    s.arrives({ flags: 'A', seq: 11, ack: 1, data: 'x'.repeat(10) });
    s.expect({ flags: 'A', ack: 1, sack: [[11, 21]] });
    s.arrives({ flags: 'A', seq: 31, ack: 1, data: 'x'.repeat(10) });
    s.expect({
      flags: 'A',
      ack: 1,
      sack: [
        [31, 41],
        [11, 21],
      ],
    });
    s.arrives({ flags: 'A', seq: 21, ack: 1, data: 'x'.repeat(10) });
    s.expect({ flags: 'A', ack: 1, sack: [[11, 41]] });
    s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'y'.repeat(10) });
    s.expect({ flags: 'A', ack: 41, sack: [] });
    assert.equal(s.app.received, `${'y'.repeat(10)}${'x'.repeat(30)}`);
  },
);

both('at most four SACK blocks are reported, three beside timestamps (RFC 2018 3)', (family) => {
  for (const [ts, blocks] of [
    [undefined, 4],
    [[50, 0] as const, 3],
  ] as const) {
    const s = established({ family, syn: ts === undefined ? SACK : { ...SACK, ts } });
    for (let i = 1; i <= 6; i++) {
      const option = ts === undefined ? {} : { ts: [51, 0] as const };
      s.arrives({ flags: 'A', seq: 1 + 20 * i, ack: 1, data: 'z'.repeat(10), ...option });
    }
    const last = s.out.at(-1)!;
    assert.equal(last.sackCount, blocks);
    assert.equal((last.sackLeft[0]! - s.peerIss) | 0, 121);
  }
});

both('a duplicate below the window is reported as DSACK first (RFC 2883 4)', (family) => {
  const s = established({ family, syn: SACK });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'abcd' });
  s.advance(50);
  s.clear();
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'abcd' });
  s.expect({ flags: 'A', ack: 5, sack: [[1, 5]] });
  s.arrives({ flags: 'A', seq: 10, ack: 1, data: 'zz' });
  s.expect({ flags: 'A', ack: 5, sack: [[10, 12]] });
  s.arrives({ flags: 'A', seq: 10, ack: 1, data: 'zz' });
  s.expect({
    flags: 'A',
    ack: 5,
    sack: [
      [10, 12],
      [10, 12],
    ],
  });
  assert.equal(s.app.received, 'abcd');
});

both('without SACK agreed no blocks are sent', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'A', seq: 11, ack: 1, data: 'later' });
  s.expect({ flags: 'A', ack: 1, sack: [] });
});

both(
  'overlapping segments deliver each byte once, whatever the order (RFC 9293 3.10.7.4)',
  (family) => {
    const text = 'The quick brown fox jumps over the lazy dog';
    const piece = fc.record({
      at: fc.integer({ min: 0, max: text.length - 1 }),
      length: fc.integer({ min: 1, max: text.length }),
    });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.boolean(), (pieces, sackOk) => {
        const s = established({ family, syn: { mss: 1000, sackOk } });
        for (const { at, length } of [...pieces, { at: 0, length: text.length }]) {
          s.arrives({ flags: 'A', seq: 1 + at, ack: 1, data: text.slice(at, at + length) });
        }
        assert.equal(s.app.received, text);
      }),
      { numRuns: 100 },
    );
  },
);

both(
  'beyond 1024 holes segments are dropped and counted, and the stream still completes',
  (family) => {
    const s = established({ family, syn: SACK });
    for (let i = 0; i < 1100; i++) s.arrives({ flags: 'A', seq: 3 + 2 * i, ack: 1, data: 'o' });
    assert.equal(s.counter('drop.tcp.holes'), 76);
    for (let i = 0; i < 2201; i++) {
      s.arrives({ flags: 'A', seq: 1 + i, ack: 1, data: i % 2 === 0 && i > 0 ? 'o' : 'e' });
    }
    assert.equal(s.app.received.length, 2201);
  },
);

both(
  'the window closes as data stays unread and opens again by reading (RFC 9293 3.8.6.2.2)',
  (family) => {
    const s = established({ family, tcp: { receiveBuffer: 8000, receiveBufferLimit: 8000 } });
    s.app.reading = false;
    for (let i = 0; i < 8; i++) {
      s.arrives({ flags: 'A', seq: 1 + 1000 * i, ack: 1, length: 1000 });
      s.expect({ flags: 'A', ack: 1001 + 1000 * i, window: 7000 - 1000 * i });
    }
    // One byte more does not fit; it is answered with the present window.
    s.arrives({ flags: 'A', seq: 8001, ack: 1, data: 'p' });
    s.expect({ flags: 'A', ack: 8001, window: 0 });
    s.app.drain(s.socket);
    s.poll();
    s.expect({ flags: 'A', ack: 8001, window: 8000 });
    assert.equal(s.app.received.length, 8000);
  },
);

both('a zero window takes ACK and RST, but no data (RFC 9293 3.10.7.4, MUST-66)', (family) => {
  const s = established({
    family,
    tcp: { receiveBuffer: 1000, receiveBufferLimit: 1000 },
    noDelay: true,
  });
  s.app.reading = false;
  s.arrives({ flags: 'A', seq: 1, ack: 1, length: 1000 });
  s.expect({ flags: 'A', window: 0 });
  s.write('out');
  s.expect({ flags: 'A', data: 'out' });
  s.arrives({ flags: 'A', seq: 1001, ack: 4, data: 'too much' });
  s.expect({ flags: 'A', ack: 1001, window: 0 });
  assert.equal(s.socket.unacknowledged, 0, 'the ACK counted');
  assert.equal(s.socket.readable, 1000);
  s.arrives({ flags: 'R', seq: 1001 });
  assert.match(s.events, /closed ECONNRESET$/);
});

both('acceptability follows the table of RFC 9293 3.4', (family) => {
  const window = 1000;
  fc.assert(
    fc.property(
      fc.integer({ min: -1500, max: 2500 }),
      fc.integer({ min: 0, max: 900 }),
      (offset, length) => {
        const s = established({
          family,
          tcp: { receiveBuffer: window, receiveBufferLimit: window },
        });
        s.arrives({ flags: 'A', seq: 1 + offset, ack: 1, length });
        const first = offset >= 0 && offset < window;
        const last = offset + length - 1 >= 0 && offset + length - 1 < window;
        // One more than the table: an empty segment at the right edge, see receive.ts.
        const acceptable = length === 0 ? first || offset === window : first || last;
        assert.equal(s.counter('drop.tcp.unacceptable'), acceptable ? 0 : 1);
      },
    ),
    { numRuns: 300 },
  );
});

both(
  'the right edge of the window never moves left (RFC 9293 3.8.6.2.2 MUST-39, RFC 7323 2.4)',
  (family) => {
    const step = fc.record({
      length: fc.integer({ min: 1, max: 1240 }),
      ahead: fc.boolean(),
      read: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const tcp = { receiveBuffer: 20_000, receiveBufferLimit: 200_000 };
        const s = established({ family, tcp, syn: { mss: 1240, scale: 0, sackOk: true } });
        s.app.reading = false;
        let seq = 1;
        let edge = 0;
        for (const { length, ahead, read } of steps) {
          s.arrives({ flags: 'A', seq: ahead ? seq + 3000 : seq, ack: 1, length });
          if (read) s.app.drain(s.socket);
          s.now += 5;
          s.poll();
          for (const out of s.out) {
            const right = ((out.ack - s.peerIss) | 0) + out.window * 4;
            assert.ok(right >= edge, `edge ${edge} moved left to ${right}`);
            edge = right;
            seq = (out.ack - s.peerIss) | 0;
          }
          assert.ok(s.socket.readable <= 200_000 + 64);
          s.clear();
        }
      }),
      { numRuns: 100 },
    );
  },
);

both('the receive buffer grows with what the application takes, up to its limit', (family) => {
  const limit = 1024 * 1024;
  const s = established({
    family,
    tcp: { receiveBuffer: 64 * 1024, receiveBufferLimit: limit },
    syn: { mss: 1240, scale: 7 },
  });
  let seq = 1;
  let largest = 0;
  for (let round = 0; round < 60; round++) {
    const count = Math.min(40 * (round + 1), 400);
    for (let i = 0; i < count; i++) {
      s.arrives({ flags: 'A', seq, ack: 1, length: 1240 });
      seq += 1240;
    }
    s.now += 11;
    s.poll();
    for (const out of s.out) largest = Math.max(largest, out.window * 32);
    s.clear();
  }
  assert.ok(largest > 256 * 1024, `grew to ${largest}`);
  assert.ok(largest <= limit);
});

both(
  'PAWS: an old timestamp is dropped and acknowledged; a RST is exempt (RFC 7323 5.3)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, ts: [1000, 0] } });
    s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'old', ts: [999, 0] });
    s.expect({ flags: 'A', ack: 1 });
    assert.equal(s.app.received, '');
    assert.equal(s.counter('drop.tcp.paws'), 1);
    s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'new', ts: [1001, 0] });
    assert.equal(s.app.received, 'new');
    s.arrives({ flags: 'R', seq: 4, ts: [1, 0] });
    assert.match(s.events, /closed ECONNRESET/);
  },
);

both(
  'PAWS: timestamps wrap, and after 24 days of silence they prove nothing (RFC 7323 5.5)',
  (family) => {
    const wrap = established({ family, syn: { mss: 1000, ts: [0xfffffff0, 0] } });
    wrap.arrives({ flags: 'A', seq: 1, ack: 1, data: 'a', ts: [0xfffffffe, 0] });
    wrap.arrives({ flags: 'A', seq: 2, ack: 1, data: 'b', ts: [5, 0] });
    assert.equal(wrap.app.received, 'ab');

    const stale = established({ family, syn: { mss: 1000, ts: [1000, 0] } });
    stale.advance(25 * 24 * 3600 * 1000);
    stale.arrives({ flags: 'A', seq: 1, ack: 1, data: 'a', ts: [5, 0] });
    assert.equal(stale.app.received, 'a');
  },
);

both('once agreed, a segment without timestamps is dropped (RFC 7323 3.2)', (family) => {
  const s = established({ family, syn: { mss: 1000, ts: [1000, 0] } });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'bare' });
  assert.equal(s.app.received, '');
  assert.equal(s.counter('drop.tcp.no_timestamp'), 1);
});

both('TS.Recent is taken only from segments at the left edge (RFC 7323 4.3)', (family) => {
  const s = established({ family, syn: { mss: 1000, sackOk: true, ts: [1000, 0] } });
  s.arrives({ flags: 'A', seq: 11, ack: 1, data: 'ahead', ts: [2000, 0] });
  assert.equal(s.expect({ flags: 'A', ack: 1 }).tsEcr, 1000);
  s.arrives({ flags: 'A', seq: 1, ack: 1, length: 10, ts: [1500, 0] });
  assert.equal(s.expect({ flags: 'A', ack: 16 }).tsEcr, 1500);
});

both('urgent data is delivered in line (RFC 9293 3.8.5, MUST-30)', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'AUP', seq: 1, ack: 1, data: 'now!', urgent: 2 });
  assert.equal(s.app.received, 'now!');
});

both(
  'a bad checksum, a short header and a bad data offset are dropped and counted (RFC 9293 3.1 MUST-3)',
  (family) => {
    const s = new Script({ family });
    s.listen();
    const good = s.packet({ flags: 'S', seq: 0 });
    const bad = new Uint8Array(good);
    const header = family === 4 ? 20 : 40;
    bad[header + 4]! ^= 1;
    s.stack.input(bad, 0, bad.length, s.now);
    assert.equal(s.counter('drop.tcp.checksum'), 1);
    const offset = new Uint8Array(good);
    offset[header + 12] = 0x40;
    s.stack.input(offset, 0, offset.length, s.now);
    offset[header + 12] = 0xf0;
    s.stack.input(offset, 0, offset.length, s.now);
    assert.equal(s.counter('drop.tcp.malformed'), 2);
    s.poll();
    s.expectNothing();
  },
);

both(
  'keep-alive: off by default; probes an idle peer and gives up after the count (RFC 9293 3.8.4)',
  (family) => {
    const quiet = established({ family });
    quiet.advance(24 * 3600 * 1000);
    quiet.expectNothing();
    assert.equal(quiet.stack.nextTick, undefined);

    const s = established({ family });
    s.socket.setKeepAlive({ idle: 10_000, interval: 1000, probes: 3 });
    s.advance(9_999);
    s.expectNothing();
    s.advance(1);
    s.expect({ flags: 'A', seq: 0, length: 0 });
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
    s.advance(9_999);
    s.expectNothing();
    s.advance(3000);
    assert.equal(s.out.length, 3);
    s.clear();
    s.advance(1000);
    s.expect({ flags: 'RA' });
    assert.equal(s.events, 'closed ETIMEDOUT');
    assert.equal(s.stack.nextTick, undefined);
  },
);

both('a keep-alive probe of the peer is answered', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'A', seq: 0, ack: 1 });
  s.expect({ flags: 'A', seq: 1, ack: 1 });
});
