import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError, utf8Decode, utf8Encode } from './bytes.ts';
import { encodeJson } from './json.ts';
import {
  parseEarlyPayload,
  parseRegisterRequest,
  parseRegisterResponse,
  parseServerKeys,
  type RegisterResponse,
} from './register.ts';
import { isZeroTime } from './time.ts';

const NODE = `nodekey:${'1a'.repeat(32)}`;
const ZERO = '0'.repeat(64);
const json = (value: unknown): Uint8Array => utf8Encode(JSON.stringify(value));

test('the request of a stock client with an auth key is read', () => {
  const request = {
    Version: 141,
    NodeKey: NODE,
    OldNodeKey: `nodekey:${ZERO}`,
    NLKey: `nlpub:${'2b'.repeat(32)}`,
    Auth: { AuthKey: 'tskey-auth-x' },
    Expiry: '0001-01-01T00:00:00Z',
    Followup: '',
    Hostinfo: {
      OS: 'linux',
      Hostname: 'alpha',
      RoutableIPs: ['10.0.0.0/8'],
      RequestTags: ['tag:x'],
    },
    NodeKeySignature: null,
    Ephemeral: true,
  };
  assert.deepEqual(parseRegisterRequest(json(request)), request);
  assert.equal(isZeroTime(parseRegisterRequest(json(request)).Expiry), true);
});

test('member names of the Rust client are understood at every level', () => {
  const request = parseRegisterRequest(
    json({
      version: 130,
      nodeKey: NODE.replace('1a', '1A'),
      HostInfo: {
        Os: 'linux',
        OsVersion: '6',
        IpnVersion: '1',
        FrontendLogId: 'f',
        BackendLogId: 'b',
        RoutableIps: [],
        WolMacs: ['aa:bb:cc:dd:ee:ff'],
        SshHostKeys: ['ssh-ed25519 x'],
        ExitNodeId: 'n1',
        NetInfo: {
          PreferredDerp: 3,
          DerpLatency: { '1-v4': 0.05 },
          WorkingIpv6: true,
          OsHasIpv6: null,
          WorkingUdp: false,
          MappingVariesByDestIp: true,
        },
      },
      SignatureType: 0,
      SomethingNew: { deep: [1] },
    }),
  );
  assert.deepEqual(request, {
    Version: 130,
    NodeKey: NODE,
    Hostinfo: {
      OS: 'linux',
      OSVersion: '6',
      IPNVersion: '1',
      FrontendLogID: 'f',
      BackendLogID: 'b',
      RoutableIPs: [],
      WoLMACs: ['aa:bb:cc:dd:ee:ff'],
      sshHostKeys: ['ssh-ed25519 x'],
      ExitNodeID: 'n1',
      NetInfo: {
        PreferredDERP: 3,
        DERPLatency: { '1-v4': 0.05 },
        WorkingIPv6: true,
        WorkingUDP: false,
        MappingVariesByDestIP: true,
      },
    },
    SignatureType: 0,
  });
});

test('a wrong type, an empty key or a bad address fails the whole message', () => {
  const wrong: unknown[] = [
    null,
    [],
    'x',
    { NodeKey: '' },
    { NodeKey: 5 },
    { NodeKey: NODE.slice(0, -1) },
    { Version: '141' },
    { Version: 1.5 },
    { Expiry: 'tomorrow' },
    { Ephemeral: 'true' },
    { Hostinfo: [] },
    { Hostinfo: { RoutableIPs: ['10.0.0.0'] } },
    { Hostinfo: { RoutableIPs: 'x' } },
    { Hostinfo: { Services: [{ Port: 65536 }] } },
    { Hostinfo: { NetInfo: { DERPLatency: { x: 'fast' } } } },
    { DeviceCert: '%%' },
  ];
  for (const value of wrong) {
    assert.throws(
      () => parseRegisterRequest(json(value)),
      (error) => error instanceof ProtocolError,
      JSON.stringify(value),
    );
  }
});

test('the minimal success answer is written to the letter and read back', () => {
  const text =
    '{"User":{"ID":1,"DisplayName":"alice"},"Login":{"ID":1,"Provider":"","LoginName":"alice@example.com","DisplayName":"alice"},' +
    '"NodeKeyExpired":false,"MachineAuthorized":true,"AuthURL":"","NodeKeySignature":null,"Error":""}';
  const response: RegisterResponse = {
    User: { ID: 1, DisplayName: 'alice' },
    Login: { ID: 1, Provider: '', LoginName: 'alice@example.com', DisplayName: 'alice' },
    NodeKeyExpired: false,
    MachineAuthorized: true,
    AuthURL: '',
    NodeKeySignature: null,
    Error: '',
  };
  assert.equal(utf8Decode(encodeJson(response)), text);
  assert.deepEqual(parseRegisterResponse(utf8Encode(text)), response);
});

test('an answer that omits members reads as its zero values', () => {
  assert.deepEqual(parseRegisterResponse(utf8Encode('{"AuthURL":"https://x/","Login":null}')), {
    User: { ID: 0, DisplayName: '' },
    Login: { ID: 0, Provider: '', LoginName: '', DisplayName: '' },
    NodeKeyExpired: false,
    MachineAuthorized: false,
    AuthURL: 'https://x/',
    NodeKeySignature: null,
    Error: '',
  });
  const signed = parseRegisterResponse(utf8Encode('{"NodeKeySignature":"AQI="}'));
  assert.deepEqual(signed.NodeKeySignature, Uint8Array.of(1, 2));
});

test('server keys and the early payload are read; a missing server key is the zero key', () => {
  const mkey = `mkey:${'3c'.repeat(32)}`;
  assert.deepEqual(parseServerKeys(json({ legacyPublicKey: `mkey:${ZERO}`, publicKey: mkey })), {
    legacyPublicKey: `mkey:${ZERO}`,
    publicKey: mkey,
  });
  assert.equal(parseServerKeys(json({})).publicKey, `mkey:${ZERO}`);
  const challenge = `chalpub:${'4d'.repeat(32)}`;
  assert.equal(
    parseEarlyPayload(json({ nodeKeyChallenge: challenge })).nodeKeyChallenge,
    challenge,
  );
});

test('every truncation and any mutation of a request is a value or a ProtocolError', () => {
  const bytes = json({ Version: 141, NodeKey: NODE, Hostinfo: { NetInfo: { PreferredDERP: 1 } } });
  for (let n = 0; n < bytes.length; n++) {
    assert.throws(
      () => parseRegisterRequest(bytes.subarray(0, n)),
      (error) => error instanceof ProtocolError,
    );
  }
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
      const mutated = bytes.slice();
      mutated[at] = byte;
      try {
        parseRegisterRequest(mutated);
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }),
    { numRuns: 1000 },
  );
});
