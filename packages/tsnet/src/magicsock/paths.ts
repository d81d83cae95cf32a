// Where a datagram came from or goes to. Paths are compared by identity, so every place that keeps one keeps the same
// object for the same path.
import { formatAddrPort, parseAddr } from '@cove/protocol/netaddr';
import type { Peer } from '../nodetable.ts';

/** Through the relays of a region; the relay vouches for the peer's node key. */
export interface RelayPath {
  readonly kind: 'relay';
  readonly region: number;
  readonly peer: Peer;
}

/** Straight to a UDP address. Says nothing of who is there. */
export interface UdpPath {
  readonly kind: 'udp';
  /** Text for the operating system; link-local IPv6 with its zone. */
  readonly address: string;
  readonly port: number;
  /** 4 or 16 bytes. */
  readonly addr: Uint8Array;
  /** addr and port, for rate limits by source. */
  readonly bytes: Uint8Array;
  /** `ip:port`, as people and control read it. */
  readonly text: string;
}

/** Through a node of the tailnet that relays UDP for two others: its address, and the number of our endpoint there. */
export interface ViaPath {
  readonly kind: 'via';
  readonly hop: UdpPath;
  /** Virtual network identifier. */
  readonly vni: number;
  /** The hop's bytes and the VNI. */
  readonly bytes: Uint8Array;
  /** `ip:port:vni:n`, as people read it. */
  readonly text: string;
}

/** By UDP, with or without a peer relay. */
export type DatagramPath = UdpPath | ViaPath;

export type Path = RelayPath | DatagramPath;

interface Entry {
  readonly path: UdpPath;
  users: number;
}

/**
 * The UDP paths in use, one object for each. Addresses of strangers are not kept: only what somebody acquired stays.
 */
export class PathTable {
  readonly #byAddress: Map<string, Map<number, Entry>> = new Map();
  #last: UdpPath | undefined;
  #size = 0;
  /** Changes with every answer that find may give otherwise than before. */
  version = 0;

  get size(): number {
    return this.#size;
  }

  /** The path of a datagram's source. Undefined: not an address datagrams can be sent to. */
  find(address: string, port: number): UdpPath | undefined {
    const entry = this.#byAddress.get(address)?.get(port);
    if (entry) return entry.path;
    const last = this.#last;
    if (last && last.port === port && last.address === address) return last;
    this.#last = makePath(address, port);
    return this.#last;
  }

  /** Makes the object lasting until it is released as often as it was acquired. */
  acquire(address: string, port: number): UdpPath | undefined {
    let ports = this.#byAddress.get(address);
    let entry = ports?.get(port);
    if (!entry) {
      const path = this.find(address, port);
      if (!path) return undefined;
      if (!ports) {
        ports = new Map();
        this.#byAddress.set(address, ports);
      }
      entry = { path, users: 0 };
      ports.set(port, entry);
      this.#size++;
      this.version++;
    }
    entry.users++;
    return entry.path;
  }

  release(path: UdpPath): void {
    const ports = this.#byAddress.get(path.address);
    const entry = ports?.get(path.port);
    if (!ports || !entry || --entry.users > 0) return;
    ports.delete(path.port);
    this.#size--;
    this.version++;
    if (ports.size === 0) this.#byAddress.delete(path.address);
  }
}

function makePath(address: string, port: number): UdpPath | undefined {
  const zone = address.indexOf('%');
  const addr = parseAddr(zone < 0 ? address : address.slice(0, zone));
  if (!addr || port === 0) return undefined;
  const bytes = new Uint8Array(addr.length + 2);
  bytes.set(addr);
  bytes[addr.length] = port >>> 8;
  bytes[addr.length + 1] = port;
  return { kind: 'udp', address, port, addr, bytes, text: formatAddrPort(address, port) };
}
