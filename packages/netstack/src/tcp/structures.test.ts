// The data structures of TCP against plain models.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SeededRandom } from '../testing/random.ts';
import { TimerHeap } from '../timers.ts';
import { TcpSegment } from '../wire/tcp.ts';
import { Assembler, MAX_INTERVALS } from './assembler.ts';
import { BufferPool } from './bufferpool.ts';
import { OutOfOrderBuffer, ReceiveQueue } from './receivebuffer.ts';
import { RingBuffer } from './ringbuffer.ts';
import { RttEstimator } from './rto.ts';
import { SentFlag, SentSegments } from './sent.ts';
import { SentPool } from './sentpool.ts';
import { seqAdd, seqDiff, seqLe, seqLt, seqMax } from './seq.ts';

const u32 = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.integer({ min: 0xffffff00, max: 0xffffffff }),
  fc.integer({ min: 0, max: 256 }),
  fc.integer({ min: 0x7fffff00, max: 0x80000100 }),
);
const distance = fc.integer({ min: -0x7fffffff, max: 0x7fffffff });

test('sequence numbers compare by distance everywhere on the circle (RFC 9293 3.4)', () => {
  fc.assert(
    fc.property(u32, distance, (a, d) => {
      const b = seqAdd(a, d);
      assert.ok(b >= 0 && b <= 0xffffffff);
      assert.equal(seqDiff(b, a), d);
      assert.equal(seqLt(a, b), d > 0);
      assert.equal(seqLe(a, b), d >= 0);
      assert.equal(seqMax(a, b), d > 0 ? b : a);
    }),
  );
});

test('the assembler keeps the union of what was added, and says what became contiguous', () => {
  const range = fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 60 }));
  fc.assert(
    fc.property(u32, fc.array(range, { maxLength: 40 }), fc.nat(400), (base, ranges, next) => {
      const assembler = new Assembler();
      const model = new Uint8Array(500);
      for (const [at, length] of ranges) {
        const covered = model.subarray(at, at + length).every((x) => x === 1);
        assert.equal(assembler.covers(seqAdd(base, at), seqAdd(base, at + length)), covered);
        assert.ok(assembler.add(seqAdd(base, at), seqAdd(base, at + length)));
        model.fill(1, at, at + length);
        for (let i = 0; i < assembler.count; i++) {
          const left = seqDiff(assembler.left(i), base);
          const right = seqDiff(assembler.right(i), base);
          assert.ok(left < right);
          assert.ok(model.subarray(left, right).every((x) => x === 1));
          assert.ok((model[left - 1] ?? 0) === 0 && model[right] === 0, 'intervals are maximal');
        }
      }
      const edge = seqDiff(assembler.advance(seqAdd(base, next)), base);
      let expected = next;
      while (model[expected] === 1) expected++;
      assert.equal(edge, expected);
      for (let i = 0; i < assembler.count; i++) {
        assert.ok(seqDiff(assembler.left(i), base) > expected);
      }
    }),
  );
});

test('the assembler refuses one interval too many, but still extends those it has', () => {
  const assembler = new Assembler();
  for (let i = 0; i < MAX_INTERVALS; i++) assert.ok(assembler.add(10 * i, 10 * i + 5));
  assert.equal(assembler.add(10 * MAX_INTERVALS, 10 * MAX_INTERVALS + 1), false);
  assert.ok(assembler.add(5, 10), 'joining two needs no room');
  assert.equal(assembler.count, MAX_INTERVALS - 1);
});

test('SACK blocks come most recent first and never twice (RFC 2018 4)', () => {
  const assembler = new Assembler();
  for (const at of [50, 10, 90, 30, 70]) assembler.add(at, at + 5);
  assembler.add(10, 18);
  const segment = new TcpSegment();
  assembler.report(segment, 4);
  assert.deepEqual([...segment.sackLeft], [10, 70, 30, 90]);
  assert.equal(segment.sackRight[0], 18);
});

