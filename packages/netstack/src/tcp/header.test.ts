// Fields of headers that only pass through: options, windows, ECN, type of service, hop limit (RFC 9293 3.1, 3.9.2; RFC 3168).
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { both, established, Script } from '../testing/scripted.ts';
import { putU16 } from '../wire/bigendian.ts';
import { fold, sumBytes } from '../wire/checksum.ts';

const ipLength = (family: 4 | 6): number => (family === 4 ? 20 : 40);

both(
  'windows are unsigned and keep their value through scaling, up to 0xffff << 14 (RFC 9293 3.1 MUST-1, RFC 7323 2.3)',
  (family) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 14 }),
        fc.oneof(fc.integer({ min: 0, max: 65535 }), fc.constantFrom(0x7fff, 0x8000, 0xffff)),
        (scale, window) => {
          const s = established({ family, noDelay: true, syn: { mss: 1000, scale } });
          s.arrives({ flags: 'A', seq: 1, ack: 1, window });
          s.write('x'.repeat(20_000));
          let bytes = 0;
          for (const out of s.out) bytes += out.payloadLength;
          // The initial window is ten segments; less than half the largest window is not worth a segment.
          const room = window * 2 ** scale;
          assert.ok(bytes <= room);
          if (room >= 10_000) assert.equal(bytes, 10_000);
        },
      ),
      { numRuns: 60 },
    );
  },
);

both(
  'no packet exceeds the MTU, whatever is agreed and sent (RFC 9293 3.7.1 MUST-16)',
  (family) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 65535 }),
        fc.boolean(),
        fc.boolean(),
        fc.integer({ min: 600, max: 2000 }),
        (mss, sackOk, timestamps, mtu) => {
          const ts = timestamps ? { ts: [1, 0] as const } : {};
          const s = established({ family, mtu, noDelay: true, syn: { mss, sackOk, ...ts } });
          for (const at of [11, 31, 51]) {
            s.arrives({ flags: 'A', seq: at, ack: 1, length: 5, ...ts });
          }
          s.write('x'.repeat(30_000));
          // Each was checked on its way out (testing/scripted.ts).
          assert.ok(s.packets.length > 3);
          for (const packet of s.packets) assert.ok(packet.length <= mtu);
        },
      ),
      { numRuns: 60 },
    );
  },
);

both(
  'options: unknown ones are skipped, illegal lengths end the list, at any alignment (RFC 9293 3.1 MUST-4..7, MUST-64, MUST-68)',
  (family) => {
    const answer = (options: number[]): Script => {
      const s = new Script({ family });
      s.listen();
      const plain = s.packet({ flags: 'S', seq: 0 });
      const header = ipLength(family);
      const padded = [...options];
      while (padded.length % 4 !== 0) padded.push(0);
      const bytes = new Uint8Array(plain.length + padded.length);
      bytes.set(plain);
      bytes.set(padded, plain.length);
      bytes[header + 12] = ((20 + padded.length) / 4) << 4;
      if (family === 4) {
        putU16(bytes, 2, bytes.length);
        putU16(bytes, 10, 0);
        putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
      } else {
        putU16(bytes, 4, bytes.length - 40);
      }
      putU16(bytes, header + 16, 0);
      const size = family === 4 ? 8 : 32;
      const sum = sumBytes(bytes, header - size, size) + 6 + (bytes.length - header);
      putU16(bytes, header + 16, ~fold(sumBytes(bytes, header, bytes.length - header) + sum));
      s.stack.input(bytes, 0, bytes.length, s.now);
      s.poll();
      return s;
    };
    const mss = [2, 4, 3, 232];
    answer([1, 1, 1, ...mss]).expect({ flags: 'SA' });
    answer([254, 4, 9, 9, ...mss, 4, 2]).expect({ flags: 'SA', sackOk: true });
    answer([254, 0, 4, 2]).expect({ flags: 'SA', sackOk: false });
    answer([254, 1, 4, 2]).expect({ flags: 'SA', sackOk: false });
    answer([254, 41, 4, 2]).expect({ flags: 'SA', sackOk: false });
    answer([0, 4, 2]).expect({ flags: 'SA', sackOk: false });
    answer([4, 2, 2]).expect({ flags: 'SA', sackOk: true });
    // An MSS of the wrong length is none: the default of the family.
    const s = answer([2, 3, 100, ...mss]);
    s.clear();
    s.arrives({ flags: 'A', seq: 1, ack: 1 });
    s.write('x'.repeat(3000));
    s.expect({ flags: 'A', length: 1000 });
  },
);

both('any option may come in any segment (RFC 9293 3.1 MUST-5)', (family) => {
  const s = established({ family });
  s.arrives({
    flags: 'A',
    seq: 1,
    ack: 1,
    data: 'plain',
    mss: 5,
    scale: 3,
    sackOk: true,
    ts: [1, 2],
    sack: [[1, 2]],
  });
  assert.equal(s.app.received, 'plain');
});

both(
  'ECN is not negotiated: ECE and CWR on a SYN are borne and not answered (RFC 3168 6.1.1)',
  (family) => {
    const s = new Script({ family });
    s.listen();
    s.arrives({ flags: 'SEC', seq: 0 });
    const reply = s.expect({ flags: 'SA', ack: 1 });
    assert.equal(reply.flags & 0xc0, 0);
    s.arrives({ flags: 'AEC', seq: 1, ack: 1, data: 'marked' });
    assert.equal(s.app.received, 'marked');
    s.write('x'.repeat(20_000));
    for (const out of s.out) assert.equal(out.flags & 0xc0, 0);
  },
);

