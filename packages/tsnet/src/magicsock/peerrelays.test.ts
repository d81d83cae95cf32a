import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '@cove/protocol/bytes';
import type { AllocateRelayRequest, RelayEndpoint, RelayHandshake } from '@cove/protocol/disco';
import { publicBytes } from '@cove/protocol/keys';
import { formatAddr } from '@cove/protocol/netaddr';
import fc from 'fast-check';
import { NodeTable, type Peer } from '../nodetable.ts';
import { testMap, testNode } from '../testing/maps.ts';
import { PathTable, type ViaPath } from './paths.ts';
import {
  ALLOCATE_RETRY,
  ALLOCATE_TIMEOUT,
  HANDSHAKE_TIMEOUT,
  MAX_ADDRESSES,
  MAX_HANDSHAKES,
  MAX_PINGS,
  PeerRelays,
} from './peerrelays.ts';
import { ViaPaths } from './viapaths.ts';

/** Between those of peer 2 (…1002) and peer 5 (…1005). */
const OWN = new Uint8Array(32);
OWN.set([0x10, 0x03], 30);
const SERVER = new Uint8Array(32).fill(0xaa);
const CHALLENGE = new Uint8Array(32).fill(0xcc);
const SECOND = 1_000_000_000n;

const addr = (n: number): Uint8Array => Uint8Array.of(198, 51, 100, n);

/** A PeerRelays on a clock of the test's own, with peers 2 and 5 and relay nodes 8 and 9. */
class Bench {
  now = 1_000_000;
  readonly paths = new PathTable();
  readonly vias = new ViaPaths(this.paths);
  readonly allocations: { readonly server: number; readonly request: AllocateRelayRequest }[] = [];
  readonly calls: { readonly peer: number; readonly vni: number }[] = [];
  readonly steps: { readonly to: string; readonly server: string; message: RelayHandshake }[] = [];
  readonly pings: { readonly to: string; readonly path: ViaPath; readonly txId: Uint8Array }[] = [];
  readonly ready: { readonly peer: number; readonly path: string; readonly latency: number }[] = [];
  readonly expected: string[] = [];
  readonly table = new NodeTable(false);
  inUse = false;
  lastBind: RelayHandshake | undefined;
  #nextTxId = 1;
  readonly relays: PeerRelays = new PeerRelays(OWN, this.vias, {
    newTxId: () =>
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, this.#nextTxId >> 8, this.#nextTxId++),
    allocate: (server, request) => this.allocations.push({ server: id(server), request }),
    callPeer: (peer, { vni }) => this.calls.push({ peer: id(peer), vni }),
    sendHandshake: (path, server, message) => {
      this.steps.push({ to: path.text, server: toHex(server), message });
      if (message.type === 'bindUdpRelayEndpoint') this.lastBind = message;
    },
    ping: (path, _peer, txId) => this.pings.push({ to: path.text, path, txId }),
    isInUse: () => this.inUse,
    ready: (peer, path, _server, latency) =>
      this.ready.push({ peer: id(peer), path: path.text, latency }),
    expect: (server) => this.expected.push(toHex(server)),
    forget: (server) => {
      const at = this.expected.indexOf(toHex(server));
      assert.ok(at >= 0, 'forgotten more often than expected');
      this.expected.splice(at, 1);
    },
    viaPath: (address, port, vni) => {
      const hop = this.paths.find(formatAddr(address), port);
      return hop && this.vias.find(hop, vni);
    },
  });

  constructor() {
    this.table.setMap(
      testMap(
        testNode(1),
        [2, 5, 8, 9].map((n) => testNode(n)),
      ),
    );
    this.relays.setServers([this.peer(8), this.peer(9)]);
  }

  peer(n: number): Peer {
    return [...this.table.peers].find(({ node }) => node.ID === n)!;
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (let steps = 0; this.relays.nextTick <= end; steps++) {
      assert.ok(steps < 1_000, 'timers that never end');
      this.now = Math.max(this.now, this.relays.nextTick);
      this.relays.tick(this.now);
    }
    this.now = end;
  }

