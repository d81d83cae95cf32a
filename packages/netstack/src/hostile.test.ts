// Hostile input under load: while one peer attacks, transfers of others go on as fast as before, memory stays bounded, and
// what was refused is counted under its reason.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Stack } from './stack.ts';
import { Transfer } from './testing/apps.ts';
import { SimNetwork } from './testing/link.ts';
import { SeededRandom } from './testing/random.ts';
import { putU16 } from './wire/bigendian.ts';
import { fold, sumBytes } from './wire/checksum.ts';
import { Protocol, writeIpHeader, writeIpv6Fragment } from './wire/packet.ts';
import { Flag, TcpSegment, writeTcpHeader } from './wire/tcp.ts';

const VICTIM = new Uint8Array([10, 0, 0, 2]);
const FRIEND = new Uint8Array([10, 0, 0, 1]);
const ATTACKER = new Uint8Array([10, 0, 0, 66]);
const BYTES = 400_000;

function ipv4(source: Uint8Array, protocol: number, payload: Uint8Array, fragment = 0): Uint8Array {
  const packet = new Uint8Array(20 + payload.length);
  const sum = sumBytes(new Uint8Array([...source, ...VICTIM]), 0, 8);
  writeIpHeader(packet, 0, 4, protocol, source, 0, VICTIM, 0, sum, payload.length);
  if (fragment !== 0) {
    putU16(packet, 6, fragment);
    putU16(packet, 10, 0);
    putU16(packet, 10, ~sumBytes(packet, 0, 20));
  }
  packet.set(payload, 20);
  return packet;
}

interface Forged {
  readonly from?: Uint8Array;
  readonly port: number;
  readonly to?: number;
  readonly flags: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly window?: number;
  readonly length?: number;
}

function tcp(f: Forged): Uint8Array {
  const segment = new TcpSegment();
  segment.sourcePort = f.port;
  segment.destinationPort = f.to ?? 80;
  segment.seq = (f.seq ?? 0) >>> 0;
  segment.ack = (f.ack ?? 0) >>> 0;
  segment.flags = f.flags;
  segment.window = f.window ?? 65535;
  const bytes = new Uint8Array(20 + (f.length ?? 0));
  writeTcpHeader(bytes, 0, segment);
  const from = f.from ?? ATTACKER;
  const pseudo = sumBytes(new Uint8Array([...from, ...VICTIM]), 0, 8) + Protocol.TCP + bytes.length;
  putU16(bytes, 16, ~fold(sumBytes(bytes, 0, bytes.length) + pseudo));
  return ipv4(from, Protocol.TCP, bytes);
}

interface Attack {
  /** Packets at the victim in this moment; `ports` of the honest connections once they are made. */
  strike(step: number, random: SeededRandom, ports: readonly number[]): Uint8Array[];
  /** What the victim sent. */
  heard?(packet: Uint8Array): void;
}

interface Outcome {
  readonly elapsed: number;
  readonly stack: Stack;
  /** Packets the victim sent to the attacker. */
  readonly answers: number;
  readonly most: number;
  /** The most that lived at a time, bytes; 0 where nobody can say. */
  readonly memory: number;
  /** Bytes that the application read of the attacker's connections. */
  readonly read: number;
}

