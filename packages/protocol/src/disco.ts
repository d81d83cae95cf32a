// disco: the messages by which two nodes find a direct path, in their sealed envelope.
//
//   envelope   magic 54 53 f0 9f 92 ac [6] | sender's disco public key [32] | nonce [24] | box [16 + n]
//   box        NaCl box of the inner message under the two disco keys
//   inner      type u8 | version u8 = 0 | payload; integers big endian, addresses as AddrPort18
//   AddrPort18 address [16], IPv4-mapped where IPv4 | port u16
//
//   01 Ping                       txid [12] | node key [32], absent or zero = none | zero padding
//   02 Pong                       txid [12] | AddrPort18 the ping came from
//   03 CallMeMaybe                AddrPort18 x N, N may be 0                                        relay only
//   04 BindUDPRelayEndpoint       handshake block [72]
//   05 ...Challenge               handshake block [72]
//   06 ...Answer                  handshake block [72]
//   07 CallMeMaybeVia             endpoint block [124 + 18 x N], N >= 1                             relay only
//   08 AllocateUDPRelayEndpointRequest    client disco key [32] x 2 | generation u32                relay only
//   09 AllocateUDPRelayEndpointResponse   generation u32 | endpoint block                           relay only
//
//   handshake block   VNI u32 | generation u32 | disco key of the other client [32] | challenge [32]
//   endpoint block    server disco key [32] | client disco key [32] x 2, smaller first | Lamport id u64 | VNI u32
//                     | bind lifetime u64 ns | steady-state lifetime u64 ns | AddrPort18 x N
//
// Payloads may grow at the end: longer is accepted, shorter is not. The two CallMeMaybe messages of another
// version are empty rather than wrong, and a CallMeMaybe list that does not divide by 18 is empty.
import { BOX_NONCE_LENGTH, openBox, sealBox, TAG_LENGTH } from './crypto.ts';
import { KEY_LENGTH } from './keys.ts';
import { readMappedAddr, writeMappedAddr } from './mappedaddr.ts';

/** "TS" and U+1F4AC. */
export const DISCO_MAGIC: Uint8Array = new Uint8Array([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]);
export const DISCO_TXID_LENGTH = 12;
/** Everything before the box. */
export const DISCO_HEADER_LENGTH = 62;
/** UDP payload of a ping with a node key and no padding. */
export const DISCO_PING_LENGTH = 124;

const NONCE_OFFSET = DISCO_MAGIC.length + KEY_LENGTH;
const ADDR_PORT_LENGTH = 18;
const HANDSHAKE_LENGTH = 72;
const ENDPOINT_LENGTH = 124;

export const DiscoType = {
  ping: 1,
  pong: 2,
  callMeMaybe: 3,
  bindUdpRelayEndpoint: 4,
  bindUdpRelayEndpointChallenge: 5,
  bindUdpRelayEndpointAnswer: 6,
  callMeMaybeVia: 7,
  allocateUdpRelayEndpointRequest: 8,
  allocateUdpRelayEndpointResponse: 9,
} as const;

/** addr is 4 or 16 bytes, never IPv4-mapped when it was parsed. */
export interface DiscoEndpoint {
  readonly addr: Uint8Array;
  readonly port: number;
}

export interface Ping {
  readonly type: 'ping';
  readonly txId: Uint8Array;
  /** The sender's node key, 32 bytes. */
  readonly nodeKey?: Uint8Array;
  /** Zero bytes behind the message: makes the datagram as long as a path is to be tested for. */
  readonly padding?: number;
}

export interface Pong {
  readonly type: 'pong';
  readonly txId: Uint8Array;
  /** Where the ping came from, as its receiver saw it. */
  readonly source: DiscoEndpoint;
}

export interface CallMeMaybe {
  readonly type: 'callMeMaybe';
  readonly endpoints: readonly DiscoEndpoint[];
}

/** One step of a client's handshake with a peer relay; the challenge is zero in the first. */
export interface RelayHandshake {
  readonly type:
    | 'bindUdpRelayEndpoint'
    | 'bindUdpRelayEndpointChallenge'
    | 'bindUdpRelayEndpointAnswer';
  readonly vni: number;
  readonly generation: number;
  readonly remoteKey: Uint8Array;
  readonly challenge: Uint8Array;
}

