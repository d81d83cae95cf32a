import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeGateway } from './testing/fakegateway.ts';
import { setUp, until } from './testing/setup.ts';

const HOUR = 3_600_000;
const ALL = ['nat-pmp', 'pcp', 'upnp'] as const;

test('NAT-PMP is preferred where all three answer, and closing ends the mapping', async () => {
  await using gateway = await FakeGateway.start({ speaks: ALL });
  const { mapper, told } = setUp(gateway);
  assert.deepEqual(await mapper.probe(), { pmp: true, pcp: true, upnp: true });
  mapper.ensure(4_000);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  assert.deepEqual(told, ['198.51.100.7:40000']);
  assert.equal(mapper.mapping()?.protocol, 'nat-pmp');
  assert.equal(mapper.mapping()?.behindNat, false);
  await mapper.close();
  assert.equal(gateway.requests.at(-1), 'nat-pmp map 4000 -> 0 for 0');
  assert.equal(gateway.mapped.size, 0);
  assert.equal(mapper.mapping(), undefined);
  assert.deepEqual(
    gateway.requests.filter((request) => request.includes('map')),
    ['nat-pmp map 4000 -> 0 for 7200', 'nat-pmp map 4000 -> 0 for 0'],
  );
});

test('PCP maps, renews and ends under one nonce (RFC 6887 section 11.2)', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['pcp'] });
  const { mapper, clock, told } = setUp(gateway);
  assert.deepEqual(await mapper.probe(), { pmp: false, pcp: true, upnp: false });
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  assert.equal(mapper.mapping()?.protocol, 'pcp');
  gateway.epoch += 3_600;
  clock.jump(HOUR + 1);
  await until(() => gateway.nonces.length === 2);
  await mapper.close();
  assert.deepEqual(gateway.requests.slice(-3), [
    'pcp map 4000 -> 0 for 7200',
    'pcp map 4000 -> 40000 for 7200',
    'pcp map 4000 -> 40000 for 0',
  ]);
  assert.equal(new Set(gateway.nonces).size, 1);
  assert.deepEqual(told, ['198.51.100.7:40000']);
});

for (const [version, action] of [
  [1, 'AddPortMapping'],
  [2, 'AddAnyPortMapping'],
] as const) {
  test(`UPnP maps by ${action} of WANIPConnection:${version}, and deletes`, async () => {
    await using gateway = await FakeGateway.start({ speaks: ['upnp'], version });
    const { mapper, told } = setUp(gateway);
    assert.deepEqual(await mapper.probe(), { pmp: false, pcp: false, upnp: true });
    mapper.ensure(4_000);
    await until(() => told.length > 0);
    const [port] = gateway.mapped.keys();
    assert.ok(port !== undefined && port >= 1_024);
    assert.deepEqual(told, [`198.51.100.7:${port}`]);
    assert.equal(gateway.requests.at(-1), `upnp ${action} 4000 for 7200`);
    await mapper.close();
    assert.equal(gateway.requests.at(-1), `upnp delete ${port}`);
    assert.equal(gateway.mapped.size, 0);
  });
}

test('UPnP asks for a permanent mapping where only such are made (error 725)', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'], version: 1 });
  gateway.faults.addErrors = [725];
  const { mapper, clock, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  assert.equal(gateway.requests.at(-1), 'upnp AddPortMapping 4000 for 0');
  assert.ok(mapper.mapping()!.goodUntil > clock.now() + HOUR);
  await mapper.close();
});

test('UPnP takes another external port when the first is taken (error 718), but not for ever', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'], version: 1 });
  gateway.faults.addErrors = [718, 718];
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  await mapper.close();
  await using stubborn = await FakeGateway.start({ speaks: ['upnp'], version: 2 });
  stubborn.faults.addErrors = new Array<number>(100).fill(718);
  const second = setUp(stubborn);
  second.mapper.ensure(4_000);
  const added = (): number => stubborn.requests.filter((text) => text.includes('Add')).length;
  await until(() => added() >= 4);
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(added(), 4, 'one AddAnyPortMapping, three AddPortMapping');
  await second.mapper.close();
});

