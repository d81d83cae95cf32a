// Folds one map message into the previous network map. The first message of a stream starts from nothing; every
// later one says what changed. Absent means unchanged throughout; empty means empty, except for `Peers`.
import { isZeroKey } from '@cove/protocol/keys';
import type { MapResponse } from '@cove/protocol/mapmessage';
import {
  type DERPMap,
  type FilterRule,
  type Node,
  type NodeID,
  type PeerChange,
  parseNodeID,
} from '@cove/protocol/tailcfg';
import { TsnetError } from '../errors.ts';
import { type NetworkMap, wireTime } from '../netmap.ts';
import { deepEqual } from './deepequal.ts';

/** Server times before this instant (2023-01-10) are not believed. */
const EARLIEST_CONTROL_TIME = 1_673_373_066_000;
/** Clocks that agree to the minute are taken as equal. */
const CLOCK_TOLERANCE = 60_000;

type Peers = ReadonlyMap<NodeID, Node>;

/**
 * The map after this message; unchanged parts keep their identity, and a message that changes nothing gives back
 * `previous`. A keep-alive carries at most the server's time.
 * Throws ERR_CONTROL_PROTOCOL when the first message of a stream does not name this node.
 */
export function foldMapResponse(
  previous: NetworkMap | undefined,
  message: MapResponse,
  wallNow: number,
): NetworkMap {
  const clockOffset = clockOffsetFrom(message.ControlTime, wallNow, previous?.clockOffset ?? 0);
  if (message.KeepAlive === true && previous !== undefined) {
    return clockOffset === previous.clockOffset ? previous : { ...previous, clockOffset };
  }
  const self = message.Node ?? previous?.self;
  if (self === undefined) {
    throw new TsnetError('ERR_CONTROL_PROTOCOL', 'the first map does not describe this node');
  }
  const packetFilters = foldFilters(previous?.packetFilters ?? NO_FILTERS, message);
  const next: NetworkMap = {
    self: keepIfEqual(previous?.self, self),
    peers: foldPeers(previous?.peers ?? NO_PEERS, message, wallNow),
    users: foldUsers(previous?.users ?? NO_USERS, message),
    derpMap: foldDerpMap(previous?.derpMap, message.DERPMap),
    dns: keepIfEqual(previous?.dns, message.DNSConfig ?? previous?.dns),
    packetFilters,
    filterRules:
      previous !== undefined && packetFilters === previous.packetFilters
        ? previous.filterRules
        : effectiveRules(packetFilters),
    sshPolicy: keepIfEqual(previous?.sshPolicy, message.SSHPolicy ?? previous?.sshPolicy),
    domain: message.Domain || (previous?.domain ?? ''),
    health: keepIfEqual(previous?.health, message.Health ?? previous?.health ?? []),
    displayMessages: foldMessages(previous?.displayMessages ?? NO_MESSAGES, message),
    clockOffset,
  };
  return previous !== undefined && sameParts(previous, next) ? previous : next;
}

const NO_PEERS: Peers = new Map();
const NO_USERS: NetworkMap['users'] = new Map();
const NO_FILTERS: NetworkMap['packetFilters'] = new Map();
const NO_MESSAGES: NetworkMap['displayMessages'] = new Map();

function sameParts(a: NetworkMap, b: NetworkMap): boolean {
  return (Object.keys(b) as (keyof NetworkMap)[]).every((key) => a[key] === b[key]);
}

/** The old value when the new one says the same. */
function keepIfEqual<T>(old: T | undefined, value: T): T {
  return old !== undefined && deepEqual(old, value) ? old : value;
}

function clockOffsetFrom(time: string | undefined, wallNow: number, previous: number): number {
  const server = wireTime(time);
  if (server === undefined || server < EARLIEST_CONTROL_TIME) return previous;
  const offset = server - wallNow;
  if (Math.abs(offset) < CLOCK_TOLERANCE) return 0;
  // The time on the way makes the figure tremble; a new one must differ to count.
  return Math.abs(offset - previous) < CLOCK_TOLERANCE / 2 ? previous : offset;
}

function foldPeers(previous: Peers, message: MapResponse, wallNow: number): Peers {
  if ((message.Peers ?? []).length > 0) return replacePeers(previous, message.Peers!);
  const peers = new Map(previous);
  let changed = false;
  const set = (node: Node): void => {
    const kept = keepIfEqual(peers.get(node.ID), node);
    if (kept === peers.get(node.ID)) return;
    peers.set(node.ID, kept);
    changed = true;
  };
  for (const id of message.PeersRemoved ?? []) changed = peers.delete(id) || changed;
  const owners = ownersOfKeys(peers, message);
  for (const given of message.PeersChanged ?? []) {
    const node = slim(given);
    if (isValid(node) && claimKey(owners, node, peers.get(node.ID))) set(node);
  }
  for (const [id, seen] of Object.entries(message.PeerSeenChange ?? {})) {
    const peer = byText(peers, id);
    if (peer === undefined) continue;
    const { LastSeen: _old, ...rest } = peer;
    set(seen ? { ...rest, LastSeen: new Date(wallNow).toISOString() } : rest);
  }
  for (const [id, online] of Object.entries(message.OnlineChange ?? {})) {
    const peer = byText(peers, id);
    if (peer !== undefined) set({ ...peer, Online: online });
  }
  for (const patch of message.PeersChangedPatch ?? []) {
    const peer = peers.get(patch.NodeID);
    if (peer === undefined) continue;
    const patched = patchPeer(peer, patch);
    if (claimKey(owners, patched, peer)) set(patched);
  }
  return changed ? peers : previous;
}

