import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressTable } from './addresses.ts';
import type { PingResult, TcpRequest, TcpSocket, UdpDatagram } from './api.ts';
import { Counters } from './counters.ts';
import { EphemeralPorts } from './ports.ts';
import { Reassembler } from './reassembly.ts';
import { Stack } from './stack.ts';
import { Transfer } from './testing/apps.ts';
import { SimNetwork } from './testing/link.ts';
import { SeededRandom } from './testing/random.ts';
import { Recorder } from './testing/scripted.ts';
import { putU16, u16 } from './wire/bigendian.ts';
import { sumBytes } from './wire/checksum.ts';
import { encodeEcho } from './wire/icmp.ts';
import { IpFault, IpPacket, parseIp } from './wire/packet.ts';

const A4 = '100.64.0.1';
const A6 = 'fd7a:115c:a1e0::1';
const B4 = '100.64.0.2';
const B6 = 'fd7a:115c:a1e0::2';

function pair(mtu = 1280): { network: SimNetwork; a: Stack; b: Stack } {
  const network = new SimNetwork(1, { delay: 2 });
  const a = network.add('a', [A4, A6], { mtu }).stack;
  const b = network.add('b', [B4, B6], { mtu }).stack;
  return { network, a, b };
}

/** A single stack whose packets are collected. */
function alone(options: Partial<ConstructorParameters<typeof Stack>[0]> = {}): {
  stack: Stack;
  out: Uint8Array[];
} {
  const random = new SeededRandom(2);
  const out: Uint8Array[] = [];
  const stack = new Stack({
    randomBytes: (n) => random.bytes(n),
    ...options,
    output: (buf, offset, length) =>
      out.push(new Uint8Array(buf.subarray(offset, offset + length))),
  });
  stack.setAddresses([A4, A6]);
  return { stack, out };
}

/** An IPv4 packet from B4 to `to`. */
function ipv4(protocol: number, payload: Uint8Array, to = [100, 64, 0, 1]): Uint8Array {
  const bytes = new Uint8Array(20 + payload.length);
  bytes.set([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 100, 64, 0, 2, ...to]);
  putU16(bytes, 2, bytes.length);
  putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
  bytes.set(payload, 20);
  return bytes;
}

function udp(sourcePort: number, destinationPort: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + data.length);
  putU16(bytes, 0, sourcePort);
  putU16(bytes, 2, destinationPort);
  putU16(bytes, 4, bytes.length);
  bytes.set(data, 8);
  return bytes;
}

test('UDP: datagrams of every size cross both families, in fragments beyond the MTU', () => {
  const { network, a, b } = pair();
  const random = new SeededRandom(3);
  b.bindUdp({
    port: 53,
    receive: (d) => echo.send({ address: d.remoteAddress, port: d.remotePort }, d.bytes),
  });
  const echo = b.bindUdp({ port: 54, receive() {} });
  for (const address of [B4, B6]) {
    for (const length of [0, 1, 1232, 1233, 1252, 1253, 5000, 65_000]) {
      const bytes = random.bytes(length);
      let got: UdpDatagram | undefined;
      const socket = a.bindUdp({
        port: 0,
        receive: (d) => {
          got = d;
        },
      });
      assert.ok(socket.send({ address, port: 53 }, bytes));
      network.run(() => got !== undefined, network.now + 100);
      assert.deepEqual(got?.bytes, bytes, `${length} bytes to ${address}`);
      assert.equal(got?.remoteAddress, address);
      assert.equal(got?.remotePort, 54);
      assert.equal(got?.localPort, socket.port);
      socket.close();
    }
  }
});

test('UDP: a closed port answers with ICMP, and the sender hears ECONNREFUSED (RFC 1122 4.1.3.1)', () => {
  const { network, a } = pair();
  for (const address of [B4, B6]) {
    const errors: unknown[] = [];
    const socket = a.bindUdp({ port: 0, receive() {}, error: (...e) => errors.push(e) });
    socket.send({ address, port: 9 }, new Uint8Array(4));
    network.run(() => errors.length > 0, network.now + 100);
    assert.deepEqual(errors, [['ECONNREFUSED', address, 9]]);
  }
});