test('a mapping is renewed at half its life, and a change of the outside is told', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  gateway.lifetime = 600;
  const { mapper, clock, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  const asked = (): number => gateway.requests.filter((text) => text.includes('map 4000')).length;
  gateway.epoch += 290;
  clock.jump(290_000);
  await new Promise((done) => setTimeout(done, 30));
  assert.equal(asked(), 1);
  gateway.epoch += 11;
  clock.jump(11_000);
  await until(() => asked() === 2);
  assert.equal(gateway.requests.at(-1), 'nat-pmp map 4000 -> 40000 for 7200');
  gateway.external = '198.51.100.8';
  gateway.epoch += 301;
  await new Promise((done) => setTimeout(done, 30));
  clock.jump(301_000);
  await until(() => told.length === 2);
  assert.deepEqual(told, ['198.51.100.7:40000', '198.51.100.8:40000']);
  await mapper.close();
});

test('a gateway that falls silent is asked ever more often until the mapping has run out', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  gateway.lifetime = 600;
  const { mapper, clock, told } = setUp(gateway, { allowed: (protocol) => protocol !== 'upnp' });
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  gateway.faults.silent = true;
  const start = gateway.requests.length;
  let minutes = 0;
  for (; told.length === 1 && minutes < 20; minutes++) {
    clock.jump(60_000);
    await new Promise((done) => setTimeout(done, 20));
  }
  assert.deepEqual(told, ['198.51.100.7:40000', undefined]);
  assert.ok(minutes >= 9 && minutes <= 12, `gone after ${minutes} minutes`);
  assert.ok(gateway.requests.length - start >= 3, 'it was asked again and again');
  gateway.faults.silent = false;
  for (let i = 0; told.length === 2 && i < 30; i++) {
    clock.jump(60_000);
    await new Promise((done) => setTimeout(done, 20));
  }
  assert.equal(told.length, 3, 'and again when it was back');
  await mapper.close();
});

test('a gateway whose count of seconds ran backwards is asked for the mapping again (RFC 6886 section 3.6)', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp', 'pcp'] });
  const { mapper, clock, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  clock.jump(11 * 60_000);
  gateway.restart();
  await new Promise((done) => setTimeout(done, 20));
  await mapper.probe();
  await until(() => gateway.mapped.get(4_000) === 40_000);
  assert.deepEqual(told, ['198.51.100.7:40000'], 'nothing changed for others');
  await mapper.close();
});

test('what one protocol refuses, the next is asked for', async () => {
  await using gateway = await FakeGateway.start({ speaks: ALL });
  gateway.faults.mapResult = 2;
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  assert.equal(mapper.mapping()?.protocol, 'upnp');
  assert.ok(gateway.requests.includes('nat-pmp map 4000 -> 0 for 7200'));
  assert.ok(gateway.requests.includes('pcp map 4000 -> 0 for 7200'));
  await mapper.close();
});

test('a protocol that is not allowed is neither searched for nor used', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'] });
  const { mapper } = setUp(gateway, { allowed: (protocol) => protocol !== 'upnp' });
  assert.deepEqual(await mapper.probe(), { pmp: false, pcp: false, upnp: false });
  mapper.ensure(4_000);
  await new Promise((done) => setTimeout(done, 50));
  assert.deepEqual(gateway.requests, []);
  await mapper.close();
});

test('services that answered are believed for ten minutes', async () => {
  await using gateway = await FakeGateway.start({ speaks: ALL });
  const { mapper, clock } = setUp(gateway);
  await mapper.probe();
  await new Promise((done) => setTimeout(done, 100));
  const asked = gateway.requests.length;
  clock.jump(9 * 60_000);
  assert.deepEqual(await mapper.probe(), { pmp: true, pcp: true, upnp: true });
  assert.equal(gateway.requests.length, asked);
  clock.jump(2 * 60_000);
  await mapper.probe();
  assert.ok(gateway.requests.length > asked);
  await mapper.close();
});

test('another local port replaces the mapping of the one before', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  mapper.ensure(5_000);
  await until(() => gateway.mapped.has(5_000));
  assert.ok(!gateway.mapped.has(4_000));
  await mapper.close();
});

