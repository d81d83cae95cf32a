import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TimerHeap } from './timerheap.ts';

const item = () => ({ heapIndex: -1, heapAt: Infinity });

test('the first is always the one due first, however things are scheduled, moved and removed', () => {
  const step = fc.record({
    which: fc.integer({ min: 0, max: 20 }),
    at: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(Infinity)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new TimerHeap<ReturnType<typeof item>>();
      const items = Array.from({ length: 21 }, item);
      for (const { which, at } of steps) {
        heap.schedule(items[which]!, at);
        assert.equal(items[which]!.heapAt, at);
        const earliest = Math.min(...items.map(({ heapAt }) => heapAt));
        assert.equal(heap.first?.heapAt ?? Infinity, earliest);
        assert.equal(heap.size, items.filter(({ heapAt }) => heapAt !== Infinity).length);
      }
    }),
  );
});

test('emptied from the front, it comes out sorted', () => {
  const heap = new TimerHeap<ReturnType<typeof item>>();
  const times = [5, 3, 9, 1, 1, 7, 2, 8];
  for (const at of times) heap.schedule(item(), at);
  const out: number[] = [];
  for (let first = heap.first; first !== undefined; first = heap.first) {
    out.push(first.heapAt);
    heap.remove(first);
  }
  assert.deepEqual(
    out,
    times.toSorted((a, b) => a - b),
  );
});
