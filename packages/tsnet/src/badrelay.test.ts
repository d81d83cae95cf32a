// A relay that drops, duplicates and reorders what goes through it, and one that says packets come from somebody else.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { publicBytes } from '@cove/protocol/keys';
import { systemClock } from './clock.ts';
import type { RelayDial, RelayEvents } from './magicsock/derp.ts';
import { relayDialer } from './magicsock/relaydial.ts';
import { noUdp } from './testing/noudp.ts';
import { crypto, type TestEngine, TestTailnet, until } from './testing/tailnet.ts';

let net: TestTailnet;

afterEach(async () => {
  await net.close();
});

/** An engine whose relay connections hand packets on as `mangle` has them. */
function addBehind(mangle: (deliver: RelayEvents['packet']) => RelayEvents['packet']): TestEngine {
  const dial: RelayDial = (region, events) =>
    relayDialer({ nodeKey: () => added.nodeKey, crypto, clock: systemClock })(region, {
      connected: () => events.connected(),
      packet: mangle((source, packet) => events.packet(source, packet)),
      peerGone: (key) => events.peerGone(key),
      health: (problem) => events.health(problem),
      drained: () => events.drained(),
      closed: (error) => events.closed(error),
    });
  const added: TestEngine = net.add({}, { openUdp: noUdp, dialRelay: dial });
  return added;
}

test('of every twenty packets one is lost, one comes twice and one late: a mebibyte arrives whole', async () => {
  net = await TestTailnet.start();
  let count = 0;
  const mangled = { dropped: 0, doubled: 0, late: 0 };
  const unreliable = (deliver: RelayEvents['packet']): RelayEvents['packet'] => {
    let late: { readonly source: Uint8Array; readonly packet: Uint8Array } | undefined;
    return (source, packet) => {
      const turn = count++ % 20;
      if (turn === 7) {
        mangled.dropped++;
        return;
      }
      if (turn === 13 && late === undefined) {
        late = { source: source.slice(), packet: packet.slice() };
        mangled.late++;
        return;
      }
      if (turn === 17) {
        mangled.doubled++;
        deliver(source, packet.slice());
      }
      deliver(source, packet);
      if (turn === 16 && late !== undefined) {
        deliver(late.source, late.packet);
        late = undefined;
      }
    };
  };
  const a = addBehind(unreliable);
  const b = addBehind(unreliable);
  net.publish();
  const data = randomBytes(1 << 20);
  const hash = createHash('sha256');
  let received = 0;
  b.engine.listenTcp({ port: 9 }).on('connection', (conn) => {
    conn.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      received += chunk.length;
    });
    conn.on('end', () => conn.end());
  });
  const conn = await a.engine.dialTcp({ address: '100.64.0.2', port: 9 });
  conn.end(data);
  conn.resume();
  await once(conn, 'close');
  assert.equal(received, data.length);
  assert.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));
  assert.ok(
    mangled.dropped > 5 && mangled.doubled > 5 && mangled.late > 5,
    JSON.stringify(mangled),
  );
  const { wireguard_replay: replays } = b.engine.counters();
  assert.ok(replays! > 0, 'what came twice was counted');
});

test('packets under the name of another peer, or of nobody, change nothing and are counted', async () => {
  net = await TestTailnet.start();
  const lie = { source: undefined as Uint8Array | undefined };
  const a = addBehind((deliver) => deliver);
  const b = addBehind((deliver) => (source, packet) => deliver(lie.source ?? source, packet));
  const c = addBehind((deliver) => deliver);
  net.publish();
  const got: string[] = [];
  b.engine
    .listenUdp({ port: 7 })
    .on('message', (_bytes, from: { address: string }) => got.push(from.address));
  const sender = a.engine.listenUdp({ port: 0 });
  sender.send('true', 7, '100.64.0.2');
  await until(() => got.length === 1, 'the first one');
  // WireGuard knows the sender by its session, whatever the relay says.
  lie.source = publicBytes(c.node.Key);
  sender.send('still a', 7, '100.64.0.2');
  await until(() => got.length === 2, 'one under the name of c');
  assert.deepEqual(got, ['100.64.0.1', '100.64.0.1']);
  lie.source = new Uint8Array(32).fill(9);
  const before = b.engine.counters()['drop_in_unknown_source']!;
  sender.send('nobody', 7, '100.64.0.2');
  await until(
    () => b.engine.counters()['drop_in_unknown_source']! > before,
    'one of an unknown key is counted',
  );
  assert.equal(got.length, 2);
});
