import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DnsMessage, DnsRcode, DnsType, encodeDns, parseDns } from '@cove/protocol/dns';
import { reverseName } from '@cove/protocol/dnsname';
import { formatAddr, parseAddr } from '@cove/protocol/netaddr';
import type { DNSConfig } from '@cove/protocol/tailcfg';
import { NodeTable } from '../nodetable.ts';
import { testMap, testNode } from '../testing/maps.ts';
import { failure, respond } from './responder.ts';

const NOW = 1_700_000_000;

function table(dns: DNSConfig = { Proxied: true }): NodeTable {
  const nodes = new NodeTable(false);
  const v6only = ['fd7a:115c:a1e0::3/128'];
  nodes.setMap(
    testMap(testNode(1), [testNode(2), testNode(3, { Addresses: v6only, AllowedIPs: v6only })], {
      dns,
    }),
  );
  return nodes;
}

function query(name: string, type: number, facts: Partial<DnsMessage> = {}): Uint8Array {
  return encodeDns({
    id: 0x1234,
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name, type, class: 1 }],
    answers: [],
    authorities: [],
    additionals: [],
    ...facts,
  });
}

function ask(nodes: NodeTable, name: string, type: number): DnsMessage | string {
  const response = respond(query(name, type), nodes, NOW)!;
  return response.kind === 'forward' ? `forward ${response.name}` : parseDns(response.bytes);
}

function addresses(answer: DnsMessage | string): string[] {
  assert.ok(typeof answer !== 'string');
  return answer.answers.map(({ data }) => (data.kind === 'address' ? formatAddr(data.addr) : ''));
}

test('names of nodes, in full and short, in any case, have their addresses for five seconds', () => {
  const nodes = table();
  for (const name of ['host2.example.ts.net', 'HOST2.Example.TS.net', 'host2']) {
    const answer = ask(nodes, name, DnsType.A);
    assert.ok(typeof answer !== 'string');
    assert.deepEqual(addresses(answer), ['100.64.0.2'], name);
    assert.equal(answer.answers[0]!.ttl, 5);
    assert.equal(answer.authoritative, true);
    assert.equal(answer.recursionAvailable, true);
    assert.equal(answer.questions[0]!.name, name);
    assert.equal(answer.id, 0x1234);
  }
  assert.deepEqual(addresses(ask(nodes, 'host3', DnsType.AAAA)), ['fd7a:115c:a1e0::3']);
  assert.deepEqual(addresses(ask(nodes, 'host2', DnsType.ANY)), ['100.64.0.2']);
});

test('a known name without the type is no error; an unknown one of ours does not exist; SOA says for how long', () => {
  const nodes = table();
  for (const [name, type, rcode] of [
    ['host2.example.ts.net', DnsType.AAAA, DnsRcode.noError],
    ['nobody.example.ts.net', DnsType.A, DnsRcode.nxDomain],
    ['9.9.64.100.in-addr.arpa', DnsType.PTR, DnsRcode.nxDomain],
  ] as const) {
    const answer = ask(nodes, name, type);
    assert.ok(typeof answer !== 'string', name);
    assert.equal(answer.rcode, rcode, name);
    const data = answer.authorities[0]?.data;
    assert.ok(data?.kind === 'soa' && data.minimum === 10 && data.serial === NOW, name);
  }
  for (const type of [DnsType.MX, DnsType.TXT]) {
    const answer = ask(nodes, 'host2', type);
    assert.ok(typeof answer !== 'string' && answer.rcode === 0 && answer.answers.length === 0);
  }
  const ns = ask(nodes, 'host2', DnsType.NS);
  assert.ok(typeof ns !== 'string' && ns.rcode === DnsRcode.notImp);
});

test('addresses have their names, and the services theirs', () => {
  const nodes = table();
  const name = (address: string): unknown => {
    const answer = ask(nodes, reverseName(parseAddr(address)!), DnsType.PTR);
    assert.ok(typeof answer !== 'string');
    const data = answer.answers[0]!.data;
    return data.kind === 'name' && data.target;
  };
  assert.equal(name('100.64.0.2'), 'host2.example.ts.net');
  assert.equal(name('fd7a:115c:a1e0::3'), 'host3.example.ts.net');
  assert.equal(name('100.100.100.100'), 'magicdns.localhost-tailscale-daemon');
  const service = ask(nodes, 'magicdns.localhost-tailscale-daemon', DnsType.A);
  assert.deepEqual(addresses(service), ['100.100.100.100']);
});

test('extra records and suffixes without a resolver are answered here', () => {
  const nodes = table({
    Proxied: true,
    Routes: { 'Local.example.': [], 'far.example': [{ Addr: '192.0.2.1' }] },
    ExtraRecords: [{ Name: 'printer.office.example', Value: '192.0.2.7' }],
  });
  assert.deepEqual(addresses(ask(nodes, 'printer.office.example', DnsType.A)), ['192.0.2.7']);
  const local = ask(nodes, 'x.local.example', DnsType.A);
  assert.ok(typeof local !== 'string' && local.rcode === DnsRcode.nxDomain);
  assert.equal(ask(nodes, 'x.far.example', DnsType.A), 'forward x.far.example');
});

test('other names are for other resolvers, onions for nobody; without MagicDNS so are all', () => {
  const nodes = table();
  assert.equal(ask(nodes, 'www.Example.com', DnsType.A), 'forward www.example.com');
  assert.equal(ask(nodes, '1.2.0.192.in-addr.arpa', DnsType.PTR), 'forward 1.2.0.192.in-addr.arpa');
  const onion = ask(nodes, 'abc.onion', DnsType.A);
  assert.ok(typeof onion !== 'string' && onion.rcode === DnsRcode.nxDomain);
  const browse = ask(nodes, 'lb._dns-sd._udp.0.0.64.100.in-addr.arpa', DnsType.PTR);
  assert.ok(typeof browse !== 'string' && browse.rcode === DnsRcode.nxDomain);
  assert.equal(
    ask(table({ Proxied: false }), 'host2.example.ts.net', DnsType.A),
    'forward host2.example.ts.net',
  );
});

test('what is no query is told so or not answered at all', () => {
  const nodes = table();
  const rcode = (bytes: Uint8Array): unknown => {
    const response = respond(bytes, nodes, NOW);
    return response?.kind === 'reply' ? parseDns(response.bytes).rcode : response;
  };
  assert.equal(rcode(query('host2', DnsType.A, { response: true })), DnsRcode.formErr);
  assert.equal(rcode(query('host2', DnsType.A, { questions: [] })), DnsRcode.formErr);
  assert.equal(rcode(query('host2', DnsType.A, { opcode: 5 })), DnsRcode.notImp);
  assert.equal(rcode(new Uint8Array(11)), undefined);
  const refused = parseDns(failure(query('a.example', DnsType.A), DnsRcode.servFail)!);
  assert.equal(refused.rcode, DnsRcode.servFail);
  assert.equal(refused.id, 0x1234);
  assert.equal(refused.response, true);
});