test('UDP: checksum zero is fine for IPv4; a wrong one and a wrong length are dropped (RFC 768)', () => {
  const { stack } = alone();
  const got: number[] = [];
  stack.bindUdp({ port: 7, receive: (d) => got.push(d.bytes.length) });
  const none = ipv4(17, udp(1, 7, new Uint8Array(3)));
  stack.input(none, 0, none.length, 0);
  const wrong = ipv4(17, udp(1, 7, new Uint8Array(3)));
  putU16(wrong, 26, 0x1234);
  stack.input(wrong, 0, wrong.length, 0);
  const long = ipv4(17, udp(1, 7, new Uint8Array(3)));
  putU16(long, 24, 200);
  stack.input(long, 0, long.length, 0);
  stack.poll(0);
  assert.deepEqual(got, [3]);
  assert.equal(stack.counters()['drop.udp.checksum'], 1);
  assert.equal(stack.counters()['drop.udp.malformed'], 1);
});

test('UDP: queues in and out are bounded', () => {
  const { stack, out } = alone();
  const socket = stack.bindUdp({ port: 7, receive() {} });
  const packet = ipv4(17, udp(1, 7, new Uint8Array(1000)));
  for (let i = 0; i < 2000; i++) stack.input(packet, 0, packet.length, 0);
  assert.ok(stack.counters()['drop.udp.queue']! > 1000);
  let accepted = 0;
  while (socket.send({ address: B4, port: 1 }, new Uint8Array(1000))) accepted++;
  assert.ok(accepted > 500 && accepted < 1100);
  stack.poll(0);
  assert.equal(out.length, accepted);
  assert.ok(socket.send({ address: B4, port: 1 }, new Uint8Array(1000)));
});

test('UDP: arguments are checked, and a closed socket says so', () => {
  const { stack } = alone();
  const socket = stack.bindUdp({ port: 7, receive() {} });
  assert.throws(() => stack.bindUdp({ port: 7, receive() {} }), { code: 'EADDRINUSE' });
  assert.throws(() => socket.send({ address: B4, port: 1 }, new Uint8Array(65508)), {
    code: 'EMSGSIZE',
  });
  assert.throws(() => socket.send({ address: 'x', port: 1 }, new Uint8Array(1)), {
    code: 'EINVAL',
  });
  assert.throws(() => socket.send({ address: B4, port: 0 }, new Uint8Array(1)), RangeError);
  socket.close();
  assert.throws(() => socket.send({ address: B4, port: 1 }, new Uint8Array(1)), {
    code: 'ERR_CLOSED',
  });
  stack.bindUdp({ port: 7, receive() {} });
});

test('ping: echo comes back with its payload and a round-trip time; silence times out (RFC 792, RFC 4443 4)', () => {
  const { network, a } = pair();
  for (const address of [B4, B6, '100.64.0.9']) {
    const results: PingResult[] = [];
    a.ping({
      address,
      payload: new Uint8Array(3000).fill(5),
      timeout: 500,
      done: (r) => results.push(r),
    });
    const start = network.now;
    network.run(() => results.length > 0, network.now + 1000);
    if (address === '100.64.0.9') {
      assert.deepEqual(results, [{ ok: false, error: 'ETIMEDOUT' }]);
      assert.equal(network.now - start, 500);
    } else {
      assert.deepEqual(results, [
        { ok: true, roundTripTime: 4, payload: new Uint8Array(3000).fill(5) },
      ]);
    }
  }
  const { stack } = alone();
  stack.setAddresses([A4]);
  const results: PingResult[] = [];
  stack.ping({ address: B6, done: (r) => results.push(r) });
  stack.ping({ address: B6, done: (r) => results.push(r) }).cancel();
  stack.poll(0);
  assert.deepEqual(results, [{ ok: false, error: 'ENETUNREACH' }]);
});

test('an own address is reached through the stack itself', () => {
  const { stack, out } = alone();
  const client = new Transfer({ send: 300_000, seed: 1 }, 2);
  const server = new Transfer({ send: 300_000, seed: 2 }, 1);
  stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = server;
      server.start(socket);
    },
  });
  stack.connect({ remoteAddress: A6, remotePort: 80, handler: client });
  let now = 0;
  for (let i = 0; i < 10_000 && !(client.isClosed && server.isClosed); i++) {
    stack.poll(now);
    now = Math.max(now, stack.nextTick ?? now);
  }
  assert.equal(client.received, 300_000);
  assert.equal(server.received, 300_000);
  assert.equal(out.length, 0);
});

