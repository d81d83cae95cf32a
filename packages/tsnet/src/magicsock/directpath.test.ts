import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '@cove/protocol/bytes';
import fc from 'fast-check';
import {
  ACTIVE_FOR,
  DirectPath,
  HEARTBEAT_INTERVAL,
  MAX_CANDIDATES,
  PING_SPACING,
  PING_TIMEOUT,
  QUIET_AFTER,
  SUSPECT_GRACE,
  TRUST_FOR,
  UPGRADE_INTERVAL,
} from './directpath.ts';
import { type DatagramPath, PathTable, type UdpPath, type ViaPath } from './paths.ts';
import { ViaPaths } from './viapaths.ts';

const at = (n: number, port = 41641): { address: string; port: number } => ({
  address: `198.51.100.${n}`,
  port,
});
const NEAR = { address: '192.168.1.5', port: 41641 };

/** A DirectPath on a clock of the test's own, its pings and what it told. */
class Bench {
  now = 1_000_000;
  readonly paths = new PathTable();
  readonly vias = new ViaPaths(this.paths);
  readonly pings: { to: string; path: DatagramPath; txId: Uint8Array; at: number }[] = [];
  readonly changes: (string | undefined)[] = [];
  calls = 0;
  searches = 0;
  silent = false;
  /** The path by which the peer's packets come. */
  heard = '';
  hasRelays = false;
  /** Whether something was sent lately when trust was lost. */
  readonly losses: boolean[] = [];
  #nextTxId = 1;
  readonly direct: DirectPath = new DirectPath(this.paths, this.vias, {
    newTxId: () => fromHex((this.#nextTxId++).toString(16).padStart(24, '0')),
    ping: (path, txId) => this.pings.push({ to: path.text, path, txId, at: this.now }),
    callPeer: () => this.calls++,
    isSilent: () => this.silent,
    hasHeard: (path) => path.text === this.heard,
    seekRelay: () => {
      this.searches++;
      return this.hasRelays;
    },
    pathChanged: (path) => this.changes.push(path?.text),
    trustLost: (isActive) => this.losses.push(isActive),
  });

  /** Runs the timers up to a later time. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (let steps = 0; this.direct.nextTick <= end; steps++) {
      assert.ok(steps < 10_000, 'timers that never end');
      this.now = Math.max(this.now, this.direct.nextTick);
      this.direct.tick(this.now);
    }
    this.now = end;
  }

  /** Runs the timers for this long; every ping to the address is answered. */
  answer(ms: number, address: string, latency: number): void {
    const end = this.now + ms;
    while (this.now < end) {
      const known = this.pings.length;
      this.advance(Math.max(0, Math.min(end, this.direct.nextTick) - this.now));
      for (const { txId } of this.pings.slice(known).filter(({ to }) => to === address)) {
        this.advance(latency);
        this.direct.heardPong(txId, this.now);
      }
    }
  }

  /** Where pings went since the last time. */
  pinged(): string[] {
    return this.pings.splice(0).map(({ to }) => to);
  }

  /** The latest ping to an address is answered after `latency`. */
  pong(address: string, latency = 10): boolean {
    const ping = this.pings.findLast(({ to }) => to === address);
    assert.ok(ping, `no ping to ${address}`);
    this.advance(latency);
    return this.direct.heardPong(ping.txId, this.now);
  }

  /** A trusted path to an address of the map. */
  trust(n = 1, latency = 10): this {
    this.direct.setMapCandidates([at(n)]);
    this.direct.noteSend(this.now);
    this.pong(`198.51.100.${n}:41641`, latency);
    this.pings.length = 0;
    this.calls = 0;
    return this;
  }

  get best(): string | undefined {
    return this.direct.best?.text;
  }

  get trusted(): boolean {
    return this.direct.isTrusted(this.now);
  }
}

test('with no candidates nothing is pinged and nobody is called', () => {
  const b = new Bench();
  b.direct.noteSend(b.now);
  b.advance(60_000);
  assert.deepEqual([b.pinged(), b.calls], [[], 0]);
  assert.equal(b.direct.nextTick, Number.POSITIVE_INFINITY);
});

test('a peer nothing is sent to costs no timer, whatever the map says', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1), at(2)]);
  assert.equal(b.direct.nextTick, Number.POSITIVE_INFINITY);
});

