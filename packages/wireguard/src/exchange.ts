// Handshake messages in and out of a device (white paper sections 5.3 and 5.4): who may be answered, what is
// checked in which order, and which keys come of it. Cheapest check first: a stranger's datagram costs one MAC.
import { equalBytes } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { INITIATION_SPACING } from './constants.ts';
import { CookieChecker } from './cookie.ts';
import { Count } from './counters.ts';
import {
  agree,
  consumeResponse,
  createInitiation,
  createResponse,
  type Identity,
  KEY_LENGTH,
  openInitiation,
  openTimestamp,
} from './handshake.ts';
import type { IndexTable } from './indextable.ts';
import type { Jitter } from './jitter.ts';
import { Keypair } from './keypair.ts';
import { parseCookieReply, parseInitiation, parseResponse, readU32 } from './messages.ts';
import type { PeerState } from './peer.ts';
import { LoadMeter, SourceLimiter } from './ratelimiter.ts';
import { compareTai64n, encodeTai64n } from './tai64n.ts';
import {
  derivedSession,
  handshakeWanted,
  maySendInitiation,
  postponedInitiation,
  receivedAuthenticated,
  sentInitiation,
  sentResponse,
} from './timers.ts';
import type { DeviceSink, PeerConfig, WallTime } from './types.ts';

/** What the exchange needs of its device. */
export interface ExchangeHost<Context, From> {
  readonly identity: Identity;
  readonly indices: IndexTable<PeerState<Context>>;
  readonly sink: DeviceSink<Context, From>;
  readonly counters: Uint32Array;
  readonly jitter: Jitter;
  /** Never decreases. */
  readonly clock: () => WallTime;
  peerByKey(publicKey: Uint8Array): PeerState<Context> | undefined;
  /** The configuration of a key that is no peer yet but may become one. */
  lookupPeer(publicKey: Uint8Array): PeerConfig<Context> | undefined;
  addOnDemand(config: PeerConfig<Context>, now: number): PeerState<Context> | undefined;
  /** The peer's timers moved. */
  reschedule(peer: PeerState<Context>): void;
  /** Something of the peer's authenticated. */
  heard(peer: PeerState<Context>, from: From): void;
  /** A session came up on our initiation: staged packets may leave, and something must. */
  establishedAsInitiator(
    peer: PeerState<Context>,
    keypair: Keypair<PeerState<Context>>,
    now: number,
  ): void;
}

export class Exchange<Context, From> {
  readonly #host: ExchangeHost<Context, From>;
  readonly #crypto: Crypto;
  readonly #checker: CookieChecker;
  readonly #load = new LoadMeter();
  readonly #limiter = new SourceLimiter();

  constructor(host: ExchangeHost<Context, From>) {
    this.#host = host;
    this.#crypto = host.identity.crypto;
    this.#checker = new CookieChecker(this.#crypto, host.identity.publicKey);
  }

  /** Somebody wants a session: the 90 s begin anew, and an initiation leaves unless one just did. */
  want(peer: PeerState<Context>, now: number): void {
    handshakeWanted(peer.timers);
    this.initiate(peer, now);
  }

  /** Sends a completely new initiation, 5 s after the last handshake message at the earliest. */
  initiate(peer: PeerState<Context>, now: number): void {
    const { identity, indices, sink, jitter, counters, clock } = this.#host;
    if (!maySendInitiation(peer.timers, now)) {
      postponedInitiation(peer.timers, jitter.next());
      return;
    }
    sentInitiation(peer.timers, now, jitter.next());
    const { staticShared } = peer;
    if (staticShared === undefined) return;
    const created = createInitiation(identity, {
      remotePublic: peer.publicKey,
      staticShared,
      ephemeralPrivate: this.#crypto.randomBytes(KEY_LENGTH),
      sender: indices.draw(),
      timestamp: encodeTai64n(peer.nextStamp(clock())),
    });
    if (created === undefined) return;
    peer.setPending(created.pending);
    const { message } = created;
    peer.cookies.addMacs(message, now);
    peer.txBytes += message.length;
    counters[Count.INITIATIONS_SENT]!++;
    sink.transmit(peer, message, 0, message.length);
  }