  via(n: number, vni = 7): ViaPath {
    return this.vias.find(this.paths.find(`198.51.100.${n}`, 40_000)!, vni);
  }

  /** An endpoint for us and the peer. */
  endpoint(peer = 2, facts: Partial<RelayEndpoint> = {}): RelayEndpoint {
    const theirs = publicBytes(this.peer(peer).discoKey);
    return {
      serverDisco: SERVER,
      clientDisco: peer === 2 ? [theirs, OWN] : [OWN, theirs],
      lamportId: 5n,
      vni: 7,
      bindLifetime: 30n * SECOND,
      steadyStateLifetime: 300n * SECOND,
      endpoints: [1, 2].map((n) => ({ addr: addr(n), port: 40_000 })),
      ...facts,
    };
  }

  /** The relay challenges the last Bind, from an address of its. */
  challenge(n = 1, facts: Partial<RelayHandshake> = {}, server = SERVER): void {
    const message: RelayHandshake = {
      ...this.lastBind!,
      type: 'bindUdpRelayEndpointChallenge',
      challenge: CHALLENGE,
      ...facts,
    };
    this.relays.challenged(server, message, this.via(n), this.now);
  }

  /** What was sent to the relay itself since the last time. */
  sent(): string[] {
    const names = { bindUdpRelayEndpoint: 'bind', bindUdpRelayEndpointAnswer: 'answer' } as const;
    return this.steps
      .splice(0)
      .map(({ to, message }) => `${names[message.type as keyof typeof names]} ${to}`);
  }

  /** Nothing is under way and nothing is kept. */
  assertIdle(): void {
    assert.equal(this.relays.nextTick, Number.POSITIVE_INFINITY);
    assert.equal(this.paths.size, 0);
    assert.deepEqual(this.expected, []);
  }
}

function id(peer: Peer): number {
  return Number(peer.node.ID);
}

test('every relay node is asked for an endpoint of the sorted pair, each under its own generation', () => {
  const b = new Bench();
  b.relays.seek(b.peer(5), b.now);
  assert.deepEqual(
    b.allocations.map(({ server }) => server),
    [8, 9],
  );
  const [first, second] = b.allocations;
  assert.deepEqual(first!.request.clientDisco, [OWN, publicBytes(b.peer(5).discoKey)]);
  assert.notEqual(first!.request.generation, second!.request.generation);
  b.relays.seek(b.peer(5), b.now);
  assert.equal(b.allocations.length, 2, 'not again while that is under way');
  b.relays.seek(b.peer(2), b.now);
  assert.deepEqual(b.allocations[2]!.request.clientDisco, [publicBytes(b.peer(2).discoKey), OWN]);
});

test('a relay node that is silent is asked once more after 3 s and given up after 10 s', () => {
  const b = new Bench();
  b.relays.seek(b.peer(2), b.now);
  b.allocations.length = 0;
  b.advance(ALLOCATE_RETRY - 1);
  assert.equal(b.allocations.length, 0);
  b.advance(1);
  assert.equal(b.allocations.length, 2);
  b.advance(ALLOCATE_TIMEOUT);
  assert.equal(b.allocations.length, 2);
  b.assertIdle();
});

