// Who is at the other end: an address that WireGuard authenticated -> node, user, capabilities.
//
// Only the `Addresses` of a node identify it. An address behind a subnet router (AllowedIPs) has no identity.
import {
  formatAddr,
  parseAddr,
  parseAddrPort,
  parsePrefix,
  prefixContains,
} from '@cove/protocol/netaddr';
import type { FilterRule, Node, NodeID } from '@cove/protocol/tailcfg';
import {
  computedName,
  magicDnsSuffix,
  type NetworkMap,
  nodeAddresses,
  nodeName,
} from './netmap.ts';

export interface WhoIs {
  readonly node: {
    readonly id: NodeID;
    readonly stableId: string;
    /** Fully qualified name without the trailing dot; empty when the tailnet gave none. */
    readonly name: string;
    /** The name as people see it: without the tailnet's suffix. */
    readonly computedName: string;
    /** Its tailnet addresses, canonical text, IPv4 first. */
    readonly addresses: readonly string[];
    /** Non-empty for a tagged node: a machine, not a person. Take identity from here, then, never from `user`. */
    readonly tags: readonly string[];
    readonly os?: string;
  };
  /** The owner; `tagged-devices` for a tagged node. */
  readonly user: {
    readonly id: NodeID;
    readonly loginName: string;
    readonly displayName: string;
    readonly profilePicUrl?: string;
  };
  /** Peer capabilities the tailnet's policy grants this caller at this node: name -> values, possibly none. */
  readonly capabilities: Readonly<Record<string, readonly unknown[]>>;
}

export const TAGGED_DEVICES = 'tagged-devices';

/**
 * The answer for an IP address, or undefined when no node of the map has it. `byAddress` finds the node, self
 * included, that has an address (canonical text) as its own.
 */
export function whoIsAddress(
  map: NetworkMap,
  address: string,
  byAddress: (address: string) => Node | undefined,
): WhoIs | undefined {
  const addr = parseAddr(address);
  const node = addr && byAddress(formatAddr(unmapped(addr)));
  const profile = node && map.users.get(node.User);
  if (node === undefined || profile === undefined) return undefined;
  const os = node.Hostinfo?.OS;
  return {
    node: {
      id: node.ID,
      stableId: node.StableID ?? '',
      name: nodeName(node),
      computedName: computedName(node, magicDnsSuffix(map)),
      addresses: nodeAddresses(node),
      tags: node.Tags ?? [],
      ...(os === undefined || os === '' ? {} : { os }),
    },
    user: {
      id: profile.ID,
      loginName: profile.LoginName ?? '',
      displayName: profile.DisplayName ?? '',
      ...(profile.ProfilePicURL ? { profilePicUrl: profile.ProfilePicURL } : {}),
    },
    capabilities: peerCapabilities(map, node),
  };
}

/** The IP part of `1.2.3.4`, `1.2.3.4:80`, `::1` or `[::1]:80`; undefined for anything else. */
export function addressPart(text: string): string | undefined {
  if (parseAddr(text) !== undefined) return text;
  return parseAddrPort(text)?.addr ?? undefined;
}

/** Addresses of the form ::ffff:a.b.c.d are IPv4 addresses written by a dual-stack socket. */
function unmapped(addr: Uint8Array): Uint8Array {
  const isMapped =
    addr.length === 16 &&
    addr[10] === 0xff &&
    addr[11] === 0xff &&
    addr.subarray(0, 10).every((byte) => byte === 0);
  return isMapped ? addr.subarray(12) : addr;
}

/** Whether the rules give anybody the capability anywhere. */
export function grantsCapability(rules: readonly FilterRule[], name: string): boolean {
  return grantsOf(rules).some(({ rule }) =>
    (rule.CapGrant ?? []).some(
      ({ CapMap, Caps }) =>
        (CapMap !== undefined && Object.hasOwn(CapMap, name)) || Caps?.includes(name) === true,
    ),
  );
}

/**
 * What the policy lets this caller do here: the values of every grant whose sources hold the caller's first address
 * and whose destinations hold our own address of the same family, in rule order, duplicates kept.
 */
export function peerCapabilities(
  map: NetworkMap,
  caller: Node,
): Record<string, readonly unknown[]> {
  const source = parseAddr(nodeAddresses(caller)[0] ?? '');
  if (source === undefined) return {};
  const own = nodeAddresses(map.self)
    .map((text) => parseAddr(text))
    .find((addr) => addr?.length === source.length);
  if (own === undefined) return {};
  // A null prototype: capability names come from the policy, and one may be called __proto__.
  const found: Record<string, unknown[]> = Object.create(null);
  for (const { matches, rule } of grantsOf(map.filterRules)) {
    if (!matches(source)) continue;
    for (const grant of rule.CapGrant ?? []) {
      const covered = (grant.Dsts ?? []).some((text) => {
        const prefix = parsePrefix(text);
        return prefix !== undefined && prefixContains(prefix, own);
      });
      if (!covered) continue;
      for (const [name, values] of Object.entries(grant.CapMap ?? {})) {
        found[name] = [...(found[name] ?? []), ...(values ?? [])];
      }
      for (const name of grant.Caps ?? []) found[name] ??= [];
    }
  }
  // Nodes outside the tailnet lock may at most bring in Funnel traffic.
  if (caller.UnsignedPeerAPIOnly === true) {
    const ingress = found[CAP_INGRESS];
    return ingress === undefined ? {} : { [CAP_INGRESS]: ingress };
  }
  return found;
}

const CAP_INGRESS = 'https://tailscale.com/cap/ingress';

interface Grant {
  readonly rule: FilterRule;
  matches(addr: Uint8Array): boolean;
}

const grants = new WeakMap<readonly FilterRule[], readonly Grant[]>();

function grantsOf(rules: readonly FilterRule[]): readonly Grant[] {
  let list = grants.get(rules);
  if (list === undefined) {
    list = rules
      .filter((rule) => (rule.CapGrant ?? []).length > 0)
      .map((rule) => {
        const sources = (rule.SrcIPs ?? []).map(sourceMatcher);
        return { rule, matches: (addr) => sources.some((matches) => matches(addr)) };
      });
    grants.set(rules, list);
  }
  return list;
}

/** `*`, an address, a prefix or an inclusive range; `cap:` sources grant nothing. */
function sourceMatcher(text: string): (addr: Uint8Array) => boolean {
  if (text === '*') return () => true;
  const dash = text.indexOf('-');
  if (dash > 0) {
    const first = parseAddr(text.slice(0, dash));
    const last = parseAddr(text.slice(dash + 1));
    if (first === undefined || last === undefined || first.length !== last.length)
      return () => false;
    return (addr) =>
      addr.length === first.length &&
      compareBytes(addr, first) >= 0 &&
      compareBytes(addr, last) <= 0;
  }
  const single = parseAddr(text);
  if (single !== undefined) return (addr) => compareBytes(addr, single) === 0;
  const prefix = parsePrefix(text);
  if (prefix === undefined) return () => false;
  return (addr) => prefixContains(prefix, addr);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return 0;
}
