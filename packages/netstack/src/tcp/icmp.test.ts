// ICMP errors about connections, every code in three states (RFC 9293 3.9.2.2, RFC 5927).
import assert from 'node:assert/strict';
import { both, established, Script } from '../testing/scripted.ts';

/** Type, code, what it is called, the error of a socket, whether it ends an attempt to connect. */
const ERRORS = {
  4: [
    [3, 0, 'net unreachable', 'ENETUNREACH', false],
    [3, 1, 'host unreachable', 'EHOSTUNREACH', false],
    [3, 2, 'protocol unreachable', 'ECONNREFUSED', true],
    [3, 3, 'port unreachable', 'ECONNREFUSED', true],
    [3, 5, 'source route failed', 'EHOSTUNREACH', false],
    [3, 13, 'prohibited', 'EHOSTUNREACH', false],
    [11, 0, 'time exceeded', 'EHOSTUNREACH', false],
    [12, 0, 'parameter problem', 'EHOSTUNREACH', false],
  ],
  6: [
    [1, 0, 'no route', 'ENETUNREACH', false],
    [1, 1, 'prohibited', 'EHOSTUNREACH', false],
    [1, 3, 'address unreachable', 'EHOSTUNREACH', false],
    [1, 4, 'port unreachable', 'ECONNREFUSED', true],
    [3, 0, 'time exceeded', 'EHOSTUNREACH', false],
    [4, 0, 'parameter problem', 'EHOSTUNREACH', false],
  ],
} as const;

both(
  'SYN-SENT: port and protocol unreachable end the attempt, all others are the reason at its timeout (RFC 9293 3.9.2.2 MUST-54..56)',
  (family) => {
    for (const [type, code, name, error, ends] of ERRORS[family]) {
      const s = new Script({ family });
      s.connect(5000);
      s.icmp(type, code);
      if (ends) {
        assert.equal(s.events, `closed ${error}`, name);
        continue;
      }
      assert.equal(s.events, '', name);
      assert.equal(s.socket.softError, error, name);
      s.advance(5000);
      assert.equal(s.events, `closed ${error}`, name);
    }
  },
);

both(
  'SYN-RECEIVED and ESTABLISHED: nothing ends the connection (RFC 9293 3.9.2.2, RFC 5927 5)',
  (family) => {
    for (const [type, code, name] of ERRORS[family]) {
      const half = new Script({ family });
      half.listen();
      half.arrives({ flags: 'S', seq: 0 });
      half.icmp(type, code);
      half.clear();
      half.arrives({ flags: 'A', seq: 1, ack: 1 });
      assert.equal(half.accepted, 1, name);

      const s = established({ family });
      s.write('data');
      s.icmp(type, code);
      assert.equal(s.state, 'ESTABLISHED', name);
      assert.notEqual(s.socket.softError, undefined, name);
      s.arrives({ flags: 'A', seq: 1, ack: 5 });
      assert.equal(s.events, '', name);
    }
  },
);

both(
  'an error about what is not in flight, or about another connection, is not believed (RFC 5927 4)',
  (family) => {
    const [type, code] = ERRORS[family].find(([, , , , ends]) => ends)!;
    const s = new Script({ family });
    s.connect();
    const syn = s.packets[0]!;
    const at = family === 4 ? 20 : 40;
    for (const [offset, name] of [
      [0, 'source port'],
      [2, 'destination port'],
      [5, 'sequence number'],
    ] as const) {
      const forged = new Uint8Array(syn);
      forged[at + offset]! ^= 1;
      s.packets[0] = forged;
      s.icmp(type, code);
      assert.equal(s.events, '', name);
    }
    assert.equal(s.counter('drop.icmp.unmatched'), 3);
    s.packets[0] = syn;
    s.icmp(type, code);
    assert.equal(s.events, 'closed ECONNREFUSED');
  },
);

both('acknowledged data is no longer in flight (RFC 5927 4)', (family) => {
  const s = established({ family });
  s.write('data');
  s.arrives({ flags: 'A', seq: 1, ack: 5 });
  s.icmp(family === 4 ? 3 : 1, 0);
  assert.equal(s.socket.softError, undefined);
});

both(
  'source quench and redirects change nothing (RFC 9293 3.9.2.2 MUST-55, RFC 6633)',
  (family) => {
    const s = established({ family });
    s.write('data');
    for (const type of family === 4 ? [4, 5] : [137, 100]) s.icmp(type, 0);
    assert.equal(s.socket.softError, undefined);
    assert.equal(s.counter('drop.icmp.type'), 2);
    assert.equal(s.state, 'ESTABLISHED');
  },
);

both('what passed is forgotten once the peer is heard to have the data (RFC 5461 2)', (family) => {
  const s = new Script({ family });
  s.connect();
  s.icmp(family === 4 ? 3 : 1, 0);
  assert.equal(s.socket.softError, 'ENETUNREACH');
  s.arrives({ flags: 'SA', seq: 0, ack: 1 });
  assert.equal(s.socket.softError, undefined);
  s.write('data');
  s.icmp(family === 4 ? 3 : 1, 0);
  assert.equal(s.socket.softError, 'ENETUNREACH');
  s.arrives({ flags: 'A', seq: 1, ack: 5 });
  assert.equal(s.socket.softError, undefined);
});
