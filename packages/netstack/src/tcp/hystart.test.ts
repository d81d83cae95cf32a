import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HyStart } from './hystart.ts';

const CWND = 50_000;

/** Rounds of ten acknowledgements, each round at one moment unless spread over `span` milliseconds. */
class Rounds {
  readonly hystart = new HyStart();
  #now = 0;
  #ack = 0;

  pass(rtt: number, span = 0): void {
    this.#now += rtt;
    for (let i = 0; i < 10; i++) {
      this.#ack += 1000;
      const at = this.#now + (span * i) / 10;
      this.hystart.onSample(rtt, this.#ack, this.#ack + CWND, CWND, at);
    }
    // The round ends with what was sent at its beginning.
    this.#ack += CWND;
    this.#now += span;
  }

  get divisor(): number {
    return this.hystart.divisor(CWND);
  }
}

test('round trips that grow by an eighth lead to conservative slow start, and shorter ones back (RFC 9406 4.2)', () => {
  const r = new Rounds();
  for (const rtt of [80, 80, 89]) r.pass(rtt);
  assert.equal(r.divisor, 1);
  r.pass(101);
  assert.equal(r.divisor, 4);
  r.pass(100);
  assert.deepEqual([r.divisor, r.hystart.finished], [1, false]);
});

test('less than 4 ms is no growth, and more than 16 ms always is (RFC 9406 4.2)', () => {
  for (const [before, after, divisor] of [
    [10, 13.9, 1],
    [10, 14, 4],
    [400, 415, 1],
    [400, 416, 4],
  ] as const) {
    const r = new Rounds();
    r.pass(before);
    r.pass(after);
    assert.equal(r.divisor, divisor, `${before} to ${after} ms`);
  }
});

test('conservative slow start lasts five rounds (RFC 9406 4.2)', () => {
  const r = new Rounds();
  for (const rtt of [80, 100, 100, 100, 100, 100]) r.pass(rtt);
  assert.equal(r.hystart.finished, false);
  r.pass(100);
  assert.equal(r.hystart.finished, true);
});

test('conservative slow start ends where round trips grow again', () => {
  const r = new Rounds();
  for (const rtt of [80, 100, 111]) r.pass(rtt);
  assert.equal(r.hystart.finished, false);
  r.pass(113);
  assert.equal(r.hystart.finished, true);
});

test('a window that the path does not hold by the rate of acknowledgements grows by a quarter, and stops with the first rise', () => {
  const r = new Rounds();
  // 1000 bytes a millisecond, and 20 ms; the pauses between are no part of the rate.
  for (let i = 0; i < 3; i++) r.pass(20, 10);
  assert.deepEqual([r.hystart.divisor(19_999), r.hystart.divisor(20_001)], [1, 4]);
  assert.equal(r.hystart.finished, false);
  r.pass(24, 10);
  assert.equal(r.hystart.finished, true);
});

test('what round trips vary by in the first round is no growth later', () => {
  const jittery = new HyStart();
  for (let i = 0; i < 10; i++) jittery.onSample(20 + 2 * i, 1000 * i, CWND, CWND, 100 + 2 * i);
  for (let i = 0; i < 10; i++) {
    jittery.onSample(37, CWND + 1000 * i, 2 * CWND, CWND, 150 + 2 * i);
  }
  assert.deepEqual([jittery.divisor(CWND), jittery.finished], [4, false]);
});

test('after a timeout everything is measured anew', () => {
  const r = new Rounds();
  for (const rtt of [80, 100, 113]) r.pass(rtt, 20);
  r.hystart.reset();
  assert.deepEqual([r.divisor, r.hystart.finished], [1, false]);
});
