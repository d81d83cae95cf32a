// The packet filter: which packets from peers reach this node, and which of its own may leave.
//
// Rules are enforced by the receiver. TCP needs no state: only a segment that opens a connection is looked up.
// UDP and SCTP replies pass through the flow table. No rules (or none installed yet) block everything new.
import { FlowTable } from './flows.ts';
import {
  ICMP,
  ICMPV6,
  LATER_FRAGMENT,
  type PacketHeader,
  SCTP,
  TCP,
  TSMP,
  UDP,
  UNKNOWN,
} from './header.ts';
import type { IpSet } from './ipset.ts';
import { type CompiledRules, NO_RULES } from './rules.ts';

/** What becomes of a packet; also an index into VERDICT_NAMES and into the engine's counters. */
export const Verdict = {
  accept: 0,
  tooShort: 1,
  unknownProtocol: 2,
  multicast: 3,
  linkLocal: 4,
  notLocal: 5,
  noRule: 6,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export const VERDICT_NAMES: readonly string[] = [
  'accept',
  'too_short',
  'unknown_protocol',
  'multicast',
  'link_local',
  'not_local',
  'no_rule',
];

/** Whether the node that owns a source address (four words, as in PacketHeader) has a node capability. */
export type SourceHasCap = (
  cap: string,
  family: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
) => boolean;

/** 169.254.169.254, the cloud providers' resolver: the one link-local destination allowed. */
const CLOUD_RESOLVER = 0xa9fea9fe;

export class Filter {
  readonly #flows: FlowTable = new FlowTable();
  readonly #sourceHasCap: SourceHasCap;
  #rules: CompiledRules = NO_RULES;
  #local: IpSet | undefined;

  constructor(sourceHasCap: SourceHasCap) {
    this.#sourceHasCap = sourceHasCap;
  }

  /** Replaces rules and own addresses; known flows stay known. */
  install(rules: CompiledRules, local: IpSet): void {
    this.#rules = rules;
    this.#local = local;
  }

  /** For a packet decrypted from a peer. */
  checkInbound(p: PacketHeader): Verdict {
    const verdict = preCheck(p);
    if (verdict !== Verdict.accept) return verdict;
    if (p.protocol === LATER_FRAGMENT) return Verdict.accept;
    if (!this.#local?.has(p.family, p.dst0, p.dst1, p.dst2, p.dst3)) return Verdict.notLocal;
    switch (p.protocol) {
      case ICMP:
      case ICMPV6:
        if (isIcmpAnswer(p) || this.#matchesAddresses(p)) return Verdict.accept;
        return Verdict.noRule;
      case TCP:
        if (!p.isTcpOpen) return Verdict.accept;
        break;
      case UDP:
      case SCTP:
        if (this.#flows.isReply(p)) return Verdict.accept;
        break;
      case TSMP:
        return Verdict.accept;
      default:
        return this.#matchesProtocol(p) ? Verdict.accept : Verdict.noRule;
    }
    return this.#matchesPorts(p) ? Verdict.accept : Verdict.noRule;
  }

  /** For a packet this node is about to send; notes the flow so that its replies come back in. */
  checkOutbound(p: PacketHeader): Verdict {
    const verdict = preCheck(p);
    if (verdict === Verdict.accept && (p.protocol === UDP || p.protocol === SCTP))
      this.#flows.noteOutbound(p);
    return verdict;
  }

  #matchesPorts(p: PacketHeader): boolean {
    for (const match of this.#rules.matches) {
      if (match.protocols[p.protocol] === 0 || !this.#matchesSource(match, p)) continue;
      for (const range of match.ports) {
        if (
          p.dstPort >= range.first &&
          p.dstPort <= range.last &&
          range.addresses.has(p.family, p.dst0, p.dst1, p.dst2, p.dst3)
        )
          return true;
      }
    }
    return false;
  }

  /** A protocol without ports is allowed only by a rule that names it for all ports. */
  #matchesProtocol(p: PacketHeader): boolean {
    for (const match of this.#rules.matches) {
      if (match.protocols[p.protocol] === 0 || !this.#matchesSource(match, p)) continue;
      for (const range of match.ports) {
        if (
          range.first === 0 &&
          range.last === 65535 &&
          range.addresses.has(p.family, p.dst0, p.dst1, p.dst2, p.dst3)
        )
          return true;
      }
    }
    return false;
  }

  /** Who may reach any port of a destination may ping it; a `cap:` source may ping wherever it can route to. */
  #matchesAddresses(p: PacketHeader): boolean {
    for (const match of this.#rules.matches) {
      if (match.sources.has(p.family, p.src0, p.src1, p.src2, p.src3)) {
        for (const range of match.ports) {
          if (range.addresses.has(p.family, p.dst0, p.dst1, p.dst2, p.dst3)) return true;
        }
      }
      if (this.#hasSourceCap(match.sourceCaps, p)) return true;
    }
    return false;
  }

  #matchesSource(match: CompiledRules['matches'][number], p: PacketHeader): boolean {
    return (
      match.sources.has(p.family, p.src0, p.src1, p.src2, p.src3) ||
      this.#hasSourceCap(match.sourceCaps, p)
    );
  }

  #hasSourceCap(caps: readonly string[], p: PacketHeader): boolean {
    for (const cap of caps) {
      if (this.#sourceHasCap(cap, p.family, p.src0, p.src1, p.src2, p.src3)) return true;
    }
    return false;
  }
}

/** What holds for both directions. */
function preCheck(p: PacketHeader): Verdict {
  if (p.family === 0) return p.length < 20 ? Verdict.tooShort : Verdict.unknownProtocol;
  if (p.protocol === UNKNOWN) return Verdict.unknownProtocol;
  if (p.family === 4) {
    if (p.dst3 >>> 28 === 0xe) return Verdict.multicast;
    if (p.dst3 >>> 16 === 0xa9fe && p.dst3 !== CLOUD_RESOLVER) return Verdict.linkLocal;
  } else {
    if (p.dst0 >>> 24 === 0xff) return Verdict.multicast;
    if (p.dst0 >>> 22 === 0x3fa) return Verdict.linkLocal;
  }
  return Verdict.accept;
}

/** Echo replies and errors, which only answer what this node sent. */
function isIcmpAnswer(p: PacketHeader): boolean {
  switch (p.icmpType) {
    case 0:
    case 11:
    case 12:
      return p.protocol === ICMP;
    case 1:
    case 2:
    case 4:
    case 129:
      return p.protocol === ICMPV6;
    case 3:
      return true;
    default:
      return false;
  }
}
