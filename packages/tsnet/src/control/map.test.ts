// Folding map messages: the rules one by one, then against a slow naive model.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MapResponse } from '@cove/protocol/mapmessage';
import type { Node, NodeID, PeerChange } from '@cove/protocol/tailcfg';
import fc from 'fast-check';
import type { NetworkMap } from '../netmap.ts';
import { foldMapResponse } from './map.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');

function key(n: number): `nodekey:${string}` {
  return `nodekey:${n.toString(16).padStart(64, '0')}`;
}

function node(id: NodeID, fields: Partial<Node> = {}): Node {
  return {
    ID: id,
    StableID: `n${id}`,
    Name: `host${id}.example.ts.net.`,
    User: 1,
    Key: key(Number(id)),
    Addresses: [`100.64.0.${id}/32`],
    ...fields,
  };
}

const SELF = node(1, { MachineAuthorized: true });

function start(fields: Partial<MapResponse> = {}): NetworkMap {
  return foldMapResponse(undefined, { Node: SELF, ...fields }, NOW);
}

function after(map: NetworkMap, ...messages: MapResponse[]): NetworkMap {
  return messages.reduce((folded, message) => foldMapResponse(folded, message, NOW), map);
}

test('a first message without Node is refused (7.6)', () => {
  assert.throws(() => foldMapResponse(undefined, { Domain: 'x' }, NOW), {
    code: 'ERR_CONTROL_PROTOCOL',
  });
});

test('a message that says nothing new gives back the very same map', () => {
  const map = start({
    Peers: [node(2)],
    Domain: 'd',
    DNSConfig: { Proxied: true },
    DERPMap: { Regions: {} },
    PacketFilter: [{ SrcIPs: ['*'] }],
    UserProfiles: [{ ID: 1, LoginName: 'a', DisplayName: 'A' }],
  });
  const again: MapResponse = {
    Node: { ...SELF },
    Peers: [node(2)],
    Domain: 'd',
    DNSConfig: { Proxied: true },
    DERPMap: { Regions: {} },
    PacketFilter: [{ SrcIPs: ['*'] }],
    UserProfiles: [{ ID: 1, LoginName: 'a', DisplayName: 'A' }],
  };
  assert.equal(foldMapResponse(map, again, NOW), map);
});

test('a peer that did not change keeps its identity in a full replacement', () => {
  const map = start({ Peers: [node(2), node(3)] });
  const next = after(map, { Peers: [node(2), node(3, { Online: true })] });
  assert.equal(next.peers.get(2), map.peers.get(2));
  assert.notEqual(next.peers.get(3), map.peers.get(3));
});

test('Peers: not empty replaces and silences the other peer members; empty changes nothing (7.7)', () => {
  const map = start({ Peers: [node(2), node(3)] });
  assert.equal(after(map, { Peers: [] }), map);
  const next = after(map, { Peers: [node(4)], PeersRemoved: [4], OnlineChange: { 4: true } });
  assert.deepEqual([...next.peers.keys()], [4]);
  assert.equal(next.peers.get(4)?.Online, undefined);
});

test('the last peer goes with PeersRemoved', () => {
  const map = after(start({ Peers: [node(2)] }), { PeersRemoved: [2] });
  assert.equal(map.peers.size, 0);
});

test('peer members apply in their order: removed, changed, seen, online, patch (7.7)', () => {
  const map = after(start({ Peers: [node(2)] }), {
    PeersRemoved: [2],
    PeersChanged: [node(2, { Cap: 5 })],
    OnlineChange: { 2: true },
    PeersChangedPatch: [{ NodeID: 2, Online: false, DERPRegion: 9 }],
  });
  assert.deepEqual(map.peers.get(2), node(2, { Cap: 5, Online: false, HomeDERP: 9 }));
});

test('changes of peers nobody knows are ignored', () => {
  const map = start();
  const next = after(map, {
    PeersRemoved: [7],
    PeerSeenChange: { 7: true },
    OnlineChange: { 7: true, nonsense: true },
    PeersChangedPatch: [{ NodeID: 7, Online: true }],
  });
  assert.equal(next, map);
});

test('PeerSeenChange: true is now, false is unknown', () => {
  const map = start({ Peers: [node(2), node(3, { LastSeen: '2020-01-01T00:00:00Z' })] });
  const next = after(map, { PeerSeenChange: { 2: true, 3: false } });
  assert.equal(next.peers.get(2)?.LastSeen, new Date(NOW).toISOString());
  assert.equal(next.peers.get(3)?.LastSeen, undefined);
});

test('entries with ID 0 or a zero key are ignored (7.11)', () => {
  const map = start({ Peers: [node(0), node(2, { Key: key(0) }), node(3)] });
  assert.deepEqual([...map.peers.keys()], [3]);
});

