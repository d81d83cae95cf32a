import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilterRule } from '@cove/protocol/tailcfg';
import fc from 'fast-check';
import { Filter, VERDICT_NAMES, Verdict } from './filter.ts';
import { PacketHeader, wordsText } from './header.ts';
import { IpSet, parseAddressRanges } from './ipset.ts';
import { anySourceOverlaps, compileRules } from './rules.ts';
import { ipPacket, type PacketFacts } from './testing/packets.ts';

const SELF = '100.64.0.1';
const SELF6 = 'fd7a:115c:a1e0::1';
const SYN = 0x02;
const ACK = 0x10;

function setOf(...texts: string[]): IpSet {
  return new IpSet(texts.flatMap((text) => parseAddressRanges(text)!));
}

function filterWith(
  rules: readonly FilterRule[],
  caps: Readonly<Record<string, readonly string[]>> = {},
): Filter {
  const filter = new Filter((cap, family, w0, w1, w2, w3) =>
    (caps[wordsText(family, w0, w1, w2, w3)] ?? []).includes(cap),
  );
  filter.install(compileRules(rules), setOf(SELF, SELF6, '10.1.0.0/16'));
  return filter;
}

function inbound(filter: Filter, facts: PacketFacts | Uint8Array): string {
  const packet = facts instanceof Uint8Array ? facts : ipPacket(facts);
  const header = new PacketHeader();
  header.parse(packet, 0, packet.length);
  return VERDICT_NAMES[filter.checkInbound(header)]!;
}

function outbound(filter: Filter, facts: PacketFacts): string {
  const packet = ipPacket(facts);
  const header = new PacketHeader();
  header.parse(packet, 0, packet.length);
  return VERDICT_NAMES[filter.checkOutbound(header)]!;
}

const tcp = (src: string, dst: string, dstPort: number, tcpFlags = SYN): PacketFacts => ({
  src,
  dst,
  dstPort,
  protocol: 6,
  srcPort: 40000,
  tcpFlags,
});
const udp = (src: string, srcPort: number, dst: string, dstPort: number): PacketFacts => ({
  src,
  dst,
  srcPort,
  dstPort,
  protocol: 17,
});
const icmp = (src: string, icmpType: number, dst = SELF): PacketFacts => ({
  src,
  dst,
  icmpType,
  protocol: src.includes(':') ? 58 : 1,
});

const allow = (
  SrcIPs: string[],
  ip: string,
  First: number,
  Last: number,
  IPProto?: number[],
): FilterRule => ({
  SrcIPs,
  DstPorts: [{ IP: ip, Ports: { First, Last } }],
  ...(IPProto ? { IPProto } : {}),
});

test('a TCP connection is let in by source, destination and port of a rule', () => {
  const filter = filterWith([allow(['100.64.0.2'], SELF, 80, 90, [6])]);
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 80)), 'accept');
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 90)), 'accept');
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 79)), 'no_rule');
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 91)), 'no_rule');
  assert.equal(inbound(filter, tcp('100.64.0.3', SELF, 80)), 'no_rule');
  assert.equal(inbound(filter, tcp('100.64.0.2', '10.1.2.3', 80)), 'no_rule');
  assert.equal(inbound(filter, udp('100.64.0.2', 9, SELF, 80)), 'no_rule');
  assert.equal(inbound(filter, tcp('100.64.0.2', '100.64.0.9', 80)), 'not_local');
});

test('a capability of the sending node is a source, as of the packet and not of the rules', () => {
  const caps: Record<string, string[]> = {};
  const filter = filterWith([allow(['cap:label-1'], '*', 22, 22)], caps);
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 22)), 'no_rule');
  caps['100.64.0.2'] = ['label-1'];
  caps['100.64.0.3'] = ['label-2'];
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 22)), 'accept');
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 23)), 'no_rule');
  assert.equal(inbound(filter, tcp('100.64.0.3', SELF, 22)), 'no_rule');
  assert.equal(inbound(filter, icmp('100.64.0.2', 8)), 'accept');
  assert.equal(inbound(filter, icmp('100.64.0.3', 8)), 'no_rule');
});

test('a filter that was never installed, or has no rules, lets nothing new in', () => {
  const header = new PacketHeader();
  const packet = ipPacket(tcp('100.64.0.2', SELF, 80));
  header.parse(packet, 0, packet.length);
  assert.equal(new Filter(() => true).checkInbound(header), Verdict.notLocal);
  const filter = filterWith([]);
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 80)), 'no_rule');
  assert.equal(inbound(filter, udp('100.64.0.2', 1, SELF, 53)), 'no_rule');
  assert.equal(inbound(filter, icmp('100.64.0.2', 8)), 'no_rule');
});