/** An endpoint that a peer relay holds for two clients. Lifetimes are nanoseconds. */
export interface RelayEndpoint {
  readonly serverDisco: Uint8Array;
  readonly clientDisco: readonly [Uint8Array, Uint8Array];
  readonly lamportId: bigint;
  readonly vni: number;
  readonly bindLifetime: bigint;
  readonly steadyStateLifetime: bigint;
  readonly endpoints: readonly DiscoEndpoint[];
}

export interface CallMeMaybeVia {
  readonly type: 'callMeMaybeVia';
  /** Absent in a message of a version not known here. */
  readonly relay?: RelayEndpoint;
}

export interface AllocateRelayRequest {
  readonly type: 'allocateUdpRelayEndpointRequest';
  readonly clientDisco: readonly [Uint8Array, Uint8Array];
  readonly generation: number;
}

export interface AllocateRelayResponse {
  readonly type: 'allocateUdpRelayEndpointResponse';
  readonly generation: number;
  readonly relay: RelayEndpoint;
}

export type DiscoMessage =
  | Ping
  | Pong
  | CallMeMaybe
  | RelayHandshake
  | CallMeMaybeVia
  | AllocateRelayRequest
  | AllocateRelayResponse;

/** Whether a datagram begins as a disco envelope: enough to tell it from STUN and WireGuard. */
export function isDisco(datagram: Uint8Array): boolean {
  return (
    datagram.length >= NONCE_OFFSET &&
    datagram[0] === 0x54 &&
    datagram[1] === 0x53 &&
    datagram[2] === 0xf0 &&
    datagram[3] === 0x9f &&
    datagram[4] === 0x92 &&
    datagram[5] === 0xac
  );
}

/** The sender's disco public key, a view; ask isDisco first. */
export function discoSender(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(DISCO_MAGIC.length, NONCE_OFFSET);
}

/**
 * An envelope as a new array. sharedKey is boxSharedKey of the own private and the peer's public disco key,
 * nonce 24 random bytes.
 */
export function sealDisco(
  sharedKey: Uint8Array,
  senderKey: Uint8Array,
  nonce: Uint8Array,
  inner: Uint8Array,
): Uint8Array {
  if (senderKey.length !== KEY_LENGTH) throw new RangeError('a disco key has 32 bytes');
  if (nonce.length !== BOX_NONCE_LENGTH) throw new RangeError('a box nonce has 24 bytes');
  const box = sealBox(sharedKey, nonce, inner);
  const out = new Uint8Array(DISCO_HEADER_LENGTH + box.length);
  out.set(DISCO_MAGIC, 0);
  out.set(senderKey, DISCO_MAGIC.length);
  out.set(nonce, NONCE_OFFSET);
  out.set(box, DISCO_HEADER_LENGTH);
  return out;
}

/** The inner message of an envelope as a new array; undefined if it is none or not sealed with this key. */
export function openDisco(sharedKey: Uint8Array, datagram: Uint8Array): Uint8Array | undefined {
  if (datagram.length < DISCO_HEADER_LENGTH + TAG_LENGTH + 2 || !isDisco(datagram))
    return undefined;
  return openBox(
    sharedKey,
    datagram.subarray(NONCE_OFFSET, DISCO_HEADER_LENGTH),
    datagram.subarray(DISCO_HEADER_LENGTH),
  );
}

