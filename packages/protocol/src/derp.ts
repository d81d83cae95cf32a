// DERP: packets addressed by node public key, relayed over one TLS stream per client. Frames and their bodies.
//
//   frame           type u8 | payload length u32 | payload                                   (big endian)
//
//   01 ServerKey       S->C  magic 44 45 52 50 f0 9f 94 91 [8] | server public key [32] | future bytes
//   02 ClientInfo      C->S  client public key [32] | nonce [24] | box of JSON               56 .. 256 KiB
//   03 ServerInfo      S->C  nonce [24] | box of JSON                                        >= 40
//   04 SendPacket      C->S  destination key [32] | packet                                   32 + 0 .. 65536
//   05 RecvPacket      S->C  source key [32] | packet                                        32 + 0 .. 65536
//   06 KeepAlive       S->C  empty; not answered
//   07 NotePreferred   C->S  u8, 1 = this relay is my home                                   exactly 1
//   08 PeerGone        S->C  key [32] | reason u8, absent from old servers
//   09 PeerPresent     S->M  key [32] | address [16] | port u16 | flags u8; the tail may be absent
//   0a ForwardPacket   M->S  source key [32] | destination key [32] | packet
//   10 WatchConns      M->S  empty
//   11 ClosePeer       M->S  key [32]
//   12 Ping            both  8 bytes, more are ignored by servers
//   13 Pong            both  the same 8 bytes
//   14 Health          S->C  UTF-8 text of a problem, empty = healthy again
//   15 Restarting      S->C  reconnect after u32 ms | keep trying for u32 ms
//
//   (M: another relay of the same region, which proved it by the mesh key.)
//
//   server                          client
//   ServerKey           ------->
//                       <-------    ClientInfo, boxed from client key to server key
//   ServerInfo, boxed   ------->
//                       <------>    everything else; the client need not wait for ServerInfo
//
// Unknown types are skipped by both sides and payloads may grow at the end.
import { ProtocolError } from './bytes.ts';
import { KEY_LENGTH } from './keys.ts';
import { readMappedAddr } from './mappedaddr.ts';

export const DERP_MAGIC: Uint8Array = new Uint8Array([
  0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91,
]);
export const DERP_VERSION = 2;
export const FRAME_HEADER_LENGTH = 5;
/** Longest relayed packet, without the key in front of it. */
export const MAX_PACKET_LENGTH = 65_536;
export const PING_LENGTH = 8;

export const FrameType = {
  serverKey: 0x01,
  clientInfo: 0x02,
  serverInfo: 0x03,
  sendPacket: 0x04,
  recvPacket: 0x05,
  keepAlive: 0x06,
  notePreferred: 0x07,
  peerGone: 0x08,
  peerPresent: 0x09,
  forwardPacket: 0x0a,
  watchConns: 0x10,
  closePeer: 0x11,
  ping: 0x12,
  pong: 0x13,
  health: 0x14,
  restarting: 0x15,
} as const;

export const PeerGoneReason = {
  /** It was connected to this relay and is no more. */
  disconnected: 0x00,
  /** It is not connected to this relay; the answer to a packet for it. */
  notHere: 0x01,
} as const;

/** Longest payload a reader takes, by type; a type without an entry is skipped up to SKIP_LIMIT. */
export type FrameLimits = Readonly<Partial<Record<number, number>>>;

/** Ours: a longer frame of an unknown type ends the connection rather than be read through. */
export const SKIP_LIMIT: number = 1 << 20;

export const SERVER_FRAME_LIMITS: FrameLimits = {
  [FrameType.clientInfo]: 256 << 10,
  [FrameType.sendPacket]: KEY_LENGTH + MAX_PACKET_LENGTH,
  [FrameType.forwardPacket]: 2 * KEY_LENGTH + MAX_PACKET_LENGTH,
  [FrameType.notePreferred]: 1,
  [FrameType.watchConns]: 1000,
  [FrameType.closePeer]: 1000,
  [FrameType.ping]: 1000,
  [FrameType.pong]: 1000,
};

