// Transport keys of one handshake, and the three of them a peer may hold (white paper sections 5.4.5, 5.4.6, 6.2).
//
//   previous   still receives until it is 180 s old
//   current    the only one that sends
//   next       made as responder, not yet confirmed by a packet from the initiator
import type { PacketCipher } from '@cove/protocol/crypto';
import {
  HEADER_LENGTH,
  REJECT_AFTER_MESSAGES,
  REJECT_AFTER_TIME,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_TIME,
  REKEY_AFTER_TIME_RECEIVING,
} from './constants.ts';
import type { TransportKeys } from './handshake.ts';
import { TRANSPORT, writeU32 } from './messages.ts';
import { ReplayWindow } from './replay.ts';

const U32 = 2 ** 32;

export interface KeypairInput {
  readonly keys: TransportKeys;
  /** Index by which we know these keys, and the peer addresses us. */
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly initiator: boolean;
  readonly createdAt: number;
}

/** Owner is the peer the keys belong to. */
export class Keypair<Owner = unknown> {
  readonly owner: Owner;
  // Floating-point numbers from the start: another kind of number in a later handshake would give keypairs another
  // hidden class, and V8 would throw away the code compiled for them.
  readonly localIndex: number = -0;
  readonly remoteIndex: number = -0;
  readonly initiator: boolean;
  readonly createdAt: number = -0;
  readonly replay: ReplayWindow = new ReplayWindow();
  readonly #sendKey: Uint8Array;
  readonly #receiveKey: Uint8Array;
  #sendCounter = 0;
  /** The early renewal on receiving has been asked for: once per key. */
  renewalAsked = false;

  constructor(owner: Owner, input: KeypairInput) {
    this.owner = owner;
    this.localIndex = input.localIndex;
    this.remoteIndex = input.remoteIndex;
    this.initiator = input.initiator;
    this.createdAt = input.createdAt;
    this.#sendKey = input.keys.send;
    this.#receiveKey = input.keys.receive;
  }

  /** Packets sealed so far, keepalives included. */
  get sent(): number {
    return this.#sendCounter;
  }

  isExpired(now: number): boolean {
    return now - this.createdAt >= REJECT_AFTER_TIME;
  }

  canSend(now: number): boolean {
    return !this.isExpired(now) && this.#sendCounter < REJECT_AFTER_MESSAGES;
  }

  /** Having sent: whether to start the handshake for the next key. */
  wantsRenewalSending(now: number): boolean {
    return (
      this.#sendCounter > REKEY_AFTER_MESSAGES ||
      (this.initiator && now - this.createdAt >= REKEY_AFTER_TIME)
    );
  }

  /** Having received data: the same, before the key runs out without our sending; true once. */
  wantsRenewalReceiving(now: number): boolean {
    if (this.renewalAsked || !this.initiator) return false;
    if (now - this.createdAt < REKEY_AFTER_TIME_RECEIVING) return false;
    this.renewalAsked = true;
    return true;
  }

  /**
   * Seals buf[offset, offset + length) in place, writes the header before and the tag behind it. The message is
   * then buf[offset - 16, offset + length + 16).
   */
  seal(cipher: PacketCipher, buf: Uint8Array, offset: number, length: number): void {
    const counter = this.#sendCounter++;
    const hi = (counter / U32) | 0;
    const at = offset - HEADER_LENGTH;
    buf[at] = TRANSPORT;
    buf[at + 1] = 0;
    buf[at + 2] = 0;
    buf[at + 3] = 0;
    writeU32(buf, at + 4, this.remoteIndex);
    writeU32(buf, at + 8, counter >>> 0);
    writeU32(buf, at + 12, hi);
    cipher.seal(this.#sendKey, counter >>> 0, hi, buf, offset, length);
  }

  /** Opens buf[offset, offset + length), tag included, in place. */
  open(
    cipher: PacketCipher,
    lo: number,
    hi: number,
    buf: Uint8Array,
    offset: number,
    length: number,
  ): boolean {
    return cipher.open(this.#receiveKey, lo, hi, buf, offset, length);
  }

  wipe(): void {
    this.#sendKey.fill(0);
    this.#receiveKey.fill(0);
  }
}

/** The three slots. What a transition pushes out goes to `discard`, which frees its index and wipes it. */
export class Keypairs<Owner = unknown> {
  previous: Keypair<Owner> | undefined = undefined;
  current: Keypair<Owner> | undefined = undefined;
  next: Keypair<Owner> | undefined = undefined;
  readonly #discard: (keypair: Keypair<Owner>) => void;

  constructor(discard: (keypair: Keypair<Owner>) => void) {
    this.#discard = discard;
  }

  /** We initiated and accepted the response. */
  installInitiated(keypair: Keypair<Owner>): void {
    this.#drop(this.previous);
    if (this.next !== undefined) {
      this.#drop(this.current);
      this.previous = this.next;
      this.next = undefined;
    } else {
      this.previous = this.current;
    }
    this.current = keypair;
  }

  /** We sent a response. */
  installResponded(keypair: Keypair<Owner>): void {
    this.#drop(this.previous);
    this.previous = undefined;
    this.#drop(this.next);
    this.next = keypair;
  }

  /** A packet authenticated under this key. True if that confirmed `next`, which is current now. */
  confirm(keypair: Keypair<Owner>): boolean {
    if (keypair !== this.next) return false;
    this.#drop(this.previous);
    this.previous = this.current;
    this.current = keypair;
    this.next = undefined;
    return true;
  }

  clear(): void {
    this.#drop(this.previous);
    this.#drop(this.current);
    this.#drop(this.next);
    this.previous = undefined;
    this.current = undefined;
    this.next = undefined;
  }

  #drop(keypair: Keypair<Owner> | undefined): void {
    if (keypair !== undefined) this.#discard(keypair);
  }
}
