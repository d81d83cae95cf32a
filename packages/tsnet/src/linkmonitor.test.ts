import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock, Timer } from './clock.ts';
import { monitorLink } from './linkmonitor.ts';

/** Both clocks by hand; `look` fires the timer that waits. */
class Hands implements Clock {
  monotonic = 50_000;
  wall = 1_767_225_600_000;
  #callback: (() => void) | undefined;

  now(): number {
    return this.monotonic;
  }

  wallNow(): number {
    return this.wall;
  }

  schedule(_delay: number, callback: () => void): Timer {
    this.#callback = callback;
    return { cancel: () => (this.#callback = undefined) };
  }

  /** Lets time pass on each clock, and the timer fire. */
  look(monotonic: number, wall: number): void {
    this.monotonic += monotonic;
    this.wall += wall;
    this.#callback?.();
  }
}

function watch(): { clock: Hands; told: string[]; stop(): void } {
  const clock = new Hands();
  const told: string[] = [];
  const { stop } = monitorLink(clock, (why) => told.push(why));
  return { clock, told, stop };
}

test('time that passes as it should is nothing to tell', () => {
  const { clock, told } = watch();
  for (let i = 0; i < 20; i++) clock.look(5_000, 5_000);
  clock.look(20_000, 20_000);
  assert.deepEqual(told, [], 'a busy process is no sleep');
});

test('the machine slept: the wall clock jumps, the monotonic one stood still', () => {
  const { clock, told } = watch();
  clock.look(5_000, 3_600_000);
  assert.deepEqual(told, ['the machine was asleep']);
  clock.look(5_000, 5_000);
  assert.equal(told.length, 1, 'told once');
});

test('the process was stopped: both clocks jump', () => {
  const { clock, told } = watch();
  clock.look(70_000, 70_000);
  assert.deepEqual(told, ['the machine was asleep']);
});

test('a wall clock that is set back is not sleep, and sleep after it is noticed', () => {
  const { clock, told } = watch();
  clock.look(5_000, -3_600_000);
  assert.deepEqual(told, []);
  clock.look(5_000, 60_000);
  assert.deepEqual(told, ['the machine was asleep']);
});

test('nothing is told after stop', () => {
  const { clock, told, stop } = watch();
  stop();
  clock.look(70_000, 70_000);
  assert.deepEqual(told, []);
});