test('TCP without SYN, or with SYN and ACK, passes without a rule', () => {
  const filter = filterWith([]);
  for (const flags of [ACK, SYN | ACK, 0x04, 0x11, 0])
    assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 80, flags)), 'accept');
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 80, SYN | 0x08)), 'no_rule');
});

test('UDP and SCTP replies pass once this node has sent, for exactly that flow', () => {
  for (const protocol of [17, 132]) {
    const filter = filterWith([]);
    const out = { ...udp(SELF, 1000, '100.64.0.2', 53), protocol };
    const reply = { ...udp('100.64.0.2', 53, SELF, 1000), protocol };
    assert.equal(inbound(filter, reply), 'no_rule');
    assert.equal(outbound(filter, out), 'accept');
    assert.equal(inbound(filter, reply), 'accept');
    assert.equal(inbound(filter, { ...reply, srcPort: 54 }), 'no_rule');
    assert.equal(inbound(filter, { ...reply, dstPort: 1001 }), 'no_rule');
    assert.equal(inbound(filter, { ...reply, src: '100.64.0.3' }), 'no_rule');
    assert.equal(inbound(filter, { ...reply, protocol: protocol === 17 ? 132 : 17 }), 'no_rule');
    filter.install(compileRules([]), setOf(SELF));
    assert.equal(inbound(filter, reply), 'accept', 'flows survive new rules');
  }
});

test('only the last 512 flows are remembered, and use keeps a flow', () => {
  const filter = filterWith([]);
  outbound(filter, udp(SELF, 1, '100.64.0.2', 1));
  outbound(filter, udp(SELF, 2, '100.64.0.2', 2));
  for (let port = 1000; port < 1510; port++) {
    outbound(filter, udp(SELF, port, '100.64.0.2', 9));
    assert.equal(inbound(filter, udp('100.64.0.2', 1, SELF, 1)), 'accept');
  }
  outbound(filter, udp(SELF, 5000, '100.64.0.2', 9));
  assert.equal(inbound(filter, udp('100.64.0.2', 2, SELF, 2)), 'no_rule');
  assert.equal(inbound(filter, udp('100.64.0.2', 9, SELF, 1000)), 'accept');
});

test('ICMP answers pass; requests need a rule about the addresses, whatever its ports and protocols', () => {
  const none = filterWith([]);
  for (const type of [0, 3, 11, 12])
    assert.equal(inbound(none, icmp('100.64.0.2', type)), 'accept');
  for (const type of [1, 2, 3, 4, 129])
    assert.equal(inbound(none, icmp('fd7a:115c:a1e0::2', type, SELF6)), 'accept');
  assert.equal(inbound(none, icmp('100.64.0.2', 8)), 'no_rule');
  assert.equal(inbound(none, icmp('fd7a:115c:a1e0::2', 128, SELF6)), 'no_rule');
  const some = filterWith([allow(['100.64.0.2'], SELF, 443, 443, [6])]);
  assert.equal(inbound(some, icmp('100.64.0.2', 8)), 'accept');
  assert.equal(inbound(some, icmp('100.64.0.3', 8)), 'no_rule');
  assert.equal(inbound(some, icmp('100.64.0.2', 8, '10.1.0.1')), 'no_rule');
});

test('other protocols need a rule that names them for all ports; TSMP passes', () => {
  const gre = { src: '100.64.0.2', dst: SELF, protocol: 47 };
  assert.equal(inbound(filterWith([allow(['*'], '*', 0, 65535)]), gre), 'no_rule');
  assert.equal(inbound(filterWith([allow(['*'], '*', 0, 65535, [47])]), gre), 'accept');
  assert.equal(inbound(filterWith([allow(['*'], '*', 1, 65535, [47])]), gre), 'no_rule');
  assert.equal(inbound(filterWith([]), { ...gre, protocol: 99 }), 'accept');
});