test('ICMP errors: never about errors, broadcasts or foreign packets; and only so many (RFC 1122 3.2.2)', () => {
  const { stack, out } = alone();
  const send = (bytes: Uint8Array, now: number): void => {
    stack.input(bytes, 0, bytes.length, now);
    stack.poll(now);
  };
  for (let i = 0; i < 100; i++) send(ipv4(17, udp(1, 999, new Uint8Array(1))), 1000);
  assert.equal(out.length, 20);
  out.length = 0;
  send(ipv4(17, udp(1, 999, new Uint8Array(1))), 2000);
  assert.equal(out.length, 1);
  const unreachable = out[0]!;
  assert.deepEqual([...unreachable.subarray(20, 22)], [3, 3]);
  assert.equal(sumBytes(unreachable, 20, unreachable.length - 20), 0xffff);
  assert.equal(u16(unreachable, 28 + 20 + 2), 999, 'the packet is quoted');
  out.length = 0;
  const error = ipv4(1, unreachable.subarray(20));
  send(error, 3000);
  send(ipv4(17, udp(1, 999, new Uint8Array(1)), [100, 64, 0, 77]), 3000);
  send(ipv4(17, udp(1, 999, new Uint8Array(1)), [224, 0, 0, 1]), 3000);
  assert.equal(out.length, 0);
  assert.equal(stack.counters()['drop.icmp.unmatched'], 1);
  send(ipv4(132, new Uint8Array(20)), 3000);
  assert.deepEqual([...out[0]!.subarray(20, 22)], [3, 2], 'protocol unreachable');
});

test('packets from impossible sources are dropped (RFC 9293 MUST-57, MUST-63)', () => {
  const { stack, out } = alone();
  for (const source of [0, 224, 255]) {
    const bytes = ipv4(1, encodeEcho(4, false, 1, 1, new Uint8Array(8)));
    bytes[12] = source;
    putU16(bytes, 10, 0);
    putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
    stack.input(bytes, 0, bytes.length, 0);
  }
  stack.poll(0);
  assert.equal(out.length, 0);
  assert.equal(stack.counters()['drop.ip.source'], 3);
});

test('TCP: ICMP port unreachable ends a connection attempt, host unreachable does not (RFC 9293 3.9.2.2)', () => {
  for (const [code, events] of [
    [3, 'closed ECONNREFUSED'],
    [1, ''],
    [13, ''],
  ] as const) {
    const { stack, out } = alone();
    const app = new Recorder();
    stack.connect({ remoteAddress: B4, remotePort: 80, handler: app, timeout: 3000 });
    stack.poll(0);
    const message = new Uint8Array(8 + 28);
    message[0] = 3;
    message[1] = code;
    message.set(out[0]!.subarray(0, 28), 8);
    putU16(message, 2, ~sumBytes(message, 0, message.length));
    const packet = ipv4(1, message);
    stack.input(packet, 0, packet.length, 1);
    stack.poll(1);
    assert.equal(app.events.join(), events);
    if (events !== '') continue;
    for (let now = 0; now <= 4000; now += 500) stack.poll(now);
    assert.equal(app.events.join(), 'closed EHOSTUNREACH', 'it is the reason given at the timeout');
  }
});

test('TCP: packet too big lowers the segment size if it quotes data in flight (RFC 1191, RFC 5927)', () => {
  const network = new SimNetwork(1, { delay: 1 });
  const a = network.add('a', [A4]);
  const b = network.add('b', [B4]);
  const server = new Transfer({ send: 0, seed: 2 }, 1);
  const client = new Transfer({ send: 200_000, seed: 1 }, 2);
  b.stack.listen({
    port: 80,
    accept: (s) => {
      s.handler = server;
      server.start(s);
    },
  });
  a.stack.connect({ remoteAddress: B4, remotePort: 80, handler: client });
  let largest = 0;
  network.tap = (bytes, from) => {
    if (from !== a || bytes.length <= 900) {
      if (from === a) largest = Math.max(largest, bytes.length);
      return true;
    }
    const message = new Uint8Array(8 + 28);
    message.set([3, 4, 0, 0, 0, 0, 900 >> 8, 900 & 255]);
    message.set(bytes.subarray(0, 28), 8);
    putU16(message, 2, ~sumBytes(message, 0, message.length));
    const packet = ipv4(1, message);
    a.stack.input(packet, 0, packet.length, network.now);
    return false;
  };
  network.run(() => client.isClosed && server.isClosed, 60_000);
  assert.equal(server.received, 200_000);
  assert.equal(largest, 900);
  assert.ok(network.now < 5000, `done after ${network.now} ms`);
});

