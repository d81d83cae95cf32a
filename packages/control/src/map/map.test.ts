import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ZERO_NODE_PUBLIC } from '@cove/protocol/keys';
import type { DERPMap } from '@cove/protocol/tailcfg';
import { type TestClient, TestNode } from '../testing/client.ts';
import { Harness, type MapView, next, OWNER, quiet, until } from '../testing/harness.ts';

const DERP: DERPMap = {
  Regions: {
    900: {
      RegionID: 900,
      RegionCode: 'own',
      RegionName: 'Own',
      Nodes: [
        {
          Name: '900a',
          RegionID: 900,
          HostName: 'relay.test',
          CertName: `sha256-raw:${'ab'.repeat(32)}`,
        },
      ],
    },
  },
};

const names = (peers: readonly MapView[] | undefined): string[] =>
  (peers ?? []).map((peer) => peer['Name']);

const netInfo = (region: number) => ({
  OS: 'linux',
  Hostname: 'b',
  NetInfo: { PreferredDERP: region },
});

test('the first message has what a client needs to run', async () => {
  await using h = await Harness.start({ derpMap: DERP });
  const b = await h.join('b', { user: 'bob@example.com' });
  await next(await b.stream());
  const a = await h.join('a');
  const stream = await a.stream({
    Compress: 'zstd',
    Endpoints: ['192.0.2.1:41641', '[fe80::1]:41641'],
  });
  const map = await next(stream);
  const self = map['Node'];
  assert.equal(self.ID, 2);
  assert.match(self.StableID, /^n[0-9a-f]{16}$/);
  assert.equal(self.Name, 'a.cove.test.');
  assert.equal(self.Key, a.node.nodeKey);
  assert.deepEqual(self.Addresses, ['100.64.0.2/32', 'fd7a:115c:a1e0::2/128']);
  assert.deepEqual(self.AllowedIPs, self.Addresses);
  assert.deepEqual(self.Endpoints, ['192.0.2.1:41641']);
  assert.equal(self.MachineAuthorized, true);
  assert.deepEqual(Object.keys(self.CapMap), [
    'https://tailscale.com/cap/file-sharing',
    'https://tailscale.com/cap/is-admin',
    'https://tailscale.com/cap/is-owner',
  ]);
  assert.equal(map['Domain'], 'test net');
  assert.deepEqual(map['DERPMap'], {
    ...JSON.parse(JSON.stringify(DERP)),
    omitDefaultRegions: true,
  });
  assert.equal(map['DNSConfig'].Proxied, true);
  assert.deepEqual(map['DNSConfig'].Domains, ['cove.test']);
  assert.deepEqual(map['DNSConfig'].Routes['cove.test'], []);
  assert.deepEqual(map['DNSConfig'].Routes['127.100.in-addr.arpa'], []);
  assert.deepEqual(map['PacketFilters'].base[0], {
    SrcIPs: ['*'],
    DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }],
  });
  assert.deepEqual(map['UserProfiles'].map((user: MapView) => user['LoginName']).sort(), [
    OWNER,
    'bob@example.com',
  ]);
  assert.ok(Math.abs(Date.parse(map['ControlTime']) - Date.now()) < 60_000);
  const [peer] = map['Peers'];
  assert.equal(peer.Name, 'b.cove.test.');
  assert.equal(peer.Key, b.node.nodeKey);
  assert.equal(peer.DiscoKey, b.node.discoKey);
  assert.equal(peer.Online, true);
  assert.deepEqual(peer.Hostinfo, { Hostname: 'b', OS: 'linux' });
});

