import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPrefix } from '@cove/protocol/netaddr';
import type { Node } from '@cove/protocol/tailcfg';
import fc from 'fast-check';
import { resolveName, reverseName } from './magicdns.ts';
import type { NetworkMap } from './netmap.ts';
import { NodeTable } from './nodetable.ts';
import { testMap, testNode } from './testing/maps.ts';

const keys = (list: Iterable<{ readonly key: string }>): string[] =>
  [...list].map(({ key }) => key.slice(-4)).sort();

function tableOf(map: NetworkMap, acceptRoutes = false): NodeTable {
  const table = new NodeTable(acceptRoutes);
  table.setMap(map);
  return table;
}

test('a map yields only its difference to the one before', () => {
  const table = new NodeTable(false);
  const two = testNode(2);
  const three = testNode(3);
  const first = table.setMap(testMap(testNode(1), [two, three]));
  assert.deepEqual(keys(first.added), ['0002', '0003']);
  const same = table.setMap(testMap(testNode(1), [two, three]));
  assert.deepEqual([same.added.length, same.removed.length, same.changed.length], [0, 0, 0]);
  const moved = { ...three, HomeDERP: 7 };
  const next = table.setMap(testMap(testNode(1), [moved, testNode(4)]));
  assert.deepEqual(keys(next.added), ['0004']);
  assert.deepEqual(keys(next.removed), ['0002']);
  assert.equal(next.changed.length, 1);
  assert.equal(next.changed[0]!.peer.homeRegion, 7);
  assert.equal(next.changed[0]!.oldRoutes, undefined);
  assert.equal(next.changed[0]!.before, three);
});

test('a peer with a new key is a removal and an addition', () => {
  const table = tableOf(testMap(testNode(1), [testNode(2)]));
  const changes = table.setMap(testMap(testNode(1), [testNode(2, { Key: testNode(5).Key })]));
  assert.deepEqual(keys(changes.removed), ['0002']);
  assert.deepEqual(keys(changes.added), ['0005']);
  assert.equal(table.byKey(testNode(2).Key), undefined);
});

test('an address that passes to another node in one map belongs to the new one', () => {
  const table = tableOf(testMap(testNode(1), [testNode(2), testNode(3)]));
  const swapped = [
    testNode(2, { Addresses: testNode(3).Addresses, Name: testNode(3).Name }),
    testNode(3, { Addresses: testNode(2).Addresses, Name: testNode(2).Name }),
  ];
  table.setMap(testMap(testNode(1), swapped));
  assert.equal(table.byAddress('100.64.0.3')?.ID, 2);
  assert.equal(table.byAddress('100.64.0.2')?.ID, 3);
  assert.equal(table.byName('host3')?.ID, 2);
  assert.equal(table.byName('host2.example.ts.net')?.ID, 3);
});

test('expired peers, peers without disco key and the node itself get no traffic', () => {
  const { DiscoKey: _, ...silent } = testNode(4);
  const table = tableOf(
    testMap(testNode(1), [
      testNode(2, { Expired: true }),
      testNode(3, { Key: testNode(1).Key }),
      silent,
      testNode(5),
    ]),
  );
  assert.deepEqual(keys(table.peers), ['0005']);
  const expired = table.setMap(testMap(testNode(1), [testNode(5, { Expired: true })]));
  assert.deepEqual(keys(expired.removed), ['0005']);
});

test('a disco key that the peer said itself stays until the map says another one of a peer within its reach', () => {
  const table = tableOf(testMap(testNode(1), [testNode(2, { DiscoKey: testNode(6).DiscoKey! })]));
  const [peer] = table.peers;
  peer!.discoKey = testNode(7).DiscoKey!;
  const map = (disco: number, facts: Partial<Node> = {}): NetworkMap =>
    testMap(testNode(1), [testNode(2, { DiscoKey: testNode(disco).DiscoKey!, ...facts })]);
  const oldKeys = (next: NetworkMap): unknown[] =>
    table.setMap(next).changed.map(({ oldDiscoKey }) => oldDiscoKey);
  assert.deepEqual(oldKeys(map(6, { Endpoints: [] })), [undefined]);
  assert.deepEqual(oldKeys(map(5, { Online: false })), [undefined]);
  assert.equal(peer!.discoKey, testNode(7).DiscoKey);
  assert.deepEqual(oldKeys(map(7)), [undefined]);
  assert.deepEqual(oldKeys(map(8)), [testNode(7).DiscoKey]);
  assert.equal(peer!.discoKey, testNode(8).DiscoKey);
});

test('routes are own and single tailnet addresses; others only when accepted; default routes never', () => {
  const AllowedIPs = [
    '100.64.0.2/32',
    '100.99.0.1/32',
    '10.0.0.0/8',
    '192.0.2.1/32',
    '0.0.0.0/0',
    '::/0',
  ];
  const routes = (accept: boolean, facts: Partial<Node> = {}): string[] =>
    [...tableOf(testMap(testNode(1), [testNode(2, { AllowedIPs, ...facts })]), accept).peers]
      .flatMap((peer) => peer.routes)
      .map(formatPrefix);
  assert.deepEqual(routes(false), ['100.64.0.2/32', '100.99.0.1/32']);
  assert.deepEqual(routes(true), AllowedIPs.slice(0, 4));
  assert.deepEqual(routes(true, { UnsignedPeerAPIOnly: true }), ['100.64.0.2/32']);
});

test('the relay region comes from HomeDERP, else from the old pseudo address', () => {
  const { HomeDERP: _, ...old } = testNode(2, { DERP: '127.3.3.40:12' });
  const table = tableOf(testMap(testNode(1), [old, testNode(3, { HomeDERP: 4 })]));
  assert.deepEqual(
    [...table.peers].map((peer) => peer.homeRegion),
    [12, 4],
  );
});