  /** The receive functions take a whole message of the right length and return its `Count`. */
  receiveInitiation(message: Uint8Array, now: number, from: From): number {
    const refused = this.#refuse(message, now, from);
    if (refused >= 0) return refused;
    const { identity, indices, sink } = this.#host;
    const opened = openInitiation(identity, parseInitiation(message));
    if (opened === undefined) return Count.BAD_HANDSHAKE;
    const { remotePublic } = opened;
    const known = this.#host.peerByKey(remotePublic);
    const config = known === undefined ? this.#lookup(remotePublic) : undefined;
    if (known === undefined && config === undefined) return Count.UNKNOWN_PEER;
    const staticShared =
      known?.staticShared ?? agree(this.#crypto, identity.privateKey, remotePublic);
    if (staticShared === undefined) return Count.BAD_HANDSHAKE;
    const stamp = openTimestamp(opened, staticShared);
    if (stamp === undefined) return Count.BAD_HANDSHAKE;

    // Only the timestamp proves that the key is behind this, so only now a peer may come to be.
    const peer = known ?? this.#host.addOnDemand(config!, now);
    if (peer === undefined) return Count.UNKNOWN_PEER;
    if (peer.acceptedStamp !== undefined && compareTai64n(stamp, peer.acceptedStamp) <= 0) {
      return Count.OLD_TIMESTAMP;
    }
    if (now - peer.acceptedAt <= INITIATION_SPACING) return Count.FLOOD;

    const localIndex = indices.draw();
    const created = createResponse(identity, opened, {
      presharedKey: peer.presharedKey,
      ephemeralPrivate: this.#crypto.randomBytes(KEY_LENGTH),
      sender: localIndex,
    });
    if (created === undefined) return Count.BAD_HANDSHAKE;
    peer.acceptedStamp = stamp;
    peer.acceptedAt = now;
    peer.rxBytes += message.length;
    this.#install(
      peer,
      new Keypair(peer, {
        keys: created.keys,
        localIndex,
        remoteIndex: opened.message.sender,
        initiator: false,
        createdAt: now,
      }),
    );
    const response = created.message;
    peer.cookies.addMacs(response, now);
    peer.txBytes += response.length;
    receivedAuthenticated(peer.timers, now);
    sentResponse(peer.timers, now);
    this.#host.heard(peer, from);
    this.#host.reschedule(peer);
    sink.transmit(peer, response, 0, response.length);
    return Count.HANDSHAKE;
  }

  receiveResponse(message: Uint8Array, now: number, from: From): number {
    const refused = this.#refuse(message, now, from);
    if (refused >= 0) return refused;
    const { identity, indices } = this.#host;
    const response = parseResponse(message);
    const peer = indices.handshake(response.receiver);
    if (peer?.pending === undefined) return Count.UNKNOWN_INDEX;
    const keys = consumeResponse(identity, peer.pending, peer.presharedKey, response);
    if (keys === undefined) return Count.BAD_HANDSHAKE;
    // The index goes over from the handshake to its keys.
    peer.setPending(undefined);
    const keypair = new Keypair(peer, {
      keys,
      localIndex: response.receiver,
      remoteIndex: response.sender,
      initiator: true,
      createdAt: now,
    });
    this.#install(peer, keypair);
    peer.rxBytes += message.length;
    derivedSession(peer.timers, now);
    receivedAuthenticated(peer.timers, now);
    this.#host.reschedule(peer);
    this.#host.heard(peer, from);
    this.#host.establishedAsInitiator(peer, keypair, now);
    return Count.HANDSHAKE;
  }

  receiveCookieReply(message: Uint8Array, now: number): number {
    const { indices } = this.#host;
    const reply = parseCookieReply(message);
    const peer = indices.handshake(reply.receiver) ?? indices.keypair(reply.receiver)?.owner;
    if (peer === undefined) return Count.UNKNOWN_INDEX;
    return peer.cookies.takeReply(reply, now) ? Count.HANDSHAKE : Count.BAD_COOKIE;
  }

  #lookup(publicKey: Uint8Array): PeerConfig<Context> | undefined {
    if (equalBytes(publicKey, this.#host.identity.publicKey)) return undefined;
    const config = this.#host.lookupPeer(publicKey);
    return config !== undefined && equalBytes(config.publicKey, publicKey) ? config : undefined;
  }

  #install(peer: PeerState<Context>, keypair: Keypair<PeerState<Context>>): void {
    this.#host.indices.addKeypair(keypair);
    if (keypair.initiator) peer.keypairs.installInitiated(keypair);
    else peer.keypairs.installResponded(keypair);
  }

  /** The `Count` of a message that is not to be looked at further, or -1. */
  #refuse(message: Uint8Array, now: number, from: From): number {
    if (!this.#checker.hasValidMac1(message)) return Count.BAD_MAC1;
    if (!this.#load.note(now)) return -1;
    const { sink } = this.#host;
    const source = sink.sourceBytes(from);
    if (!this.#checker.hasValidMac2(message, source, now)) {
      const reply = this.#checker.reply(message, readU32(message, 4), source, now);
      sink.reply(reply, 0, reply.length, from);
      return Count.COOKIE_SENT;
    }
    return this.#limiter.allow(source, now) ? -1 : Count.RATE_LIMITED;
  }
}
