// One WireGuard interface, the white paper's whole protocol without sockets, clock or threads: peers by key,
// index and inner address; and what happens on receive, send and tick.
import { toHex } from '@cove/protocol/bytes';
import type { PacketCipher } from '@cove/protocol/crypto';
import type { Prefix } from '@cove/protocol/netaddr';
import {
  DEFAULT_MTU,
  HEADER_LENGTH,
  MAX_PEERS,
  MAX_PEERS_PER_TICK,
  MAX_STAGED_BYTES,
  PADDING,
  REJECT_AFTER_MESSAGES,
  TAG_LENGTH,
} from './constants.ts';
import { COUNT_NAMES, Count } from './counters.ts';
import { Exchange } from './exchange.ts';
import { type Identity, KEY_LENGTH } from './handshake.ts';
import { IndexTable } from './indextable.ts';
import { addressLength, packetLength, sourceOffset } from './innerpacket.ts';
import { Jitter } from './jitter.ts';
import type { Keypair } from './keypair.ts';
import {
  COOKIE_REPLY,
  INITIATION,
  MIN_TRANSPORT_LENGTH,
  messageType,
  RESPONSE,
  readU32,
  TRANSPORT,
} from './messages.ts';
import { type PeerHome, PeerState } from './peer.ts';
import { PrefixTable } from './prefixtable.ts';
import { steadyClock } from './tai64n.ts';
import { TimerHeap } from './timerheap.ts';
import {
  armKeepalive,
  completedHandshake,
  Due,
  derivedSession,
  earliest,
  nextDue,
  receivedAuthenticated,
  receivedData,
  resetTimers,
  sentAuthenticated,
  sentData,
} from './timers.ts';
import type { DeviceOptions, DeviceSink, Peer, PeerConfig } from './types.ts';

const U32 = 2 ** 32;
/** Timers of one peer that one tick runs: each kind once. */
const MAX_DUE = 6;

export class Device<Context = unknown, From = unknown> {
  /** 32 bytes; do not change them. */
  readonly publicKey: Uint8Array;
  /** Events since the start, indexed by `Count`, named by `COUNT_NAMES`. */
  readonly counters: Uint32Array = new Uint32Array(COUNT_NAMES.length);
  readonly #sink: DeviceSink<Context, From>;
  readonly #cipher: PacketCipher;
  readonly #mtu: number;
  readonly #home: PeerHome<Context>;
  readonly #exchange: Exchange<Context, From>;
  readonly #jitter: Jitter;
  readonly #byKey = new Map<string, PeerState<Context>>();
  readonly #routes = new PrefixTable<PeerState<Context>>();
  readonly #indices: IndexTable<PeerState<Context>>;
  readonly #heap = new TimerHeap<PeerState<Context>>();
  #closed = false;

