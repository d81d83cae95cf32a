import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { boxSharedKey, nobleCrypto } from '@cove/protocol/crypto';
import type { DiscoEndpoint } from '@cove/protocol/disco';
import {
  type DiscoMessage,
  encodeDisco,
  openDisco,
  parseDisco,
  sealDisco,
} from '@cove/protocol/disco';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import { NodeTable, type Peer } from '../nodetable.ts';
import { testMap, testNode } from '../testing/maps.ts';
import { Disco } from './disco.ts';
import { Endpoint } from './endpoint.ts';
import { type Path, PathTable, type RelayPath, type UdpPath } from './paths.ts';
import { KeyMap } from './peermap.ts';

const crypto = nobleCrypto((n) => randomBytes(n));

interface Party {
  readonly node: PrivateKey;
  readonly disco: PrivateKey;
}

function party(): Party {
  return {
    node: PrivateKey.generate(crypto.randomBytes),
    disco: PrivateKey.generate(crypto.randomBytes),
  };
}

interface Told {
  readonly pings: [Peer, UdpPath][];
  readonly pongs: Peer[];
  readonly calls: [Peer, readonly DiscoEndpoint[]][];
  /** What the sink answers. */
  accept: boolean;
}

/** A node whose peers are the parties, and what it sends. */
function setup(peers: readonly Party[]): {
  disco: Disco;
  self: Party;
  peers: Peer[];
  sent: { path: Path; envelope: Uint8Array }[];
  told: Told;
} {
  const self = party();
  const sent: { path: Path; envelope: Uint8Array }[] = [];
  const told: Told = { pings: [], pongs: [], calls: [], accept: true };
  const disco = new Disco({
    nodeKeyBytes: () => self.node.publicBytes(crypto.x25519),
    discoKey: self.disco,
    crypto,
    sink: {
      send: (path, envelope) => sent.push({ path, envelope }),
      pinged: (peer, from) => {
        told.pings.push([peer, from]);
        return told.accept;
      },
      ponged: (peer) => {
        told.pongs.push(peer);
        return told.accept;
      },
      called: (peer, endpoints) => told.calls.push([peer, endpoints]),
    },
  });
  const table = new NodeTable(false);
  const nodes = peers.map(({ node, disco: key }, i) =>
    testNode(i + 2, {
      Key: nodePublic(node.publicBytes(crypto.x25519)),
      DiscoKey: discoPublic(key.publicBytes(crypto.x25519)),
    }),
  );
  table.setMap(testMap(testNode(1), nodes));
  for (const peer of table.peers) disco.addPeer(peer);
  return { disco, self, peers: [...table.peers], sent, told };
}

function seal(from: Party, to: Party, message: DiscoMessage): Uint8Array {
  const shared = boxSharedKey(
    crypto.x25519,
    from.disco.expose(),
    to.disco.publicBytes(crypto.x25519),
  );
  const sender = from.disco.publicBytes(crypto.x25519);
  return sealDisco(shared, sender, crypto.randomBytes(24), encodeDisco(message));
}

function open(envelope: Uint8Array, by: Party, from: Party): DiscoMessage | undefined {
  const key = from.disco.publicBytes(crypto.x25519);
  const inner = openDisco(boxSharedKey(crypto.x25519, by.disco.expose(), key), envelope);
  return inner && parseDisco(inner);
}

const pathTo = (peer: Peer, region = 5): RelayPath => new Endpoint(peer).relayPath(region);

test('a ping through a relay is answered by a pong through the same relay', () => {
  const bob = party();
  const { disco, self, peers, sent } = setup([bob]);
  const path = pathTo(peers[0]!);
  const txId = crypto.randomBytes(12);
  const nodeKey = bob.node.publicBytes(crypto.x25519);
  disco.receiveRelayed(seal(bob, self, { type: 'ping', txId, nodeKey }), path);
  assert.equal(sent.length, 1);
  assert.equal(sent[0]!.path, path);
  assert.deepEqual(open(sent[0]!.envelope, bob, self), {
    type: 'pong',
    txId: new Uint8Array(txId),
    source: { addr: Uint8Array.of(127, 3, 3, 40), port: 5 },
  });
});

