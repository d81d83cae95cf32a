import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { AddressTable } from '../addresses.ts';
import { TcpSegment } from '../wire/tcp.ts';
import { BufferPool } from './bufferpool.ts';
import { Cubic, NewReno } from './congestion.ts';
import { HyStart } from './hystart.ts';
import { RttEstimator } from './rto.ts';
import { SentPool } from './sentpool.ts';
import { Tcb } from './tcb.ts';

setFlagsFromString('--allow-natives-syntax');
const haveSameMap = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (
  a: object,
  b: object,
) => boolean;

const SEQUENCE_NUMBERS = [
  ...['iss', 'sndUna', 'sndNxt', 'sndWl1', 'sndWl2', 'ringSeq', 'recoverPoint', 'undoLeft'],
  ...['undoRight', 'reorderRound', 'tailProbeEnd', 'irs', 'rcvNxt', 'rcvAdv', 'finAhead'],
  ...['urgentEnd', 'dsackLeft', 'dsackRight', 'tsOffset', 'tsRecent', 'lastAckSent'],
] as const;
const TIMES = [
  ...['mssLoweredAt', 'undoSentAt', 'synSentAt', 'progressAt', 'lastSendAt', 'lastSegmentAt'],
  ...['lastDataAt', 'challengeAt', 'tuneAt', 'tsRecentAt', 'rexmitAt', 'timeoutAt', 'persistAt'],
  ...['delayedAckAt', 'keepAliveAt', 'lingerAt'],
] as const;

const pool = new BufferPool(1 << 20);
const sentPool = new SentPool();

function newTcb(): Tcb {
  const entry = new AddressTable(1).hold(new Uint8Array(4), 0, 4)!;
  return new Tcb(
    ...([0, entry, entry, 1, 2, 3, 4, false] as const),
    { pool, sentPool, allocate: (length) => new Uint8Array(length) },
    new RttEstimator(200, 60_000),
    new Cubic(1000),
    ...([65_536, 60_000] as const),
  );
}

/** Taken at once: a look at a property would move an object to its new hidden class. */
function partsOf(tcb: Tcb): readonly object[] {
  return [tcb, tcb.rtt, tcb.sent, tcb.congestion];
}

// A connection that has another hidden class than the one before takes the compiled code of all of TCP with it.
test('whatever sequence numbers and times a connection has, the next one has the hidden classes of those before', () => {
  const before = partsOf(newTcb());
  const used = newTcb();
  for (const name of SEQUENCE_NUMBERS) used[name] = 2 ** 32 - 1;
  for (const name of TIMES) used[name] = 1234.5;
  used.recoveryWindow = 1500.25;
  const { rtt, sent, congestion } = used;
  rtt.sample(1.25);
  rtt.sample(3.5);
  sent.rackSentAt = 17.5;
  sent.rackRtt = 0.75;
  sent.rackEnd = 2 ** 32 - 1;
  sent.rackFack = 2 ** 32 - 1;
  sent.effect.sentAt = 17.5;
  congestion.onSample(1.5, 2 ** 32 - 2, 2 ** 32 - 1, 9.5);
  congestion.onAck(1001, 1.5, 10.5, true);
  congestion.remember();
  congestion.onLoss(20_001, 11.5);
  congestion.onRecovered(12.5);
  for (let i = 0; i < 40; i++) congestion.onAck(1001, 1.5, 13.5 + i, true);
  congestion.undo();
  const next = partsOf(newTcb());
  for (const [i, part] of before.entries())
    assert.ok(haveSameMap(part, next[i]!), part.constructor.name);
});

test('NewReno, HyStart++ and segment headers keep their hidden classes too', () => {
  const before = [new NewReno(1000), new HyStart(), new TcpSegment()] as const;
  const reno = new NewReno(1000);
  reno.onAck(1001, 1.5, 1.5, true);
  reno.remember();
  reno.onLoss(20_001, 2.5);
  reno.onRecovered(3.5);
  reno.onAck(1001, 1.5, 4.5, true);
  assert.ok(haveSameMap(before[0], new NewReno(1000)));
  const hystart = new HyStart();
  hystart.onSample(1.5, 1, 2 ** 32 - 1, 10_000, 9.5);
  assert.ok(haveSameMap(before[1], new HyStart()));
  const segment = new TcpSegment();
  Object.assign(segment, { seq: 2 ** 31, ack: 2 ** 31, tsVal: 2 ** 31, tsEcr: 2 ** 31 });
  assert.ok(haveSameMap(before[2], new TcpSegment()));
});