test('the first packet pings every candidate and calls the peer, once per 5 s', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1), at(2)]);
  b.direct.noteSend(b.now);
  assert.deepEqual(b.pinged(), ['198.51.100.1:41641', '198.51.100.2:41641']);
  assert.equal(b.calls, 1);
  for (let i = 0; i < 100; i++) {
    b.now += 40;
    b.direct.noteSend(b.now);
  }
  assert.deepEqual([b.pinged(), b.calls], [[], 1]);
  b.now += PING_SPACING;
  b.direct.noteSend(b.now);
  assert.deepEqual([b.pinged().length, b.calls], [2, 2]);
});

test('a pong makes its address the best path and trusts it for 6.5 s', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1)]);
  b.direct.noteSend(b.now);
  assert.equal(b.trusted, false);
  assert.equal(b.pong('198.51.100.1:41641'), true);
  assert.equal(b.best, '198.51.100.1:41641');
  assert.deepEqual(b.changes, ['198.51.100.1:41641']);
  assert.equal(b.direct.isTrusted(b.now + TRUST_FOR), true);
  assert.equal(b.direct.isTrusted(b.now + TRUST_FOR + 1), false);
});

test('while trusted: a heartbeat every 3 s to the best path alone, for 45 s after the last packet', () => {
  const b = new Bench().trust(1, 2);
  b.direct.setMapCandidates([at(1), at(2)]);
  const begun = b.now;
  let beats = 0;
  for (let i = 0; i < 40; i++) {
    b.advance(HEARTBEAT_INTERVAL);
    if (b.pings.length === 0) break;
    assert.equal(b.pong('198.51.100.1:41641', 2), true);
    assert.deepEqual(b.pinged(), ['198.51.100.1:41641']);
    beats++;
  }
  assert.equal(beats, Math.floor(ACTIVE_FOR / HEARTBEAT_INTERVAL));
  assert.ok(b.now - begun > ACTIVE_FOR);
  b.advance(TRUST_FOR);
  assert.equal(b.direct.nextTick, Number.POSITIVE_INFINITY, 'asleep');
  b.direct.noteSend(b.now);
  assert.equal(b.pinged().length, 2, 'awake');
});

test('pongs stop: the heartbeat is repeated, trust ends in a second, is told once, and the path goes when its ping times out', () => {
  const b = new Bench().trust(1, 10);
  b.advance(HEARTBEAT_INTERVAL - 10);
  assert.deepEqual(b.pinged(), ['198.51.100.1:41641']);
  b.advance(SUSPECT_GRACE);
  assert.deepEqual(b.pinged(), ['198.51.100.1:41641']);
  b.advance(SUSPECT_GRACE);
  assert.deepEqual([b.trusted, b.losses], [true, []]);
  b.advance(1);
  assert.deepEqual([b.trusted, b.losses, b.best], [false, [true], '198.51.100.1:41641']);
  b.advance(PING_TIMEOUT);
  assert.deepEqual([b.best, b.losses], [undefined, [true]]);
  assert.equal(b.changes.at(-1), undefined);
});

test('nothing is sent for a second: the path is asked once, and trust ends a second later if it does not answer', () => {
  for (const answers of [true, false]) {
    const b = new Bench().trust();
    for (let i = 0; i < 42; i++) {
      b.answer(100, '198.51.100.1:41641', 1);
      b.direct.noteSend(b.now);
    }
    b.pings.length = 0;
    b.advance(QUIET_AFTER - 2);
    assert.deepEqual(b.pinged(), []);
    b.advance(2);
    assert.equal(b.pings.length, 1);
    if (answers) b.pong('198.51.100.1:41641', 1);
    // The next heartbeat is not due before.
    b.advance(2 * SUSPECT_GRACE - (answers ? 300 : -1));
    assert.deepEqual([b.trusted, b.losses], answers ? [true, []] : [false, [true]]);
  }
});

