import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat, ProtocolError, toHex, utf8Decode, utf8Encode } from './bytes.ts';
import { encodeJson } from './json.ts';
import {
  encodeMapFrame,
  MapFrameReader,
  type MapResponse,
  parseMapRequest,
  parseMapResponse,
} from './mapmessage.ts';
import { parseDerpMap, parseNodeID } from './tailcfg.ts';

const key = (prefix: string, byte: string): string => `${prefix}:${byte.repeat(32)}`;
const read = (text: string): MapResponse => parseMapResponse(utf8Encode(text));

const FIRST = `{"Node":{"ID":1,"StableID":"n1","Name":"alpha.example.ts.net.","User":1,
  "Key":"${key('nodekey', '01')}","Machine":"${key('mkey', '02')}","DiscoKey":"${key('discokey', '03')}",
  "Addresses":["100.64.0.1/32","fd7a:115c:a1e0::1/128"],"AllowedIPs":["100.64.0.1/32","fd7a:115c:a1e0::1/128"],
  "Hostinfo":{},"Created":"2026-01-02T03:04:05Z","Cap":141,"MachineAuthorized":true,"Online":true,
  "CapMap":{"https://tailscale.com/cap/ssh":[],"https://tailscale.com/cap/file-sharing":[]}},
 "DERPMap":{"Regions":{"900":{"RegionID":900,"RegionCode":"own","RegionName":"Own",
  "Nodes":[{"Name":"900a","RegionID":900,"HostName":"derp.example.com"}]}},"omitDefaultRegions":true},
 "DNSConfig":{"Routes":{"example.ts.net":[]},"Domains":["example.ts.net"],"Proxied":true},
 "Domain":"example.com","CollectServices":false,
 "PacketFilters":{"base":[{"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]},
 "UserProfiles":[{"ID":1,"LoginName":"alice@example.com","DisplayName":"alice"}],
 "SSHPolicy":{"rules":[]},"ControlTime":"2026-01-02T03:04:05Z"}`;

test('the minimal first message is read without loss and written back to the letter', () => {
  const response = read(FIRST);
  assert.deepEqual(response, JSON.parse(FIRST));
  assert.equal(utf8Decode(encodeJson(response)), JSON.stringify(JSON.parse(FIRST)));
});

