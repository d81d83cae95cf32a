import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { FakeGateway } from './testing/fakegateway.ts';
import { setUp, until } from './testing/setup.ts';

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

for (const speaks of ['nat-pmp', 'pcp'] as const) {
  test(`${speaks}: answers from another port than was asked are not heard`, async () => {
    await using gateway = await FakeGateway.start({ speaks: [speaks] });
    gateway.faults.otherPort = true;
    const { mapper, told } = setUp(gateway);
    assert.deepEqual(await mapper.probe(), { pmp: false, pcp: false, upnp: false });
    mapper.ensure(4_000);
    await pause(50);
    assert.ok(gateway.requests.length > 0);
    assert.deepEqual(told, []);
    await mapper.close();
  });
}

for (const address of [
  '0.0.0.0',
  '127.0.0.1',
  '169.254.7.7',
  '100.64.1.2',
  '239.1.1.1',
  '255.255.255.255',
]) {
  test(`an external address ${address} is refused in all protocols, and no mapping is left behind`, async () => {
    await using gateway = await FakeGateway.start({ speaks: ['nat-pmp', 'pcp', 'upnp'] });
    gateway.external = address;
    const { mapper, told } = setUp(gateway);
    mapper.ensure(4_000);
    await until(() => gateway.requests.includes('upnp address'));
    await pause(20);
    assert.deepEqual(told, []);
    assert.equal(gateway.mapped.size, 0);
    await mapper.close();
  });
}

test('a private external address is told as one behind another NAT', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp'] });
  gateway.external = '10.11.12.13';
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  assert.equal(mapper.mapping()?.external, '10.11.12.13:40000');
  assert.equal(mapper.mapping()?.behindNat, true);
  await mapper.close();
});

test('a PCP answer under another nonce is not ours (RFC 6887 section 11.4)', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['pcp'] });
  gateway.faults.otherNonce = true;
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => mapper.counters.malformed > 0);
  assert.deepEqual(told, []);
  await mapper.close();
});

test('a PCP mapping to an IPv6 address, which nobody asked for, is given back', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['pcp'] });
  gateway.faults.externalIPv6 = true;
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => gateway.requests.at(-1) === 'pcp map 4000 -> 40000 for 0');
  assert.equal(gateway.mapped.size, 0);
  assert.deepEqual(told, []);
  await mapper.close();
});

test('a mapping without a lifetime is none', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['nat-pmp', 'pcp'] });
  gateway.lifetime = 0;
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => gateway.requests.some((text) => text.startsWith('pcp map')));
  await pause(20);
  assert.deepEqual(told, []);
  await mapper.close();
});

test('search answers of other hosts are counted and not followed', {
  skip: process.platform !== 'linux' && 'needs 127.0.0.2',
}, async () => {
  await using gateway = await FakeGateway.start({ speaks: [] });
  let fetched = 0;
  const server = createServer((_request, response) => {
    fetched++;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  // Its searches go to a host that is not the gateway's, as those to the multicast group do.
  const stranger = createSocket('udp4').bind(gateway.ports.ssdp, '127.0.0.2');
  await once(stranger, 'listening');
  const liar = createSocket('udp4').bind(0, '127.0.0.3');
  await once(liar, 'listening');
  stranger.on('message', (_bytes, from) => {
    liar.send(
      `HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://127.0.0.1:${port}/\r\n\r\n`,
      from.port,
      from.address,
    );
  });
  const { mapper, network } = setUp(gateway);
  network.gateway = { address: '127.0.0.2', self: '127.0.0.1' };
  assert.deepEqual(await mapper.probe(), { pmp: false, pcp: false, upnp: false });
  mapper.ensure(4_000);
  await until(() => mapper.counters.foreign > 0);
  assert.equal(fetched, 0);
  await mapper.close();
  for (const closable of [stranger, liar, server]) closable.close();
});

test('a description said to be on another host is fetched from the gateway all the same', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'] });
  gateway.faults.location = `http://192.0.2.1:${gateway.httpPort}/elsewhere.xml`;
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => told.length > 0);
  assert.ok(gateway.requests.includes('upnp get /elsewhere.xml'));
  await mapper.close();
});

test('a redirect is not followed', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'] });
  let fetched = 0;
  const server = createServer((_request, response) => {
    fetched++;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  gateway.faults.describe = (response) =>
    response.writeHead(302, { location: `http://127.0.0.1:${port}/` }).end();
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => gateway.requests.some((text) => text.startsWith('upnp get')));
  await pause(50);
  assert.equal(fetched, 0);
  assert.deepEqual(told, []);
  await mapper.close();
  server.close();
});

test('a description without end is given up after 64 kB', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'] });
  let sent = 0;
  let closed = false;
  gateway.faults.describe = (response) => {
    const more = (): void => {
      if (closed) return;
      sent += 16_384;
      if (response.write('<service>'.repeat(1_820))) setImmediate(more);
      else response.once('drain', more);
    };
    response.on('close', () => {
      closed = true;
    });
    more();
  };
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => closed);
  assert.ok(sent < 32 * 1024 * 1024, `${sent} bytes were sent`);
  assert.deepEqual(told, []);
  await mapper.close();
});

test('a description that drips is given up after a second', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'] });
  let closed = false;
  gateway.faults.describe = (response) => {
    const drip = setInterval(() => response.write(' '), 20);
    response.on('close', () => {
      clearInterval(drip);
      closed = true;
    });
  };
  const { mapper, clock } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => gateway.requests.some((text) => text.startsWith('upnp get')));
  await pause(60);
  assert.equal(closed, false);
  clock.jump(1_000);
  await until(() => closed);
  await mapper.close();
});

test('answers to calls that are no SOAP make no mapping', async () => {
  await using gateway = await FakeGateway.start({ speaks: ['upnp'] });
  gateway.faults.soapBody = '<html><body>Please log in</body></html>';
  const { mapper, told } = setUp(gateway);
  mapper.ensure(4_000);
  await until(() => gateway.requests.includes('upnp address'));
  await pause(20);
  assert.deepEqual(told, []);
  assert.equal(gateway.mapped.size, 0);
  await mapper.close();
});

test('noise on the ports is counted and harms nothing', async () => {
  const noise = createSocket('udp4').bind(0, '127.0.0.1');
  await once(noise, 'listening');
  noise.on('message', (_bytes, from) => {
    for (const text of ['', '\x00', 'HTTP/1.1 200 OK', '\x00\x80', '\x02\x81'.padEnd(70, 'x')]) {
      noise.send(Buffer.from(text, 'latin1'), from.port, from.address);
    }
  });
  await using gateway = await FakeGateway.start({ speaks: [] });
  const { port } = noise.address();
  const { mapper } = setUp(gateway, { ports: { natPmp: port, ssdp: port } });
  assert.deepEqual(await mapper.probe(), { pmp: false, pcp: false, upnp: false });
  assert.ok(mapper.counters.malformed > 0);
  await mapper.close();
  noise.close();
});