test('from the endpoint to the path: call, bind, answer, ping, pong', () => {
  const b = new Bench();
  b.relays.seek(b.peer(2), b.now);
  const { generation } = b.allocations[1]!.request;
  const relay = b.endpoint();
  const type = 'allocateUdpRelayEndpointResponse';
  b.relays.allocated(b.peer(9), { type, generation, relay }, b.now);
  assert.deepEqual(b.calls, [{ peer: 2, vni: 7 }]);
  const [bind] = b.steps;
  assert.equal(bind!.server, toHex(SERVER));
  assert.deepEqual(bind!.message.remoteKey, publicBytes(b.peer(2).discoKey));
  assert.equal(toHex(bind!.message.challenge), '00'.repeat(32));
  assert.notEqual(bind!.message.generation, 0);
  b.challenge(2);
  const answer = b.steps.at(-1)!;
  assert.deepEqual(answer.message.challenge, CHALLENGE);
  assert.equal(answer.message.generation, bind!.message.generation);
  assert.deepEqual(b.sent(), [
    'bind 198.51.100.1:40000:vni:7',
    'bind 198.51.100.2:40000:vni:7',
    'answer 198.51.100.2:40000:vni:7',
  ]);
  assert.deepEqual(
    b.pings.map(({ to }) => to),
    ['198.51.100.2:40000:vni:7'],
  );
  b.now += 25;
  assert.equal(b.relays.ponged(b.pings[0]!.txId, b.via(2), b.now), true);
  assert.deepEqual(b.ready, [{ peer: 2, path: '198.51.100.2:40000:vni:7', latency: 25 }]);
  b.advance(ALLOCATE_TIMEOUT);
  b.assertIdle();
});

test('a peer that calls is bound to in the same way, and is not called back', () => {
  const b = new Bench();
  b.relays.called(b.peer(5), b.endpoint(5), b.now);
  assert.equal(b.sent().length, 2);
  assert.deepEqual(b.calls, []);
});

test('endpoints that were never asked for are ignored', () => {
  const b = new Bench();
  const type = 'allocateUdpRelayEndpointResponse';
  const relay = b.endpoint();
  b.relays.allocated(b.peer(8), { type, generation: 1, relay }, b.now);
  b.relays.seek(b.peer(2), b.now);
  const { generation } = b.allocations[0]!.request;
  b.relays.allocated(b.peer(9), { type, generation, relay }, b.now);
  b.relays.allocated(b.peer(8), { type, generation: generation + 7, relay }, b.now);
  b.relays.allocated(b.peer(8), { type, generation, relay: b.endpoint(5) }, b.now);
  assert.deepEqual([b.sent(), b.calls, b.relays.ignored], [[], [], 4]);
  b.relays.allocated(b.peer(8), { type, generation, relay }, b.now);
  assert.equal(b.sent().length, 2);
  b.relays.allocated(b.peer(8), { type, generation, relay }, b.now);
  assert.deepEqual([b.sent(), b.relays.ignored], [[], 5]);
});

for (const [what, facts] of [
  ['of another pair of clients', { clientDisco: [SERVER, CHALLENGE] }],
  ['of the pair in the wrong order', { clientDisco: [OWN, new Uint8Array(32)] }],
  ['without a VNI', { vni: 0 }],
  ['with a VNI beyond 24 bits', { vni: 0x1000000 }],
  ['that lives for no time', { bindLifetime: 0n }],
  ['that claims to be ourselves', { serverDisco: OWN }],
] satisfies [string, Partial<RelayEndpoint>][]) {
  test(`an endpoint ${what} is ignored`, () => {
    const b = new Bench();
    b.relays.called(b.peer(2), b.endpoint(2, facts), b.now);
    assert.deepEqual([b.sent(), b.relays.ignored], [[], 1]);
    b.assertIdle();
  });
}

test('a challenge that contradicts the handshake, or comes a second time, is not answered', () => {
  const b = new Bench();
  b.relays.called(b.peer(2), b.endpoint(), b.now);
  const { generation } = b.steps[0]!.message;
  b.challenge(1, { vni: 8 });
  b.challenge(1, { generation: generation + 1 });
  b.challenge(1, { remoteKey: OWN });
  b.challenge(1, { type: 'bindUdpRelayEndpointAnswer' });
  b.challenge(1, {}, CHALLENGE);
  const bind = b.steps[0]!.message;
  const other: RelayHandshake = { ...bind, type: 'bindUdpRelayEndpointChallenge', vni: 8 };
  b.relays.challenged(SERVER, other, b.via(1, 8), b.now);
  assert.deepEqual([b.sent().length, b.pings.length, b.relays.ignored], [2, 0, 6]);
  b.relays.challenged(SERVER, { ...other, vni: 7 }, b.via(1), b.now);
  b.relays.challenged(SERVER, { ...other, vni: 7 }, b.via(2), b.now);
  assert.deepEqual(b.sent(), ['answer 198.51.100.1:40000:vni:7']);
  assert.equal(b.relays.ignored, 7);
});