test('a request waits for its verdict: accept completes, refuse resets, ignore is silent (subnet routing)', () => {
  const requests: TcpRequest[] = [];
  const network = new SimNetwork(1, { delay: 1 });
  const a = network.add('a', [A4]).stack;
  network.add('b', [B4], { promiscuous: true, unhandledTcp: (r) => requests.push(r) });
  const clients = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((remoteAddress) => {
    const app = new Recorder();
    a.connect({ remoteAddress, remotePort: 443, handler: app, timeout: 5000 });
    return app;
  });
  network.run(() => requests.length === 3, 100);
  assert.deepEqual(
    requests.map((r) => `${r.localAddress}:${r.localPort} ${r.remoteAddress}`).sort(),
    [`192.0.2.1:443 ${A4}`, `192.0.2.2:443 ${A4}`, `192.0.2.3:443 ${A4}`],
  );
  network.run(() => false, 2000);
  assert.equal(requests.length, 3, 'repeated SYNs make no new requests');
  const app = new Recorder();
  const socket: TcpSocket = requests[0]!.accept(app);
  assert.equal(socket.localAddress, '192.0.2.1');
  requests[1]!.refuse();
  requests[2]!.ignore();
  network.run(() => app.events.length > 0 && clients[1]!.events.length > 0, 4000);
  assert.deepEqual(app.events, ['connected']);
  assert.deepEqual(clients[0]!.events, ['connected']);
  assert.deepEqual(clients[1]!.events, ['closed ECONNREFUSED']);
  assert.deepEqual(clients[2]!.events, []);
});

test('a request that nobody decides is forgotten after a minute; a late verdict finds it gone', () => {
  let request: TcpRequest | undefined;
  const network = new SimNetwork(1, { delay: 1 });
  const a = network.add('a', [A4]).stack;
  const b = network.add('b', [B4], {
    unhandledTcp: (r) => {
      request = r;
    },
  }).stack;
  a.connect({ remoteAddress: B4, remotePort: 1, handler: new Recorder(), timeout: 1000 });
  network.run(() => false, 70_000);
  assert.equal(b.connectionCount, 0);
  const app = new Recorder();
  assert.equal(request!.accept(app).state, 'CLOSED');
  network.run(() => false, 71_000);
  assert.deepEqual(app.events, ['closed ECONNABORTED']);
});

test('wake is called once for any number of calls between polls, and never from inside', () => {
  let wakes = 0;
  const { stack } = alone({ wake: () => wakes++ });
  const app = new Recorder();
  stack.connect({ remoteAddress: B4, remotePort: 80, handler: app });
  stack.connect({ remoteAddress: B4, remotePort: 80, handler: app });
  assert.equal(wakes, 1);
  stack.poll(0);
  assert.equal(wakes, 1);
  stack.bindUdp({ port: 1, receive() {} }).send({ address: B4, port: 1 }, new Uint8Array(1));
  assert.equal(wakes, 2);
});

test('a handler that throws leaves the others served', () => {
  const network = new SimNetwork(1, { delay: 1 });
  const a = network.add('a', [A4]).stack;
  const b = network.add('b', [B4]).stack;
  b.listen({ port: 80, accept() {} });
  let connected = 0;
  for (let i = 0; i < 3; i++) {
    const handler = new Recorder();
    handler.connected = () => {
      connected++;
      if (i === 0) throw new Error('application');
    };
    a.connect({ remoteAddress: B4, remotePort: 80, handler });
  }
  assert.throws(() => network.run(() => false, 100), /application/);
  network.run(() => false, 200);
  assert.equal(connected, 3);
});

