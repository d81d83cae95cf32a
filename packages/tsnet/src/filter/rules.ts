// The packet filter's rules as control sends them (FilterRule), compiled to interval sets.
//
// A malformed source or destination is left out and reported; the rest of its rule, and the other rules, stay in
// force. Two legacy members (SrcBits, Bits) mean nothing safe can be read: the whole filter then allows nothing.
import type { FilterRule } from '@cove/protocol/tailcfg';
import { type AddressRange, IpSet, parseAddressRanges } from './ipset.ts';

/** Protocols of a rule that names none: TCP, UDP, ICMP, ICMPv6. */
const DEFAULT_PROTOCOLS: readonly number[] = [6, 17, 1, 58];

export interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly addresses: IpSet;
}

/** One rule about packets. */
export interface Match {
  /** Indexed by IP protocol number: 1 = named by the rule. */
  readonly protocols: Uint8Array;
  readonly sources: IpSet;
  /** Node capabilities, any of which lets a source in. */
  readonly sourceCaps: readonly string[];
  readonly ports: readonly PortRange[];
}

export interface CompiledRules {
  readonly matches: readonly Match[];
  /** What was left out, for the log. */
  readonly problems: readonly string[];
}

export const NO_RULES: CompiledRules = { matches: [], problems: [] };

export function compileRules(rules: readonly FilterRule[]): CompiledRules {
  const problems: string[] = [];
  const matches: Match[] = [];
  for (const rule of rules) {
    const destinations = rule.DstPorts ?? [];
    const legacyBits = destinations.some((d) => (d.Bits ?? undefined) !== undefined);
    if ((rule.SrcBits ?? []).length > 0 || legacyBits) {
      return { matches: [], problems: ['a rule uses SrcBits or Bits: nothing is allowed'] };
    }
    if (destinations.length === 0) continue;
    const sourceCaps: string[] = [];
    const sources: AddressRange[] = [];
    for (const text of rule.SrcIPs ?? []) {
      if (text.startsWith('cap:')) sourceCaps.push(text.slice(4));
      else sources.push(...ranges(text, problems));
    }
    const byPorts = new Map<string, { first: number; last: number; ranges: AddressRange[] }>();
    for (const { IP, Ports } of destinations) {
      const { First: first, Last: last } = Ports;
      const key = `${first}-${last}`;
      const entry = byPorts.get(key) ?? { first, last, ranges: [] };
      byPorts.set(key, entry);
      entry.ranges.push(...ranges(IP, problems));
    }
    matches.push({
      protocols: protocolTable(rule.IPProto ?? []),
      sources: new IpSet(sources),
      sourceCaps,
      ports: [...byPorts.values()].map((entry) => ({
        first: entry.first,
        last: entry.last,
        addresses: new IpSet(entry.ranges),
      })),
    });
  }
  return { matches, problems };
}

/** Is some address of the rules' sources inside one of the ranges? Used to refuse peers outside the tailnet lock. */
export function anySourceOverlaps(rules: CompiledRules, ranges: readonly AddressRange[]): boolean {
  return rules.matches.some((match) =>
    ranges.some((range) => match.sources.overlaps(range.first, range.last)),
  );
}

function ranges(text: string, problems: string[]): readonly AddressRange[] {
  const parsed = parseAddressRanges(text);
  if (!parsed) problems.push(`not an address, prefix or range: ${JSON.stringify(text)}`);
  return parsed ?? [];
}

function protocolTable(protocols: readonly number[]): Uint8Array {
  const table = new Uint8Array(256);
  for (const p of protocols.length === 0 ? DEFAULT_PROTOCOLS : protocols) {
    if (p >= 0 && p <= 255) table[p] = 1;
  }
  return table;
}