test('a stream of a node key nobody has is told that it expired, and ends after a while; other requests are 404', async (t) => {
  await using h = await Harness.start();
  const client = await h.join('box');
  await h.server.deleteNode('box');
  for (const Compress of ['', 'zstd']) {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const stream = await client.stream({ Compress });
    const map = await next(stream);
    assert.deepEqual(Object.keys(map), ['Node', 'ControlTime']);
    assert.equal(map['Node'].Key, client.node.nodeKey);
    assert.equal(map['Node'].MachineAuthorized, false);
    assert.ok(Date.parse(map['Node'].KeyExpiry) < Date.now() - 3_600_000);
    t.mock.timers.tick(59_999);
    const end = stream.next();
    const early = await Promise.race([
      end.catch(() => 'ended'),
      client.request('GET', '/').then(() => 'open'),
    ]);
    assert.equal(early, 'open');
    t.mock.timers.tick(1);
    await assert.rejects(end, /stream ended/);
    t.mock.timers.reset();
  }
  assert.equal((await client.update()).status, 404);
  assert.equal((await client.update({ OmitPeers: false, ReadOnly: true })).status, 404);
  await assert.rejects(client.stream({ NodeKey: ZERO_NODE_PUBLIC }), /404/);
  assert.match(h.server.metrics(), /machine\/map/);
  // The connection is one of a node no longer, but nothing was broken: the client logs in again on it.
  const { key } = await h.server.createAuthKey();
  client.node.nodeKey = client.node.newNodeKey();
  assert.equal((await client.register({ Auth: { AuthKey: key } })).MachineAuthorized, true);
  // The key of another machine is no business of a thief's.
  const thief = new TestNode('thief');
  thief.nodeKey = client.node.nodeKey;
  await assert.rejects((await h.connect(thief)).stream(), /404/);
});

test('the first map of the only node has no peer list', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const map = await next(await a.stream());
  assert.ok(!('Peers' in map));
});

test('a newcomer is told of once: with its user, when its stream opens, never again whole', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const stream = await a.stream();
  await next(stream);
  const b = await h.join('b', { user: 'bob@example.com' });
  assert.deepEqual(await quiet(stream), []);
  await next(await b.stream());
  const delta = await next(stream);
  assert.deepEqual(Object.keys(delta), ['PeersChanged', 'UserProfiles', 'Domain', 'ControlTime']);
  assert.deepEqual(names(delta['PeersChanged']), ['b.cove.test.']);
  assert.equal(delta['PeersChanged'][0].Online, true);
  assert.deepEqual(delta['UserProfiles'][0].LoginName, 'bob@example.com');
  await b.update();
  assert.deepEqual(await quiet(stream), []);
});

test('a node that never opened a stream is not announced', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const stream = await a.stream();
  await next(stream);
  const silent = await h.join('silent');
  const c = await h.join('c');
  assert.deepEqual(names((await next(await c.stream()))['Peers']), ['a.cove.test.']);
  assert.deepEqual(names((await next(stream))['PeersChanged']), ['c.cove.test.']);
  // Not even by a patch of what it reports.
  await silent.update({ Endpoints: ['192.0.2.1:1'] });
  await c.update({ Endpoints: ['192.0.2.2:2'] });
  const delta = await next(stream);
  assert.deepEqual(Object.keys(delta), ['PeersChangedPatch', 'ControlTime']);
  assert.equal(delta['PeersChangedPatch'][0].NodeID, 3);
  await silent.stream();
  assert.deepEqual(names((await next(stream))['PeersChanged']), ['silent.cove.test.']);
});

test('changes that a first map already holds are not told again', async () => {
  await using h = await Harness.start({ gatherWindow: 150 });
  const a = await h.join('a');
  const b = await h.join('b');
  const early = await b.stream();
  await next(early);
  await quiet(early, 200);
  await b.update({ Endpoints: ['192.0.2.1:1'] });
  await b.update({ Endpoints: ['192.0.2.2:2'] });
  const stream = await a.stream();
  assert.deepEqual((await next(stream))['Peers'][0].Endpoints, ['192.0.2.2:2']);
  assert.deepEqual(await quiet(stream, 250), []);
});

test('a second node of a known user brings no profile', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const stream = await a.stream();
  await next(stream);
  const b = await h.join('b');
  await next(await b.stream());
  const delta = await next(stream);
  // The owner's new device also has the owner's capabilities everywhere.
  assert.deepEqual(Object.keys(delta), ['PeersChanged', 'PacketFilters', 'ControlTime']);
});