test('a heartbeat whose answer takes longer than half a second costs one more ping and no trust', () => {
  const b = new Bench().trust(1, 10);
  b.advance(HEARTBEAT_INTERVAL - 10);
  const [first] = b.pings.splice(0);
  b.advance(SUSPECT_GRACE + 400);
  assert.equal(b.pings.length, 1);
  assert.equal(b.direct.heardPong(first!.txId, b.now), true);
  b.advance(2_000);
  assert.deepEqual([b.trusted, b.losses], [true, []]);
});

test('a path that only the peer uses has no heartbeat of ours: trust ends 6.5 s after its last pong', () => {
  const b = new Bench();
  b.direct.called([at(1)], b.now);
  b.pong('198.51.100.1:41641');
  b.advance(TRUST_FOR);
  assert.deepEqual([b.trusted, b.losses], [true, []]);
  b.advance(1);
  assert.deepEqual([b.trusted, b.losses], [false, [false]]);
});

test('a lost path is searched for as long as packets were sent lately, and found again', () => {
  const b = new Bench().trust();
  b.advance(15_000);
  assert.equal(b.best, undefined);
  assert.ok(b.calls > 0, 'the peer is called');
  assert.equal(b.pong('198.51.100.1:41641'), true);
  assert.equal(b.trusted, true);
});

test('a slow direct path is searched for a better one every minute, a fast one never', () => {
  for (const [latency, wanted] of [
    [10, true],
    [2, false],
  ] as const) {
    const b = new Bench().trust(1, latency);
    b.direct.setMapCandidates([at(1), at(2)]);
    let others = 0;
    for (let t = 0; t < UPGRADE_INTERVAL + 10_000; t += HEARTBEAT_INTERVAL) {
      b.direct.noteSend(b.now);
      b.answer(HEARTBEAT_INTERVAL, '198.51.100.1:41641', latency);
      others += b.pinged().filter((to) => to !== '198.51.100.1:41641').length;
    }
    assert.equal(others, wanted ? 1 : 0, `${latency} ms`);
  }
});

test('a better candidate replaces a trusted path, a worse one does not', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1), NEAR]);
  b.direct.noteSend(b.now);
  b.pong('198.51.100.1:41641', 10);
  b.pong('192.168.1.5:41641', 1);
  assert.equal(b.best, '192.168.1.5:41641');
  const c = new Bench();
  c.direct.setMapCandidates([NEAR, at(1)]);
  c.direct.noteSend(c.now);
  c.pong('192.168.1.5:41641', 10);
  c.pong('198.51.100.1:41641', 1);
  assert.equal(c.best, '192.168.1.5:41641');
});

test('an untrusted path gives way to whatever answers', () => {
  const b = new Bench();
  b.direct.setMapCandidates([NEAR, at(1)]);
  b.direct.noteSend(b.now);
  b.pong('192.168.1.5:41641', 1);
  b.now += TRUST_FOR + 1;
  b.direct.noteSend(b.now);
  b.pong('198.51.100.1:41641', 200);
  assert.equal(b.best, '198.51.100.1:41641');
});

test('a call pings at once the addresses it names, without calling back, whatever was pinged just now', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1)]);
  b.direct.noteSend(b.now);
  assert.deepEqual(b.pinged(), ['198.51.100.1:41641']);
  b.direct.called([at(2), at(3)], b.now);
  assert.deepEqual(b.pinged(), ['198.51.100.1:41641', '198.51.100.2:41641', '198.51.100.3:41641']);
  assert.equal(b.calls, 1);
  b.direct.called([at(3)], b.now);
  assert.deepEqual(
    b.pinged(),
    ['198.51.100.1:41641', '198.51.100.3:41641'],
    'the next call counts',
  );
});

