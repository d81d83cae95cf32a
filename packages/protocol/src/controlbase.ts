// The control protocol's transport: Noise_IK_25519_ChaChaPoly_BLAKE2s with a framing of its own. The client
// knows the server's static key beforehand; the server learns the client's machine key from message 1.
//
//   Initiation, client to server (base64 in an HTTP header), 101 bytes
//     0   2  protocol version, big endian; also in the prologue `Tailscale Control Protocol v<version>`
//     2   1  01
//     3   2  payload length, big endian: 96
//     5  32  client ephemeral public key
//    37  48  sealed machine public key
//    85  16  sealed empty payload
//   Response, server to client, 51 bytes: 02, length 48, server ephemeral public key, sealed empty payload
//   Error, instead of the response and unauthenticated: 03, length, UTF-8 text
//   Record, both ways: 04, ciphertext length, ciphertext; at most 4096 bytes in all
//     nonce: 4 zero bytes and a big-endian 64-bit counter (stock Noise says little endian), no AD, no rekey
//   Early payload, optional first plaintext from the server: ff ff ff 'T' 'S', JSON length u32, JSON
import { concat, ProtocolError, Reader, utf8DecodeLossy, utf8Encode, Writer } from './bytes.ts';
import type { Aead, Crypto } from './crypto.ts';
import { type MachinePublic, machinePublic, PrivateKey, publicBytes } from './keys.ts';
import { SymmetricState } from './noise.ts';

const PROTOCOL_NAME: Uint8Array = utf8Encode('Noise_IK_25519_ChaChaPoly_BLAKE2s');
const INITIATION = 1;
const RESPONSE = 2;
const ERROR = 3;
const RECORD = 4;
const HEADER = 3;
const TAG = 16;

export const INITIATION_LENGTH = 101;
export const RESPONSE_LENGTH = 51;
/** Whole record with its header. */
export const MAX_RECORD = 4096;
export const MAX_RECORD_PLAINTEXT: number = MAX_RECORD - HEADER - TAG;

const EMPTY: Uint8Array = new Uint8Array(0);

function begin(crypto: Crypto, version: number, serverStatic: Uint8Array): SymmetricState {
  const prologue = utf8Encode(`Tailscale Control Protocol v${version}`);
  const state = new SymmetricState(crypto.blake2s, crypto.aead, PROTOCOL_NAME, prologue);
  state.mixHash(serverStatic);
  return state;
}

/** The client's side between its message and the answer. */
export interface Initiation {
  /** 101 bytes for the server. */
  readonly initiation: Uint8Array;
  /**
   * Takes the server's whole answer, cut with handshakeReplyLength; works once. Throws ERR_REMOTE with the
   * server's words, ERR_DECRYPT when the server does not hold the key we expect, ERR_MALFORMED, ERR_WEAK_KEY.
   */
  finish(response: Uint8Array): RecordChannel;
}