test('endpoints, disco key and relay travel as patches, and only when they change', async () => {
  await using h = await Harness.start();
  const a = await h.join('a', { user: 'bob@example.com' });
  const b = await h.join('b', { user: 'bob@example.com' });
  const mine = await b.stream();
  await next(mine);
  const stream = await a.stream();
  await next(stream);
  await quiet(mine);
  const answer = await b.update({ Endpoints: ['192.0.2.7:1', '192.0.2.7:1000'] });
  assert.deepEqual([answer.status, answer.body.length], [200, 0]);
  assert.deepEqual((await next(stream))['PeersChangedPatch'], [
    { NodeID: 2, Endpoints: ['192.0.2.7:1', '192.0.2.7:1000'] },
  ]);
  await b.update({ Endpoints: ['192.0.2.7:1', '192.0.2.7:1000'] });
  assert.deepEqual(await quiet(stream), []);
  b.node.discoKey = b.node.newDiscoKey();
  await b.update({ Endpoints: [] });
  assert.deepEqual((await next(stream))['PeersChangedPatch'], [
    { NodeID: 2, Endpoints: [], DiscoKey: b.node.discoKey },
  ]);
  await b.update({ Hostinfo: netInfo(900) });
  assert.deepEqual((await next(stream))['PeersChangedPatch'], [{ NodeID: 2, DERPRegion: 900 }]);
  assert.equal((await until(mine, (message) => message['Node']))['Node'].HomeDERP, 900);
  // Without NetInfo the relay stays.
  await b.update();
  assert.deepEqual(await quiet(stream), []);
  assert.equal(h.server.getNode('b').homeDerp, 900);
});

test('a partial report keeps what it does not name', async () => {
  await using h = await Harness.start();
  const b = await h.join('b');
  await next(await b.stream());
  await b.update({
    Hostinfo: { OS: 'linux', Hostname: 'b', Services: [{ Proto: 'peerapi4', Port: 1234 }] },
    Endpoints: ['192.0.2.7:1'],
  });
  await b.request(
    'POST',
    '/machine/map',
    JSON.stringify({
      Version: 130,
      NodeKey: b.node.nodeKey,
      OmitPeers: true,
      HostInfo: { NetInfo: { PreferredDerp: 901 } },
    }),
  );
  const a = await h.join('a');
  const peer = (await next(await a.stream()))['Peers'][0];
  assert.deepEqual(peer.Hostinfo.Services, [{ Proto: 'peerapi4', Port: 1234 }]);
  assert.deepEqual(peer.Endpoints, ['192.0.2.7:1']);
  assert.equal(peer.HomeDERP, 901);
  assert.equal(peer.DiscoKey, b.node.discoKey);
});

test('a change of services or hostname travels as the whole peer, under its new name', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const b = await h.join('b');
  const mine = await b.stream();
  await next(mine);
  const stream = await a.stream();
  await next(stream);
  await b.update({ Hostinfo: { OS: 'linux', Hostname: 'B two' } });
  const seen = await until(
    stream,
    (message) => message['PeersChanged']?.[0].Name === 'b-two.cove.test.',
  );
  assert.equal(seen['PeersChanged'].length, 1);
  assert.equal(
    (await until(mine, (message) => message['Node']?.Name === 'b-two.cove.test.'))['Node'].ID,
    2,
  );
  // A name an admin chose stays.
  await h.server.renameNode('b-two', 'files');
  await until(stream, (message) => message['PeersChanged']?.[0].Name === 'files.cove.test.');
  await b.update({ Hostinfo: { OS: 'linux', Hostname: 'third' } });
  await quiet(stream);
  assert.equal(h.server.getNode('files').hostname, 'third');
});