test('a pong after a call alone makes a path, for a peer we send nothing to', () => {
  const b = new Bench();
  b.direct.called([at(2)], b.now);
  assert.equal(b.pong('198.51.100.2:41641'), true);
  assert.equal(b.trusted, true);
  b.advance(TRUST_FOR + 1);
  assert.equal(b.direct.nextTick, Number.POSITIVE_INFINITY);
});

test('the source of a ping becomes a candidate for 45 s, is not pinged back, but with the next packet', () => {
  const b = new Bench();
  assert.equal(b.direct.heardPing('203.0.113.9', 1234, new Uint8Array(12).fill(7), b.now), true);
  assert.deepEqual(b.pinged(), []);
  b.direct.noteSend(b.now);
  assert.deepEqual(b.pinged(), ['203.0.113.9:1234']);
  b.now += ACTIVE_FOR + 1;
  b.direct.noteSend(b.now);
  assert.deepEqual(b.pinged(), []);
  assert.equal(b.paths.size, 0, 'its path is given back');
});

test('the same ping from the same address counts once, a new one again', () => {
  const b = new Bench();
  const txId = new Uint8Array(12).fill(7);
  assert.equal(b.direct.heardPing('203.0.113.9', 1, txId, b.now), true);
  assert.equal(b.direct.heardPing('203.0.113.9', 1, txId, b.now), false);
  assert.equal(b.direct.heardPing('203.0.113.9', 1, new Uint8Array(12).fill(8), b.now), true);
});

test('pings from a thousand addresses leave a hundred candidates, those of the map among them', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1)]);
  for (let port = 1; port <= 1000; port++) {
    b.now++;
    b.direct.heardPing('203.0.113.9', port, fromHex(port.toString(16).padStart(24, '0')), b.now);
  }
  const left = [...b.direct.candidates].map(({ text }) => text);
  assert.equal(left.length, MAX_CANDIDATES);
  assert.equal(b.paths.size, MAX_CANDIDATES);
  assert.ok(left.includes('198.51.100.1:41641'));
  assert.ok(left.includes('203.0.113.9:1000'));
});

test('a call with a thousand addresses is cut at a hundred', () => {
  const b = new Bench();
  b.direct.called(
    Array.from({ length: 1000 }, (_, i) => at(1, i + 1)),
    b.now,
  );
  assert.equal(b.pinged().length, MAX_CANDIDATES);
});

test('a pong that answers no ping, a second time, or too late, does nothing', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1)]);
  b.direct.noteSend(b.now);
  assert.equal(b.direct.heardPong(new Uint8Array(12).fill(9), b.now), false);
  const { txId } = b.pings[0]!;
  b.advance(10);
  assert.equal(b.direct.heardPong(txId, b.now), true);
  b.advance(TRUST_FOR + 1);
  assert.equal(b.direct.heardPong(txId, b.now), false);
  assert.equal(b.trusted, false);
  const late = b.pings.at(-1)!;
  b.advance(PING_TIMEOUT);
  assert.equal(b.direct.heardPong(late.txId, b.now), false);
});

test('a pong for an address that is no candidate any more does nothing', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1)]);
  b.direct.noteSend(b.now);
  b.direct.setMapCandidates([at(2)]);
  assert.equal(b.pong('198.51.100.1:41641'), false);
  assert.equal(b.best, undefined);
});

test('a best path that leaves the map is dropped at once', () => {
  const b = new Bench().trust();
  b.direct.setMapCandidates([at(2)]);
  assert.equal(b.best, undefined);
});

test('the peer restarted: trust ends at once, the path stays until it times out', () => {
  const b = new Bench().trust();
  b.direct.distrust();
  assert.deepEqual([b.trusted, b.best], [false, '198.51.100.1:41641']);
  b.direct.noteSend(b.now);
  b.advance(PING_TIMEOUT + 1);
  assert.equal(b.best, undefined);
});