/** Bytes of everything that lives. */
function living(): number {
  if (global.gc === undefined) return 0;
  // What the first found is swept beside the program; the second waits for that.
  global.gc();
  global.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Two transfers between honest hosts while the victim is struck at every step. */
function underLoad(attack: Attack | undefined): Outcome {
  const network = new SimNetwork(7, { delay: 5, rate: 1250, queue: 200 });
  const a = network.add('a', ['10.0.0.1']);
  const b = network.add('b', ['10.0.0.2']);
  const random = new SeededRandom(13);
  const servers: Transfer[] = [];
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      if (socket.remoteAddress !== '10.0.0.1') {
        socket.handler = {
          readable(from) {
            for (let chunk = from.read(); chunk !== undefined; chunk = from.read()) {
              read += chunk.length;
            }
          },
          closed() {},
        };
        return;
      }
      const server = new Transfer({ send: BYTES / 4, seed: 2 }, 1);
      servers.push(server);
      socket.handler = server;
      server.start(socket);
    },
  });
  let answers = 0;
  let read = 0;
  network.tap = (bytes, from) => {
    if (from !== b || bytes[19] !== 66) return true;
    answers++;
    attack?.heard?.(bytes);
    return false;
  };
  const clients = [0, 1].map(() => new Transfer({ send: BYTES, seed: 1 }, 2));
  const ports = clients.map((handler) => {
    const options = { remoteAddress: '10.0.0.2', remotePort: 80, handler };
    return a.stack.connect(options).localPort;
  });
  let most = 0;
  let memory = 0;
  const before = living();
  const done = (): boolean => clients.every((c) => c.isClosed) && servers.every((c) => c.isClosed);
  for (let step = 0; step < 100_000 && !(step > 10 && done()); step++) {
    if (!network.step()) network.now += 1;
    if (attack !== undefined && step % 2 === 0) {
      for (const packet of attack.strike(step, random, servers.length === 2 ? ports : [])) {
        b.stack.input(packet, 0, packet.length, network.now);
      }
      b.stack.poll(network.now);
    }
    most = Math.max(most, b.stack.connectionCount);
    if (step % 400 === 200) memory = Math.max(memory, living() - before);
  }
  const elapsed = network.now;
  for (const transfer of [...clients, ...servers]) {
    assert.equal(transfer.closedWith, undefined, 'honest connections end in order');
  }
  assert.equal(servers.length, 2);
  for (const server of servers) assert.equal(server.received, BYTES);
  for (const client of clients) assert.equal(client.received, BYTES / 4);
  return { elapsed, stack: b.stack, answers, most, memory, read };
}

/** What the code takes once compiled is not counted. */
underLoad(undefined);
const PLAIN = underLoad(undefined);
/** A full backlog, what one source may have of fragments, or the buffers of one connection. */
const MEMORY = 3 << 19;

/** The transfers keep four fifths of their rate, and memory is bounded. */
function unaffected({ elapsed, memory }: Outcome): void {
  assert.ok(elapsed <= PLAIN.elapsed / 0.8, `${elapsed} ms instead of ${PLAIN.elapsed}`);
  assert.ok(memory <= PLAIN.memory + MEMORY, `${memory} bytes instead of ${PLAIN.memory}`);
}

test('SYN flood: the backlog stays bounded and connections of others are made and served (RFC 4987)', () => {
  let port = 0;
  const outcome = underLoad({
    strike: () =>
      Array.from({ length: 20 }, () =>
        tcp({ port: 1 + (port++ % 60_000), flags: Flag.SYN, seq: port }),
      ),
  });
  unaffected(outcome);
  assert.ok(outcome.most <= 256 + 4, `${outcome.most} connections at most`);
  assert.ok((outcome.stack.counters()['drop.tcp.backlog'] ?? 0) > 1000);
});

test('ACK storm: acknowledgements that fit nothing are answered a few times a second at most (RFC 5961 5.2, 7)', () => {
  let iss = -1;
  const outcome = underLoad({
    heard: (packet) => {
      if (packet[33]! === (Flag.SYN | Flag.ACK)) {
        iss = ((packet[24]! << 24) | (packet[25]! << 16) | (packet[26]! << 8) | packet[27]!) >>> 0;
      }
    },
    strike: (step, random) => {
      if (iss < 0) return [tcp({ port: 9, flags: Flag.SYN, seq: 0 })];
      if (step < 20) return [tcp({ port: 9, flags: Flag.ACK, seq: 1, ack: iss + 1 })];
      return Array.from({ length: 20 }, () =>
        tcp({ port: 9, flags: Flag.ACK, seq: 1 + random.below(3) - 1, ack: random.u32() }),
      );
    },
  });
  unaffected(outcome);
  assert.ok(outcome.answers < 20 + outcome.elapsed / 50, `${outcome.answers} answers`);
});