test('a pong to no ping, from another path, or a second time makes no path', () => {
  const b = new Bench();
  b.relays.called(b.peer(2), b.endpoint(), b.now);
  assert.equal(b.relays.ponged(new Uint8Array(12), b.via(1), b.now), false);
  b.challenge();
  const { txId } = b.pings[0]!;
  assert.equal(b.relays.ponged(new Uint8Array(12), b.via(1), b.now), false);
  assert.equal(b.relays.ponged(txId, b.via(2), b.now), false);
  assert.equal(b.relays.ponged(txId, b.via(1, 8), b.now), false);
  assert.deepEqual(b.ready, []);
  assert.equal(b.relays.ponged(txId, b.via(1), b.now), true);
  assert.equal(b.relays.ponged(txId, b.via(1), b.now), false);
  assert.equal(b.ready.length, 1);
});

test('the peer’s ping is answered by another ping, ten at most in one handshake', () => {
  const b = new Bench();
  b.relays.called(b.peer(2), b.endpoint(), b.now);
  b.relays.pinged(b.via(1), b.now);
  assert.equal(b.pings.length, 0, 'not before the challenge');
  b.challenge();
  b.relays.pinged(b.via(2), b.now);
  assert.equal(b.pings.length, 1, 'not from elsewhere');
  for (let i = 0; i < 20; i++) b.relays.pinged(b.via(1), b.now);
  assert.equal(b.pings.length, MAX_PINGS);
});

test('what is lost is sent again: the Bind, then answer and ping, then only the ping of who is bound', () => {
  const b = new Bench();
  b.relays.called(b.peer(2), b.endpoint(), b.now);
  b.sent();
  b.advance(500);
  assert.equal(b.sent().length, 2);
  b.challenge();
  b.sent();
  b.advance(500);
  assert.deepEqual(b.sent(), ['answer 198.51.100.1:40000:vni:7']);
  assert.equal(b.pings.length, 2);
  b.relays.pinged(b.via(1), b.now);
  b.advance(1_000);
  assert.deepEqual(b.sent(), []);
  assert.equal(b.pings.length, 4);
});

test('a handshake ends with the endpoint’s lifetime, after 30 s at most', () => {
  for (const [lifetime, end] of [
    [5n * SECOND, 5_000],
    [2n ** 64n - 1n, HANDSHAKE_TIMEOUT],
  ] as const) {
    const b = new Bench();
    b.relays.called(b.peer(2), b.endpoint(2, { bindLifetime: lifetime }), b.now);
    b.challenge();
    b.advance(end - 1);
    assert.equal(b.expected.length, 1);
    b.advance(1);
    b.assertIdle();
  }
});

test('of endpoints of one relay the one with the highest Lamport id counts', () => {
  const b = new Bench();
  b.relays.called(b.peer(2), b.endpoint(2, { lamportId: 5n }), b.now);
  b.sent();
  b.relays.called(b.peer(2), b.endpoint(2, { lamportId: 5n }), b.now);
  b.relays.called(b.peer(2), b.endpoint(2, { lamportId: 4n, vni: 6 }), b.now);
  assert.deepEqual(b.sent(), []);
  b.relays.called(b.peer(2), b.endpoint(2, { lamportId: 6n, vni: 8 }), b.now);
  assert.equal(b.sent()[0], 'bind 198.51.100.1:40000:vni:8');
  assert.equal(b.expected.length, 1, 'the older one is given up');
  b.relays.called(b.peer(5), b.endpoint(5, { lamportId: 99n, vni: 8 }), b.now);
  assert.equal(b.expected.length, 2, 'what another peer says of the same relay ends nothing');
});

