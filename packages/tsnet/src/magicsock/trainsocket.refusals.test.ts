// What the system may answer a send with: full, out of memory, trains not possible, datagrams too long, socket broken.
// Nothing is lost that is not counted, and what arrives is in order.
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { hasUdpTrains, type UdpTrainOptions } from '@cove/native';
import fc from 'fast-check';
import { MOST_QUEUED_BYTES } from './familysocket.ts';
import { PathTable, type UdpPath } from './paths.ts';
import { type SystemSocket, TrainSocket } from './trainsocket.ts';

const { EAGAIN, EIO, EINVAL, EMSGSIZE, ENOBUFS, EPERM, EHOSTUNREACH } = constants.errno;
// Names of errors are asked of the addon.
const skip = hasUdpTrains() ? false : 'the native part is missing';

interface Call {
  readonly port: number;
  readonly datagrams: number;
  /** Of each datagram. */
  readonly length: number;
}

/** A system that answers as `answer` says, and keeps what it took. */
class FakeSystem implements SystemSocket {
  readonly port = 4000;
  readonly receiveBuffer = 0;
  readonly sendBuffer = 0;
  readonly calls: Call[] = [];
  /** First two bytes of each datagram taken. */
  readonly taken: number[] = [];
  wanted = false;
  answer: (call: Call) => number = () => 0;
  readonly #options: UdpTrainOptions;

  constructor(options: UdpTrainOptions) {
    this.#options = options;
  }

  send(buf: Uint8Array, offset: number, length: number, segment: number, to: Uint8Array): number {
    const call = {
      port: (to[4]! << 8) | to[5]!,
      datagrams: Math.ceil(length / segment),
      length: segment,
    };
    this.calls.push(call);
    const errno = this.answer(call);
    if (errno !== 0) return -errno;
    for (let at = offset; at < offset + length; at += segment) {
      this.taken.push((buf[at]! << 8) | buf[at + 1]!);
    }
    return 0;
  }

  wantWritable(): void {
    this.wanted = true;
  }

  /** As the event loop does once the system has room. */
  writable(): void {
    assert.ok(this.wanted, 'nobody waits for room');
    this.wanted = false;
    this.#options.events.writable();
  }

  close(closed: () => void): void {
    queueMicrotask(closed);
  }
}

interface Bench {
  readonly socket: TrainSocket;
  readonly system: FakeSystem;
  readonly events: string[];
  readonly paths: readonly [UdpPath, UdpPath];
  /** Numbered from 0 on. */
  send(count: number, length?: number, path?: UdpPath): void;
  sent: number;
}

