// What passes between a Device and the program around it: peers as the caller sees them, the sink that takes
// what the device produces, and the options. Times are monotonic fractional milliseconds, all of one clock.
import type { Crypto } from '@cove/protocol/crypto';
import type { PrivateKey } from '@cove/protocol/keys';
import type { Prefix } from '@cove/protocol/netaddr';

/** A peer as configured. Context is whatever the caller hangs on a peer, so that it needs no table of its own. */
export interface PeerConfig<Context = unknown> {
  /** 32 bytes, copied. */
  readonly publicKey: Uint8Array;
  /** Inner addresses that are this peer's, as source and as destination. Host bits are ignored. Copied. */
  readonly allowedIPs: readonly Prefix[];
  /** 32 bytes, copied; absent means none (32 zero bytes). */
  readonly presharedKey?: Uint8Array | undefined;
  /** Milliseconds between keepalives that hold NAT mappings; absent or 0: none. */
  readonly persistentKeepalive?: number | undefined;
  readonly context: Context;
}

/** A peer of a Device, made by it. Read-only for callers, except `context`. */
export interface Peer<Context = unknown> {
  /** 32 bytes; do not change them. */
  readonly publicKey: Uint8Array;
  context: Context;
  /** Came through `lookupPeer`; the device forgets it again when its keys are wiped. */
  readonly onDemand: boolean;
  /** False once removed from the device; calls with it then do nothing. */
  readonly live: boolean;
  /** Bytes of WireGuard datagrams (headers, padding, handshakes) that left and that authenticated. */
  readonly txBytes: number;
  readonly rxBytes: number;
  /** When the last handshake completed, device clock; undefined: never. */
  readonly lastHandshake: number | undefined;
  /** Whether a packet sent now would leave at once instead of waiting for a handshake. */
  hasSession(now: number): boolean;
}

/**
 * Takes what the device produces, synchronously and inside receive, send, tick or removal. Buffers are borrowed
 * for the call only; `deliver` may overwrite its bytes. A sink method may call `send` again, also for the same
 * peer, as long as it leaves the borrowed bytes alone until it is done with them; it must not call `receive` or
 * `tick`, and must not throw.
 */
export interface DeviceSink<Context = unknown, From = unknown> {
  /** A WireGuard datagram for this peer, by whatever path the caller holds for it. */
  transmit(peer: Peer<Context>, buf: Uint8Array, offset: number, length: number): void;
  /**
   * A decrypted inner IP packet, trimmed to its IP length. Its source address HAS been checked: the longest
   * match among all allowed IPs is this very peer. Nothing else of it has (no filter, no checksum).
   */
  deliver(peer: Peer<Context>, buf: Uint8Array, offset: number, length: number): void;
  /** A cookie reply for the sender of a datagram that belongs to no peer yet: back where it came from. */
  reply(buf: Uint8Array, offset: number, length: number, from: From): void;
  /**
   * Something of this peer's authenticated that came from another `from` (compared with ===) than the previous
   * one. For an initiation it is called before the response goes out through `transmit`.
   */
  roamed(peer: Peer<Context>, from: From): void;
  /** A session is up for sending; called before staged packets leave, so what it sends goes first. */
  handshakeComplete(peer: Peer<Context>): void;
  /** 90 s of initiations without an answer. Staged packets are gone; the next send starts again. */
  handshakeFailed(peer: Peer<Context>): void;
  /** A peer that came through `lookupPeer` was idle until its keys were wiped, and is no longer `live`. */
  peerForgotten(peer: Peer<Context>): void;
  /**
   * Stable bytes for a path, asked for only under load: 4 or 16 address bytes and 2 port bytes for UDP, any
   * per-sender value of another length for a relay. Borrowed until the call returns.
   */
  sourceBytes(from: From): Uint8Array;
}

/** Unix time: whole seconds, and nanoseconds below a second. */
export interface WallTime {
  readonly seconds: number;
  readonly nanos: number;
}

export interface DeviceOptions<Context = unknown, From = unknown> {
  readonly privateKey: PrivateKey;
  readonly crypto: Crypto;
  readonly sink: DeviceSink<Context, From>;
  /** Wall clock for handshake timestamps; it may step back, timestamps then still increase. */
  readonly wallClock: () => WallTime;
  /** Asked when an initiation comes from a key that is no peer; undefined refuses it. */
  readonly lookupPeer?: ((publicKey: Uint8Array) => PeerConfig<Context> | undefined) | undefined;
  /** Padding never makes an inner packet longer than this. Default 1280. */
  readonly mtu?: number | undefined;
}
