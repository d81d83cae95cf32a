// How much an application may queue beyond what the network takes: the send buffer is twice the window, so that what is not
// yet sent stays small (RFC 9293 3.10.2; the aim of TCP_NOTSENT_LOWAT elsewhere).
import assert from 'node:assert/strict';
import { both, established } from '../../testing/scripted.ts';

both('a fresh connection takes 128 KiB, whatever its window (RFC 9293 3.10.2)', (family) => {
  const s = established({ family });
  assert.equal(s.socket.writable, 128 * 1024);
  assert.equal(s.write('x'.repeat(200_000)), 128 * 1024);
});

both('with the window the send buffer grows to twice its size (RFC 9293 3.10.2)', (family) => {
  const s = established({ family, syn: { mss: 1000, scale: 8 }, tcp: { congestion: 'newreno' } });
  let acked = 1;
  for (let round = 0; round < 5; round++) {
    s.write('x'.repeat(s.socket.writable));
    while ((s.stack.nextTick ?? s.now + 1) <= s.now) s.poll();
    for (const out of s.out) acked = Math.max(acked, ((out.seq - s.iss) | 0) + out.payloadLength);
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: acked });
  }
  // 160 to 320 segments of window by now.
  const room = s.socket.writable + s.socket.unacknowledged;
  assert.ok(room > 300_000 && room <= 700_000, `${room} bytes`);
});

both(
  'writable comes when a quarter of the buffer is free, not for each segment acknowledged (RFC 9293 3.10.2)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, scale: 8 } });
    s.write('x'.repeat(200_000));
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 10_001 });
    assert.equal(s.events, '');
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 30_001 });
    assert.equal(s.events, '');
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 35_001 });
    assert.equal(s.events, 'writable');
  },
);

both(
  'the option bounds it, and an application that asks for less gets less (RFC 9293 3.10.2)',
  (family) => {
    const s = established({ family, tcp: { sendBufferLimit: 5000 } });
    assert.equal(s.socket.writable, 5000);
    assert.equal(s.write('x'.repeat(2000)), 2000);
    assert.equal(s.socket.writable, 3000);
  },
);
