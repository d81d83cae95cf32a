// How large segments are (RFC 9293 3.7.1, RFC 6691).
import assert from 'node:assert/strict';
import { both, established, Script } from '../../testing/scripted.ts';

both(
  'the MSS option is on the SYN, and on no other segment (RFC 9293 3.7.1 MUST-14, MUST-65)',
  (family) => {
    const s = new Script({ family });
    s.connect();
    s.expect({ flags: 'S', mss: family === 4 ? 1240 : 1220 });
    s.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1000 });
    s.write('x'.repeat(3000));
    s.socket.shutdownWrite();
    s.poll();
    assert.ok(s.out.length > 3);
    for (const out of s.out) assert.equal(out.mss, 0);
  },
);

both('an MSS option on a later segment changes nothing (RFC 9293 3.7.1)', (family) => {
  const s = established({ family });
  s.arrives({ flags: 'A', seq: 1, ack: 1, mss: 100 });
  s.write('x'.repeat(3000));
  s.expect({ flags: 'A', length: 1000 });
});

both('timestamps come off the payload of each segment (RFC 6691 2)', (family) => {
  const s = established({ family, syn: { mss: 1000, ts: [1, 0] } });
  s.write('x'.repeat(3000));
  s.expect({ flags: 'A', length: 988 });
});

both(
  'SACK blocks do not push a segment over what the path carries (RFC 9293 3.7.1 MUST-16, RFC 6691)',
  (family) => {
    const s = established({ family, mtu: 3000, syn: { mss: 2800, sackOk: true, scale: 6 } });
    s.write('x'.repeat(2800));
    s.icmp(family === 4 ? 3 : 2, family === 4 ? 4 : 0, 1400);
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: 2801 });
    s.arrives({ flags: 'A', seq: 101, ack: 2801, data: 'hole below' });
    s.clear();
    s.write('y'.repeat(10_000));
    assert.ok(s.packets.length > 3);
    for (const packet of s.packets) assert.ok(packet.length <= 1400, `${packet.length} bytes`);
  },
);

both('an MSS below 64 is taken for 64 (RFC 9293 3.7.1)', (family) => {
  const s = established({ family, syn: { mss: 10 } });
  s.write('x'.repeat(300));
  s.expect({ flags: 'A', length: 64 });
});