test('our ping carries our node key, and its pong is told once', () => {
  const bob = party();
  const { disco, self, peers, sent } = setup([bob]);
  const path = pathTo(peers[0]!);
  let pongs = 0;
  disco.pingRelayed(path, () => pongs++);
  const ping = open(sent[0]!.envelope, bob, self);
  assert.ok(ping?.type === 'ping');
  assert.deepEqual(ping.nodeKey, self.node.publicBytes(crypto.x25519));
  const pong: DiscoMessage = {
    type: 'pong',
    txId: ping.txId,
    source: { addr: Uint8Array.of(127, 3, 3, 40), port: 5 },
  };
  disco.receiveRelayed(seal(bob, self, pong), path);
  disco.receiveRelayed(seal(bob, self, pong), path);
  assert.equal(pongs, 1);
  assert.equal(disco.replayed, 1);
});

test('a pong from another peer than was pinged is ignored', () => {
  const [bob, eve] = [party(), party()];
  const { disco, self, peers, sent } = setup([bob, eve]);
  let pongs = 0;
  disco.pingRelayed(pathTo(peers[0]!), () => pongs++);
  const ping = open(sent[0]!.envelope, bob, self);
  assert.ok(ping?.type === 'ping');
  const source = { addr: Uint8Array.of(1, 2, 3, 4), port: 5 };
  const forged = seal(eve, self, { type: 'pong', txId: ping.txId, source });
  disco.receiveRelayed(forged, pathTo(peers[1]!));
  assert.deepEqual([pongs, disco.replayed], [0, 1]);
});

test('strangers, wrong nodes, broken boxes and nonsense are ignored without an answer', () => {
  const [bob, eve] = [party(), party()];
  const { disco, self, peers, sent } = setup([bob]);
  const path = pathTo(peers[0]!);
  const ping: DiscoMessage = { type: 'ping', txId: crypto.randomBytes(12) };
  disco.receiveRelayed(seal(eve, self, ping), path);
  const broken = seal(bob, self, ping);
  broken[broken.length - 1]! ^= 1;
  disco.receiveRelayed(broken, path);
  disco.receiveRelayed(seal(bob, self, ping).subarray(0, 60), path);
  disco.receiveRelayed(seal(bob, self, ping).subarray(0, 38), path);
  assert.deepEqual([sent.length, disco.ignored, disco.malformed], [0, 1, 3]);
});

test('a disco key that two nodes share is believed from both, and after one leaves', () => {
  const bob = party();
  const twin = { node: party().node, disco: bob.disco };
  const { disco, self, peers, sent } = setup([bob, twin]);
  const ping: DiscoMessage = { type: 'ping', txId: crypto.randomBytes(12) };
  for (const peer of peers) disco.receiveRelayed(seal(bob, self, ping), pathTo(peer));
  assert.equal(sent.length, 2);
  disco.removePeer(peers[0]!, peers[0]!.discoKey);
  disco.receiveRelayed(seal(bob, self, ping), pathTo(peers[0]!));
  assert.equal(sent.length, 2);
  disco.receiveRelayed(seal(bob, self, ping), pathTo(peers[1]!));
  assert.equal(sent.length, 3);
  disco.removePeer(peers[1]!, peers[1]!.discoKey);
  disco.receiveRelayed(seal(bob, self, ping), pathTo(peers[1]!));
  assert.equal(sent.length, 3);
});

test('the relay for a packet is where the peer was heard, unless its home is connected', () => {
  const { peers } = setup([party()]);
  const peer = peers[0]!;
  const endpoint = new Endpoint(peer);
  assert.equal(
    endpoint.relayRegion(() => false),
    1,
    'home when nothing was heard',
  );
  endpoint.heardThrough(4);
  assert.equal(
    endpoint.relayRegion(() => false),
    4,
  );
  assert.equal(
    endpoint.relayRegion((region) => region === 1),
    1,
  );
  peer.homeRegion = 0;
  assert.equal(
    endpoint.relayRegion(() => true),
    4,
  );
  endpoint.forgetRegion(3);
  assert.equal(
    endpoint.relayRegion(() => true),
    4,
  );
  endpoint.forgetRegion(4);
  assert.equal(
    endpoint.relayRegion(() => true),
    0,
  );
  assert.equal(endpoint.relayPath(4), endpoint.heardThrough(4), 'one object per path');
});

