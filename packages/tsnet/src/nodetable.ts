// The nodes of the network map by key, by address and by name, kept up to date by difference: a node that did not
// change is the same object in the next map and costs one comparison.
import {
  type DiscoPublic,
  isZeroKey,
  type NodePublic,
  publicBytes,
  ZERO_DISCO_PUBLIC,
} from '@cove/protocol/keys';
import { formatAddr, isTailscaleAddr, type Prefix } from '@cove/protocol/netaddr';
import type { Node, NodeID } from '@cove/protocol/tailcfg';
import type { Peer as WireGuardPeer } from '@cove/wireguard';
import { wordsText } from './filter/header.ts';
import type { Path } from './magicsock/paths.ts';
import {
  magicDnsSuffix,
  type NetworkMap,
  nodeAddresses,
  nodeAllowedIps,
  nodeName,
} from './netmap.ts';

/** One peer as the data path sees it. `node` changes with the map; the object stays while the key does. */
export interface Peer {
  readonly key: NodePublic;
  /** Made when first asked for. */
  readonly keyBytes: Uint8Array;
  node: Node;
  /** As the peer said last, by the map or by itself; zero: none. */
  discoKey: DiscoPublic;
  /** Made anew each time, from `node`. */
  readonly addresses: readonly string[];
  /** What may be sent to it and believed as its source address. Made anew each time. */
  readonly routes: readonly Prefix[];
  /** Relay region the peer is at; 0: unknown. */
  homeRegion: number;
  /** May not open connections to us. */
  jailed: boolean;
  /** Its WireGuard state, once something was sent or received. Kept by the data path. */
  wireguard: WireGuardPeer<Peer> | undefined;
  /** Where its last authentic packet came from. Kept by the data path. */
  heardFrom: Path | undefined;
  /** When something was last sent to it; engine clock. */
  lastSend: number;
}

/** Most peers of a map are never spoken to: what the node says is not kept a second time. */
class MapPeer implements Peer {
  readonly key: NodePublic;
  node: Node;
  discoKey: DiscoPublic;
  homeRegion: number;
  jailed: boolean;
  wireguard: WireGuardPeer<Peer> | undefined = undefined;
  heardFrom: Path | undefined = undefined;
  /** No small integer, as the times that follow: so V8 keeps one hidden class for peers. */
  lastSend: number = -0;
  #keyBytes: Uint8Array | undefined;
  readonly #acceptRoutes: boolean;

  constructor(node: Node, acceptRoutes: boolean) {
    this.key = node.Key;
    this.node = node;
    this.discoKey = node.DiscoKey ?? ZERO_DISCO_PUBLIC;
    this.homeRegion = homeRegionOf(node);
    this.jailed = node.IsJailed === true;
    this.#acceptRoutes = acceptRoutes;
  }

  get keyBytes(): Uint8Array {
    this.#keyBytes ??= publicBytes(this.key);
    return this.#keyBytes;
  }

  get addresses(): readonly string[] {
    return nodeAddresses(this.node);
  }

  get routes(): readonly Prefix[] {
    return routesOf(this.node, this.#acceptRoutes);
  }
}

export interface PeerChange {
  readonly peer: Peer;
  /** The node it was. */
  readonly before: Node;
  /** The routes it had, where they differ from those it has. */
  readonly oldRoutes: readonly Prefix[] | undefined;
  /** The disco key it had, where it has another one. */
  readonly oldDiscoKey: DiscoPublic | undefined;
}

/** What one new map changed. A peer with a new key is a removal and an addition. */
export interface PeerChanges {
  readonly added: Peer[];
  readonly removed: Peer[];
  readonly changed: PeerChange[];
}

export class NodeTable {
  readonly #peers: Map<NodeID, Peer> = new Map();
  readonly #byKey: Map<NodePublic, Peer> = new Map();
  readonly #byAddress: Map<string, Node> = new Map();
  /** Lower case, without trailing dot: full names, and first labels of this tailnet's own names. */
  readonly #byName: Map<string, Node> = new Map();
  readonly #acceptRoutes: boolean;
  #map: NetworkMap | undefined;
  #suffix = '';

  /** acceptRoutes: also use peers as subnet routers; default routes are never taken. */
  constructor(acceptRoutes: boolean) {
    this.#acceptRoutes = acceptRoutes;
  }

  get map(): NetworkMap | undefined {
    return this.#map;
  }

  get peers(): Iterable<Peer> {
    return this.#peers.values();
  }

  byKey(key: NodePublic): Peer | undefined {
    return this.#byKey.get(key);
  }

  /** Self or peer that has the address as its own. Canonical text. */
  byAddress(address: string): Node | undefined {
    return this.#byAddress.get(address);
  }

  /** As byAddress, for an address in words (see PacketHeader). */
  byWords(family: number, w0: number, w1: number, w2: number, w3: number): Node | undefined {
    return this.#byAddress.get(wordsText(family, w0, w1, w2, w3));
  }

  /** Lower case, no trailing dot. */
  byName(name: string): Node | undefined {
    return this.#byName.get(name);
  }

