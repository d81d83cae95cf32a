// A client of one relay: dial, greet, then packets to and from keys until either side ends it. One object is one
// connection; the caller makes a new one when it ends, after the time its Backoff says.
import type { Duplex } from 'node:stream';
import { nodeCrypto } from '@cove/crypto';
import { ProtocolError, toHex, utf8DecodeLossy } from '@cove/protocol/bytes';
import { BOX_NONCE_LENGTH, boxSharedKey, type Crypto } from '@cove/protocol/crypto';
import {
  CLIENT_FRAME_LIMITS,
  DERP_VERSION,
  encodeFrame,
  FRAME_HEADER_LENGTH,
  FrameReader,
  FrameType,
  MAX_PACKET_LENGTH,
  PING_LENGTH,
  parsePeerGone,
  parseRestarting,
  parseServerKey,
} from '@cove/protocol/derp';
import { openServerInfo, sealClientInfo } from '@cove/protocol/derpinfo';
import { KEY_LENGTH, type NodePublic, nodePublic, type PrivateKey } from '@cove/protocol/keys';
import type { DERPNode, DERPRegion } from '@cove/protocol/tailcfg';
import { type Clock, systemClock } from './clock.ts';
import { type DialOptions, dialNode } from './dial.ts';
import { DerpError } from './errors.ts';
import { FrameSender } from './framesender.ts';
import { hostHeader, upgradeToDerp } from './handshake.ts';
import { TokenBucket } from './tokenbucket.ts';

export { Backoff } from './backoff.ts';
export { type Clock, systemClock } from './clock.ts';
export { DerpError, type DerpErrorCode } from './errors.ts';
export { lookupAddress } from './lookup.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Relays send a KeepAlive every 60 to 65 s. */
const READ_TIMEOUT_MS = 120_000;
/** Ours: as the server's, see there. */
const WRITE_TIMEOUT_MS = 10_000;
const WATCH_MS = 1_000;
const PING_TIMEOUT_MS = 5_000;
/** Ours: how long what waits may take to leave on close(). */
const CLOSE_TIMEOUT_MS = 1_000;

/** What the owner of a connection is told, synchronously as frames arrive. It must not throw. */
export interface DerpHandler {
  /** Both are borrowed until it returns, and may be overwritten by it (decryption in place). */
  packet(source: Uint8Array, packet: Uint8Array): void;
  /** reason 0: it disconnected from this relay; 1: it is not here, after a packet for it. The key is borrowed. */
  peerGone?(key: Uint8Array, reason: number): void;
  /** A problem in words for people; '' when it is over. */
  health?(problem: string): void;
  /** The relay restarts: come back after, and keep trying for, so many milliseconds. */
  restarting?(reconnectInMs: number, tryForMs: number): void;
  /** The system has taken everything again after the connection was blocked: bufferedBytes is 0. */
  drained?(): void;
  /** Once, and the last call: without error when close() was called here. */
  closed?(error: DerpError | undefined): void;
}

export interface DerpClientOptions {
  /** Nodes are tried in order, those with STUNOnly left out. */
  readonly region: Pick<DERPRegion, 'RegionID' | 'Nodes'>;
  /** The node key. */
  readonly privateKey: PrivateKey;
  readonly handler: DerpHandler;
  /** Aborts connecting; a connection that stands is ended by close(). */
  readonly signal?: AbortSignal;
  /** Certificates trusted besides pins, PEM; the platform's own if absent. */
  readonly ca?: string | readonly string[];
  readonly preferIPv6?: boolean;
  /** No TLS: for a relay on this machine that was started without. */
  readonly plain?: boolean;
  readonly transport?: 'upgrade' | 'websocket';
  /** A connected stream to a node, TLS done, instead of ours: proxies, simulations. */
  readonly dial?: (node: DERPNode, signal: AbortSignal) => Promise<Duplex>;
  readonly isProber?: boolean;
  readonly appName?: string;
  readonly crypto?: Pick<Crypto, 'x25519' | 'randomBytes'>;
  readonly clock?: Clock;
}

export interface DerpClientMetrics {
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly droppedQueueHead: number;
  /** Packets over the rate the relay allows, dropped here as it asks. */
  readonly droppedRate: number;
  readonly droppedClosed: number;
  readonly droppedControl: number;
}

interface PendingPing {
  readonly sentAt: number;
  settle(error: unknown, roundTripMs?: number): void;
}

type State = 'awaitServerKey' | 'awaitServerInfo' | 'open' | 'closed';

