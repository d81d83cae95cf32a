import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { toHex } from '@cove/protocol/bytes';
import { boxSharedKey } from '@cove/protocol/crypto';
import type { DiscoEndpoint } from '@cove/protocol/disco';
import {
  type DiscoMessage,
  encodeDisco,
  openDisco,
  parseDisco,
  type RelayEndpoint,
  type RelayHandshake,
  sealDisco,
} from '@cove/protocol/disco';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import { NodeTable, type Peer } from '../nodetable.ts';
import { testMap, testNode } from '../testing/maps.ts';
import { Disco } from './disco.ts';
import { Endpoint } from './endpoint.ts';
import { type Path, PathTable, type RelayPath, type UdpPath, type ViaPath } from './paths.ts';
import { KeyMap } from './peermap.ts';
import { ViaPaths } from './viapaths.ts';

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
  /** What concerns peer relays. */
  readonly relays: unknown[][];
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
  const told: Told = { pings: [], pongs: [], calls: [], relays: [], accept: true };
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
      calledVia: (peer, relay) => told.relays.push(['calledVia', peer, relay.vni]),
      allocated: (peer, { relay }) => told.relays.push(['allocated', peer, relay.vni]),
      pingedVia: (from) => told.relays.push(['pingedVia', from]),
      pongedVia: (_txId, from) => {
        told.relays.push(['pongedVia', from]);
        return told.accept;
      },
      challenged: (server, message, from) =>
        told.relays.push(['challenged', toHex(server), message.vni, from]),
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
  disco.receiveDatagram(call, direct());
  assert.deepEqual([told.calls.length, disco.ignored], [1, 1]);
});

test('a ping by UDP is answered to where it came from, saying so, unless it was seen before', () => {
  const bob = party();
  const { disco, self, peers, sent, told } = setup([bob]);
  const txId = crypto.randomBytes(12);
  const from = direct();
  const ping = seal(bob, self, { type: 'ping', txId });
  disco.receiveDatagram(ping, from);
  assert.deepEqual(told.pings, [[peers[0], from]]);
  assert.equal(sent[0]!.path, from);
  assert.deepEqual(open(sent[0]!.envelope, bob, self), {
    type: 'pong',
    txId: new Uint8Array(txId),
    source: ADDRESS,
  });
  told.accept = false;
  disco.receiveDatagram(ping, from);
  assert.deepEqual([sent.length, disco.replayed], [1, 1]);
});

test('a ping by UDP concerns every peer with that disco key', () => {
  const bob = party();
  const { disco, self, peers, sent, told } = setup([bob, { node: party().node, disco: bob.disco }]);
  disco.receiveDatagram(seal(bob, self, { type: 'ping', txId: crypto.randomBytes(12) }), direct());
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
  disco.receiveDatagram(seal(eve, self, { type: 'ping', txId }), direct());
  // Eve says that she is Bob.
  const forged = seal(eve, self, { type: 'ping', txId });
  forged.set(bob.disco.publicBytes(crypto.x25519), 6);
  disco.receiveDatagram(forged, direct());
  told.accept = false;
  disco.receiveDatagram(seal(bob, self, { type: 'pong', txId, source: ADDRESS }), direct());
  assert.deepEqual([disco.ignored, disco.malformed, disco.replayed, sent.length], [1, 1, 1, 0]);
});

/** An endpoint of a peer relay; the relay's key is a party's disco key. */
const endpointOf = (relay: Party): RelayEndpoint => ({
  serverDisco: relay.disco.publicBytes(crypto.x25519),
  clientDisco: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)],
  lamportId: 1n,
  vni: 7,
  bindLifetime: 1n,
  steadyStateLifetime: 1n,
  endpoints: [ADDRESS],
});
const through = (vni = 7): ViaPath => new ViaPaths(new PathTable()).find(direct(), vni);

