import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, ProtocolError, toHex } from './bytes.ts';
import { boxSharedKey } from './crypto.ts';
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
  SERVER_FRAME_LIMITS,
  SKIP_LIMIT,
} from './derp.ts';
import {
  openClientInfo,
  openServerInfo,
  parseClientInfo,
  sealClientInfo,
  sealServerInfo,
} from './derpinfo.ts';
import { nobleX25519 } from './noblecrypto.ts';

const key = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte);
const CLIENT_PRIVATE = key(0x0b);
const SERVER_PRIVATE = key(0x0c);
const CLIENT_PUBLIC = '73b2d8b76aa9b53660032bc8f5d8bee3a3ae4e3b3a7fd49ade81f7347a34aa68';
const SERVER_PUBLIC = '97c3b10b4d6c133a78ea5dcc1cf6421d3f81ae37b1f628ce14ca6fce7730f333';
const CLIENT_INFO =
  `0200000068${CLIENT_PUBLIC}${'0d'.repeat(24)}` +
  'b765b6b211d3d98d3303e9a478ba018dc4d77a9ec41609e4f7372c3384cd532f9c6311' +
  'b7604adb3d0b2b7245a499d444';
const SERVER_INFO = `0300000035${'0e'.repeat(24)}87cbf202232f89ec1ee9d258751b7ddb4f1e9812e36aca6ce904efeb5e`;

const code =
  (wanted: string) =>
  (error: unknown): boolean =>
    error instanceof ProtocolError && error.code === wanted;

/** Frames of the chunks as `type:hex`. */
function frames(limits: typeof CLIENT_FRAME_LIMITS, ...chunks: readonly Uint8Array[]): string[] {
  const out: string[] = [];
  const reader = new FrameReader(limits, (type, payload) => out.push(`${type}:${toHex(payload)}`));
  for (const chunk of chunks) reader.push(chunk);
  return out;
}

test('frames have the bytes of the examples', () => {
  const server = fromHex(SERVER_PUBLIC);
  assert.equal(toHex(encodeServerKey(server)), `010000002844455250f09f9491${SERVER_PUBLIC}`);
  assert.equal(toHex(encodeFrame(FrameType.keepAlive)), '0600000000');
  assert.equal(toHex(encodeFrame(FrameType.notePreferred, Uint8Array.of(1))), '070000000101');
  assert.equal(
    toHex(encodeFrame(FrameType.peerGone, server, Uint8Array.of(1))),
    `0800000021${SERVER_PUBLIC}01`,
  );
  assert.equal(toHex(encodeFrame(FrameType.sendPacket, server)), `0400000020${SERVER_PUBLIC}`);
  assert.equal(toHex(encodeRestarting(1, 258)), '15000000080000000100000102');
});

test('ClientInfo is sealed as in the example and opened again', () => {
  const shared = boxSharedKey(nobleX25519, CLIENT_PRIVATE, fromHex(SERVER_PUBLIC));
  const info = { version: 2, canAckPings: true };
  const frame = sealClientInfo(shared, fromHex(CLIENT_PUBLIC), key(0x0d, 24), info);
  assert.equal(toHex(frame), CLIENT_INFO);
  const { publicKey, nonce, box } = parseClientInfo(frame.subarray(5));
  const other = boxSharedKey(nobleX25519, SERVER_PRIVATE, publicKey);
  assert.deepEqual(openClientInfo(other, nonce, box), { ...info, isProber: false });
});

test('ServerInfo is sealed as in the example and opened again', () => {
  const shared = boxSharedKey(nobleX25519, SERVER_PRIVATE, fromHex(CLIENT_PUBLIC));
  const frame = sealServerInfo(shared, key(0x0e, 24), { version: 2 });
  assert.equal(toHex(frame), SERVER_INFO);
  assert.deepEqual(openServerInfo(shared, frame.subarray(5)), { version: 2 });
});

test('an empty mesh key is never written, and one that is no 64 hex digits is refused', () => {
  const shared = key(1);
  const sealed = sealClientInfo(shared, key(2), key(3, 24), { version: 2, meshKey: '' });
  const bare = sealClientInfo(shared, key(2), key(3, 24), { version: 2 });
  assert.deepEqual(sealed, bare);
  const wrong = sealClientInfo(shared, key(2), key(3, 24), { version: 2, meshKey: 'ab' });
  const { nonce, box } = parseClientInfo(wrong.subarray(5));
  assert.throws(() => openClientInfo(shared, nonce, box), code('ERR_MALFORMED'));
});

test('a box of another key, cut or without an object inside is a typed error', () => {
  const frame = fromHex(CLIENT_INFO).subarray(5);
  for (let n = 0; n < 72; n++) {
    assert.throws(() => parseClientInfo(frame.subarray(0, n)), code('ERR_TRUNCATED'), `${n}`);
  }
  const shared = boxSharedKey(nobleX25519, SERVER_PRIVATE, fromHex(CLIENT_PUBLIC));
  for (let n = 72; n < frame.length; n++) {
    const { nonce, box } = parseClientInfo(frame.subarray(0, n));
    assert.throws(() => openClientInfo(shared, nonce, box), code('ERR_DECRYPT'), `${n}`);
  }
  const info = fromHex(SERVER_INFO).subarray(5);
  for (let n = 0; n < info.length; n++) {
    const expected = n < 40 ? 'ERR_TRUNCATED' : 'ERR_DECRYPT';
    assert.throws(() => openServerInfo(shared, info.subarray(0, n)), code(expected), `${n}`);
  }
});