test('a message with every member is read without loss', () => {
  const node = {
    ID: 2,
    StableID: 'n2',
    Name: 'b.',
    User: 3,
    Sharer: 4,
    Key: key('nodekey', '05'),
    KeyExpiry: '2027-01-02T03:04:05+02:00',
    Machine: key('mkey', '06'),
    DiscoKey: key('discokey', '07'),
    Addresses: ['100.64.0.2/32'],
    AllowedIPs: [],
    Endpoints: ['[::1]:1'],
    DERP: '127.3.3.40:9',
    HomeDERP: 9,
    Hostinfo: { OS: 'linux', Location: { Country: 'X', Latitude: 1.5 }, TPM: { Model: 1 } },
    Created: '2026-01-02T03:04:05.123456789Z',
    Cap: 130,
    Tags: ['tag:a'],
    PrimaryRoutes: ['10.0.0.0/8'],
    LastSeen: '2026-01-02T03:04:05Z',
    Online: false,
    MachineAuthorized: true,
    CapMap: { x: [1, 'a', { B: [null] }] },
    UnsignedPeerAPIOnly: true,
    ComputedName: 'b',
    ComputedNameWithHost: 'b (c)',
    DataPlaneAuditLogID: 'l',
    Expired: true,
    SelfNodeV4MasqAddrForThisPeer: '10.1.1.1',
    SelfNodeV6MasqAddrForThisPeer: '::1',
    IsWireGuardOnly: true,
    IsJailed: true,
    ExitNodeDNSResolvers: [
      { Addr: '1.1.1.1', BootstrapResolution: ['1.0.0.1'], UseWithExitNode: true },
    ],
  };
  const message = {
    MapSessionHandle: 'h',
    Seq: 5,
    KeepAlive: true,
    PingRequest: {
      URL: 'https://unused/c2n/1',
      URLIsNoise: true,
      Log: true,
      Types: 'c2n',
      IP: '100.64.0.9',
    },
    PopBrowserURL: 'https://x',
    Node: node,
    Peers: [node],
    PeersChanged: [node],
    PeersRemoved: [7, 8],
    PeersChangedPatch: [
      {
        NodeID: 2,
        DERPRegion: 4,
        Cap: 5,
        CapMap: {},
        Endpoints: [],
        Key: key('nodekey', '08'),
        DiscoKey: key('discokey', '09'),
        Online: true,
        LastSeen: '2026-01-02T03:04:05Z',
        KeyExpiry: '0001-01-01T00:00:00Z',
      },
    ],
    PeerSeenChange: { 2: true },
    OnlineChange: { 3: false },
    DERPMap: {
      HomeParams: { RegionScore: { 1: 0.5 } },
      Regions: {
        1: {
          RegionID: 1,
          RegionCode: 'r',
          RegionName: 'R',
          Latitude: 1,
          Longitude: -2,
          Avoid: true,
          NoMeasureNoHome: true,
          Nodes: [
            {
              Name: '1a',
              RegionID: 1,
              HostName: 'h',
              CertName: 'c',
              IPv4: 'none',
              IPv6: '',
              STUNPort: -1,
              STUNOnly: true,
              DERPPort: 8443,
              InsecureForTests: true,
              STUNTestIP: '127.0.0.1',
              CanPort80: true,
            },
          ],
        },
      },
    },
    DNSConfig: {
      Resolvers: [{ Addr: 'https://dns/' }],
      Routes: { 'a.': [{ Addr: '1.1.1.1' }] },
      FallbackResolvers: [{}],
      Domains: ['d'],
      Proxied: false,
      Nameservers: ['8.8.8.8'],
      CertDomains: ['c'],
      ExtraRecords: [{ Name: 'n', Type: 'A', Value: '1.2.3.4' }],
      ExitNodeFilteredSet: ['.x'],
    },
    Domain: 'd',
    CollectServices: true,
    PacketFilter: [],
    PacketFilters: {
      '*': null,
      a: [
        {
          SrcIPs: ['cap:x'],
          SrcBits: [1],
          IPProto: [6],
          CapGrant: [
            {
              Dsts: ['100.64.0.1/32'],
              Caps: ['c'],
              CapMap: { 'example.com/cap/x': [{ admin: true }] },
            },
          ],
        },
      ],
      b: null,
    },
    UserProfiles: [{ ID: 1, LoginName: 'l', DisplayName: 'd', ProfilePicURL: 'p', Groups: ['g'] }],
    Health: ['h'],
    DisplayMessages: {
      '*': null,
      m: {
        Title: 't',
        Text: 'x',
        Severity: 'high',
        ImpactsConnectivity: true,
        PrimaryAction: { URL: 'u', Label: 'l' },
      },
    },
    SSHPolicy: {
      rules: [
        {
          ruleExpires: '2026-01-02T03:04:05Z',
          principals: [{ node: 'n', nodeIP: '1.2.3.4', userLogin: 'u', any: true }],
          sshUsers: { '*': '=' },
          action: {
            message: 'm',
            reject: true,
            accept: false,
            sessionDuration: 1_000_000_000,
            allowAgentForwarding: true,
            holdAndDelegate: 'https://unused/',
            allowLocalPortForwarding: true,
            allowRemotePortForwarding: true,
            recorders: ['1.2.3.4:80'],
            onRecordingFailure: {
              RejectSessionWithMessage: 'r',
              TerminateSessionWithMessage: 't',
              NotifyURL: 'n',
            },
          },
          acceptEnv: ['A'],
        },
      ],
    },
    ControlTime: '2026-01-02T03:04:05Z',
    TKAInfo: { Head: 'h', Disabled: true },
    DomainDataPlaneAuditLogID: 'l',
    Debug: { SleepSeconds: 0.5, DisableLogTail: true, Exit: 1 },
    ControlDialPlan: {
      Candidates: [
        { IP: '192.0.2.1', ACEHost: 'a', DialStartDelaySec: 0.5, DialTimeoutSec: 10, Priority: 1 },
      ],
    },
    ClientVersion: {
      RunningLatest: true,
      LatestVersion: '1',
      UrgentSecurityUpdate: true,
      Notify: true,
      NotifyURL: 'u',
      NotifyText: 't',
    },
    DefaultAutoUpdate: false,
  };
  assert.deepEqual(read(JSON.stringify(message)), message);
  const binary = read(
    '{"Node":{"KeySignature":"AQI="},"PingRequest":{"Payload":"R0VU"},"PeersChangedPatch":[{"KeySignature":""}]}',
  );
  assert.deepEqual(binary.Node?.KeySignature, Uint8Array.of(1, 2));
  assert.equal(utf8Decode(binary.PingRequest!.Payload!), 'GET');
  assert.equal(binary.PeersChangedPatch![0]!.KeySignature!.length, 0);
});