test('what peers say of peer relays is believed through their relay only', () => {
  const [bob, server] = [party(), party()];
  const { disco, self, peers, told } = setup([bob]);
  const relay = endpointOf(server);
  const call = seal(bob, self, { type: 'callMeMaybeVia', relay });
  const type = 'allocateUdpRelayEndpointResponse';
  const response = seal(bob, self, { type, generation: 3, relay });
  for (const envelope of [call, response]) {
    disco.receiveDatagram(envelope, direct());
    disco.receiveDatagram(envelope, through());
    disco.receiveFromRelay(envelope, through());
  }
  assert.deepEqual([told.relays, disco.ignored], [[], 6]);
  disco.receiveRelayed(call, pathTo(peers[0]!));
  disco.receiveRelayed(response, pathTo(peers[0]!));
  assert.deepEqual(told.relays, [
    ['calledVia', peers[0], 7],
    ['allocated', peers[0], 7],
  ]);
});

test('a ping through a peer relay is answered the same way, and tells no address of the peer', () => {
  const bob = party();
  const { disco, self, sent, told } = setup([bob]);
  const from = through();
  const txId = crypto.randomBytes(12);
  disco.receiveDatagram(seal(bob, self, { type: 'ping', txId }), from);
  assert.equal(sent[0]!.path, from);
  assert.deepEqual(open(sent[0]!.envelope, bob, self), {
    type: 'pong',
    txId: new Uint8Array(txId),
    source: ADDRESS,
  });
  assert.deepEqual([told.pings, told.relays], [[], [['pingedVia', from]]]);
});

test('a pong through a peer relay is the peer’s ping’s first, then that of a handshake, then nobody’s', () => {
  const bob = party();
  const { disco, self, told } = setup([bob]);
  const from = through();
  const pong = seal(bob, self, { type: 'pong', txId: crypto.randomBytes(12), source: ADDRESS });
  disco.receiveDatagram(pong, from);
  assert.deepEqual([told.pongs.length, told.relays], [1, []]);
  told.accept = false;
  disco.receiveDatagram(pong, from);
  assert.deepEqual([told.relays, disco.replayed], [[['pongedVia', from]], 1]);
});

test('a peer relay is listened to while it is expected, and its seal is checked', () => {
  const [bob, server, eve] = [party(), party(), party()];
  const { disco, self, sent, told } = setup([bob]);
  const key = server.disco.publicBytes(crypto.x25519);
  const challenge: RelayHandshake = {
    type: 'bindUdpRelayEndpointChallenge',
    vni: 7,
    generation: 1,
    remoteKey: new Uint8Array(32),
    challenge: new Uint8Array(32),
  };
  const from = through();
  const envelope = seal(server, self, challenge);
  disco.receiveFromRelay(envelope, from);
  disco.sendToRelay(from, key, { ...challenge, type: 'bindUdpRelayEndpoint' });
  assert.deepEqual([told.relays.length, disco.ignored, sent.length], [0, 1, 0]);
  disco.expectRelay(key);
  disco.expectRelay(key);
  const forged = seal(eve, self, challenge);
  forged.set(key, 6);
  disco.receiveFromRelay(forged, from);
  disco.receiveFromRelay(envelope.subarray(0, envelope.length - 1), from);
  disco.receiveFromRelay(envelope.subarray(0, 40), from);
  assert.deepEqual([told.relays.length, disco.malformed], [0, 3]);
  // Sealed well, but nothing that a relay says.
  disco.receiveFromRelay(seal(server, self, { ...challenge, type: 'bindUdpRelayEndpoint' }), from);
  disco.receiveDatagram(envelope, from);
  assert.deepEqual([told.relays.length, disco.ignored], [0, 3]);
  disco.receiveFromRelay(envelope, from);
  assert.deepEqual(told.relays, [['challenged', toHex(key), 7, from]]);
  disco.sendToRelay(from, key, { ...challenge, type: 'bindUdpRelayEndpoint' });
  assert.deepEqual(open(sent[0]!.envelope, server, self)?.type, 'bindUdpRelayEndpoint');
  disco.forgetRelay(key);
  disco.receiveFromRelay(envelope, from);
  assert.equal(told.relays.length, 2);
  disco.forgetRelay(key);
  disco.receiveFromRelay(envelope, from);
  assert.equal(told.relays.length, 2);
});