test('packets are dropped before any rule is asked', () => {
  const filter = filterWith([allow(['*'], '*', 0, 65535)]);
  const cases: [string, PacketFacts | Uint8Array][] = [
    ['too_short', new Uint8Array(0)],
    ['too_short', new Uint8Array(19).fill(0x45)],
    ['unknown_protocol', new Uint8Array(40)],
    ['unknown_protocol', ipPacket(tcp('100.64.0.2', SELF, 80)).subarray(0, 39)],
    [
      'unknown_protocol',
      Uint8Array.from(ipPacket(tcp('::2', SELF6, 80)), (b, i) => (i === 6 ? 60 : b)),
    ],
    ['multicast', udp('100.64.0.2', 1, '224.0.0.251', 5353)],
    ['multicast', udp('100.64.0.2', 1, '239.255.255.255', 5353)],
    ['multicast', udp('fd7a:115c:a1e0::2', 1, 'ff02::fb', 5353)],
    ['link_local', udp('100.64.0.2', 1, '169.254.1.1', 80)],
    ['not_local', udp('100.64.0.2', 1, '169.254.169.254', 80)],
    ['link_local', udp('fd7a:115c:a1e0::2', 1, 'fe80::1', 80)],
    ['link_local', udp('fd7a:115c:a1e0::2', 1, 'febf::1', 80)],
    ['not_local', udp('fd7a:115c:a1e0::2', 1, 'fec0::1', 80)],
    ['not_local', udp('100.64.0.2', 1, '100.64.0.7', 80)],
    ['unknown_protocol', { ...udp('100.64.0.2', 1, SELF, 80), fragment: 1 }],
    ['unknown_protocol', { ...udp('100.64.0.2', 1, SELF, 80), fragment: 9 }],
    ['accept', { ...udp('100.64.0.2', 1, SELF, 80), fragment: 10 }],
    ['unknown_protocol', { ...udp('fd7a::2', 1, SELF6, 80), fragment: 9 }],
    ['accept', { ...udp('fd7a::2', 1, SELF6, 80), fragment: 10 }],
    ['accept', { ...udp('fd7a::2', 1, SELF6, 80), fragment: 0 }],
    ['accept', tcp('100.64.0.2', '10.1.2.3', 80)],
    ['unknown_protocol', { src: '100.64.0.2', dst: SELF, protocol: 58, icmpType: 128 }],
  ];
  for (const [want, packet] of cases)
    assert.equal(inbound(filter, packet), want, JSON.stringify(packet));
});

test('nothing leaves to multicast or link-local destinations', () => {
  const filter = filterWith([]);
  assert.equal(outbound(filter, udp(SELF, 1, '224.0.0.1', 2)), 'multicast');
  assert.equal(outbound(filter, udp(SELF6, 1, 'fe80::2', 2)), 'link_local');
  assert.equal(outbound(filter, tcp(SELF, '100.64.0.2', 80)), 'accept');
});

test('a malformed entry is left out and named; the rest of the filter stands', () => {
  const rules = compileRules([
    allow(['100.64.0.2', 'bogus', '10.0.0.1/8', '10.0.0.9-10.0.0.1'], SELF, 80, 80),
    allow(['100.64.0.3'], 'cap:x', 80, 80),
    allow(['100.64.0.4'], SELF, 80, 80, [300, -1]),
  ]);
  assert.equal(rules.problems.length, 4);
  const filter = filterWith([]);
  filter.install(rules, setOf(SELF));
  assert.equal(inbound(filter, tcp('100.64.0.2', SELF, 80)), 'accept');
  assert.equal(inbound(filter, tcp('10.0.0.1', SELF, 80)), 'no_rule');
  assert.equal(inbound(filter, tcp('100.64.0.3', SELF, 80)), 'no_rule');
  assert.equal(inbound(filter, tcp('100.64.0.4', SELF, 80)), 'no_rule');
});

test('a legacy member anywhere makes the whole filter allow nothing', () => {
  const good = allow(['*'], '*', 0, 65535);
  assert.equal(compileRules([good, { ...good, SrcBits: [8] }]).matches.length, 0);
  const bits = { SrcIPs: ['*'], DstPorts: [{ IP: '*', Bits: 8, Ports: { First: 0, Last: 1 } }] };
  assert.equal(compileRules([good, bits]).matches.length, 0);
});

test('overlap of rule sources with the routes of a peer is seen', () => {
  const rules = compileRules([allow(['10.0.0.5-10.0.0.9', 'fd7a::/64'], '*', 0, 65535)]);
  const overlaps = (text: string): boolean => anySourceOverlaps(rules, parseAddressRanges(text)!);
  assert.equal(overlaps('10.0.0.0/30'), false);
  assert.equal(overlaps('10.0.0.4/30'), true);
  assert.equal(overlaps('10.0.0.9'), true);
  assert.equal(overlaps('10.0.0.10'), false);
  assert.equal(overlaps('fd7a::/16'), true);
  assert.equal(overlaps('fd7b::/16'), false);
});

// The slow twin: addresses as integers, rules read anew for every packet.
function toInteger(text: string): { family: number; value: bigint } {
  const { first } = parseAddressRanges(text)![0]!;
  return {
    family: first.length === 4 ? 4 : 6,
    value: first.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n),
  };
}

function covers(entry: string, address: string): boolean {
  if (entry === '*') return true;
  const at = toInteger(address);
  const [from, to] = entry.split('-');
  const slash = from!.indexOf('/');
  const first = toInteger(slash < 0 ? from! : from!.slice(0, slash));
  if (first.family !== at.family) return false;
  if (to !== undefined) return first.value <= at.value && at.value <= toInteger(to).value;
  if (slash < 0) return first.value === at.value;
  const host = BigInt((at.family === 4 ? 32 : 128) - Number(from!.slice(slash + 1)));
  return first.value >> host === at.value >> host;
}