test('an endpoint in use is not bound to anew, but the peer is told of it', () => {
  const b = new Bench();
  b.inUse = true;
  b.relays.seek(b.peer(2), b.now);
  const { generation } = b.allocations[0]!.request;
  const type = 'allocateUdpRelayEndpointResponse';
  b.relays.allocated(b.peer(8), { type, generation, relay: b.endpoint() }, b.now);
  assert.deepEqual([b.sent(), b.calls.length], [[], 1]);
});

test('one peer makes no more than so many handshakes, and one endpoint no more than so many datagrams', () => {
  const b = new Bench();
  for (let i = 0; i < MAX_HANDSHAKES + 5; i++) {
    const serverDisco = new Uint8Array(32).fill(i + 1);
    b.relays.called(b.peer(2), b.endpoint(2, { serverDisco, vni: i + 1 }), b.now);
  }
  assert.equal(b.expected.length, MAX_HANDSHAKES);
  b.relays.reset();
  b.assertIdle();
  b.sent();
  const endpoints = Array.from({ length: 200 }, (_, i) => ({ addr: addr(i), port: 40_000 }));
  b.relays.called(b.peer(2), b.endpoint(2, { endpoints }), b.now);
  assert.equal(b.sent().length, MAX_ADDRESSES);
});

test('a peer that goes takes its handshakes along, a relay node that goes what it was asked', () => {
  const b = new Bench();
  b.relays.seek(b.peer(2), b.now);
  b.relays.setServers([b.peer(9)]);
  b.relays.called(b.peer(5), b.endpoint(5), b.now);
  b.challenge();
  b.relays.forgetPeer(b.peer(9));
  b.relays.forgetPeer(b.peer(5));
  b.assertIdle();
});

test('whatever comes in whatever order, everything ends and nothing is kept', () => {
  const peers = fc.constantFrom(2, 5);
  const event = fc.oneof(
    fc.record({ kind: fc.constantFrom('seek', 'forget'), peer: peers, n: fc.constant(0) }),
    fc.record({
      kind: fc.constantFrom('allocated', 'called', 'challenge', 'ping', 'pong', 'wait', 'reset'),
      peer: peers,
      n: fc.nat(6),
    }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const b = new Bench();
      for (const { kind, peer, n } of events) {
        const relay = b.endpoint(peer, { vni: 1 + (n % 3), lamportId: BigInt(n) });
        if (kind === 'seek') b.relays.seek(b.peer(peer), b.now);
        else if (kind === 'forget') b.relays.forgetPeer(b.peer(peer));
        else if (kind === 'allocated') {
          const type = 'allocateUdpRelayEndpointResponse';
          const generation = b.allocations.at(-1 - n)?.request.generation ?? n;
          b.relays.allocated(b.peer(8 + (n & 1)), { type, generation, relay }, b.now);
        } else if (kind === 'called') b.relays.called(b.peer(peer), relay, b.now);
        else if (kind === 'challenge') {
          const last = b.steps.at(-1 - n)?.message;
          const via = b.via(1 + (n & 1), last?.vni ?? 1);
          const type = 'bindUdpRelayEndpointChallenge';
          if (last) b.relays.challenged(SERVER, { ...last, type }, via, b.now);
        } else if (kind === 'ping') b.relays.pinged(b.via(1 + (n & 1), 1 + (n % 3)), b.now);
        else if (kind === 'pong') {
          const ping = b.pings.at(-1 - n);
          if (ping) b.relays.ponged(ping.txId, ping.path, b.now);
        } else if (kind === 'wait') b.advance(n * 1_000);
        else b.relays.reset();
      }
      b.advance(60_000);
      b.assertIdle();
    }),
  );
});
