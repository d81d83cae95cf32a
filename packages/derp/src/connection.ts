// One client's connection as the relay sees it: greeting, admission, then frames. What the frames mean for other
// clients is the server's business (Relay).
import type { Duplex } from 'node:stream';
import { equalBytes, ProtocolError } from '@cove/protocol/bytes';
import { BOX_NONCE_LENGTH, boxSharedKey, type Crypto } from '@cove/protocol/crypto';
import {
  DERP_VERSION,
  encodeFrame,
  encodeServerKey,
  FRAME_HEADER_LENGTH,
  FrameReader,
  FrameType,
  MAX_PACKET_LENGTH,
  PeerGoneReason,
  PING_LENGTH,
  SERVER_FRAME_LIMITS,
} from '@cove/protocol/derp';
import { openClientInfo, parseClientInfo, sealServerInfo } from '@cove/protocol/derpinfo';
import { isDisco } from '@cove/protocol/disco';
import { KEY_LENGTH, type NodePublic, nodePublic, type PrivateKey } from '@cove/protocol/keys';
import type { Clock } from './clock.ts';
import { FrameSender } from './framesender.ts';
import type { DerpCounters } from './metrics.ts';
import { TokenBucket } from './tokenbucket.ts';

/** Answers to packets for unknown keys: 1 per second, 3 at once. */
const NOT_HERE_PER_MS = 1 / 1000;
const NOT_HERE_BURST = 3;

/** All connections of one key. The active one gets the packets. */
export class Peer {
  readonly key: Uint8Array;
  readonly connections: Set<Connection> = new Set();
  active: Connection;
  /** Connections that got a packet from this key and are told when it goes. */
  readonly receivers: Set<Connection> = new Set();

  constructor(key: Uint8Array, first: Connection) {
    this.key = key;
    this.active = first;
  }
}

/** What a connection asks of the server. */
export interface Relay {
  readonly privateKey: PrivateKey;
  readonly publicKeyBytes: Uint8Array;
  readonly crypto: Pick<Crypto, 'x25519' | 'randomBytes'>;
  readonly clock: Clock;
  readonly counters: DerpCounters;
  readonly rateLimit: { readonly bytesPerSecond: number; readonly burstBytes: number } | undefined;
  verify(key: NodePublic, source: string): boolean | Promise<boolean>;
  join(connection: Connection, key: Uint8Array): Peer;
  /** The connection is about to be closed; its peer, if it has one, is still there to ask. */
  leave(connection: Connection): void;
  find(key: Uint8Array): Peer | undefined;
  /** The connection has something to flush at the end of the current burst. */
  dirty(connection: Connection): void;
  flush(): void;
}

type State =
  | { readonly name: 'greeting' }
  /** Frames that came while admission is decided wait here; the stream is paused. */
  | { readonly name: 'verifying'; readonly early: { type: number; payload: Uint8Array }[] }
  | { readonly name: 'active'; readonly peer: Peer }
  | { readonly name: 'closed' };

export class Connection {
  readonly source: string;
  readonly since: number;
  readonly #relay: Relay;
  readonly #stream: Duplex;
  readonly #reader: FrameReader;
  readonly #sender: FrameSender;
  readonly #bucket: TokenBucket | undefined;
  readonly #notHere: TokenBucket;
  /** Peers from which a packet was delivered here. */
  readonly #sources = new Set<Peer>();
  #state: State = { name: 'greeting' };
  #lastTarget: Peer | undefined;
  #throttled = false;
  isDirty = false;
  isHome = false;
  nextKeepAlive = 0;
  keepAliveInterval = 0;