both('the two ECN bits of an IP header are ignored (RFC 3168 5)', (family) => {
  for (const bits of [1, 2, 3]) {
    const s = established({ family });
    const bytes = s.packet({ flags: 'PA', seq: 1, ack: 1, data: 'ce' });
    if (family === 4) {
      bytes[1] = bits;
      putU16(bytes, 10, 0);
      putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
    } else {
      bytes[1] = bits << 4;
    }
    s.stack.input(bytes, 0, bytes.length, s.now);
    s.poll();
    assert.equal(s.app.received, 'ce');
  }
});

both(
  'type of service and hop limit are settable, 0 and 64 by default (RFC 9293 3.9.2 MUST-48, MUST-49)',
  (family) => {
    const s = established({ family, noDelay: true });
    const fields = (): [number, number] => {
      const packet = s.packets.at(-1)!;
      return family === 4
        ? [packet[1]!, packet[8]!]
        : [((packet[0]! & 15) << 4) | (packet[1]! >>> 4), packet[7]!];
    };
    s.write('a');
    assert.deepEqual(fields(), [0, 64]);
    s.socket.setTypeOfService(0xbb);
    s.socket.setHopLimit(1);
    s.write('b');
    assert.deepEqual(fields(), [0xb8, 1]);
    assert.throws(() => s.socket.setTypeOfService(256), RangeError);
    assert.throws(() => s.socket.setHopLimit(0), RangeError);
  },
);

both('IP options are skipped (RFC 9293 3.9.2 MUST-50)', (family) => {
  const s = established({ family });
  const plain = s.packet({ flags: 'PA', seq: 1, ack: 1, data: 'ip' });
  const header = ipLength(family);
  const bytes = new Uint8Array(plain.length + 8);
  bytes.set(plain.subarray(0, header));
  bytes.set(plain.subarray(header), header + 8);
  if (family === 4) {
    // Router alert (RFC 2113), then end of list.
    bytes.set([148, 4, 0, 0, 0, 0, 0, 0], 20);
    bytes[0] = 0x47;
    putU16(bytes, 2, bytes.length);
    putU16(bytes, 10, 0);
    putU16(bytes, 10, ~sumBytes(bytes, 0, 28));
  } else {
    // Hop-by-hop options: router alert (RFC 2711), padding.
    bytes.set([6, 0, 5, 2, 0, 0, 1, 0], 40);
    bytes[6] = 0;
    putU16(bytes, 4, bytes.length - 40);
  }
  s.stack.input(bytes, 0, bytes.length, s.now);
  s.poll();
  assert.equal(s.app.received, 'ip');
});

both(
  'a SYN from or to an address that is no single host gets no answer (RFC 9293 3.9.2 MUST-57, MUST-63)',
  (family) => {
    const bad =
      family === 4
        ? ['00000000', 'ffffffff', 'e0000001', '7f000001']
        : [
            '00000000000000000000000000000000',
            '00000000000000000000000000000001',
            'ff020000000000000000000000000001',
          ];
    const size = family === 4 ? 4 : 16;
    const header = ipLength(family);
    for (const [field, offset] of [
      ['source', header - 2 * size],
      ['destination', header - size],
    ] as const) {
      for (const address of bad) {
        const s = new Script({ family });
        s.listen();
        const bytes = s.packet({ flags: 'S', seq: 0 });
        bytes.set(Buffer.from(address, 'hex'), offset);
        if (family === 4) {
          putU16(bytes, 10, 0);
          putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
        }
        putU16(bytes, header + 16, 0);
        const sum = sumBytes(bytes, header - 2 * size, 2 * size) + 6 + (bytes.length - header);
        putU16(bytes, header + 16, ~fold(sumBytes(bytes, header, bytes.length - header) + sum));
        s.stack.input(bytes, 0, bytes.length, s.now);
        s.poll();
        s.expectNothing();
        assert.equal(s.stack.connectionCount, 0, `${field} ${address}`);
      }
    }
  },
);

both('a packet from our own address does not come from the link (RFC 1122 3.2.1.3)', (family) => {
  const s = new Script({ family });
  s.listen();
  const bytes = s.packet({ flags: 'S', seq: 0 });
  const size = family === 4 ? 4 : 16;
  const header = ipLength(family);
  bytes.copyWithin(header - 2 * size, header - size, header);
  if (family === 4) {
    putU16(bytes, 10, 0);
    putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
  }
  s.stack.input(bytes, 0, bytes.length, s.now);
  assert.equal(s.counter('drop.ip.source'), 1);
});

both('ephemeral ports avoid listeners, connections and TIME-WAIT (RFC 6056 3.2)', (family) => {
  const s = new Script({ family });
  s.stack.listen({ port: 50_000, accept() {} });
  const used = new Set<number>();
  for (let i = 0; i < 3000; i++) {
    const socket = s.stack.connect({ remoteAddress: s.peer, remotePort: 80, handler: s.app });
    assert.ok(!used.has(socket.localPort) && socket.localPort !== 50_000);
    used.add(socket.localPort);
  }
  const waiting = established({ family });
  waiting.socket.shutdownWrite();
  waiting.poll();
  waiting.arrives({ flags: 'FA', seq: 1, ack: 2 });
  assert.equal(waiting.state, 'TIME-WAIT');
  assert.throws(
    () =>
      waiting.stack.connect({
        remoteAddress: waiting.peer,
        remotePort: 80,
        localPort: waiting.localPort,
        handler: waiting.app,
      }),
    { code: 'EADDRINUSE' },
  );
});
