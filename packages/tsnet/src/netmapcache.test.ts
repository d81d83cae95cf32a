import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { utf8Encode } from '@cove/protocol/bytes';
import { type NodePublic, nodePublic } from '@cove/protocol/keys';
import { parseMapResponse } from '@cove/protocol/mapmessage';
import { systemClock } from './clock.ts';
import { foldMapResponse } from './control/map.ts';
import type { NetworkMap } from './netmap.ts';
import { CACHE_FILE, decodeNetworkMap, encodeNetworkMap, NetworkMapCache } from './netmapcache.ts';

const key = (fill: number): NodePublic => nodePublic(new Uint8Array(32).fill(fill));

function mapWith(extra: object = {}, capMap: object = {}): NetworkMap {
  const node = (id: number, name: string): object => ({
    ID: id,
    StableID: `n${id}`,
    Name: `${name}.example.ts.net.`,
    User: 7,
    Key: key(id),
    Addresses: [`100.64.0.${id}/32`, `fd7a:115c:a1e0::${id}/128`],
    Hostinfo: {},
    MachineAuthorized: true,
  });
  const message = {
    Node: { ...node(1, 'self'), CapMap: capMap },
    Peers: [node(2, 'b'), { ...node(3, 'c'), KeyExpiry: '2030-01-01T00:00:00Z', HomeDERP: 900 }],
    UserProfiles: [{ ID: 7, LoginName: 'ada@example.com', DisplayName: 'Ada' }],
    PacketFilters: {
      base: [{ SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] }],
      z: [],
    },
    DERPMap: {
      Regions: { 900: { RegionID: 900, RegionCode: 'own', RegionName: 'Own', Nodes: [] } },
    },
    DNSConfig: { Domains: ['example.ts.net'], Proxied: true, Routes: { 'example.ts.net': [] } },
    Domain: 'example.com',
    ...extra,
  };
  return foldMapResponse(undefined, parseMapResponse(utf8Encode(JSON.stringify(message))), 0);
}

let dir: string;
let errors: unknown[];
let cache: NetworkMapCache;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cove-cache-'));
  errors = [];
  cache = new NetworkMapCache(dir, systemClock, (error) => errors.push(error));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('a map comes back as it was, but for what is only of the moment', () => {
  const map = mapWith({ Health: ['it rains'], ControlTime: '2026-11-21T00:00:00Z' });
  const back = decodeNetworkMap(Buffer.concat([...encodeNetworkMap(map)]), 0);
  assert.deepEqual(back, { ...map, health: [], clockOffset: 0 });
});

test('the file is 0600 and holds the latest map once flushed', async () => {
  cache.write(mapWith({ Domain: 'old.example' }));
  cache.write(mapWith({ Domain: 'new.example' }));
  await cache.flush();
  assert.equal(statSync(join(dir, CACHE_FILE)).mode & 0o777, 0o600);
  assert.equal((await cache.read(key(1)))?.domain, 'new.example');
  assert.deepEqual(errors, []);
});

test('a map of any number of peers is whole, though it is written in pieces', async () => {
  const { peers, ...rest } = mapWith();
  const [peer] = peers.values();
  for (const count of [0, 1, 64, 65, 150]) {
    const many = Array.from({ length: count }, (_, i) => ({
      ...peer!,
      ID: i + 2,
      Key: key(i + 2),
    }));
    const map = { ...rest, peers: new Map(many.map((one) => [one.ID, one])) };
    cache.write(map);
    await cache.flush();
    assert.deepEqual(await cache.read(key(1)), map);
  }
  assert.deepEqual(errors, []);
});

test('a map of another login is not used', async () => {
  cache.write(mapWith());
  await cache.flush();
  assert.equal(await cache.read(key(9)), undefined);
});

test('no file is no error; a damaged or truncated one is told and not used', async () => {
  assert.equal(await cache.read(key(1)), undefined);
  assert.deepEqual(errors, []);
  cache.write(mapWith());
  await cache.flush();
  const whole = readFileSync(join(dir, CACHE_FILE));
  for (const length of [0, 1, whole.length >> 1, whole.length - 1]) {
    writeFileSync(join(dir, CACHE_FILE), whole.subarray(0, length));
    assert.equal(await cache.read(key(1)), undefined);
  }
  assert.equal(errors.length, 4);
});

test('a tailnet that forbids it leaves no file behind', async () => {
  cache.write(mapWith());
  await cache.flush();
  cache.write(mapWith({}, { 'disable-cache-network-maps': [] }));
  await cache.flush();
  assert.throws(() => statSync(join(dir, CACHE_FILE)), { code: 'ENOENT' });
});

test('clear forgets what was written and what was about to be', async () => {
  cache.write(mapWith());
  await cache.flush();
  cache.write(mapWith());
  await cache.clear();
  await cache.flush();
  assert.throws(() => statSync(join(dir, CACHE_FILE)), { code: 'ENOENT' });
});

test('a directory that is gone is told, never thrown', async () => {
  rmSync(dir, { recursive: true, force: true });
  writeFileSync(dir, 'a file in its place');
  cache.write(mapWith());
  await cache.flush();
  assert.equal(errors.length, 1);
});
