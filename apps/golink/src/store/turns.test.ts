import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatabase } from './open.ts';
import { Turns } from './turns.ts';

test('who comes back at once waits for those who came before', { timeout: 10_000 }, async () => {
  const turns = new Turns();
  const order: string[] = [];
  const use = async (name: string): Promise<void> => {
    for (let n = 1; n <= 3; n++) {
      await turns.take();
      order.push(`${name}${n}`);
      turns.giveBack();
    }
  };
  await Promise.all([use('a'), use('b'), use('c')]);
  assert.deepEqual(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'c2', 'a3', 'b3', 'c3']);
});

test('work that takes long lets other events in between', { timeout: 10_000 }, async () => {
  const turns = new Turns();
  let events = 0;
  let isDone = false;
  const count = (): void => {
    events++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const seen = await Promise.all(
    Array.from({ length: 12 }, async () => {
      await turns.take();
      const began = events;
      const until = performance.now() + 3;
      while (performance.now() < until);
      turns.giveBack();
      return began;
    }),
  );
  isDone = true;
  // Two or three of them in one turn of the event loop.
  assert.ok(new Set(seen).size >= 4, seen.join(' '));
});

test('questions are answered in the order they are asked', { timeout: 10_000 }, async () => {
  const database = await openDatabase(':memory:');
  try {
    let asked = 0;
    const answered: number[] = [];
    const page = async (pause: number): Promise<void> => {
      for (let n = 0; n < 5; n++) {
        const number = asked++;
        await database.reader.selectFrom('totals').select('n').execute();
        answered.push(number);
        for (let i = 0; i < pause; i++) await undefined;
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_, i) => page(i)));
    assert.deepEqual(
      answered,
      Array.from({ length: asked }, (_, i) => i),
    );
  } finally {
    await database.close();
  }
});
