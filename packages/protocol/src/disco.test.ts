import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from './bytes.ts';
import { boxSharedKey } from './crypto.ts';
import {
  DISCO_PING_LENGTH,
  type DiscoMessage,
  discoSender,
  encodeDisco,
  isDisco,
  openDisco,
  parseDisco,
  sealDisco,
} from './disco.ts';
import { parseAddr } from './netaddr.ts';
import { nobleX25519 } from './noblecrypto.ts';

const TXID = fromHex('0102030405060708090a0b0c');
const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const at = (addr: string, port: number): { addr: Uint8Array; port: number } => ({
  addr: parseAddr(addr)!,
  port,
});
const V4 = '00000000000000000000ffff';
const RELAY = {
  serverDisco: key(1),
  clientDisco: [key(2), key(3)],
  lamportId: 123n,
  vni: 456,
  bindLifetime: 1_000_000_000n,
  steadyStateLifetime: 60_000_000_000n,
  endpoints: [at('1.2.3.4', 567), at('2001::3456', 789)],
} as const;
const RELAY_HEX =
  '01'.repeat(32) +
  '02'.repeat(32) +
  '03'.repeat(32) +
  '000000000000007b000001c8000000003b9aca000000000df8475800' +
  `${V4}01020304023720010000000000000000000000003456` +
  '0315';

const VECTORS: readonly (readonly [string, DiscoMessage, string])[] = [
  ['ping without a node key', { type: 'ping', txId: TXID }, `0100${toHex(TXID)}`],
  [
    'ping with a node key',
    { type: 'ping', txId: TXID, nodeKey: key(9) },
    `0100${toHex(TXID)}${'09'.repeat(32)}`,
  ],
  [
    'padded ping',
    { type: 'ping', txId: TXID, nodeKey: key(9), padding: 3 },
    `0100${toHex(TXID)}${'09'.repeat(32)}000000`,
  ],
  [
    'pong, IPv4',
    { type: 'pong', txId: TXID, source: at('2.3.4.5', 1234) },
    `0200${toHex(TXID)}${V4}0203040504d2`,
  ],
  [
    'pong, IPv6',
    { type: 'pong', txId: TXID, source: at('fed0::12', 6666) },
    `0200${toHex(TXID)}fed000000000000000000000000000121a0a`,
  ],
  ['empty call me maybe', { type: 'callMeMaybe', endpoints: [] }, '0300'],
  [
    'call me maybe',
    { type: 'callMeMaybe', endpoints: [at('1.2.3.4', 567), at('2001::3456', 789)] },
    `0300${V4}010203040237200100000000000000000000000034560315`,
  ],
  ...(
    [
      ['bindUdpRelayEndpoint', '04'],
      ['bindUdpRelayEndpointChallenge', '05'],
      ['bindUdpRelayEndpointAnswer', '06'],
    ] as const
  ).map(
    ([type, number]) =>
      [
        type,
        { type, vni: 1, generation: 2, remoteKey: key(7), challenge: key(8) },
        `${number}000000000100000002${'07'.repeat(32)}${'08'.repeat(32)}`,
      ] as const,
  ),
  ['call me maybe via', { type: 'callMeMaybeVia', relay: RELAY }, `0700${RELAY_HEX}`],
  [
    'allocate request',
    { type: 'allocateUdpRelayEndpointRequest', clientDisco: [key(2), key(3)], generation: 5 },
    `0800${'02'.repeat(32)}${'03'.repeat(32)}00000005`,
  ],
  [
    'allocate response',
    { type: 'allocateUdpRelayEndpointResponse', generation: 5, relay: RELAY },
    `090000000005${RELAY_HEX}`,
  ],
];

test('each message has the bytes of its example, both ways', () => {
  for (const [name, message, hex] of VECTORS) {
    assert.equal(toHex(encodeDisco(message)), hex, name);
    assert.deepEqual(parseDisco(fromHex(hex)), message, name);
  }
});

/** What a message may be cut down to and still be read: a shorter list, or a ping of an old client. */
const SHORTER: Readonly<Record<string, (bodyLength: number) => boolean>> = {
  ping: (n) => n >= 12,
  callMeMaybe: () => true,
  callMeMaybeVia: (n) => n === 124 + 18,
  allocateUdpRelayEndpointResponse: (n) => n === 4 + 124 + 18,
};

test('every truncation is refused, unless a shorter message of the type exists', () => {
  for (const [name, message, hex] of VECTORS) {
    const bytes = fromHex(hex);
    for (let n = 0; n < bytes.length; n++) {
      const parsed = parseDisco(bytes.subarray(0, n));
      const allowed = n >= 2 && SHORTER[message.type]?.(n - 2) === true;
      assert.equal(parsed !== undefined, allowed, `${name}, ${n} bytes`);
    }
  }
});

