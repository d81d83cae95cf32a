// Timestamps (RFC 7323 3, 4, 5).
import assert from 'node:assert/strict';
import { both, established, Script } from '../../testing/scripted.ts';

const TS = { mss: 1000, sackOk: true, ts: [1000, 0] } as const;

both('once agreed they are on every segment, data, ACK and FIN (RFC 7323 3.2)', (family) => {
  const s = established({ family, syn: TS });
  s.write('data');
  s.arrives({ flags: 'A', seq: 1, ack: 5, data: 'x', ts: [1001, 0] });
  s.advance(50);
  s.socket.shutdownWrite();
  s.poll();
  assert.ok(s.out.length >= 3);
  for (const out of s.out) assert.equal(out.hasTimestamps, true);
});

both('not agreed, they are neither sent nor looked at (RFC 7323 3.2)', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'a', ts: [5, 0] });
  s.arrives({ flags: 'A', seq: 2, ack: 1, data: 'b', ts: [4, 0] });
  assert.equal(s.app.received, 'ab');
  assert.equal(s.expect({ flags: 'A' }).hasTimestamps, false);
});

both('the clock counts milliseconds from an offset of its own (RFC 7323 5.4)', (family) => {
  const s = established({ family, syn: TS });
  s.write('a');
  const first = s.expect({ flags: 'A' });
  s.now += 70;
  s.arrives({ flags: 'A', seq: 1, ack: 2, ts: [1001, first.tsVal] });
  s.write('b');
  assert.equal((s.expect({ flags: 'A' }).tsVal - first.tsVal) >>> 0, 70);
  assert.equal(s.socket.roundTripTime, 0.875 * 10 + 0.125 * 70);
  const other = new Script({ family });
  other.connect();
  const syn = other.expect({ flags: 'S' });
  assert.notEqual(syn.tsVal, 1000, 'not the time since anything');
  assert.equal(syn.tsEcr, 0);
});

both('a delayed acknowledgement echoes the first segment it covers (RFC 7323 4.3)', (family) => {
  const s = established({ family, syn: TS });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'a', ts: [1010, 0] });
  s.expectNothing();
  s.arrives({ flags: 'A', seq: 2, ack: 1, data: 'b', ts: [1020, 0] });
  assert.equal(s.expect({ flags: 'A', ack: 3 }).tsEcr, 1010);
});

both(
  'a segment that fills a hole is echoed by the acknowledgement it causes (RFC 7323 4.3)',
  (family) => {
    const s = established({ family, syn: TS });
    s.arrives({ flags: 'A', seq: 11, ack: 1, data: 'x'.repeat(10), ts: [1010, 0] });
    assert.equal(s.expect({ flags: 'A', ack: 1 }).tsEcr, 1000);
    s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'x'.repeat(10), ts: [1005, 0] });
    assert.equal(s.expect({ flags: 'A', ack: 21 }).tsEcr, 1005);
  },
);

both('older than the last: dropped with an ACK, unless it is a RST (RFC 7323 5.3)', (family) => {
  const s = established({ family, syn: TS });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'new', ts: [1100, 0] });
  s.advance(40);
  s.clear();
  s.arrives({ flags: 'A', seq: 4, ack: 1, data: 'old', ts: [1099, 0] });
  s.expect({ flags: 'A', ack: 4 });
  assert.equal(s.app.received, 'new');
  s.arrives({ flags: 'R', seq: 4, ts: [1, 0] });
  assert.equal(s.state, 'CLOSED');
});
