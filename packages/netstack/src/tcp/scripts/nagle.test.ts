// Small segments: one at a time, unless the application does without (RFC 9293 3.7.4 SHLD-7, MUST-17).
import assert from 'node:assert/strict';
import { both, established } from '../../testing/scripted.ts';

both(
  'small writes of one tick are one segment, with and without Nagle (RFC 9293 3.7.4)',
  (family) => {
    for (const noDelay of [false, true]) {
      const s = established({ family, noDelay });
      for (const part of ['a', 'b', 'c']) s.socket.write(new Uint8Array(Buffer.from(part)));
      s.poll();
      s.expect({ flags: 'PA', data: 'abc' });
      s.expectNothing();
    }
  },
);

both(
  'small writes of several ticks wait for the acknowledgement, then leave together (RFC 9293 3.7.4 SHLD-7)',
  (family) => {
    const s = established({ family });
    s.write('a');
    s.expect({ flags: 'A', data: 'a' });
    s.write('b');
    s.now += 5;
    s.write('c');
    s.expectNothing();
    s.arrives({ flags: 'A', seq: 1, ack: 2 });
    s.expect({ flags: 'A', data: 'bc' });
  },
);

both(
  'a full segment leaves although data is unacknowledged, its small rest waits (RFC 9293 3.7.4)',
  (family) => {
    const s = established({ family });
    s.write('a');
    s.clear();
    s.write('b'.repeat(2500));
    assert.deepEqual(
      s.sentRanges().map(([left, right]) => right - left),
      [1000, 1000],
    );
    s.arrives({ flags: 'A', seq: 1, ack: 2002 });
    s.expect({ flags: 'A', length: 500 });
  },
);

both('without delay every write leaves at once (RFC 9293 3.7.4 MUST-17)', (family) => {
  const s = established({ family, noDelay: true });
  s.write('a');
  s.write('b');
  s.expect({ flags: 'PA', data: 'a' });
  s.expect({ flags: 'PA', data: 'b' });
});

both(
  'turning the delay off lets go what waits; the last bytes before a FIN do not wait (RFC 9293 3.7.4)',
  (family) => {
    const s = established({ family });
    s.write('a');
    s.clear();
    s.write('b');
    s.expectNothing();
    s.socket.setNoDelay(true);
    s.poll();
    s.expect({ flags: 'A', data: 'b' });
    s.socket.setNoDelay(false);
    s.write('c');
    s.expectNothing();
    s.socket.shutdownWrite();
    s.poll();
    s.expect({ flags: 'FA', data: 'c' });
  },
);
