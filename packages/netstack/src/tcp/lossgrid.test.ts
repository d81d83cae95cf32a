// Goodput over the grid of round trips, loss and reordering: bytes equal, every packet checked on its way (testing/link.ts),
// nothing left afterwards, and no slower than a share of what the loss allows any Reno-like sender (Mathis et al. 1997:
// MSS / RTT x 1.22 / sqrt(p)) or of the link. COVE_GRID=full runs every cell with more data and seeds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TcpOptions } from '../api.ts';
import { Transfer } from '../testing/apps.ts';
import { type LinkConditions, SimNetwork } from '../testing/link.ts';

const FULL = process.env['COVE_GRID'] === 'full';
/** 100 Mbit/s, in bytes per millisecond. */
const RATE = 12_500;
const MSS = 1228;

interface Cell {
  /** Round trip, milliseconds. */
  readonly rtt: number;
  readonly loss: number;
  readonly reorder: number;
  /** Everything else the link does. */
  readonly more?: LinkConditions;
  readonly tcp?: Partial<TcpOptions>;
  /** Share of `allowed` that must be reached. */
  readonly floor: number;
}

/** Bytes per millisecond that the loss or the link allows. */
function allowed({ rtt, loss }: Cell): number {
  return loss === 0 ? RATE : Math.min(RATE, (MSS / rtt) * (1.22 / Math.sqrt(loss)));
}

/** Bytes per millisecond that arrived, the first third not counted: it is slow start's. */
function run(cell: Cell, seed: number, milliseconds: number): number {
  const { rtt, loss, reorder, more, tcp } = cell;
  const size = Math.ceil(
    Math.min(FULL ? 40e6 : 10e6, Math.max(100_000, allowed(cell) * milliseconds)),
  );
  const conditions = { delay: rtt / 2, loss, reorder, rate: RATE, queue: 400, ...more };
  const network = new SimNetwork(seed, conditions);
  const options = tcp === undefined ? {} : { tcp };
  const a = network.add('a', ['10.0.0.1'], options).stack;
  const b = network.add('b', ['10.0.0.2'], options).stack;
  const client = new Transfer({ send: size, seed: 1 }, 2);
  const server = new Transfer({ send: 0, seed: 2 }, 1);
  const where = `seed ${seed}, ${JSON.stringify(cell)}`;
  b.listen({
    port: 80,
    accept: (socket) => {
      socket.handler = server;
      server.start(socket);
    },
  });
  a.connect({ remoteAddress: '10.0.0.2', remotePort: 80, handler: client });
  network.run(() => server.received >= size / 3, 3_600_000);
  const [skipped, from] = [server.received, network.now];
  network.run(() => server.received === size, 3_600_000);
  const rate = (size - skipped) / (network.now - from);
  network.run(() => client.isClosed && server.isClosed, 3_700_000);
  assert.equal(server.received, size, `${where}: all bytes arrive`);
  assert.deepEqual([client.closedWith, server.closedWith], [undefined, undefined], where);
  network.run(() => false, network.now + 200_000);
  assert.equal(a.connectionCount + b.connectionCount, 0, `${where}: no connection is left`);
  assert.deepEqual([a.nextTick, b.nextTick], [undefined, undefined], `${where}: no timer is left`);
  return rate;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function check(cell: Cell, seeds: number, milliseconds: number): void {
  const rates = Array.from({ length: seeds }, (_, i) => run(cell, i + 1, milliseconds));
  const share = median(rates) / allowed(cell);
  if (process.env['COVE_GRID_PRINT']) {
    console.log(`${JSON.stringify({ ...cell, floor: undefined })} ${share.toFixed(2)}`);
  }
  assert.ok(
    share >= cell.floor,
    `${JSON.stringify(cell)}: ${share.toFixed(2)} of what is possible, seeds 1-${seeds}`,
  );
}

for (const rtt of [1, 20, 100]) {
  for (const reorder of [0, 0.01]) {
    test(`goodput at ${rtt} ms, reordering ${reorder * 100} %, loss 0, 0.1, 1 and 3 %`, () => {
      for (const loss of [0, 0.001, 0.01, 0.03]) {
        // At 1 ms a single timeout of 200 ms is worth two hundred round trips.
        const floor = rtt === 1 || !FULL ? 0.6 : 0.7;
        const cell = { rtt, loss, reorder, floor };
        check(cell, FULL ? 7 : 1, FULL ? 20_000 : 3000);
      }
    });
  }
}

const SPECIAL: readonly (readonly [string, Cell])[] = [
  ['1 % duplicates', { rtt: 20, loss: 0.001, reorder: 0, more: { duplicate: 0.01 }, floor: 0.6 }],
  ['1 % corrupted', { rtt: 20, loss: 0.01, reorder: 0, more: { corrupt: 0.01 }, floor: 0.5 }],
  ['a queue of 20', { rtt: 20, loss: 0, reorder: 0, more: { queue: 20 }, floor: 0.5 }],
  [
    'everything delayed by up to a quarter more',
    { rtt: 20, loss: 0.001, reorder: 1, more: { reorderBy: 0.25 }, floor: 0.5 },
  ],
  [
    'windows of two segments',
    {
      rtt: 20,
      loss: 0.001,
      reorder: 0.01,
      tcp: { receiveBuffer: 2 * MSS, receiveBufferLimit: 2 * MSS },
      floor: 0.01,
    },
  ],
  ['without SACK', { rtt: 20, loss: 0.01, reorder: 0, tcp: { sack: false }, floor: 0.5 }],
  ['NewReno', { rtt: 20, loss: 0.01, reorder: 0, tcp: { congestion: 'newreno' }, floor: 0.6 }],
];

for (const [name, cell] of SPECIAL) {
  test(`goodput with ${name}`, () => check(cell, FULL ? 7 : 1, FULL ? 20_000 : 3000));
}
