import assert from 'node:assert/strict';
import { both, established, Script } from '../testing/scripted.ts';

both('SYN-SENT: a SYN-ACK establishes and is acknowledged (RFC 9293 3.10.7.3)', (family) => {
  const s = new Script({ family });
  s.connect();
  s.expect({ flags: 'S', seq: 0, mss: s.fullMss, sackOk: true, scale: 8, window: 65535 });
  s.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1000 });
  s.expect({ flags: 'A', seq: 1, ack: 1, length: 0 });
  assert.equal(s.state, 'ESTABLISHED');
  assert.equal(s.events, 'connected');
});

both('SYN-SENT: data written before the handshake goes out with its last ACK', (family) => {
  const s = new Script({ family });
  s.connect();
  s.expect({ flags: 'S' });
  assert.equal(s.write('hello'), 5);
  s.expectNothing();
  s.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1000 });
  s.expect({ flags: 'PA', seq: 1, ack: 1, data: 'hello' });
  s.expectNothing();
});

both('SYN-SENT: an ACK of something else is answered with RST (RFC 9293 3.10.7.3)', (family) => {
  const s = new Script({ family });
  s.connect();
  s.expect({ flags: 'S' });
  s.arrives({ flags: 'A', seq: 0, ack: 77 });
  s.expect({ flags: 'R', seq: 77 });
  assert.equal(s.state, 'SYN-SENT');
  s.arrives({ flags: 'SA', seq: 0, ack: 0 });
  s.expect({ flags: 'R', seq: 0 });
  assert.equal(s.state, 'SYN-SENT');
});

both(
  'SYN-SENT: RST with an acceptable ACK refuses, without one it is ignored (RFC 9293 3.5.3)',
  (family) => {
    const s = new Script({ family });
    s.connect();
    s.expect({ flags: 'S' });
    s.arrives({ flags: 'R', seq: 0 });
    s.arrives({ flags: 'RA', seq: 0, ack: 5 });
    assert.equal(s.state, 'SYN-SENT');
    s.arrives({ flags: 'RA', seq: 0, ack: 1 });
    assert.equal(s.events, 'closed ECONNREFUSED');
    s.expectNothing();
    assert.equal(s.stack.nextTick, undefined);
  },
);

both(
  'SYN-SENT: the SYN is repeated after 1, 2, 4 s and given up at the timeout (RFC 6298 5, MUST-23)',
  (family) => {
    const s = new Script({ family });
    s.connect(10_000);
    s.expect({ flags: 'S', seq: 0 });
    for (const wait of [1000, 2000, 4000]) {
      s.advance(wait - 1);
      s.expectNothing();
      s.advance(1);
      s.expect({ flags: 'S', seq: 0 });
    }
    s.advance(2999);
    assert.equal(s.events, '');
    s.advance(1);
    assert.equal(s.events, 'closed ETIMEDOUT');
    assert.equal(s.stack.nextTick, undefined);
  },
);

both(
  'SYN-SENT: a timeout below the first RTO holds, and a silent abort sends nothing',
  (family) => {
    const s = new Script({ family });
    s.connect(300);
    s.expect({ flags: 'S' });
    s.advance(299);
    assert.equal(s.events, '');
    s.advance(1);
    assert.equal(s.events, 'closed ETIMEDOUT');
    const aborted = new Script({ family });
    aborted.connect();
    aborted.expect({ flags: 'S' });
    aborted.socket.abort();
    aborted.poll();
    aborted.expectNothing();
    assert.equal(aborted.events, 'closed');
    assert.equal(aborted.stack.connectionCount, 0);
  },
);

both(
  'simultaneous open: crossing SYNs establish both ends (RFC 9293 3.5, figure 7, MUST-10)',
  (family) => {
    const s = new Script({ family });
    s.connect();
    s.expect({ flags: 'S', seq: 0 });
    s.arrives({ flags: 'S', seq: 0, mss: 1000 });
    assert.equal(s.state, 'SYN-RECEIVED');
    s.expect({ flags: 'SA', seq: 0, ack: 1 });
    s.arrives({ flags: 'SA', seq: 0, ack: 1 });
    assert.equal(s.state, 'ESTABLISHED');
    s.expect({ flags: 'A', seq: 1, ack: 1 });
    assert.equal(s.events, 'connected');
  },
);

both(
  'simultaneous open: RST in SYN-RECEIVED of an active open refuses (RFC 9293 3.10.7.4)',
  (family) => {
    const s = new Script({ family });
    s.connect();
    s.arrives({ flags: 'S', seq: 0 });
    s.clear();
    s.arrives({ flags: 'R', seq: 1 });
    assert.equal(s.events, 'closed ECONNREFUSED');
  },
);

