// Two engines whose datagrams reach only relays, and a peer relay that the policy grants them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, test } from 'node:test';
import { GeneveProtocol, writeGeneve } from '@cove/protocol/geneve';
import { publicBytes } from '@cove/protocol/keys';
import type { FilterRule } from '@cove/protocol/tailcfg';
import { openUdp, type UdpOpen, type UdpTransport } from './magicsock/udpsocket.ts';
import { ALLOW_ALL } from './testing/maps.ts';
import { TestPeerRelay } from './testing/peerrelay.ts';
import { type TestEngine, TestTailnet, until } from './testing/tailnet.ts';

const RELAY_ID = 9;
const GRANT: FilterRule = {
  SrcIPs: [`100.64.0.${RELAY_ID}`],
  CapGrant: [{ Dsts: ['100.64.0.0/10'], CapMap: { 'tailscale.com/cap/relay-target': [] } }],
};

let net: TestTailnet;
let relay: TestPeerRelay;
/** Does the peer relay reach anybody? */
let isCut = false;
/** Of a and b. */
let opened: UdpTransport[] = [];

afterEach(async () => {
  await net.close();
  await relay.close();
});

/** Sockets that hear nobody but the peer relay: every NAT is a hard one. */
const apart: UdpOpen = (options) => {
  const sockets = openUdp({
    ...options,
    handler: {
      ...options.handler,
      packet: (buf, offset, length, from) => {
        if (from.port === relay.port && !isCut) options.handler.packet(buf, offset, length, from);
      },
    },
  });
  opened.push(sockets);
  return sockets;
};

async function setup(rules: readonly FilterRule[] = [GRANT]): Promise<[TestEngine, TestEngine]> {
  isCut = false;
  opened = [];
  net = await TestTailnet.start();
  relay = await TestPeerRelay.start(RELAY_ID, net.derpMap);
  const a = net.add({ Cap: 121 }, { openUdp: apart });
  const b = net.add({ Cap: 121 }, { openUdp: apart });
  for (const each of [a, b]) {
    const map = net.mapFor(each, { filterRules: [...ALLOW_ALL, ...rules] });
    const peers = new Map([...map.peers, [RELAY_ID, relay.node]]);
    each.engine.setNetworkMap({ ...map, peers });
  }
  await until(() => a.connected.length > 0 && b.connected.length > 0, 'relays are up');
  return [a, b];
}

const pathOf = ({ engine }: TestEngine): string | undefined => engine.peerStatus()[0]?.peerRelay;

test('nodes that cannot hear each other find the peer relay, and a transfer goes through it', async () => {
  const [a, b] = await setup();
  b.engine.listenTcp({ port: 7 }).on('connection', (conn) => conn.pipe(conn));
  const conn = await a.engine.dialTcp({ address: '100.64.0.2', port: 7 });
  await until(() => pathOf(a) !== undefined && pathOf(b) !== undefined, 'through the relay');
  assert.equal(pathOf(a), `127.0.0.1:${relay.port}:vni:1`);
  const { peerRelay } = await a.engine.ping({ address: '100.64.0.2', type: 'disco' });
  assert.equal(peerRelay, pathOf(a));
  const before = a.engine.counters();
  const data = randomBytes(1 << 20);
  const chunks: Buffer[] = [];
  conn.on('data', (chunk: Buffer) => chunks.push(chunk));
  conn.end(data);
  await until(() => Buffer.concat(chunks).length === data.length, 'all of it', 10_000);
  assert.ok(Buffer.concat(chunks).equals(data));
  const after = a.engine.counters();
  assert.ok(after['peer_relay_packets_out']! - before['peer_relay_packets_out']! > 800);
  assert.ok(after['peer_relay_packets_in']! - before['peer_relay_packets_in']! > 800);
  assert.ok(after['relay_packets_out']! - before['relay_packets_out']! < 50);
  assert.ok(relay.forwarded > 1_600);
});

test('without the capability nobody is asked', async () => {
  const [a] = await setup([]);
  await a.engine.ping({ address: '100.64.0.2', type: 'tsmp' });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(pathOf(a), undefined);
  assert.equal(relay.forwarded, 0);
});

test('a peer relay that falls silent is left for the relay within seconds', async () => {
  const [a, b] = await setup();
  await a.engine.ping({ address: '100.64.0.2', type: 'tsmp' });
  await until(() => pathOf(a) !== undefined && pathOf(b) !== undefined, 'through the relay');
  isCut = true;
  const begun = performance.now();
  for (;;) {
    const answered = await a.engine
      .ping({ address: '100.64.0.2', type: 'tsmp', timeout: 500 })
      .catch(() => undefined);
    if (answered?.relay === 1) break;
    assert.ok(performance.now() - begun < 8_000, 'still waiting');
  }
  assert.equal(pathOf(a), undefined);
});

test('forged, cut and misaddressed datagrams of a peer relay are counted and change nothing', async () => {
  const [a] = await setup();
  await a.engine.ping({ address: '100.64.0.2', type: 'tsmp' });
  await until(() => pathOf(a) !== undefined, 'through the relay');
  const path = pathOf(a);
  const port = opened[0]!.port(4);
  const send = (protocol: number, vni: number, isControl: boolean, inner: Uint8Array): void => {
    const datagram = new Uint8Array(8 + inner.length);
    writeGeneve(datagram, protocol, vni, isControl);
    datagram.set(inner, 8);
    relay.send(port, datagram);
  };
  const { disco, wireguard } = GeneveProtocol;
  const before = a.engine.counters();
  const grown = (name: string): number => a.engine.counters()[name]! - before[name]!;
  const envelope = randomBytes(120);
  envelope.set([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]);
  // Of strangers, to us and as if from a relay.
  send(disco, 1, false, envelope);
  send(disco, 1, true, envelope);
  // From a peer's disco key, not sealed with it; the same cut short.
  const forged = Uint8Array.from(envelope);
  forged.set(publicBytes(relay.node.DiscoKey!), 6);
  send(disco, 2, false, forged);
  send(disco, 1, false, forged.subarray(0, 50));
  // No envelope at all, and control of WireGuard.
  send(disco, 1, false, randomBytes(40));
  send(wireguard, 1, true, randomBytes(64));
  // WireGuard of nobody, under our number and another.
  for (const vni of [1, 77]) {
    const packet = randomBytes(64);
    packet.set([4, 0, 0, 0]);
    send(wireguard, vni, false, packet);
  }
  await until(() => grown('wireguard_unknown_index') === 2, 'everything arrived');
  assert.equal(grown('drop_in_disco'), 2);
  assert.equal(grown('drop_in_disco_malformed'), 2);
  assert.equal(grown('drop_in_noise'), 2);
  assert.equal(pathOf(a), path);
  const { peerRelay } = await a.engine.ping({ address: '100.64.0.2', type: 'disco' });
  assert.equal(peerRelay, path);
});
