// Who gets room for a handshake when there is little, and that nobody honest is reset for it (RFC 4987 3.2).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpSocket } from '../api.ts';
import { SimNetwork } from '../testing/link.ts';
import { both, Script } from '../testing/scripted.ts';
import { Flag } from '../wire/tcp.ts';

/** The SYN-ACKs sent since the last time: initial sequence number by the port they went to. */
function synAcks(s: Script): Map<number, number> {
  const answers = new Map<number, number>();
  for (const { flags, seq, destinationPort } of s.out) {
    assert.equal(flags, Flag.SYN | Flag.ACK, 'nobody is reset');
    answers.set(destinationPort, seq);
  }
  s.clear();
  return answers;
}

/** The peers of these ports answer their SYN-ACKs. */
function complete(s: Script, answers: ReadonlyMap<number, number>): void {
  for (const [port, iss] of answers) {
    s.remotePort = port;
    s.iss = iss;
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
  }
}

function dial(s: Script, ports: readonly number[]): Map<number, number> {
  for (const port of ports) {
    s.remotePort = port;
    s.arrives({ flags: 'S', seq: 0 });
  }
  return synAcks(s);
}

both(
  'more SYNs than fit, all before the first answer: those answered complete, the others when they come again (RFC 4987)',
  (family) => {
    const s = new Script({ family });
    s.listen(9);
    const ports = Array.from({ length: 10 }, (_, i) => 1000 + i);
    const first = dial(s, ports);
    assert.deepEqual([...first.keys()], ports.slice(0, 6), 'two thirds of the backlog');
    assert.equal(s.counter('drop.tcp.backlog'), 4);
    complete(s, first);
    s.expectNothing();
    assert.equal(s.accepted, 6);
    s.advance(900);
    const second = dial(s, ports.slice(6));
    assert.deepEqual([...second.keys()], ports.slice(6), 'their SYNs, repeated');
    complete(s, second);
    s.expectNothing();
    assert.equal(s.accepted, 10);
    assert.equal(s.counter('drop.tcp.no_connection'), 0);
  },
);

both(
  'a source pushes out its own oldest once that has not answered two repeats of its SYN-ACK (RFC 4987)',
  (family) => {
    const s = new Script({ family });
    s.listen(3);
    dial(s, [1000, 1001]);
    s.advance(2999);
    synAcks(s);
    assert.equal(dial(s, [1002]).size, 0);
    s.advance(1);
    assert.deepEqual([...synAcks(s).keys()], [1000, 1001], 'the second repeat');
    const late = dial(s, [1002]);
    assert.equal(late.size, 1);
    complete(s, late);
    assert.equal(s.accepted, 1);
    assert.equal(s.stack.connectionCount, 2, 'the oldest went');
  },
);

test('a thousand connections at once, answered after all have asked: none is reset', () => {
  // Ten SYNs a millisecond, and the first answer after 300.
  const network = new SimNetwork(1, { delay: 100, rate: 600, queue: 2000 });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  let accepted = 0;
  b.stack.listen({
    port: 80,
    backlog: 1024,
    accept: (socket) => {
      accepted++;
      socket.handler = { readable() {}, closed() {} };
    },
  });
  const ends: (string | undefined)[] = [];
  const handler = {
    readable() {},
    closed: (_: TcpSocket, error?: string): void => void ends.push(error),
  };
  for (let i = 0; i < 1000; i++) {
    a.stack.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler });
  }
  network.run(() => accepted === 1000, 10_000);
  assert.deepEqual(ends, []);
  assert.equal(accepted, 1000);
  assert.equal(b.stack.counters()['drop.tcp.no_connection'] ?? 0, 0);
});
