// When we acknowledge (RFC 9293 3.8.6.3, RFC 5681 4.2): per batch, and at once where it matters.
import assert from 'node:assert/strict';
import { both, established, type Family, type Script, type Segment } from '../testing/scripted.ts';

/** `count` full segments from `from` on. */
function train(from: number, count: number, flags = 'A'): Segment[] {
  return Array.from({ length: count }, (_, i) => ({
    flags,
    seq: from + 1000 * i,
    ack: 1,
    length: 1000,
  }));
}

/** The first sixteen full segments, which are acknowledged one by one, have passed: RCV.NXT is 16001. */
function warm(family: Family): Script {
  const s = established({ family });
  s.arrives(...train(1, 16));
  assert.equal(s.out.length, 16);
  s.clear();
  return s;
}

const acks = (s: Script): number[] => s.out.map((o) => ((o.ack - s.peerIss - 1) | 0) / 1000);

both(
  'one acknowledgement per connection at the end of a batch (RFC 9293 3.8.6.3 MUST-58, MUST-59)',
  (family) => {
    const s = warm(family);
    for (let from = 16_001; from < 46_001; from += 5000) {
      s.arrives(...train(from, 5));
      assert.equal(s.out.length, 1);
      s.clear();
    }
  },
);

both(
  'every eighth full segment inside a batch, and the rest at its end (RFC 9293 3.8.6.3 SHLD-19)',
  (family) => {
    const s = warm(family);
    s.arrives(...train(16_001, 20));
    assert.deepEqual(acks(s), [24, 32, 36]);
  },
);

both(
  'every second full segment where each comes in a batch of its own (RFC 9293 3.8.6.3 SHLD-19, RFC 5681 4.2)',
  (family) => {
    const s = warm(family);
    for (let from = 16_001; from < 56_001; from += 2000) {
      s.now += 0.2;
      s.arrives(...train(from, 1));
      s.expectNothing();
      s.now += 0.2;
      s.arrives(...train(from + 1000, 1));
      s.expect({ flags: 'A', ack: from + 2000 });
    }
  },
);

both(
  'a full segment waits a millisecond for the next, and not at all with PSH: its sender may wait for the acknowledgement (RFC 9293 3.7.4, 3.8.6.3)',
  (family) => {
    const s = warm(family);
    s.now += 0.2;
    s.arrives(...train(16_001, 1));
    s.expectNothing();
    s.advance(1);
    s.expect({ flags: 'A', ack: 17_001 });
    s.arrives(...train(17_001, 1, 'PA'));
    s.expect({ flags: 'A', ack: 18_001 });
  },
);

both(
  'every sixteenth in a batch that came coalesced, and that batch only (RFC 9293 3.8.6.3 MUST-58)',
  (family) => {
    const s = warm(family);
    s.stack.setCoalesced();
    s.arrives(...train(16_001, 40));
    assert.deepEqual(acks(s), [32, 48, 56]);
    s.clear();
    s.arrives(...train(56_001, 9));
    assert.deepEqual(acks(s), [64, 65]);
  },
);

both(
  'the first sixteen full segments at once, so that slow start of counting peers is not slowed (RFC 5681 4.2)',
  (family) => {
    const s = established({ family });
    s.arrives(...train(1, 18));
    assert.deepEqual(acks(s), [...Array.from({ length: 16 }, (_, i) => i + 1), 18]);
  },
);

both('small segments do not count as full ones (RFC 9293 3.8.6.3 SHLD-19)', (family) => {
  const s = warm(family);
  const small = Array.from({ length: 30 }, (_, i) => ({
    flags: 'PA',
    seq: 16_001 + 10 * i,
    ack: 1,
    length: 10,
  }));
  s.arrives(...small);
  assert.equal(s.out.length, 1);
});

both(
  'segments of a peer whose path carries less than its MSS count as full without PSH (RFC 9293 3.8.6.3)',
  (family) => {
    const s = warm(family);
    const shorter = Array.from({ length: 16 }, (_, i) => ({
      flags: 'A',
      seq: 16_001 + 600 * i,
      ack: 1,
      length: 600,
    }));
    s.arrives(...shorter);
    assert.equal(s.out.length, 2);
  },
);

both(
  'a lone small segment waits 30 ms, less than half a second (RFC 9293 3.8.6.3 MUST-40, SHLD-18)',
  (family) => {
    const s = warm(family);
    s.arrives({ flags: 'A', seq: 16_001, ack: 1, length: 10 });
    s.advance(24);
    s.expectNothing();
    s.advance(16);
    s.expect({ flags: 'A', ack: 16_011 });
  },
);

both('a second small segment ends the wait (RFC 9293 3.8.6.3 SHLD-19)', (family) => {
  const s = warm(family);
  s.arrives({ flags: 'A', seq: 16_001, ack: 1, length: 10 });
  s.expectNothing();
  s.now += 2;
  s.arrives({ flags: 'A', seq: 16_011, ack: 1, length: 10 });
  s.expect({ flags: 'A', ack: 16_021 });
});

both('at once: PSH of a short segment after idle (RFC 9293 3.8.6.3)', (family) => {
  const s = warm(family);
  s.advance(1000);
  s.arrives({ flags: 'PA', seq: 16_001, ack: 1, length: 10 });
  s.expect({ flags: 'A', ack: 16_011 });
});

both('at once: out of order, and when the gap fills (RFC 5681 4.2)', (family) => {
  const s = warm(family);
  s.arrives(...train(17_001, 3), ...train(16_001, 1));
  assert.deepEqual(acks(s), [16, 16, 16, 20]);
});

both('at once: a duplicate, and a FIN (RFC 5681 4.2, RFC 9293 3.10.7.4)', (family) => {
  const s = warm(family);
  s.arrives(...train(15_001, 1));
  assert.deepEqual(acks(s), [16]);
  s.clear();
  s.arrives({ flags: 'FA', seq: 16_001, ack: 1 });
  s.expect({ flags: 'A', ack: 16_002 });
});

both(
  'data going the other way carries the acknowledgement (RFC 9293 3.8.6.3 MUST-58)',
  (family) => {
    const s = warm(family);
    s.app.readable = (socket) => {
      while (socket.read());
      socket.write(new Uint8Array(10));
    };
    s.arrives(...train(16_001, 3));
    assert.equal(s.out.length, 1);
    s.expect({ flags: 'A', ack: 19_001, length: 10 });
  },
);

both(
  'reading reopens the window at once when it grew by two segments, not for less (RFC 9293 3.8.6.2.2 MUST-39)',
  (family) => {
    const tcp = { receiveBuffer: 20_000, receiveBufferLimit: 20_000 };
    const s = established({ family, tcp });
    s.app.reading = false;
    s.arrives(...train(1, 16), ...train(16_001, 4));
    assert.equal(s.out.at(-1)!.window, 0);
    s.clear();
    s.arrives({ flags: 'A', seq: 20_001, ack: 1, length: 1 });
    s.expect({ flags: 'A', window: 0 });
    s.app.drain(s.socket);
    s.poll();
    s.expect({ flags: 'A', ack: 20_001, window: 20_000 });
    s.arrives(...train(20_001, 1));
    s.clear();
    s.app.drain(s.socket);
    s.poll();
    s.expectNothing();
  },
);