test('any sequence of maps leaves the table as if only the last had been given', () => {
  const node = fc
    .record({
      id: fc.integer({ min: 2, max: 5 }),
      key: fc.integer({ min: 2, max: 6 }),
      address: fc.integer({ min: 2, max: 6 }),
      expired: fc.boolean(),
    })
    .map(({ id, key, address, expired }) =>
      testNode(id, {
        Key: testNode(key).Key,
        Name: testNode(address).Name,
        Addresses: testNode(address).Addresses,
        AllowedIPs: testNode(address).Addresses,
        Expired: expired,
      }),
    );
  const unique = (pick: (n: Node) => unknown): { selector: (n: Node) => unknown } => ({
    selector: pick,
  });
  const maps = fc
    .array(fc.uniqueArray(node, { ...unique((n) => n.ID), maxLength: 4 }), {
      minLength: 1,
      maxLength: 5,
    })
    .map((lists) =>
      // Control never gives one key or one address to two nodes.
      lists.map((list) =>
        list.filter(
          (n, i) =>
            !list.slice(0, i).some((m) => m.Key === n.Key || m.Addresses[0] === n.Addresses[0]),
        ),
      ),
    );
  const look = (table: NodeTable): unknown => [
    [...table.peers].map(({ key, addresses, node: { ID } }) => `${key} ${addresses} ${ID}`).sort(),
    [2, 3, 4, 5, 6].map((n) => [
      table.byAddress(`100.64.0.${n}`)?.ID,
      table.byName(`host${n}`)?.ID,
      table.byKey(testNode(n).Key)?.node.ID,
    ]),
  ];
  fc.assert(
    fc.property(maps, (lists) => {
      const self = testNode(1);
      const table = new NodeTable(false);
      for (const list of lists) table.setMap(testMap(self, list));
      assert.deepEqual(look(table), look(tableOf(testMap(self, lists[lists.length - 1]!))));
    }),
    { numRuns: 300 },
  );
});

test('names resolve in full and short, in any case, with and without the dot', () => {
  const table = tableOf(testMap(testNode(1), [testNode(2)]));
  for (const name of ['host2', 'HOST2', 'host2.', 'host2.example.ts.net', 'Host2.Example.ts.net.'])
    assert.deepEqual(resolveName(table, name), ['100.64.0.2'], name);
  for (const name of ['', '.', 'host3', 'host2.other.ts.net', 'x.host2', 'x.host2.example.ts.net'])
    assert.equal(resolveName(table, name), undefined, name);
  assert.deepEqual(resolveName(table, 'host1'), ['100.64.0.1'], 'the node itself');
});

test('a node of another tailnet has no short name here', () => {
  const table = tableOf(testMap(testNode(1), [testNode(2, { Name: 'db.other.ts.net.' })]));
  assert.equal(resolveName(table, 'db'), undefined);
  assert.deepEqual(resolveName(table, 'db.other.ts.net'), ['100.64.0.2']);
});

test('IPv6 is answered to nodes without IPv4, for peers without it, and where asked for', () => {
  const v6 = 'fd7a:115c:a1e0::2';
  const only6 = { Addresses: ['fd7a:115c:a1e0::1/128'] };
  assert.deepEqual(resolveName(tableOf(testMap(testNode(1, only6), [testNode(2)])), 'host2'), [v6]);
  const peer6 = testNode(2, { Addresses: [`${v6}/128`] });
  assert.deepEqual(resolveName(tableOf(testMap(testNode(1), [peer6])), 'host2'), [v6]);
  const asked = testNode(1, { CapMap: { 'magicdns-aaaa': [] } });
  assert.deepEqual(resolveName(tableOf(testMap(asked, [testNode(2)])), 'host2'), [
    '100.64.0.2',
    v6,
  ]);
});

test('subdomains of a node resolve where the node says so', () => {
  const peers = [testNode(2, { CapMap: { 'dns-subdomain-resolve': [] } }), testNode(3)];
  const table = tableOf(testMap(testNode(1), peers));
  assert.deepEqual(resolveName(table, 'a.b.host2.example.ts.net'), ['100.64.0.2']);
  assert.equal(resolveName(table, 'a.host3.example.ts.net'), undefined);
});

test('extra records come after nodes, in their address family', () => {
  const dns = {
    ExtraRecords: [
      { Name: 'svc.example.com.', Value: '100.64.0.77' },
      { Name: 'Svc.example.com', Type: 'AAAA', Value: 'fd7a::77' },
      { Name: 'svc.example.com', Type: 'A', Value: 'fd7a::78' },
      { Name: 'svc.example.com', Type: 'TXT', Value: '100.64.0.79' },
      { Name: 'host2', Value: '100.64.0.80' },
    ],
  };
  const table = tableOf(testMap(testNode(1), [testNode(2)], { dns }));
  assert.deepEqual(resolveName(table, 'svc.example.com'), ['100.64.0.77', 'fd7a::77']);
  assert.deepEqual(resolveName(table, 'host2'), ['100.64.0.2']);
});

test('addresses resolve back to full names', () => {
  const table = tableOf(testMap(testNode(1), [testNode(2)]));
  assert.equal(reverseName(table, '100.64.0.2'), 'host2.example.ts.net');
  assert.equal(reverseName(table, 'fd7a:115c:a1e0::1'), 'host1.example.ts.net');
  assert.equal(reverseName(table, '100.64.0.3'), undefined);
});
