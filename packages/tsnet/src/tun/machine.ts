// The whole machine in the tailnet: a network interface whose packets go through the node, next to the node's own stack.
//
// To the machine goes what peers send to the node's addresses and no connection, listener or socket of this process
// waits for. What the machine sends goes through the outbound filter to the peer that has the address, or to the
// services at 100.100.100.100.
import { NativeError } from '@cove/native';
import type { Prefix } from '@cove/protocol/netaddr';
import { parseAddr } from '@cove/protocol/netaddr';
import { SERVICE_ADDRESSES } from '../dns/responder.ts';
import { TsnetError, type TsnetErrorCode } from '../errors.ts';
import type { Log } from '../log.ts';
import { magicDnsSuffix, type NetworkMap } from '../netmap.ts';
import type { Peer } from '../nodetable.ts';
import { type Netlink, TunInterface } from './interface.ts';
import { type ServiceOptions, ServiceStack } from './service.ts';
import type { KernelSink } from './share.ts';
import type { SystemDns } from './systemdns.ts';

/** The smallest MTU IPv6 allows: whatever carries the tunnel carries it. */
const MTU = 1280;
const DEFAULT_NAME = 'cove%d';
/** Linux takes its own from below. */
const FIRST_EPHEMERAL_PORT = 61_000;

const SERVICES: readonly Uint8Array[] = SERVICE_ADDRESSES.map((text) => parseAddr(text)!);

export interface TunSettings {
  /** Name of the interface; absent: the first free of cove0, cove1, ... */
  readonly name?: string;
  /** Have the machine's resolver ask the node for the tailnet's names. Default true. */
  readonly dns?: boolean;
}

/** A TUN device: @cove/native's, or one in memory. */
export interface TunDevice {
  readonly name: string;
  readonly index: number;
  write(buf: Uint8Array, offset: number, length: number): void;
  flush(): void;
  drops(): { readonly read: number; readonly write: number };
  close(): void;
}

export interface TunOpenOptions {
  readonly name: string;
  readonly headroom: number;
  readonly tailroom: number;
  packets(slots: Uint8Array, slotSize: number, lengths: Uint32Array, count: number): void;
  lost(): void;
}

/** How devices and the kernel are reached; for tests. */
export interface TunSystem {
  open(options: TunOpenOptions): TunDevice;
  readonly netlink: Netlink;
  /** Tells the machine's resolver. */
  dns(interfaceName: string, log: Log): Pick<SystemDns, 'apply' | 'close'>;
}

export interface MachineOptions extends Omit<ServiceOptions, 'output'> {
  readonly settings: TunSettings;
  readonly system: TunSystem;
  readonly log: Log;
  /** A packet of the machine for a peer; room for WireGuard around it. */
  fromMachine(buf: Uint8Array, offset: number, length: number): void;
}

/** Room for WireGuard around a packet. */
const HEADROOM = 16;
const TAILROOM = 32;

export class Machine implements KernelSink {
  /** Of dials of this process. */
  readonly firstEphemeralPort: number = FIRST_EPHEMERAL_PORT;
  readonly #options: MachineOptions;
  readonly #device: TunDevice;
  readonly #interface: TunInterface;
  readonly #service: ServiceStack;
  readonly #dns: Pick<SystemDns, 'apply' | 'close'> | undefined;
  #isOpen = true;

  /** Throws ERR_TUN_UNAVAILABLE, ERR_TUN_PERMISSION, ERR_TUN_NAME, ERR_TUN_SYSTEM. */
  constructor(options: MachineOptions) {
    const { settings, system, log } = options;
    this.#options = options;
    try {
      this.#device = system.open({
        name: settings.name ?? DEFAULT_NAME,
        headroom: HEADROOM,
        tailroom: TAILROOM,
        packets: (slots, slotSize, lengths, count) => {
          for (let i = 0; i < count; i++)
            options.fromMachine(slots, i * slotSize + HEADROOM, lengths[i]!);
          options.wake();
        },
        lost: () => this.#lost(),
      });
    } catch (error) {
      throw explain(error);
    }
    const { name, index } = this.#device;
    this.#interface = new TunInterface({ name, index, mtu: MTU, netlink: system.netlink, log });
    this.#service = new ServiceStack({
      ...options,
      output: (buf, offset, length) => this.write(buf, offset, length),
    });
    if (settings.dns !== false) this.#dns = system.dns(name, log);
    log('info', 'the machine joins the tailnet', { interface: name });
  }

  /** Name of the interface. */
  get name(): string {
    return this.#device.name;
  }

  /** The node's addresses become the machine's, and peers are reached through the interface. */
  configure(addresses: readonly Uint8Array[], peers: Iterable<Peer>): void {
    if (!this.#isOpen) return;
    this.#interface.configure(addresses, this.#routes(peers));
  }

  /** Names of the tailnet, as the map has them. */
  configureDns(map: NetworkMap): void {
    if (this.#isOpen) this.#dns?.apply(magicDnsSuffix(map), map.dns);
  }

  /** Routes to whole networks would need sockets that go around them: see TunInterface. */
  *#routes(peers: Iterable<Peer>): Generator<Prefix> {
    for (const addr of SERVICES) yield { addr, bits: addr.length * 8 };
    for (const { routes } of peers) {
      for (const prefix of routes) if (prefix.bits === prefix.addr.length * 8) yield prefix;
    }
  }

  write(buf: Uint8Array, offset: number, length: number): void {
    if (this.#isOpen) this.#device.write(buf, offset, length);
  }

  isService(buf: Uint8Array, at: number, addressLength: number): boolean {
    const service = SERVICES[addressLength === 4 ? 0 : 1]!;
    for (let i = addressLength - 1; i >= 0; i--) if (buf[at + i] !== service[i]) return false;
    return true;
  }

  service(buf: Uint8Array, offset: number, length: number, now: number): void {
    this.#service.stack.input(buf, offset, length, now);
  }

  poll(now: number): void {
    this.#service.stack.poll(now);
    if (this.#isOpen) this.#device.flush();
  }

  get nextTick(): number | undefined {
    return this.#service.stack.nextTick;
  }

  counters(): Record<string, number> {
    const { read, write } = this.#device.drops();
    return { tun_drop_read: read, tun_drop_write: write };
  }

  /** The interface is gone when this returns, with its addresses and routes. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // First, because nobody answers any more.
    this.#dns?.close();
    this.#service.close();
    this.#device.close();
  }

  #lost(): void {
    this.#options.log('error', 'somebody deleted the network interface: start the node again', {
      interface: this.#device.name,
    });
    this.close();
  }
}

const CODES: Readonly<Record<NativeError['code'], TsnetErrorCode>> = {
  ERR_NOT_BUILT: 'ERR_TUN_UNAVAILABLE',
  ERR_NO_TUN: 'ERR_TUN_UNAVAILABLE',
  ERR_PERMISSION: 'ERR_TUN_PERMISSION',
  ERR_NAME: 'ERR_TUN_NAME',
  ERR_NAME_IN_USE: 'ERR_TUN_NAME',
  ERR_SYSTEM: 'ERR_TUN_SYSTEM',
};

function explain(error: unknown): unknown {
  if (!(error instanceof NativeError)) return error;
  return new TsnetError(CODES[error.code], error.message, { cause: error });
}
