import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DERPMap, DERPRegion } from '@cove/protocol/tailcfg';
import { silent } from '../log.ts';
import { VirtualClock } from '../testing/virtualclock.ts';
import { type RelayClient, type RelayEvents, Relays } from './derp.ts';

/** A relay connection that does what the test says. */
class FakeRelay implements RelayClient {
  readonly region: DERPRegion;
  readonly events: RelayEvents;
  readonly sent: string[] = [];
  readonly preferred: boolean[] = [];
  queuedBytes = 0;
  lastReceivedAt = 0;
  isClosed = false;

  constructor(region: DERPRegion, events: RelayEvents) {
    this.region = region;
    this.events = events;
  }

  send(key: Uint8Array, buf: Uint8Array, offset: number, length: number): void {
    this.sent.push(`${key[0]}:${Buffer.from(buf.subarray(offset, offset + length))}`);
  }

  notePreferred(home: boolean): void {
    this.preferred.push(home);
  }

  ping(): Promise<number> {
    return Promise.resolve(this.region.RegionID * 10);
  }

  close(): void {
    this.isClosed = true;
  }
}

function region(id: number, host = 'relay.example'): DERPRegion {
  return {
    RegionID: id,
    RegionCode: `r${id}`,
    RegionName: `R${id}`,
    Nodes: [{ Name: `${id}a`, RegionID: id, HostName: host }],
  };
}

function mapOf(...regions: DERPRegion[]): DERPMap {
  return { Regions: Object.fromEntries(regions.map((r) => [r.RegionID, r])) };
}

function setup(): {
  clock: VirtualClock;
  relays: Relays;
  dialled: FakeRelay[];
  heard: string[];
  last(): FakeRelay;
} {
  const clock = new VirtualClock();
  const dialled: FakeRelay[] = [];
  const heard: string[] = [];
  const relays = new Relays({
    clock,
    log: silent,
    random: () => 0.5,
    dial: (to, events) => {
      const relay = new FakeRelay(to, events);
      dialled.push(relay);
      return relay;
    },
    sink: {
      packet: (id, source, packet) => heard.push(`packet ${id} ${source[0]} ${packet.length}`),
      peerGone: (id, key) => heard.push(`gone ${id} ${key[0]}`),
      regionLost: (id) => heard.push(`lost ${id}`),
      connected: (id, home) => heard.push(`connected ${id} ${home}`),
      congested: (on) => heard.push(`congested ${on}`),
    },
  });
  relays.setMap(mapOf(region(1), region(2)));
  return { clock, relays, dialled, heard, last: () => dialled[dialled.length - 1]! };
}

const key = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const text = (value: string): Uint8Array => Buffer.from(value);

function send(relays: Relays, id: number, value: string, to = 7): boolean {
  const bytes = text(`..${value}..`);
  return relays.send(id, key(to), bytes, 2, bytes.length - 4);
}

test('the home is dialled at once, told so, and kept for ever', () => {
  const { clock, relays, dialled, heard } = setup();
  relays.setHome(1);
  assert.deepEqual(
    dialled.map((relay) => relay.region.RegionID),
    [1],
  );
  dialled[0]!.events.connected();
  assert.deepEqual(dialled[0]!.preferred, [true]);
  assert.deepEqual(heard, ['connected 1 true']);
  clock.advance(3_600_000);
  assert.equal(dialled[0]!.isClosed, false);
  assert.equal(dialled.length, 1);
});

test('packets wait for their connection, at most 32, the oldest dropped', () => {
  const { relays, last } = setup();
  for (let i = 0; i < 40; i++) send(relays, 2, `${i}`);
  assert.equal(relays.dropped, 8);
  last().events.connected();
  assert.equal(last().sent.length, 32);
  assert.equal(last().sent[0], '7:8');
  assert.deepEqual(last().preferred, [false]);
  send(relays, 2, 'now');
  assert.equal(last().sent[32], '7:now');
});

test('a region other than home closes after a minute without a write', () => {
  const { clock, relays, last, heard } = setup();
  relays.setHome(1);
  send(relays, 2, 'x');
  const relay = last();
  relay.events.connected();
  clock.advance(50_000);
  send(relays, 2, 'y');
  clock.advance(55_000);
  assert.equal(relay.isClosed, false);
  relay.events.packet(key(7), text('reading does not count'));
  clock.advance(25_000);
  assert.equal(relay.isClosed, true);
  assert.equal(heard[heard.length - 1], 'lost 2');
});

test('an unknown region takes no packets', () => {
  const { relays, dialled } = setup();
  assert.equal(send(relays, 9, 'x'), false);
  assert.equal(dialled.length, 0);
});

test('a home that fails is dialled again after n² x 10 ms, at most 5 s', () => {
  const { clock, relays, dialled, last } = setup();
  relays.setHome(1);
  for (const pause of [10, 40, 90, 160]) {
    last().events.closed(new Error('no'));
    const before = dialled.length;
    clock.advance(pause - 1);
    assert.equal(dialled.length, before, `not before ${pause} ms`);
    clock.advance(1);
    assert.equal(dialled.length, before + 1);
  }
  for (let i = 0; i < 60; i++) {
    last().events.closed(undefined);
    clock.advance(5_000);
  }
  assert.equal(dialled.length, 65, 'never more than 5 s between attempts');
});

