import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cubic, cubicWindow, initialWindow, NewReno } from './congestion.ts';

const MSS = 1000;

test('initial window: ten segments, bounded as in RFC 6928', () => {
  assert.equal(initialWindow(1000), 10_000);
  assert.equal(initialWindow(1460), 14_600);
  assert.equal(initialWindow(4000), 14_600);
  assert.equal(initialWindow(9000), 18_000);
});

for (const make of [(): NewReno => new NewReno(MSS), (): Cubic => new Cubic(MSS)]) {
  const { name } = make();
  test(`${name}: slow start doubles per round trip, and stands still when the application is the limit`, () => {
    const cc = make();
    cc.onAck(10_000, 10, 0, true);
    assert.equal(cc.cwnd, 20_000);
    cc.onAck(20_000, 10, 10, false);
    assert.equal(cc.cwnd, 20_000);
  });

  test(`${name}: ssthresh comes from the flight, at least two segments (RFC 5681 3.1 equation 4)`, () => {
    const cc = make();
    cc.cwnd = 100_000;
    cc.onLoss(40_000, 0);
    assert.equal(cc.ssthresh, name === 'cubic' ? 28_000 : 20_000);
    cc.onLoss(1000, 0);
    assert.equal(cc.ssthresh, 2000);
  });

  test(`${name}: a timeout sets one segment; a second one for the same data keeps ssthresh (RFC 5681 3.1)`, () => {
    const cc = make();
    cc.cwnd = 40_000;
    cc.onTimeout(40_000, 0, true);
    const { ssthresh } = cc;
    assert.equal(cc.cwnd, MSS);
    cc.onTimeout(1000, 500, false);
    assert.equal(cc.ssthresh, ssthresh);
    assert.equal(cc.cwnd, MSS);
  });
}

test('newreno: congestion avoidance adds one segment per window (RFC 5681 3.1)', () => {
  const cc = new NewReno(MSS);
  cc.ssthresh = 10_000;
  for (let i = 0; i < 10; i++) cc.onAck(1000, 10, 0, true);
  assert.equal(cc.cwnd, 11_000);
  for (let i = 0; i < 11; i++) cc.onAck(1000, 10, 0, true);
  assert.equal(cc.cwnd, 12_000);
});

test('cubic: after a loss the window follows W(t) = C (t - K)^3 + Wmax (RFC 9438 4.2)', () => {
  const cc = new Cubic(MSS);
  cc.cwnd = 1_000_000;
  cc.onLoss(1_000_000, 0);
  cc.onRecovered(0);
  assert.equal(cc.cwnd, 700_000);
  const rtt = 100;
  const k = Math.cbrt((1000 - 700) / 0.4);
  let now = 0;
  for (let round = 0; round < 120; round++) {
    now += rtt;
    const { cwnd } = cc;
    for (let i = 0; i < 10; i++) cc.onAck(cwnd / 10, rtt, now, true);
    const t = (now - rtt) / 1000;
    const expected = cubicWindow(t + rtt / 1000, k, 1000);
    if (round > 3 && expected > 720) {
      const error = Math.abs(cc.cwnd / MSS - expected) / expected;
      assert.ok(error < 0.05, `after ${t} s: ${cc.cwnd / MSS} instead of ${expected}`);
    }
  }
  assert.ok(cc.cwnd > 1_000_000, 'and beyond the old maximum');
});

test('cubic: at short round trips it is as fast as Reno (RFC 9438 4.3)', () => {
  const cc = new Cubic(MSS);
  cc.cwnd = 20_000;
  cc.onLoss(20_000, 0);
  cc.onRecovered(0);
  let now = 0;
  for (let round = 0; round < 20; round++) {
    now += 1;
    const { cwnd } = cc;
    cc.onAck(cwnd, 1, now, true);
  }
  assert.ok(cc.cwnd >= 14_000 + 20 * 0.5 * MSS, `reached ${cc.cwnd}`);
});

test('cubic: fast convergence lowers the target when the window shrinks (RFC 9438 4.7)', () => {
  const cc = new Cubic(MSS);
  cc.cwnd = 1_000_000;
  cc.onLoss(1_000_000, 0);
  cc.onRecovered(0);
  cc.onLoss(cc.cwnd, 0);
  cc.onRecovered(0);
  // From 490 segments the plateau is at 700 * 0.85, reached after K; Reno would be slower at this size.
  const k = Math.cbrt((595 - 490) / 0.4);
  for (let now = 0; now < k * 1000; now += 100) cc.onAck(cc.cwnd, 100, now, true);
  assert.ok(Math.abs(cc.cwnd / MSS - 595) < 15, `${cc.cwnd / MSS}`);
});