test('RST, SYN and data injected into the connections of others from outside the window do nothing (RFC 5961)', () => {
  const outcome = underLoad({
    strike: (_, random, ports) =>
      ports.map((port) =>
        tcp({
          from: FRIEND,
          port,
          flags: [Flag.RST, Flag.SYN, Flag.ACK, Flag.FIN | Flag.ACK][random.below(4)]!,
          seq: random.u32(),
          ack: random.u32(),
          length: random.below(2) * 100,
        }),
      ),
  });
  unaffected(outcome);
  assert.ok((outcome.stack.counters()['drop.tcp.unacceptable'] ?? 0) > 500);
});

test('fragments of every kind: bounded, and none costs anyone else (RFC 791, RFC 5722, RFC 1858)', () => {
  const outcome = underLoad({
    strike: (step, random) => {
      const length = [0, 1, 7, 8, 64, 1200][random.below(6)]!;
      const fragment = (random.below(2) << 13) | random.below(8192);
      const packet = ipv4(ATTACKER, 6, new Uint8Array(length), fragment || 0x2000);
      putU16(packet, 4, step & 0x3fff);
      putU16(packet, 10, 0);
      putU16(packet, 10, ~sumBytes(packet, 0, 20));
      return Array.from({ length: 10 }, () => packet);
    },
  });
  unaffected(outcome);
  const counters = outcome.stack.counters();
  assert.ok((counters['drop.fragment.malformed'] ?? 0) > 0);
  assert.ok((counters['drop.fragment.limit'] ?? 0) > 0);
  assert.equal(outcome.answers, 0);
});

test('lengths of zero and beyond the packet, in every header (RFC 791 3.1, RFC 8200 3, RFC 9293 3.1)', () => {
  const outcome = underLoad({
    strike: (_, random) => {
      const packet = tcp({ port: 5, flags: Flag.SYN, seq: 1, length: random.below(100) });
      const giant = [0, 1, 19, 0xffff][random.below(4)]!;
      if (random.below(2) === 0) {
        putU16(packet, 2, giant);
        putU16(packet, 10, 0);
        putU16(packet, 10, ~sumBytes(packet, 0, 20));
      } else {
        packet[32] = random.below(2) * 0xf0;
      }
      return [packet, packet.subarray(0, random.below(packet.length)), new Uint8Array(0)];
    },
  });
  unaffected(outcome);
  const counters = outcome.stack.counters();
  assert.ok((counters['drop.ip.truncated'] ?? 0) > 0);
  assert.ok((counters['drop.ip.header_length'] ?? 0) > 0);
  assert.ok((counters['drop.tcp.malformed'] ?? 0) > 0);
});

test('IPv6 extension chains, long, circular or cut, are dropped by rule (RFC 8200 4)', () => {
  const outcome = underLoad({
    strike: (_, random) => {
      const packet = new Uint8Array(40 + 8 * 20);
      packet.set([0x60, 0, 0, 0, 0, 8 * 20, [0, 43, 44, 60][random.below(4)]!, 64]);
      packet[8] = 0xfd;
      packet[24] = 0xfd;
      for (let at = 40; at < packet.length; at += 8) {
        packet[at] = [0, 43, 44, 60, 59, 6][random.below(6)]!;
        packet[at + 1] = random.below(8) === 0 ? random.below(256) : 0;
        if (random.below(4) === 0) {
          writeIpv6Fragment(packet, at, 6, random.u32(), random.below(8192), true);
        }
      }
      return [packet, packet.subarray(0, 40 + random.below(160))];
    },
  });
  unaffected(outcome);
  assert.ok((outcome.stack.counters()['drop.ip.extension'] ?? 0) > 0);
});

