// Keys in their text form: a prefix that names the kind, then lower-case hex.
//
//   machine    X25519   mkey:      32 bytes     identifies an installation (also: a control server)
//   node       X25519   nodekey:   32 bytes     identifies a login, WireGuard static key
//   disco      X25519   discokey:  32 bytes     new at every process start
//   challenge  X25519   chalpub:   32 bytes     per control connection
//   NL         Ed25519  nlpub:     32 bytes     tailnet lock; `tlpub:` is read too
//   private    X25519   privkey:   32 bytes     machine and node alike
//
// A public key is its text, so it compares with ===, serves as a Map key and prints. Both hex cases are read,
// the prefix is case-sensitive, the length exact.
import { fromHex, ProtocolError, toBase64, toHex } from './bytes.ts';
import type { X25519 } from './crypto.ts';

export type NodePublic = `nodekey:${string}`;
export type MachinePublic = `mkey:${string}`;
export type DiscoPublic = `discokey:${string}`;
export type ChallengePublic = `chalpub:${string}`;
export type NLPublic = `nlpub:${string}`;
export type PublicKey = NodePublic | MachinePublic | DiscoPublic | ChallengePublic | NLPublic;

export const KEY_LENGTH = 32;

const ZERO_HEX = '0'.repeat(64);
export const ZERO_NODE_PUBLIC: NodePublic = `nodekey:${ZERO_HEX}`;
export const ZERO_MACHINE_PUBLIC: MachinePublic = `mkey:${ZERO_HEX}`;
export const ZERO_DISCO_PUBLIC: DiscoPublic = `discokey:${ZERO_HEX}`;
export const ZERO_CHALLENGE_PUBLIC: ChallengePublic = `chalpub:${ZERO_HEX}`;
export const ZERO_NL_PUBLIC: NLPublic = `nlpub:${ZERO_HEX}`;

function keyHex(bytes: Uint8Array): string {
  if (bytes.length !== KEY_LENGTH) {
    throw new ProtocolError('ERR_BAD_KEY', `key of ${bytes.length} bytes, not ${KEY_LENGTH}`);
  }
  return toHex(bytes);
}

/** The functions from 32 bytes to text throw ERR_BAD_KEY for any other length. */
export function nodePublic(bytes: Uint8Array): NodePublic {
  return `nodekey:${keyHex(bytes)}`;
}

export function machinePublic(bytes: Uint8Array): MachinePublic {
  return `mkey:${keyHex(bytes)}`;
}

export function discoPublic(bytes: Uint8Array): DiscoPublic {
  return `discokey:${keyHex(bytes)}`;
}

export function challengePublic(bytes: Uint8Array): ChallengePublic {
  return `chalpub:${keyHex(bytes)}`;
}

export function nlPublic(bytes: Uint8Array): NLPublic {
  return `nlpub:${keyHex(bytes)}`;
}

/** A new copy of the raw key. Throws ERR_BAD_KEY if a cast let other text in. */
export function publicBytes(key: PublicKey): Uint8Array {
  return fromHex(keyText(key, key.slice(0, key.indexOf(':') + 1)));
}

function keyText(text: string, prefix: string): string {
  if (
    text.length !== prefix.length + 2 * KEY_LENGTH ||
    !text.startsWith(prefix) ||
    /[^0-9a-fA-F]/.test(text.slice(prefix.length))
  ) {
    // The text may be a private key in the wrong place: do not repeat it.
    throw new ProtocolError('ERR_BAD_KEY', `not a key of the form ${prefix}<64 hex digits>`);
  }
  return text.slice(prefix.length).toLowerCase();
}

/** Mostly the text is canonical already: then no second copy of it is made. */
function canonical<K extends PublicKey>(text: string, read: string, written = read): K {
  const hex = keyText(text, read);
  return (read === written && text.endsWith(hex) ? text : written + hex) as K;
}

/** The parse functions throw ERR_BAD_KEY. A zero key is a value here: see isZeroKey. */
export function parseNodePublic(text: string): NodePublic {
  return canonical(text, 'nodekey:');
}

export function parseMachinePublic(text: string): MachinePublic {
  return canonical(text, 'mkey:');
}

export function parseDiscoPublic(text: string): DiscoPublic {
  return canonical(text, 'discokey:');
}

export function parseChallengePublic(text: string): ChallengePublic {
  return canonical(text, 'chalpub:');
}

/** Also reads the command-line form `tlpub:`. */
export function parseNLPublic(text: string): NLPublic {
  return canonical(text, text.startsWith('tlpub:') ? 'tlpub:' : 'nlpub:', 'nlpub:');
}

/** Whether the key is absent on the wire: undefined, or the prefix and 64 zeros. */
export function isZeroKey(key: PublicKey | undefined): boolean {
  return key === undefined || key.endsWith(ZERO_HEX);
}

/** For people: `[AbCdE]` (five base64 characters), disco keys `d:0123456789abcdef`. */
export function shortKey(key: PublicKey): string {
  if (key.startsWith('discokey:')) return `d:${key.slice(9, 25)}`;
  return `[${toBase64(publicBytes(key)).slice(0, 5)}]`;
}

const REDACTED = '[private key]';

/** An X25519 private key. Printing, inspecting or serialising it shows no byte of it; expose() does. */
export class PrivateKey {
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A fresh key, clamped (RFC 7748 section 5). randomBytes must be cryptographically strong. */
  static generate(randomBytes: (n: number) => Uint8Array): PrivateKey {
    const bytes = new Uint8Array(randomBytes(KEY_LENGTH));
    bytes[0] = bytes[0]! & 248;
    bytes[31] = (bytes[31]! & 127) | 64;
    return PrivateKey.fromBytes(bytes);
  }

  /** Copies the bytes. Throws ERR_BAD_KEY unless there are 32, not all zero. */
  static fromBytes(bytes: Uint8Array): PrivateKey {
    if (bytes.length !== KEY_LENGTH || bytes.every((byte) => byte === 0)) {
      throw new ProtocolError('ERR_BAD_KEY', 'a private key is 32 bytes that are not all zero');
    }
    return new PrivateKey(new Uint8Array(bytes));
  }

  /** Reads `privkey:` and 64 hex digits. Throws ERR_BAD_KEY without repeating the text. */
  static parse(text: string): PrivateKey {
    return PrivateKey.fromBytes(fromHex(keyText(text, 'privkey:')));
  }

  /** The secret itself, borrowed: do not change, keep or print it. */
  expose(): Uint8Array {
    return this.#bytes;
  }

  /** The secret as `privkey:<hex>`, for the state file. */
  exposeText(): string {
    return `privkey:${toHex(this.#bytes)}`;
  }

  publicBytes(x25519: X25519): Uint8Array {
    return x25519.publicKey(this.#bytes);
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  static {
    // What console.log asks for; defined here because declarations cannot name a registered symbol.
    Object.defineProperty(PrivateKey.prototype, Symbol.for('nodejs.util.inspect.custom'), {
      value: () => REDACTED,
    });
  }
}