test('the send ring is a queue of bytes that gives its memory back', () => {
  const pool = new BufferPool(1 << 20);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(5000), fc.double({ min: 0, max: 1, noNaN: true })), {
        maxLength: 30,
      }),
      (steps) => {
        const ring = new RingBuffer(pool);
        const random = new SeededRandom(steps.length);
        let model = new Uint8Array(0);
        for (const [count, share] of steps) {
          const bytes = random.bytes(count + 3);
          ring.append(bytes, 2, count);
          model = new Uint8Array([...model, ...bytes.subarray(2, 2 + count)]);
          const drop = Math.floor(model.length * share);
          ring.discard(drop);
          model = model.subarray(drop);
          assert.equal(ring.length, model.length);
          const out = new Uint8Array(model.length + 1);
          if (model.length > 0) ring.copy(0, model.length, out, 1);
          assert.deepEqual(out.subarray(1), model);
        }
        ring.release();
        assert.equal(pool.taken, 0);
      },
    ),
    { numRuns: 60 },
  );
});

test('the receive queue gives back what was appended, in chunks it does not touch again', () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(3000), { maxLength: 8 }), { maxLength: 10 }), (rounds) => {
      const queue = new ReceiveQueue((n) => new Uint8Array(n));
      const random = new SeededRandom(rounds.length);
      const chunks: Uint8Array[] = [];
      const expected: number[] = [];
      for (const round of rounds) {
        for (const count of round) {
          const bytes = random.bytes(count);
          queue.append(bytes, 0, count);
          expected.push(...bytes);
        }
        for (let c = queue.read(); c !== undefined; c = queue.read()) chunks.push(c);
        assert.equal(queue.length, 0);
      }
      assert.deepEqual(
        chunks.flatMap((c) => [...c]),
        expected,
      );
    }),
    { numRuns: 60 },
  );
});

test('bytes beyond a hole survive growth of their ring and come out in order', () => {
  const pool = new BufferPool(1 << 20);
  const random = new SeededRandom(5);
  const bytes = random.bytes(120_000);
  for (const base of [0, 0xfffffff0, 0x7fffff00]) {
    const pieces: number[] = [];
    for (let at = 1000; at < bytes.length; at += 1000) pieces.push(at);
    const swap = (i: number, j: number): void => {
      [pieces[i], pieces[j]] = [pieces[j]!, pieces[i]!];
    };
    for (let i = 0; i + 20 < pieces.length; i++) swap(i, i + random.below(20));
    const held = new OutOfOrderBuffer(pool, 1000);
    for (const at of pieces) {
      assert.ok(held.put(base, seqAdd(base, at), bytes, at, Math.min(1100, bytes.length - at)));
    }
    const queue = new ReceiveQueue((n) => new Uint8Array(n));
    queue.append(bytes, 0, 1000);
    assert.equal(seqDiff(held.drain(seqAdd(base, 1000), queue), base), bytes.length);
    const out: number[] = [];
    for (let c = queue.read(); c !== undefined; c = queue.read()) out.push(...c);
    assert.deepEqual(new Uint8Array(out), bytes);
    held.release();
  }
  assert.equal(pool.taken, 0);
});

test('RTO follows RFC 6298 2 step by step', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 5000, noNaN: true }), { maxLength: 30 }),
      (samples) => {
        const rtt = new RttEstimator(200, 60_000);
        assert.equal(rtt.timeout, 1000);
        let srtt = 0;
        let rttvar = 0;
        samples.forEach((r, i) => {
          rtt.backOff();
          rtt.sample(r);
          if (i === 0) {
            srtt = r;
            rttvar = r / 2;
          } else {
            rttvar = (1 - 1 / 4) * rttvar + (1 / 4) * Math.abs(srtt - r);
            srtt = (1 - 1 / 8) * srtt + (1 / 8) * r;
          }
          const rto = Math.min(60_000, Math.max(200, srtt + Math.max(1, 4 * rttvar)));
          assert.ok(Math.abs(rtt.timeout - rto) < 1e-6);
        });
      },
    ),
  );
  const rtt = new RttEstimator(200, 60_000);
  for (let i = 0; i < 20; i++) rtt.backOff();
  assert.equal(rtt.timeout, 60_000);
  rtt.afterSynLoss();
  assert.equal(rtt.timeout, 3000);
});