test('offline is told after a grace, online at once, with the new disco key', async () => {
  await using h = await Harness.start({ offlineGrace: 100 });
  const a = await h.join('a');
  const b = await h.join('b');
  const mine = await b.stream();
  await next(mine);
  const stream = await a.stream();
  await next(stream);
  mine.close();
  assert.deepEqual(await quiet(stream, 40), []);
  const offline = (await next(stream))['PeersChangedPatch'][0];
  assert.equal(offline.Online, false);
  assert.ok(Math.abs(Date.parse(offline.LastSeen) - Date.now()) < 5000);
  b.node.discoKey = b.node.newDiscoKey();
  await next(await b.stream({ Endpoints: ['192.0.2.9:9'] }));
  const online = (await next(stream))['PeersChangedPatch'][0];
  assert.deepEqual(online, {
    NodeID: 2,
    Endpoints: ['192.0.2.9:9'],
    DiscoKey: b.node.discoKey,
    Online: true,
  });
});

test('a stream that returns within the grace is no news', async () => {
  await using h = await Harness.start({ offlineGrace: 150 });
  const a = await h.join('a');
  const b = await h.join('b');
  const first = await b.stream();
  await next(first);
  const stream = await a.stream();
  await next(stream);
  first.close();
  await quiet(stream, 50);
  await next(await b.stream());
  assert.deepEqual(await quiet(stream, 300), []);
  assert.equal(h.server.getNode('b').online, true);
});

test('a second stream of a node ends the first, and the node stays online', async () => {
  await using h = await Harness.start({ offlineGrace: 50 });
  const b = await h.join('b');
  const first = await b.stream();
  await next(first);
  const other = await h.connect(b.node);
  const second = await other.stream();
  await next(second);
  await assert.rejects(first.next(), /stream ended/);
  await new Promise((done) => setTimeout(done, 120));
  assert.equal(h.server.getNode('b').online, true);
  assert.equal(h.server.status().streams, 1);
});

test('an ephemeral node that stays away is removed, one that is there is not', async () => {
  await using h = await Harness.start({ ephemeralTimeout: 1000, offlineGrace: 50 });
  const { key } = await h.server.createAuthKey({ ephemeral: true, reusable: true });
  const enter = async (hostname: string): Promise<TestClient> => {
    const client = await h.connect(new TestNode(hostname));
    await client.register({ Auth: { AuthKey: key } });
    return client;
  };
  const a = await h.join('a');
  const stream = await a.stream();
  await next(stream);
  await next(await (await enter('stays')).stream());
  const leaves = await enter('leaves');
  await next(await leaves.stream());
  await enter('never-came');
  await quiet(stream, 30);
  leaves.close();
  const removed = await until(stream, (message) => message['PeersRemoved']);
  assert.deepEqual(removed['PeersRemoved'], [3]);
  await quiet(stream, 150);
  assert.deepEqual(
    h.server.listNodes().map((node) => node.name),
    ['a', 'stays'],
  );
});

test('a deleted node is told to log in again, its peers that it is gone', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const b = await h.join('b');
  const mine = await b.stream();
  await next(mine);
  const stream = await a.stream();
  await next(stream);
  await h.server.deleteNode('b');
  assert.deepEqual(
    (await until(stream, (message) => message['PeersRemoved']))['PeersRemoved'],
    [2],
  );
  const last = await until(mine, (message) => message['Node']);
  assert.ok(Date.parse(last['Node'].KeyExpiry) <= Date.now());
  await assert.rejects(mine.next(), /stream ended/);
  // Asking again it hears the same.
  const again = await next(await b.stream());
  assert.ok(Date.parse(again['Node'].KeyExpiry) <= Date.now());
  // Its ID never returns.
  await h.join('c');
  assert.deepEqual(
    h.server.listNodes().map((node) => node.id),
    [1, 3],
  );
});

