// The control client against a minimal server in the same process.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { nodeCrypto } from '@cove/crypto';
import { utf8Encode } from '@cove/protocol/bytes';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import type { MapRequest } from '@cove/protocol/mapmessage';
import { type Clock, systemClock } from '../clock.ts';
import type { TsnetError } from '../errors.ts';
import { silent } from '../log.ts';
import type { NetworkMap } from '../netmap.ts';
import { Identity, type Login } from '../profile.ts';
import { MemoryStore } from '../store.ts';
import { ControlClient, type ControlClientOptions } from './client.ts';
import { parseControlUrl } from './controlurl.ts';
import {
  ACCEPTED,
  FakeControl,
  type FakeOptions,
  type FakeStream,
  firstMap,
  REFUSED,
  selfNode,
} from './testing/fakecontrol.ts';

const crypto = nodeCrypto();
const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

interface Probe {
  readonly client: ControlClient;
  readonly identity: Identity;
  readonly maps: { map: NetworkMap; selfExpired: boolean }[];
  readonly urls: string[];
  readonly logins: Login[];
  readonly problems: (TsnetError | undefined)[];
  /** Resolves when the condition holds; fails after 5 s. */
  until(condition: () => unknown, what: string): Promise<void>;
}

async function withControl(
  fake: FakeOptions,
  options: Partial<ControlClientOptions> = {},
  store: MemoryStore = new MemoryStore(),
): Promise<{ control: FakeControl; probe: Probe; url: string }> {
  const control = new FakeControl(fake);
  const url = await control.listen();
  const probe = startClient(url, options, store);
  closers.push(async () => {
    await probe.client.close();
    await control.close();
  });
  return { control, probe, url };
}