both('LISTEN: SYN, SYN-ACK, ACK: accept is called when the handshake is complete', (family) => {
  const s = new Script({ family });
  s.listen();
  s.arrives({ flags: 'S', seq: 0, mss: 1460, sackOk: true, scale: 7, ts: [500, 0] });
  const reply = s.expect({ flags: 'SA', seq: 0, ack: 1, mss: s.fullMss, sackOk: true, scale: 8 });
  assert.equal(reply.tsEcr, 500);
  assert.equal(s.accepted, 0);
  s.arrives({ flags: 'A', seq: 1, ack: 1, ts: [501, reply.tsVal] });
  assert.equal(s.accepted, 1);
  assert.equal(s.socket.remoteAddress, s.peer);
  assert.equal(s.socket.remotePort, 40000);
  assert.equal(s.socket.localPort, 80);
});

both(
  'LISTEN: options the peer does not offer are not answered (RFC 7323 1.3, RFC 2018 2)',
  (family) => {
    const s = new Script({ family });
    s.listen();
    s.arrives({ flags: 'S', seq: 0 });
    const reply = s.expect({ flags: 'SA', sackOk: false, scale: -1, mss: s.fullMss });
    assert.equal(reply.hasTimestamps, false);
  },
);

both('LISTEN: an ACK is answered with RST, a RST with nothing (RFC 9293 3.10.7.2)', (family) => {
  const s = new Script({ family });
  s.listen();
  s.arrives({ flags: 'A', seq: 0, ack: 123 });
  s.expect({ flags: 'R', seq: 123 });
  s.arrives({ flags: 'R', seq: 0 });
  s.expectNothing();
});

both('CLOSED: a segment to no listener gets RST by the rules of RFC 9293 3.5.2', (family) => {
  const s = new Script({ family });
  s.localPort = 81;
  s.arrives({ flags: 'S', seq: 0 });
  s.expect({ flags: 'RA', seq: 0, ack: 1 });
  s.arrives({ flags: 'A', seq: 10, ack: 99, data: 'abc' });
  s.expect({ flags: 'R', seq: 99 });
  s.arrives({ flags: 'PF', seq: 10, data: 'abc' });
  s.expect({ flags: 'RA', seq: 0, ack: 14 });
  s.arrives({ flags: 'RA', seq: 10, ack: 99 });
  s.expectNothing();
});

both('SYN-RECEIVED: data with the last ACK is delivered', (family) => {
  const s = new Script({ family });
  s.listen();
  s.arrives({ flags: 'S', seq: 0 });
  s.expect({ flags: 'SA' });
  s.arrives({ flags: 'A', seq: 1, ack: 1, data: 'now' });
  assert.equal(s.app.received, 'now');
});

both('SYN-RECEIVED: a repeated SYN gets the SYN-ACK again, a bad ACK gets RST', (family) => {
  const s = new Script({ family });
  s.listen();
  s.arrives({ flags: 'S', seq: 0 });
  s.expect({ flags: 'SA', seq: 0, ack: 1 });
  s.arrives({ flags: 'S', seq: 0 });
  s.expect({ flags: 'SA', seq: 0, ack: 1 });
  s.arrives({ flags: 'A', seq: 1, ack: 99 });
  s.expect({ flags: 'R', seq: 99 });
  s.arrives({ flags: 'A', seq: 1, ack: 1 });
  assert.equal(s.accepted, 1);
});

both('SYN-RECEIVED: RST returns a passive open to LISTEN without telling anyone', (family) => {
  const s = new Script({ family });
  s.listen();
  s.arrives({ flags: 'S', seq: 0 });
  s.expect({ flags: 'SA' });
  s.arrives({ flags: 'R', seq: 1 });
  assert.equal(s.stack.connectionCount, 0);
  s.arrives({ flags: 'S', seq: 0 });
  s.expect({ flags: 'SA' });
});

both('SYN-RECEIVED: the SYN-ACK is repeated and the connection then forgotten', (family) => {
  const s = new Script({ family });
  s.listen();
  s.arrives({ flags: 'S', seq: 0 });
  s.expect({ flags: 'SA' });
  s.advance(1000);
  s.expect({ flags: 'SA', seq: 0, ack: 1 });
  s.advance(200_000);
  assert.equal(s.stack.connectionCount, 0);
  assert.equal(s.stack.nextTick, undefined);
  assert.equal(s.accepted, 0);
});

