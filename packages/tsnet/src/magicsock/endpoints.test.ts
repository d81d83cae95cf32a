import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { type EndpointFacts, OwnEndpoints } from './endpoints.ts';

const face = (address: string, bits: number, internal = false): NetworkInterfaceInfo =>
  ({
    address,
    cidr: `${address}/${bits}`,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
    internal,
    mac: '00:00:00:00:00:00',
    netmask: '',
    ...(address.includes(':') ? { scopeid: 0 } : {}),
  }) as NetworkInterfaceInfo;

const LOOPBACK = [face('127.0.0.1', 8, true), face('::1', 128, true)];

const facts = (
  interfaces: readonly NetworkInterfaceInfo[],
  more: Partial<EndpointFacts> = {},
): EndpointFacts => ({
  interfaces: { lo: LOOPBACK, eth0: interfaces },
  portV4: 41641,
  portV6: 41642,
  isPortFixed: false,
  stun: [],
  mappingVaries: undefined,
  ...more,
});

const listOf = (given: EndpointFacts, now = 0): string[] => {
  const own = new OwnEndpoints();
  own.update(given, now);
  return own.list.map(({ addrPort, type }) => `${addrPort} ${type}`);
};

for (const [what, given, expected] of [
  [
    'port-mapped, STUN and interface addresses, in this order',
    facts([face('192.168.1.5', 24)], {
      portmapped: '203.0.113.7:5000',
      stun: ['203.0.113.7:6000', '[2001:db8::7]:7000'],
    }),
    ['203.0.113.7:5000 3', '203.0.113.7:6000 2', '[2001:db8::7]:7000 2', '192.168.1.5:41641 1'],
  ],
  [
    'each once, the first type wins',
    facts([face('203.0.113.7', 24)], { stun: ['203.0.113.7:41641'] }),
    ['203.0.113.7:41641 2'],
  ],
  [
    'hard NAT and a port of the person’s choice: the public address with that port as well',
    facts([face('192.168.1.5', 24)], {
      stun: ['203.0.113.7:6000'],
      mappingVaries: true,
      isPortFixed: true,
    }),
    ['203.0.113.7:6000 2', '203.0.113.7:41641 4', '192.168.1.5:41641 1'],
  ],
  [
    'hard NAT and any port: no guess',
    facts([face('192.168.1.5', 24)], { stun: ['203.0.113.7:6000'], mappingVaries: true }),
    ['203.0.113.7:6000 2', '192.168.1.5:41641 1'],
  ],
  [
    'never addresses of a tailnet or a carrier, never link-local IPv6',
    facts([
      face('100.64.1.2', 10),
      face('100.115.92.5', 23),
      face('fd7a:115c:a1e0::5', 48),
      face('fe80::5', 64),
      face('192.168.1.5', 24),
    ]),
    ['192.168.1.5:41641 1'],
  ],
  [
    'link-local IPv4 and unique local IPv6 only where there is nothing better',
    facts([face('169.254.1.5', 16), face('fd00::5', 64)]),
    ['169.254.1.5:41641 1', '[fd00::5]:41642 1'],
  ],
  [
    'at most two IPv6 addresses of one prefix',
    facts([face('2001:db8::1', 64), face('2001:db8::2', 64), face('2001:db8::3', 64)]),
    ['[2001:db8::1]:41642 1', '[2001:db8::2]:41642 1'],
  ],
  ['loopback where there is nothing at all', facts([]), ['127.0.0.1:41641 1', '[::1]:41642 1']],
  [
    'no loopback beside a public address',
    facts([], { stun: ['203.0.113.7:1'] }),
    ['203.0.113.7:1 2'],
  ],
  [
    'no family without a socket',
    facts([face('2001:db8::1', 64)], { portV6: 0 }),
    ['127.0.0.1:41641 1'],
  ],
] as const) {
  test(`own endpoints: ${what}`, () => assert.deepEqual(listOf(given), expected));
}

test('an address seen from outside stays for 5 min 10 s after it was last seen', () => {
  const own = new OwnEndpoints();
  const home = [face('192.168.1.5', 24)];
  assert.equal(own.update(facts(home, { stun: ['203.0.113.7:1'] }), 0), true);
  assert.equal(own.update(facts(home, { stun: [] }), 310_000), false);
  assert.equal(own.update(facts(home, { stun: [] }), 310_001), true);
  assert.deepEqual(own.list, [{ addrPort: '192.168.1.5:41641', type: 1 }]);
});

test('a NAT that gives a new port each time is remembered with six of them, the newest', () => {
  const own = new OwnEndpoints();
  for (let port = 1; port <= 10; port++)
    own.update(facts([], { stun: [`203.0.113.7:${port}`] }), port);
  assert.deepEqual(
    own.list.map(({ addrPort }) => addrPort).sort(),
    [10, 5, 6, 7, 8, 9].map((port) => `203.0.113.7:${port}`),
  );
});

test('only differences are changes, and another network forgets what was seen', () => {
  const own = new OwnEndpoints();
  const given = facts([face('192.168.1.5', 24)], { stun: ['203.0.113.7:1'] });
  assert.equal(own.update(given, 0), true);
  assert.equal(own.update(given, 1), false);
  own.forget();
  assert.equal(own.update(facts([face('192.168.1.5', 24)]), 2), true);
  assert.equal(own.list.length, 1);
});