export const CLIENT_FRAME_LIMITS: FrameLimits = {
  [FrameType.serverKey]: 1024,
  [FrameType.serverInfo]: 1 << 20,
  [FrameType.recvPacket]: 1 << 20,
  [FrameType.keepAlive]: 1 << 20,
  [FrameType.peerGone]: 1 << 20,
  [FrameType.peerPresent]: 1 << 20,
  [FrameType.ping]: 1 << 20,
  [FrameType.pong]: 1 << 20,
  [FrameType.health]: 1 << 20,
  [FrameType.restarting]: 1 << 20,
};

const KEPT_BUFFER_LENGTH = 4096;

/**
 * Cuts a byte stream into frames. The payload handed to onFrame is borrowed: a view of the pushed chunk, or of a
 * buffer that the next frame overwrites. Memory grows with the bytes that came, not with the length announced.
 */
export class FrameReader {
  readonly #limits: FrameLimits;
  readonly #onFrame: (type: number, payload: Uint8Array) => void;
  readonly #header: Uint8Array = new Uint8Array(FRAME_HEADER_LENGTH);
  #headerLength = 0;
  #held: Uint8Array = new Uint8Array(0);
  #heldLength = 0;
  /** Bytes of the current payload still to be passed over, when its type is not known. */
  #skip = 0;
  #stopped = false;

  constructor(limits: FrameLimits, onFrame: (type: number, payload: Uint8Array) => void) {
    this.#limits = limits;
    this.#onFrame = onFrame;
  }

  /** Takes nothing more, also not the rest of the chunk being pushed. */
  stop(): void {
    this.#stopped = true;
    this.#held = new Uint8Array(0);
  }