/** Starts the client's handshake. version (0 to 65535) is the capability version the client claims. */
export function startInitiation(options: {
  readonly crypto: Crypto;
  readonly machineKey: PrivateKey;
  readonly controlKey: MachinePublic;
  readonly version: number;
}): Initiation {
  const { crypto, machineKey, version } = options;
  if (!Number.isInteger(version) || version < 0 || version > 0xffff) {
    throw new RangeError(`version ${version} does not fit 16 bits`);
  }
  const { x25519 } = crypto;
  const serverStatic = publicBytes(options.controlKey);
  const ephemeral = PrivateKey.generate((n) => crypto.randomBytes(n));
  const ephemeralPublic = ephemeral.publicBytes(x25519);
  const state = begin(crypto, version, serverStatic);
  state.mixHash(ephemeralPublic);
  state.mixKey(x25519.sharedSecret(ephemeral.expose(), serverStatic));
  const sealedStatic = state.seal(machineKey.publicBytes(x25519));
  state.mixKey(x25519.sharedSecret(machineKey.expose(), serverStatic));
  const initiation = new Writer(INITIATION_LENGTH)
    .u16(version)
    .u8(INITIATION)
    .u16(INITIATION_LENGTH - 5)
    .bytes(ephemeralPublic)
    .bytes(sealedStatic)
    .bytes(state.seal(EMPTY))
    .finish();
  let finished = false;
  return {
    initiation,
    finish(response) {
      if (finished) throw new ProtocolError('ERR_CLOSED', 'this handshake is over');
      finished = true;
      const length = handshakeReplyLength(response);
      if (length === undefined || response.length < length) {
        throw new ProtocolError('ERR_TRUNCATED', 'handshake answer cut short');
      }
      if (response.length > length) {
        throw new ProtocolError('ERR_MALFORMED', 'bytes behind the handshake answer');
      }
      const body = response.subarray(HEADER);
      if (response[0] === ERROR) throw new ProtocolError('ERR_REMOTE', utf8DecodeLossy(body));
      const theirs = body.subarray(0, 32);
      state.mixHash(theirs);
      state.mixKey(x25519.sharedSecret(ephemeral.expose(), theirs));
      state.mixKey(x25519.sharedSecret(machineKey.expose(), theirs));
      if (state.open(body.subarray(32)) === undefined) {
        throw new ProtocolError('ERR_DECRYPT', 'the server does not hold the expected key');
      }
      const [toServer, toClient] = state.split();
      state.clear();
      return new RecordChannel(crypto.aead, toServer, toClient);
    },
  };
}

/**
 * Length of the server's answer, header included, once its first 3 bytes are there; undefined before. Throws
 * ERR_MALFORMED when they begin neither a response nor an error.
 */
export function handshakeReplyLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < HEADER) return undefined;
  const length = HEADER + ((bytes[1]! << 8) | bytes[2]!);
  if (bytes[0] === ERROR || (bytes[0] === RESPONSE && length === RESPONSE_LENGTH)) return length;
  throw new ProtocolError('ERR_MALFORMED', 'not a handshake answer');
}

/** What the server knows once it has read an initiation. */
export interface AcceptedInitiation {
  /** The client's identity, proven. */
  readonly machine: MachinePublic;
  /** What the client claims to be; any value passes here. */
  readonly version: number;
  /** 51 bytes for the client, before anything sealed by channel. */
  readonly response: Uint8Array;
  readonly channel: RecordChannel;
}

/**
 * The server's whole handshake. Throws ERR_TRUNCATED, ERR_MALFORMED, ERR_WEAK_KEY, or ERR_DECRYPT for a client
 * that used another server key or holds no private half of its machine key.
 */
export function acceptInitiation(options: {
  readonly crypto: Crypto;
  readonly controlKey: PrivateKey;
  readonly initiation: Uint8Array;
}): AcceptedInitiation {
  const { crypto, controlKey } = options;
  const { x25519 } = crypto;
  const reader = new Reader(options.initiation);
  const version = reader.u16();
  const type = reader.u8();
  const length = reader.u16();
  if (type !== INITIATION || length !== INITIATION_LENGTH - 5) {
    throw new ProtocolError('ERR_MALFORMED', 'not an initiation');
  }
  const clientEphemeral = reader.bytes(32);
  const sealedStatic = reader.bytes(32 + TAG);
  const sealedPayload = reader.bytes(TAG);
  if (reader.remaining !== 0) {
    throw new ProtocolError('ERR_MALFORMED', 'bytes behind the initiation');
  }
  const state = begin(crypto, version, controlKey.publicBytes(x25519));
  state.mixHash(clientEphemeral);
  state.mixKey(x25519.sharedSecret(controlKey.expose(), clientEphemeral));
  const clientStatic = state.open(sealedStatic);
  if (clientStatic === undefined) {
    throw new ProtocolError('ERR_DECRYPT', 'initiation made for another server key');
  }
  state.mixKey(x25519.sharedSecret(controlKey.expose(), clientStatic));
  if (state.open(sealedPayload) === undefined) {
    throw new ProtocolError('ERR_DECRYPT', 'initiation without proof of the machine key');
  }
  const ephemeral = PrivateKey.generate((n) => crypto.randomBytes(n));
  const ephemeralPublic = ephemeral.publicBytes(x25519);
  state.mixHash(ephemeralPublic);
  state.mixKey(x25519.sharedSecret(ephemeral.expose(), clientEphemeral));
  state.mixKey(x25519.sharedSecret(ephemeral.expose(), clientStatic));
  const response = new Writer(RESPONSE_LENGTH)
    .u8(RESPONSE)
    .u16(RESPONSE_LENGTH - HEADER)
    .bytes(ephemeralPublic)
    .bytes(state.seal(EMPTY))
    .finish();
  const [toServer, toClient] = state.split();
  state.clear();
  const channel = new RecordChannel(crypto.aead, toClient, toServer);
  return { machine: machinePublic(clientStatic), version, response, channel };
}

