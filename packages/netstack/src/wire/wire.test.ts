// Header codecs: published and recorded bytes, then every truncation, then properties.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex } from '@cove/protocol/bytes';
import fc from 'fast-check';
import { fold, InternetChecksum, sumBytes } from './checksum.ts';
import { encodeEcho, parseIcmpError, parseQuoted } from './icmp.ts';
import { IpFault, IpPacket, parseIp, writeIpHeader } from './packet.ts';
import { Flag, parseTcp, TcpSegment, tcpHeaderLength, writeTcpHeader } from './tcp.ts';
import { encodeUdp, parseUdp } from './udp.ts';

test('checksum: the example of RFC 1071 3', () => {
  assert.equal(sumBytes(fromHex('0001f203f4f5f6f7'), 0, 8), 0xddf2);
});

test('checksum: the fast sum agrees with the byte loop at every offset and length (RFC 1071 2, RFC 9293 3.1 MUST-2)', () => {
  const checksum = new InternetChecksum();
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.nat(7),
      fc.nat(3),
      (bytes, shift, viewShift) => {
        const memory = new Uint8Array(bytes.length + shift + viewShift + 8);
        const view = memory.subarray(viewShift);
        view.set(bytes, shift);
        assert.equal(
          checksum.sum(view, shift, bytes.length) % 0xffff,
          sumBytes(view, shift, bytes.length) % 0xffff,
        );
      },
    ),
    { numRuns: 500 },
  );
  const full = new Uint8Array(65536).fill(0xff);
  assert.equal(checksum.sum(full, 0, 65535), sumBytes(full, 0, 65535));
  assert.equal(fold(0xffff + 0xffff), 0xffff);
});

/** A ping of Linux over loopback, an IPv4 header with known checksum. */
const IPV4 = '4500005461f140004001dab57f0000017f000001';

test('IPv4: a recorded header parses, and each field is found', () => {
  const packet = new IpPacket();
  const bytes = new Uint8Array(84);
  bytes.set(fromHex(IPV4));
  assert.equal(parseIp(bytes, 0, 84, packet), IpFault.NONE);
  assert.equal(packet.protocol, 1);
  assert.equal(packet.ttl, 64);
  assert.equal(packet.payloadLength, 64);
  assert.equal(packet.fragmented, false);
  bytes[8] = 63;
  assert.equal(parseIp(bytes, 0, 84, packet), IpFault.CHECKSUM);
});

test('IPv4: what we write is the header of a real stack with identification 0', () => {
  const out = new Uint8Array(20);
  const address = new Uint8Array([127, 0, 0, 1]);
  const sum = 2 * (0x7f00 + 1);
  writeIpHeader(out, 0, 4, 1, address, 0, address, 0, sum, 64);
  const expected = fromHex(IPV4);
  expected.set([0, 0], 4);
  expected.set([0x3c, 0xa7], 10);
  assert.deepEqual(out, expected);
});

test('IPv4: impossible headers are told apart', () => {
  const packet = new IpPacket();
  const good = new Uint8Array(84);
  good.set(fromHex(IPV4));
  const fault = (change: (b: Uint8Array) => void, length = 84): number => {
    const bytes = new Uint8Array(good);
    change(bytes);
    return parseIp(bytes, 0, length, packet);
  };
  assert.equal(
    fault(() => {}, 19),
    IpFault.TRUNCATED,
  );
  assert.equal(
    fault(() => {}, 83),
    IpFault.TRUNCATED,
  );
  assert.equal(
    fault((b) => (b[0] = 0x44)),
    IpFault.HEADER_LENGTH,
  );
  assert.equal(
    fault((b) => (b[3] = 19)),
    IpFault.HEADER_LENGTH,
  );
  assert.equal(
    fault((b) => (b[0] = 0x55)),
    IpFault.VERSION,
  );
});

test('IPv6: extension headers are walked, eight at most, and never beyond the packet (RFC 8200 4)', () => {
  const packet = new IpPacket();
  const build = (extensions: number): Uint8Array => {
    const bytes = new Uint8Array(40 + 8 * extensions + 4);
    bytes[0] = 0x60;
    bytes[5] = bytes.length - 40;
    bytes[6] = extensions > 0 ? 60 : 17;
    for (let i = 0; i < extensions; i++) bytes[40 + 8 * i] = i + 1 < extensions ? 60 : 17;
    return bytes;
  };
  for (const [count, fault] of [
    [0, IpFault.NONE],
    [8, IpFault.NONE],
    [9, IpFault.EXTENSION],
  ] as const) {
    const bytes = build(count);
    assert.equal(parseIp(bytes, 0, bytes.length, packet), fault, `${count} extension headers`);
    if (fault === IpFault.NONE) {
      assert.equal(packet.protocol, 17);
      assert.equal(packet.payloadLength, 4);
    }
  }
  const long = build(1);
  long[41] = 200;
  assert.equal(parseIp(long, 0, long.length, packet), IpFault.EXTENSION);
});