test('a policy decides who sees whom; its change tells each stream only its difference', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const b = await h.join('b', { user: 'bob@example.com' });
  const srv = await h.join('srv', { tags: ['tag:srv'] });
  const streams = await Promise.all([a, b, srv].map((client) => client.stream()));
  for (const stream of streams) await next(stream);
  for (const stream of streams) await quiet(stream, 60);
  const [toA, toB, toSrv] = streams;
  await h.server.setPolicy(
    '{"tagOwners": {"tag:srv": []}, "grants": [{"src": ["bob@example.com"], "dst": ["tag:srv"], "ip": ["80"]}]}',
  );
  const atA = await next(toA!);
  assert.deepEqual(Object.keys(atA).sort(), ['ControlTime', 'PacketFilters', 'PeersRemoved']);
  assert.deepEqual(atA['PeersRemoved'], [2, 3]);
  assert.deepEqual(atA['PacketFilters'], { base: [] });
  const atB = await next(toB!);
  assert.deepEqual(atB['PeersRemoved'], [1]);
  const atSrv = await next(toSrv!);
  assert.deepEqual(atSrv['PeersRemoved'], [1]);
  assert.deepEqual(atSrv['PacketFilters'].base[0].SrcIPs, ['100.64.0.2', 'fd7a:115c:a1e0::2']);
  // What one may not see, one is not told.
  await b.update({ Endpoints: ['192.0.2.1:1'] });
  assert.equal((await next(toSrv!))['PeersChangedPatch'][0].NodeID, 2);
  assert.deepEqual(await quiet(toA!), []);
  await h.server.setPolicy(undefined);
  const back = await next(toA!);
  assert.deepEqual(names(back['PeersChanged']), ['b.cove.test.', 'srv.cove.test.']);
  assert.equal(back['PeersChanged'][0].Endpoints[0], '192.0.2.1:1');
  assert.deepEqual(names((await next(toB!))['PeersChanged']), ['a.cove.test.']);
  assert.equal(h.server.getPolicy().version, 2);
});

test('new tags bring a node into sight', async () => {
  await using h = await Harness.start();
  await h.server.setPolicy(
    '{"tagOwners": {"tag:srv": []}, "grants": [{"src": ["alice@example.com"], "dst": ["tag:srv"], "ip": ["*"]}]}',
  );
  const a = await h.join('a');
  const b = await h.join('b', { user: 'bob@example.com' });
  const mine = await b.stream();
  assert.ok(!('Peers' in (await next(mine))));
  const stream = await a.stream();
  await next(stream);
  await h.server.setNodeTags('b', ['tag:srv']);
  const seen = await next(stream);
  assert.deepEqual(seen['PeersChanged'][0].Tags, ['tag:srv']);
  assert.equal(seen['UserProfiles'][0].LoginName, 'tagged-devices');
  const self = await until(mine, (message) => message['Node']);
  assert.deepEqual(self['Node'].Tags, ['tag:srv']);
  assert.deepEqual(names(self['PeersChanged']), ['a.cove.test.']);
  assert.equal(self['PacketFilters'].base.length, 1);
});

test('a new relay map reaches every stream', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const stream = await a.stream();
  assert.deepEqual((await next(stream))['DERPMap'].Regions, {});
  await h.server.setDerpMap(DERP);
  const delta = await next(stream);
  assert.deepEqual(Object.keys(delta), ['DERPMap', 'ControlTime']);
  assert.equal(delta['DERPMap'].Regions['900'].Nodes[0].HostName, 'relay.test');
});

test('older clients get what they understand', async () => {
  await using h = await Harness.start({ derpMap: DERP });
  const b = await h.join('b');
  await next(await b.stream({ Hostinfo: netInfo(900) }));
  const relay = async (version: number): Promise<[MapView, MapView]> => {
    const client = await h.join(`v${version}`, { version });
    const map = await next(await client.stream());
    const peer = map['Peers'].find((each: MapView) => each['Name'] === 'b.cove.test.');
    return [peer, map['DERPMap'].Regions['900'].Nodes[0]];
  };
  for (const [version, derp, pinned] of [
    [97, '127.3.3.40:900', false],
    [110, '127.3.3.40:900', false],
    [111, undefined, false],
    [114, undefined, false],
    [115, undefined, true],
    [142, undefined, true],
  ] as const) {
    const [peer, node] = await relay(version);
    assert.equal(peer['DERP'], derp, `DERP for ${version}`);
    assert.equal(peer['HomeDERP'], 900);
    assert.equal(node['CertName'] !== undefined, pinned, `pin for ${version}`);
    assert.equal(node['InsecureForTests'], pinned ? undefined : true);
  }
});