test('slots of the caller receive the packets, at multiples of four', () => {
  const buffer = new Uint8Array(2048 * 8);
  let slot = 0;
  const seen: number[] = [];
  const random = new SeededRandom(1);
  const stack = new Stack({
    randomBytes: (n) => random.bytes(n),
    slots: {
      buffer,
      next: () => {
        slot = (slot + 1) % 8;
        return slot * 2048 + 16;
      },
    },
    output: (buf, offset, length) => {
      assert.equal(buf, buffer);
      const packet = new IpPacket();
      assert.equal(parseIp(buf, offset, length, packet), IpFault.NONE);
      seen.push(offset);
    },
  });
  stack.setAddresses([A4]);
  for (let i = 0; i < 3; i++) stack.ping({ address: B4, done() {} });
  stack.poll(0);
  assert.deepEqual(seen, [2064, 4112, 6160]);
});

test('reassembly agrees with the original datagram for any order and repeats (RFC 815)', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6000 }),
      fc.array(fc.nat(1000), { minLength: 1, maxLength: 40 }),
      (length, order) => {
        const random = new SeededRandom(length);
        const payload = random.bytes(length);
        const fragments: Uint8Array[] = [];
        for (let at = 0; at < length; at += 504) {
          const bytes = ipv4(17, payload.subarray(at, Math.min(length, at + 504)));
          putU16(bytes, 4, 77);
          putU16(bytes, 6, (at >> 3) | (at + 504 < length ? 0x2000 : 0));
          putU16(bytes, 10, 0);
          putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
          fragments.push(bytes);
        }
        const reassembler = new Reassembler(new Counters());
        const packet = new IpPacket();
        let whole: Uint8Array | undefined;
        const queue = [...order.map((n) => n % fragments.length), ...fragments.keys()];
        for (const i of queue) {
          assert.equal(parseIp(fragments[i]!, 0, fragments[i]!.length, packet), IpFault.NONE);
          if (!packet.fragmented) return;
          whole ??= reassembler.add(fragments[i]!, packet, 0);
        }
        assert.ok(whole !== undefined);
        assert.equal(parseIp(whole, 0, whole.length, packet), IpFault.NONE);
        assert.deepEqual(whole.subarray(packet.payload), payload);
      },
    ),
    { numRuns: 100 },
  );
});

test('reassembly is bounded: 64 datagrams, 1 MiB, 15 s; overlaps discard the datagram (RFC 5722)', () => {
  const counters = new Counters();
  const reassembler = new Reassembler(counters);
  const fragment = (id: number, offset8: number, length: number, more: boolean): void => {
    const bytes = ipv4(17, new Uint8Array(length));
    putU16(bytes, 4, id);
    putU16(bytes, 6, offset8 | (more ? 0x2000 : 0));
    putU16(bytes, 10, 0);
    putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
    const packet = new IpPacket();
    assert.equal(parseIp(bytes, 0, bytes.length, packet), IpFault.NONE);
    reassembler.add(bytes, packet, id < 1000 ? 0 : 20_000);
  };
  for (let id = 0; id < 100; id++) fragment(id, 8000, 800, true);
  assert.ok(reassembler.size <= 64);
  assert.ok(reassembler.bytes <= 1024 * 1024);
  fragment(1000, 0, 80, true);
  assert.equal(reassembler.size, 1, 'the old ones have expired');
  fragment(1000, 5, 80, true);
  assert.equal(reassembler.size, 0);
  assert.equal(counters.get('drop.fragment.overlap'), 1);
  fragment(1001, 8191, 800, true);
  fragment(1002, 0, 81, true);
  assert.equal(counters.get('drop.fragment.malformed'), 2);
});

test('reassembly: what never completes makes room, and a flood leaves the datagrams of others (RFC 791 3.2)', () => {
  const counters = new Counters();
  const reassembler = new Reassembler(counters);
  const fragment = (host: number, id: number, offset8: number, more: boolean): boolean => {
    const bytes = ipv4(17, new Uint8Array(800));
    bytes[15] = host;
    putU16(bytes, 4, id);
    putU16(bytes, 6, offset8 | (more ? 0x2000 : 0));
    putU16(bytes, 10, 0);
    putU16(bytes, 10, ~sumBytes(bytes, 0, 20));
    const packet = new IpPacket();
    assert.equal(parseIp(bytes, 0, bytes.length, packet), IpFault.NONE);
    return reassembler.add(bytes, packet, 0) !== undefined;
  };
  assert.equal(fragment(1, 7, 0, true), false);
  for (let id = 0; id < 500; id++) {
    // Far into the datagram, so that each holds 64 KiB.
    fragment(2, id, 8000, true);
    assert.ok(reassembler.size <= 33);
    assert.ok(reassembler.bytes <= 512 * 1024 + 1024);
  }
  assert.equal(fragment(1, 7, 100, false), true, 'the other source is not affected');
  assert.equal(fragment(2, 1000, 0, true), false);
  assert.equal(fragment(2, 1000, 100, false), true, 'nor what the flooding source completes');
});

