// The handshake, Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, both roles (white paper sections 5.4.1 to 5.4.5).
// S static, E ephemeral, i initiator, r responder; every message key seals once, with nonce 0 and H as data.
//
//   start       CK = HASH(construction); H = HASH(CK ++ identifier); H <- S_r
//   initiation  H <- E_i; CK <- E_i; CK, k <- DH(E_i, S_r); seal S_i; CK, k <- DH(S_i, S_r); seal timestamp
//   response    H <- E_r; CK <- E_r; CK <- DH(E_r, E_i); CK <- DH(E_r, S_i); CK, t, k <- psk; H <- t; seal ""
//   transport   T1, T2 = KDF2(CK, ""): the initiator sends with T1 and receives with T2
import { utf8Encode } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { SymmetricState } from '@cove/protocol/noise';
import { encodeInitiation, encodeResponse, type Initiation, type Response } from './messages.ts';

const CONSTRUCTION: Uint8Array = utf8Encode('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
const IDENTIFIER: Uint8Array = utf8Encode('WireGuard v1 zx2c4 Jason@zx2c4.com');
const NOTHING: Uint8Array = new Uint8Array(0);
export const KEY_LENGTH = 32;

/** X25519, undefined where the result is zero: a stranger's key may be anything. */
export function agree(
  crypto: Crypto,
  privateKey: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array | undefined {
  try {
    return crypto.x25519.sharedSecret(privateKey, publicKey);
  } catch {
    return undefined;
  }
}

function startState(crypto: Crypto, responderStatic: Uint8Array): SymmetricState {
  const state = new SymmetricState(crypto.blake2s, crypto.aead, CONSTRUCTION, IDENTIFIER);
  state.mixHash(responderStatic);
  return state;
}

/** Steps that are only KDF1 in the paper use mixKey as well: its second output is overwritten unused. */
function mixEphemeral(state: SymmetricState, ephemeral: Uint8Array): void {
  state.mixHash(ephemeral);
  state.mixKey(ephemeral);
}

/** Our side of every handshake. */
export interface Identity {
  readonly crypto: Crypto;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

export interface TransportKeys {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

/** What an initiator keeps until the response comes. */
export interface PendingHandshake {
  readonly sender: number;
  readonly ephemeralPrivate: Uint8Array;
  readonly state: SymmetricState;
}

export interface InitiationInput {
  readonly remotePublic: Uint8Array;
  /** DH(S_i, S_r) */
  readonly staticShared: Uint8Array;
  /** Fresh, 32 bytes; kept by the pending handshake. */
  readonly ephemeralPrivate: Uint8Array;
  readonly sender: number;
  readonly timestamp: Uint8Array;
}

/** undefined if the peer's key is unusable. The macs of the message are still zero. */
export function createInitiation(
  self: Identity,
  input: InitiationInput,
): { message: Uint8Array; pending: PendingHandshake } | undefined {
  const { crypto } = self;
  const { ephemeralPrivate, remotePublic, sender } = input;
  const shared = agree(crypto, ephemeralPrivate, remotePublic);
  if (shared === undefined) return undefined;
  const ephemeral = crypto.x25519.publicKey(ephemeralPrivate);
  const state = startState(crypto, remotePublic);
  mixEphemeral(state, ephemeral);
  state.mixKey(shared);
  const sealedStatic = state.seal(self.publicKey);
  state.mixKey(input.staticShared);
  const sealedTimestamp = state.seal(input.timestamp);
  shared.fill(0);
  return {
    message: encodeInitiation({ sender, ephemeral, sealedStatic, sealedTimestamp }),
    pending: { sender, ephemeralPrivate, state },
  };
}

/** An initiation whose sender is known by name but not yet proven to be who it says. */
export interface OpenedInitiation {
  readonly message: Initiation;
  readonly remotePublic: Uint8Array;
  readonly state: SymmetricState;
}

/** Reads the initiator's static key; undefined if the message does not decrypt. */
export function openInitiation(self: Identity, message: Initiation): OpenedInitiation | undefined {
  const shared = agree(self.crypto, self.privateKey, message.ephemeral);
  if (shared === undefined) return undefined;
  const state = startState(self.crypto, self.publicKey);
  mixEphemeral(state, message.ephemeral);
  state.mixKey(shared);
  shared.fill(0);
  const remotePublic = state.open(message.sealedStatic);
  return remotePublic === undefined ? undefined : { message, remotePublic, state };
}

/** The timestamp, which proves the initiator's static key; undefined if it does not decrypt. */
export function openTimestamp(
  opened: OpenedInitiation,
  staticShared: Uint8Array,
): Uint8Array | undefined {
  const { state, message } = opened;
  state.mixKey(staticShared);
  return state.open(message.sealedTimestamp);
}

export interface ResponseInput {
  readonly presharedKey: Uint8Array;
  /** Fresh, 32 bytes; wiped here. */
  readonly ephemeralPrivate: Uint8Array;
  readonly sender: number;
}

/** After openTimestamp. undefined if the initiator's keys are unusable. The macs of the message are zero. */
export function createResponse(
  self: Identity,
  opened: OpenedInitiation,
  input: ResponseInput,
): { message: Uint8Array; keys: TransportKeys } | undefined {
  const { crypto } = self;
  const { state } = opened;
  const { ephemeralPrivate, sender } = input;
  const ee = agree(crypto, ephemeralPrivate, opened.message.ephemeral);
  const es = agree(crypto, ephemeralPrivate, opened.remotePublic);
  if (ee === undefined || es === undefined) return undefined;
  const ephemeral = crypto.x25519.publicKey(ephemeralPrivate);
  mixEphemeral(state, ephemeral);
  state.mixKey(ee);
  state.mixKey(es);
  state.mixKeyAndHash(input.presharedKey);
  const sealedEmpty = state.seal(NOTHING);
  const [receive, send] = state.split();
  state.clear();
  for (const secret of [ee, es, ephemeralPrivate]) secret.fill(0);
  return {
    message: encodeResponse({ sender, receiver: opened.message.sender, ephemeral, sealedEmpty }),
    keys: { send, receive },
  };
}

/** undefined if the response does not fit; the pending handshake then stands as before. */
export function consumeResponse(
  self: Identity,
  pending: PendingHandshake,
  presharedKey: Uint8Array,
  message: Response,
): TransportKeys | undefined {
  const { crypto } = self;
  const ee = agree(crypto, pending.ephemeralPrivate, message.ephemeral);
  const se = agree(crypto, self.privateKey, message.ephemeral);
  if (ee === undefined || se === undefined) return undefined;
  const state = pending.state.clone();
  mixEphemeral(state, message.ephemeral);
  state.mixKey(ee);
  state.mixKey(se);
  state.mixKeyAndHash(presharedKey);
  ee.fill(0);
  se.fill(0);
  const fits = state.open(message.sealedEmpty) !== undefined;
  const [send, receive] = state.split();
  state.clear();
  return fits ? { send, receive } : undefined;
}

export function wipePending(pending: PendingHandshake): void {
  pending.ephemeralPrivate.fill(0);
  pending.state.clear();
}
