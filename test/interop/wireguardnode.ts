// A WireGuard node for wireguard.test.ts, as a program of its own so that it can run in a namespace: one UDP
// socket, one peer, an inner address that answers ICMP echo, and on request pings of its own. Prints one line per
// event: `listening`, `complete`, `pong <seq> <ms>`.
//
// Argument: JSON of NodeConfig. Keys are base64, as `wg` prints them.
import { randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { nodeCrypto } from '@cove/crypto';
import type { Crypto } from '@cove/protocol/crypto';
import { PrivateKey } from '@cove/protocol/keys';
import { parseAddr } from '@cove/protocol/netaddr';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import { Device, type Peer } from '@cove/wireguard';

export interface NodeConfig {
  readonly crypto: 'noble' | 'node';
  readonly privateKey: string;
  readonly port: number;
  readonly address: string;
  readonly peer: {
    readonly publicKey: string;
    readonly presharedKey?: string;
    readonly address: string;
    readonly endpoint?: { readonly host: string; readonly port: number };
  };
  /** Echo requests to send, one every `interval` milliseconds. */
  readonly pings: number;
  readonly interval: number;
  readonly size: number;
}

export const PROGRAM: string = fileURLToPath(import.meta.url);

function checksum(buf: Uint8Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i += 2) sum += (buf[i]! << 8) | (i + 1 < to ? buf[i + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function writeU16(buf: Uint8Array, at: number, value: number): void {
  buf[at] = value >> 8;
  buf[at + 1] = value;
}

class Node {
  readonly #config: NodeConfig;
  readonly #socket = createSocket('udp4');
  readonly #device: Device<undefined, string>;
  readonly #peer: Peer<undefined>;
  readonly #pinged = new Map<number, number>();
  #endpoint: { host: string; port: number } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: NodeConfig) {
    this.#config = config;
    this.#endpoint = config.peer.endpoint;
    const bytes = (n: number): Uint8Array => new Uint8Array(randomBytes(n));
    const crypto: Crypto = config.crypto === 'noble' ? nobleCrypto(bytes) : nodeCrypto();
    this.#device = new Device<undefined, string>({
      privateKey: PrivateKey.fromBytes(Buffer.from(config.privateKey, 'base64')),
      crypto,
      wallClock: () => {
        const now = Date.now();
        return { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1e6 };
      },
      sink: {
        transmit: (_peer, buf, offset, length) =>
          this.#write(new Uint8Array(buf.subarray(offset, offset + length))),
        reply: (buf, offset, length) =>
          this.#write(new Uint8Array(buf.subarray(offset, offset + length))),
        deliver: (_peer, buf, offset, length) =>
          this.#packet(new Uint8Array(buf.subarray(offset, offset + length))),
        roamed: (_peer, from) => {
          const [host, port] = from.split(' ');
          this.#endpoint = { host: host!, port: Number(port) };
        },
        handshakeComplete: () => console.log(`complete ${Date.now()}`),
        handshakeFailed: () => console.log('failed'),
        peerForgotten: () => {},
        sourceBytes: (from) => Buffer.from(from),
      },
    });
    this.#peer = this.#device.addPeer(
      {
        publicKey: Buffer.from(config.peer.publicKey, 'base64'),
        allowedIPs: [{ addr: parseAddr(config.peer.address)!, bits: 32 }],
        presharedKey: config.peer.presharedKey
          ? Buffer.from(config.peer.presharedKey, 'base64')
          : undefined,
        context: undefined,
      },
      performance.now(),
    );
  }

  start(): void {
    this.#socket.on('message', (message: Buffer, from: RemoteInfo) => {
      const path = `${from.address} ${from.port}`;
      this.#device.receive(message, 0, message.length, performance.now(), path);
      this.#arm();
    });
    this.#socket.bind(this.#config.port, () => {
      console.log('listening');
      if (this.#config.pings > 0) this.#ping(1);
    });
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const at = this.#device.nextTick;
    if (at === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#device.tick(performance.now());
        this.#arm();
      },
      Math.max(0, at - performance.now()),
    );
  }

  #write(bytes: Uint8Array): void {
    if (this.#endpoint) this.#socket.send(bytes, this.#endpoint.port, this.#endpoint.host);
  }

  #send(packet: Uint8Array): void {
    const slot = new Uint8Array(packet.length + 48);
    slot.set(packet, 16);
    this.#device.send(this.#peer, slot, 16, packet.length, performance.now());
    this.#arm();
  }

  #ping(seq: number): void {
    const length = 28 + this.#config.size;
    const packet = new Uint8Array(length);
    packet[0] = 0x45;
    writeU16(packet, 2, length);
    packet[8] = 64;
    packet[9] = 1;
    packet.set(parseAddr(this.#config.address)!, 12);
    packet.set(parseAddr(this.#config.peer.address)!, 16);
    writeU16(packet, 10, checksum(packet, 0, 20));
    packet[20] = 8;
    writeU16(packet, 24, 77);
    writeU16(packet, 26, seq);
    writeU16(packet, 22, checksum(packet, 20, length));
    this.#pinged.set(seq, performance.now());
    this.#send(packet);
    if (seq < this.#config.pings) setTimeout(() => this.#ping(seq + 1), this.#config.interval);
  }

  #packet(packet: Uint8Array): void {
    if (packet[9] !== 1 || checksum(packet, 20, packet.length) !== 0) return;
    const seq = (packet[26]! << 8) | packet[27]!;
    if (packet[20] === 0) {
      const sent = this.#pinged.get(seq);
      if (sent !== undefined) console.log(`pong ${seq} ${(performance.now() - sent).toFixed(2)}`);
    } else if (packet[20] === 8) {
      const source = packet.slice(12, 16);
      packet.copyWithin(12, 16, 20);
      packet.set(source, 16);
      packet[20] = 0;
      writeU16(packet, 22, 0);
      writeU16(packet, 22, checksum(packet, 20, packet.length));
      this.#send(packet);
    }
  }
}

if (process.argv[1] === PROGRAM) {
  new Node(JSON.parse(process.argv[2]!) as NodeConfig).start();
}
