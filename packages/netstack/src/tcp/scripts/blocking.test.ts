// Calls that would have to wait: they take what they can, say how much, and an event follows (RFC 9293 3.10.2, 3.10.3).
import assert from 'node:assert/strict';
import { both, established, Script } from '../../testing/scripted.ts';

both(
  'a write before the handshake is queued and leaves when it completes (RFC 9293 3.10.2)',
  (family) => {
    const s = new Script({ family });
    s.connect();
    s.expect({ flags: 'S' });
    assert.equal(s.write('early'), 5);
    s.advance(500);
    s.expectNothing();
    s.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1000 });
    s.expect({ flags: 'PA', seq: 1, ack: 1, data: 'early' });
  },
);

both(
  'a write beyond the send buffer is cut short, and writable follows once a quarter is free (RFC 9293 3.10.2)',
  (family) => {
    const s = established({ family, tcp: { sendBufferLimit: 8000 } });
    assert.equal(s.write('x'.repeat(10_000)), 8000);
    assert.equal(s.write('x'), 0);
    assert.equal(s.socket.writable, 0);
    s.clear();
    s.now += 10;
    s.arrives({ flags: 'A', seq: 1, ack: 1001 });
    assert.equal(s.events, '');
    s.arrives({ flags: 'A', seq: 1, ack: 2001 });
    assert.equal(s.events, 'writable');
    assert.equal(s.write('y'.repeat(5000)), 2000);
  },
);

both(
  'a read with nothing queued gives nothing, and readable follows (RFC 9293 3.10.3)',
  (family) => {
    const s = established({ family });
    assert.equal(s.socket.read(), undefined);
    s.arrives({ flags: 'PA', seq: 1, ack: 1, data: 'ab' });
    assert.equal(s.events, 'readable');
    assert.equal(s.app.received, 'ab');
    assert.equal(s.socket.read(), undefined);
  },
);

both('what was received before the FIN is read first, then the end (RFC 9293 3.10.3)', (family) => {
  const s = established({ family });
  s.app.reading = false;
  s.arrives({ flags: 'FA', seq: 1, ack: 1, data: 'tail' });
  assert.equal(s.events, 'readable');
  s.app.drain(s.socket);
  s.poll();
  assert.equal(s.events, 'readable ended');
});

both(
  'after a reset write takes nothing and the reason is told once (RFC 9293 3.10.2, 3.10.7.4)',
  (family) => {
    const s = established({ family });
    s.arrives({ flags: 'R', seq: 1 });
    assert.equal(s.events, 'closed ECONNRESET');
    assert.equal(s.write('late'), 0);
    s.advance(1000);
    s.expectNothing();
    assert.equal(s.events, 'closed ECONNRESET');
  },
);

both('a connect that nobody answers ends at its own timeout (RFC 9293 3.8.3)', (family) => {
  const s = new Script({ family });
  s.connect(2500);
  s.advance(2499);
  assert.equal(s.events, '');
  s.advance(1);
  assert.equal(s.events, 'closed ETIMEDOUT');
});
