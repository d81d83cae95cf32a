// The event rules of section 6 as tables: a script of events, then which timers are due when.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  armKeepalive,
  completedHandshake,
  Due,
  derivedSession,
  earliest,
  handshakeWanted,
  idleTimers,
  maySendInitiation,
  nextDue,
  postponedInitiation,
  receivedAuthenticated,
  receivedData,
  resetTimers,
  sentAuthenticated,
  sentData,
  sentInitiation,
  sentResponse,
  setPersistent,
  type Timers,
} from './timers.ts';

const JITTER = 100;
const EVENTS = {
  sentData: (t: Timers, now: number) => sentData(t, now, JITTER),
  sentKeepalive: sentAuthenticated,
  receivedData,
  receivedKeepalive: receivedAuthenticated,
  sentInitiation: (t: Timers, now: number) => sentInitiation(t, now, JITTER),
  postponed: (t: Timers) => postponedInitiation(t, JITTER),
  sentResponse,
  derived: derivedSession,
  completed: (t: Timers) => completedHandshake(t),
  reset: (t: Timers) => resetTimers(t),
  persistent: (t: Timers, now: number) => setPersistent(t, 25_000, now),
  noPersistent: (t: Timers, now: number) => setPersistent(t, 0, now),
} as const;

type Step = readonly [at: number, event: keyof typeof EVENTS];
type Deadline = 'retransmit' | 'keepalive' | 'silence' | 'zeroKeys' | 'persistent';
interface Row {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Every timer not named is idle. */
  readonly due: Partial<Record<Deadline, number>>;
}

const TABLE: readonly Row[] = [
  { name: 'nothing happened', steps: [], due: {} },
  {
    name: 'data sent starts the wait for an answer, jitter included',
    steps: [[1_000, 'sentData']],
    due: { silence: 16_100 },
  },
  {
    name: 'more data sent does not prolong it',
    steps: [
      [1_000, 'sentData'],
      [9_000, 'sentData'],
    ],
    due: { silence: 16_100 },
  },
  {
    name: 'a keepalive sent waits for nothing',
    steps: [[1_000, 'sentKeepalive']],
    due: {},
  },
  {
    name: 'a keepalive received ends the wait',
    steps: [
      [1_000, 'sentData'],
      [2_000, 'receivedKeepalive'],
    ],
    due: {},
  },
  {
    name: 'data received ends the wait and owes a keepalive',
    steps: [
      [1_000, 'sentData'],
      [2_000, 'receivedData'],
    ],
    due: { keepalive: 12_000 },
  },
  {
    name: 'more data received does not put the keepalive off',
    steps: [
      [1_000, 'receivedData'],
      [9_000, 'receivedData'],
    ],
    due: { keepalive: 11_000 },
  },
  {
    name: 'data sent pays the keepalive',
    steps: [
      [1_000, 'receivedData'],
      [2_000, 'sentData'],
    ],
    due: { silence: 17_100 },
  },
  {
    name: 'an initiation sent is repeated after 5 s and pays the keepalive',
    steps: [
      [1_000, 'receivedData'],
      [2_000, 'sentInitiation'],
    ],
    due: { retransmit: 7_100 },
  },
  {
    name: 'an initiation too soon after a response comes when the 5 s are over',
    steps: [
      [1_000, 'sentResponse'],
      [2_000, 'postponed'],
    ],
    due: { retransmit: 6_100, zeroKeys: 541_000 },
  },
  {
    name: 'a postponed initiation does not move one already waiting',
    steps: [
      [1_000, 'sentInitiation'],
      [2_000, 'sentResponse'],
      [3_000, 'postponed'],
    ],
    due: { retransmit: 6_100, zeroKeys: 542_000 },
  },
  {
    name: 'a completed handshake is not repeated',
    steps: [
      [1_000, 'sentInitiation'],
      [2_000, 'derived'],
      [2_000, 'completed'],
    ],
    due: { zeroKeys: 542_000 },
  },
  {
    name: 'a later session puts the wiping off',
    steps: [
      [1_000, 'derived'],
      [121_000, 'derived'],
    ],
    due: { zeroKeys: 661_000 },
  },
  {
    name: 'a persistent keepalive is due at once, and an interval after anything either way',
    steps: [
      [1_000, 'persistent'],
      [2_000, 'receivedKeepalive'],
      [3_000, 'sentKeepalive'],
    ],
    due: { persistent: 28_000 },
  },
  {
    name: 'a persistent keepalive survives a reset, and can be turned off',
    steps: [
      [1_000, 'persistent'],
      [1_000, 'sentData'],
      [2_000, 'reset'],
    ],
    due: { persistent: 26_000 },
  },
  {
    name: 'turned off',
    steps: [
      [1_000, 'persistent'],
      [2_000, 'noPersistent'],
      [3_000, 'sentKeepalive'],
    ],
    due: {},
  },
];

