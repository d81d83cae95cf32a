// A peer that takes back window it had offered (RFC 9293 3.8.6) must still understand our acknowledgements.
import { both, established } from '../testing/scripted.ts';

both('acknowledgements stay inside a window that shrank below SND.NXT', (family) => {
  const s = established({ family, syn: { mss: 1000, sackOk: true } });
  s.write('x'.repeat(10_000));
  s.clear();
  s.now += 20;
  // Beyond a hole, so that it is answered at once.
  s.arrives({ flags: 'A', seq: 11, ack: 1, window: 500, data: 'ahead' });
  s.expect({ flags: 'A', seq: 501, ack: 1, length: 0 });
  s.clear();
  s.arrives({ flags: 'A', seq: 21, ack: 1, window: 65_535, data: 'again' });
  s.expect({ flags: 'A', seq: 10_001, ack: 1, length: 0 });
});
