// MagicDNS: answers what the tailnet's names are, and says what somebody else has to answer. Sans I/O.
import {
  type DnsData,
  type DnsQuestion,
  DnsRcode,
  type DnsRecord,
  DnsType,
  encodeDns,
  MAX_DNS_LENGTH,
  parseDnsQuery,
} from '@cove/protocol/dns';
import { parseReverseName } from '@cove/protocol/dnsname';
import { formatAddr, parseAddr } from '@cove/protocol/netaddr';
import type { DNSConfig } from '@cove/protocol/tailcfg';
import { resolveName, reverseName } from '../magicdns.ts';
import { magicDnsSuffix, type NetworkMap } from '../netmap.ts';
import type { NodeTable } from '../nodetable.ts';

/** Where every node answers for itself. */
export const SERVICE_ADDRESSES: readonly string[] = ['100.100.100.100', 'fd7a:115c:a1e0::53'];
const SERVICE_NAME = 'magicdns.localhost-tailscale-daemon';

/** Seconds. */
const POSITIVE_TTL = 5;
const NEGATIVE_TTL = 10;
/** Reverse zones of 100.64.0.0/10 and of fd7a:115c:a1e0::/48. */
const REVERSE_ZONES: readonly string[] = [
  ...Array.from({ length: 64 }, (_, i) => `${64 + i}.100.in-addr.arpa`),
  '0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa',
];
/** Browsing domains of DNS-SD (RFC 6763 section 11): a tailnet has none. */
const BROWSING = /^(?:b|db|r|dr|lb)\._dns-sd\._udp\./;
const UNANSWERED: ReadonlySet<number> = new Set([
  DnsType.NS,
  DnsType.SOA,
  DnsType.AXFR,
  DnsType.HINFO,
]);

/** An answer, or the name that somebody else is to be asked for; undefined: not a query at all. */
export type Response =
  | { readonly kind: 'reply'; readonly bytes: Uint8Array }
  | { readonly kind: 'forward'; readonly name: string }
  | undefined;

interface Outcome {
  readonly rcode: number;
  readonly answers?: readonly DnsRecord[];
  /** The zone that vouches for there being nothing. */
  readonly zone?: string;
}

/** `wallSeconds` is the serial number of our zones. */
export function respond(query: Uint8Array, nodes: NodeTable, wallSeconds: number): Response {
  const header = parseDnsQuery(query);
  if (header === undefined) return undefined;
  const { question } = header;
  const reply = (outcome: Outcome): Response => ({
    kind: 'reply',
    bytes: encodeDns(
      {
        ...header,
        response: true,
        authoritative: true,
        truncated: false,
        recursionAvailable: header.recursionDesired,
        authenticData: false,
        rcode: outcome.rcode,
        questions: question === undefined ? [] : [question],
        answers: outcome.answers ?? [],
        authorities:
          outcome.zone === undefined ? [] : [startOfAuthority(outcome.zone, wallSeconds)],
        additionals: [],
      },
      MAX_DNS_LENGTH,
    ),
  });
  if (header.response || question === undefined) return reply({ rcode: DnsRcode.formErr });
  if (header.opcode !== 0) return reply({ rcode: DnsRcode.notImp });
  const name = question.name.toLowerCase();
  const outcome = answer(name, question, nodes);
  return outcome === undefined ? { kind: 'forward', name } : reply(outcome);
}

/** A reply without an answer, for what could not be asked on. */
export function failure(query: Uint8Array, rcode: number): Uint8Array | undefined {
  const header = parseDnsQuery(query);
  if (header === undefined) return undefined;
  return encodeDns({
    ...header,
    response: true,
    authoritative: false,
    truncated: false,
    recursionAvailable: header.recursionDesired,
    authenticData: false,
    rcode,
    questions: header.question === undefined ? [] : [header.question],
    answers: [],
    authorities: [],
    additionals: [],
  });
}