test('the server key wants its magic and all its bytes, and allows more', () => {
  const payload = encodeServerKey(key(5)).subarray(5);
  assert.deepEqual(parseServerKey(Uint8Array.of(...payload, 1, 2, 3)), key(5));
  for (let n = 0; n < payload.length; n++) {
    assert.throws(() => parseServerKey(payload.subarray(0, n)), code('ERR_TRUNCATED'));
  }
  const buffer = Buffer.from(payload);
  const copied = parseServerKey(buffer);
  buffer.fill(0);
  assert.deepEqual(copied, key(5));
  const wrong = Uint8Array.from(payload);
  wrong[3] = 0;
  assert.throws(() => parseServerKey(wrong), code('ERR_MALFORMED'));
});

test('PeerGone and PeerPresent are read in each of their historical lengths', () => {
  assert.equal(parsePeerGone(key(1)).reason, 0);
  assert.equal(parsePeerGone(Uint8Array.of(...key(1), 1)).reason, 1);
  assert.throws(() => parsePeerGone(key(1, 31)), code('ERR_TRUNCATED'));
  const tail = fromHex('00000000000000000000ffff01020304162e');
  assert.deepEqual(parsePeerPresent(key(1)), { key: key(1) });
  const place = { key: key(1), addr: Uint8Array.of(1, 2, 3, 4), port: 5678 };
  assert.deepEqual(parsePeerPresent(Uint8Array.of(...key(1), ...tail)), place);
  const flagged = parsePeerPresent(Uint8Array.of(...key(1), ...tail, 8, 99));
  assert.deepEqual(flagged, { ...place, flags: 8 });
  assert.throws(() => parsePeerPresent(key(1, 31)), code('ERR_TRUNCATED'));
  assert.deepEqual(parseRestarting(encodeRestarting(5, 6).subarray(5)), {
    reconnectInMs: 5,
    tryForMs: 6,
  });
  assert.throws(() => parseRestarting(key(1, 7)), code('ERR_TRUNCATED'));
});

test('the reader gives the same frames however the stream is cut, and skips unknown types', () => {
  const stream = Uint8Array.of(
    ...encodeFrame(FrameType.keepAlive),
    ...encodeFrame(0x77, key(1, 300)),
    ...encodeFrame(FrameType.recvPacket, key(2), key(3, 700)),
    ...encodeFrame(FrameType.ping, key(4, 8)),
    ...encodeFrame(0x78),
    ...encodeFrame(FrameType.health),
  );
  const whole = frames(CLIENT_FRAME_LIMITS, stream);
  assert.deepEqual(
    whole.map((frame) => frame.split(':')[0]),
    ['6', '5', '18', '20'],
  );
  const single = [...stream].map((byte) => Uint8Array.of(byte));
  assert.deepEqual(frames(CLIENT_FRAME_LIMITS, ...single), whole);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 30 }), (sizes) => {
      const chunks: Uint8Array[] = [];
      let at = 0;
      for (const size of sizes) {
        chunks.push(stream.subarray(at, at + size));
        at += size;
      }
      chunks.push(stream.subarray(at));
      assert.deepEqual(frames(CLIENT_FRAME_LIMITS, ...chunks), whole);
    }),
  );
});

test('a frame over the limit of its type ends the stream at its header', () => {
  const header = (type: number, length: number): Uint8Array =>
    Uint8Array.of(type, length >>> 24, length >>> 16, length >>> 8, length);
  const cases = [
    [SERVER_FRAME_LIMITS, FrameType.sendPacket, 65_536 + 32],
    [SERVER_FRAME_LIMITS, FrameType.clientInfo, 256 << 10],
    [SERVER_FRAME_LIMITS, FrameType.notePreferred, 1],
    [SERVER_FRAME_LIMITS, FrameType.ping, 1000],
    [CLIENT_FRAME_LIMITS, FrameType.serverKey, 1024],
    [CLIENT_FRAME_LIMITS, FrameType.recvPacket, 1 << 20],
    [CLIENT_FRAME_LIMITS, 0x99, SKIP_LIMIT],
  ] as const;
  for (const [limits, type, limit] of cases) {
    assert.deepEqual(frames(limits, header(type, limit)), []);
    assert.throws(() => frames(limits, header(type, limit + 1)), code('ERR_TOO_LARGE'));
    assert.throws(() => frames(limits, header(type, 0xffffffff)), code('ERR_TOO_LARGE'));
  }
});

test('a stopped reader gives nothing more, not even from the chunk at hand', () => {
  const seen: number[] = [];
  const reader = new FrameReader(CLIENT_FRAME_LIMITS, (type) => {
    seen.push(type);
    reader.stop();
  });
  const keepAlive = encodeFrame(FrameType.keepAlive);
  reader.push(Uint8Array.of(...keepAlive, ...keepAlive));
  reader.push(keepAlive);
  assert.deepEqual(seen, [6]);
});

test('the reader takes any bytes: frames, or one typed error and then silence', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
      let given = 0;
      let failed = false;
      const reader = new FrameReader(SERVER_FRAME_LIMITS, (_, payload) => {
        assert.ok(!failed);
        given += payload.length;
      });
      for (const chunk of chunks) {
        try {
          reader.push(chunk);
        } catch (error) {
          assert.ok(error instanceof ProtocolError);
          failed = true;
        }
      }
      assert.ok(given <= chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    }),
  );
});