test('the network changed: no path is used before it answers, all candidates are pinged anew', () => {
  const b = new Bench().trust();
  b.direct.reset();
  assert.equal(b.best, undefined);
  b.direct.noteSend(b.now);
  assert.deepEqual(b.pinged(), ['198.51.100.1:41641']);
});

test('an address the system cannot reach is no path any more', () => {
  const b = new Bench().trust();
  b.direct.unreachable(b.paths.find('203.0.113.1', 1)!);
  assert.equal(b.trusted, true);
  b.direct.unreachable(b.direct.best as UdpPath);
  assert.equal(b.best, undefined);
});

test('a suspected path that answers stays trusted, one that does not loses it in half a second', () => {
  for (const answers of [true, false]) {
    const b = new Bench().trust();
    b.advance(2_000);
    b.direct.suspect(b.now);
    b.direct.suspect(b.now);
    assert.deepEqual(
      b.pings.map(({ to }) => to),
      ['198.51.100.1:41641'],
      'asked once',
    );
    if (answers) b.pong('198.51.100.1:41641');
    b.advance(SUSPECT_GRACE + 10);
    assert.deepEqual([b.trusted, b.losses], answers ? [true, []] : [false, [true]]);
  }
});

test('a path that answered within the last second is not suspected', () => {
  const b = new Bench().trust();
  b.advance(900);
  b.direct.suspect(b.now);
  assert.deepEqual(b.pinged(), []);
});

test('a person’s ping asks the trusted path alone, or all candidates, and every pong is told', () => {
  const b = new Bench();
  const pongs: string[] = [];
  b.direct.setMapCandidates([at(1), at(2)]);
  b.direct.ping(b.now, ({ path, latency }) => pongs.push(`${path.text} ${latency}`));
  assert.equal(b.calls, 1);
  b.pong('198.51.100.2:41641', 5);
  assert.deepEqual(pongs, ['198.51.100.2:41641 5']);
  b.pings.length = 0;
  b.direct.ping(b.now, () => {});
  assert.deepEqual(b.pinged(), ['198.51.100.2:41641']);
});

const SERVER = new Uint8Array(32).fill(1);
const OTHER_SERVER = new Uint8Array(32).fill(2);

function via(b: Bench, n: number, vni = 1): ViaPath {
  return b.vias.find(b.paths.find(`203.0.113.${n}`, 40_000)!, vni);
}

test('a peer relay is looked for at once where no direct path works, then every 30 s', () => {
  const b = new Bench();
  b.direct.noteSend(b.now);
  b.direct.noteSend(b.now);
  assert.equal(b.searches, 2, 'while there is none to ask, asking costs nothing');
  b.hasRelays = true;
  b.direct.noteSend(b.now);
  for (let i = 0; i < 29; i++) {
    b.advance(1_000);
    b.direct.noteSend(b.now);
  }
  assert.equal(b.searches, 3);
  b.advance(1_000);
  b.direct.noteSend(b.now);
  assert.equal(b.searches, 4);
  const direct = new Bench().trust();
  direct.searches = 0;
  direct.hasRelays = true;
  direct.direct.noteSend(direct.now);
  assert.equal(direct.searches, 0);
});

test('after the network changed, or the peer restarted, a peer relay is looked for without waiting', () => {
  const b = new Bench();
  b.hasRelays = true;
  b.direct.noteSend(b.now);
  b.direct.reset();
  b.direct.noteSend(b.now);
  b.direct.distrust();
  b.direct.noteSend(b.now);
  b.direct.noteSend(b.now);
  assert.equal(b.searches, 3);
});