test('the address table finds what is held, and forgets what is released', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(30), fc.boolean()), { maxLength: 200 }), (steps) => {
      const table = new AddressTable(1234);
      const held = new Map<number, number>();
      const ids = new Map<number, number>();
      const address = (n: number): Uint8Array =>
        n % 2 === 0 ? new Uint8Array([10, 0, 0, n]) : new Uint8Array(16).fill(n);
      for (const [n, hold] of steps) {
        const bytes = address(n);
        const count = held.get(n) ?? 0;
        const found = table.find(bytes, 0, bytes.length);
        assert.equal(found !== undefined, count > 0);
        if (found !== undefined) assert.equal(found.id, ids.get(n));
        if (hold) {
          const entry = table.hold(bytes, 0, bytes.length)!;
          ids.set(n, entry.id);
          held.set(n, count + 1);
          const live = [...held].filter(([, c]) => c > 0).map(([k]) => ids.get(k));
          assert.equal(new Set(live).size, live.length, 'identifiers are unique');
        } else if (found !== undefined) {
          table.release(found);
          held.set(n, count - 1);
        }
      }
    }),
  );
});

test('ephemeral ports avoid those taken and fail only when none is left (RFC 6056)', () => {
  const ports = new EphemeralPorts(new Uint8Array(16).fill(3));
  const local = new Uint8Array(4);
  const remote = new Uint8Array([1, 2, 3, 4]);
  const taken = new Set<number>();
  for (let i = 0; i < 16384; i++) {
    const port = ports.pick(local, remote, 80, (p) => taken.has(p));
    assert.ok(port >= 49152 && port <= 65535 && !taken.has(port));
    taken.add(port);
  }
  assert.throws(() => ports.pick(local, remote, 80, (p) => taken.has(p)), { code: 'EADDRINUSE' });
});

test('a stack that shares its addresses says which packets are its own, and takes ports from where it may', () => {
  const { stack } = alone({ firstEphemeralPort: 61000 });
  const packet = new Uint8Array(20);
  packet.set([100, 64, 0, 2], 12);
  packet.set([100, 64, 0, 1], 16);
  const has = (protocol: number, localPort: number, remotePort = 40000, opens = true): boolean =>
    stack.hasEndpoint(protocol, packet, 12, 16, 4, remotePort, localPort, opens);
  assert.equal(has(6, 80), false);
  assert.equal(has(17, 53), false);
  const listener = stack.listen({ port: 80, address: A4, accept: () => {} });
  const socket = stack.bindUdp({ port: 53, receive: () => {} });
  assert.equal(has(6, 80), true);
  assert.equal(
    has(6, 80, 40000, false),
    false,
    "the port may be the other stack's for another flow",
  );
  assert.equal(has(17, 53), true);
  assert.equal(has(17, 80), false, 'each protocol has its own ports');
  packet[19] = 9;
  assert.equal(has(6, 80), false, 'a foreign destination');
  assert.equal(has(17, 53), false);
  packet[19] = 1;
  listener.close();
  socket.close();
  assert.equal(has(6, 80), false);
  assert.equal(has(17, 53), false);
  const conn = stack.connect({ remoteAddress: B4, remotePort: 443, handler: new Recorder() });
  assert.ok(conn.localPort >= 61000);
  assert.equal(has(6, conn.localPort, 443), true);
  assert.equal(has(6, conn.localPort, 444), false, 'another connection from there');
  assert.throws(() => alone({ firstEphemeralPort: 65536 }), RangeError);
});

test('constructor arguments are checked', () => {
  const base = { randomBytes: (n: number) => new Uint8Array(n), output() {} };
  assert.throws(() => new Stack({ ...base, mtu: 100 }), RangeError);
  assert.throws(() => new Stack({ ...base, headroom: 15 }), RangeError);
  assert.throws(() => new Stack(base).setAddresses(['nonsense']), { code: 'EINVAL' });
});