test('bytes behind a message are ignored; a ragged call-me-maybe list is empty', () => {
  const pong = VECTORS.find(([name]) => name === 'pong, IPv4')!;
  assert.deepEqual(parseDisco(fromHex(`${pong[2]}ffff`)), pong[1]);
  const list = VECTORS.find(([name]) => name === 'call me maybe')!;
  assert.deepEqual(parseDisco(fromHex(`${list[2]}ff`)), { type: 'callMeMaybe', endpoints: [] });
});

test('call me maybe and via of another version are empty, not wrong', () => {
  assert.deepEqual(parseDisco(fromHex('0301ffff')), { type: 'callMeMaybe', endpoints: [] });
  assert.deepEqual(parseDisco(fromHex('0701ffff')), { type: 'callMeMaybeVia' });
});

test('endpoints are copies: the datagram may be overwritten', () => {
  const pong = VECTORS.find(([name]) => name === 'pong, IPv4')!;
  const buffer = Buffer.from(pong[2], 'hex');
  const parsed = parseDisco(buffer);
  buffer.fill(0, 14);
  assert.ok(parsed?.type === 'pong');
  assert.deepEqual(parsed.source, at('2.3.4.5', 1234));
});

test('a node key of zeros is no node key', () => {
  const parsed = parseDisco(fromHex(`0100${toHex(TXID)}${'00'.repeat(32)}`));
  assert.deepEqual(parsed, { type: 'ping', txId: TXID });
});

const A = key(7);
const B = key(8);
const A_PUBLIC = '13be4feaeaf204c7fd3358fc9c00721881d174278128227ec674f37f7fe97b6d';
const B_PUBLIC = '31d4ab6aceec961137917037936e60716fac573afe94d9da84a8020448dfc112';
const ENVELOPE =
  `5453f09f92ac${A_PUBLIC}${'0a'.repeat(24)}` +
  'd7e1180cc2326705fcfe8397eb950c372a0ef0164e2467c401055ec8fbfba6180a10642d5e91190871d0a73a04af' +
  'ad9de38f330a5570b9ae42416544662f';

test('the envelope of the example is made and opened, and has the length of an ordinary ping', () => {
  const shared = boxSharedKey(nobleX25519, A, fromHex(B_PUBLIC));
  assert.equal(toHex(shared), '0f302b7b6c5ee727dd670a618ff3c319807de308963fd25f0f01dc66ef3387d0');
  const inner = encodeDisco({ type: 'ping', txId: TXID, nodeKey: key(9) });
  const sealed = sealDisco(shared, fromHex(A_PUBLIC), key(0x0a).subarray(0, 24), inner);
  assert.equal(toHex(sealed), ENVELOPE);
  assert.equal(sealed.length, DISCO_PING_LENGTH);
  assert.equal(toHex(discoSender(sealed)), A_PUBLIC);
  const other = boxSharedKey(nobleX25519, B, fromHex(A_PUBLIC));
  assert.deepEqual(openDisco(other, sealed), inner);
});

test('an envelope with any bit changed or any byte missing does not open', () => {
  const shared = boxSharedKey(nobleX25519, A, fromHex(B_PUBLIC));
  const sealed = fromHex(ENVELOPE);
  for (let i = 0; i < sealed.length; i++) {
    assert.equal(openDisco(shared, sealed.subarray(0, i)), undefined, `${i} bytes`);
    // The sender's key names the shared key and is not itself covered by the box.
    if (i >= 6 && i < 38) continue;
    const changed = Uint8Array.from(sealed);
    changed[i]! ^= 1;
    assert.equal(openDisco(shared, changed), undefined, `byte ${i}`);
  }
});

test('any inner bytes are read without an exception, and what is read can be encoded again', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 10 }),
      fc.integer({ min: 0, max: 1 }),
      fc.uint8Array({ maxLength: 300 }),
      (type, version, body) => {
        const message = parseDisco(Uint8Array.of(type, version, ...body));
        if (message === undefined) return;
        if (message.type === 'callMeMaybeVia' && message.relay === undefined) return;
        assert.deepEqual(parseDisco(encodeDisco(message)), message);
      },
    ),
    { numRuns: 2000 },
  );
});

test('any datagram is looked at without an exception', () => {
  const shared = new Uint8Array(randomBytes(32));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      if (isDisco(bytes)) assert.ok(bytes.length >= 38);
      assert.equal(openDisco(shared, bytes), undefined);
    }),
  );
});