test('only a connection that lasted ends the row of failures', () => {
  const { clock, relays, dialled, last } = setup();
  relays.setHome(1);
  for (let i = 0; i < 5; i++) {
    last().events.connected();
    clock.advance(5);
    last().events.closed(undefined);
    clock.advance(5_000);
  }
  let before = dialled.length;
  last().events.connected();
  last().events.closed(undefined);
  clock.advance(100);
  assert.equal(dialled.length, before, 'a relay that accepts and drops is not hammered');
  clock.advance(5_000);
  before = dialled.length;
  last().events.connected();
  clock.advance(10_000);
  last().events.closed(undefined);
  clock.advance(10);
  assert.equal(dialled.length, before + 1);
});

test('what waited for a broken connection goes out by the next one', () => {
  const { clock, relays, last } = setup();
  relays.setHome(1);
  send(relays, 1, 'patience');
  last().events.closed(new Error('no'));
  clock.advance(100);
  last().events.connected();
  assert.deepEqual(last().sent, ['7:patience']);
});

test('a lost region other than home comes back only when it is needed', () => {
  const { clock, relays, dialled, heard } = setup();
  send(relays, 2, 'x');
  dialled[0]!.events.connected();
  dialled[0]!.events.closed(undefined);
  assert.deepEqual(heard, ['connected 2 false', 'lost 2']);
  clock.advance(60_000);
  assert.equal(dialled.length, 1);
  send(relays, 2, 'y');
  clock.advance(5_000);
  assert.equal(dialled.length, 2);
});

test('a change of home is told to every open connection', () => {
  const { relays, dialled } = setup();
  relays.setHome(1);
  dialled[0]!.events.connected();
  send(relays, 2, 'x');
  dialled[1]!.events.connected();
  relays.setHome(2);
  assert.deepEqual(dialled[0]!.preferred, [true, false]);
  assert.deepEqual(dialled[1]!.preferred, [false, true]);
  assert.equal(dialled.length, 2);
});

test('a region that changes in the map is dialled anew, one that vanishes is not', () => {
  const { relays, dialled, heard } = setup();
  relays.setHome(1);
  dialled[0]!.events.connected();
  relays.setMap(mapOf(region(1), region(2)));
  assert.equal(dialled[0]!.isClosed, false, 'equal is no change');
  relays.setMap(mapOf(region(1, 'other.example'), region(2)));
  assert.equal(dialled[0]!.isClosed, true);
  assert.equal(dialled[1]!.region.Nodes[0]!.HostName, 'other.example');
  relays.setMap(mapOf(region(2)));
  assert.equal(dialled[1]!.isClosed, true);
  assert.equal(dialled.length, 2);
  assert.deepEqual(heard, ['connected 1 true', 'lost 1', 'lost 1']);
});

test('congestion is told once when any relay is full, and over when all have room', () => {
  const { relays, dialled, heard } = setup();
  for (const id of [1, 2]) send(relays, id, 'x');
  for (const relay of dialled) relay.events.connected();
  heard.length = 0;
  for (const relay of dialled) relay.queuedBytes = 100_000;
  for (const id of [1, 2, 1]) send(relays, id, 'x');
  assert.deepEqual(heard, ['congested true']);
  dialled[0]!.events.drained();
  assert.equal(heard.length, 1);
  dialled[1]!.events.closed(undefined);
  assert.deepEqual(heard.slice(1), ['congested false', 'lost 2']);
});

test('health problems are kept until they are over or the connection is', () => {
  const { relays, dialled } = setup();
  relays.setHome(1);
  dialled[0]!.events.connected();
  dialled[0]!.events.health('duplicate client');
  assert.deepEqual([...relays.health], [[1, 'duplicate client']]);
  dialled[0]!.events.health('');
  assert.equal(relays.health.size, 0);
  dialled[0]!.events.health('again');
  dialled[0]!.events.closed(undefined);
  assert.equal(relays.health.size, 0);
});

test('latency is asked of the open connection, else of one made for it', async () => {
  const { relays, dialled } = setup();
  const { signal } = new AbortController();
  relays.setHome(1);
  dialled[0]!.events.connected();
  assert.equal(await relays.latency(region(1), signal), 10);
  assert.equal(dialled.length, 1);
  const probing = relays.latency(region(2), signal);
  dialled[1]!.events.connected();
  assert.equal(await probing, 20);
  assert.equal(dialled[1]!.isClosed, true);
  const failing = relays.latency(region(2), signal);
  dialled[2]!.events.closed(new Error('unreachable'));
  await assert.rejects(failing, /unreachable/);
});

test('close ends everything, and nothing is dialled after', () => {
  const { clock, relays, dialled } = setup();
  relays.setHome(1);
  dialled[0]!.events.connected();
  send(relays, 2, 'x');
  relays.close();
  assert.ok(dialled.every((relay) => relay.isClosed));
  assert.equal(send(relays, 2, 'x'), false);
  clock.advance(600_000);
  assert.equal(dialled.length, 2);
  assert.equal(clock.pending, 0);
});