function replacePeers(previous: Peers, list: readonly Node[]): Peers {
  const peers = new Map<NodeID, Node>();
  const owners = new Map<string, NodeID>();
  let same = 0;
  for (const given of list) {
    const node = slim(given);
    if (!isValid(node) || !claimKey(owners, node)) continue;
    const old = previous.get(node.ID);
    const kept = keepIfEqual(old, node);
    if (kept === old) same++;
    peers.set(node.ID, kept);
  }
  return same === previous.size && peers.size === previous.size ? previous : peers;
}

function byText(peers: Peers, text: string): Node | undefined {
  const id = parseNodeID(text);
  return id === undefined ? undefined : peers.get(id);
}

/** Most nodes route their own addresses and no more: those that say so twice keep one list. */
function slim(node: Node): Node {
  const { Addresses, AllowedIPs } = node;
  return AllowedIPs !== undefined && deepEqual(AllowedIPs, Addresses)
    ? { ...node, AllowedIPs: Addresses }
    : node;
}

/** Entries with ID 0 or without a key are to be ignored. */
function isValid(node: Node): boolean {
  return BigInt(node.ID) > 0n && !isZeroKey(node.Key);
}

/** Who has which key, where the message could make two nodes claim one. */
function ownersOfKeys(peers: Peers, message: MapResponse): Map<string, NodeID> {
  const owners = new Map<string, NodeID>();
  const mayClash =
    (message.PeersChanged ?? []).length > 0 ||
    (message.PeersChangedPatch ?? []).some((patch) => patch.Key !== undefined);
  if (mayClash) for (const [id, peer] of peers) owners.set(peer.Key, id);
  return owners;
}

/** Refuses a key that another node already has: two IDs behind one key would be one peer to WireGuard. */
function claimKey(owners: Map<string, NodeID>, node: Node, before?: Node): boolean {
  const owner = owners.get(node.Key);
  if (owner !== undefined && owner !== node.ID) return false;
  if (before !== undefined) owners.delete(before.Key);
  owners.set(node.Key, node.ID);
  return true;
}

function patchPeer(peer: Node, patch: PeerChange): Node {
  return {
    ...peer,
    ...(patch.DERPRegion ? { HomeDERP: patch.DERPRegion } : {}),
    ...(patch.Cap ? { Cap: patch.Cap } : {}),
    ...(patch.CapMap === undefined ? {} : { CapMap: patch.CapMap }),
    ...(patch.Endpoints === undefined ? {} : { Endpoints: patch.Endpoints }),
    ...(patch.Key === undefined ? {} : { Key: patch.Key }),
    ...(patch.KeySignature === undefined ? {} : { KeySignature: patch.KeySignature }),
    ...(patch.DiscoKey === undefined ? {} : { DiscoKey: patch.DiscoKey }),
    ...(patch.Online === undefined ? {} : { Online: patch.Online }),
    ...(patch.LastSeen === undefined ? {} : { LastSeen: patch.LastSeen }),
    ...(patch.KeyExpiry === undefined ? {} : { KeyExpiry: patch.KeyExpiry }),
  };
}

function foldUsers(previous: NetworkMap['users'], message: MapResponse): NetworkMap['users'] {
  let users: Map<NodeID, NonNullable<MapResponse['UserProfiles']>[number]> | undefined;
  for (const profile of message.UserProfiles ?? []) {
    if (deepEqual(previous.get(profile.ID), profile)) continue;
    users ??= new Map(previous);
    users.set(profile.ID, profile);
  }
  return users ?? previous;
}

function foldDerpMap(
  previous: DERPMap | undefined,
  update: DERPMap | undefined,
): DERPMap | undefined {
  if (update === undefined) return previous;
  const regions = update.Regions ?? previous?.Regions;
  const homeParams = update.HomeParams ?? previous?.HomeParams;
  return keepIfEqual<DERPMap>(previous, {
    ...update,
    ...(regions === undefined ? {} : { Regions: regions }),
    ...(homeParams === undefined ? {} : { HomeParams: homeParams }),
  });
}

function foldFilters(
  previous: NetworkMap['packetFilters'],
  message: MapResponse,
): NetworkMap['packetFilters'] {
  if (message.PacketFilter === undefined && message.PacketFilters === undefined) return previous;
  const filters = new Map(previous);
  if (message.PacketFilter !== undefined) filters.set('base', message.PacketFilter);
  const named = message.PacketFilters ?? {};
  if (named['*'] === null) filters.clear();
  for (const [name, rules] of Object.entries(named)) {
    if (rules === null) filters.delete(name);
    else filters.set(name, rules);
  }
  return keepIfEqual<NetworkMap['packetFilters']>(previous, filters);
}

function effectiveRules(filters: NetworkMap['packetFilters']): readonly FilterRule[] {
  return [...filters]
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .flatMap(([, rules]) => rules);
}

function foldMessages(
  previous: NetworkMap['displayMessages'],
  message: MapResponse,
): NetworkMap['displayMessages'] {
  if (message.DisplayMessages === undefined) return previous;
  const messages = new Map(previous);
  if (message.DisplayMessages['*'] === null) messages.clear();
  for (const [id, value] of Object.entries(message.DisplayMessages)) {
    if (value === null) messages.delete(id);
    else messages.set(id, value);
  }
  return keepIfEqual<NetworkMap['displayMessages']>(previous, messages);
}
