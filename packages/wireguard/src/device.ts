// One WireGuard interface: peers by key and by index, and what happens on receive, send and tick.
import type { Prefix } from '@cove/protocol/netaddr';
import type { DeviceOptions, Peer, PeerConfig } from './types.ts';

export class Device<Context = unknown, From = unknown> {
  /** 32 bytes; do not change them. */
  readonly publicKey: Uint8Array = new Uint8Array(32);
  /** Events since the start, indexed by `Count`, named by `COUNT_NAMES`. */
  readonly counters: Uint32Array = new Uint32Array(32);

  constructor(options: DeviceOptions<Context, From>) {
    void options;
  }

  /** When `tick` should be called next; undefined: not before something else happens. Ask after every call. */
  get nextTick(): number | undefined {
    return undefined;
  }

  /** Throws RangeError for a key that is already a peer or this device's own, or of a wrong length. */
  addPeer(config: PeerConfig<Context>, now: number): Peer<Context> {
    throw new Error(`not built: ${String(config)} ${now}`);
  }

  /** Wipes the peer's keys and forgets it, without telling it or the sink. */
  removePeer(peer: Peer<Context>): void {
    void peer;
  }

  peerByKey(publicKey: Uint8Array): Peer<Context> | undefined {
    void publicKey;
    return undefined;
  }

  peers(): IterableIterator<Peer<Context>> {
    throw new Error('not built');
  }

  /** Replaces the peer's allowed IPs; a prefix that was another peer's moves. */
  setAllowedIPs(peer: Peer<Context>, prefixes: readonly Prefix[]): void {
    void [peer, prefixes];
  }

  /** Wipes the session, keeping peer and staged packets: the next send starts a handshake (the peer restarted). */
  resetSession(peer: Peer<Context>): void {
    void peer;
  }

  /** The peer whose allowed IPs hold this address (4 or 16 bytes at buf[offset]) most specifically. */
  route(addr: Uint8Array, offset?: number, length?: number): Peer<Context> | undefined {
    void [addr, offset, length];
    return undefined;
  }

  /** As route, for the destination of an IP packet; undefined also for what is no IP packet. */
  routePacket(buf: Uint8Array, offset: number, length: number): Peer<Context> | undefined {
    void [buf, offset, length];
    return undefined;
  }

  /**
   * Sends one inner IP packet at buf[offset, offset + length) to a peer. The caller owns the slot
   * `[16 header][packet][padding to 16][16 tag]` around it: offset >= 16, and
   * buf.length >= offset + length rounded up to 16 + 16 (RangeError otherwise). With a session the slot is
   * sealed in place and passed to `transmit` before the call returns true; without, the packet is copied and
   * staged (oldest dropped beyond 128), a handshake is started, and the call returns false.
   */
  send(peer: Peer<Context>, buf: Uint8Array, offset: number, length: number, now: number): boolean {
    void [peer, buf, offset, length, now];
    return false;
  }

  /** Starts a handshake if there is no session, unless one was started in the last 5 s; else sends a keepalive. */
  wake(peer: Peer<Context>, now: number): void {
    void [peer, now];
  }

  /**
   * Takes one datagram at buf[offset, offset + length), which is overwritten: transport data is opened in place
   * and delivered from there. `from` names the path for reply, roamed and sourceBytes: a number, or the same
   * object for the same path every time. Returns the `Count` under which the datagram was filed; never throws,
   * whatever the bytes.
   */
  receive(buf: Uint8Array, offset: number, length: number, now: number, from: From): number {
    void [buf, offset, length, now, from];
    return 0;
  }

  /** Runs the timers that are due: a bounded number of them, so nextTick may be due still. */
  tick(now: number): void {
    void now;
  }

  /** Wipes every key and forgets every peer. The device is then inert: receive files everything as malformed. */
  close(): void {}
}