test('a peer relay is used where no direct path works, pinged, and lost like any path', () => {
  const b = new Bench();
  b.direct.noteSend(b.now);
  b.direct.relayReady(via(b, 1), SERVER, 20, b.now);
  assert.deepEqual([b.best, b.trusted], ['203.0.113.1:40000:vni:1', true]);
  assert.equal(b.direct.isDirect(b.now), false);
  assert.equal(b.direct.isThrough(SERVER, 1, b.now), true);
  assert.equal(b.direct.isThrough(SERVER, 2, b.now), false);
  assert.equal(b.direct.isThrough(OTHER_SERVER, 1, b.now), false);
  b.answer(HEARTBEAT_INTERVAL, '203.0.113.1:40000:vni:1', 10);
  assert.deepEqual(new Set(b.pinged()), new Set(['203.0.113.1:40000:vni:1']));
  b.advance(HEARTBEAT_INTERVAL - 10);
  assert.deepEqual([b.pinged().length, b.trusted], [1, true]);
  b.advance(2 * SUSPECT_GRACE + 10);
  assert.deepEqual([b.trusted, b.direct.isThrough(SERVER, 1, b.now)], [false, false]);
  b.advance(20_000);
  assert.equal(b.best, undefined);
  b.direct.close();
  assert.equal(b.paths.size, 0);
});

test('behind a peer relay direct paths are looked for still, and the first that answers is used', () => {
  const b = new Bench();
  b.direct.setMapCandidates([at(1)]);
  b.direct.relayReady(via(b, 1), SERVER, 1, b.now);
  b.direct.noteSend(b.now);
  assert.deepEqual([b.pinged(), b.calls], [['198.51.100.1:41641'], 1]);
  b.now += PING_SPACING;
  b.direct.noteSend(b.now);
  b.pong('198.51.100.1:41641', 300);
  assert.equal(b.best, '198.51.100.1:41641');
  b.direct.relayReady(via(b, 1), SERVER, 1, b.now);
  assert.equal(b.best, '198.51.100.1:41641');
});

test('of two peer relays the faster one is used; of one relay the address that was bound last', () => {
  const b = new Bench();
  b.direct.relayReady(via(b, 1), SERVER, 10, b.now);
  b.direct.relayReady(via(b, 2), OTHER_SERVER, 20, b.now);
  assert.equal(b.best, '203.0.113.1:40000:vni:1');
  b.direct.relayReady(via(b, 3), SERVER, 30, b.now);
  assert.equal(b.best, '203.0.113.3:40000:vni:1');
  b.direct.relayReady(via(b, 2), OTHER_SERVER, 20, b.now);
  assert.equal(b.best, '203.0.113.2:40000:vni:1');
  b.direct.unreachable(b.paths.find('203.0.113.2', 40_000)!);
  assert.equal(b.best, undefined);
  b.direct.close();
  assert.equal(b.paths.size, 0);
});

test('who found its peer relay searches again every minute; who was found leaves that to the peer', () => {
  for (const searched of [true, false]) {
    const b = new Bench();
    b.hasRelays = searched;
    b.direct.noteSend(b.now);
    b.hasRelays = true;
    b.searches = 0;
    b.direct.relayReady(via(b, 1), SERVER, 10, b.now);
    const step = (seconds: number): void => {
      for (let i = 0; i < seconds; i++) {
        b.advance(1_000);
        b.direct.noteSend(b.now);
        if (b.pings.some(({ to }) => to.includes('vni'))) b.pong('203.0.113.1:40000:vni:1', 0);
        b.pings.length = 0;
      }
    };
    step(59);
    assert.equal(b.searches, 0);
    step(2);
    assert.equal(b.searches, searched ? 1 : 0);
  }
});

test('a pong through a peer relay that is not in use any more makes no path', () => {
  const b = new Bench();
  b.direct.relayReady(via(b, 1), SERVER, 10, b.now);
  b.direct.noteSend(b.now);
  b.advance(HEARTBEAT_INTERVAL);
  b.direct.relayReady(via(b, 2), SERVER, 10, b.now);
  assert.equal(b.pong('203.0.113.1:40000:vni:1'), false);
  assert.equal(b.best, '203.0.113.2:40000:vni:1');
});

