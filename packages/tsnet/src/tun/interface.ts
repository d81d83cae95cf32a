// Addresses and routes of the machine's tailnet interface, kept up to date by difference.
//
// Routes to single addresses of peers stand in the main table: nothing in it is more specific, they never cover the
// addresses that WireGuard itself is sent to, and the kernel removes them with the interface, however the process ends.
import { formatPrefix, type Prefix } from '@cove/protocol/netaddr';
import type { Log } from '../log.ts';
import {
  addAddress,
  addRoute,
  deleteAddress,
  deleteRoute,
  linkUp,
  withoutLinkLocal,
} from './rtnetlink.ts';

/** Sends one request to the kernel; 0, or the name of the error. */
export type Netlink = (message: Uint8Array) => string;

export interface InterfaceOptions {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly netlink: Netlink;
  readonly log: Log;
}

export class TunInterface {
  readonly #options: InterfaceOptions;
  #addresses: ReadonlyMap<string, Uint8Array> = new Map();
  #routes: ReadonlyMap<string, Prefix> = new Map();
  #isUp = false;
  /** What was complained about; once is enough. */
  readonly #refused: Set<string> = new Set();

  constructor(options: InterfaceOptions) {
    this.#options = options;
  }

  /** Own addresses, and what the machine is to send through the interface. */
  configure(addresses: readonly Uint8Array[], routes: Iterable<Prefix>): void {
    const { index, mtu } = this.#options;
    if (!this.#isUp) {
      this.#isUp = true;
      this.#options.netlink(withoutLinkLocal(index));
      this.#ask('bring the interface up', linkUp(index, mtu));
    }
    const own = new Map(
      addresses.map((addr) => [formatPrefix({ addr, bits: addr.length * 8 }), addr] as const),
    );
    for (const [text, addr] of this.#addresses) {
      if (!own.has(text)) this.#ask(`remove the address ${text}`, deleteAddress(index, addr));
    }
    const usable = new Map<string, Uint8Array>();
    for (const [text, addr] of own) {
      const done =
        this.#addresses.has(text) ||
        this.#ask(`give the interface the address ${text}`, addAddress(index, addr));
      if (done) usable.set(text, addr);
    }
    this.#addresses = usable;
    this.#route(routes);
  }

  /** Without an own address of the family nothing could be sent. */
  #route(routes: Iterable<Prefix>): void {
    const { index } = this.#options;
    const families = new Set([...this.#addresses.values()].map((addr) => addr.length));
    const wanted = new Map<string, Prefix>();
    for (const prefix of routes) {
      if (families.has(prefix.addr.length)) wanted.set(formatPrefix(prefix), prefix);
    }
    for (const [text, prefix] of this.#routes) {
      if (!wanted.has(text)) this.#ask(`remove the route ${text}`, deleteRoute(index, prefix));
    }
    for (const [text, prefix] of wanted) {
      if (!this.#routes.has(text)) this.#ask(`route ${text}`, addRoute(index, prefix));
    }
    this.#routes = wanted;
  }

  #ask(what: string, message: Uint8Array): boolean {
    const error = this.#options.netlink(message);
    if (error === '') return true;
    // The kernel took it back itself, as it does with the routes of an address.
    const isGone = what.startsWith('remove') && /^(ESRCH|EADDRNOTAVAIL|ENODEV)$/.test(error);
    if (!isGone && !this.#refused.has(what)) {
      this.#refused.add(what);
      const { name, log } = this.#options;
      log('warn', `the kernel did not ${what}`, { interface: name, error });
    }
    return isGone;
  }
}
