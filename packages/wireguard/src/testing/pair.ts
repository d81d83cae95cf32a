// Two devices joined in memory under a virtual clock, for tests. Datagrams arrive at once and in order, unless
// the test takes the wire into its own hands.
import { randomBytes as nodeRandomBytes } from 'node:crypto';
import type { Crypto } from '@cove/protocol/crypto';
import { PrivateKey } from '@cove/protocol/keys';
import { type Prefix, parsePrefix } from '@cove/protocol/netaddr';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import { Device } from '../device.ts';
import type { DeviceSink, Peer, PeerConfig } from '../types.ts';

export const strongBytes = (n: number): Uint8Array => new Uint8Array(nodeRandomBytes(n));
export const testCrypto: Crypto = nobleCrypto(strongBytes);
/** Unix seconds at time 0 of the virtual clock. */
export const EPOCH = 1_700_000_000;

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`not a prefix: ${text}`);
  return parsed;
}

/** An IPv4 packet of `length` bytes whose payload says which one it is. */
export function ipv4(source: string, destination: string, length: number, mark = 0): Uint8Array {
  const packet = new Uint8Array(length);
  packet[0] = 0x45;
  packet[2] = length >> 8;
  packet[3] = length;
  packet.set(source.split('.').map(Number), 12);
  packet.set(destination.split('.').map(Number), 16);
  for (let i = 20; i < length; i++) packet[i] = mark;
  return packet;
}

/** The packet in a slot of its own with room around it. */
export function slotOf(packet: Uint8Array): Uint8Array {
  const slot = new Uint8Array(16 + packet.length + 16 + 16);
  slot.set(packet, 16);
  return slot;
}

export interface Datagram {
  readonly from: 'a' | 'b';
  readonly bytes: Uint8Array;
  readonly at: number;
}

export interface EndOptions {
  readonly privateKey: PrivateKey;
  readonly crypto?: Crypto;
  readonly now?: () => number;
  readonly skew?: () => number;
  readonly lookupPeer?: (publicKey: Uint8Array) => PeerConfig<string> | undefined;
  readonly mtu?: number | undefined;
}

/** A device whose sink writes everything down. */
export class End {
  readonly device: Device<string, unknown>;
  readonly privateKey: PrivateKey;
  readonly sent: { readonly peer: string; readonly bytes: Uint8Array }[] = [];
  readonly replies: { readonly from: unknown; readonly bytes: Uint8Array }[] = [];
  readonly delivered: Uint8Array[] = [];
  readonly events: string[] = [];
  onTransmit: (bytes: Uint8Array) => void = () => {};
  onReply: (bytes: Uint8Array) => void = () => {};
  onComplete: (peer: Peer<string>) => void = () => {};

  constructor(options: EndOptions) {
    this.privateKey = options.privateKey;
    const now = options.now ?? (() => 0);
    const skew = options.skew ?? (() => 0);
    const sink: DeviceSink<string, unknown> = {
      transmit: (peer, buf, offset, length) => {
        const bytes = buf.slice(offset, offset + length);
        this.sent.push({ peer: peer.context, bytes });
        this.onTransmit(bytes);
      },
      deliver: (_peer, buf, offset, length) => {
        this.delivered.push(buf.slice(offset, offset + length));
      },
      reply: (buf, offset, length, from) => {
        const bytes = buf.slice(offset, offset + length);
        this.replies.push({ from, bytes });
        this.onReply(bytes);
      },
      roamed: (peer, from) => void this.events.push(`roamed ${peer.context} ${String(from)}`),
      handshakeComplete: (peer) => {
        this.events.push(`complete ${peer.context}`);
        this.onComplete(peer);
      },
      handshakeFailed: (peer) => void this.events.push(`failed ${peer.context}`),
      peerForgotten: (peer) => void this.events.push(`forgotten ${peer.context}`),
      sourceBytes: (from) => new TextEncoder().encode(String(from)),
    };
    this.device = new Device<string, unknown>({
      privateKey: options.privateKey,
      crypto: options.crypto ?? testCrypto,
      sink,
      wallClock: () => {
        const ms = Math.floor(now() + skew());
        return { seconds: EPOCH + Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
      },
      lookupPeer: options.lookupPeer,
      mtu: options.mtu,
    });
  }

  count(reason: number): number {
    return this.device.counters[reason]!;
  }
}

export interface PairOptions {
  readonly crypto?: Crypto;
  readonly presharedKey?: Uint8Array;
  readonly persistentKeepalive?: number;
  readonly mtu?: number;
}

export const A_ADDRESS = '100.64.0.1';
export const B_ADDRESS = '100.64.0.2';

/** a and b know each other; a's peer is `toB`, b's is `toA`. */
export class Pair {
  now = 0;
  a: End;
  b: End;
  toB: Peer<string>;
  toA: Peer<string>;
  /** Everything that ever left, with its time. */
  readonly log: Datagram[] = [];
  /** Under way. */
  readonly wire: Datagram[] = [];
  /** True loses the datagram. */
  loses: (datagram: Datagram) => boolean = () => false;
  skewA = 0;
  readonly #options: PairOptions;