test('where heartbeats are not wanted, a path is trusted for as long as the peer is heard by it', () => {
  const b = new Bench().trust();
  b.silent = true;
  b.heard = '198.51.100.1:41641';
  for (let i = 0; i < 20; i++) {
    b.advance(1_000);
    b.direct.noteSend(b.now);
  }
  assert.deepEqual([b.trusted, b.pinged()], [true, []]);
  b.heard = '198.51.100.2:41641';
  b.advance(HEARTBEAT_INTERVAL + TRUST_FOR);
  assert.deepEqual([b.trusted, b.pinged()], [false, []]);
  b.direct.noteSend(b.now);
  assert.deepEqual(b.pinged(), ['198.51.100.1:41641'], 'who sends looks for a path');
});

test('closing gives every path back', () => {
  const b = new Bench().trust();
  b.direct.heardPing('203.0.113.9', 1, new Uint8Array(12), b.now);
  b.direct.close();
  assert.equal(b.paths.size, 0);
  assert.equal(b.direct.nextTick, Number.POSITIVE_INFINITY);
});

test('whatever happens: only answered addresses become paths, trust follows a pong, timers end, pings are spaced', () => {
  const address = fc.integer({ min: 1, max: 5 });
  const event = fc.oneof(
    fc.record({ kind: fc.constant('send' as const) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
    fc.record({ kind: fc.constant('map' as const), of: fc.array(address, { maxLength: 4 }) }),
    fc.record({ kind: fc.constant('call' as const), of: fc.array(address, { maxLength: 4 }) }),
    fc.record({ kind: fc.constant('heard' as const), from: address, id: fc.nat(3) }),
    fc.record({ kind: fc.constant('pong' as const), which: fc.nat(20) }),
    fc.record({ kind: fc.constant('forged' as const), id: fc.nat() }),
    fc.record({ kind: fc.constant('suspect' as const) }),
    fc.record({ kind: fc.constant('distrust' as const) }),
    fc.record({ kind: fc.constant('reset' as const) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const b = new Bench();
      const answered = new Set<string>();
      let lastPong = Number.NEGATIVE_INFINITY;
      for (const e of events) {
        if (e.kind === 'send') b.direct.noteSend(b.now);
        else if (e.kind === 'wait') b.advance(e.ms);
        else if (e.kind === 'map') b.direct.setMapCandidates(e.of.map((n) => at(n)));
        else if (e.kind === 'call')
          b.direct.called(
            e.of.map((n) => at(n)),
            b.now,
          );
        else if (e.kind === 'heard')
          b.direct.heardPing(`198.51.100.${e.from}`, 41641, new Uint8Array(12).fill(e.id), b.now);
        else if (e.kind === 'pong') {
          const ping = b.pings[b.pings.length - 1 - e.which];
          if (ping && b.direct.heardPong(ping.txId, b.now)) {
            assert.ok(b.now - ping.at < PING_TIMEOUT + 1);
            answered.add(ping.to);
            lastPong = b.now;
          }
        } else if (e.kind === 'forged')
          assert.equal(
            b.direct.heardPong(fromHex(`ff${e.id.toString(16).padStart(22, '0')}`), b.now),
            false,
          );
        else if (e.kind === 'suspect') b.direct.suspect(b.now);
        else if (e.kind === 'distrust') b.direct.distrust();
        else b.direct.reset();
        if (b.best !== undefined) {
          assert.ok(answered.has(b.best));
          assert.ok([...b.direct.candidates].includes(b.direct.best as UdpPath));
        }
        if (b.trusted) assert.ok(b.now - lastPong <= TRUST_FOR);
        assert.equal(new Set(b.pings.map(({ txId }) => toHex(txId))).size, b.pings.length);
      }
      b.advance(200_000);
      assert.equal(b.direct.nextTick, Number.POSITIVE_INFINITY);
      assert.equal(b.trusted, false);
      b.direct.close();
      assert.equal(b.paths.size, 0);
    }),
  );
});