test('absent, null and empty stay apart where they mean different things', () => {
  const absent = read(
    '{"PacketFilter":null,"Health":null,"PacketFilters":null,"Peers":null,"DERPMap":{"Regions":null,"HomeParams":{}}}',
  );
  assert.deepEqual(absent, { DERPMap: { HomeParams: {} } });
  const empty = read(
    '{"PacketFilter":[],"Health":[],"PacketFilters":{},"Peers":[],"DERPMap":{"Regions":{},"HomeParams":{"RegionScore":{}}},' +
      '"PeersChangedPatch":[{"NodeID":1,"Endpoints":[],"CapMap":{}},{"NodeID":2,"Endpoints":null,"CapMap":null}],' +
      '"Node":{"AllowedIPs":[]},"DNSConfig":{"Routes":{"a":[],"b":null}}}',
  );
  assert.deepEqual(empty.PacketFilter, []);
  assert.deepEqual(empty.Health, []);
  assert.deepEqual(empty.PacketFilters, {});
  assert.deepEqual(empty.Peers, []);
  assert.deepEqual(empty.DERPMap, { Regions: {}, HomeParams: { RegionScore: {} } });
  assert.deepEqual(empty.PeersChangedPatch, [
    { NodeID: 1, Endpoints: [], CapMap: {} },
    { NodeID: 2 },
  ]);
  assert.deepEqual(empty.Node?.AllowedIPs, []);
  assert.deepEqual(empty.DNSConfig?.Routes, { a: [], b: [] });
});

test('null deletes a named filter or message, is dropped as a region or element, and is no capability argument', () => {
  const response = read(
    '{"PacketFilters":{"*":null,"x":[]},"DisplayMessages":{"d":null},"DERPMap":{"Regions":{"1":null}},"Peers":[null],' +
      '"Node":{"CapMap":{"a":null,"b":[null,1]}}}',
  );
  assert.deepEqual(response.PacketFilters, { '*': null, x: [] });
  assert.deepEqual(response.DisplayMessages, { d: null });
  assert.deepEqual(response.DERPMap, { Regions: {} });
  assert.deepEqual(response.Peers, []);
  assert.deepEqual(response.Node?.CapMap, { a: [], b: [1] });
});

test('64-bit identifiers keep their last digit wherever they stand', () => {
  const big = '9007199254740993';
  const response = read(
    `{"PeersRemoved":[${big},3],"OnlineChange":{"${big}":true},"PeersChangedPatch":[{"NodeID":${big}}],"Node":{"ID":${big},"User":${big},` +
      '"Hostinfo":{"TPM":{"FirmwareVersion":18446744073709551615}}}}',
  );
  const id = 9007199254740993n;
  assert.deepEqual(response.PeersRemoved, [id, 3]);
  assert.deepEqual(Object.keys(response.OnlineChange!).map(parseNodeID), [id]);
  assert.equal(response.PeersChangedPatch![0]!.NodeID, id);
  assert.equal(response.Node?.ID, id);
  assert.equal(response.Node?.Hostinfo?.TPM?.FirmwareVersion, 2n ** 64n - 1n);
  assert.match(utf8Decode(encodeJson(response)), /"PeersRemoved":\[9007199254740993,3\]/);
  assert.equal(parseNodeID('12'), 12);
  for (const bad of ['0', '-1', '01', '9223372036854775808', 'x', '', '1e3'])
    assert.equal(parseNodeID(bad), undefined);
});

test('a wrong type anywhere fails the message', () => {
  for (const text of [
    '{"Peers":{}}',
    '{"Peers":[1]}',
    '{"Node":{"ID":"1"}}',
    '{"Node":{"ID":9223372036854775808}}',
    '{"Node":{"Key":""}}',
    '{"OnlineChange":{"x":true}}',
    '{"OnlineChange":{"1":1}}',
    '{"Health":"x"}',
    '{"Health":[1]}',
    '{"ControlTime":"now"}',
    '{"PacketFilters":{"a":{}}}',
    '{"PacketFilter":[{"DstPorts":[{"Ports":{"First":-1}}]}]}',
    '{"Node":{"Endpoints":["x:1"]}}',
    '{"Node":{"Addresses":["100.64.0.1"]}}',
    '{"Node":{"CapMap":{"a":{}}}}',
    '{"Debug":{"SleepSeconds":1e999}}',
    '{"CollectServices":"true"}',
    '{"DERPMap":{"Regions":{"x":{}}}}',
    '{"Node":{"KeySignature":"!"}}',
  ]) {
    assert.throws(
      () => read(text),
      (error) => error instanceof ProtocolError,
      text,
    );
  }
});

