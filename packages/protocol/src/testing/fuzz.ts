// Fuzz targets of the wire formats: what they decode and encode again must say the same.
import assert from 'node:assert/strict';
import { concat, fromHex, ProtocolError, utf8Encode } from '../bytes.ts';
import { acceptInitiation, EarlyPayloadReader, RecordChannel } from '../controlbase.ts';
import {
  CLIENT_FRAME_LIMITS,
  encodeFrame,
  encodeRestarting,
  encodeServerKey,
  FrameReader,
  FrameType,
  parsePeerGone,
  parsePeerPresent,
  parseRestarting,
  parseServerKey,
} from '../derp.ts';
import { parseClientInfo } from '../derpinfo.ts';
import { encodeDisco, isDisco, parseDisco } from '../disco.ts';
import { encodeDns, parseDns, parseDnsQuery } from '../dns.ts';
import { encodeJson, parseJson } from '../json.ts';
import { PrivateKey } from '../keys.ts';
import {
  encodeMapFrame,
  MapFrameReader,
  parseMapRequest,
  parseMapResponse,
} from '../mapmessage.ts';
import { nobleCrypto } from '../noblecrypto.ts';
import {
  parseEarlyPayload,
  parseRegisterRequest,
  parseRegisterResponse,
  parseServerKeys,
} from '../register.ts';
import {
  encodeStunRequest,
  encodeStunResponse,
  isStun,
  parseStunRequest,
  parseStunResponse,
} from '../stun.ts';
import { parseDerpMap } from '../tailcfg.ts';
import { type FuzzTarget, tolerate } from './fuzztarget.ts';

const isTyped = (error: unknown): boolean => error instanceof ProtocolError;
const TXID = fromHex('0102030405060708090a0b0c');
const KEY = new Uint8Array(32).fill(7);
const words = (...texts: string[]): Uint8Array[] => texts.map(utf8Encode);

const discoTarget: FuzzTarget = {
  name: 'disco',
  maxLength: 400,
  seeds: [
    encodeDisco({ type: 'ping', txId: TXID, nodeKey: KEY }),
    encodeDisco({
      type: 'pong',
      txId: TXID,
      source: { addr: new Uint8Array(4).fill(9), port: 41641 },
    }),
    encodeDisco({
      type: 'callMeMaybe',
      endpoints: [{ addr: new Uint8Array(4).fill(9), port: 1 }],
    }),
    ...[4, 5, 6, 7, 8, 9].map((type) =>
      concat(Uint8Array.of(type, 0), new Uint8Array(140).fill(1)),
    ),
  ],
  run(input) {
    isDisco(input);
    const message = parseDisco(input);
    // Of a version we do not know only the type is kept.
    if (message === undefined || (message.type === 'callMeMaybeVia' && !message.relay)) return;
    const bytes = encodeDisco(message);
    assert.deepEqual(parseDisco(bytes), message);
  },
};

const stunTarget: FuzzTarget = {
  name: 'stun',
  maxLength: 200,
  seeds: [
    encodeStunRequest(TXID),
    encodeStunResponse(TXID, new Uint8Array(4).fill(3), 5678),
    encodeStunResponse(TXID, new Uint8Array(16).fill(3), 5678),
  ],
  words: [
    fromHex('2112a442'),
    fromHex('0101'),
    fromHex('00200008'),
    fromHex('00010008'),
    fromHex('80200008'),
  ],
  run(input) {
    const is = isStun(input);
    const request = parseStunRequest(input);
    const response = parseStunResponse(input);
    if (request !== undefined || response !== undefined) assert.ok(is, 'what parses is STUN');
    if (request !== undefined) {
      assert.equal(request.length, 12);
      assert.deepEqual(encodeStunRequest(request), input, 'a request is one fixed shape');
    }
    if (response !== undefined) {
      assert.ok(response.addr.length === 4 || response.addr.length === 16);
      assert.ok(response.port >= 0 && response.port < 65536);
      const again = encodeStunResponse(response.txId, response.addr, response.port);
      assert.deepEqual(parseStunResponse(again), response);
    }
  },
};