function oracle(
  rules: readonly FilterRule[],
  caps: Readonly<Record<string, readonly string[]>>,
  packet: PacketFacts,
): boolean {
  const fromSource = (rule: FilterRule): boolean =>
    rule.SrcIPs.some((entry) =>
      entry.startsWith('cap:')
        ? (caps[packet.src] ?? []).includes(entry.slice(4))
        : covers(entry, packet.src),
    );
  if (packet.protocol === 6 && packet.tcpFlags !== SYN) return true;
  if (packet.protocol === 1 || packet.protocol === 58) {
    return rules.some(
      (rule) =>
        rule.SrcIPs.some(
          (entry) => entry.startsWith('cap:') && (caps[packet.src] ?? []).includes(entry.slice(4)),
        ) ||
        (rule.SrcIPs.some((entry) => !entry.startsWith('cap:') && covers(entry, packet.src)) &&
          rule.DstPorts!.some(({ IP }) => covers(IP, packet.dst))),
    );
  }
  const protocols = (rule: FilterRule): readonly number[] => rule.IPProto ?? [6, 17, 1, 58];
  return rules.some(
    (rule) =>
      protocols(rule).includes(packet.protocol) &&
      fromSource(rule) &&
      rule.DstPorts!.some(({ IP, Ports }) => {
        if (!covers(IP, packet.dst)) return false;
        if (packet.protocol === 47) return Ports.First === 0 && Ports.Last === 65535;
        return Ports.First <= packet.dstPort! && packet.dstPort! <= Ports.Last;
      }),
  );
}

test('verdicts equal those of a slow filter that reads the rules anew for every packet', () => {
  const v4 = fc.integer({ min: 0, max: 7 }).map((n) => `100.64.0.${n}`);
  const v6 = fc.integer({ min: 0, max: 7 }).map((n) => `fd7a:115c:a1e0::${n === 0 ? '0:0' : n}`);
  const range4 = fc
    .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 7 }))
    .map(([a, b]) => `100.64.0.${Math.min(a, b)}-100.64.0.${Math.max(a, b)}`);
  const prefix4 = fc.constantFrom('100.64.0.0/30', '100.64.0.4/31', '100.64.0.0/24', '0.0.0.0/0');
  const prefix6 = fc.constantFrom('fd7a:115c:a1e0::/48', 'fd7a:115c:a1e0::4/126', '::/0');
  const address = fc.oneof(v4, range4, prefix4, v6, prefix6, fc.constant('*'));
  const source = fc.oneof(address, fc.constantFrom('cap:a', 'cap:b'));
  const ports = fc
    .tuple(fc.constantFrom(0, 1, 80, 81), fc.constantFrom(80, 81, 443, 65535))
    .map(([First, Last]) => ({ First, Last }));
  const rule: fc.Arbitrary<FilterRule> = fc.record(
    {
      SrcIPs: fc.array(source, { minLength: 1, maxLength: 4 }),
      DstPorts: fc.array(fc.record({ IP: address, Ports: ports }), { minLength: 1, maxLength: 3 }),
      IPProto: fc.array(fc.constantFrom(6, 17, 1, 58, 47), { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ['SrcIPs', 'DstPorts'] },
  ) as fc.Arbitrary<FilterRule>;
  const packet: fc.Arbitrary<PacketFacts> = fc
    .record({
      v6: fc.boolean(),
      host: fc.integer({ min: 1, max: 7 }),
      protocol: fc.constantFrom(6, 17, 47, 'icmp' as const),
      dstPort: fc.constantFrom(0, 79, 80, 81, 443, 444, 65535),
      tcpFlags: fc.constantFrom(SYN, ACK),
    })
    .map(({ v6: six, host, protocol, dstPort, tcpFlags }) => ({
      src: six ? `fd7a:115c:a1e0::${host}` : `100.64.0.${host}`,
      dst: six ? SELF6 : SELF,
      protocol: protocol === 'icmp' ? (six ? 58 : 1) : protocol,
      icmpType: six ? 128 : 8,
      srcPort: 5,
      dstPort,
      tcpFlags,
    }));
  const caps = { '100.64.0.2': ['a'], 'fd7a:115c:a1e0::3': ['a', 'b'] };
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 4 }),
      fc.array(packet, { minLength: 1, maxLength: 8 }),
      (rules, packets) => {
        const filter = filterWith(rules, caps);
        for (const p of packets)
          assert.equal(inbound(filter, p), oracle(rules, caps, p) ? 'accept' : 'no_rule');
      },
    ),
    { numRuns: 400 },
  );
});

test('no bytes whatever make the filter throw', () => {
  const filter = filterWith([]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(4, 6), (bytes, version) => {
      if (bytes.length > 0) bytes[0] = (version << 4) | (bytes[0]! & 15);
      inbound(filter, bytes);
    }),
    { numRuns: 500 },
  );
});
