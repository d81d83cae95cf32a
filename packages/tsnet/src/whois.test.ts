// Address -> node, user, capabilities.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilterRule, Node } from '@cove/protocol/tailcfg';
import { foldMapResponse } from './control/map.ts';
import { applyExpiry, type NetworkMap, nodeAddresses } from './netmap.ts';
import { addressPart, type WhoIs, whoIsAddress as whoIsAddressBy } from './whois.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');

function node(id: number, fields: Partial<Node> = {}): Node {
  return {
    ID: id,
    StableID: `n${id}`,
    Name: `host${id}.example.ts.net.`,
    User: id,
    Key: `nodekey:${String(id).padStart(64, '0')}`,
    Addresses: [`100.64.0.${id}/32`, `fd7a:115c:a1e0::${id}/128`],
    Hostinfo: { OS: 'linux', Hostname: `h${id}` },
    ...fields,
  };
}

function whoIsAddress(map: NetworkMap, address: string): WhoIs | undefined {
  const nodes = [map.self, ...map.peers.values()];
  return whoIsAddressBy(map, address, (own) => nodes.find((n) => nodeAddresses(n).includes(own)));
}

function mapOf(peers: readonly Node[], rules: readonly FilterRule[] = []): NetworkMap {
  return foldMapResponse(
    undefined,
    {
      Node: node(1),
      Peers: peers,
      PacketFilter: rules,
      UserProfiles: [
        { ID: 1, LoginName: 'me@example.com', DisplayName: 'Me' },
        { ID: 2, LoginName: 'bob@example.com', DisplayName: 'Bob', ProfilePicURL: 'https://p' },
      ],
    },
    NOW,
  );
}

test('a peer by either address, self too; the mapped form of IPv4 counts as IPv4', () => {
  const map = mapOf([node(2)]);
  for (const address of ['100.64.0.2', 'fd7a:115c:a1e0::2', '::ffff:100.64.0.2']) {
    assert.equal(whoIsAddress(map, address)?.user.loginName, 'bob@example.com', address);
  }
  assert.equal(whoIsAddress(map, '100.64.0.1')?.user.loginName, 'me@example.com');
  const { capabilities, ...rest } = whoIsAddress(map, '100.64.0.2')!;
  assert.deepEqual({ ...capabilities }, {});
  assert.deepEqual(rest, {
    node: {
      id: 2,
      stableId: 'n2',
      name: 'host2.example.ts.net',
      computedName: 'host2',
      addresses: ['100.64.0.2', 'fd7a:115c:a1e0::2'],
      tags: [],
      os: 'linux',
    },
    user: {
      id: 2,
      loginName: 'bob@example.com',
      displayName: 'Bob',
      profilePicUrl: 'https://p',
    },
  });
});

test('an address behind a subnet router has no identity: AllowedIPs are not asked (2.2)', () => {
  const map = mapOf([node(2, { AllowedIPs: ['100.64.0.2/32', '10.0.0.0/8', '0.0.0.0/0'] })]);
  assert.equal(whoIsAddress(map, '10.1.2.3'), undefined);
  assert.equal(whoIsAddress(map, '8.8.8.8'), undefined);
});

test('unknown address, text that is none, and a node whose user is unknown: nobody', () => {
  const map = mapOf([node(3)]);
  for (const address of ['100.64.0.9', '', 'host2', '100.64.0.3']) {
    assert.equal(whoIsAddress(map, address), undefined, address);
  }
});

test('a node of another tailnet keeps its full name; a nameless one shows its hostname', () => {
  const map = mapOf([node(2, { Name: 'x.other.ts.net.' }), node(3, { Name: '', User: 2 })]);
  assert.equal(whoIsAddress(map, '100.64.0.2')?.node.computedName, 'x.other.ts.net');
  assert.equal(whoIsAddress(map, '100.64.0.3')?.node.computedName, 'h3');
});

const CAP = 'example.com/cap/x';
const grant = (
  SrcIPs: string[],
  Dsts: string[],
  values: unknown[] | undefined,
  name = CAP,
): FilterRule => ({
  SrcIPs,
  CapGrant: [{ Dsts, CapMap: { [name]: values ?? [] } }],
});