/** Reads an inner message; undefined if it is short or of no known type. Keys and txids are views of it. */
export function parseDisco(inner: Uint8Array): DiscoMessage | undefined {
  if (inner.length < 2) return undefined;
  const version = inner[1];
  const body = inner.subarray(2);
  switch (inner[0]) {
    case DiscoType.ping:
      return parsePing(body);
    case DiscoType.pong:
      if (body.length < DISCO_TXID_LENGTH + ADDR_PORT_LENGTH) return undefined;
      return { type: 'pong', txId: body.subarray(0, 12), source: readEndpoint(body, 12) };
    case DiscoType.callMeMaybe:
      return { type: 'callMeMaybe', endpoints: version === 0 ? readEndpoints(body) : [] };
    case DiscoType.bindUdpRelayEndpoint:
      return parseHandshake('bindUdpRelayEndpoint', body);
    case DiscoType.bindUdpRelayEndpointChallenge:
      return parseHandshake('bindUdpRelayEndpointChallenge', body);
    case DiscoType.bindUdpRelayEndpointAnswer:
      return parseHandshake('bindUdpRelayEndpointAnswer', body);
    case DiscoType.callMeMaybeVia: {
      if (version !== 0) return { type: 'callMeMaybeVia' };
      const relay = parseRelayEndpoint(body);
      return relay === undefined ? undefined : { type: 'callMeMaybeVia', relay };
    }
    case DiscoType.allocateUdpRelayEndpointRequest:
      if (body.length < 68) return undefined;
      return {
        type: 'allocateUdpRelayEndpointRequest',
        clientDisco: [body.subarray(0, 32), body.subarray(32, 64)],
        generation: readU32(body, 64),
      };
    case DiscoType.allocateUdpRelayEndpointResponse: {
      const relay = parseRelayEndpoint(body.subarray(4));
      if (relay === undefined) return undefined;
      return { type: 'allocateUdpRelayEndpointResponse', generation: readU32(body, 0), relay };
    }
    default:
      return undefined;
  }
}

/** An inner message as a new array. Throws RangeError for keys and ids of a wrong length. */
export function encodeDisco(message: DiscoMessage): Uint8Array {
  switch (message.type) {
    case 'ping': {
      const keyLength = message.nodeKey === undefined ? 0 : KEY_LENGTH;
      const out = start(DiscoType.ping, DISCO_TXID_LENGTH + keyLength + (message.padding ?? 0));
      put(out, 2, message.txId, DISCO_TXID_LENGTH);
      if (message.nodeKey !== undefined) put(out, 14, message.nodeKey, KEY_LENGTH);
      return out;
    }
    case 'pong': {
      const out = start(DiscoType.pong, DISCO_TXID_LENGTH + ADDR_PORT_LENGTH);
      put(out, 2, message.txId, DISCO_TXID_LENGTH);
      writeEndpoint(out, 14, message.source);
      return out;
    }
    case 'callMeMaybe': {
      const out = start(DiscoType.callMeMaybe, ADDR_PORT_LENGTH * message.endpoints.length);
      writeEndpoints(out, 2, message.endpoints);
      return out;
    }
    case 'bindUdpRelayEndpoint':
    case 'bindUdpRelayEndpointChallenge':
    case 'bindUdpRelayEndpointAnswer': {
      const out = start(DiscoType[message.type], HANDSHAKE_LENGTH);
      writeU32(out, 2, message.vni);
      writeU32(out, 6, message.generation);
      put(out, 10, message.remoteKey, KEY_LENGTH);
      put(out, 42, message.challenge, KEY_LENGTH);
      return out;
    }
    case 'callMeMaybeVia': {
      if (message.relay === undefined) throw new TypeError('callMeMaybeVia without relay');
      const out = start(DiscoType.callMeMaybeVia, relayEndpointLength(message.relay));
      writeRelayEndpoint(out, 2, message.relay);
      return out;
    }
    case 'allocateUdpRelayEndpointRequest': {
      const out = start(DiscoType.allocateUdpRelayEndpointRequest, 68);
      put(out, 2, message.clientDisco[0], KEY_LENGTH);
      put(out, 34, message.clientDisco[1], KEY_LENGTH);
      writeU32(out, 66, message.generation);
      return out;
    }
    case 'allocateUdpRelayEndpointResponse': {
      const out = start(
        DiscoType.allocateUdpRelayEndpointResponse,
        4 + relayEndpointLength(message.relay),
      );
      writeU32(out, 2, message.generation);
      writeRelayEndpoint(out, 6, message.relay);
      return out;
    }
    default:
      return message satisfies never;
  }
}

