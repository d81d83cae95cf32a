// The primitives on node:crypto. Raw public keys come in as JWK, which is faster than DER everywhere. Keyed BLAKE2s is not
// offered by node:crypto.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { equalBytes, ProtocolError } from '@cove/protocol/bytes';
import {
  type Aead,
  type Blake2s,
  type Crypto,
  TAG_LENGTH,
  weakKeyError,
  type X25519,
} from '@cove/protocol/crypto';
import { nobleBlake2s, noblePacketCipher } from '@cove/protocol/nobleciphers';
import { type SlabAllocator, wasmPacketCipher } from './wasmcipher.ts';

/** Public keys kept imported: more than the peers of a busy node, bounded against a flood of strangers. */
const CACHED_KEYS = 4096;

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/** Plain Uint8Array over a Buffer's bytes, whose `slice` copies as everyone expects. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

// On Node 20 importing a private key as PKCS 8 costs ten times the Diffie-Hellman itself. A JWK demands `x` beside `d`; up to
// Node 24 its value is ignored and the true one derived, Node 26 refuses any other than that.
const IMPORTS_AS_JWK = Number(process.versions.node.split('.')[0]) < 22;
const IGNORED_X = base64url(new Uint8Array(32));
/** PrivateKeyInfo of an X25519 key up to the key (RFC 8410 section 7). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** Secret keys imported once per array, for as long as the caller keeps it; one that was overwritten anew. */
class SecretKeys {
  readonly #known = new WeakMap<
    Uint8Array,
    { readonly bytes: Uint8Array; readonly key: KeyObject }
  >();
  readonly #load: (bytes: Uint8Array) => KeyObject;

  constructor(load: (bytes: Uint8Array) => KeyObject) {
    this.#load = load;
  }

  get(bytes: Uint8Array): KeyObject {
    const known = this.#known.get(bytes);
    if (known !== undefined && equalBytes(known.bytes, bytes)) return known.key;
    const key = this.#load(bytes);
    this.#known.set(bytes, { bytes: new Uint8Array(bytes), key });
    return key;
  }
}

function loadPrivate(bytes: Uint8Array): KeyObject {
  if (bytes.length !== 32) throw new ProtocolError('ERR_BAD_KEY', 'X25519 keys have 32 bytes');
  if (IMPORTS_AS_JWK) {
    const jwk = { kty: 'OKP', crv: 'X25519', d: base64url(bytes), x: IGNORED_X };
    return createPrivateKey({ key: jwk, format: 'jwk' });
  }
  const key = Buffer.concat([PKCS8_HEAD, bytes]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

/**
 * X25519 with imported keys kept: private ones as long as the caller keeps the very array, public ones in a
 * table of bounded size from which the longest unused goes first.
 */
export function nodeX25519(cachedKeys: number = CACHED_KEYS): X25519 {
  const privateKeys = new SecretKeys(loadPrivate);
  const publicKeys = new Map<string, KeyObject>();

  function publicKeyObject(bytes: Uint8Array): KeyObject {
    const x = base64url(bytes);
    let key = publicKeys.get(x);
    if (key !== undefined) {
      publicKeys.delete(x);
    } else {
      if (bytes.length !== 32) throw new ProtocolError('ERR_BAD_KEY', 'X25519 keys have 32 bytes');
      key = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
      if (publicKeys.size >= cachedKeys) {
        const oldest = publicKeys.keys().next();
        if (!oldest.done) publicKeys.delete(oldest.value);
      }
    }
    publicKeys.set(x, key);
    return key;
  }

  return {
    publicKey(privateKey) {
      const { x } = createPublicKey(privateKeys.get(privateKey)).export({ format: 'jwk' });
      return new Uint8Array(Buffer.from(x!, 'base64url'));
    },
    sharedSecret(privateKey, publicKey) {
      const ours = privateKeys.get(privateKey);
      const theirs = publicKeyObject(publicKey);
      let secret: Buffer;
      try {
        secret = diffieHellman({ privateKey: ours, publicKey: theirs });
      } catch (cause) {
        throw weakKeyError(cause);
      }
      // OpenSSL refuses low-order points itself; other builds of the library need not.
      if (secret.every((byte) => byte === 0)) throw weakKeyError();
      return plain(secret);
    },
  };
}

const aeadKeys = new SecretKeys((bytes) => createSecretKey(bytes));

export const nodeAead: Aead = {
  seal(key, nonce, ad, plaintext) {
    const cipher = createCipheriv('chacha20-poly1305', aeadKeys.get(key), nonce, {
      authTagLength: TAG_LENGTH,
    });
    cipher.setAAD(ad, { plaintextLength: plaintext.length });
    const out = new Uint8Array(plaintext.length + TAG_LENGTH);
    out.set(cipher.update(plaintext));
    cipher.final();
    out.set(cipher.getAuthTag(), plaintext.length);
    return out;
  },
  open(key, nonce, ad, ciphertext) {
    const length = ciphertext.length - TAG_LENGTH;
    if (length < 0) return undefined;
    const decipher = createDecipheriv('chacha20-poly1305', aeadKeys.get(key), nonce, {
      authTagLength: TAG_LENGTH,
    });
    decipher.setAAD(ad, { plaintextLength: length });
    decipher.setAuthTag(ciphertext.subarray(length));
    const text = decipher.update(ciphertext.subarray(0, length));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain(text);
  },
};

export const nodeBlake2s: Blake2s = {
  hash(...parts) {
    const state = createHash('blake2s256');
    for (const part of parts) state.update(part);
    return plain(state.digest());
  },
  hmac(key, ...parts) {
    const state = createHmac('blake2s256', key);
    for (const part of parts) state.update(part);
    return plain(state.digest());
  },
  keyed: nobleBlake2s.keyed,
};

/** The primitives of this machine, and packet memory its cipher works in without copying. */
export interface NodeCrypto extends Crypto, SlabAllocator {}

/** The fastest of what this machine has; name tells the tier of the packet cipher. */
export function nodeCrypto(): NodeCrypto {
  const wasm = wasmPacketCipher();
  return {
    name: wasm === undefined ? 'noble' : 'wasm-simd',
    x25519: nodeX25519(),
    aead: nodeAead,
    packet: wasm ?? noblePacketCipher(),
    blake2s: nodeBlake2s,
    randomBytes: (n) => plain(randomBytes(n)),
    allocSlab: (bytes) => (wasm === undefined ? new Uint8Array(bytes) : wasm.allocSlab(bytes)),
    freeSlab: (slab) => (wasm === undefined ? slab.fill(0) : wasm.freeSlab(slab)),
  };
}
