// Fuzz targets of the packet path: headers, options, extension headers, reassembly, a whole stack, and fuzztcp.ts.
import assert from 'node:assert/strict';
import type { FuzzTarget } from '@cove/protocol/testing/fuzztarget';
import { Counters } from '../counters.ts';
import { Reassembler } from '../reassembly.ts';
import { Stack } from '../stack.ts';
import { putU16, u16 } from '../wire/bigendian.ts';
import { sumBytes } from '../wire/checksum.ts';
import { parseIcmpError, parseQuoted } from '../wire/icmp.ts';
import { IpFault, IpPacket, Protocol, parseIp } from '../wire/packet.ts';
import { parseTcp, TcpSegment, tcpHeaderLength, writeTcpHeader } from '../wire/tcp.ts';
import { parseUdp } from '../wire/udp.ts';
import { tcpTarget } from './fuzztcp.ts';
import { checkPacket, SimNetwork } from './link.ts';
import { SeededRandom } from './random.ts';

/** Real packets of both families: TCP both ways, fragments, echoes, errors. */
function recordPackets(): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (const [a, b] of [
    ['10.0.0.1', '10.0.0.2'],
    ['fd00::1', 'fd00::2'],
  ] as const) {
    const network = new SimNetwork(1, { delay: 1 });
    network.tap = (bytes) => packets.push(bytes) > 0;
    const left = network.add('a', [a]).stack;
    const right = network.add('b', [b]).stack;
    right.listen({ port: 80, accept: (socket) => void socket.write(new Uint8Array(1500)) });
    const handler = { readable() {}, closed() {} };
    left.connect({ remoteAddress: b, remotePort: 80, handler }).shutdownWrite();
    left.ping({ address: b, payload: new Uint8Array(1400), done() {} });
    left.bindUdp({ port: 0, receive() {} }).send({ address: b, port: 5 }, new Uint8Array(20));
    network.run(() => false, 50);
  }
  return packets;
}

const PACKETS = recordPackets();

/** The header checksum as it should be, so that what lies behind it is reached. */
function fixHeader(bytes: Uint8Array): void {
  if (bytes.length < 20 || bytes[0]! >>> 4 !== 4) return;
  const length = Math.min(bytes.length, (bytes[0]! & 15) << 2);
  putU16(bytes, 10, 0);
  putU16(bytes, 10, ~sumBytes(bytes, 0, length));
}

/** Transport checksums likewise, when the packet parses. */
function fixTransport(bytes: Uint8Array): void {
  const packet = new IpPacket();
  if (parseIp(bytes, 0, bytes.length, packet) !== IpFault.NONE || packet.fragmented) return;
  const { protocol, payload, payloadLength } = packet;
  const at = protocol === Protocol.TCP ? 16 : protocol === Protocol.UDP ? 6 : 2;
  const known = [Protocol.TCP, Protocol.UDP, Protocol.ICMP, Protocol.ICMPV6] as readonly number[];
  if (!known.includes(protocol) || payloadLength < at + 2) return;
  putU16(bytes, payload + at, 0);
  const pseudo = protocol === Protocol.ICMP ? 0 : packet.addressSum + protocol + payloadLength;
  const sum = sumBytes(bytes, payload, payloadLength) + pseudo;
  const folded = (sum & 0xffff) + Math.floor(sum / 0x10000);
  const checksum = ~((folded & 0xffff) + (folded >>> 16)) & 0xffff;
  putU16(bytes, payload + at, checksum === 0 && protocol === Protocol.UDP ? 0xffff : checksum);
}

/** Every offset a parser returns lies inside what it was given. */
function checkParsed(bytes: Uint8Array): void {
  const packet = new IpPacket();
  if (parseIp(bytes, 0, bytes.length, packet) !== IpFault.NONE) return;
  const { payload, payloadLength, version } = packet;
  assert.ok(payload >= 20 && payloadLength >= 0 && payload + payloadLength <= bytes.length, 'IP');
  const segment = new TcpSegment();
  if (parseTcp(bytes, payload, payloadLength, segment)) {
    assert.equal(segment.payload + segment.payloadLength, payload + payloadLength, 'TCP');
    assert.ok(segment.payload >= payload + 20 && segment.sackCount <= 4);
  }
  const udp = parseUdp(bytes, payload, payloadLength);
  if (udp !== undefined) assert.ok(udp.dataLength >= 0 && 8 + udp.dataLength <= payloadLength);
  if (payloadLength < 8) return;
  const error = parseIcmpError(version, bytes, payload);
  if (error?.mtu !== undefined) assert.ok(error.mtu >= 0);
  const quoted = parseQuoted(version, bytes, payload + 8, payloadLength - 8);
  if (quoted !== undefined) assert.ok(quoted.payload + 8 <= payload + payloadLength, 'quote');
}

