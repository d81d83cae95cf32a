import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import { parseAddr } from '@cove/protocol/netaddr';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import type { Node } from '@cove/protocol/tailcfg';
import { DataPath } from './datapath.ts';
import { IpSet } from './filter/ipset.ts';
import { compileRules, NO_RULES } from './filter/rules.ts';
import { ipPacket } from './filter/testing/packets.ts';
import { type Path, PathTable } from './magicsock/paths.ts';
import { NodeTable, type Peer } from './nodetable.ts';
import { ALLOW_ALL, testMap, testNode } from './testing/maps.ts';
import { VirtualClock } from './testing/virtualclock.ts';

const crypto = nobleCrypto((n) => randomBytes(n));
const TSMP_DISCO_PACKET = (to: string, from: string, key: Uint8Array): Uint8Array => {
  const packet = ipPacket({ src: from, dst: to, protocol: 99 });
  const out = new Uint8Array(20 + 1 + key.length);
  out.set(packet.subarray(0, 20));
  out[3] = out.length;
  out[20] = 0x61;
  out.set(key, 21);
  return out;
};

interface Side {
  readonly path: DataPath;
  readonly peer: Peer;
  readonly refusals: { readonly address: string; readonly port: number; readonly reason: string }[];
  readonly discoKeys: string[];
  /** What went out by a path that was named. */
  readonly replies: { readonly kind: string; readonly type: number }[];
  /** What the other side is told in a new session. */
  advertised: Uint8Array | undefined;
}

/** Two data paths joined by a wire, 100.64.0.1 and 100.64.0.2; packets are carried by flush(). */
function pair(facts: Partial<Node> = {}): {
  sides: [Side, Side];
  flush(through?: 'udp' | 'relay'): void;
} {
  const clock = new VirtualClock();
  const keys = [1, 2].map(() => PrivateKey.generate(crypto.randomBytes));
  const nodes = keys.map((key, i) =>
    testNode(i + 1, { Key: nodePublic(key.publicBytes(crypto.x25519)), ...facts }),
  );
  const wire: { readonly to: number; readonly datagram: Uint8Array }[] = [];
  const from: Path = new PathTable().find('192.0.2.1', 1)!;
  const make = (i: number): Side => {
    const table = new NodeTable(false);
    const changes = table.setMap(testMap(nodes[i]!, [nodes[1 - i]!]));
    const address = parseAddr(`100.64.0.${i + 1}`)!;
    const path = new DataPath({
      nodeKey: keys[i]!,
      crypto,
      clock,
      nodes: table,
      sink: {
        transmit: (_peer, buf, offset, length) => {
          wire.push({ to: 1 - i, datagram: buf.slice(offset, offset + length) });
          return false;
        },
        reply: (path, buf, offset) => side.replies.push({ kind: path.kind, type: buf[offset]! }),
        wake: () => {},
        suspect: () => {},
        pong: () => {},
        ownAddress: (length) => (length === 4 ? address : undefined),
        refused: (_local, remote, port, reason) =>
          side.refusals.push({ address: remote, port, reason: String.fromCharCode(reason) }),
        discoKey: (_peer, key) => side.discoKeys.push(key),
        discoKeyFor: () => side.advertised,
      },
    });
    path.applyPeers(changes);
    const local = new IpSet([{ first: address, last: address }]);
    path.setFilter(compileRules(ALLOW_ALL), local, false);
    const side: Side = {
      path,
      peer: [...table.peers][0]!,
      refusals: [],
      discoKeys: [],
      replies: [],
      advertised: undefined,
    };
    return side;
  };
  const sides: [Side, Side] = [make(0), make(1)];
  const flush = (through: 'udp' | 'relay' = 'udp'): void => {
    for (let i = 0; i < 100; i++) {
      const next = wire.shift();
      if (!next) return;
      const { datagram } = next;
      const side = sides[next.to]!;
      const path: Path = through === 'udp' ? from : { kind: 'relay', region: 1, peer: side.peer };
      side.path.receive(datagram, 0, datagram.length, path, clock.now());
    }
    assert.fail('packets without end');
  };
  return { sides, flush };
}

const SYN = ipPacket({
  src: '100.64.0.1',
  dst: '100.64.0.2',
  protocol: 6,
  srcPort: 40000,
  dstPort: 80,
  tcpFlags: 2,
});

for (const { when, shieldsUp, jailed, reason } of [
  { when: 'no rule allows it', shieldsUp: false, jailed: false, reason: 'A' },
  { when: 'shields are up', shieldsUp: true, jailed: false, reason: 'S' },
  { when: 'the peer is jailed', shieldsUp: false, jailed: true, reason: 'S' },
]) {
  test(`a connection is refused with reason ${reason} when ${when}`, () => {
    const { sides, flush } = pair(jailed ? { IsJailed: true } : {});
    const [a, b] = sides;
    const own = parseAddr('100.64.0.2')!;
    b.path.setFilter(NO_RULES, new IpSet([{ first: own, last: own }]), shieldsUp);
    a.path.inject(a.peer, SYN, 0);
    flush();
    assert.deepEqual(a.refusals, [{ address: '100.64.0.2', port: 80, reason }]);
  });
}

test('a disco key said through the tunnel is told; a short one and other messages are not', () => {
  const { sides, flush } = pair();
  const [a, b] = sides;
  const key = crypto.randomBytes(32);
  a.path.inject(a.peer, TSMP_DISCO_PACKET('100.64.0.2', '100.64.0.1', key.subarray(0, 31)), 0);
  a.path.inject(a.peer, TSMP_DISCO_PACKET('100.64.0.2', '100.64.0.1', key), 0);
  // From an address that is not the sender's.
  a.path.inject(a.peer, TSMP_DISCO_PACKET('100.64.0.2', '100.64.0.9', crypto.randomBytes(32)), 0);
  flush();
  assert.deepEqual(b.discoKeys, [discoPublic(key)]);
});

test('a new session begins with the disco key on both sides, where the peer reads it', () => {
  const { sides, flush } = pair();
  const [a, b] = sides;
  a.advertised = crypto.randomBytes(32);
  a.path.inject(a.peer, SYN, 0);
  flush();
  assert.deepEqual(b.discoKeys, [discoPublic(a.advertised)]);
  assert.deepEqual(a.discoKeys, []);
  a.path.inject(a.peer, SYN, 0);
  flush();
  assert.equal(b.discoKeys.length, 1);
});

test('a peer that greets through the relay is answered there too, whatever direct path is trusted', () => {
  const direct = pair();
  direct.sides[0].path.inject(direct.sides[0].peer, SYN, 0);
  direct.flush();
  assert.deepEqual(direct.sides[1].replies, []);
  const { sides, flush } = pair();
  const [a, b] = sides;
  a.path.inject(a.peer, SYN, 0);
  flush('relay');
  assert.deepEqual(b.replies, [{ kind: 'relay', type: 2 }]);
  assert.deepEqual(a.replies, []);
});
