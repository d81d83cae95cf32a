// Ending one direction, or both (RFC 9293 3.6, 3.10.4).
import assert from 'node:assert/strict';
import { both, established, Script } from '../../testing/scripted.ts';

both(
  'after shutdown nothing more can be written, and all written before leaves with the FIN last (RFC 9293 3.10.4)',
  (family) => {
    const s = established({ family });
    s.socket.write(new Uint8Array(Buffer.from('x'.repeat(2500))));
    s.socket.shutdownWrite();
    assert.equal(s.socket.write(new Uint8Array(1)), 0);
    s.poll();
    s.expect({ flags: 'A', seq: 1, length: 1000 });
    s.expect({ flags: 'A', seq: 1001, length: 1000 });
    s.expect({ flags: 'FPA', seq: 2001, length: 500 });
    s.arrives({ flags: 'A', seq: 1, ack: 2502 });
    assert.equal(s.events, 'finished');
    assert.equal(s.state, 'FIN-WAIT-2');
  },
);

both(
  'shutdown in SYN-SENT: the FIN follows the handshake and what was written (RFC 9293 3.10.4)',
  (family) => {
    const s = new Script({ family });
    s.connect();
    s.expect({ flags: 'S' });
    s.socket.write(new Uint8Array(Buffer.from('hi')));
    s.socket.shutdownWrite();
    s.poll();
    s.expectNothing();
    s.arrives({ flags: 'SA', seq: 0, ack: 1 });
    s.expect({ flags: 'FPA', seq: 1, ack: 1, data: 'hi' });
    assert.equal(s.state, 'FIN-WAIT-1');
  },
);

both('the other direction goes on for as long as it likes (RFC 9293 3.6.1)', (family) => {
  const s = established({ family });
  s.socket.shutdownWrite();
  s.poll();
  s.expect({ flags: 'FA' });
  s.arrives({ flags: 'A', seq: 1, ack: 2 });
  for (let i = 0; i < 10; i++) {
    s.advance(600_000);
    s.arrives({ flags: 'PA', seq: 1 + 4 * i, ack: 2, data: 'more' });
  }
  assert.equal(s.app.received, 'more'.repeat(10));
  assert.equal(s.state, 'FIN-WAIT-2');
});

both('a closed window holds the data back, and the FIN behind it (RFC 9293 3.8.6)', (family) => {
  const s = established({ family, syn: { mss: 1000, window: 1000 } });
  s.socket.write(new Uint8Array(1500));
  s.socket.shutdownWrite();
  s.poll();
  s.expect({ flags: 'A', seq: 1, length: 1000 });
  s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
  s.expectNothing();
  s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 5000 });
  s.expect({ flags: 'FA', seq: 1001, length: 500 });
});

both('both at once: CLOSING, then TIME-WAIT (RFC 9293 3.6 figure 13)', (family) => {
  const s = established({ family });
  s.socket.shutdownWrite();
  s.poll();
  s.expect({ flags: 'FA', seq: 1 });
  s.arrives({ flags: 'FA', seq: 1, ack: 1 });
  s.expect({ flags: 'A', seq: 2, ack: 2 });
  assert.equal(s.state, 'CLOSING');
  s.arrives({ flags: 'A', seq: 2, ack: 2 });
  assert.equal(s.state, 'TIME-WAIT');
});

both(
  'close is both: data that comes afterwards is answered with RST (RFC 9293 3.6.1, RFC 2525 2.17)',
  (family) => {
    const s = established({ family });
    s.socket.close();
    s.poll();
    s.expect({ flags: 'FA' });
    s.arrives({ flags: 'PA', seq: 1, ack: 2, data: 'hello?' });
    s.expect({ flags: 'RA', seq: 2 });
    assert.equal(s.stack.connectionCount, 0);
  },
);
