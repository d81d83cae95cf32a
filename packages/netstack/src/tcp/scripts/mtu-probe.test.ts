// What the path carries (RFC 1191, RFC 8201, RFC 4821), and whom to believe about it (RFC 5927).
import assert from 'node:assert/strict';
import { both, established, type Family, type Script } from '../../testing/scripted.ts';

/** Packet too big, MTU `mtu`, about the last packet but `back`. */
function tooBig(s: Script, mtu: number, back = 0): void {
  s.icmp(s.family === 4 ? 3 : 2, s.family === 4 ? 4 : 0, mtu, back);
}

function largeSegments(family: Family, count: number): Script {
  const s = established({ family, mtu: 3000, noDelay: true, syn: { mss: 2500, scale: 4 } });
  s.write('x'.repeat(2500 * count));
  assert.equal(s.out.length, count);
  return s;
}

const header = (s: Script): number => (s.family === 4 ? 40 : 60);

both(
  'packet too big: what is in flight goes out again at once in smaller segments (RFC 1191 6.4, RFC 8201 5.4)',
  (family) => {
    const s = largeSegments(family, 2);
    tooBig(s, 1500, 1);
    const size = 1500 - header(s);
    s.out.splice(0, 2);
    const ranges = s.sentRanges();
    assert.deepEqual(ranges.slice(0, 2), [
      [1, 1 + size],
      [1 + size, 2501],
    ]);
    assert.equal(ranges.length, 4);
    assert.equal(s.counter('tcp.timeouts'), 0);
  },
);

both(
  'packet too big about a sequence number not in flight is not believed (RFC 5927 4)',
  (family) => {
    const s = largeSegments(family, 1);
    s.arrives({ flags: 'A', seq: 1, ack: 2501 });
    tooBig(s, 1500);
    assert.equal(s.counter('drop.icmp.unmatched'), 1);
    s.clear();
    s.write('y'.repeat(2500));
    s.expect({ flags: 'A', length: 2500 });
  },
);

both(
  'packet too big never lowers below what every path carries, nor raises (RFC 1191 3, RFC 8200 5)',
  (family) => {
    const s = largeSegments(family, 1);
    tooBig(s, 68);
    const least = family === 4 ? 552 - 40 : 1280 - 60;
    s.out.splice(0, 1);
    assert.equal(s.sentRanges()[0]![1], 1 + least);
    s.arrives({ flags: 'A', seq: 1, ack: 2501 });
    s.write('y'.repeat(2500));
    tooBig(s, 2000);
    assert.equal(s.sentRanges()[0]![1], 2501 + least);
  },
);

both(
  'ten minutes after packet too big full segments get another chance (RFC 1191 6.3, RFC 8201 4)',
  (family) => {
    const s = largeSegments(family, 1);
    tooBig(s, 1500);
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: 2501 });
    s.advance(590_000);
    s.write('y'.repeat(2500));
    assert.equal(s.sentRanges()[0]![1], 2501 + 1500 - header(s));
    s.arrives({ flags: 'A', seq: 1, ack: 5001 });
    s.advance(11_000);
    s.write('z'.repeat(2500));
    assert.deepEqual(s.sentRanges(), [[5001, 7501]]);
  },
);

both('two timeouts of a full segment halve it, of a small one do not (RFC 4821 7.7)', (family) => {
  const s = largeSegments(family, 1);
  s.clear();
  s.advance(200);
  assert.deepEqual(s.sentRanges(), [[1, 2501]]);
  s.advance(400);
  assert.deepEqual(s.sentRanges(), [
    [1, 1251],
    [1251, 2501],
  ]);
  const small = established({ family, mtu: 3000, syn: { mss: 2500 } });
  small.write('x'.repeat(2000));
  small.clear();
  small.advance(200);
  small.clear();
  small.advance(400);
  assert.deepEqual(small.sentRanges(), [[1, 2001]]);
});

both(
  'the segment is halved no further than 536 or 1220 bytes (RFC 9293 3.7.2, RFC 4821)',
  (family) => {
    const s = established({ family, mtu: 3000, syn: { mss: family === 4 ? 700 : 1300 } });
    s.write('x'.repeat(family === 4 ? 700 : 1300));
    s.clear();
    s.advance(200);
    s.clear();
    s.advance(400);
    assert.equal(s.sentRanges()[0]![1], 1 + (family === 4 ? 536 : 1220));
  },
);