  constructor(options: DeviceOptions<Context, From>) {
    const { crypto, privateKey, sink } = options;
    const identity: Identity = {
      crypto,
      privateKey: privateKey.expose(),
      publicKey: privateKey.publicBytes(crypto.x25519),
    };
    this.publicKey = identity.publicKey;
    this.#sink = sink;
    this.#cipher = crypto.packet;
    this.#mtu = options.mtu ?? DEFAULT_MTU;
    this.#jitter = new Jitter(crypto.randomBytes);
    this.#indices = new IndexTable(crypto.randomBytes);
    this.#home = {
      identity,
      indices: this.#indices,
      budget: { used: 0, limit: MAX_STAGED_BYTES },
    };
    this.#exchange = new Exchange<Context, From>({
      identity,
      indices: this.#indices,
      sink,
      counters: this.counters,
      jitter: this.#jitter,
      clock: steadyClock(options.wallClock),
      peerByKey: (key) => this.#byKey.get(toHex(key)),
      lookupPeer: (key) => options.lookupPeer?.(key),
      addOnDemand: (config, now) =>
        this.#byKey.size < MAX_PEERS ? this.#add(config, true, now) : undefined,
      reschedule: (peer) => this.#reschedule(peer),
      heard: (peer, from) => this.#heard(peer, from),
      establishedAsInitiator: (peer, keypair, now) => {
        this.#established(peer, now);
        if (keypair.sent === 0) this.#sendKeepalive(peer, now);
      },
    });
  }

  /** When `tick` should be called next; undefined: not before something else happens. Ask after every call. */
  get nextTick(): number | undefined {
    return this.#heap.first?.heapAt;
  }

  /**
   * Throws RangeError for a key that is already a peer or this device's own, for keys of a wrong length and
   * impossible prefixes, and for the 65 537th peer.
   */
  addPeer(config: PeerConfig<Context>, now: number): Peer<Context> {
    return this.#add(config, false, now);
  }

  #add(config: PeerConfig<Context>, onDemand: boolean, now: number): PeerState<Context> {
    const { publicKey, presharedKey, persistentKeepalive: interval = 0 } = config;
    if (publicKey.length !== KEY_LENGTH) {
      throw new RangeError(`publicKey: ${publicKey.length} bytes`);
    }
    if (presharedKey !== undefined && presharedKey.length !== KEY_LENGTH) {
      throw new RangeError(`presharedKey: ${presharedKey.length} bytes`);
    }
    if (!(interval >= 0 && interval < Infinity)) {
      throw new RangeError(`persistentKeepalive: ${interval}`);
    }
    const key = toHex(publicKey);
    if (key === toHex(this.publicKey)) throw new RangeError("publicKey: the device's own");
    if (this.#byKey.has(key)) throw new RangeError(`publicKey: ${key} is a peer already`);
    if (this.#byKey.size >= MAX_PEERS) throw new RangeError(`more than ${MAX_PEERS} peers`);
    const peer = new PeerState(this.#home, config, { onDemand, now });
    this.#setRoutes(peer, config.allowedIPs);
    this.#byKey.set(key, peer);
    if (onDemand) derivedSession(peer.timers, now);
    this.#reschedule(peer);
    return peer;
  }

  /** Wipes the peer's keys and forgets it, without telling it or the sink. */
  removePeer(peer: Peer<Context>): void {
    const state = peer as PeerState<Context>;
    if (!state.live) return;
    state.live = false;
    this.#clearRoutes(state);
    this.#byKey.delete(toHex(state.publicKey));
    this.#heap.remove(state);
    this.counters[Count.STAGED_DROPPED]! += state.dropStaged();
    state.wipeSession();
  }

  /** By its 32 bytes. */
  peerByKey(publicKey: Uint8Array): Peer<Context> | undefined {
    return this.#byKey.get(toHex(publicKey));
  }

  peers(): IterableIterator<Peer<Context>> {
    return this.#byKey.values();
  }

  /** Replaces the peer's allowed IPs; a prefix that was another peer's moves. Throws RangeError. */
  setAllowedIPs(peer: Peer<Context>, prefixes: readonly Prefix[]): void {
    const state = peer as PeerState<Context>;
    if (!state.live) return;
    this.#clearRoutes(state);
    this.#setRoutes(state, prefixes);
  }

  #setRoutes(peer: PeerState<Context>, prefixes: readonly Prefix[]): void {
    peer.allowedIPs = prefixes.map(({ addr, bits }) => ({ addr: new Uint8Array(addr), bits }));
    for (const prefix of peer.allowedIPs) this.#routes.set(prefix, peer);
  }

  #clearRoutes(peer: PeerState<Context>): void {
    for (const prefix of peer.allowedIPs) {
      if (this.#routes.get(prefix) === peer) this.#routes.delete(prefix);
    }
    peer.allowedIPs = [];
  }

  /** Wipes the session, keeping peer and staged packets: the next send starts a handshake at once. */
  resetSession(peer: Peer<Context>): void {
    const state = peer as PeerState<Context>;
    state.wipeSession();
    resetTimers(state.timers);
    this.#reschedule(state);
  }

  /** The peer whose allowed IPs hold the address (4 or 16 bytes at buf[offset]) most specifically. */
  route(
    buf: Uint8Array,
    offset = 0,
    length: number = buf.length - offset,
  ): Peer<Context> | undefined {
    return this.#routes.lookup(buf, offset, length);
  }

  /** As route, for the destination of an IP packet; undefined also for what is no IP packet. */
  routePacket(buf: Uint8Array, offset: number, length: number): Peer<Context> | undefined {
    if (packetLength(buf, offset, length) === 0) return undefined;
    const bytes = addressLength(buf, offset);
    return this.#routes.lookup(buf, offset + sourceOffset(bytes) + bytes, bytes);
  }

  /**
   * Sends one inner IP packet at buf[offset, offset + length) to a peer. The caller owns the slot
   * `[16 header][packet][padding to 16][16 tag]` around it: offset >= 16 and buf.length >= offset + length
   * rounded up to 16 + 16 (RangeError otherwise). With a session the slot is sealed in place and passed to
   * `transmit` before the call returns true. Without one the packet is copied and staged (the oldest of more
   * than 128 dropped), a handshake is started, and the call returns false. To a peer that is not live nothing
   * is sent.
   */
  send(peer: Peer<Context>, buf: Uint8Array, offset: number, length: number, now: number): boolean {
    const state = peer as PeerState<Context>;
    if (
      length < 1 ||
      offset < HEADER_LENGTH ||
      offset + roundUp(length) + TAG_LENGTH > buf.length
    ) {
      throw new RangeError(`no slot for ${length} bytes at ${offset} of ${buf.length}`);
    }
    if (!state.live) {
      this.counters[Count.STAGED_DROPPED]!++;
      return false;
    }
    const keypair = state.sendingKeypair(now);
    if (keypair === undefined) {
      this.counters[Count.STAGED_DROPPED]! += state.stage(buf, offset, length);
      this.#exchange.want(state, now);
      this.#reschedule(state);
      return false;
    }
    this.#transmitData(state, keypair, buf, offset, length, now);
    return true;
  }

  /** Sends a keepalive, or starts a handshake if there is no session (5 s after the last one at the earliest). */
  wake(peer: Peer<Context>, now: number): void {
    const state = peer as PeerState<Context>;
    if (!state.live) return;
    this.#sendKeepalive(state, now);
    this.#reschedule(state);
  }

  /**
   * Takes one datagram at buf[offset, offset + length), which is overwritten: transport data is opened in place
   * and delivered from there. `from` names the path for reply, roamed and sourceBytes: a number, or the same
   * object for the same path every time. Returns the `Count` under which the datagram was filed; never throws,
   * whatever the bytes.
   */
  receive(buf: Uint8Array, offset: number, length: number, now: number, from: From): number {
    const count = this.#dispatch(buf, offset, length, now, from);
    this.counters[count]!++;
    return count;
  }

  #dispatch(buf: Uint8Array, offset: number, length: number, now: number, from: From): number {
    if (this.#closed || offset + length > buf.length) return Count.MALFORMED;
    const type = messageType(buf, offset, length);
    if (type === TRANSPORT) return this.#receiveData(buf, offset, length, now, from);
    if (type === 0) return Count.MALFORMED;
    const message = buf.subarray(offset, offset + length);
    if (type === INITIATION) return this.#exchange.receiveInitiation(message, now, from);
    if (type === RESPONSE) return this.#exchange.receiveResponse(message, now, from);
    if (type === COOKIE_REPLY) return this.#exchange.receiveCookieReply(message, now);
    return Count.MALFORMED;
  }

  #receiveData(buf: Uint8Array, offset: number, length: number, now: number, from: From): number {
    const keypair = this.#indices.keypair(readU32(buf, offset + 4));
    if (keypair === undefined) return Count.UNKNOWN_INDEX;
    if (keypair.isExpired(now)) return Count.EXPIRED_KEY;
    const lo = readU32(buf, offset + 8);
    const hi = readU32(buf, offset + 12);
    const counter = hi * U32 + lo;
    // The window is asked before the tag, which costs a hundred times more, and told after it.
    if (counter >= REJECT_AFTER_MESSAGES || !keypair.replay.isFresh(counter)) return Count.REPLAY;
    const at = offset + HEADER_LENGTH;
    if (!keypair.open(this.#cipher, lo, hi, buf, at, length - HEADER_LENGTH)) return Count.BAD_TAG;
    keypair.replay.mark(counter);

    const peer = keypair.owner;
    const plain = length - MIN_TRANSPORT_LENGTH;
    peer.rxBytes += length;
    if (plain === 0) receivedAuthenticated(peer.timers, now);
    else receivedData(peer.timers, now);
    this.#heard(peer, from);
    if (peer.keypairs.confirm(keypair)) this.#established(peer, now);
    if (keypair.wantsRenewalReceiving(now)) this.#exchange.want(peer, now);
    this.#reschedule(peer);
    if (plain === 0) return Count.KEEPALIVE;

    const packet = packetLength(buf, at, plain);
    if (packet === 0) return Count.BAD_PACKET;
    const bytes = addressLength(buf, at);
    if (this.#routes.lookup(buf, at + sourceOffset(bytes), bytes) !== peer) {
      return Count.WRONG_SOURCE;
    }
    this.#sink.deliver(peer, buf, at, packet);
    return Count.DELIVERED;
  }

  /** Runs the timers that are due, of 64 peers at most: nextTick may be due still. */
  tick(now: number): void {
    for (let i = 0; i < MAX_PEERS_PER_TICK; i++) {
      const peer = this.#heap.first;
      if (peer === undefined || peer.heapAt > now) return;
      for (let due = 0; due < MAX_DUE && this.#runTimer(peer, now); due++);
      if (peer.live) this.#heap.schedule(peer, earliest(peer.timers));
    }
  }

  #runTimer(peer: PeerState<Context>, now: number): boolean {
    switch (nextDue(peer.timers, now)) {
      case Due.RETRANSMIT:
        this.#exchange.initiate(peer, now);
        return true;
      case Due.GIVE_UP:
        peer.setPending(undefined);
        this.counters[Count.STAGED_DROPPED]! += peer.dropStaged();
        this.counters[Count.HANDSHAKE_FAILED]!++;
        this.#sink.handshakeFailed(peer);
        return peer.live;
      case Due.NEW_HANDSHAKE:
        this.#exchange.want(peer, now);
        return true;
      case Due.KEEPALIVE:
        this.#sendKeepalive(peer, now);
        return true;
      case Due.KEEPALIVE_AND_ANOTHER:
        this.#sendKeepalive(peer, now);
        armKeepalive(peer.timers, now);
        return true;
      case Due.ZERO_KEYS:
        peer.wipeSession();
        if (!peer.onDemand || peer.timers.retransmit !== Infinity) return true;
        this.removePeer(peer);
        this.#sink.peerForgotten(peer);
        return false;
      default:
        return false;
    }
  }

  /** Wipes every key and forgets every peer. The device is then inert: receive files everything as malformed. */
  close(): void {
    this.#closed = true;
    for (const peer of [...this.#byKey.values()]) this.removePeer(peer);
  }

  #heard(peer: PeerState<Context>, from: From): void {
    if (peer.lastFrom === from) return;
    peer.lastFrom = from;
    this.#sink.roamed(peer, from);
  }

  /** `current` is new: tell the caller, then let what waited go. */
  #established(peer: PeerState<Context>, now: number): void {
    peer.lastHandshake = now;
    completedHandshake(peer.timers);
    this.#reschedule(peer);
    this.#sink.handshakeComplete(peer);
    for (;;) {
      const keypair = peer.sendingKeypair(now);
      const packet = keypair === undefined ? undefined : peer.takeStaged();
      if (keypair === undefined || packet === undefined) return;
      this.#transmitData(peer, keypair, packet.slot, HEADER_LENGTH, packet.length, now);
    }
  }

  #transmitData(
    peer: PeerState<Context>,
    keypair: Keypair<PeerState<Context>>,
    buf: Uint8Array,
    offset: number,
    length: number,
    now: number,
  ): void {
    const padded = Math.min(roundUp(length), Math.max(length, this.#mtu));
    for (let i = offset + length; i < offset + padded; i++) buf[i] = 0;
    keypair.seal(this.#cipher, buf, offset, padded);
    peer.txBytes += padded + MIN_TRANSPORT_LENGTH;
    sentData(peer.timers, now, this.#jitter.next());
    this.#reschedule(peer);
    this.#sink.transmit(peer, buf, offset - HEADER_LENGTH, padded + MIN_TRANSPORT_LENGTH);
    if (keypair.wantsRenewalSending(now)) this.#renew(peer, now);
  }

  /** Without a session, starts the handshake for one. */
  #sendKeepalive(peer: PeerState<Context>, now: number): void {
    const keypair = peer.sendingKeypair(now);
    if (keypair === undefined) {
      this.#exchange.want(peer, now);
      return;
    }
    const message = new Uint8Array(MIN_TRANSPORT_LENGTH);
    keypair.seal(this.#cipher, message, HEADER_LENGTH, 0);
    peer.txBytes += message.length;
    sentAuthenticated(peer.timers, now);
    this.#sink.transmit(peer, message, 0, message.length);
    if (keypair.wantsRenewalSending(now)) this.#renew(peer, now);
  }

  #renew(peer: PeerState<Context>, now: number): void {
    if (!peer.live) return;
    this.#exchange.want(peer, now);
    this.#reschedule(peer);
  }

  /** Timers moved: the heap must not be later than the earliest; earlier is harmless and looked at again. */
  #reschedule(peer: PeerState<Context>): void {
    const at = earliest(peer.timers);
    if (at < peer.heapAt && peer.live) this.#heap.schedule(peer, at);
  }
}

/** Up to the next multiple of the padding. */
function roundUp(length: number): number {
  return (length + PADDING - 1) & -PADDING;
}
