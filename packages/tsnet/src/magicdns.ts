// Names of the tailnet -> addresses, and back: what MagicDNS would answer, for this node's own dials.
//
// Node names come in full or as their first label; ExtraRecords after them. Case and a trailing dot do not matter.
import { formatAddr, parseAddr } from '@cove/protocol/netaddr';
import type { DNSConfig, Node } from '@cove/protocol/tailcfg';
import { type NetworkMap, nodeAddresses, nodeName } from './netmap.ts';
import type { NodeTable } from './nodetable.ts';

/** Self-node capability: AAAA records for peers that have IPv4 too. */
const CAP_AAAA = 'magicdns-aaaa';
/** Node capability: every name below the node's own is the node's, too. */
const CAP_SUBDOMAINS = 'dns-subdomain-resolve';

/**
 * Addresses of a name, IPv4 first, canonical text. Undefined: the tailnet does not know the name. Empty: it does, but
 * the node has no address.
 */
export function resolveName(table: NodeTable, name: string): string[] | undefined {
  const wanted = normalize(name);
  const map = table.map;
  if (!map || wanted === '') return undefined;
  const node = table.byName(wanted) ?? subdomainHost(table, wanted);
  if (node) return reachable(map, node);
  return extraRecords(map.dns, wanted);
}

/** The full name of the node that has the address, without trailing dot. */
export function reverseName(table: NodeTable, address: string): string | undefined {
  const node = table.byAddress(address);
  const name = node && nodeName(node);
  return name === '' ? undefined : name;
}

function normalize(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** IPv4 first. A node without IPv4 of its own can only use IPv6, one with it prefers IPv4 unless told otherwise. */
function reachable(map: NetworkMap, node: Node): string[] {
  const addresses = nodeAddresses(node);
  const v4 = addresses.filter((address) => !address.includes(':'));
  const v6 = addresses.filter((address) => address.includes(':'));
  const own = nodeAddresses(map.self);
  if (!own.some((address) => !address.includes(':'))) return v6;
  if (v4.length > 0 && !(map.self.CapMap && CAP_AAAA in map.self.CapMap)) return v4;
  return own.some((address) => address.includes(':')) ? [...v4, ...v6] : v4;
}

function subdomainHost(table: NodeTable, name: string): Node | undefined {
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const parent = name.slice(dot + 1);
    // First labels are no domains: `x.host` is not below `host`.
    const node = parent.includes('.') ? table.byName(parent) : undefined;
    if (node) return node.CapMap && CAP_SUBDOMAINS in node.CapMap ? node : undefined;
  }
  return undefined;
}

function extraRecords(dns: DNSConfig | undefined, name: string): string[] | undefined {
  const found: string[] = [];
  for (const record of dns?.ExtraRecords ?? []) {
    if (normalize(record.Name) !== name) continue;
    const type = record.Type ?? '';
    const addr = parseAddr(record.Value);
    if (!addr || !(type === '' || type === (addr.length === 4 ? 'A' : 'AAAA'))) continue;
    found.push(formatAddr(addr));
  }
  if (found.length === 0) return undefined;
  return [...found.filter((a) => !a.includes(':')), ...found.filter((a) => a.includes(':'))];
}