test('capabilities: every rule that covers source and destination adds its values, in order, duplicates kept (3.7)', () => {
  const own = ['100.64.0.1/32'];
  const map = mapOf(
    [node(2)],
    [
      grant(['100.64.0.2'], own, [1]),
      grant(['*'], own, [2, 2]),
      grant(['100.64.0.0/10'], ['100.64.0.0/24'], [3]),
      grant(['100.64.0.1-100.64.0.5'], own, [4]),
      grant(['100.64.0.3'], own, ['wrong source']),
      grant(['100.64.0.3-100.64.0.9'], own, ['wrong range']),
      grant(['cap:anything'], own, ['cap sources do not count']),
      grant(['*'], ['100.64.0.9/32'], ['wrong destination']),
      grant(['fd7a:115c:a1e0::2'], ['fd7a:115c:a1e0::1/128'], ['not the first address']),
      { SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] },
    ],
  );
  assert.deepEqual(
    { ...whoIsAddress(map, '100.64.0.2')?.capabilities },
    { [CAP]: [1, 2, 2, 3, 4] },
  );
});

test('a capability without values is there with an empty list, the old form too', () => {
  const map = mapOf(
    [node(2)],
    [
      grant(['*'], ['100.64.0.1/32'], undefined, 'a'),
      { SrcIPs: ['*'], CapGrant: [{ Dsts: ['100.64.0.1/32'], Caps: ['b'] }] },
    ],
  );
  assert.deepEqual({ ...whoIsAddress(map, '100.64.0.2')?.capabilities }, { a: [], b: [] });
});

test('a capability called __proto__ is a capability', () => {
  const rule = JSON.parse(
    '{"SrcIPs":["*"],"CapGrant":[{"Dsts":["100.64.0.1/32"],"CapMap":{"__proto__":[1]}}]}',
  ) as FilterRule;
  const capabilities = whoIsAddress(mapOf([node(2)], [rule]), '100.64.0.2')!.capabilities;
  assert.deepEqual(Object.keys(capabilities), ['__proto__']);
  assert.equal(({} as Record<string, unknown>)['0'], undefined);
});

test('an unsigned peer gets the ingress capability at most', () => {
  const ingress = 'https://tailscale.com/cap/ingress';
  const map = mapOf(
    [node(2, { UnsignedPeerAPIOnly: true })],
    [grant(['*'], ['100.64.0.1/32'], [1]), grant(['*'], ['100.64.0.1/32'], [], ingress)],
  );
  assert.deepEqual({ ...whoIsAddress(map, '100.64.0.2')?.capabilities }, { [ingress]: [] });
});

test('the address part of what people write', () => {
  assert.equal(addressPart('100.64.0.1'), '100.64.0.1');
  assert.equal(addressPart('100.64.0.1:80'), '100.64.0.1');
  assert.equal(addressPart('[fd7a::1]:80'), 'fd7a::1');
  assert.equal(addressPart('fd7a::1'), 'fd7a::1');
  assert.equal(addressPart('host:80'), undefined);
  assert.equal(addressPart(''), undefined);
});

test('expiry: by the clock of the server, endpoints and relay gone, the next one announced (7.11)', () => {
  const at = (ms: number) => new Date(NOW + ms).toISOString();
  const map: NetworkMap = {
    ...mapOf([
      node(2, {
        KeyExpiry: at(5_000),
        HomeDERP: 1,
        Endpoints: ['192.0.2.1:1'],
        DERP: '127.3.3.40:1',
      }),
      node(3, { KeyExpiry: '0001-01-01T00:00:00Z' }),
      node(4, { KeyExpiry: at(100_000) }),
    ]),
    clockOffset: 60_000,
  };
  const early = applyExpiry({ ...map, clockOffset: 0 }, NOW);
  assert.equal(early.map.peers, map.peers);
  assert.equal(early.next, NOW + 5_000);
  const { map: after, next, selfExpired } = applyExpiry(map, NOW);
  const gone = after.peers.get(2)!;
  assert.deepEqual(
    [gone.Expired, gone.HomeDERP, gone.DERP, gone.Endpoints],
    [true, undefined, undefined, []],
  );
  assert.equal(after.peers.get(3)?.Expired, undefined);
  assert.equal(next, NOW + 40_000);
  assert.equal(selfExpired, false);
  const self = { ...map, self: node(1, { KeyExpiry: at(-1) }), clockOffset: 0 };
  assert.equal(applyExpiry(self, NOW).selfExpired, true);
});