test('a peer that shrinks, closes and reopens its window at every step hurts only itself (RFC 9293 3.8.6)', () => {
  let iss = -1;
  let next = 0;
  const outcome = underLoad({
    heard: (packet) => {
      const seq =
        ((packet[24]! << 24) | (packet[25]! << 16) | (packet[26]! << 8) | packet[27]!) >>> 0;
      if (packet[33]! === (Flag.SYN | Flag.ACK)) iss = seq;
      const length = packet.length - 20 - (packet[32]! >>> 4) * 4;
      if (length > 0 && ((seq + length - next) | 0) > 0) next = (seq + length) >>> 0;
    },
    strike: (step, random) => {
      if (iss < 0) return [tcp({ port: 9, flags: Flag.SYN, seq: 0 })];
      if (next === 0) next = iss + 1;
      const window = [0, 1, 100, 65535][random.below(4)]!;
      return [tcp({ port: 9, flags: Flag.ACK, seq: 1, ack: step % 3 ? next : iss + 1, window })];
    },
  });
  unaffected(outcome);
});

test('segments that overlap with other data, by the thousand: bounded, each byte is read once, and none costs anyone else (RFC 9293 3.10.7.4)', () => {
  let iss = -1;
  let edge = 0;
  const outcome = underLoad({
    heard: (packet) => {
      if (packet[33]! === (Flag.SYN | Flag.ACK)) {
        iss = ((packet[24]! << 24) | (packet[25]! << 16) | (packet[26]! << 8) | packet[27]!) >>> 0;
      }
    },
    strike: (step, random) => {
      if (iss < 0) return [tcp({ port: 9, flags: Flag.SYN, seq: 0 })];
      if (step < 20) return [tcp({ port: 9, flags: Flag.ACK, seq: 1, ack: iss + 1 })];
      return Array.from({ length: 20 }, () => {
        // Mostly beyond a hole, and now and then the first bytes that are missing.
        const seq = 1 + random.below(4) * (step - 20) * 3 + random.below(20) * random.below(1500);
        const length = random.below(1200);
        edge = Math.max(edge, seq + length);
        return tcp({ port: 9, flags: Flag.ACK, seq, ack: iss + 1, length });
      });
    },
  });
  unaffected(outcome);
  assert.ok(outcome.read > 0 && outcome.read < edge, `${outcome.read} bytes read of ${edge}`);
  assert.ok((outcome.stack.counters()['tcp.duplicates'] ?? 0) > 100);
});

test('segments that overlap with other data: what came first stands, and each byte is delivered once (RFC 9293 3.10.7.4)', () => {
  const network = new SimNetwork(1, { delay: 0 });
  const b = network.add('b', ['10.0.0.2']);
  network.add('peer', ['10.0.0.66']);
  let text = '';
  b.stack.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = {
        readable(from) {
          for (let chunk = from.read(); chunk !== undefined; chunk = from.read()) {
            text += Buffer.from(chunk).toString('latin1');
          }
        },
        closed() {},
      };
    },
  });
  let iss = 0;
  network.tap = (bytes) => {
    if (bytes[33]! === (Flag.SYN | Flag.ACK)) {
      iss = ((bytes[24]! << 24) | (bytes[25]! << 16) | (bytes[26]! << 8) | bytes[27]!) >>> 0;
    }
    return false;
  };
  const send = (seq: number, data: string, flags: number = Flag.ACK): void => {
    const packet = tcp({ port: 7, flags, seq, ack: iss + 1, length: data.length });
    packet.set(Buffer.from(data), 40);
    putU16(packet, 36, 0);
    const pseudo = sumBytes(packet, 12, 8) + Protocol.TCP + (packet.length - 20);
    putU16(packet, 36, ~fold(sumBytes(packet, 20, packet.length - 20) + pseudo));
    b.stack.input(packet, 0, packet.length, network.now);
    b.stack.poll(network.now);
  };
  send(0, '', Flag.SYN);
  send(1, '');
  send(5, 'EFGH');
  send(3, 'xxYYxx');
  send(1, 'abZZZZ');
  send(1, '????????');
  // In order as it comes; beyond a hole the first copy of each byte.
  assert.equal(text, 'abZZZZGH');
  const before = text;
  send(1, '!!!!!!!!');
  send(9, 'i');
  assert.equal(text, `${before}i`);
});