/** SYN of Linux: MSS 1460, SACK permitted, timestamps, window scale 7. */
const SYN =
  'c0de0050123456780000000000a002faf0abcd0000020405b40402080a0000000100000000010303' + '07';

test('TCP: the options of a Linux SYN parse, and writing them gives the same bytes', () => {
  const bytes = fromHex(`c0de00501234567800000000a002faf000000000${SYN.slice(42)}`);
  const segment = new TcpSegment();
  assert.ok(parseTcp(bytes, 0, bytes.length, segment));
  assert.equal(segment.sourcePort, 0xc0de);
  assert.equal(segment.destinationPort, 80);
  assert.equal(segment.seq, 0x12345678);
  assert.equal(segment.flags, Flag.SYN);
  assert.equal(segment.window, 64240);
  assert.equal(segment.mss, 1460);
  assert.equal(segment.windowScale, 7);
  assert.equal(segment.sackPermitted, true);
  assert.equal(segment.tsVal, 1);
  assert.equal(segment.payloadLength, 0);
  const out = new Uint8Array(60);
  const length = writeTcpHeader(out, 0, segment);
  assert.equal(length, tcpHeaderLength(segment));
  assert.deepEqual(out.subarray(0, length), bytes);
});

test('TCP: every header we can write is read back the same', () => {
  const word = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(
      fc.record({
        syn: fc.boolean(),
        seq: word,
        ack: word,
        flags: fc.nat(255),
        window: fc.nat(65535),
        mss: fc.nat(65535),
        scale: fc.integer({ min: -1, max: 14 }),
        ts: fc.option(fc.tuple(word, word)),
        blocks: fc.array(fc.tuple(word, word), { maxLength: 3 }),
      }),
      (r) => {
        const segment = new TcpSegment();
        segment.flags = r.syn ? r.flags | Flag.SYN : r.flags & ~Flag.SYN;
        segment.seq = r.seq;
        segment.ack = r.ack;
        segment.window = r.window;
        if (r.syn) {
          segment.mss = r.mss;
          segment.windowScale = r.scale;
          segment.sackPermitted = true;
        } else {
          segment.sackCount = r.blocks.length;
          r.blocks.forEach(([left, right], i) => {
            segment.sackLeft[i] = left;
            segment.sackRight[i] = right;
          });
        }
        if (r.ts !== null) {
          segment.hasTimestamps = true;
          [segment.tsVal, segment.tsEcr] = r.ts;
        }
        const out = new Uint8Array(70);
        const length = writeTcpHeader(out, 5, segment);
        assert.equal(length, tcpHeaderLength(segment));
        const back = new TcpSegment();
        assert.ok(parseTcp(out, 5, length, back));
        back.payload = segment.payload;
        assert.deepEqual({ ...back }, { ...segment, ...pickStale(back, segment) });
      },
    ),
  );
});

/** Fields without meaning when their option is absent. */
function pickStale(back: TcpSegment, segment: TcpSegment): Partial<TcpSegment> {
  return segment.hasTimestamps ? {} : { tsVal: back.tsVal, tsEcr: back.tsEcr };
}

test('TCP: options of illegal length end or are skipped, and nothing is read beyond the header (RFC 9293 3.1 MUST-7, MUST-64)', () => {
  const cases: [string, Partial<TcpSegment>][] = [
    ['02000000', { mss: 0 }],
    ['02010000', { mss: 0 }],
    ['02290000', { mss: 0 }],
    ['0203ff01020405b4', { mss: 1460 }],
    ['fe0400000204ffff', { mss: 65535 }],
    ['01010102', { mss: 0 }],
    ['00000000020405b4', { mss: 0 }],
    ['0303ff01', { windowScale: 14 }],
    ['080a0000', { hasTimestamps: false }],
    ['050c0000000100000002', { sackCount: 0 }],
    ['050a000000010000000201', { sackCount: 1 }],
  ];
  for (const [hex, expected] of cases) {
    const options = fromHex(hex.padEnd(Math.ceil(hex.length / 8) * 8, '0'));
    const bytes = new Uint8Array(20 + options.length + 8).fill(0xff);
    bytes[12] = (5 + options.length / 4) << 4;
    bytes[13] = Flag.SYN;
    bytes.set(options, 20);
    const segment = new TcpSegment();
    assert.ok(parseTcp(bytes, 0, bytes.length, segment), hex);
    for (const [key, value] of Object.entries(expected)) {
      assert.equal(segment[key as keyof TcpSegment], value, `${hex}: ${key}`);
    }
    assert.equal(segment.payloadLength, 8);
  }
});