test('one key under two IDs: the later claim is refused, unless the first has let go', () => {
  const map = start({ Peers: [node(2), node(3, { Key: key(2) })] });
  assert.deepEqual([...map.peers.keys()], [2]);
  const refused = after(map, { PeersChanged: [node(4, { Key: key(2) })] });
  assert.equal(refused.peers.has(4), false);
  const moved = after(map, { PeersRemoved: [2], PeersChanged: [node(4, { Key: key(2) })] });
  assert.deepEqual([...moved.peers.keys()], [4]);
  const rotated = after(map, {
    PeersChanged: [node(2, { Key: key(9) }), node(4, { Key: key(2) })],
  });
  assert.deepEqual([...rotated.peers.keys()], [2, 4]);
  const patched = after(map, {
    PeersChanged: [node(5)],
    PeersChangedPatch: [{ NodeID: 5, Key: key(2) }],
  });
  assert.equal(patched.peers.get(5)?.Key, key(5));
});

test('a patch: absent keeps, zero region and capability keep, empty clears (7.9)', () => {
  const before = node(2, {
    HomeDERP: 1,
    Cap: 100,
    Endpoints: ['192.0.2.1:1'],
    CapMap: { a: [] },
    KeyExpiry: '2027-01-01T00:00:00Z',
    Online: true,
  });
  const patch: PeerChange = {
    NodeID: 2,
    DERPRegion: 0,
    Cap: 0,
    Endpoints: [],
    CapMap: {},
    KeyExpiry: '0001-01-01T00:00:00Z',
  };
  const peer = after(start({ Peers: [before] }), { PeersChangedPatch: [patch] }).peers.get(2);
  assert.deepEqual(peer, {
    ...before,
    Endpoints: [],
    CapMap: {},
    KeyExpiry: '0001-01-01T00:00:00Z',
  });
});

test('node IDs beyond 2^53 stay exact (0.2)', () => {
  const id = 2n ** 60n + 1n;
  const map = start({ Peers: [node(2, { ID: id, Key: key(77) })] });
  const next = after(map, { OnlineChange: { [String(id)]: true } });
  assert.equal(next.peers.get(id)?.Online, true);
  assert.equal(after(next, { PeersRemoved: [id] }).peers.size, 0);
});

test('filters: base, names in byte order, null deletes, * clears first, [] blocks (7.7)', () => {
  const rule = (name: string) => ({ SrcIPs: [name] });
  const sources = (map: NetworkMap) => map.filterRules.map(({ SrcIPs }) => SrcIPs[0]);
  let map = start({ PacketFilters: { b: [rule('b')], base: [rule('base')], a: [rule('a')] } });
  assert.deepEqual(sources(map), ['a', 'b', 'base']);
  map = after(map, { PacketFilter: [rule('new')], PacketFilters: { a: null } });
  assert.deepEqual(sources(map), ['b', 'new']);
  map = after(map, { PacketFilters: { '*': null, c: [rule('c')] } });
  assert.deepEqual(sources(map), ['c']);
  const before = map;
  map = after(map, { Domain: 'x' });
  assert.equal(map.filterRules, before.filterRules);
  assert.deepEqual(sources(after(map, { PacketFilter: [], PacketFilters: { c: null } })), []);
});

test('byte order, not UTF-16 order, decides between filter names (11.9)', () => {
  const names = ['\u{1f600}', '\uffee', 'z', 'é'];
  const map = start({
    PacketFilters: Object.fromEntries(names.map((name) => [name, [{ SrcIPs: [name] }]])),
  });
  const expected = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(
    map.filterRules.map(({ SrcIPs }) => SrcIPs[0]),
    expected,
  );
});

test('DERPMap: absent regions keep the regions, absent scores keep the scores (7.14)', () => {
  const regions = { 1: { RegionID: 1, RegionCode: 'a', RegionName: 'A', Nodes: [] } };
  let map = start({ DERPMap: { Regions: regions, HomeParams: { RegionScore: { 1: 2 } } } });
  map = after(map, { DERPMap: { HomeParams: { RegionScore: {} } } });
  assert.deepEqual(map.derpMap, { Regions: regions, HomeParams: { RegionScore: {} } });
  map = after(map, { DERPMap: { Regions: {} } });
  assert.deepEqual(map.derpMap, { Regions: {}, HomeParams: { RegionScore: {} } });
});

test('users accumulate; health and messages are replaced, patched and cleared (7.7)', () => {
  const user = (id: number, name: string) => ({ ID: id, LoginName: name, DisplayName: name });
  let map = start({ UserProfiles: [user(1, 'a')], Health: ['h'], Domain: 'one' });
  map = after(map, { UserProfiles: [user(2, 'b')], Domain: '' });
  assert.equal(map.users.size, 2);
  assert.deepEqual(map.health, ['h']);
  assert.equal(map.domain, 'one');
  map = after(map, { Health: [], DisplayMessages: { x: { Title: 'X' }, y: { Title: 'Y' } } });
  assert.deepEqual(map.health, []);
  map = after(map, { DisplayMessages: { x: null } });
  assert.deepEqual([...map.displayMessages.keys()], ['y']);
  map = after(map, { DisplayMessages: { '*': null, z: { Title: 'Z' } } });
  assert.deepEqual([...map.displayMessages.keys()], ['z']);
});