test('another local port wanted while the first is being mapped: only the second is told', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  gateway.faults.delay = 30;
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => gateway.mapped.has(4_000));
  mapper.ensure(5_000);
  await until(() => told.length > 0);
  assert.deepEqual([...gateway.mapped.keys()], [5_000]);
  assert.deepEqual(told, [`198.51.100.7:${gateway.mapped.get(5_000)}`]);
  await mapper.close();
});

test('a change of the network in the midst of a renewal starts it anew', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  const { mapper, clock, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  gateway.faults.silent = true;
  const asked = gateway.requests.length;
  clock.jump(HOUR + 1);
  gateway.epoch += 3_600;
  await until(() => gateway.requests.length > asked);
  gateway.faults.silent = false;
  mapper.networkChanged();
  await until(() => gateway.requests.at(-1) === 'nat-pmp map 4000 -> 40000 for 7200');
  await until(() => mapper.mapping()!.goodUntil > clock.now() + HOUR);
  assert.equal(told.length, 1);
  await mapper.close();
});

test('services that did not answer are asked again by a probe after a minute', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  gateway.faults.silent = true;
  const { mapper, clock } = setUp(gateway);
  assert.equal((await mapper.probe()).pmp, false);
  clock.jump(30_000);
  await new Promise((done) => setTimeout(done, 20));
  gateway.faults.silent = false;
  assert.equal((await mapper.probe()).pmp, false);
  clock.jump(30_000);
  assert.equal((await mapper.probe()).pmp, true);
  await mapper.close();
});

test('without a gateway there is nothing, until the network changes', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  const { mapper, told, network } = setUp(gateway);
  const there = network.gateway;
  network.gateway = undefined;
  mapper.ensure(4_000);
  assert.deepEqual(await mapper.probe(), { pmp: false, pcp: false, upnp: false });
  assert.equal(mapper.mapping(), undefined);
  network.gateway = there;
  mapper.networkChanged();
  await until(() => told.length > 0);
  network.gateway = undefined;
  mapper.networkChanged();
  await until(() => told.length === 2);
  assert.equal(mapper.mapping(), undefined);
  await mapper.close();
});

test('sleep and a change of the network renew a mapping at once', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  mapper.networkChanged();
  await until(() => gateway.requests.at(-1) === 'nat-pmp map 4000 -> 40000 for 7200');
  await mapper.close();
  assert.equal(told.length, 1);
});

test('on another network the new gateway is asked, and the mapping of the old one is given up', {
  skip: process.platform !== 'linux' && 'needs 127.0.0.2',
}, async () => {
  await using home = await FakeGateway.start({ speaks: ['nat-pmp'] });
  await using cafe = await FakeGateway.start({
    speaks: ['pcp'],
    address: '127.0.0.2',
    ports: home.ports,
  });
  cafe.external = '203.0.113.9';
  const { mapper, told, network } = setUp(home);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  network.gateway = { address: '127.0.0.2', self: '127.0.0.1' };
  mapper.networkChanged();
  await until(() => told.at(-1) === '203.0.113.9:40000');
  assert.equal(mapper.mapping()?.protocol, 'pcp');
  await mapper.close();
  assert.equal(cafe.mapped.size, 0);
});

test('closing in the midst of work ends soon, and what was granted is given back', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp', 'pcp'] });
  for (let delay = 0; delay < 10; delay += 2) {
    const { mapper, told } = setUp(gateway);
    mapper.ensure(4_000);
    await new Promise((done) => setTimeout(done, delay));
    const before = performance.now();
    await mapper.close();
    assert.ok(performance.now() - before < 1_000);
    assert.ok(told.length <= 1);
    await assert.rejects(mapper.probe(), { code: 'ERR_CLOSED' });
    mapper.ensure(5_000);
    assert.equal(mapper.mapping(), undefined);
  }
});

test('a probe ends with the reason of its signal', async () => {
  await using gateway = await FakeGateway.start({ speaks: [] });
  const { mapper } = setUp(gateway);
  const reason = new Error('enough');
  await assert.rejects(mapper.probe(AbortSignal.abort(reason)), reason);
  await mapper.close();
});
