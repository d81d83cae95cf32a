import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isBetter, type MeasuredPath } from './betterpath.ts';
import { PathTable, type UdpPath } from './paths.ts';
import { ViaPaths } from './viapaths.ts';

const paths = new PathTable();
const path = (address: string, latency: number): MeasuredPath => ({
  path: paths.acquire(address, 41641)!,
  latency,
});
const vias = new ViaPaths(paths);
const via = (address: string, latency: number, vni = 1): MeasuredPath => ({
  path: vias.acquire(vias.find(path(address, latency).path as UdpPath, vni)),
  latency,
});

for (const [what, a, b, expected] of [
  ['the faster of two public addresses', path('1.1.1.1', 10), path('2.2.2.2', 20), true],
  ['the slower one', path('1.1.1.1', 20), path('2.2.2.2', 10), false],
  ['an advantage of one percent', path('1.1.1.1', 99), path('2.2.2.2', 100), false],
  ['an advantage of two percent', path('1.1.1.1', 98), path('2.2.2.2', 100), true],
  ['equal latency', path('1.1.1.1', 10), path('2.2.2.2', 10), false],
  ['IPv6 at equal latency', path('2001:db8::1', 10), path('1.1.1.1', 10), true],
  ['IPv6 that is 20 % slower', path('2001:db8::1', 12), path('1.1.1.1', 9.6), false],
  ['a private address that is 10 % slower', path('10.0.0.1', 11), path('1.1.1.1', 10), true],
  ['a private address that takes twice as long', path('10.0.0.1', 20), path('1.1.1.1', 10), false],
  ['172.16/12', path('172.31.0.1', 10), path('172.32.0.1', 10), true],
  ['link-local before private', path('169.254.0.1', 10), path('192.168.0.1', 10), true],
  ['loopback before link-local', path('127.0.0.1', 10), path('169.254.0.1', 10), true],
  ['IPv6 unique local before IPv4 private', path('fd00::1', 10), path('10.0.0.1', 10), true],
  [
    'a direct path that takes ten times as long as a peer relay',
    path('1.1.1.1', 100),
    via('10.0.0.1', 10),
    true,
  ],
  ['a peer relay that takes a tenth', via('10.0.0.1', 10), path('1.1.1.1', 100), false],
  ['the faster of two peer relays', via('1.1.1.1', 10), via('2.2.2.2', 20), true],
  ['another number at the same peer relay', via('1.1.1.1', 10), via('1.1.1.1', 10, 2), false],
  ['the same path again', path('1.1.1.1', 1), path('1.1.1.1', 100), false],
] as const) {
  test(`better: ${what}: ${expected}`, () => {
    assert.equal(isBetter(a, b), expected);
  });
}

test('two paths are never each better than the other', () => {
  const any = fc
    .tuple(
      fc.constantFrom('1.1.1.1', '2.2.2.2', '10.0.0.1', '2001:db8::1', 'fd00::1', '127.0.0.1'),
      fc.double({ min: 0.001, max: 2_000, noNaN: true }),
    )
    .map(([address, latency]) => path(address, latency));
  fc.assert(fc.property(any, any, (a, b) => !(isBetter(a, b) && isBetter(b, a))));
});