test('ControlTime counts from a minute of difference, and never before 2023', () => {
  const at = (ms: number) => ({ ControlTime: new Date(NOW + ms).toISOString() });
  assert.equal(start(at(30_000)).clockOffset, 0);
  assert.equal(start(at(-300_000)).clockOffset, -300_000);
  assert.equal(start({ ControlTime: '2020-01-01T00:00:00Z' }).clockOffset, 0);
  const map = start(at(300_000));
  assert.equal(after(map, { KeepAlive: true, ...at(301_000) }), map);
  assert.equal(after(map, { KeepAlive: true, ...at(0), Domain: 'no' }).clockOffset, 0);
  assert.equal(after(map, { KeepAlive: true, Domain: 'no' }), map);
});

/** The rules again, over one plain object per peer and nothing shared. */
class Model {
  readonly peers = new Map<number, Record<string, unknown>>();

  apply(message: MapResponse): void {
    const { peers } = this;
    const holds = (id: number, owner: unknown) =>
      [...peers].some(([other, peer]) => other !== id && peer['Key'] === owner);
    if ((message.Peers ?? []).length > 0) {
      peers.clear();
      for (const peer of message.Peers!) {
        if (!holds(Number(peer.ID), peer.Key)) peers.set(Number(peer.ID), { ...peer });
      }
      return;
    }
    for (const id of message.PeersRemoved ?? []) peers.delete(Number(id));
    for (const peer of message.PeersChanged ?? []) {
      if (!holds(Number(peer.ID), peer.Key)) peers.set(Number(peer.ID), { ...peer });
    }
    for (const [id, online] of Object.entries(message.OnlineChange ?? {})) {
      const peer = peers.get(Number(id));
      if (peer) peer['Online'] = online;
    }
    for (const { NodeID: id, DERPRegion: region, ...rest } of message.PeersChangedPatch ?? []) {
      const peer = peers.get(Number(id));
      if (!peer || (rest.Key !== undefined && holds(Number(id), rest.Key))) continue;
      if (region) peer['HomeDERP'] = region;
      Object.assign(peer, rest);
    }
  }
}

const anyId = fc.integer({ min: 2, max: 8 });
const anyNode = fc
  .record({
    id: anyId,
    key: fc.integer({ min: 2, max: 12 }),
    online: fc.option(fc.boolean(), { nil: undefined }),
    endpoints: fc.option(
      fc.array(fc.constantFrom('192.0.2.1:1', '192.0.2.2:2'), { maxLength: 2 }),
      {
        nil: undefined,
      },
    ),
  })
  .map(({ id, key: k, online, endpoints }) =>
    node(id, {
      Key: key(k),
      ...(online === undefined ? {} : { Online: online }),
      ...(endpoints === undefined ? {} : { Endpoints: endpoints }),
    }),
  );
const nodesOnce = fc.uniqueArray(anyNode, { selector: ({ ID }) => ID, maxLength: 5 });
const anyPatch = fc
  .record(
    {
      NodeID: anyId,
      DERPRegion: fc.integer({ min: 0, max: 3 }),
      Online: fc.boolean(),
      Endpoints: fc.constant<string[]>([]),
      Key: fc.integer({ min: 2, max: 12 }).map(key),
    },
    { requiredKeys: ['NodeID'] },
  )
  .map((patch) => patch as PeerChange);
const anyMessage: fc.Arbitrary<MapResponse> = fc.record(
  {
    Peers: fc.oneof({ weight: 1, arbitrary: nodesOnce }, { weight: 3, arbitrary: fc.constant([]) }),
    PeersRemoved: fc.array(anyId, { maxLength: 3 }),
    PeersChanged: nodesOnce,
    OnlineChange: fc.dictionary(anyId.map(String), fc.boolean(), { maxKeys: 3 }),
    PeersChangedPatch: fc.array(anyPatch, { maxLength: 3 }),
  },
  { requiredKeys: [] },
);

test('any stream of deltas folds to what the naive model holds, and earlier maps never change', () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 12 }), (messages) => {
      const model = new Model();
      let map = start();
      const history: { map: NetworkMap; text: string }[] = [];
      const text = (of: NetworkMap) =>
        JSON.stringify([...of.peers].sort(([a], [b]) => Number(a) - Number(b)));
      for (const message of messages) {
        map = foldMapResponse(map, message, NOW);
        model.apply(message);
        history.push({ map, text: text(map) });
        assert.deepEqual(
          new Map([...map.peers].map(([id, peer]) => [Number(id), { ...peer }])),
          model.peers,
        );
        const keys = [...map.peers.values()].map(({ Key }) => Key);
        assert.equal(new Set(keys).size, keys.length);
      }
      for (const past of history) assert.equal(text(past.map), past.text);
    }),
    { numRuns: 400 },
  );
});