test('zoned and empty endpoints are legal on the wire', () => {
  const request = parseMapRequest(
    utf8Encode(
      `{"Version":141,"NodeKey":"${key('nodekey', '01')}","Endpoints":["[fe80::1%eth0]:41641",""],"EndpointTypes":[1,2]}`,
    ),
  );
  assert.deepEqual(request.Endpoints, ['[fe80::1%eth0]:41641', '']);
});

test('a lite update is read, and an empty request has zero values', () => {
  const update = {
    Version: 141,
    KeepAlive: true,
    NodeKey: key('nodekey', '0b'),
    DiscoKey: key('discokey', '0b'),
    Hostinfo: { OS: 'linux' },
    Endpoints: ['198.51.100.7:41641', '192.168.1.5:41641'],
    EndpointTypes: [2, 1],
    OmitPeers: true,
    Compress: 'zstd',
  };
  assert.deepEqual(parseMapRequest(utf8Encode(JSON.stringify(update))), update);
  assert.deepEqual(parseMapRequest(utf8Encode('{}')), {
    Version: 0,
    NodeKey: key('nodekey', '00'),
  });
});

test('of equal names, in whatever case, the last one counts', () => {
  assert.equal(read('{"Domain":"a","domain":"b"}').Domain, 'b');
  assert.equal(read('{"DOMAIN":"b","Domain":"a"}').Domain, 'a');
});

test('a name of the object prototype is no member', () => {
  assert.deepEqual(read('{"__proto__":{"Domain":"x"},"constructor":1,"toString":2}'), {});
  const filters = read('{"PacketFilters":{"__proto__":[]}}').PacketFilters!;
  assert.deepEqual(Object.keys(filters), ['__proto__']);
});

test('a map with numbers for names is a map of regions', () => {
  const map = parseDerpMap(utf8Encode('{"regions":{"1":{"regionid":1,"nodes":null}}}'));
  assert.deepEqual(map.Regions, { 1: { RegionID: 1, RegionCode: '', RegionName: '', Nodes: [] } });
});

test('a frame is the length in little endian and the payload', () => {
  assert.equal(
    toHex(encodeMapFrame(utf8Encode('{"KeepAlive":true}')).subarray(0, 6)),
    '120000007b22',
  );
  assert.throws(() => encodeMapFrame(new Uint8Array(0)), RangeError);
});

test('frames cut anywhere come out whole', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1 }),
      (payloads, cuts) => {
        const stream = concat(...payloads.map(encodeMapFrame));
        const reader = new MapFrameReader(300);
        const out: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          out.push(...reader.push(stream.subarray(at, at + cuts[i % cuts.length]!)));
          at += cuts[i % cuts.length]!;
        }
        assert.deepEqual(out.map(toHex), payloads.map(toHex));
      },
    ),
  );
});

test('a length of 0 or above the limit ends the stream before anything is held', () => {
  for (const [length, code] of [
    [0, 'ERR_MALFORMED'],
    [101, 'ERR_TOO_LARGE'],
    [0xffffffff, 'ERR_TOO_LARGE'],
  ] as const) {
    const header = new Uint8Array(4);
    new DataView(header.buffer).setUint32(0, length, true);
    const reader = new MapFrameReader(100);
    assert.throws(() => reader.push(header), { code });
    assert.throws(() => reader.push(encodeMapFrame(Uint8Array.of(1))), { code: 'ERR_CLOSED' });
  }
});

test('every truncation and any mutation of a message is a value or a ProtocolError', () => {
  const bytes = utf8Encode(FIRST);
  for (let n = 0; n < bytes.length; n++) {
    assert.throws(
      () => parseMapResponse(bytes.subarray(0, n)),
      (error) => error instanceof ProtocolError,
    );
  }
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.nat(bytes.length - 1),
      fc.integer({ min: 0, max: 255 }),
      (a, b, byte) => {
        const mutated = bytes.slice();
        mutated[a] = byte;
        mutated[b] = bytes[a]!;
        try {
          parseMapResponse(mutated);
        } catch (error) {
          assert.ok(error instanceof ProtocolError);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test('any JSON at all is a value or a ProtocolError', () => {
  const names = [
    'Node',
    'Peers',
    'DERPMap',
    'Regions',
    'PacketFilters',
    'Hostinfo',
    'CapMap',
    'DNSConfig',
    'Health',
    '1',
    'Key',
    'ID',
  ];
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(null, true, 0, -1, 1e300, '', key('nodekey', 'aa'), '100.64.0.1/32'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(value, (given) => {
      try {
        encodeJson(parseMapResponse(utf8Encode(JSON.stringify(given))));
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }),
    { numRuns: 2000 },
  );
});
