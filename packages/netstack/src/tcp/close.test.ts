import assert from 'node:assert/strict';
import { both, established } from '../testing/scripted.ts';
import { inState, nextOf, SYNCHRONIZED, sentOf } from '../testing/states.ts';

both(
  'normal close, ours first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, gone after 2 MSL (RFC 9293 3.6)',
  (family) => {
    const s = inState('TIME-WAIT', family);
    assert.equal(s.events, 'ended finished closed');
    s.advance(59_000);
    assert.equal(s.stack.connectionCount, 1);
    s.advance(2_000);
    assert.equal(s.stack.connectionCount, 0);
    assert.equal(s.stack.nextTick, undefined);
  },
);

both('normal close, theirs first: CLOSE-WAIT, LAST-ACK, gone at once (RFC 9293 3.6)', (family) => {
  const s = inState('LAST-ACK', family);
  s.arrives({ flags: 'A', seq: 2, ack: 2 });
  assert.equal(s.state, 'CLOSED');
  assert.equal(s.events, 'ended finished closed');
  assert.equal(s.stack.connectionCount, 0);
});

both('simultaneous close: CLOSING, then TIME-WAIT (RFC 9293 3.6, figure 13)', (family) => {
  const s = inState('CLOSING', family);
  s.arrives({ flags: 'A', seq: 2, ack: 2 });
  assert.equal(s.state, 'TIME-WAIT');
  assert.equal(s.events, 'ended finished closed');
});

both(
  'half close: data arrives and is acknowledged after our FIN, until theirs (RFC 9293 3.6.1)',
  (family) => {
    const s = inState('FIN-WAIT-2', family);
    s.arrives({ flags: 'A', seq: 1, ack: 2, data: 'late' });
    assert.equal(s.app.received, 'late');
    s.advance(100_000);
    assert.equal(s.state, 'FIN-WAIT-2', 'a half-open reader may wait for ever');
    s.clear();
    s.arrives({ flags: 'FA', seq: 5, ack: 2, data: 'st' });
    s.expect({ flags: 'A', ack: 8 });
    assert.equal(s.app.received, 'latest');
    assert.equal(s.state, 'TIME-WAIT');
  },
);

both("half close: we may go on sending after the peer's FIN", (family) => {
  const s = inState('CLOSE-WAIT', family);
  s.write('more');
  s.expect({ flags: 'A', seq: 1, ack: 2, data: 'more' });
  s.socket.shutdownWrite();
  s.poll();
  s.expect({ flags: 'FA', seq: 5 });
  assert.equal(s.state, 'LAST-ACK');
});

both('the FIN rides on the last data segment', (family) => {
  const s = established({ family });
  s.socket.write(new Uint8Array(Buffer.from('bye')));
  s.socket.shutdownWrite();
  s.poll();
  s.expect({ flags: 'FPA', seq: 1, data: 'bye' });
  s.expectNothing();
});

both('FIN and data and the ACK of our FIN in one segment: FIN-WAIT-1 to TIME-WAIT', (family) => {
  const s = inState('FIN-WAIT-1', family);
  s.arrives({ flags: 'FA', seq: 1, ack: 2, data: 'all' });
  s.expect({ flags: 'A', seq: 2, ack: 5 });
  assert.equal(s.state, 'TIME-WAIT');
  assert.equal(s.app.received, 'all');
});

both('a FIN ahead of missing data waits for it', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'FA', seq: 4, ack: 1, data: 'def' });
  s.expect({ flags: 'A', ack: 1 });
  assert.equal(s.state, 'ESTABLISHED');
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'abc' });
  s.expect({ flags: 'A', ack: 7 });
  s.expect({ flags: 'A', ack: 8 });
  assert.equal(s.state, 'CLOSE-WAIT');
  assert.equal(s.app.received, 'abcdef');
});

