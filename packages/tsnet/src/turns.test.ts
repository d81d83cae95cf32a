import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { VirtualClock } from './testing/virtualclock.ts';
import { Turns } from './turns.ts';

test('any number of wakes makes one turn, after what is being read now', async () => {
  const clock = new VirtualClock();
  const turns: number[] = [];
  const driver = new Turns(clock, (now) => {
    turns.push(now);
    return undefined;
  });
  driver.wake();
  driver.wake();
  assert.deepEqual(turns, []);
  await immediate();
  assert.deepEqual(turns, [clock.now()]);
  await immediate();
  assert.equal(turns.length, 1);
});

test('the clock is read once for all that arrives before a turn', async () => {
  const clock = new VirtualClock();
  const driver = new Turns(clock, () => undefined);
  const first = driver.now();
  clock.advance(3);
  assert.equal(driver.now(), first);
  driver.wake();
  await immediate();
  assert.equal(driver.now(), clock.now());
});

test('a time in the past means another turn at once, one in the future a timer', async () => {
  const clock = new VirtualClock();
  let next: number | undefined = clock.now();
  let count = 0;
  const driver = new Turns(clock, () => {
    count++;
    return next;
  });
  driver.wake();
  await immediate();
  next = clock.now() + 50;
  await immediate();
  assert.equal(count, 2);
  await immediate();
  assert.equal(count, 2);
  clock.advance(49);
  assert.equal(count, 2);
  next = undefined;
  clock.advance(1);
  assert.equal(count, 2, 'what can be read comes first');
  await immediate();
  assert.equal(count, 3);
  assert.equal(clock.pending, 0);
});

test('an earlier time moves the timer, a later one leaves it to find nothing due', async () => {
  const clock = new VirtualClock();
  const start = clock.now();
  const times: number[] = [];
  let next: number | undefined = start + 100;
  const driver = new Turns(clock, (now) => {
    times.push(now - start);
    return next;
  });
  driver.wake();
  await immediate();
  next = start + 40;
  driver.wake();
  await immediate();
  assert.equal(clock.pending, 1);
  next = start + 200;
  driver.wake();
  await immediate();
  assert.equal(clock.pending, 1);
  times.length = 0;
  clock.advance(40);
  await immediate();
  assert.deepEqual(times, [40]);
  next = undefined;
  clock.advance(160);
  await immediate();
  assert.deepEqual(times, [40, 200]);
});

test('a timer and a wake of one pass of the event loop are one turn', async () => {
  const clock = new VirtualClock();
  let count = 0;
  const driver = new Turns(clock, (now) => {
    count++;
    return count === 1 ? now + 10 : undefined;
  });
  driver.wake();
  await immediate();
  driver.wake();
  clock.advance(10);
  await immediate();
  await immediate();
  assert.equal(count, 2);
});

test('after stop nothing runs', async () => {
  const clock = new VirtualClock();
  let count = 0;
  const driver = new Turns(clock, (now) => {
    count++;
    return now + 10;
  });
  driver.wake();
  await immediate();
  driver.wake();
  driver.stop();
  await immediate();
  clock.advance(100);
  assert.equal(count, 1);
});