/** The frame a server may send instead of its response; text is cut at 65535 bytes. */
export function encodeHandshakeError(text: string): Uint8Array {
  const body = utf8Encode(text).subarray(0, 0xffff);
  return new Writer(HEADER + body.length).u8(ERROR).u16(body.length).bytes(body).finish();
}

/** One direction's 96-bit nonce, counting up in place. */
class RecordNonce {
  readonly bytes: Uint8Array = new Uint8Array(12);
  readonly #view: DataView = new DataView(this.bytes.buffer);
  #lo = 0;
  #hi = 0;

  /** The nonce of this record, borrowed until the next call; 2^64 - 1 is never used. */
  next(): Uint8Array {
    if (this.#lo === 0xffffffff && this.#hi === 0xffffffff) {
      throw new ProtocolError('ERR_EXHAUSTED', 'record counter at its end');
    }
    this.#view.setUint32(4, this.#hi);
    this.#view.setUint32(8, this.#lo);
    this.#lo = (this.#lo + 1) >>> 0;
    if (this.#lo === 0) this.#hi++;
    return this.bytes;
  }
}

/**
 * Records both ways over an established handshake. Record boundaries carry no meaning. After any error of push
 * the channel is dead: the connection must be closed.
 */
export class RecordChannel {
  readonly #aead: Aead;
  readonly #sendKey: Uint8Array;
  readonly #receiveKey: Uint8Array;
  readonly #sendNonce = new RecordNonce();
  readonly #receiveNonce = new RecordNonce();
  readonly #pending = new Uint8Array(MAX_RECORD);
  #pendingLength = 0;
  #dead = false;

  constructor(aead: Aead, sendKey: Uint8Array, receiveKey: Uint8Array) {
    this.#aead = aead;
    this.#sendKey = sendKey;
    this.#receiveKey = receiveKey;
  }

  /** One or more whole records holding the plaintext, in a new array. Throws ERR_EXHAUSTED. */
  seal(plaintext: Uint8Array): Uint8Array {
    const records = Math.max(1, Math.ceil(plaintext.length / MAX_RECORD_PLAINTEXT));
    const out = new Uint8Array(plaintext.length + records * (HEADER + TAG));
    let at = 0;
    for (let i = 0; i < records; i++) {
      const start = i * MAX_RECORD_PLAINTEXT;
      const piece = plaintext.subarray(start, start + MAX_RECORD_PLAINTEXT);
      const sealed = this.#aead.seal(this.#sendKey, this.#sendNonce.next(), EMPTY, piece);
      out[at] = RECORD;
      out[at + 1] = sealed.length >> 8;
      out[at + 2] = sealed.length;
      out.set(sealed, at + HEADER);
      at += HEADER + sealed.length;
    }
    return out;
  }