function startClient(
  url: string,
  options: Partial<ControlClientOptions>,
  store: MemoryStore,
): Probe {
  const maps: Probe['maps'] = [];
  const urls: string[] = [];
  const logins: Login[] = [];
  const problems: (TsnetError | undefined)[] = [];
  const identity = Identity.open(store, crypto, url, 'memory');
  const disco = PrivateKey.generate((n) => crypto.randomBytes(n));
  const client = new ControlClient({
    url: parseControlUrl(url),
    identity,
    crypto,
    clock: systemClock,
    log: silent,
    discoKey: discoPublic(disco.publicBytes(crypto.x25519)),
    authKey: undefined,
    ephemeral: false,
    forceLogin: false,
    hostinfo: () => ({ Hostname: 'alpha' }),
    endpoints: () => [],
    callbacks: {
      loginUrl: (loginUrl) => urls.push(loginUrl),
      loggedIn: (login) => logins.push(login),
      networkMap: (map, selfExpired) => maps.push({ map, selfExpired }),
      streaming: () => {},
      problem: (problem) => problems.push(problem),
    },
    ...options,
  });
  client.start();
  const until = async (condition: () => unknown, what: string): Promise<void> => {
    const deadline = Date.now() + 5_000;
    while (!condition()) {
      if (Date.now() > deadline) assert.fail(`timed out waiting for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  return { client, identity, maps, urls, logins, problems, until };
}

const serveMap = (stream: FakeStream): void => stream.send(firstMap(stream.request.NodeKey));

test('a first start registers with the auth key, streams the map and sends an update', async () => {
  const { control, probe } = await withControl(
    { stream: serveMap, earlyPayload: true },
    { authKey: async () => 'tskey-auth-1' },
  );
  await probe.until(() => probe.maps.length > 0 && control.updates.length > 0, 'the first map');
  const [request] = control.registrations;
  assert.equal(request?.Auth?.AuthKey, 'tskey-auth-1');
  assert.equal(request?.OldNodeKey, `nodekey:${'0'.repeat(64)}`);
  assert.match(request?.NLKey ?? '', /^nlpub:(?!0{64})/);
  const map = probe.maps[0]!.map;
  assert.equal(map.self.StableID, 'n1');
  assert.equal(map.domain, 'example.com');
  const { request: stream } = control.streams[0]!;
  assert.equal(stream.Compress ?? '', '');
  assert.equal(stream.KeepAlive, true);
  assert.equal(stream.NodeKey, request?.NodeKey);
  const update = control.updates[0] as MapRequest;
  assert.equal(update.OmitPeers, true);
  assert.equal(update.Stream ?? false, false);
  assert.equal(update.DiscoKey, stream.DiscoKey);
  assert.deepEqual(probe.identity.login?.stableId, 'n1');
});

test('a second start presents the same node key and no auth key', async () => {
  const store = new MemoryStore();
  const first = await withControl({ stream: serveMap }, { authKey: async () => 'k' }, store);
  await first.probe.until(() => first.probe.maps.length > 0, 'the first map');
  await first.probe.client.close();
  const again = startClient(first.url, { authKey: async () => 'k' }, store);
  await again.until(() => again.maps.length > 0, 'the second map');
  await again.client.close();
  const [one, two] = first.control.registrations;
  assert.equal(two?.NodeKey, one?.NodeKey);
  assert.equal(two?.Auth, undefined);
});

test('a login the server forgot is done again with the auth key before a person is asked', async () => {
  const store = new MemoryStore();
  const first = await withControl({ stream: serveMap }, { authKey: async () => 'k' }, store);
  await first.probe.until(() => first.probe.maps.length > 0, 'the first map');
  await first.probe.client.close();
  first.control.handlers = {
    stream: serveMap,
    register: (request) =>
      request.Auth === undefined ? { ...REFUSED, AuthURL: 'http://127.0.0.1/a/1' } : ACCEPTED,
  };
  const again = startClient(first.url, { authKey: async () => 'k2' }, store);
  await again.until(() => again.maps.length > 0, 'the second map');
  await again.client.close();
  assert.deepEqual(again.urls, []);
  assert.deepEqual(
    first.control.registrations.map(({ Auth }) => Auth?.AuthKey),
    ['k', undefined, 'k2'],
  );
});

test('interactive: the URL is shown once, the same request follows it up, success ends it', async () => {
  let finish = (): void => {};
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const { control, probe } = await withControl({
    stream: serveMap,
    register: async (request) => {
      if (request.Followup === '') return { ...REFUSED, AuthURL: 'http://127.0.0.1/a/1' };
      await done;
      return ACCEPTED;
    },
  });
  await probe.until(() => control.registrations.length === 2, 'the followup');
  assert.deepEqual(probe.urls, ['http://127.0.0.1/a/1']);
  const [first, followup] = control.registrations;
  assert.equal(followup?.Followup, 'http://127.0.0.1/a/1');
  assert.equal(followup?.NodeKey, first?.NodeKey);
  assert.equal(probe.logins.length, 0);
  finish();
  await probe.until(() => probe.maps.length > 0, 'the map');
  assert.equal(probe.logins.length, 1);
});

test('interactive: a followup whose connection is cut is sent again with the same URL', async () => {
  const { control, probe } = await withControl({
    stream: serveMap,
    register: (request, attempt) => {
      if (request.Followup === '') return { ...REFUSED, AuthURL: 'http://127.0.0.1/a/1' };
      if (attempt > 2) return ACCEPTED;
      setTimeout(() => control.drop(), 10);
      return new Promise(() => {});
    },
  });
  await probe.until(() => probe.maps.length > 0, 'the map');
  assert.deepEqual(
    control.registrations.map(({ Followup }) => Followup),
    ['', 'http://127.0.0.1/a/1', 'http://127.0.0.1/a/1'],
  );
  assert.deepEqual(probe.urls, ['http://127.0.0.1/a/1']);
});

test('a login URL that is no web address is refused and not shown', async () => {
  const { probe } = await withControl({
    register: () => ({ ...REFUSED, AuthURL: 'javascript:alert(1)' }),
  });
  await probe.until(
    () => probe.problems.some((p) => p?.code === 'ERR_CONTROL_PROTOCOL'),
    'a problem',
  );
  assert.deepEqual(probe.urls, []);
});

test('NodeKeyExpired: a new key with the old one beside it, and only once', async () => {
  const store = new MemoryStore();
  const first = await withControl({ stream: serveMap }, {}, store);
  await first.probe.until(() => first.probe.maps.length > 0, 'the first map');
  await first.probe.client.close();
  first.control.handlers = {
    stream: serveMap,
    register: (_request, attempt) =>
      attempt === 2 ? { ...REFUSED, NodeKeyExpired: true } : ACCEPTED,
  };
  const again = startClient(first.url, {}, store);
  await again.until(() => again.maps.length > 0, 'the second map');
  await again.client.close();
  const [one, two, three] = first.control.registrations;
  assert.equal(two?.NodeKey, one?.NodeKey);
  assert.notEqual(three?.NodeKey, one?.NodeKey);
  assert.equal(three?.OldNodeKey, one?.NodeKey);
  const login = again.identity.login!;
  assert.equal(nodePublic(login.nodeKey.publicBytes(crypto.x25519)), three?.NodeKey);
});

test('a server that calls every new key expired is a protocol error, not a loop', async () => {
  const { control, probe } = await withControl({
    register: () => ({ ...REFUSED, NodeKeyExpired: true }),
  });
  await probe.until(
    () => probe.problems.some((p) => p?.code === 'ERR_CONTROL_PROTOCOL'),
    'a problem',
  );
  assert.ok(control.registrations.length >= 2);
});

test('Error: the words of the server are the problem', async () => {
  const { probe } = await withControl(
    { register: () => ({ ...REFUSED, Error: 'authkey expired' }) },
    { authKey: async () => 'k' },
  );
  await probe.until(() => probe.problems.length > 0, 'a problem');
  assert.equal(probe.problems[0]?.code, 'ERR_LOGIN_REFUSED');
  assert.match(probe.problems[0]?.message ?? '', /authkey expired/);
});

test('429: the registration waits as long as Retry-After says', async () => {
  const waits: number[] = [];
  const clock: Clock = {
    ...systemClock,
    schedule(delayMs, callback, ref) {
      if (delayMs === 7_000) waits.push(delayMs);
      return systemClock.schedule(delayMs === 7_000 ? 1 : delayMs, callback, ref);
    },
  };
  const { control, probe } = await withControl(
    {
      stream: serveMap,
      register: (_request, attempt) =>
        attempt === 1 ? { status: 429, headers: { 'retry-after': '7' } } : ACCEPTED,
    },
    { clock },
  );
  await probe.until(() => probe.maps.length > 0, 'the map');
  assert.deepEqual(waits, [7_000]);
  assert.equal(control.registrations.length, 2);
});

test('deltas fold, keep-alives change nothing, and a cut stream begins anew with a full map', async () => {
  const { control, probe } = await withControl({ stream: serveMap });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  const peer = {
    ID: 2,
    StableID: 'n2',
    Name: 'beta.example.ts.net.',
    User: 1,
    Key: `nodekey:${'22'.repeat(32)}`,
    DiscoKey: `discokey:${'33'.repeat(32)}`,
    Addresses: ['100.64.0.2/32'],
  };
  const [stream] = control.streams;
  stream!.send({ PeersChanged: [peer] });
  stream!.send({ KeepAlive: true });
  stream!.send({ PeersChangedPatch: [{ NodeID: 2, DERPRegion: 900, Online: true }] });
  await probe.until(() => probe.maps.at(-1)?.map.peers.get(2)?.HomeDERP === 900, 'the patch');
  assert.equal(probe.maps.length, 3);
  stream!.cut();
  await probe.until(() => control.streams.length === 2 && probe.maps.length === 4, 'a new stream');
  assert.equal(probe.maps.at(-1)?.map.peers.size, 0);
  assert.equal(control.registrations.length, 1);
});

test('a first map without Node and a frame of garbage end the stream, and the next one is tried', async () => {
  let round = 0;
  const { control, probe } = await withControl({
    stream: (stream) => {
      round++;
      if (round === 1) stream.send({ Domain: 'x' });
      else if (round === 2) stream.sendRaw(Uint8Array.of(5, 0, 0, 0, 0x7b, 0x7b, 0x7b, 0x7b, 0x7b));
      else if (round === 3) stream.sendRaw(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1));
      else serveMap(stream);
    },
  });
  await probe.until(() => probe.maps.length > 0, 'a map');
  assert.equal(control.streams.length, 4);
  const codes = probe.problems.map((problem) => problem?.code);
  assert.deepEqual(codes.slice(0, 3), Array(3).fill('ERR_CONTROL_PROTOCOL'));
  assert.equal(codes.at(-1), undefined);
});

test('a map with unknown members, null lists, zero times and a region that goes: taken as far as it makes sense', async () => {
  const zero = '0001-01-01T00:00:00Z';
  const peer = (id: number, fields: object): object => ({
    ...selfNode(`nodekey:${String(id).repeat(64)}`, { ID: id, StableID: `n${id}` }),
    Name: `peer${id}.example.ts.net.`,
    Addresses: [`100.64.0.${id}/32`],
    ...fields,
  });
  const region = (id: number): object => ({ RegionID: id, RegionCode: `r${id}`, Nodes: null });
  const { control, probe } = await withControl({
    stream: (stream) => {
      const fields = {
        FromTheFuture: { Deep: [1, { x: null }] },
        Peers: [
          peer(2, {
            KeyExpiry: zero,
            LastSeen: zero,
            Endpoints: null,
            AllowedIPs: null,
            Tags: null,
          }),
          peer(3, { Capabilities: null, CapMap: null, Hostinfo: { Services: null, New: [] } }),
        ],
        DNSConfig: { Resolvers: null, Routes: null, ExtraRecords: null, Strange: true },
        DERPMap: { Regions: { 1: region(1), 2: region(2), 3: null } },
        Health: null,
        SSHPolicy: { rules: null },
      };
      stream.send(firstMap(stream.request.NodeKey, fields, { KeyExpiry: zero, Endpoints: null }));
    },
  });
  await probe.until(() => probe.maps.length > 0, 'the map');
  const [first] = probe.maps;
  assert.equal(first?.selfExpired, false, 'the zero time is never');
  assert.deepEqual([...first.map.peers.keys()], [2, 3]);
  assert.ok([...first.map.peers.values()].every((each) => each.Expired !== true));
  assert.deepEqual(Object.keys(first.map.derpMap?.Regions ?? {}), ['1', '2']);
  control.streams[0]!.send({ DERPMap: { Regions: { 2: region(2) } }, PeersChanged: null });
  await probe.until(() => probe.maps.length > 1, 'the removal');
  assert.deepEqual(Object.keys(probe.maps.at(-1)!.map.derpMap?.Regions ?? {}), ['2']);
  assert.deepEqual(
    probe.problems.filter((problem) => problem !== undefined),
    [],
  );
});

test('120 seconds without a message: the stream is dead (7.4)', async () => {
  let fire = (): void => {};
  const clock: Clock = {
    ...systemClock,
    schedule(delayMs, callback, ref) {
      if (delayMs === 120_000) fire = callback;
      return systemClock.schedule(delayMs, callback, ref);
    },
  };
  const { control, probe } = await withControl({ stream: serveMap }, { clock });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  fire();
  await probe.until(() => control.streams.length === 2, 'a new stream');
  assert.match(probe.problems.find((p) => p !== undefined)?.message ?? '', /silent for 120/);
});

test('updates go one at a time, are retried, and none is lost', async () => {
  let failing = 2;
  const { control, probe } = await withControl({
    stream: serveMap,
    update: () => (failing-- > 0 ? 500 : 200),
  });
  await probe.until(() => control.updates.length === 3, 'the retries');
  probe.client.update();
  probe.client.update();
  await probe.until(() => control.updates.length === 4, 'the next update');
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(control.updates.length, 4);
});

test('a node the server does not know any more registers again instead of asking for ever', async () => {
  const { control, probe } = await withControl({ stream: serveMap });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  control.handlers = {
    stream: serveMap,
    refuse: () => (control.registrations.length === 1 ? 404 : undefined),
  };
  control.drop();
  await probe.until(() => control.streams.length === 2, 'another stream');
  assert.equal(control.registrations.length, 2);
  assert.equal(control.registrations[1]?.NodeKey, control.registrations[0]?.NodeKey);
  assert.match(probe.problems.find((p) => p?.code === 'ERR_CONTROL_STATUS')?.message ?? '', /404/);
});

test('a node that was deleted, and whose one-time key is used up, asks for a person', async () => {
  const { control, probe } = await withControl({ stream: serveMap }, { authKey: async () => 'k' });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  let deleted = true;
  control.handlers = {
    stream: serveMap,
    refuse: () => (deleted ? 404 : undefined),
    register: (request) => {
      if (request.Auth !== undefined) return { ...REFUSED, Error: 'authkey already used' };
      if (request.Followup === '') return { ...REFUSED, AuthURL: 'http://127.0.0.1/a/3' };
      deleted = false;
      return ACCEPTED;
    },
  };
  control.drop();
  await probe.until(() => control.streams.length === 2, 'another stream');
  assert.deepEqual(probe.urls, ['http://127.0.0.1/a/3']);
});

test('a server that has another key after a restart is asked for it again', async () => {
  const { control, probe, url } = await withControl({ stream: serveMap });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  await control.close();
  const reborn = new FakeControl({ stream: serveMap });
  await reborn.listen(Number(new URL(url).port));
  closers.push(() => reborn.close());
  await probe.until(() => reborn.streams.length > 0, 'a stream with the new key');
  assert.ok(probe.problems.some((problem) => problem?.code === 'ERR_CONTROL_KEY'));
});

test('a server in trouble (503) is asked again without a new registration', async () => {
  let troubles = 2;
  const { control, probe } = await withControl({
    stream: serveMap,
    refuse: () => (troubles-- > 0 ? 503 : undefined),
  });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  assert.equal(control.registrations.length, 1);
});

test('the own key expires: NeedsLogin with a new key, and the stream starts again with it', async () => {
  const soon = new Date(Date.now() + 150).toISOString();
  const { control, probe } = await withControl({
    register: (request, attempt) => {
      if (attempt === 1) return ACCEPTED;
      if (request.Followup === '') return { ...REFUSED, AuthURL: 'http://127.0.0.1/a/9' };
      return new Promise((resolve) => setTimeout(() => resolve(ACCEPTED), 50));
    },
    stream: (stream) => {
      const expiry = control.streams.length === 1 ? { KeyExpiry: soon } : {};
      stream.send(firstMap(stream.request.NodeKey, {}, expiry));
    },
  });
  await probe.until(() => probe.maps.some(({ selfExpired }) => selfExpired), 'the expiry');
  await probe.until(() => control.streams.length === 2, 'a new stream');
  assert.deepEqual(probe.urls, ['http://127.0.0.1/a/9']);
  const [first, renewal] = control.registrations;
  assert.notEqual(renewal?.NodeKey, first?.NodeKey);
  assert.equal(renewal?.OldNodeKey, first?.NodeKey);
  assert.equal(control.streams[1]?.request.NodeKey, renewal?.NodeKey);
});

test('a login that a person has to renew outlives map streams and connections', async () => {
  let approve = (): void => {};
  const { control, probe } = await withControl({
    register: (request, attempt) => {
      if (attempt === 1) return ACCEPTED;
      if (request.Followup === '') return { ...REFUSED, AuthURL: 'http://127.0.0.1/a/9' };
      return new Promise((resolve) => {
        approve = () => resolve(ACCEPTED);
      });
    },
    stream: (stream) => {
      const isOld = stream.request.NodeKey === control.registrations[0]?.NodeKey;
      const expiry = isOld ? { KeyExpiry: '2020-01-01T00:00:00Z' } : {};
      stream.send(firstMap(stream.request.NodeKey, {}, expiry));
      if (isOld && control.streams.length < 3) stream.end();
    },
  });
  await probe.until(() => control.streams.length === 3, 'streams under the old key');
  assert.equal(control.registrations.length, 3, 'the followup was never begun anew');
  control.drop();
  await probe.until(() => control.registrations.length === 4, 'the followup after the cut');
  assert.equal(control.registrations[3]?.Followup, 'http://127.0.0.1/a/9');
  assert.equal(control.registrations[3]?.NodeKey, control.registrations[2]?.NodeKey);
  approve();
  await probe.until(() => probe.maps.at(-1)?.selfExpired === false, 'the map of the new key');
  assert.deepEqual(probe.urls, ['http://127.0.0.1/a/9']);
  assert.equal(control.streams.at(-1)?.request.NodeKey, control.registrations[3]?.NodeKey);
});

test('an expiry that the server extends meanwhile ends the new login', async () => {
  const { control, probe } = await withControl({
    register: (request, attempt) => {
      if (attempt === 1) return ACCEPTED;
      if (request.Followup === '') return { ...REFUSED, AuthURL: 'http://127.0.0.1/a/9' };
      return new Promise(() => {});
    },
    stream: (stream) =>
      stream.send(firstMap(stream.request.NodeKey, {}, { KeyExpiry: '2020-01-01T00:00:00Z' })),
  });
  await probe.until(() => control.registrations.length === 3, 'the followup');
  const [stream] = control.streams;
  stream!.send(firstMap(stream!.request.NodeKey));
  await probe.until(() => probe.maps.at(-1)?.selfExpired === false, 'the extension');
  const key = probe.identity.login!.nodeKey.publicBytes(crypto.x25519);
  assert.equal(nodePublic(key), control.registrations[0]?.NodeKey);
});

test('a map with the new key that overtakes the answer to the new login is not taken for an extension', async () => {
  const { control, probe } = await withControl({
    register: async (request, attempt) => {
      if (attempt === 1) return ACCEPTED;
      if (request.Followup === '') return { ...REFUSED, AuthURL: 'http://127.0.0.1/a/9' };
      control.streams[0]?.send({ Node: selfNode(request.NodeKey) });
      await new Promise((resolve) => setTimeout(resolve, 50));
      return ACCEPTED;
    },
    stream: (stream) => {
      const expiry = control.streams.length === 1 ? { KeyExpiry: '2020-01-01T00:00:00Z' } : {};
      stream.send(firstMap(stream.request.NodeKey, {}, expiry));
    },
  });
  await probe.until(() => control.streams.length === 2, 'a stream with the new key');
  assert.equal(control.streams[1]?.request.NodeKey, control.registrations.at(-1)?.NodeKey);
});

test('PingRequest: HEAD over Noise, and c2n /echo answered with a raw HTTP response', async () => {
  const calls: { method: string; path: string; body: string }[] = [];
  const { control, probe } = await withControl({
    stream: serveMap,
    other: (method, path, body) => calls.push({ method, path, body: body.toString() }),
  });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  const payload = 'POST /echo HTTP/1.1\r\nHost: unused\r\nContent-Length: 5\r\n\r\nhello';
  const [stream] = control.streams;
  stream!.send({ PingRequest: { URL: 'https://unused/alive?id=1', URLIsNoise: true, Types: '' } });
  stream!.send({
    KeepAlive: true,
    PingRequest: { URL: 'https://unused/c2n/7', Types: 'c2n', Payload: utf8Encode(payload) },
  });
  await probe.until(() => calls.length === 2, 'both answers');
  assert.deepEqual(calls.map(({ method, path }) => `${method} ${path}`).sort(), [
    'HEAD /alive?id=1',
    'POST /c2n/7',
  ]);
  const answer = calls.find(({ method }) => method === 'POST')!.body;
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.ok(answer.endsWith('\r\n\r\nhello'));
});

test('logout: an expiry in the past with the current key, and the login is forgotten (6.6)', async () => {
  const { control, probe } = await withControl({ stream: serveMap });
  await probe.until(() => probe.maps.length > 0, 'the first map');
  await probe.client.logout(AbortSignal.timeout(5_000));
  const [first, last] = control.registrations;
  assert.equal(last?.NodeKey, first?.NodeKey);
  assert.ok(Date.parse(last?.Expiry ?? '') < Date.now());
  assert.equal(probe.identity.login, undefined);
});
