// mac1, mac2 and cookies (white paper sections 5.3 and 5.4.4 to 5.4.7): proof, before any Diffie-Hellman, that a
// handshake message was meant for us (mac1) and, under load, that its sender receives at its source address (mac2).
//
//   mac1   = MAC(HASH("mac1----" ++ receiver's static public key), message before mac1)
//   mac2   = MAC(cookie, message before mac2), or zeros
//   cookie = MAC(secret that changes every 120 s, source bytes), 16 bytes
//   reply  = XAEAD(HASH("cookie--" ++ replier's static public key), random nonce, cookie, mac1 of the refused message)
import { equalBytes, utf8Encode } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { COOKIE_REFRESH_TIME } from './constants.ts';
import { type CookieReply, encodeCookieReply } from './messages.ts';
import { xopened, xsealed } from './xchacha.ts';

const MAC_LENGTH = 16;
const NONCE_LENGTH = 24;
const LABEL_MAC1: Uint8Array = utf8Encode('mac1----');
const LABEL_COOKIE: Uint8Array = utf8Encode('cookie--');

function mac1Of(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - 2 * MAC_LENGTH, message.length - MAC_LENGTH);
}

function mac2Of(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - MAC_LENGTH);
}

function computeMac1(crypto: Crypto, key: Uint8Array, message: Uint8Array): Uint8Array {
  return crypto.blake2s.keyed(key, MAC_LENGTH, message.subarray(0, message.length - 32));
}

function computeMac2(crypto: Crypto, cookie: Uint8Array, message: Uint8Array): Uint8Array {
  return crypto.blake2s.keyed(cookie, MAC_LENGTH, message.subarray(0, message.length - 16));
}

/** The receiving side: checks the macs of handshake messages to one public key and makes cookies. */
export class CookieChecker {
  readonly #crypto: Crypto;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #secret: Uint8Array | undefined;
  #secretUntil = 0;

  constructor(crypto: Crypto, publicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1Key = crypto.blake2s.hash(LABEL_MAC1, publicKey);
    this.#cookieKey = crypto.blake2s.hash(LABEL_COOKIE, publicKey);
  }

  hasValidMac1(message: Uint8Array): boolean {
    return equalBytes(computeMac1(this.#crypto, this.#mac1Key, message), mac1Of(message));
  }

  hasValidMac2(message: Uint8Array, source: Uint8Array, now: number): boolean {
    if (this.#secret === undefined || now >= this.#secretUntil) return false;
    const cookie = this.#crypto.blake2s.keyed(this.#secret, MAC_LENGTH, source);
    return equalBytes(computeMac2(this.#crypto, cookie, message), mac2Of(message));
  }

  /** The reply to a message from `sender` (its index) that is refused for want of a mac2. */
  reply(message: Uint8Array, sender: number, source: Uint8Array, now: number): Uint8Array {
    if (this.#secret === undefined || now >= this.#secretUntil) {
      this.#secret = this.#crypto.randomBytes(32);
      this.#secretUntil = now + COOKIE_REFRESH_TIME;
    }
    const cookie = this.#crypto.blake2s.keyed(this.#secret, MAC_LENGTH, source);
    const nonce = this.#crypto.randomBytes(NONCE_LENGTH);
    const { aead } = this.#crypto;
    const sealedCookie = xsealed(aead, this.#cookieKey, nonce, mac1Of(message), cookie);
    return encodeCookieReply({ receiver: sender, nonce, sealedCookie });
  }
}

/** The sending side, one per peer: writes the macs and keeps the cookie the peer gave. */
export class CookieHolder {
  readonly #crypto: Crypto;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | undefined;
  #cookie: Uint8Array | undefined;
  #cookieUntil = 0;

  constructor(crypto: Crypto, peerPublicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1Key = crypto.blake2s.hash(LABEL_MAC1, peerPublicKey);
    this.#cookieKey = crypto.blake2s.hash(LABEL_COOKIE, peerPublicKey);
  }

  /** Writes mac1, and mac2 if a cookie came within 120 s. */
  addMacs(message: Uint8Array, now: number): void {
    const mac1 = computeMac1(this.#crypto, this.#mac1Key, message);
    mac1Of(message).set(mac1);
    this.#lastMac1 = mac1;
    if (this.#cookie !== undefined && now < this.#cookieUntil) {
      mac2Of(message).set(computeMac2(this.#crypto, this.#cookie, message));
    }
  }

  /** Keeps the cookie for the next message; false if the reply answers nothing we sent. */
  takeReply(reply: CookieReply, now: number): boolean {
    if (this.#lastMac1 === undefined) return false;
    const { aead } = this.#crypto;
    const cookie = xopened(aead, this.#cookieKey, reply.nonce, this.#lastMac1, reply.sealedCookie);
    if (cookie === undefined) return false;
    this.#cookie = cookie;
    this.#cookieUntil = now + COOKIE_REFRESH_TIME;
    return true;
  }
}