  /**
   * Takes the next bytes of the stream, cut anywhere, and gives the plaintexts of the records they complete, in
   * new arrays, without empty ones. At most one record is held back. Throws ERR_MALFORMED, ERR_DECRYPT, and
   * ERR_CLOSED ever after.
   */
  push(bytes: Uint8Array): Uint8Array[] {
    if (this.#dead) throw new ProtocolError('ERR_CLOSED', 'the channel failed before');
    try {
      return this.#push(bytes);
    } catch (error) {
      this.#dead = true;
      throw error;
    }
  }

  #push(bytes: Uint8Array): Uint8Array[] {
    const out: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      const have = this.#pendingLength;
      if (have === 0 && bytes.length - at >= HEADER) {
        const total = recordLength(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!);
        if (bytes.length - at >= total) {
          this.#open(bytes.subarray(at + HEADER, at + total), out);
          at += total;
          continue;
        }
      }
      const pending = this.#pending;
      let wanted = HEADER;
      if (have >= HEADER) wanted = recordLength(pending[0]!, pending[1]!, pending[2]!);
      const take = Math.min(wanted - have, bytes.length - at);
      pending.set(bytes.subarray(at, at + take), have);
      at += take;
      this.#pendingLength = have + take;
      if (have >= HEADER && this.#pendingLength === wanted) {
        this.#pendingLength = 0;
        this.#open(pending.subarray(HEADER, wanted), out);
      }
    }
    return out;
  }

  #open(ciphertext: Uint8Array, out: Uint8Array[]): void {
    const nonce = this.#receiveNonce.next();
    const plaintext = this.#aead.open(this.#receiveKey, nonce, EMPTY, ciphertext);
    if (plaintext === undefined) {
      throw new ProtocolError('ERR_DECRYPT', 'record does not authenticate');
    }
    if (plaintext.length > 0) out.push(plaintext);
  }
}

function recordLength(type: number, hi: number, lo: number): number {
  const ciphertext = (hi << 8) | lo;
  if (type !== RECORD) throw new ProtocolError('ERR_MALFORMED', `record type ${type}`);
  if (ciphertext < TAG || HEADER + ciphertext > MAX_RECORD) {
    throw new ProtocolError('ERR_MALFORMED', `record of ${ciphertext} bytes`);
  }
  return HEADER + ciphertext;
}

const EARLY_MAGIC: Uint8Array = Uint8Array.of(0xff, 0xff, 0xff, 0x54, 0x53);
const EARLY_HEADER = 9;
/** Ours; what servers send is about 100 bytes, and some clients refuse more than 1024. */
export const MAX_EARLY_PAYLOAD: number = 16 * 1024;

/** The early payload around its JSON, for the start of the server's plaintext. */
export function encodeEarlyPayload(json: Uint8Array): Uint8Array {
  return new Writer(EARLY_HEADER + json.length)
    .bytes(EARLY_MAGIC)
    .u32(json.length)
    .bytes(json)
    .finish();
}

/**
 * Splits an early payload, if the server sent one, from the HTTP/2 bytes behind it. The magic can begin no legal
 * first HTTP/2 frame, and the 9 bytes looked at are as long as that frame's header.
 */
export class EarlyPayloadReader {
  #held: Uint8Array = EMPTY;
  #done = false;
  #json: Uint8Array | undefined;

  /** The JSON, once it is whole; undefined before, and for good when there is none. */
  get json(): Uint8Array | undefined {
    return this.#json;
  }

  /** Whether everything pushed from now on passes through untouched. */
  get done(): boolean {
    return this.#done;
  }

  /** Takes plaintext of the server's stream, gives the part of it that is HTTP/2. Throws ERR_TOO_LARGE. */
  push(bytes: Uint8Array): Uint8Array {
    if (this.#done) return bytes;
    const held = this.#held.length === 0 ? bytes : concat(this.#held, bytes);
    const magic = Math.min(held.length, EARLY_MAGIC.length);
    for (let i = 0; i < magic; i++) {
      if (held[i] !== EARLY_MAGIC[i]) return this.#finish(held);
    }
    this.#held = held;
    if (held.length < EARLY_HEADER) return EMPTY;
    const reader = new Reader(held);
    reader.skip(EARLY_MAGIC.length);
    const length = reader.u32();
    if (length > MAX_EARLY_PAYLOAD) {
      throw new ProtocolError('ERR_TOO_LARGE', `early payload of ${length} bytes`);
    }
    if (reader.remaining < length) return EMPTY;
    this.#json = reader.bytes(length).slice();
    return this.#finish(reader.rest());
  }

  #finish(rest: Uint8Array): Uint8Array {
    this.#held = EMPTY;
    this.#done = true;
    return rest;
  }
}