/** Undefined: not ours to answer. */
function answer(name: string, question: DnsQuestion, nodes: NodeTable): Outcome | undefined {
  const { map } = nodes;
  if (name === 'onion' || name.endsWith('.onion')) return { rcode: DnsRcode.nxDomain };
  if (name === SERVICE_NAME) return found(question, [...SERVICE_ADDRESSES], name);
  if (question.type === DnsType.PTR) {
    const known = answerReverse(name, question, nodes);
    if (known !== undefined) return known;
  }
  if (map?.dns?.Proxied !== true) return undefined;
  const addresses = resolveName(nodes, name);
  const zone = authoritativeZone(map, name);
  if (addresses !== undefined) return found(question, addresses, zone ?? name);
  return zone === undefined ? undefined : { rcode: DnsRcode.nxDomain, zone };
}

function found(question: DnsQuestion, addresses: readonly string[], zone: string): Outcome {
  if (UNANSWERED.has(question.type)) return { rcode: DnsRcode.notImp };
  const all = addresses.map((text) => parseAddr(text)!);
  const of = (length: number): Uint8Array[] => all.filter((addr) => addr.length === length);
  switch (question.type) {
    case DnsType.A:
    case DnsType.AAAA: {
      const answers = of(question.type === DnsType.A ? 4 : 16).map((addr) =>
        address(question, addr),
      );
      return answers.length > 0
        ? { rcode: DnsRcode.noError, answers }
        : { rcode: DnsRcode.noError, zone };
    }
    case DnsType.ANY:
      return { rcode: DnsRcode.noError, answers: all.slice(0, 1).map((a) => address(question, a)) };
    default:
      return { rcode: DnsRcode.noError };
  }
}

function answerReverse(name: string, question: DnsQuestion, nodes: NodeTable): Outcome | undefined {
  if (BROWSING.test(name)) return { rcode: DnsRcode.nxDomain };
  const addr = parseReverseName(name);
  if (addr === undefined) return undefined;
  const text = formatAddr(addr);
  const target = SERVICE_ADDRESSES.includes(text) ? SERVICE_NAME : reverseName(nodes, text);
  if (target === undefined) return undefined;
  return {
    rcode: DnsRcode.noError,
    answers: [record(question, DnsType.PTR, { kind: 'name', target })],
  };
}

/** The zone of ours that a name lies in; undefined: none. */
function authoritativeZone(map: NetworkMap, name: string): string | undefined {
  return zonesOf(map).find((zone) => zone !== '' && (name === zone || name.endsWith(`.${zone}`)));
}

function zonesOf(map: NetworkMap): string[] {
  return [magicDnsSuffix(map).toLowerCase(), ...REVERSE_ZONES, ...localRoutes(map.dns)];
}

/** Suffixes that control says are answered here, by having no resolver. */
function localRoutes(dns: DNSConfig | undefined): string[] {
  return Object.entries(dns?.Routes ?? {})
    .filter(([, resolvers]) => (resolvers ?? []).length === 0)
    .map(([suffix]) => plainSuffix(suffix));
}

/** Lower case, without dots at its ends. */
export function plainSuffix(suffix: string): string {
  return suffix.toLowerCase().replace(/^\.|\.$/g, '');
}

function address(question: DnsQuestion, addr: Uint8Array): DnsRecord {
  return record(question, addr.length === 4 ? DnsType.A : DnsType.AAAA, { kind: 'address', addr });
}

function record(question: DnsQuestion, type: number, data: DnsData): DnsRecord {
  return { name: question.name, type, class: question.class, ttl: POSITIVE_TTL, data };
}

function startOfAuthority(zone: string, serial: number): DnsRecord {
  const ttl = NEGATIVE_TTL;
  return {
    name: zone,
    type: DnsType.SOA,
    class: 1,
    ttl,
    data: {
      kind: 'soa',
      primary: zone,
      mailbox: zone,
      serial: serial >>> 0,
      refresh: ttl,
      retry: ttl,
      expire: ttl,
      minimum: ttl,
    },
  };
}