function bench(): Bench {
  const table = new PathTable();
  const events: string[] = [];
  const nothing = (): void => {};
  let system: FakeSystem | undefined;
  const options = {
    family: 4,
    port: 0,
    paths: table,
    events: {
      bound: nothing,
      notBound: nothing,
      packet: nothing,
      train: nothing,
      waiting: nothing,
      congested: (on: boolean) => events.push(`congested ${on}`),
      broken: (code: string) => events.push(code),
      probeFailed: (_path: UdpPath, code: string) => events.push(`probe ${code}`),
    },
  } as const;
  const socket = new TrainSocket(options, (asked) => {
    system = new FakeSystem(asked);
    return system;
  });
  const paths = [table.acquire('192.0.2.1', 1)!, table.acquire('192.0.2.2', 2)!] as const;
  return {
    socket,
    system: system!,
    events,
    paths,
    sent: 0,
    send(count, length = 1312, path = paths[0]) {
      for (let i = 0; i < count; i++) {
        const datagram = new Uint8Array(length);
        datagram[0] = this.sent >>> 8;
        datagram[1] = this.sent++;
        socket.send(path, datagram, 0, length);
      }
      socket.flush();
    },
  };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test('a full system: what it does not take waits, leaves in order, and TCP is told to stop meanwhile', () => {
  const b = bench();
  const { system, socket, events } = b;
  b.send(10);
  let room = 0;
  system.answer = () => (room-- > 0 ? 0 : EAGAIN);
  b.send(20);
  b.send(5, 96);
  assert.deepEqual(system.taken, upTo(10));
  assert.deepEqual(events, ['congested true']);
  room = 1;
  system.writable();
  assert.deepEqual(system.taken, upTo(30));
  assert.deepEqual(events, ['congested true']);
  room = 10;
  system.writable();
  b.send(3);
  assert.deepEqual(system.taken, upTo(38));
  assert.deepEqual(events, ['congested true', 'congested false']);
  assert.equal(socket.dropped + socket.refused, 0);
});

test('what waits is bounded: beyond that datagrams are dropped and counted', () => {
  const b = bench();
  b.system.answer = () => EAGAIN;
  const fit = Math.floor(MOST_QUEUED_BYTES / (1312 * 49)) * 49;
  for (let i = 0; i < 20; i++) b.send(49);
  assert.equal(b.socket.dropped, 20 * 49 - fit);
  b.system.answer = () => 0;
  b.system.writable();
  assert.deepEqual(b.system.taken, upTo(fit));
  assert.deepEqual(b.events, ['congested true', 'congested false']);
});

test('an interface that takes no trains (EIO) gets single datagrams from then on, none lost', () => {
  const b = bench();
  b.system.answer = ({ datagrams }) => (datagrams > 1 ? EIO : 0);
  b.send(20);
  b.send(20, 1312, b.paths[1]);
  assert.deepEqual(b.system.taken, upTo(40));
  assert.equal(b.system.calls.filter(({ datagrams }) => datagrams > 1).length, 1);
  assert.equal(b.socket.dropped + b.socket.refused, 0);
});

for (const [name, errno] of [
  ['EINVAL', EINVAL],
  ['EMSGSIZE', EMSGSIZE],
] as const) {
  test(`a path that takes no trains (${name}) gets single datagrams, and others trains as before`, () => {
    const b = bench();
    b.system.answer = ({ datagrams, port }) => (datagrams > 1 && port === 1 ? errno : 0);
    b.send(20);
    b.send(20);
    b.send(20, 1312, b.paths[1]);
    assert.deepEqual(b.system.taken, upTo(60));
    const trains = b.system.calls.filter(({ datagrams }) => datagrams > 1);
    assert.deepEqual(
      trains.map(({ port }) => port),
      [1, 2],
    );
  });
}

test('a system that is full in the middle of single datagrams: the rest waits, in order', () => {
  const b = bench();
  let room = 7;
  b.system.answer = ({ datagrams }) => (datagrams > 1 ? EIO : room-- > 0 ? 0 : EAGAIN);
  b.send(20);
  assert.deepEqual(b.system.taken, upTo(7));
  assert.deepEqual(b.events, ['congested true']);
  for (let i = 0; i < 4; i++) {
    room = 4;
    b.system.writable();
  }
  assert.deepEqual(b.system.taken, upTo(20));
  assert.deepEqual(b.events, ['congested true', 'congested false']);
  assert.equal(b.socket.dropped + b.socket.refused, 0);
});

test('datagrams too long for the path even singly are refused, and shorter ones leave', () => {
  const b = bench();
  b.system.answer = ({ length }) => (length > 1400 ? EMSGSIZE : 0);
  b.send(3, 1500);
  b.send(3, 1300);
  assert.deepEqual(b.system.taken, [3, 4, 5]);
  assert.deepEqual([b.socket.dropped, b.socket.refused], [0, 3]);
});

test('a system without memory (ENOBUFS) drops what it was given, which is counted, and nothing else', () => {
  const b = bench();
  let calls = 0;
  b.system.answer = () => (++calls === 2 ? ENOBUFS : 0);
  b.send(10);
  b.send(10);
  b.send(10);
  assert.deepEqual(
    b.system.taken,
    upTo(30).filter((n) => n < 10 || n >= 20),
  );
  assert.deepEqual([b.socket.dropped, b.socket.refused], [10, 0]);
});

test('no way to a path: refused and counted; the socket is as good as before', () => {
  const b = bench();
  b.system.answer = ({ port }) => (port === 1 ? EHOSTUNREACH : 0);
  b.send(4);
  b.send(4, 1312, b.paths[1]);
  assert.deepEqual(b.system.taken, [4, 5, 6, 7]);
  assert.deepEqual([b.socket.dropped, b.socket.refused, b.events], [0, 4, []]);
});

test('a socket that does not work any more is told of', { skip }, () => {
  const b = bench();
  b.system.answer = () => EPERM;
  b.send(4);
  assert.deepEqual(b.events, ['EPERM']);
  assert.equal(b.socket.refused, 4);
});

test('a probe tells what became of it', { skip }, async () => {
  const b = bench();
  b.system.answer = () => EHOSTUNREACH;
  b.socket.probe(b.paths[0], new Uint8Array(20));
  assert.deepEqual(b.events, []);
  await Promise.resolve();
  assert.deepEqual(b.events, ['probe EHOSTUNREACH']);
});

test('what waits when the socket is closed is counted as dropped', () => {
  const b = bench();
  b.system.answer = () => EAGAIN;
  b.send(30);
  b.socket.close(() => {});
  assert.equal(b.socket.dropped, 30);
});

test('whatever the system answers, datagrams arrive in order and once, or are counted', () => {
  const answers = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.constant(EAGAIN) },
      { weight: 1, arbitrary: fc.constantFrom(EIO, EINVAL, EMSGSIZE, ENOBUFS, EHOSTUNREACH) },
    ),
    { minLength: 1, maxLength: 60 },
  );
  const steps = fc.array(
    fc.record({
      count: fc.integer({ min: 1, max: 80 }),
      length: fc.constantFrom(32, 96, 1312),
      second: fc.boolean(),
      writable: fc.boolean(),
    }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(answers, steps, (script, todo) => {
      const b = bench();
      let at = 0;
      b.system.answer = () => script[at++ % script.length]!;
      for (const { count, length, second, writable } of todo) {
        b.send(count, length, b.paths[second ? 1 : 0]);
        if (writable && b.system.wanted) b.system.writable();
      }
      b.system.answer = () => 0;
      while (b.system.wanted) b.system.writable();
      const { taken } = b.system;
      for (let i = 1; i < taken.length; i++) assert.ok(taken[i]! > taken[i - 1]!);
      assert.equal(taken.length + b.socket.dropped + b.socket.refused, b.sent);
      assert.equal(b.events.length % 2, 0);
    }),
  );
});