test('the scoreboard agrees with a plain recount after every step (RFC 6675 4)', () => {
  const step = fc.record({
    kind: fc.constantFrom('push', 'ack', 'sack', 'lost', 'again', 'rack', 'timeout'),
    a: fc.nat(1000),
    b: fc.nat(1000),
  });
  fc.assert(
    fc.property(u32, fc.array(step, { maxLength: 80 }), (iss, steps) => {
      const sent = new SentSegments(new SentPool());
      let next = iss;
      let una = iss;
      let now = 0;
      for (const { kind, a, b } of steps) {
        now += 1;
        const some = sent.count > 0 ? a % sent.count : -1;
        sent.beginAck();
        if (kind === 'push') {
          sent.push(next, 1 + (a % 100), 0, now);
          next = seqAdd(next, 1 + (a % 100));
        } else if (kind === 'ack') {
          una = seqAdd(una, Math.min(a, seqDiff(next, una)));
          sent.acknowledge(una, now, -1);
        } else if (some >= 0 && kind === 'sack') {
          sent.sack(sent.seq(some), seqAdd(sent.seq(some), b), now, -1);
        } else if (some >= 0 && kind === 'lost') {
          sent.markLost(some);
        } else if (some >= 0 && kind === 'again') {
          if (!(sent.flags(some) & SentFlag.SACKED)) sent.retransmitted(some, now);
        } else if (kind === 'rack') {
          sent.detectLoss(b % 4, now);
        } else if (some >= 0 && kind === 'timeout') {
          sent.timeout(b % 4, now);
        }
        let bytes = 0;
        let sacked = 0;
        let lost = 0;
        let firstLost = -1;
        let position = una;
        for (let i = 0; i < sent.count; i++) {
          assert.equal(sent.seq(i), position, 'contiguous');
          const length = sent.length(i);
          position = seqAdd(position, length);
          bytes += length;
          if (sent.flags(i) & SentFlag.SACKED) sacked += length;
          if (sent.flags(i) & SentFlag.LOST) {
            lost += length;
            if (firstLost < 0) firstLost = i;
          }
        }
        assert.equal(position, next);
        assert.equal(sent.bytes, bytes);
        assert.equal(sent.sackedBytes, sacked);
        assert.equal(sent.lostBytes, lost);
        assert.equal(sent.inFlight, bytes - sacked - lost);
        assert.equal(sent.firstLost(), firstLost);
      }
    }),
    { numRuns: 300 },
  );
});

test('the timer heap gives out owners in order of their deadlines', () => {
  const step = fc.tuple(fc.constantFrom('set', 'cancel', 'pop'), fc.nat(40), fc.nat(1000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new TimerHeap();
      const model = new Map<number, number>();
      for (const [kind, owner, at] of steps) {
        if (kind === 'set') {
          heap.schedule(owner, at);
          model.set(owner, Math.min(at, model.get(owner) ?? at));
        } else if (kind === 'cancel') {
          heap.cancel(owner);
          model.delete(owner);
        } else {
          const first = Math.min(...model.values());
          assert.equal(heap.next, model.size === 0 ? undefined : first);
          const popped = heap.pop(at);
          if (model.size === 0 || first > at) assert.equal(popped, -1);
          else {
            assert.equal(model.get(popped), first);
            model.delete(popped);
          }
        }
        assert.equal(heap.count, model.size);
      }
    }),
  );
});
