// Windows that close, shrink and open again (RFC 9293 3.8.6).
import assert from 'node:assert/strict';
import { both, established, type Family, type Script } from '../../testing/scripted.ts';

/** The peer took 1000 bytes and closed its window; 2000 bytes wait. */
function closed(family: Family): Script {
  const s = established({ family, noDelay: true, syn: { mss: 1000, window: 1000 } });
  s.write('x'.repeat(3000));
  s.expect({ flags: 'A', seq: 1, length: 1000 });
  s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
  s.expectNothing();
  return s;
}

both(
  'a closed window is probed after the RTO, then at twice the time, at most every 60 s (RFC 9293 3.8.6.1 SHLD-29, SHLD-30)',
  (family) => {
    const s = closed(family);
    const gaps: number[] = [];
    let at = s.now;
    while (gaps.length < 12) {
      s.advance(100);
      if (s.out.length === 0) continue;
      gaps.push(s.now - at);
      at = s.now;
      for (const [left, right] of s.sentRanges()) assert.deepEqual([left, right], [1001, 1002]);
      s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
      s.clear();
    }
    assert.deepEqual(
      gaps,
      [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000],
    );
  },
);

both(
  'the connection outlives a virtual hour of closed window (RFC 9293 3.8.6.1 MUST-36, MUST-37)',
  (family) => {
    const s = closed(family);
    const end = s.now + 3_600_000;
    while (s.now < end) {
      s.advance(1000);
      if (s.out.length > 0) s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
      s.clear();
    }
    assert.equal(s.state, 'ESTABLISHED');
    s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 4000 });
    const sent = s.sentRanges();
    assert.equal(sent.at(-1)![1], 3001, 'and then everything leaves');
  },
);

both('a lost window update is found by the next probe (RFC 9293 3.8.6.1)', (family) => {
  const s = closed(family);
  // The update with window 4000 is lost here.
  s.advance(200);
  s.expect({ flags: 'A', seq: 1001, length: 1 });
  s.arrives({ flags: 'A', seq: 1, ack: 1002, window: 4000 });
  assert.deepEqual(s.sentRanges().at(-1), [2002, 3001]);
});

both(
  'a window shrunk below what is in flight: nothing new, repairs within it, no end (RFC 9293 3.8.6 MUST-34, SHLD-14..17)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, window: 5000 } });
    s.write('x'.repeat(20_000));
    assert.equal(s.sentRanges().length, 5);
    s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 1000 });
    s.expectNothing();
    for (let una = 1001; una < 5001; una += 1000) {
      let waited = 0;
      while (s.out.length === 0 && waited++ < 2000) s.advance(1);
      for (const [left, right] of s.sentRanges()) {
        assert.ok(
          left >= una && right <= una + 1000,
          `${left} to ${right} with the edge at ${una + 1000}`,
        );
      }
      s.arrives({ flags: 'A', seq: 1, ack: una + 1000, window: 1000 });
    }
    assert.equal(s.state, 'ESTABLISHED');
  },
);

both(
  'data beyond a shrunk window does not time the connection out (RFC 9293 3.8.6 SHLD-17)',
  (family) => {
    const s = established({
      family,
      syn: { mss: 1000, window: 5000 },
      tcp: { userTimeout: 10_000 },
    });
    s.write('x'.repeat(5000));
    s.clear();
    for (let i = 0; i < 60; i++) {
      s.arrives({ flags: 'A', seq: 1, ack: 1, window: 0 });
      s.advance(1000);
      s.clear();
    }
    assert.equal(s.state, 'ESTABLISHED');
    s.arrives({ flags: 'A', seq: 1, ack: 1, window: 5000 });
    s.advance(1000);
    assert.equal(s.sentRanges()[0]![0], 1, 'and goes out again when it opens');
  },
);

both(
  'our own closed window answers probes with an ACK and takes nothing (RFC 9293 3.10.7.4 MUST-66)',
  (family) => {
    const tcp = { receiveBuffer: 2000, receiveBufferLimit: 2000 };
    const s = established({ family, tcp });
    s.app.reading = false;
    s.arrives({ flags: 'A', seq: 1, ack: 1, length: 1000 });
    s.arrives({ flags: 'A', seq: 1001, ack: 1, length: 1000 });
    s.clear();
    for (let i = 0; i < 5; i++) {
      s.advance(1000);
      s.arrives({ flags: 'A', seq: 2001, ack: 1, length: 1 });
      s.expect({ flags: 'A', ack: 2001, window: 0 });
    }
    assert.equal(s.socket.readable, 2000);
    s.app.drain(s.socket);
    s.poll();
    s.expect({ flags: 'A', ack: 2001, window: 2000 });
  },
);

both('a FIN behind a closed window is probed like data (RFC 9293 3.8.6.1)', (family) => {
  const s = closed(family);
  s.socket.shutdownWrite();
  s.poll();
  s.expectNothing();
  s.advance(200);
  s.expect({ flags: 'A', seq: 1001, length: 1 });
  s.arrives({ flags: 'A', seq: 1, ack: 1002, window: 9000 });
  s.expect({ flags: 'A', seq: 1002, length: 1000 });
  s.expect({ flags: 'FA', seq: 2002, length: 999 });
});