test('any bytes parse or are refused, and offsets stay inside (RFC 9293 3.1)', () => {
  const packet = new IpPacket();
  const segment = new TcpSegment();
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 0, maxLength: 120 }),
      fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0x00),
      fc.nat(20),
      (bytes, first, offset) => {
        const buf = new Uint8Array(offset + bytes.length);
        buf.set(bytes, offset);
        if (bytes.length > 0) buf[offset] = first;
        // Give IPv6 a plausible length and IPv4 a right checksum, so that the parser gets past them.
        if (first === 0x60 && bytes.length > 45) {
          buf[offset + 4] = 0;
          buf[offset + 5] = bytes.length - 40;
        } else if (bytes.length >= 20 && first !== 0x60) {
          const header = Math.min((first & 15) * 4, bytes.length);
          buf.set([0, bytes.length], offset + 2);
          buf.set([0, 0], offset + 10);
          const sum = ~sumBytes(buf, offset, header);
          buf.set([(sum >> 8) & 255, sum & 255], offset + 10);
        }
        if (parseIp(buf, offset, bytes.length, packet) !== IpFault.NONE) return;
        assert.ok(packet.payload >= offset + 20);
        assert.ok(packet.payloadLength >= 0);
        assert.ok(packet.payload + packet.payloadLength <= buf.length);
        if (parseTcp(buf, packet.payload, packet.payloadLength, segment)) {
          assert.ok(segment.payload + segment.payloadLength <= buf.length);
          assert.ok(segment.payloadLength >= 0);
          assert.ok(segment.sackCount <= 4);
        }
        parseUdp(buf, packet.payload, packet.payloadLength);
        const quoted = parseQuoted(packet.version, buf, packet.payload, packet.payloadLength);
        if (quoted !== undefined) assert.ok(quoted.payload + 8 <= buf.length);
      },
    ),
    { numRuns: 3000 },
  );
});

test('UDP: length is checked against what is there (RFC 768)', () => {
  const bytes = encodeUdp(1000, 53, new Uint8Array([1, 2, 3]));
  assert.deepEqual(parseUdp(bytes, 0, bytes.length), {
    sourcePort: 1000,
    destinationPort: 53,
    dataLength: 3,
    checksum: 0,
  });
  const padded = new Uint8Array(20);
  padded.set(bytes);
  assert.equal(parseUdp(padded, 0, 20)?.dataLength, 3);
  for (let n = 0; n < bytes.length; n++) assert.equal(parseUdp(bytes, 0, n), undefined);
  bytes[5] = 7;
  assert.equal(parseUdp(bytes, 0, bytes.length), undefined);
});

test('ICMP: errors map to the codes of sockets; echo is no error (RFC 792, RFC 4443)', () => {
  const cases: [number, number, number, string | undefined, boolean?][] = [
    [4, 3, 0, 'ENETUNREACH', false],
    [4, 3, 1, 'EHOSTUNREACH', false],
    [4, 3, 2, 'ECONNREFUSED', true],
    [4, 3, 3, 'ECONNREFUSED', true],
    [4, 3, 13, 'EHOSTUNREACH', false],
    [4, 4, 0, undefined],
    [4, 5, 0, undefined],
    [4, 11, 0, 'EHOSTUNREACH', false],
    [4, 0, 0, undefined],
    [6, 1, 0, 'ENETUNREACH', false],
    [6, 1, 4, 'ECONNREFUSED', true],
    [6, 3, 0, 'EHOSTUNREACH', false],
    [6, 129, 0, undefined],
  ];
  for (const [version, type, code, expected, hard] of cases) {
    const error = parseIcmpError(version, new Uint8Array([type, code, 0, 0, 0, 0, 0, 0]), 0);
    assert.equal(error?.code, expected, `v${version} type ${type} code ${code}`);
    if (expected !== undefined) assert.equal(error?.hard, hard);
  }
  assert.equal(parseIcmpError(4, new Uint8Array([3, 4, 0, 0, 0, 0, 5, 0]), 0)?.mtu, 1280);
  assert.equal(parseIcmpError(6, new Uint8Array([2, 0, 0, 0, 0, 0, 5, 0]), 0)?.mtu, 1280);
  assert.deepEqual(
    encodeEcho(4, false, 0x1234, 1, new Uint8Array([9])),
    fromHex('080000001234000109'),
  );
});