  setMap(map: NetworkMap): PeerChanges {
    const before = this.#map;
    const changes: PeerChanges = { added: [], removed: [], changed: [] };
    this.#map = map;
    const suffix = magicDnsSuffix(map).toLowerCase();
    if (suffix !== this.#suffix) {
      this.#suffix = suffix;
      this.#byName.clear();
      for (const node of before?.peers.values() ?? []) this.#indexName(node);
      if (before) this.#indexName(before.self);
    }
    // Everything that goes leaves the indexes first: an address or name may pass to another node in one map.
    const arrivals: Node[] = [];
    if (before?.self !== map.self && before) this.#unindex(before.self);
    if (before?.peers !== map.peers) {
      for (const [id, old] of before?.peers ?? []) {
        const node = map.peers.get(id);
        if (node === old) continue;
        this.#unindex(old);
        const peer = this.#peers.get(id);
        if (!peer || (node && isUsable(node) && node.Key === peer.key)) continue;
        this.#peers.delete(id);
        this.#byKey.delete(peer.key);
        changes.removed.push(peer);
      }
      for (const [id, node] of map.peers) {
        if (before?.peers.get(id) !== node) arrivals.push(node);
      }
    }
    for (const node of arrivals) {
      this.#index(node);
      if (!isUsable(node) || node.Key === map.self.Key) continue;
      const known = this.#peers.get(node.ID);
      if (known) changes.changed.push(this.#update(known, node));
      else if (!this.#byKey.has(node.Key)) changes.added.push(this.#add(node));
    }
    if (before?.self !== map.self) this.#index(map.self);
    return changes;
  }

  #add(node: Node): Peer {
    const peer = new MapPeer(node, this.#acceptRoutes);
    this.#peers.set(node.ID, peer);
    this.#byKey.set(node.Key, peer);
    return peer;
  }

  #update(peer: Peer, node: Node): PeerChange {
    const before = peer.node;
    const oldRoutes = this.#hasSameRoutes(before, node) ? undefined : peer.routes;
    // A map that repeats what it said before, or speaks of a peer out of its reach, knows nothing of what the peer
    // itself said since.
    const isFromPeer = peer.discoKey !== (before.DiscoKey ?? ZERO_DISCO_PUBLIC);
    const saysDisco = node.DiscoKey !== before.DiscoKey && !(isFromPeer && node.Online === false);
    const discoKey = saysDisco ? (node.DiscoKey ?? ZERO_DISCO_PUBLIC) : peer.discoKey;
    const oldDiscoKey = discoKey === peer.discoKey ? undefined : peer.discoKey;
    peer.node = node;
    peer.discoKey = discoKey;
    peer.homeRegion = homeRegionOf(node);
    peer.jailed = node.IsJailed === true;
    return { peer, before, oldRoutes, oldDiscoKey };
  }

  #hasSameRoutes(a: Node, b: Node): boolean {
    const isPatched =
      a.AllowedIPs === b.AllowedIPs &&
      a.Addresses === b.Addresses &&
      a.UnsignedPeerAPIOnly === b.UnsignedPeerAPIOnly;
    return (
      isPatched || samePrefixes(routesOf(a, this.#acceptRoutes), routesOf(b, this.#acceptRoutes))
    );
  }

  #index(node: Node): void {
    for (const address of nodeAddresses(node)) this.#byAddress.set(address, node);
    this.#indexName(node);
  }

  #indexName(node: Node): void {
    for (const name of this.#namesOf(node)) this.#byName.set(name, node);
  }

  #unindex(node: Node): void {
    for (const address of nodeAddresses(node)) {
      if (this.#byAddress.get(address) === node) this.#byAddress.delete(address);
    }
    for (const name of this.#namesOf(node)) {
      if (this.#byName.get(name) === node) this.#byName.delete(name);
    }
  }

  #namesOf(node: Node): string[] {
    const name = nodeName(node).toLowerCase();
    if (name === '') return [];
    const tail = `.${this.#suffix}`;
    const short = this.#suffix !== '' && name.endsWith(tail) ? name.slice(0, -tail.length) : '';
    return short === '' ? [name] : [name, short];
  }
}

function routesOf(node: Node, acceptRoutes: boolean): Prefix[] {
  const own = new Set(nodeAddresses(node));
  return nodeAllowedIps(node).filter((prefix) => {
    const single = prefix.bits === prefix.addr.length * 8;
    if (single && (isTailscaleAddr(prefix.addr) || own.has(formatAddr(prefix.addr)))) {
      return node.UnsignedPeerAPIOnly !== true || own.has(formatAddr(prefix.addr));
    }
    return acceptRoutes && prefix.bits > 0 && node.UnsignedPeerAPIOnly !== true;
  });
}

/** Peers without a disco key speak no protocol we know; expired ones get no traffic. */
function isUsable(node: Node): boolean {
  return (
    node.Expired !== true &&
    !isZeroKey(node.Key) &&
    (!isZeroKey(node.DiscoKey) || node.IsWireGuardOnly === true)
  );
}

function homeRegionOf(node: Node): number {
  if (node.HomeDERP) return node.HomeDERP;
  // Older servers write the pseudo address 127.3.3.40:<region>.
  const legacy = /^127\.3\.3\.40:(\d{1,5})$/.exec(node.DERP ?? '');
  return legacy ? Number(legacy[1]) : 0;
}

function samePrefixes(a: readonly Prefix[], b: readonly Prefix[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      (prefix, i) =>
        prefix.bits === b[i]!.bits &&
        prefix.addr.length === b[i]!.addr.length &&
        prefix.addr.every((byte, at) => byte === b[i]!.addr[at]),
    )
  );
}
