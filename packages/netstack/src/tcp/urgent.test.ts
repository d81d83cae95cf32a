// Urgent data (RFC 9293 3.8.5): the mark is told, the bytes stay in line; we never send any.
import assert from 'node:assert/strict';
import type { TcpSocket } from '../api.ts';
import { both, established } from '../testing/scripted.ts';

both(
  'the application hears of urgent data and how far it reaches; the bytes stay in line (RFC 9293 3.8.5 MUST-30..32)',
  (family) => {
    const s = established({ family });
    let told = 0;
    Object.assign(s.app, { urgent: () => told++ });
    s.app.reading = false;
    s.arrives({ flags: 'UPA', seq: 1, ack: 1, data: 'attention', urgent: 4 });
    assert.equal(told, 1);
    assert.equal(s.socket.urgentBytes, 4);
    assert.equal(s.socket.readable, 9);
    s.app.drain(s.socket);
    assert.equal(s.app.received, 'attention');
    assert.equal(s.socket.urgentBytes, 0);
  },
);

both(
  'the mark may lie ahead of what has arrived, and moves only forward (RFC 9293 3.8.5 MUST-31)',
  (family) => {
    const s = established({ family });
    const told: number[] = [];
    Object.assign(s.app, { urgent: (socket: TcpSocket) => told.push(socket.urgentBytes) });
    s.arrives({ flags: 'UA', seq: 1, ack: 1, urgent: 5000 });
    assert.deepEqual(told, [5000]);
    s.arrives({ flags: 'UPA', seq: 1, ack: 1, data: 'abc', urgent: 10 });
    assert.deepEqual(told, [5000]);
    assert.equal(s.socket.urgentBytes, 4997);
    s.arrives({ flags: 'UA', seq: 4, ack: 1, urgent: 6000 });
    assert.equal(told.length, 2);
  },
);

both('a pointer of zero or into the past marks nothing (RFC 9293 3.8.5)', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'PA', seq: 1, ack: 1, data: 'old' });
  s.arrives({ flags: 'UA', seq: 4, ack: 1, urgent: 0 });
  s.arrives({ flags: 'UPA', seq: 1, ack: 1, data: 'old', urgent: 2 });
  assert.equal(s.socket.urgentBytes, 0);
  assert.equal(s.app.received, 'old');
});

both('URG counts even with a closed window (RFC 9293 3.10.7.4 MUST-66)', (family) => {
  const s = established({ family, tcp: { receiveBuffer: 1000, receiveBufferLimit: 1000 } });
  s.app.reading = false;
  s.arrives({ flags: 'A', seq: 1, ack: 1, length: 1000 });
  s.arrives({ flags: 'UPA', seq: 1001, ack: 1, length: 10, urgent: 10 });
  assert.equal(s.socket.urgentBytes, 1010);
  assert.equal(s.socket.readable, 1000);
});

both(
  'URG without data, with every other flag or before the handshake breaks nothing (RFC 9293 3.8.5 MUST-62)',
  (family) => {
    const s = established({ family });
    for (const flags of ['U', 'UA', 'UPA', 'USA', 'UF']) {
      s.arrives({ flags, seq: 1, ack: 1, urgent: 65535 });
    }
    assert.equal(s.state, 'ESTABLISHED');
    s.clear();
    s.write('x');
    const out = s.expect({ flags: 'A' });
    assert.equal(out.flags & 0x20, 0, 'never sent');
  },
);