test('raw keys map to values, also when they share their first bytes', () => {
  const map = new KeyMap<number>();
  const keys = Array.from({ length: 6 }, (_, i) => {
    const key = new Uint8Array(32).fill(9);
    if (i < 4) key[20] = i;
    else key[0] = i;
    return key;
  });
  for (const [i, key] of keys.entries()) map.set(key, i);
  const all = (): (number | undefined)[] => keys.map((key) => map.get(key));
  assert.deepEqual(all(), [0, 1, 2, 3, 4, 5]);
  map.delete(keys[1]!);
  map.delete(keys[5]!);
  map.set(keys[2]!, 22);
  assert.deepEqual(all(), [0, undefined, 22, 3, 4, undefined]);
  assert.equal(map.get(Buffer.concat([randomBytes(3), keys[3]!]), 3), 3);
  map.clear();
  assert.equal(map.get(keys[0]!), undefined);
});

const ADDRESS = { addr: Uint8Array.of(192, 0, 2, 7), port: 41641 };
const direct = (): UdpPath => new PathTable().find('192.0.2.7', 41641)!;

test('a call through a relay is handed on; the same call by UDP is nobody’s', () => {
  const bob = party();
  const { disco, self, peers, told } = setup([bob]);
  const call = seal(bob, self, { type: 'callMeMaybe', endpoints: [ADDRESS] });
  disco.receiveRelayed(call, pathTo(peers[0]!));
  assert.deepEqual(told.calls, [[peers[0], [ADDRESS]]]);
  disco.receiveDirect(call, direct());
  assert.deepEqual([told.calls.length, disco.ignored], [1, 1]);
});

test('a ping by UDP is answered to where it came from, saying so, unless it was seen before', () => {
  const bob = party();
  const { disco, self, peers, sent, told } = setup([bob]);
  const txId = crypto.randomBytes(12);
  const from = direct();
  const ping = seal(bob, self, { type: 'ping', txId });
  disco.receiveDirect(ping, from);
  assert.deepEqual(told.pings, [[peers[0], from]]);
  assert.equal(sent[0]!.path, from);
  assert.deepEqual(open(sent[0]!.envelope, bob, self), {
    type: 'pong',
    txId: new Uint8Array(txId),
    source: ADDRESS,
  });
  told.accept = false;
  disco.receiveDirect(ping, from);
  assert.deepEqual([sent.length, disco.replayed], [1, 1]);
});

test('a ping by UDP concerns every peer with that disco key', () => {
  const bob = party();
  const { disco, self, peers, sent, told } = setup([bob, { node: party().node, disco: bob.disco }]);
  disco.receiveDirect(seal(bob, self, { type: 'ping', txId: crypto.randomBytes(12) }), direct());
  assert.deepEqual(
    told.pings.map(([peer]) => peer),
    peers,
  );
  assert.equal(sent.length, 1);
});

test('by UDP: strangers are ignored, forgeries are malformed, pongs of no ping are replayed', () => {
  const [bob, eve] = [party(), party()];
  const { disco, self, sent, told } = setup([bob]);
  const txId = crypto.randomBytes(12);
  disco.receiveDirect(seal(eve, self, { type: 'ping', txId }), direct());
  // Eve says that she is Bob.
  const forged = seal(eve, self, { type: 'ping', txId });
  forged.set(bob.disco.publicBytes(crypto.x25519), 6);
  disco.receiveDirect(forged, direct());
  told.accept = false;
  disco.receiveDirect(seal(bob, self, { type: 'pong', txId, source: ADDRESS }), direct());
  assert.deepEqual([disco.ignored, disco.malformed, disco.replayed, sent.length], [1, 1, 1, 0]);
});
