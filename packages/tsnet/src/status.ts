// What the node knows of itself and of its tailnet, as one plain value that serialises to JSON.
import type { Node } from '@cove/protocol/tailcfg';
import type { PeerStatus } from './engine.ts';
import {
  computedName,
  magicDnsSuffix,
  type NetworkMap,
  nodeAddresses,
  nodeName,
  wireTime,
} from './netmap.ts';

/**
 * NoState: not started. NeedsLogin: a person has to open `loginUrl`, or the key expired. NeedsMachineAuth: an
 * administrator has to approve this node. Starting: on the way. Running. Stopped: closed.
 */
export type NodeState =
  | 'NoState'
  | 'NeedsLogin'
  | 'NeedsMachineAuth'
  | 'Starting'
  | 'Running'
  | 'Stopped';

export interface NodeStatus {
  /** Decimal; may exceed 2^53. */
  readonly id: string;
  readonly stableId: string;
  /** `nodekey:<hex>` */
  readonly nodeKey: string;
  /** What the node calls itself. */
  readonly hostname: string;
  /** Fully qualified name without the trailing dot. */
  readonly name: string;
  readonly computedName: string;
  readonly addresses: readonly string[];
  readonly tags: readonly string[];
  readonly os: string;
  /** Login name of the owner; '' when unknown. */
  readonly user: string;
  /** undefined: the server did not say. */
  readonly online: boolean | undefined;
  readonly expired: boolean;
  /** RFC 3339; undefined: never. */
  readonly keyExpiry: string | undefined;
  readonly lastSeen: string | undefined;
  /** Code of its home relay region; '' when unknown. */
  readonly relay: string;
  /** Direct `ip:port` in use; '' while packets go through a relay. */
  readonly currentAddress: string;
  /** Peer relay in use, `ip:port:vni:n`; '' while there is none. */
  readonly peerRelay: string;
  /** A WireGuard session is up. */
  readonly active: boolean;
  /** Bytes through WireGuard. */
  readonly rxBytes: number;
  readonly txBytes: number;
}

export interface Status {
  readonly state: NodeState;
  readonly controlUrl: string;
  /** What a person has to open to log the node in. */
  readonly loginUrl: string | undefined;
  /** Why the node is not running, when it is known. */
  readonly problem: string | undefined;
  readonly ips: readonly string[];
  /** Fully qualified name without the trailing dot; '' before the first map. */
  readonly dnsName: string;
  readonly magicDnsSuffix: string;
  /** The tailnet's name as shown to people. */
  readonly tailnet: string;
  readonly self: NodeStatus | undefined;
  /** By name. */
  readonly peers: readonly NodeStatus[];
  /** Sentences about what does not work well. */
  readonly health: readonly string[];
}

/** The part of the status that comes from the map. */
export function describeMap(
  map: NetworkMap,
  engine: readonly PeerStatus[],
): Pick<Status, 'ips' | 'dnsName' | 'magicDnsSuffix' | 'tailnet' | 'self' | 'peers' | 'health'> {
  const traffic = new Map(engine.map((peer) => [peer.nodeKey as string, peer]));
  const describe = (node: Node): NodeStatus => describeNode(map, node, traffic.get(node.Key));
  return {
    ips: nodeAddresses(map.self),
    dnsName: nodeName(map.self),
    magicDnsSuffix: magicDnsSuffix(map),
    tailnet: map.domain,
    self: { ...describe(map.self), online: true },
    peers: [...map.peers.values()]
      .map(describe)
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    health: [
      ...map.health,
      ...[...map.displayMessages.values()].map(({ Title, Text }) =>
        [Title, Text].filter((part) => part !== undefined && part !== '').join(': '),
      ),
    ],
  };
}

function describeNode(map: NetworkMap, node: Node, traffic: PeerStatus | undefined): NodeStatus {
  const region = traffic?.relay || node.HomeDERP;
  return {
    id: String(node.ID),
    stableId: node.StableID,
    nodeKey: node.Key,
    hostname: node.Hostinfo?.Hostname ?? '',
    name: nodeName(node),
    computedName: computedName(node, magicDnsSuffix(map)),
    addresses: nodeAddresses(node),
    tags: node.Tags ?? [],
    os: node.Hostinfo?.OS ?? '',
    user: map.users.get(node.User)?.LoginName ?? '',
    online: node.Online,
    expired: node.Expired === true,
    keyExpiry: wireTime(node.KeyExpiry) === undefined ? undefined : node.KeyExpiry,
    lastSeen: wireTime(node.LastSeen) === undefined ? undefined : node.LastSeen,
    relay: region ? (map.derpMap?.Regions?.[String(region)]?.RegionCode ?? String(region)) : '',
    currentAddress: traffic?.currentAddress ?? '',
    peerRelay: traffic?.peerRelay ?? '',
    active: traffic?.active ?? false,
    rxBytes: traffic?.rxBytes ?? 0,
    txBytes: traffic?.txBytes ?? 0,
  };
}