for (const state of SYNCHRONIZED.filter((name) => name !== 'TIME-WAIT')) {
  both(`${state}: RST at RCV.NXT resets (RFC 5961 3.2)`, (family) => {
    const s = inState(state, family);
    s.arrives({ flags: 'R', seq: nextOf(state) });
    assert.equal(s.state, 'CLOSED');
    assert.match(s.events, /closed ECONNRESET$/);
    assert.equal(s.stack.nextTick, undefined);
    s.expectNothing();
  });
}

for (const state of SYNCHRONIZED) {
  both(
    `${state}: RST elsewhere in the window gets a challenge ACK, outside nothing (RFC 5961 3.2)`,
    (family) => {
      const s = inState(state, family);
      s.arrives({ flags: 'R', seq: nextOf(state) + 100 });
      if (state !== 'TIME-WAIT') s.expect({ flags: 'A', seq: sentOf(state), ack: nextOf(state) });
      s.expectNothing();
      s.arrives({ flags: 'R', seq: nextOf(state) - 5 });
      s.arrives({ flags: 'R', seq: nextOf(state) + 9_000_000 });
      s.expectNothing();
      assert.equal(s.state, state);
    },
  );

  both(`${state}: a SYN gets a challenge ACK and changes nothing (RFC 5961 4.2)`, (family) => {
    const s = inState(state, family);
    s.arrives({ flags: 'S', seq: nextOf(state) - 50 });
    s.expect({ flags: 'A', seq: sentOf(state), ack: nextOf(state) });
    assert.equal(s.state, state);
  });

  both(
    `${state}: an ACK of data never sent is challenged, data with it is dropped (RFC 5961 5.2)`,
    (family) => {
      const s = inState(state, family);
      s.arrives({ flags: 'A', seq: nextOf(state), ack: 5000, data: 'evil' });
      s.expect({ flags: 'A', seq: sentOf(state), ack: nextOf(state) });
      assert.equal(s.app.received, '');
      assert.equal(s.state, state);
    },
  );

  both(`${state}: an old ACK changes nothing`, (family) => {
    const s = inState(state, family);
    s.arrives({ flags: 'A', seq: nextOf(state), ack: 0 });
    assert.equal(s.state, state);
    s.expectNothing();
  });
}

for (const state of ['CLOSE-WAIT', 'CLOSING', 'LAST-ACK']) {
  both(`${state}: data after the peer's FIN is not delivered`, (family) => {
    const s = inState(state, family);
    s.arrives({ flags: 'A', seq: 2, ack: 1, data: 'ghost' });
    assert.equal(s.app.received, '');
    assert.equal(s.state, state);
  });
}

both('challenge ACKs are limited per connection (RFC 5961 7)', (family) => {
  const s = established({ family });
  for (let i = 0; i < 50; i++) s.arrives({ flags: 'S', seq: 1 });
  assert.equal(s.out.length, 5);
  s.clear();
  s.advance(2000);
  s.arrives({ flags: 'S', seq: 1 });
  s.expect({ flags: 'A' });
});

both(
  'TIME-WAIT: a repeated FIN is acknowledged and restarts the wait; RST is ignored (RFC 1337)',
  (family) => {
    const s = inState('TIME-WAIT', family);
    s.advance(50_000);
    s.arrives({ flags: 'FA', seq: 1, ack: 2 });
    s.expect({ flags: 'A', seq: 2, ack: 2 });
    s.arrives({ flags: 'R', seq: 2 });
    s.advance(50_000);
    assert.equal(s.stack.connectionCount, 1);
    s.advance(11_000);
    assert.equal(s.stack.connectionCount, 0);
  },
);

both(
  'TIME-WAIT: a SYN with a higher sequence number opens a new connection (RFC 9293 3.6.1)',
  (family) => {
    const s = established({ family, passive: true });
    s.socket.shutdownWrite();
    s.poll();
    s.expect({ flags: 'FA' });
    s.arrives({ flags: 'FA', seq: 1, ack: 2 });
    s.expect({ flags: 'A' });
    assert.equal(s.state, 'TIME-WAIT');
    s.arrives({ flags: 'S', seq: 1000 });
    s.expect({ flags: 'SA', ack: 1001 });
    assert.equal(s.stack.connectionCount, 1);
  },
);