both('a flood of SYNs from one source leaves room for others (RFC 4987)', (family) => {
  const s = new Script({ family });
  s.listen(9);
  for (let port = 1000; port < 1100; port++) {
    s.remotePort = port;
    s.arrives({ flags: 'S', seq: 0 });
  }
  assert.equal(s.stack.connectionCount, 6, 'two thirds of the backlog');
  assert.equal(s.counter('drop.tcp.backlog'), 94);
  assert.equal(s.out.length, 6, 'and the rest is not answered');
});

both(
  'an initial sequence number advances with time and differs between tuples (RFC 6528)',
  (family) => {
    const first = new Script({ family });
    first.listen();
    const seen: number[] = [];
    for (const at of [0, 1, 10, 1000]) {
      first.now = 1000 + at;
      first.arrives({ flags: 'S', seq: 0 });
      seen.push(first.iss);
      first.arrives({ flags: 'R', seq: 1 });
    }
    const steps = seen.map((iss) => (iss - seen[0]!) >>> 0);
    assert.deepEqual(steps, [0, 250, 2500, 250_000]);
    first.remotePort = 40001;
    first.arrives({ flags: 'S', seq: 0 });
    assert.ok(Math.abs((first.iss - seen[3]!) | 0) > 10_000, 'another tuple starts elsewhere');
  },
);

both(
  'MSS: default 536 or 1220 when absent, clamped when tiny, never above the MTU (RFC 9293 3.7.1)',
  (family) => {
    for (const [mss, expected] of [
      [0, family === 4 ? 536 : 1220],
      [1, 64],
      [9000, family === 4 ? 1240 : 1220],
      [700, 700],
    ] as const) {
      const s = established({ family, syn: { mss } });
      s.write('x'.repeat(3000));
      s.expect({ flags: 'A', length: expected });
    }
  },
);

both('MSS: room for timestamps comes off the payload (RFC 6691)', (family) => {
  const s = established({ family, syn: { mss: 9000, ts: [7, 0] } });
  s.write('x'.repeat(3000));
  s.expect({ flags: 'A', length: s.fullMss - 12 });
});

both(
  'window scale above 14 counts as 14, and the window of the SYN is not scaled (RFC 7323 2.2, 2.3)',
  (family) => {
    const s = established({ family, syn: { scale: 200, window: 2, mss: 1000 }, noDelay: true });
    s.write('abcdef');
    s.expect({ flags: 'A', length: 2 });
    s.arrives({ flags: 'A', seq: 1, ack: 3, window: 1 });
    s.expect({ flags: 'PA', data: 'cdef' });
  },
);

both('a connect without an own address of the family ends with ENETUNREACH', (family) => {
  const s = new Script({ family });
  s.stack.connect({
    remoteAddress: family === 4 ? 'fd7a::2' : '10.0.0.2',
    remotePort: 80,
    handler: s.app,
  });
  s.poll();
  assert.equal(s.events, 'closed ENETUNREACH');
});

both('connect and listen report what is taken with EADDRINUSE', (family) => {
  const s = new Script({ family });
  s.listen();
  assert.throws(() => s.stack.listen({ port: 80, accept() {} }), { code: 'EADDRINUSE' });
  const options = { remoteAddress: s.peer, remotePort: 80, localPort: 5000, handler: s.app };
  s.stack.connect(options);
  assert.throws(() => s.stack.connect(options), { code: 'EADDRINUSE' });
  assert.throws(() => s.stack.connect({ ...options, remoteAddress: 'nowhere' }), {
    code: 'EINVAL',
  });
  assert.throws(() => s.stack.connect({ ...options, remotePort: 70000 }), RangeError);
  assert.throws(() => s.stack.listen({ port: 1, address: '1.2.3.4', accept() {} }), {
    code: 'EADDRNOTAVAIL',
  });
});

both(
  'a specific listener goes before the wildcard one; closing it drops its handshakes (RFC 9293 3.9.1 MUST-41..43)',
  (family) => {
    const s = new Script({ family });
    s.listen();
    let specific = 0;
    const listener = s.stack.listen({ port: 80, address: s.ours, accept: () => specific++ });
    s.arrives({ flags: 'S', seq: 0 });
    s.expect({ flags: 'SA' });
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
    assert.equal(specific, 1);
    s.remotePort = 40001;
    s.arrives({ flags: 'S', seq: 0 });
    s.expect({ flags: 'SA' });
    listener.close();
    s.poll();
    s.expect({ flags: 'RA' });
    s.remotePort = 40002;
    s.arrives({ flags: 'S', seq: 0 });
    s.expect({ flags: 'SA' });
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
    assert.equal(s.accepted, 1);
  },
);