/** Frames cut at two places are the frames uncut. */
const derpTarget: FuzzTarget = {
  name: 'derp',
  maxLength: 600,
  seeds: [
    encodeServerKey(KEY),
    encodeFrame(FrameType.keepAlive),
    encodeFrame(FrameType.peerGone, KEY, Uint8Array.of(1)),
    encodeFrame(FrameType.recvPacket, KEY, new Uint8Array(20)),
    encodeFrame(FrameType.restarting, encodeRestarting(1000, 2000)),
    concat(encodeFrame(FrameType.ping, KEY.subarray(0, 8)), encodeFrame(0x77, new Uint8Array(9))),
  ],
  run(input) {
    const read = (...chunks: Uint8Array[]): string => {
      let out = '';
      const reader = new FrameReader(CLIENT_FRAME_LIMITS, (type, payload) => {
        out += `${type}:${payload.join()};`;
      });
      tolerate(isTyped, () => {
        for (const chunk of chunks) reader.push(chunk);
      });
      return out;
    };
    const a = (input[0] ?? 0) % (input.length + 1);
    const b = Math.max(a, (input[1] ?? 0) % (input.length + 1));
    const whole = read(input);
    assert.equal(read(input.subarray(0, a), input.subarray(a, b), input.subarray(b)), whole);
    for (const parse of [
      parsePeerGone,
      parsePeerPresent,
      parseRestarting,
      parseServerKey,
      parseClientInfo,
    ]) {
      tolerate(isTyped, () => void parse(input));
    }
  },
};

const QUERY = fromHex('123401000001000000000000037777770765786d616d706c0003636f6d0000010001');

const dnsTarget: FuzzTarget = {
  name: 'dns',
  maxLength: 512,
  seeds: [
    QUERY,
    fromHex(
      '12348180000100010000000103777777076578616d706c6503636f6d0000010001c00c00010001000000' +
        '3c000401020304000029100000000000000c000a00081122334455667788',
    ),
    ...[2, 5, 6, 12, 15, 16, 28, 33].map((type) =>
      concat(
        fromHex('00018180000000010000000001610162'),
        fromHex('00'),
        Uint8Array.of(0, type, 0, 1, 0, 0, 0, 60, 0, 30),
        new Uint8Array(30).fill(1, 0, 20),
      ),
    ),
  ],
  words: [
    fromHex('c00c'),
    fromHex('c000'),
    fromHex('00010001'),
    fromHex('001c0001'),
    fromHex('0029'),
  ],
  run(input) {
    parseDnsQuery(input);
    tolerate(isTyped, () => {
      const message = parseDns(input);
      const bytes = encodeDns(message);
      assert.deepEqual(parseDns(bytes), message);
      assert.ok(encodeDns(message, 512).length <= 512);
    });
  },
};

const SERVER_KEY = PrivateKey.fromBytes(new Uint8Array(32).fill(0x21));
const crypto = nobleCrypto((n) => new Uint8Array(n).fill(5));
/** Opens whatever carries a tag of zeros, so that what is behind the encryption is reached. */
const openAead = {
  ...crypto.aead,
  open: (_k: Uint8Array, _n: Uint8Array, _ad: Uint8Array, sealed: Uint8Array) =>
    sealed.length >= 16 && sealed.subarray(-16).every((byte) => byte === 0)
      ? sealed.slice(0, -16)
      : undefined,
};

const controlbaseTarget: FuzzTarget = {
  name: 'controlbase',
  maxLength: 700,
  seeds: [
    concat(Uint8Array.of(4, 0, 24), new Uint8Array(24)),
    concat(
      Uint8Array.of(4, 0, 16),
      new Uint8Array(16),
      Uint8Array.of(4, 0, 17),
      new Uint8Array(17),
    ),
    concat(Uint8Array.of(0, 1, 1, 0, 96), new Uint8Array(96)),
    fromHex('ffffff5453000000027b7d'),
  ],
  words: [Uint8Array.of(4, 0, 20), fromHex('ffffff5453'), new Uint8Array(16)],
  run(input) {
    if (input.length === 101 && input[0] === 0) {
      tolerate(isTyped, () => {
        acceptInitiation({ crypto, controlKey: SERVER_KEY, initiation: input });
      });
    }
    const channel = new RecordChannel(openAead, KEY, KEY);
    const early = new EarlyPayloadReader();
    const frames = new MapFrameReader(1 << 16);
    const cut = (input[2] ?? 0) % (input.length + 1);
    tolerate(isTyped, () => {
      for (const part of [input.subarray(0, cut), input.subarray(cut)]) {
        for (const plain of channel.push(part)) {
          for (const payload of frames.push(early.push(plain))) assert.ok(payload.length > 0);
        }
      }
    });
    if (early.json !== undefined) tolerate(isTyped, () => void parseEarlyPayload(early.json!));
    const direct = new EarlyPayloadReader();
    tolerate(isTyped, () => void direct.push(input));
    const map = new MapFrameReader(1 << 12);
    tolerate(isTyped, () => {
      for (const part of [input.subarray(0, cut), input.subarray(cut)]) map.push(part);
    });
    if (input.length > 0 && input.length < 64) {
      assert.deepEqual(new MapFrameReader(100).push(encodeMapFrame(input)), [input]);
    }
  },
};