both(
  'half-open discovered: a SYN to an old connection is challenged and the RST frees it (RFC 9293 3.5.1)',
  (family) => {
    const s = established({ family, passive: true });
    s.arrives({ flags: 'S', seq: 12345 });
    const ack = s.expect({ flags: 'A', seq: 1, ack: 1 });
    s.arrives({ flags: 'R', seq: (ack.ack - s.peerIss) | 0 });
    assert.equal(s.state, 'CLOSED');
    s.arrives({ flags: 'S', seq: 12345 });
    s.expect({ flags: 'SA', ack: 12346 });
  },
);

both('close with unread data resets (RFC 9293 3.6, SHLD-3)', (family) => {
  const s = established({ family });
  s.app.reading = false;
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'unread' });
  s.clear();
  s.socket.close();
  s.poll();
  s.expect({ flags: 'RA', seq: 1, ack: 7 });
  assert.equal(s.events, 'readable closed');
});

both("data for a closed socket resets; without data the peer's FIN ends it orderly", (family) => {
  const reset = established({ family });
  reset.socket.close();
  reset.poll();
  reset.expect({ flags: 'FA', seq: 1 });
  reset.arrives({ flags: 'A', seq: 1, ack: 2, data: 'hm' });
  reset.expect({ flags: 'RA', seq: 2 });
  assert.equal(reset.events, 'finished closed');

  const orderly = established({ family });
  orderly.socket.close();
  orderly.poll();
  orderly.expect({ flags: 'FA', seq: 1 });
  orderly.arrives({ flags: 'FA', seq: 1, ack: 2 });
  orderly.expect({ flags: 'A', ack: 2 });
  assert.equal(orderly.events, 'finished closed');
});

both('a closed socket waits only so long for the FIN of its peer', (family) => {
  const s = established({ family });
  s.advance(500_000);
  s.socket.close();
  s.poll();
  s.arrives({ flags: 'A', seq: 1, ack: 2 });
  assert.equal(s.state, 'FIN-WAIT-2');
  s.advance(59_000);
  assert.equal(s.stack.connectionCount, 1);
  s.advance(2000);
  assert.equal(s.stack.connectionCount, 0);
  assert.equal(s.events, 'finished closed');
});

both(
  'abort sends RST with the next poll and tells closed without an error (RFC 9293 3.10.5)',
  (family) => {
    const s = established({ family });
    s.socket.write(new Uint8Array(10));
    s.socket.abort();
    assert.equal(s.socket.state, 'CLOSED');
    assert.equal(s.socket.write(new Uint8Array(1)), 0);
    s.expectNothing();
    s.poll();
    s.expect({ flags: 'RA', seq: 1, ack: 1 });
    assert.equal(s.events, 'closed');
    assert.equal(s.stack.nextTick, undefined);
  },
);

both('the FIN is retransmitted until it is acknowledged', (family) => {
  const s = inState('FIN-WAIT-1', family);
  s.advance(250);
  s.expect({ flags: 'FA', seq: 1, length: 0 });
  s.advance(450);
  s.expect({ flags: 'FA', seq: 1, length: 0 });
});

both('an orderly end waits until the application has read everything', (family) => {
  const s = established({ family });
  s.app.reading = false;
  s.arrives({ flags: 'FA', seq: 1, ack: 1, data: 'unread' });
  s.socket.shutdownWrite();
  s.poll();
  s.arrives({ flags: 'A', seq: 8, ack: 2 });
  assert.equal(s.events, 'readable finished');
  assert.equal(s.socket.readEnded, false);
  s.app.drain(s.socket);
  assert.equal(s.socket.readEnded, true);
  s.poll();
  assert.equal(s.events, 'readable finished ended closed');
  assert.equal(s.app.received, 'unread');
});
