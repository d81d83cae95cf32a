import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReplayWindow } from './replay.ts';

/** Accepts as the rule says, by remembering everything. */
class Remembering {
  readonly #seen = new Set<number>();
  #highest = -1;

  accept(counter: number): boolean {
    if (this.#highest - counter > 8128 || this.#seen.has(counter)) return false;
    this.#seen.add(counter);
    this.#highest = Math.max(this.#highest, counter);
    return true;
  }
}

function accept(window: ReplayWindow, counter: number): boolean {
  const fresh = window.isFresh(counter);
  if (fresh) window.mark(counter);
  return fresh;
}

test('the window decides as a list of everything seen would', () => {
  const step = fc.oneof(
    fc.integer({ min: -40, max: 40 }),
    fc.integer({ min: -8200, max: 8200 }),
    fc.integer({ min: 8000, max: 40_000 }),
  );
  const start = fc.constantFrom(0, 31, 8127, 8192, 2 ** 32 - 100, 2 ** 53 - 10_000_000);
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 300 }), (from, steps) => {
      const window = new ReplayWindow();
      const naive = new Remembering();
      let at = from;
      for (const by of steps) {
        at = Math.max(0, at + by);
        assert.equal(accept(window, at), naive.accept(at), `counter ${at}`);
      }
    }),
  );
});

test('a counter 8128 behind the highest is taken once, 8129 behind is not (RFC 6479)', () => {
  const window = new ReplayWindow();
  assert.ok(accept(window, 20_000));
  assert.ok(accept(window, 20_000 - 8128));
  assert.ok(!accept(window, 20_000 - 8128));
  assert.ok(!accept(window, 20_000 - 8129));
});

test('asking does not mark', () => {
  const window = new ReplayWindow();
  assert.ok(window.isFresh(0));
  assert.ok(window.isFresh(0));
  window.mark(0);
  assert.ok(!window.isFresh(0));
});

test('a jump over the whole ring forgets every bit of it', () => {
  const window = new ReplayWindow();
  for (let i = 0; i < 9000; i++) window.mark(i);
  window.mark(1_000_000);
  for (let back = 1; back <= 8128; back++) assert.ok(window.isFresh(1_000_000 - back));
});