test('a single read is one full map; read-only it changes nothing', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  for (const members of [{ ReadOnly: true, OmitPeers: true }, {}]) {
    const stream = await a.stream({ Stream: false, Endpoints: ['192.0.2.1:1'], ...members });
    const map = await next(stream);
    assert.equal(map['Node'].ID, 1);
    await assert.rejects(stream.next(), /stream ended/);
    assert.deepEqual(h.server.getNode('a').endpoints, 'ReadOnly' in members ? [] : ['192.0.2.1:1']);
    assert.equal(h.server.getNode('a').online, false);
  }
});

test('text that some clients cannot read is not handed on', async () => {
  await using h = await Harness.start();
  const b = await h.join('b');
  await next(await b.stream());
  await b.update({ Hostinfo: { OS: 'li"nux\\\u0007', Hostname: 'b\ud800' } });
  const a = await h.join('a');
  const stream = await a.stream();
  const text = await stream.next();
  assert.ok(!text.includes('\\'));
  const peer = JSON.parse(text).Peers[0];
  assert.deepEqual(peer.Hostinfo, { Hostname: 'b\ufffd', OS: 'li nux' });
});

test('a hostinfo beyond all measure is refused', async () => {
  await using h = await Harness.start();
  const b = await h.join('b');
  const answer = await b.update({ Hostinfo: { OS: 'x'.repeat(100_000) } });
  assert.equal(answer.status, 400);
  assert.equal(h.server.getNode('b').os, 'linux');
});

test('after a restart everybody is known, with ID, name and last reports', async () => {
  await using h = await Harness.start();
  const a = await h.join('a');
  const b = await h.join('b');
  await next(await b.stream({ Hostinfo: netInfo(900), Endpoints: ['192.0.2.1:1'] }));
  const { publicKey } = h.server;
  const before = h.server.getNode('b');
  await h.stop();
  await h.open();
  assert.equal(h.server.publicKey, publicKey);
  const after = h.server.getNode('b');
  assert.deepEqual(
    { ...after, lastSeen: '', online: true },
    { ...before, lastSeen: '', online: true },
  );
  const again = await h.connect(a.node);
  assert.equal((await again.register()).MachineAuthorized, true);
  const map = await next(await again.stream());
  assert.equal(map['Peers'][0].Online, false);
  assert.equal(map['Peers'][0].DiscoKey, b.node.discoKey);
  assert.equal(map['Peers'][0].HomeDERP, 900);
});

test('a client that takes no data is dropped, the others are not', async () => {
  await using h = await Harness.start({ gatherWindow: 0 });
  const slow = await h.join('slow');
  await next(await slow.stream());
  const fast = await h.join('fast');
  const stream = await fast.stream();
  await next(stream);
  const busy = await h.join('busy');
  await next(await busy.stream());
  slow.socket.pause();
  const endpoints = (round: number): string[] =>
    Array.from(
      { length: 64 },
      (_, i) => `[2001:db8:aaaa:bbbb:cccc:dddd:${round.toString(16)}:${i.toString(16)}]:41641`,
    );
  let client = busy;
  for (let round = 0; round < 6000 && h.server.status().streams === 3; round++) {
    // A connection may ask so often and no more.
    if (round % 150 === 0) client = await h.connect(busy.node);
    assert.equal((await client.update({ Endpoints: endpoints(round) })).status, 200);
  }
  assert.equal(h.server.status().streams, 2);
  assert.match(h.server.metrics(), /cove_control_map_streams_dropped_total 1\n/);
  assert.ok((await quiet(stream)).length > 0);
});