function parsePing(body: Uint8Array): Ping | undefined {
  if (body.length < DISCO_TXID_LENGTH) return undefined;
  const txId = body.subarray(0, 12);
  if (body.length < 12 + KEY_LENGTH) return { type: 'ping', txId };
  const nodeKey = body.subarray(12, 44);
  const padding = body.length - 44;
  if (nodeKey.every((byte) => byte === 0)) return { type: 'ping', txId };
  return padding === 0 ? { type: 'ping', txId, nodeKey } : { type: 'ping', txId, nodeKey, padding };
}

function parseHandshake(
  type: RelayHandshake['type'],
  body: Uint8Array,
): RelayHandshake | undefined {
  if (body.length < HANDSHAKE_LENGTH) return undefined;
  return {
    type,
    vni: readU32(body, 0),
    generation: readU32(body, 4),
    remoteKey: body.subarray(8, 40),
    challenge: body.subarray(40, 72),
  };
}

function parseRelayEndpoint(body: Uint8Array): RelayEndpoint | undefined {
  if (body.length < ENDPOINT_LENGTH + ADDR_PORT_LENGTH) return undefined;
  const list = body.subarray(ENDPOINT_LENGTH);
  if (list.length % ADDR_PORT_LENGTH !== 0) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    serverDisco: body.subarray(0, 32),
    clientDisco: [body.subarray(32, 64), body.subarray(64, 96)],
    lamportId: view.getBigUint64(96),
    vni: view.getUint32(104),
    bindLifetime: view.getBigUint64(108),
    steadyStateLifetime: view.getBigUint64(116),
    endpoints: readEndpoints(list),
  };
}

function relayEndpointLength(relay: RelayEndpoint): number {
  return ENDPOINT_LENGTH + ADDR_PORT_LENGTH * relay.endpoints.length;
}

function writeRelayEndpoint(out: Uint8Array, at: number, relay: RelayEndpoint): void {
  if (relay.endpoints.length === 0) throw new RangeError('a relay endpoint has an address');
  put(out, at, relay.serverDisco, KEY_LENGTH);
  put(out, at + 32, relay.clientDisco[0], KEY_LENGTH);
  put(out, at + 64, relay.clientDisco[1], KEY_LENGTH);
  const view = new DataView(out.buffer, out.byteOffset + at, ENDPOINT_LENGTH);
  view.setBigUint64(96, relay.lamportId);
  view.setUint32(104, relay.vni);
  view.setBigUint64(108, relay.bindLifetime);
  view.setBigUint64(116, relay.steadyStateLifetime);
  writeEndpoints(out, at + ENDPOINT_LENGTH, relay.endpoints);
}

function start(type: number, bodyLength: number): Uint8Array {
  const out = new Uint8Array(2 + bodyLength);
  out[0] = type;
  return out;
}

function put(out: Uint8Array, at: number, value: Uint8Array, length: number): void {
  if (value.length !== length) throw new RangeError(`${value.length} bytes, not ${length}`);
  out.set(value, at);
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}

function writeU32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}

function readEndpoint(bytes: Uint8Array, at: number): DiscoEndpoint {
  return { addr: readMappedAddr(bytes, at), port: (bytes[at + 16]! << 8) | bytes[at + 17]! };
}

function readEndpoints(list: Uint8Array): DiscoEndpoint[] {
  if (list.length % ADDR_PORT_LENGTH !== 0) return [];
  const out: DiscoEndpoint[] = [];
  for (let at = 0; at < list.length; at += ADDR_PORT_LENGTH) out.push(readEndpoint(list, at));
  return out;
}

function writeEndpoint(out: Uint8Array, at: number, endpoint: DiscoEndpoint): void {
  writeMappedAddr(out, at, endpoint.addr);
  out[at + 16] = endpoint.port >>> 8;
  out[at + 17] = endpoint.port;
}

function writeEndpoints(out: Uint8Array, at: number, endpoints: readonly DiscoEndpoint[]): void {
  for (const [i, endpoint] of endpoints.entries()) {
    writeEndpoint(out, at + ADDR_PORT_LENGTH * i, endpoint);
  }
}
