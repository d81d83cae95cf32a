// The UDP addresses at which peers may try this node: port-mapped, as STUN servers see it, of the interfaces. Sans I/O.
import type { NetworkInterfaceInfo } from 'node:os';
import {
  formatAddrPort,
  isTailscaleAddr,
  parseAddr,
  parseAddrPort,
  prefixContains,
} from '@cove/protocol/netaddr';
import type { Family } from './netcheck.ts';

/** As control numbers them. */
export const EndpointType = {
  local: 1,
  stun: 2,
  portmapped: 3,
  stunLocalPort: 4,
  explicit: 5,
} as const;

export interface OwnEndpoint {
  /** `ip:port` */
  readonly addrPort: string;
  readonly type: number;
}

export interface EndpointFacts {
  /** As os.networkInterfaces() tells them. */
  readonly interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
  /** Local UDP port by family; 0: no socket. */
  readonly portV4: number;
  readonly portV6: number;
  /** The person who runs the node chose the port. */
  readonly isPortFixed: boolean;
  /** `ip:port` of a port mapping on the gateway. */
  readonly portmapped?: string | undefined;
  /** As the last report has them. */
  readonly stun: readonly string[];
  readonly mappingVaries: boolean | undefined;
  /** Configured by hand. */
  readonly explicit?: readonly string[] | undefined;
}

/** Addresses seen from outside stay for a while: a NAT keeps a mapping longer than one answer gets lost. */
const KEEP = 310_000;
const MAX_PORTS_PER_ADDRESS = 6;
const MAX_IPV6_PER_PREFIX = 2;
const ULA = { addr: Uint8Array.of(0xfc, ...new Array<number>(15).fill(0)), bits: 7 };
const LINK_LOCAL_V4 = { addr: Uint8Array.of(169, 254, 0, 0), bits: 16 };
const LINK_LOCAL_V6 = {
  addr: Uint8Array.of(0xfe, 0x80, ...new Array<number>(14).fill(0)),
  bits: 10,
};

export class OwnEndpoints {
  /** What was seen from outside, and when last. */
  readonly #seen: Map<string, { readonly type: number; at: number }> = new Map();
  #list: readonly OwnEndpoint[] = [];

  get list(): readonly OwnEndpoint[] {
    return this.#list;
  }

  /** Takes the facts of now. True: the list changed. */
  update(facts: EndpointFacts, now: number): boolean {
    const found = new Map<string, number>();
    const add = (addrPort: string, type: number): void => {
      if (!found.has(addrPort)) found.set(addrPort, type);
    };
    if (facts.portmapped !== undefined) add(facts.portmapped, EndpointType.portmapped);
    for (const addrPort of facts.stun) add(addrPort, EndpointType.stun);
    if (facts.mappingVaries === true && facts.isPortFixed && facts.portV4 > 0) {
      const first = facts.stun.map(parseAddrPort).find((each) => each && !each.addr.includes(':'));
      // Perhaps somebody forwards the port of the same number.
      if (first) add(formatAddrPort(first.addr, facts.portV4), EndpointType.stunLocalPort);
    }
    this.#remember(found, now);
    for (const [addrPort, { type }] of this.#seen) add(addrPort, type);
    for (const addrPort of facts.explicit ?? []) add(addrPort, EndpointType.explicit);
    for (const addrPort of localEndpoints(facts, found.size > 0)) add(addrPort, EndpointType.local);
    const list = [...found].map(([addrPort, type]) => ({ addrPort, type }));
    const text = (each: readonly OwnEndpoint[]): string =>
      each
        .map(({ addrPort, type }) => `${addrPort} ${type}`)
        .sort()
        .join('\n');
    if (text(list) === text(this.#list)) return false;
    this.#list = list;
    return true;
  }

  /** The network changed: what was seen from outside was another network's. */
  forget(): void {
    this.#seen.clear();
  }

  #remember(found: ReadonlyMap<string, number>, now: number): void {
    for (const [addrPort, type] of found) {
      this.#seen.delete(addrPort);
      this.#seen.set(addrPort, { type, at: now });
    }
    const ports = new Map<string, number>();
    // The newest are last.
    for (const [addrPort, { at }] of [...this.#seen].reverse()) {
      const { addr } = parseAddrPort(addrPort) ?? { addr: '' };
      const count = (ports.get(addr) ?? 0) + 1;
      ports.set(addr, count);
      if (now - at > KEEP || count > MAX_PORTS_PER_ADDRESS) this.#seen.delete(addrPort);
    }
  }
}

function localEndpoints(facts: EndpointFacts, hasOthers: boolean): string[] {
  const usable: string[] = [];
  /** Only where there is nothing better. */
  const secondRate: string[] = [];
  const loopback: string[] = [];
  const perPrefix = new Map<string, number>();
  for (const infos of Object.values(facts.interfaces)) {
    for (const info of infos ?? []) {
      const addr = parseAddr(info.address);
      if (!addr) continue;
      const port = addr.length === 4 ? facts.portV4 : facts.portV6;
      if (port === 0 || isNeverOffered(addr)) continue;
      const text = formatAddrPort(info.address, port);
      if (info.internal) {
        loopback.push(text);
        continue;
      }
      if (addr.length === 16) {
        const prefix = prefixText(addr, info.cidr);
        const count = (perPrefix.get(prefix) ?? 0) + 1;
        perPrefix.set(prefix, count);
        if (count > MAX_IPV6_PER_PREFIX) continue;
      }
      (isSecondRate(addr) ? secondRate : usable).push(text);
    }
  }
  if (usable.length > 0) return usable;
  if (secondRate.length > 0) return secondRate;
  return hasOthers ? [] : loopback;
}

/** Inside a tailnet, also a carrier's addresses in 100.64.0.0/10; and what only a zone makes meaningful. */
function isNeverOffered(addr: Uint8Array): boolean {
  const isShared = addr.length === 4 && addr[0] === 100 && (addr[1]! & 0xc0) === 64;
  return isShared || isTailscaleAddr(addr) || prefixContains(LINK_LOCAL_V6, addr);
}

function isSecondRate(addr: Uint8Array): boolean {
  return prefixContains(ULA, addr) || prefixContains(LINK_LOCAL_V4, addr);
}

function prefixText(addr: Uint8Array, cidr: string | null): string {
  const bits = Number(cidr?.split('/')[1] ?? 64);
  return `${addr.slice(0, Math.ceil(bits / 8)).join('.')}/${bits}`;
}

/** The host has an address of the family that others could be reached from; loopback counts where there is no other. */
export function hasFamily(interfaces: EndpointFacts['interfaces'], family: Family): boolean {
  const addresses = Object.values(interfaces).flatMap((each) => each ?? []);
  const isUsable = ({ internal, address }: { internal: boolean; address: string }): boolean =>
    !internal && !address.toLowerCase().startsWith('fe80:');
  const outside = addresses.filter(isUsable);
  const of = outside.length > 0 ? outside : addresses;
  return of.some(({ address }) => address.includes(':') === (family === 6));
}
