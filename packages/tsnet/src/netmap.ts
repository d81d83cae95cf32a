// The network map: what the coordination server last said, folded into one immutable value.
//
// A peer that did not change is the same object in the next map, and so is every list and object below it:
// whoever applies a map compares references and touches only what differs.

import type { DisplayMessage } from '@cove/protocol/mapmessage';
import { formatAddr, type Prefix, parsePrefix } from '@cove/protocol/netaddr';
import type {
  DERPMap,
  DNSConfig,
  FilterRule,
  Node,
  NodeID,
  SSHPolicy,
  UserProfile,
} from '@cove/protocol/tailcfg';

export interface NetworkMap {
  readonly self: Node;
  /** Every other visible node. An expired one carries `Expired: true` and must get no traffic. */
  readonly peers: ReadonlyMap<NodeID, Node>;
  readonly users: ReadonlyMap<NodeID, UserProfile>;
  readonly derpMap: DERPMap | undefined;
  readonly dns: DNSConfig | undefined;
  /** The filter's parts by name. */
  readonly packetFilters: ReadonlyMap<string, readonly FilterRule[]>;
  /** The effective filter: the parts in ascending byte order of their names. Empty blocks all inbound traffic. */
  readonly filterRules: readonly FilterRule[];
  readonly sshPolicy: SSHPolicy | undefined;
  /** The tailnet's name as shown to people. */
  readonly domain: string;
  /** Problems the coordination server wants shown. */
  readonly health: readonly string[];
  readonly displayMessages: ReadonlyMap<string, DisplayMessage>;
  /** Milliseconds to add to this machine's clock to get the server's; 0 when they agree to the minute. */
  readonly clockOffset: number;
}

/** Whether the tailnet's policy gives the node this attribute (a node capability). */
export function hasAttribute(node: Node, name: string): boolean {
  return node.CapMap !== undefined && Object.hasOwn(node.CapMap, name);
}

/** The node's fully qualified name without its trailing dot; '' when it has none. */
export function nodeName(node: Node): string {
  return (node.Name ?? '').replace(/\.$/, '');
}

/** What follows the first label of the self node's name: the MagicDNS suffix, without dots at its ends. */
export function magicDnsSuffix(map: NetworkMap): string {
  const name = nodeName(map.self);
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
}

/** The name people see: without the tailnet's suffix when the node is of this tailnet. */
export function computedName(node: Node, suffix: string): string {
  const name = nodeName(node);
  if (suffix !== '' && name.toLowerCase().endsWith(`.${suffix.toLowerCase()}`)) {
    return name.slice(0, -(suffix.length + 1));
  }
  if (name !== '') return name;
  return (node.Hostinfo?.Hostname ?? '') || node.Key.slice('nodekey:'.length).slice(0, 8);
}

/** The node's own addresses as canonical text, in the order given (IPv4 first). Malformed entries are left out. */
export function nodeAddresses(node: Node): string[] {
  return (node.Addresses ?? []).flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix !== undefined && prefix.bits === prefix.addr.length * 8
      ? [formatAddr(prefix.addr)]
      : [];
  });
}

/** What may be routed to the node: AllowedIPs, and where that is absent its Addresses. */
export function nodeAllowedIps(node: Node): Prefix[] {
  return (node.AllowedIPs ?? node.Addresses ?? []).flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix === undefined ? [] : [prefix];
  });
}

/** The instant of a wire time in milliseconds since the epoch; undefined for absent, zero ("never") or malformed. */
export function wireTime(text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text.startsWith('0001-01-01T00:00:00')) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}

/** Most nodes outlive many maps; their expiry is parsed once. */
const expiries = new WeakMap<Node, number>();

function keyExpiry(node: Node): number | undefined {
  if (node.KeyExpiry === undefined) return undefined;
  let expiry = expiries.get(node);
  if (expiry === undefined) {
    expiry = wireTime(node.KeyExpiry) ?? Number.NaN;
    expiries.set(node, expiry);
  }
  return Number.isNaN(expiry) ? undefined : expiry;
}

export interface ExpiryView {
  readonly map: NetworkMap;
  /** Whether this node's own key has expired. */
  readonly selfExpired: boolean;
  /** When the next key expires, in this machine's wall-clock milliseconds; undefined when none will. */
  readonly next: number | undefined;
}

/**
 * The map as of wallNow: peers whose key has expired by the server's clock are marked `Expired` and lose their
 * endpoints and relay, so that nothing can flow to them. Returns the same map when nothing has expired.
 */
export function applyExpiry(map: NetworkMap, wallNow: number): ExpiryView {
  const serverNow = wallNow + map.clockOffset;
  let next = Number.POSITIVE_INFINITY;
  let peers: Map<NodeID, Node> | undefined;
  for (const [id, peer] of map.peers) {
    const expiry = keyExpiry(peer);
    if (expiry === undefined) continue;
    if (expiry > serverNow) {
      next = Math.min(next, expiry);
    } else if (peer.Expired !== true) {
      peers ??= new Map(map.peers);
      const { HomeDERP: _relay, DERP: _legacy, ...rest } = peer;
      peers.set(id, { ...rest, Expired: true, Endpoints: [] });
    }
  }
  const own = keyExpiry(map.self);
  const selfExpired = own !== undefined && own <= serverNow;
  if (own !== undefined && !selfExpired) next = Math.min(next, own);
  return {
    map: peers === undefined ? map : { ...map, peers },
    selfExpired,
    next: next === Number.POSITIVE_INFINITY ? undefined : next - map.clockOffset,
  };
}