export class DerpClient implements AsyncDisposable {
  readonly node: DERPNode;
  readonly regionId: number;
  /** Own address of the connection, to see whether its interface is still the one in use. */
  readonly localAddress: string | undefined;
  readonly #options: DerpClientOptions;
  readonly #stream: Duplex;
  readonly #handler: DerpHandler;
  readonly #reader: FrameReader;
  readonly #sender: FrameSender;
  readonly #clock: Clock;
  readonly #crypto: Pick<Crypto, 'x25519' | 'randomBytes'>;
  readonly #pings = new Map<string, PendingPing>();
  readonly #counters = {
    packetsSent: 0,
    packetsReceived: 0,
    droppedQueueHead: 0,
    droppedRate: 0,
    droppedClosed: 0,
    droppedControl: 0,
  };
  #serverKey: Uint8Array = new Uint8Array(KEY_LENGTH);
  #sharedKey: Uint8Array = new Uint8Array(KEY_LENGTH);
  #bucket: TokenBucket | undefined;
  #flushScheduled = false;
  #watch: { cancel(): void } | undefined;
  #lastReceivedAt: number;
  #lastSentAt: number;
  #state: State = 'awaitServerKey';
  #greeted: (error?: DerpError) => void = () => {};

  /**
   * Dials a region's relay and completes the handshake, within 10 s. Rejects with DerpError (ERR_UNREACHABLE,
   * ERR_TIMEOUT, ERR_CERTIFICATE, ERR_REFUSED, ERR_PROTOCOL; ERR_CLOSED when the relay does not admit the key),
   * or with the signal's reason.
   */
  static async connect(options: DerpClientOptions): Promise<DerpClient> {
    options.signal?.throwIfAborted();
    const abort = new AbortController();
    const onAbort = (): void => abort.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    const timer = (options.clock ?? systemClock).schedule(CONNECT_TIMEOUT_MS, () =>
      abort.abort(new DerpError('ERR_TIMEOUT', 'the relay did not complete the handshake')),
    );
    try {
      return await DerpClient.#connectRegion(options, abort.signal);
    } finally {
      timer.cancel();
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  static async #connectRegion(
    options: DerpClientOptions,
    signal: AbortSignal,
  ): Promise<DerpClient> {
    const { RegionID, Nodes } = options.region;
    let cause: unknown;
    for (const node of Nodes) {
      if (node.STUNOnly) continue;
      try {
        return await DerpClient.#connectNode(options, node, signal);
      } catch (error) {
        signal.throwIfAborted();
        cause = error;
      }
    }
    if (cause instanceof DerpError) throw cause;
    throw new DerpError('ERR_UNREACHABLE', `no relay of region ${RegionID} reached`, { cause });
  }

  static async #connectNode(
    options: DerpClientOptions,
    node: DERPNode,
    signal: AbortSignal,
  ): Promise<DerpClient> {
    // Few need `ws`, and loading it takes longer than all the rest of the client.
    const webSocket =
      options.transport === 'websocket' ? await import('./websocket.ts') : undefined;
    const socket = await (options.dial?.(node, signal) ??
      dialNode(node, dialOptions(options, signal)));
    const { localAddress } = socket as { localAddress?: string };
    const defaultPort = options.plain ? 80 : 443;
    const idealNode = options.region.Nodes[0]!.Name;
    const stream =
      webSocket !== undefined
        ? await webSocket.openWebSocket(socket, hostHeader(node, defaultPort), signal)
        : await upgradeToDerp(socket, node, {
            signal,
            defaultPort,
            idealNode: node.Name === idealNode ? undefined : idealNode,
          });
    const client = new DerpClient(options, node, stream, localAddress);
    await client.#greeting(signal);
    return client;
  }

  private constructor(
    options: DerpClientOptions,
    node: DERPNode,
    stream: Duplex,
    localAddress: string | undefined,
  ) {
    this.node = node;
    this.regionId = options.region.RegionID;
    this.localAddress = localAddress;
    this.#options = options;
    this.#stream = stream;
    this.#handler = options.handler;
    this.#clock = options.clock ?? systemClock;
    this.#crypto = options.crypto ?? nodeCrypto();
    this.#lastReceivedAt = this.#clock.now();
    this.#lastSentAt = this.#lastReceivedAt;
    this.#reader = new FrameReader(CLIENT_FRAME_LIMITS, (type, payload) =>
      this.#frame(type, payload),
    );
    this.#sender = new FrameSender(
      stream,
      FrameType.sendPacket,
      this.#counters,
      this.#clock.now,
      () => this.#handler.drained?.(),
    );
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    stream.on('end', () => this.#finish(closedByRelay()));
    stream.on('error', (cause) =>
      this.#finish(
        new DerpError('ERR_CLOSED', `connection to the relay broke: ${cause.message}`, { cause }),
      ),
    );
    stream.on('close', () => this.#finish(closedByRelay()));
  }

  /** Bytes sent and not yet taken by the system; beyond 128 KiB packets wait, and then the oldest are dropped. */
  get bufferedBytes(): number {
    return this.#sender.bufferedBytes;
  }

  /** The relay's key. */
  get serverKey(): NodePublic {
    return nodePublic(this.#serverKey);
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The clock's time at which bytes last came. */
  get lastReceivedAt(): number {
    return this.#lastReceivedAt;
  }

  /** The clock's time at which a packet was last sent: the base of closing what is idle. */
  get lastSentAt(): number {
    return this.#lastSentAt;
  }

  get metrics(): DerpClientMetrics {
    return { ...this.#counters };
  }

  /**
   * Sends a packet of at most 65536 bytes to a 32-byte key; both are copied. When the connection does not keep up,
   * 32 packets (and 32 of disco) wait and the oldest goes. False if it was dropped at once: closed, or over the
   * rate that the relay set.
   */
  send(destination: Uint8Array, packet: Uint8Array): boolean {
    if (destination.length !== KEY_LENGTH) {
      throw new RangeError(`destination of ${destination.length} bytes, not ${KEY_LENGTH}`);
    }
    if (packet.length > MAX_PACKET_LENGTH) {
      throw new RangeError(`packet of ${packet.length} bytes, more than ${MAX_PACKET_LENGTH}`);
    }
    if (this.#state !== 'open') {
      this.#counters.droppedClosed++;
      return false;
    }
    const now = this.#clock.now();
    const cost = FRAME_HEADER_LENGTH + KEY_LENGTH + packet.length;
    if (this.#bucket !== undefined && !this.#bucket.take(cost, now)) {
      this.#counters.droppedRate++;
      return false;
    }
    this.#lastSentAt = now;
    this.#counters.packetsSent++;
    this.#sender.sendPacket(destination, packet);
    this.#scheduleFlush();
    return true;
  }

  /** Says whether this relay is the node's home. */
  notePreferred(isHome: boolean): void {
    this.#control(encodeFrame(FrameType.notePreferred, Uint8Array.of(isHome ? 1 : 0)));
  }

  /** The round trip to the relay in milliseconds. Rejects with ERR_TIMEOUT, ERR_CLOSED or the signal's reason. */
  ping(options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<number> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (this.#state !== 'open') throw new DerpError('ERR_CLOSED', 'the connection is closed');
      signal?.throwIfAborted();
      const data = this.#crypto.randomBytes(PING_LENGTH);
      const name = toHex(data);
      const onAbort = (): void => ping.settle(signal?.reason);
      const timer = this.#clock.schedule(options.timeoutMs ?? PING_TIMEOUT_MS, () =>
        ping.settle(new DerpError('ERR_TIMEOUT', 'the relay did not answer a ping')),
      );
      const ping: PendingPing = {
        sentAt: this.#clock.now(),
        settle: (error, roundTripMs) => {
          this.#pings.delete(name);
          timer.cancel();
          signal?.removeEventListener('abort', onAbort);
          if (roundTripMs === undefined) reject(error);
          else resolve(roundTripMs);
        },
      };
      this.#pings.set(name, ping);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#control(encodeFrame(FrameType.ping, data));
    });
  }

  /** Sends what waits, as far as the connection takes it, and ends it. */
  async close(): Promise<void> {
    if (this.#state !== 'closed') {
      this.#sender.flush();
      this.#finish(undefined);
    }
    if (this.#stream.closed) return;
    await new Promise<void>((resolve) => this.#stream.once('close', () => resolve()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #greeting(signal: AbortSignal): Promise<void> {
    const onAbort = (): void =>
      this.#finish(new DerpError('ERR_TIMEOUT', 'handshake given up', { cause: signal.reason }));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#greeted = (error) => (error === undefined ? resolve() : reject(error));
        if (signal.aborted) onAbort();
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    this.#watchSoon();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#state === 'closed') return;
    this.#lastReceivedAt = this.#clock.now();
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#finish(new DerpError('ERR_PROTOCOL', error.message, { cause: error }));
    }
  }

  #frame(type: number, payload: Uint8Array): void {
    if (this.#state === 'awaitServerKey') {
      if (type !== FrameType.serverKey) {
        throw new ProtocolError('ERR_MALFORMED', `frame of type ${type} before ServerKey`);
      }
      this.#sendClientInfo(parseServerKey(payload));
      return;
    }
    switch (type) {
      case FrameType.recvPacket:
        if (payload.length < KEY_LENGTH) {
          throw new ProtocolError('ERR_TRUNCATED', 'short RecvPacket');
        }
        this.#counters.packetsReceived++;
        this.#handler.packet(payload.subarray(0, KEY_LENGTH), payload.subarray(KEY_LENGTH));
        return;
      case FrameType.serverInfo:
        this.#serverInfo(payload);
        return;
      case FrameType.peerGone: {
        const { key, reason } = parsePeerGone(payload);
        this.#handler.peerGone?.(key, reason);
        return;
      }
      case FrameType.ping:
        if (payload.length >= PING_LENGTH) {
          this.#control(encodeFrame(FrameType.pong, payload.subarray(0, PING_LENGTH)));
        }
        return;
      case FrameType.pong: {
        const ping = this.#pings.get(toHex(payload.subarray(0, PING_LENGTH)));
        ping?.settle(undefined, this.#clock.now() - ping.sentAt);
        return;
      }
      case FrameType.health:
        this.#handler.health?.(utf8DecodeLossy(payload));
        return;
      case FrameType.restarting: {
        const { reconnectInMs, tryForMs } = parseRestarting(payload);
        this.#handler.restarting?.(reconnectInMs, tryForMs);
        return;
      }
    }
  }

  #sendClientInfo(serverKey: Uint8Array): void {
    const { privateKey, isProber = false, appName = '' } = this.#options;
    this.#serverKey = serverKey;
    this.#sharedKey = boxSharedKey(this.#crypto.x25519, privateKey.expose(), serverKey);
    this.#state = 'awaitServerInfo';
    const nonce = this.#crypto.randomBytes(BOX_NONCE_LENGTH);
    const info = { version: DERP_VERSION, canAckPings: true, isProber, appName };
    const publicKey = privateKey.publicBytes(this.#crypto.x25519);
    this.#control(sealClientInfo(this.#sharedKey, publicKey, nonce, info));
  }

  #serverInfo(payload: Uint8Array): void {
    const info = openServerInfo(this.#sharedKey, payload);
    const { tokenBucketBytesPerSecond: rate = 0, tokenBucketBytesBurst: burst = 0 } = info;
    this.#bucket =
      rate > 0 && burst > 0 ? new TokenBucket(rate / 1000, burst, this.#clock.now()) : undefined;
    if (this.#state !== 'awaitServerInfo') return;
    this.#state = 'open';
    this.#greeted();
  }

  #control(frame: Uint8Array): void {
    if (this.#state === 'closed') return;
    this.#sender.sendControl(frame);
    this.#scheduleFlush();
  }

  /** One write for all that is sent before control returns to the event loop. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    this.#sender.flush();
  };

  #watchSoon(): void {
    if (this.#state === 'closed') return;
    this.#watch = this.#clock.schedule(WATCH_MS, () => {
      const now = this.#clock.now();
      if (now - this.#lastReceivedAt >= READ_TIMEOUT_MS) {
        this.#finish(new DerpError('ERR_TIMEOUT', 'nothing heard from the relay for 120 s'));
      } else if (this.#sender.stalledFor(now) >= WRITE_TIMEOUT_MS) {
        this.#finish(new DerpError('ERR_TIMEOUT', 'the relay takes nothing any more'));
      } else {
        this.#watchSoon();
      }
    });
  }

  #finish(error: DerpError | undefined): void {
    const before = this.#state;
    if (before === 'closed') return;
    this.#state = 'closed';
    this.#watch?.cancel();
    this.#reader.stop();
    const cause = error ?? new DerpError('ERR_CLOSED', 'the connection was closed');
    for (const ping of [...this.#pings.values()]) ping.settle(cause);
    if (error === undefined) {
      this.#stream.end(() => this.#stream.destroy());
      this.#clock.schedule(CLOSE_TIMEOUT_MS, () => this.#stream.destroy());
    } else {
      this.#stream.destroy();
    }
    if (before === 'open') this.#handler.closed?.(error);
    else this.#greeted(cause);
  }
}

function dialOptions(options: DerpClientOptions, signal: AbortSignal): DialOptions {
  return {
    signal,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.preferIPv6 === undefined ? {} : { preferIPv6: options.preferIPv6 }),
    ...(options.plain === undefined ? {} : { plain: options.plain }),
  };
}

function closedByRelay(): DerpError {
  return new DerpError('ERR_CLOSED', 'the relay closed the connection');
}
