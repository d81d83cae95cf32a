// How long silence is borne (RFC 9293 3.8.3, MUST-20..23; RFC 5482 in its local part).
import assert from 'node:assert/strict';
import { both, established, Script } from '../../testing/scripted.ts';

both(
  'data unanswered for R2 ends the connection with RST and ETIMEDOUT (RFC 9293 3.8.3 MUST-20)',
  (family) => {
    const s = established({ family, tcp: { userTimeout: 5000 } });
    s.write('x');
    const start = s.now;
    s.advance(4999);
    assert.equal(s.events, '');
    s.clear();
    s.advance(1);
    s.expect({ flags: 'RA' });
    assert.equal(s.events, 'closed ETIMEDOUT');
    assert.equal(s.now - start, 5000);
  },
);

both(
  'an application sets R2 for its connection, also while a long timer runs (RFC 9293 3.8.3 MUST-21)',
  (family) => {
    const s = established({ family });
    s.write('x');
    s.advance(20_000);
    assert.equal(s.events, '');
    s.socket.setUserTimeout(21_000);
    s.advance(999);
    assert.equal(s.events, '');
    s.advance(1);
    assert.equal(s.events, 'closed ETIMEDOUT');
    assert.throws(() => s.socket.setUserTimeout(0), RangeError);
  },
);

both('a longer R2 keeps the connection longer (RFC 9293 3.8.3 MUST-21)', (family) => {
  const s = established({ family });
  s.socket.setUserTimeout(1_000_000);
  s.write('x');
  s.advance(999_000);
  assert.equal(s.state, 'ESTABLISHED');
  s.advance(2000);
  assert.equal(s.events, 'closed ETIMEDOUT');
});

both('R2 counts from the last progress, not from the first byte (RFC 9293 3.8.3)', (family) => {
  const s = established({ family, tcp: { userTimeout: 5000 } });
  s.write('x'.repeat(2000));
  s.advance(4000);
  s.arrives({ flags: 'A', seq: 1, ack: 1001 });
  s.advance(4900);
  assert.equal(s.state, 'ESTABLISHED');
  s.advance(200);
  assert.equal(s.events, 'closed ETIMEDOUT');
});

both(
  'three retransmissions in a row are reported for another path, once (RFC 9293 3.8.3 R1)',
  (family) => {
    const suspects: string[] = [];
    const s = established({ family, pathSuspect: (address) => suspects.push(address) });
    s.write('x');
    s.advance(200 + 400);
    assert.deepEqual(suspects, []);
    s.advance(800);
    assert.deepEqual(suspects, [s.peer]);
    s.advance(20_000);
    assert.deepEqual(suspects, [s.peer]);
  },
);

both(
  'a SYN is given three minutes unless the caller asks otherwise (RFC 9293 3.8.3 MUST-23)',
  (family) => {
    const s = new Script({ family });
    s.connect();
    s.advance(179_999);
    assert.equal(s.events, '');
    s.advance(1);
    assert.equal(s.events, 'closed ETIMEDOUT');
  },
);

both(
  'a window kept at zero is no silence: R2 does not count (RFC 9293 3.8.6.1 MUST-37)',
  (family) => {
    const s = established({ family, syn: { mss: 1000, window: 1000 }, tcp: { userTimeout: 5000 } });
    s.write('x'.repeat(3000));
    s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
    for (let i = 0; i < 100; i++) {
      s.clear();
      s.advance(1000);
      if (s.out.length > 0) s.arrives({ flags: 'A', seq: 1, ack: 1001, window: 0 });
    }
    assert.equal(s.state, 'ESTABLISHED');
    s.clear();
    s.advance(130_000);
    assert.equal(s.events, 'closed ETIMEDOUT');
  },
);