  constructor(relay: Relay, stream: Duplex, source: string) {
    this.#relay = relay;
    this.#stream = stream;
    this.source = source;
    const now = relay.clock.now;
    this.since = now();
    this.#reader = new FrameReader(SERVER_FRAME_LIMITS, (type, payload) =>
      this.#frame(type, payload),
    );
    this.#sender = new FrameSender(stream, FrameType.recvPacket, relay.counters, now);
    this.#notHere = new TokenBucket(NOT_HERE_PER_MS, NOT_HERE_BURST, now());
    const rate = relay.rateLimit;
    if (rate !== undefined) {
      this.#bucket = new TokenBucket(rate.bytesPerSecond / 1000, rate.burstBytes, now());
    }
    stream.on('error', () => this.close());
    stream.on('close', () => this.close());
    stream.on('end', () => this.close());
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    this.#control(encodeServerKey(relay.publicKeyBytes));
    this.flush();
  }

  get state(): State['name'] {
    return this.#state.name;
  }

  get peer(): Peer | undefined {
    return this.#state.name === 'active' ? this.#state.peer : undefined;
  }

  /** For the server's sweep: milliseconds for which a write has not moved. */
  stalledFor(now: number): number {
    return this.#sender.stalledFor(now);
  }

  close(): void {
    if (this.#state.name === 'closed') return;
    this.#relay.leave(this);
    this.#state = { name: 'closed' };
    for (const peer of this.#sources) peer.receivers.delete(this);
    this.#sources.clear();
    this.#reader.stop();
    this.#stream.destroy();
    this.#relay.flush();
  }

  flush(): void {
    this.isDirty = false;
    this.#sender.flush();
  }

  /** Hands a packet from another client to this one. */
  deliver(from: Peer, packet: Uint8Array): void {
    this.#sender.sendPacket(from.key, packet);
    this.#relay.counters.packetsSent++;
    this.#relay.counters.bytesSent += packet.length;
    if (!from.receivers.has(this)) {
      from.receivers.add(this);
      this.#sources.add(from);
    }
    this.#relay.dirty(this);
  }

  /** Tells that a peer is gone; disconnected also forgets that it was ever heard here. */
  peerGone(peer: Peer): void {
    this.#sources.delete(peer);
    this.#peerGone(peer.key, PeerGoneReason.disconnected);
  }

  keepAlive(): void {
    this.#relay.counters.keepAlivesSent++;
    this.#control(encodeFrame(FrameType.keepAlive));
  }

  /** A whole frame from the server to the client, such as Restarting. */
  notify(frame: Uint8Array): void {
    this.#control(frame);
  }

  #peerGone(key: Uint8Array, reason: number): void {
    this.#relay.counters.peerGoneSent++;
    this.#control(encodeFrame(FrameType.peerGone, key, Uint8Array.of(reason)));
  }

  #control(frame: Uint8Array): void {
    this.#sender.sendControl(frame);
    this.#relay.dirty(this);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#state.name === 'closed') return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#fail(error);
    }
    this.#relay.flush();
  }

  #fail(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    this.#relay.counters.protocolErrors++;
    this.close();
  }

  #frame(type: number, payload: Uint8Array): void {
    const state = this.#state;
    switch (state.name) {
      case 'greeting':
        if (type !== FrameType.clientInfo) {
          throw new ProtocolError('ERR_MALFORMED', `frame of type ${type} before ClientInfo`);
        }
        this.#greet(payload);
        return;
      case 'verifying':
        state.early.push({ type, payload: new Uint8Array(payload) });
        return;
      case 'active':
        this.#activeFrame(state.peer, type, payload);
        return;
      case 'closed':
        return;
      default:
        state satisfies never;
    }
  }

  #greet(payload: Uint8Array): void {
    const { publicKey, nonce, box } = parseClientInfo(payload);
    const { privateKey, crypto } = this.#relay;
    const shared = boxSharedKey(crypto.x25519, privateKey.expose(), publicKey);
    // Nothing in it matters to us yet: the box proves the key, and relays of ours do not mesh.
    openClientInfo(shared, nonce, box);
    const admitted = this.#relay.verify(nodePublic(publicKey), this.source);
    if (typeof admitted === 'boolean') {
      this.#admit(admitted, publicKey, shared);
      return;
    }
    const early: { type: number; payload: Uint8Array }[] = [];
    this.#state = { name: 'verifying', early };
    this.#stream.pause();
    admitted.then(
      (yes) => this.#admitLate(yes, publicKey, shared, early),
      () => this.#admitLate(false, publicKey, shared, early),
    );
  }

  #admitLate(
    admitted: boolean,
    publicKey: Uint8Array,
    shared: Uint8Array,
    early: readonly { type: number; payload: Uint8Array }[],
  ): void {
    if (this.#state.name !== 'verifying') return;
    this.#admit(admitted, publicKey, shared);
    try {
      for (const { type, payload } of early) this.#frame(type, payload);
    } catch (error) {
      this.#fail(error);
    }
    this.#relay.flush();
    if (!this.#throttled) this.#stream.resume();
  }

  #admit(admitted: boolean, publicKey: Uint8Array, shared: Uint8Array): void {
    if (!admitted) {
      this.#relay.counters.refused++;
      this.close();
      return;
    }
    const nonce = this.#relay.crypto.randomBytes(BOX_NONCE_LENGTH);
    this.#control(sealServerInfo(shared, nonce, { version: DERP_VERSION }));
    this.#relay.counters.accepted++;
    this.#state = { name: 'active', peer: this.#relay.join(this, publicKey) };
  }

  #activeFrame(peer: Peer, type: number, payload: Uint8Array): void {
    // Of several connections of one key, the last that wrote is the one in use.
    peer.active = this;
    if (this.#bucket !== undefined) this.#charge(FRAME_HEADER_LENGTH + payload.length);
    switch (type) {
      case FrameType.sendPacket:
        this.#sendPacket(peer, payload);
        return;
      case FrameType.ping:
        if (payload.length < PING_LENGTH) throw new ProtocolError('ERR_TRUNCATED', 'short Ping');
        this.#relay.counters.pingsReceived++;
        this.#control(encodeFrame(FrameType.pong, payload.subarray(0, PING_LENGTH)));
        return;
      case FrameType.pong:
        return;
      case FrameType.notePreferred:
        if (payload.length !== 1) throw new ProtocolError('ERR_TRUNCATED', 'empty NotePreferred');
        this.isHome = payload[0] === 1;
        return;
      case FrameType.forwardPacket:
      case FrameType.watchConns:
      case FrameType.closePeer:
        throw new ProtocolError('ERR_MALFORMED', 'frame for relays of one mesh');
      default:
        this.#relay.counters.unknownFrames++;
    }
  }

  #sendPacket(peer: Peer, payload: Uint8Array): void {
    if (payload.length < KEY_LENGTH) throw new ProtocolError('ERR_TRUNCATED', 'short SendPacket');
    const packet = payload.subarray(KEY_LENGTH);
    if (packet.length > MAX_PACKET_LENGTH) throw new ProtocolError('ERR_TOO_LARGE', 'packet');
    const { counters } = this.#relay;
    counters.packetsReceived++;
    counters.bytesReceived += packet.length;
    const key = payload.subarray(0, KEY_LENGTH);
    let target = this.#lastTarget;
    if (target === undefined || target.connections.size === 0 || !equalBytes(target.key, key)) {
      target = this.#relay.find(key);
      this.#lastTarget = target;
    }
    if (target !== undefined) {
      target.active.deliver(peer, packet);
      return;
    }
    counters.droppedUnknownDestination++;
    if (this.#notHereWanted(packet)) this.#peerGone(key, PeerGoneReason.notHere);
  }

  #notHereWanted(packet: Uint8Array): boolean {
    return isDisco(packet) && this.#notHere.take(1, this.#relay.clock.now());
  }

  /** Delays reading when the client is over its rate: what was read is relayed all the same. */
  #charge(bytes: number): void {
    const wait = this.#bucket!.spend(bytes, this.#relay.clock.now());
    if (wait <= 0 || this.#throttled) return;
    this.#throttled = true;
    this.#stream.pause();
    this.#relay.clock.schedule(wait, () => {
      this.#throttled = false;
      if (this.#state.name === 'active') this.#stream.resume();
    });
  }
}