const ipTarget: FuzzTarget = {
  name: 'ip',
  maxLength: 1300,
  seeds: PACKETS.filter((packet) => packet.length < 200),
  words: [Uint8Array.of(0x45, 0), Uint8Array.of(0x60), Uint8Array.of(0x4f, 0, 0, 60)],
  run(input) {
    fixHeader(input);
    checkParsed(input);
  },
};

const extensionTarget: FuzzTarget = {
  name: 'ipv6-extensions',
  maxLength: 400,
  seeds: [0, 43, 44, 60, 51, 59].map((next) => {
    const packet = new Uint8Array(40 + 32 + 20);
    packet.set([0x60, 0, 0, 0, 0, 52, next, 64]);
    packet[23] = 1;
    packet[39] = 2;
    packet.set([60, 0, 0, 0, 0, 0, 0, 0, 6, 1], 40);
    packet[40 + 32 + 12] = 0x50;
    return packet;
  }),
  words: [0, 43, 44, 60, 6, 17, 58].map((next) => Uint8Array.of(next, 0)),
  run(input) {
    if (input.length < 40) return;
    input[0] = 0x60;
    putU16(input, 4, input.length - 40);
    checkParsed(input);
  },
};

/** Options read, written and read again say the same. */
const optionsTarget: FuzzTarget = {
  name: 'tcp-options',
  maxLength: 60,
  seeds: [
    Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 8, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2),
    Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2),
  ],
  words: [[2, 4], [3, 3], [4, 2], [5, 10], [5, 18], [5, 26], [5, 34], [8, 10], [1], [0]].map((w) =>
    Uint8Array.from(w),
  ),
  run(input) {
    const options = input.subarray(0, 40);
    const header = (20 + options.length + 3) & ~3;
    const bytes = new Uint8Array(header + 4);
    bytes.set(options, 20);
    bytes[12] = (header >> 2) << 4;
    bytes[13] = (input[0] ?? 0) & 1 ? 0x02 : 0x10;
    const segment = new TcpSegment();
    assert.ok(parseTcp(bytes, 0, bytes.length, segment));
    assert.equal(segment.payload, header);
    const length = tcpHeaderLength(segment);
    if (length > 60) return;
    const written = new Uint8Array(64);
    assert.equal(writeTcpHeader(written, 0, segment), length);
    const again = new TcpSegment();
    assert.ok(parseTcp(written, 0, length, again));
    // Slots beyond the count hold what earlier options left there.
    segment.sackLeft.fill(0, segment.sackCount);
    segment.sackRight.fill(0, segment.sackCount);
    again.payload = segment.payload;
    again.payloadLength = segment.payloadLength;
    assert.deepEqual(again, segment);
  },
};