  /** Throws ERR_TOO_LARGE for a frame over its limit and what onFrame throws; it is stopped then. */
  push(chunk: Uint8Array): void {
    try {
      this.#push(chunk);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  #push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#skip > 0) {
        const passed = Math.min(this.#skip, chunk.length - at);
        this.#skip -= passed;
        at += passed;
        continue;
      }
      if (this.#headerLength < FRAME_HEADER_LENGTH) {
        const n = Math.min(FRAME_HEADER_LENGTH - this.#headerLength, chunk.length - at);
        for (let i = 0; i < n; i++) this.#header[this.#headerLength + i] = chunk[at + i]!;
        this.#headerLength += n;
        at += n;
        if (this.#headerLength < FRAME_HEADER_LENGTH) return;
      }
      at = this.#payload(chunk, at);
    }
  }

  /** The header is complete; returns how far the chunk is used up. */
  #payload(chunk: Uint8Array, at: number): number {
    const header = this.#header;
    const type = header[0]!;
    const length = frameLength(header);
    const limit = this.#limits[type];
    if (length > (limit ?? SKIP_LIMIT)) {
      throw new ProtocolError('ERR_TOO_LARGE', `DERP frame of type ${type} with ${length} bytes`);
    }
    if (limit === undefined) {
      this.#headerLength = 0;
      this.#skip = length;
      return at;
    }
    const available = chunk.length - at;
    if (this.#heldLength === 0 && available >= length) {
      this.#headerLength = 0;
      this.#onFrame(type, chunk.subarray(at, at + length));
      return at + length;
    }
    const n = Math.min(length - this.#heldLength, available);
    this.#hold(chunk, at, n, length);
    if (this.#heldLength === length) {
      this.#headerLength = 0;
      this.#heldLength = 0;
      const payload = this.#held.subarray(0, length);
      if (this.#held.length > KEPT_BUFFER_LENGTH) this.#held = new Uint8Array(0);
      this.#onFrame(type, payload);
    }
    return at + n;
  }

  #hold(chunk: Uint8Array, at: number, n: number, frameLength: number): void {
    const needed = this.#heldLength + n;
    if (needed > this.#held.length) {
      const larger = new Uint8Array(Math.min(frameLength, Math.max(2 * needed, 256)));
      larger.set(this.#held.subarray(0, this.#heldLength));
      this.#held = larger;
    }
    this.#held.set(chunk.subarray(at, at + n), this.#heldLength);
    this.#heldLength = needed;
  }
}

function frameLength(header: Uint8Array): number {
  return ((header[1]! << 24) | (header[2]! << 16) | (header[3]! << 8) | header[4]!) >>> 0;
}

export function writeFrameHeader(out: Uint8Array, at: number, type: number, length: number): void {
  out[at] = type;
  out[at + 1] = length >>> 24;
  out[at + 2] = length >>> 16;
  out[at + 3] = length >>> 8;
  out[at + 4] = length;
}

/** A whole frame as a new array, its payload the parts one after the other. */
export function encodeFrame(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(FRAME_HEADER_LENGTH + length);
  writeFrameHeader(out, 0, type, length);
  let at = FRAME_HEADER_LENGTH;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function encodeServerKey(publicKey: Uint8Array): Uint8Array {
  return encodeFrame(FrameType.serverKey, DERP_MAGIC, publicKey);
}

/** The server's public key, copied. Throws ERR_TRUNCATED, or ERR_MALFORMED for a wrong magic. */
export function parseServerKey(payload: Uint8Array): Uint8Array {
  if (payload.length < DERP_MAGIC.length + KEY_LENGTH) throw short('ServerKey', payload);
  if (DERP_MAGIC.some((byte, i) => payload[i] !== byte)) {
    throw new ProtocolError('ERR_MALFORMED', 'the server does not speak DERP');
  }
  return new Uint8Array(payload.subarray(DERP_MAGIC.length, DERP_MAGIC.length + KEY_LENGTH));
}

/** The key is a view. Throws ERR_TRUNCATED. */
export function parsePeerGone(payload: Uint8Array): {
  readonly key: Uint8Array;
  readonly reason: number;
} {
  if (payload.length < KEY_LENGTH) throw short('PeerGone', payload);
  return {
    key: payload.subarray(0, KEY_LENGTH),
    reason: payload[KEY_LENGTH] ?? PeerGoneReason.disconnected,
  };
}

/** A peer that connected, as a mesh watcher is told. The key is a view. Throws ERR_TRUNCATED. */
export function parsePeerPresent(payload: Uint8Array): {
  readonly key: Uint8Array;
  readonly addr?: Uint8Array;
  readonly port?: number;
  readonly flags?: number;
} {
  if (payload.length < KEY_LENGTH) throw short('PeerPresent', payload);
  const key = payload.subarray(0, KEY_LENGTH);
  if (payload.length < KEY_LENGTH + 18) return { key };
  const addr = readMappedAddr(payload, KEY_LENGTH);
  const port = (payload[KEY_LENGTH + 16]! << 8) | payload[KEY_LENGTH + 17]!;
  const flags = payload[KEY_LENGTH + 18];
  return flags === undefined ? { key, addr, port } : { key, addr, port, flags };
}

/** A notice that the server restarts. */
export function encodeRestarting(reconnectInMs: number, tryForMs: number): Uint8Array {
  const body = new Uint8Array(8);
  const view = new DataView(body.buffer);
  view.setUint32(0, reconnectInMs);
  view.setUint32(4, tryForMs);
  return encodeFrame(FrameType.restarting, body);
}

/** Throws ERR_TRUNCATED. */
export function parseRestarting(payload: Uint8Array): {
  readonly reconnectInMs: number;
  readonly tryForMs: number;
} {
  if (payload.length < 8) throw short('Restarting', payload);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return { reconnectInMs: view.getUint32(0), tryForMs: view.getUint32(4) };
}

function short(name: string, payload: Uint8Array): ProtocolError {
  return new ProtocolError('ERR_TRUNCATED', `${name} frame of ${payload.length} bytes`);
}