/** What was read is written and read again. -0 is the one value JSON text of ours does not keep. */
const jsonTarget: FuzzTarget = {
  name: 'json',
  maxLength: 300,
  seeds: words(
    '{"a":[1,-2.5e3,true,null,"\\u00e9\\n"],"b":{}}',
    '[9007199254740993,0,-0,1e400,""]',
    '"\\ud83d\\ude00"',
  ),
  words: words(
    'null',
    'true',
    'false',
    '\\u',
    '\\ud83d',
    '1e',
    '-0',
    '":',
    '[]',
    '{}',
    '__proto__',
  ),
  run(input) {
    tolerate(isTyped, () => {
      const text = encodeJson(parseJson(input));
      assert.deepEqual(encodeJson(parseJson(text)), text);
    });
  },
};

const HEX = '11'.repeat(32);
const NODE = `{"ID":1,"StableID":"n1","Name":"a.b.","User":5,"Key":"nodekey:${HEX}","KeyExpiry":"2030-01-01T00:00:00Z","Machine":"mkey:${HEX}","DiscoKey":"discokey:${HEX}","Addresses":["100.64.0.1/32"],"AllowedIPs":["100.64.0.1/32"],"Endpoints":["1.2.3.4:5"],"DERP":"127.3.3.40:1","HomeDERP":1,"Hostinfo":{"OS":"linux","Services":[{"Proto":"tcp","Port":80}],"NetInfo":{"PreferredDERP":1,"DERPLatency":{"1-v4":0.1}}},"Online":true,"CapMap":{"x":null,"y":[1]}}`;

const shapesTarget: FuzzTarget = {
  name: 'control-json',
  maxLength: 1500,
  seeds: words(
    `{"Node":${NODE},"Peers":[${NODE}],"PeersRemoved":[2],"PeersChangedPatch":[{"NodeID":1,"DERPRegion":2}],"DNSConfig":{"Routes":{"a":[{"Addr":"1.1.1.1"}],"b":null},"Domains":["x"]},"PacketFilters":{"base":[{"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]},"UserProfiles":[{"ID":5,"LoginName":"a@b"}]}`,
    `{"Version":113,"NodeKey":"nodekey:${HEX}","DiscoKey":"discokey:${HEX}","Stream":true,"Hostinfo":{"OS":"linux"},"Endpoints":["1.2.3.4:5"]}`,
    `{"Version":113,"NodeKey":"nodekey:${HEX}","OldNodeKey":"nodekey:${HEX}","Auth":{"AuthKey":"k"},"Expiry":"2030-01-01T00:00:00Z","Ephemeral":true}`,
    '{"User":{"ID":1},"Login":{"ID":1},"MachineAuthorized":true,"AuthURL":"https://x/","Error":""}',
    `{"Regions":{"1":{"RegionID":1,"RegionCode":"a","Nodes":[{"Name":"1a","RegionID":1,"HostName":"h","IPv4":"1.2.3.4","STUNPort":-1}]}},"HomeParams":{"RegionScore":{"1":1.5}}}`,
    `{"legacyPublicKey":"mkey:${HEX}","publicKey":"mkey:${HEX}"}`,
    `{"nodeKeyChallenge":"chalpub:${HEX}"}`,
    '{"SSHPolicy":{"rules":[{"principals":[{"any":true}],"sshUsers":{"*":"="},"action":{"accept":true,"sessionDuration":5}}]},"PingRequest":{"URL":"http://x","Types":"disco"}}',
  ),
  words: words('null', '{}', '[]', '"', '1', '-1', '1e9', 'true', '9223372036854775807', '"a":'),
  run(input) {
    for (const parse of [
      parseMapRequest,
      parseMapResponse,
      parseRegisterRequest,
      parseRegisterResponse,
      parseDerpMap,
      parseServerKeys,
      parseEarlyPayload,
    ]) {
      tolerate(isTyped, () => {
        const text = encodeJson(parse(input));
        assert.deepEqual(encodeJson(parse(text)), text);
      });
    }
  },
};

export const targets: readonly FuzzTarget[] = [
  discoTarget,
  stunTarget,
  derpTarget,
  dnsTarget,
  controlbaseTarget,
  jsonTarget,
  shapesTarget,
];
