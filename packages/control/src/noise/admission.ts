// Which connections may join those that are there, as far as strangers are concerned. A Noise key costs nothing, so
// neither one machine, nor one source, nor all strangers together may hold so many that nodes find no room.
import type { MachinePublic } from '@cove/protocol/keys';
import { unmapAddr } from '@cove/protocol/mappedaddr';
import { formatAddr, parseAddr } from '@cove/protocol/netaddr';

/** Connections of machines without a node on which nothing was registered yet. */
export const MAX_STRANGERS = 1024;
/** A client has one connection, and may have left a few behind. */
const MAX_PER_MACHINE = 8;
/** Many machines may share an address (RFC 3022); few of them wait to be let in at a time. */
const MAX_PER_SOURCE = 64;

export interface Connection {
  readonly machine: MachinePublic;
  /** What sourceOf gave. */
  readonly source: string | undefined;
  /** A request on it named a node of its machine. */
  readonly known: boolean;
}

/**
 * Where a peer is, for counting: an IPv4 address, or the /64 of an IPv6 address, which one host has for itself.
 * undefined for loopback, which is a proxy or this machine, and for what is no address.
 */
export function sourceOf(remoteAddress: string | undefined): string | undefined {
  const parsed = parseAddr(remoteAddress?.replace(/%.*$/, '') ?? '');
  if (parsed === undefined) return undefined;
  const addr = unmapAddr(parsed);
  if (addr.length === 4) return addr[0] === 127 ? undefined : formatAddr(addr);
  const text = formatAddr(addr);
  if (text === '::1') return undefined;
  return formatAddr(addr.slice().fill(0, 8));
}

/** Whether one more connection has room. A machine that owns a node always has. */
export function hasRoom(
  connections: Iterable<Connection>,
  machine: MachinePublic,
  source: string | undefined,
  ownsNode: (machine: MachinePublic) => boolean,
): boolean {
  if (ownsNode(machine)) return true;
  let all = 0;
  let ofMachine = 0;
  let ofSource = 0;
  for (const connection of connections) {
    if (connection.known || ownsNode(connection.machine)) continue;
    all++;
    if (connection.machine === machine) ofMachine++;
    if (source !== undefined && connection.source === source) ofSource++;
  }
  return all < MAX_STRANGERS && ofMachine < MAX_PER_MACHINE && ofSource < MAX_PER_SOURCE;
}
