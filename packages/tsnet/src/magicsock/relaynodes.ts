// Which nodes of the tailnet may relay UDP for this one, as the network map has it: nodes that the policy lets us use
// as peer relays (they hold a capability at us) and that are recent enough to know how.
import type { Node } from '@cove/protocol/tailcfg';
import { hasAttribute, type NetworkMap } from '../netmap.ts';
import type { Peer } from '../nodetable.ts';
import { grantsCapability, peerCapabilities } from '../whois.ts';

const RELAY_TARGET = 'tailscale.com/cap/relay-target';
/** From this capability version on, nodes speak with peer relays. */
const MIN_RELAY_CAP = 121;
/** Attributes of our own node, any of which keeps us from peer relays. */
const DISABLING = ['disable-relay-client', 'only-tcp-443'];

/** Whether the node can be reached through a peer relay. */
export function isRelayCapable(node: Node): boolean {
  return (node.Cap ?? 0) >= MIN_RELAY_CAP;
}

/** Undefined: this node shall not use peer relays, nor be reached through any. */
export function relayNodes(map: NetworkMap, peers: Iterable<Peer>): readonly Peer[] | undefined {
  if (DISABLING.some((name) => hasAttribute(map.self, name))) return undefined;
  // Most tailnets have no peer relays: then nobody is asked for.
  if (!grantsCapability(map.filterRules, RELAY_TARGET)) return [];
  return [...peers].filter(
    ({ node }) =>
      isRelayCapable(node) &&
      node.UnsignedPeerAPIOnly !== true &&
      Object.hasOwn(peerCapabilities(map, node), RELAY_TARGET),
  );
}
