// TIME-WAIT and who may follow it (RFC 9293 3.6.1, RFC 1337, RFC 6191).
import assert from 'node:assert/strict';
import { both, established, type Family, type Script, type Segment } from '../testing/scripted.ts';

/** A passive connection, closed by us first; RCV.NXT is 2, the last timestamp 1010. */
function waiting(family: Family, timestamps: boolean, wrote = 0): Script {
  const ts = timestamps ? { ts: [1000, 0] as const } : {};
  const later = timestamps ? { ts: [1010, 0] as const } : {};
  const s = established({ family, passive: true, syn: { mss: 1000, ...ts } });
  if (wrote > 0) s.socket.write(new Uint8Array(wrote));
  s.socket.shutdownWrite();
  s.poll();
  let next = 1;
  while (s.state === 'ESTABLISHED' || s.state === 'FIN-WAIT-1') {
    for (const out of s.out) {
      next = Math.max(next, ((out.seq - s.iss) | 0) + out.sequenceLength);
    }
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: next, ...later });
  }
  s.arrives({ flags: 'FA', seq: 1, ack: next, ...later });
  s.expect({ flags: 'A', ack: 2 });
  assert.equal(s.state, 'TIME-WAIT');
  return s;
}

for (const [name, timestamps, syn, reopened] of [
  ['a higher sequence number', false, { seq: 1000 }, true],
  ['a lower sequence number', false, { seq: -1000 }, false],
  ['timestamps, the old one had none', false, { seq: -1000, ts: [5, 0] }, true],
  ['a later timestamp', true, { seq: -1000, ts: [1011, 0] }, true],
  ['the same timestamp and a higher sequence number', true, { seq: 1000, ts: [1010, 0] }, true],
  ['the same timestamp and a lower sequence number', true, { seq: -1000, ts: [1010, 0] }, false],
  ['an earlier timestamp', true, { seq: 1000, ts: [1009, 0] }, false],
  ['no timestamp and a higher sequence number', true, { seq: 1000 }, true],
  ['no timestamp and a lower sequence number', true, { seq: -1000 }, false],
] as const satisfies readonly (readonly [string, boolean, Omit<Segment, 'flags'>, boolean])[]) {
  both(
    `TIME-WAIT: a SYN with ${name} ${reopened ? 'opens anew' : 'is challenged'} (RFC 6191 2)`,
    (family) => {
      const s = waiting(family, timestamps);
      s.arrives({ flags: 'S', ...syn });
      if (reopened) s.expect({ flags: 'SA', ack: syn.seq + 1 });
      else s.expect({ flags: 'A', ack: 2 });
      assert.equal(s.stack.connectionCount, 1);
    },
  );
}

both(
  'the initial sequence number of the new connection lies above what the old one used (RFC 9293 3.6.1 MAY-2)',
  (family) => {
    const s = waiting(family, false, 100_000);
    const used = s.iss + 100_002;
    s.arrives({ flags: 'S', seq: 1000 });
    assert.ok(((s.out.at(-1)!.seq - used) | 0) > 0);
  },
);

both('without a listener the SYN does not end the wait (RFC 1337)', (family) => {
  const s = established({ family });
  s.socket.shutdownWrite();
  s.poll();
  s.arrives({ flags: 'FA', seq: 1, ack: 2 });
  s.clear();
  s.arrives({ flags: 'S', seq: 1000 });
  s.expect({ flags: 'A', seq: 2, ack: 2 });
  assert.equal(s.state, 'TIME-WAIT');
});

both(
  'the wait lasts twice the segment lifetime, as configured, and RST does not shorten it (RFC 9293 3.6.1 MUST-13, RFC 1337)',
  (family) => {
    for (const timeWait of [60_000, 5000]) {
      const s = established({ family, tcp: { timeWait } });
      s.socket.shutdownWrite();
      s.poll();
      s.arrives({ flags: 'FA', seq: 1, ack: 2 });
      s.advance(timeWait - 1000);
      s.arrives({ flags: 'R', seq: 2 });
      assert.equal(s.stack.connectionCount, 1);
      s.advance(1000);
      assert.equal(s.stack.connectionCount, 0);
      assert.equal(s.stack.nextTick, undefined);
    }
  },
);

both(
  'a repeated FIN, with or without its data, restarts the wait (RFC 9293 3.10.7.4)',
  (family) => {
    for (const data of ['', 'tail']) {
      const s = established({ family });
      s.socket.shutdownWrite();
      s.poll();
      s.arrives({ flags: 'FA', seq: 1, ack: 2, data });
      s.clear();
      s.advance(50_000);
      s.arrives({ flags: 'FA', seq: 1, ack: 2, data });
      s.expect({ flags: 'A', ack: 2 + data.length });
      s.advance(59_000);
      assert.equal(s.stack.connectionCount, 1);
      s.advance(1000);
      assert.equal(s.stack.connectionCount, 0);
    }
  },
);

both('a FIN that was never sent does not restart it (RFC 9293 3.10.7.4)', (family) => {
  const s = waiting(family, false);
  s.advance(50_000);
  s.arrives({ flags: 'FA', seq: -5000, ack: 2 });
  s.advance(10_000);
  assert.equal(s.stack.connectionCount, 0);
});