for (const { name, steps, due } of TABLE) {
  test(`timers: ${name}`, () => {
    const t = idleTimers();
    for (const [at, event] of steps) EVENTS[event](t, at);
    const actual: Partial<Record<Deadline, number>> = {};
    for (const key of ['retransmit', 'keepalive', 'silence', 'zeroKeys', 'persistent'] as const) {
      if (t[key] !== Infinity) actual[key] = t[key];
    }
    assert.deepEqual(actual, due);
    assert.equal(earliest(t), Math.min(Infinity, ...Object.values(due)));
  });
}

test('nothing is due before its time', () => {
  const t = idleTimers();
  sentInitiation(t, 0, 0);
  assert.equal(nextDue(t, 4_999.9), Due.NOTHING);
  assert.equal(nextDue(t, 5_000), Due.RETRANSMIT);
  assert.equal(nextDue(t, 5_000), Due.NOTHING);
});

test('initiations are 5 s apart, and a response counts as one', () => {
  const t = idleTimers();
  assert.ok(maySendInitiation(t, 0));
  sentInitiation(t, 0, 0);
  assert.ok(!maySendInitiation(t, 4_999));
  assert.ok(maySendInitiation(t, 5_000));
  sentResponse(t, 6_000);
  assert.ok(!maySendInitiation(t, 10_999));
});

test('19 retransmissions, then giving up, which arms the wiping if nothing did', () => {
  const t = idleTimers();
  receivedData(t, 0);
  let now = 0;
  for (let i = 0; i < 19; i++) {
    sentInitiation(t, now, 0);
    now += 5_000;
    assert.equal(nextDue(t, now), Due.RETRANSMIT, `retransmission ${i + 1}`);
  }
  sentInitiation(t, now, 0);
  receivedData(t, now);
  now += 5_000;
  assert.equal(nextDue(t, now), Due.GIVE_UP);
  assert.equal(earliest(t), now + 540_000);
  handshakeWanted(t);
  sentInitiation(t, now, 0);
  assert.equal(nextDue(t, now + 5_000), Due.RETRANSMIT, 'wanted afresh, it starts over');
});

test('a keepalive that fires while more is owed asks to be armed again, once', () => {
  const t = idleTimers();
  receivedData(t, 0);
  receivedData(t, 1);
  assert.equal(nextDue(t, 10_000), Due.KEEPALIVE_AND_ANOTHER);
  armKeepalive(t, 10_000);
  assert.equal(nextDue(t, 20_000), Due.KEEPALIVE);
  assert.equal(earliest(t), Infinity);
});

test('everything due at once comes one by one, wiping first', () => {
  const t = idleTimers();
  setPersistent(t, 1_000, 0);
  derivedSession(t, 0);
  sentInitiation(t, 0, 0);
  sentData(t, 0, 0);
  receivedData(t, 0);
  sentData(t, 0, 0);
  t.keepalive = 5;
  const late = 1_000_000;
  const seen = Array.from({ length: 6 }, () => nextDue(t, late));
  assert.deepEqual(seen, [
    Due.ZERO_KEYS,
    Due.RETRANSMIT,
    Due.NEW_HANDSHAKE,
    Due.KEEPALIVE,
    Due.KEEPALIVE,
    Due.NOTHING,
  ]);
  assert.equal(earliest(t), late + 1_000, 'the persistent one goes on');
});