/** Fragments in any order against a model that only collects: four bytes each, at which eighth, how long, whose, whether last. */
const reassemblyTarget: FuzzTarget = {
  name: 'reassembly',
  maxLength: 400,
  seeds: [
    Uint8Array.of(0, 3, 0, 1, 3, 3, 0, 0),
    Uint8Array.of(3, 3, 0, 0, 0, 3, 0, 1),
    Uint8Array.of(0, 3, 4, 1, 1, 3, 4, 1, 4, 9, 4, 0),
  ],
  run(input) {
    const reassembler = new Reassembler(new Counters());
    const packet = new IpPacket();
    const models = new Map<number, { data: Map<number, number>; total: number }>();
    let now = 0;
    for (let i = 0; i + 4 <= input.length; i += 4) {
      const [at, size, who, kind] = input.subarray(i, i + 4);
      const v6 = (who! & 1) !== 0;
      const more = (kind! & 1) !== 0;
      const length = more ? (size! & 31) * 8 : size!;
      const header = v6 ? 48 : 20;
      const bytes = new Uint8Array(header + length);
      if (v6) {
        bytes[0] = 0x60;
        putU16(bytes, 4, 8 + length);
        bytes.set([44, 64], 6);
        bytes[23] = who!;
        bytes[39] = 2;
        bytes[40] = 17;
        putU16(bytes, 42, (at! << 3) | (more ? 1 : 0));
      } else {
        bytes[0] = 0x45;
        putU16(bytes, 2, bytes.length);
        putU16(bytes, 6, at! | (more ? 0x2000 : 0));
        bytes.set([64, 17], 8);
        bytes.set([10, 0, 0, who!, 10, 0, 0, 2], 12);
        fixHeader(bytes);
      }
      for (let n = 0; n < length; n++) bytes[header + n] = (8 * at! + n) * 7 + who!;
      if ((kind! & 0x80) !== 0) now += 200 * (kind! >> 2);
      if (parseIp(bytes, 0, bytes.length, packet) !== IpFault.NONE || !packet.fragmented) continue;
      const model = models.get(who!) ?? { data: new Map<number, number>(), total: -1 };
      models.set(who!, model);
      for (let n = 0; n < length; n++) model.data.set(8 * at! + n, bytes[header + n]!);
      const whole = reassembler.add(bytes, packet, now);
      assert.ok(reassembler.bytes <= 1 << 20 && reassembler.size <= 64, 'memory is bounded');
      assert.ok(reassembler.bytes >= 0);
      if (whole === undefined) continue;
      assert.equal(parseIp(whole, 0, whole.length, packet), IpFault.NONE, 'whole packet parses');
      assert.equal(packet.protocol, 17);
      assert.equal(packet.payload + packet.payloadLength, whole.length);
      for (let n = 0; n < packet.payloadLength; n++) {
        assert.equal(whole[packet.payload + n], model.data.get(n), `byte ${n}`);
      }
    }
    reassembler.expire(now + 100_000);
    assert.deepEqual([reassembler.size, reassembler.bytes], [0, 0], 'nothing is left');
  },
};

/** Packets with a length of two bytes before each, at a stack with everything open; time passes by the length's top bits. */
const stackTarget: FuzzTarget = {
  name: 'stack',
  maxLength: 3000,
  seeds: [
    ...PACKETS.filter((packet) => packet.length < 200).map((packet) => framed([packet])),
    framed(PACKETS.slice(0, 8)),
  ],
  words: [Uint8Array.of(10, 0, 0, 2), Uint8Array.of(10, 0, 0, 1), Uint8Array.of(0, 80)],
  run(input) {
    const random = new SeededRandom(3);
    let emitted = 0;
    const stack = new Stack({
      randomBytes: (n) => random.bytes(n),
      promiscuous: (input[0] ?? 0) >= 128,
      output: (buf, offset, length) => {
        emitted++;
        checkPacket(new Uint8Array(buf.subarray(offset, offset + length)), 1280);
      },
      unhandledTcp: (request) => {
        if (request.localPort & 1) request.refuse();
        else request.accept({ readable: (socket) => void socket.read(), closed() {} });
      },
    });
    stack.setAddresses(['10.0.0.2', 'fd00::2']);
    stack.listen({
      port: 80,
      accept: (socket) => {
        socket.handler = { readable: (s) => void s.read(), closed() {}, ended: (s) => s.close() };
        socket.write(new Uint8Array(3000));
      },
    });
    stack.bindUdp({ port: 5, receive() {} });
    let now = 0;
    let arrived = 0;
    for (let at = 0; at + 2 <= input.length; ) {
      const head = u16(input, at);
      const packet = input.slice(at + 2, at + 2 + (head & 0x7ff));
      at += 2 + packet.length;
      fixHeader(packet);
      fixTransport(packet);
      stack.input(packet, 0, packet.length, now);
      arrived++;
      now += (head >>> 11) ** 2;
      stack.poll(now);
    }
    assert.ok(stack.connectionCount <= arrived);
    assert.ok(emitted <= 40 * (arrived + 1) + 2000, `${emitted} packets for ${arrived}`);
    for (let i = 0; i < 2000 && stack.nextTick !== undefined; i++) {
      now = Math.max(now, stack.nextTick);
      stack.poll(now);
    }
  },
};

function framed(packets: readonly Uint8Array[]): Uint8Array {
  const out: number[] = [];
  for (const packet of packets) out.push(packet.length >> 8, packet.length & 255, ...packet);
  return Uint8Array.from(out);
}

export const targets: readonly FuzzTarget[] = [
  ipTarget,
  optionsTarget,
  extensionTarget,
  reassemblyTarget,
  stackTarget,
  tcpTarget,
];