  constructor(options: PairOptions = {}) {
    this.#options = options;
    this.a = this.#end('a', PrivateKey.generate(strongBytes));
    this.b = this.#end('b', PrivateKey.generate(strongBytes));
    this.toB = this.a.device.addPeer(this.#config(this.b, 'b', B_ADDRESS), 0);
    this.toA = this.b.device.addPeer(this.#config(this.a, 'a', A_ADDRESS), 0);
  }

  #end(name: 'a' | 'b', privateKey: PrivateKey): End {
    const end = new End({
      privateKey,
      mtu: this.#options.mtu,
      now: () => this.now,
      skew: () => (name === 'a' ? this.skewA : 0),
      ...(this.#options.crypto ? { crypto: this.#options.crypto } : {}),
    });
    const put = (bytes: Uint8Array): void => {
      const datagram = { from: name, bytes, at: this.now } as const;
      this.log.push(datagram);
      this.wire.push(datagram);
    };
    end.onTransmit = put;
    end.onReply = put;
    return end;
  }

  #config(remote: End, context: string, address: string): PeerConfig<string> {
    return {
      publicKey: remote.device.publicKey,
      allowedIPs: [prefix(`${address}/32`)],
      presharedKey: this.#options.presharedKey,
      persistentKeepalive: context === 'b' ? this.#options.persistentKeepalive : undefined,
      context,
    };
  }

  /** b loses its memory but keeps its key. */
  restartB(): void {
    this.b = this.#end('b', this.b.privateKey);
    this.toA = this.b.device.addPeer(this.#config(this.a, 'a', A_ADDRESS), this.now);
  }

  sendAB(length = 100, mark = 0): boolean {
    const slot = slotOf(ipv4(A_ADDRESS, B_ADDRESS, length, mark));
    return this.a.device.send(this.toB, slot, 16, length, this.now);
  }

  sendBA(length = 100, mark = 0): boolean {
    const slot = slotOf(ipv4(B_ADDRESS, A_ADDRESS, length, mark));
    return this.b.device.send(this.toA, slot, 16, length, this.now);
  }

  /** Hands one datagram to its receiver; the Count it was filed under. */
  arrive(datagram: Datagram, from: unknown = datagram.from): number {
    const end = datagram.from === 'a' ? this.b : this.a;
    const bytes = datagram.bytes.slice();
    return end.device.receive(bytes, 0, bytes.length, this.now, from);
  }

  /** Everything under way arrives, and what that brings. */
  settle(): void {
    for (let i = 0; this.wire.length > 0; i++) {
      if (i > 10_000) throw new Error('the wire never falls silent');
      const datagram = this.wire.shift()!;
      if (!this.loses(datagram)) this.arrive(datagram);
    }
  }

  /** Time passes, timers fire, everything sent arrives. */
  advanceTo(until: number): void {
    this.settle();
    for (let i = 0; i < 100_000; i++) {
      const due = Math.min(this.a.device.nextTick ?? Infinity, this.b.device.nextTick ?? Infinity);
      if (due > until) {
        this.now = until;
        return;
      }
      this.now = Math.max(this.now, due);
      this.a.device.tick(this.now);
      this.b.device.tick(this.now);
      this.settle();
    }
    throw new Error('the timers never rest');
  }

  advance(by: number): void {
    this.advanceTo(this.now + by);
  }

  /** A session in both directions, started by a; the log is emptied. */
  connect(): void {
    this.sendAB();
    this.settle();
    this.a.delivered.length = 0;
    this.b.delivered.length = 0;
    this.log.length = 0;
  }

  /** What was sent since, as `a1 b2 a4` (sender, message type), `a0` for a keepalive. */
  get trace(): string {
    return this.log
      .map(({ from, bytes }) => `${from}${bytes.length === 32 && bytes[0] === 4 ? 0 : bytes[0]}`)
      .join(' ');
  }
}
