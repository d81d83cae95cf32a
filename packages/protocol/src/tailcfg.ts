// The objects control and nodes exchange in JSON, with the member names of the wire. Optional means the member
// may be absent; `null` on the wire is the same except where a type says `| null`. Where absent and empty differ,
// the member says so: an empty list or object is kept apart from undefined. Members nobody may rely on are left
// out and ignored when read.
//
//   key          prefixed hex text            prefix, ip:port   text, checked when read
//   Uint8Array   standard base64              time              RFC 3339 text with any offset; year 1 = none
//   NodeID       number, up to 2^63 - 1       integer map keys  decimal text
import { messageParser } from './jsonshape.ts';
import type { DiscoPublic, MachinePublic, NodePublic } from './keys.ts';
import { derpMap } from './tailcfgjson.ts';

/** Positive 64-bit integer: a number when it is exact as one, otherwise a bigint. Never mixed for one value. */
export type NodeID = number | bigint;
export type UserID = number | bigint;
/** Opaque and not empty. */
export type StableNodeID = string;
/** RFC 3339; see time.ts. */
export type Time = string;
/** Any JSON value; numbers beyond 2^53 as bigint. */
export type RawJSON = unknown;
/** Capability name to its arguments; a capability without any has an empty list. */
export type CapMap = Readonly<Record<string, readonly RawJSON[]>>;

/** A node as control describes it: the receiver itself or one of its peers. */
export interface Node {
  /** Never reused; the key of all deltas. Entries with 0 are to be ignored. */
  readonly ID: NodeID;
  readonly StableID: StableNodeID;
  /** Fully qualified with a trailing dot; empty when there is no DNS name. */
  readonly Name: string;
  readonly User: UserID;
  readonly Sharer?: UserID;
  readonly Key: NodePublic;
  /** Absent or zero: never. */
  readonly KeyExpiry?: Time;
  readonly KeySignature?: Uint8Array;
  readonly Machine?: MachinePublic;
  readonly DiscoKey?: DiscoPublic;
  /** The node's own addresses as /32 and /128, IPv4 first. */
  readonly Addresses: readonly string[];
  /** What may be routed to it; absent means Addresses, empty means nothing. */
  readonly AllowedIPs?: readonly string[];
  readonly Endpoints?: readonly string[];
  /** `127.3.3.40:<region>`, for clients before capability version 111. */
  readonly DERP?: string;
  /** Relay region, 16 bits; absent or 0: none. */
  readonly HomeDERP?: number;
  readonly Hostinfo?: Hostinfo;
  readonly Created?: Time;
  /** Capability version of that node's client. */
  readonly Cap?: number;
  /** Present: the node is tagged. */
  readonly Tags?: readonly string[];
  readonly PrimaryRoutes?: readonly string[];
  readonly LastSeen?: Time;
  readonly Online?: boolean;
  readonly MachineAuthorized?: boolean;
  readonly CapMap?: CapMap;
  readonly UnsignedPeerAPIOnly?: boolean;
  readonly ComputedName?: string;
  readonly ComputedNameWithHost?: string;
  readonly DataPlaneAuditLogID?: string;
  readonly Expired?: boolean;
  readonly SelfNodeV4MasqAddrForThisPeer?: string;
  readonly SelfNodeV6MasqAddrForThisPeer?: string;
  readonly IsWireGuardOnly?: boolean;
  readonly IsJailed?: boolean;
  readonly ExitNodeDNSResolvers?: readonly Resolver[];
}

/** A patch of one peer; absent members stay as they are. */
export interface PeerChange {
  readonly NodeID: NodeID;
  readonly DERPRegion?: number;
  readonly Cap?: number;
  /** Full replacement; `{}` clears. */
  readonly CapMap?: CapMap;
  /** Full replacement; `[]` clears. */
  readonly Endpoints?: readonly string[];
  readonly Key?: NodePublic;
  readonly KeySignature?: Uint8Array;
  readonly DiscoKey?: DiscoPublic;
  readonly Online?: boolean;
  readonly LastSeen?: Time;
  /** The zero time means never. */
  readonly KeyExpiry?: Time;
}

export interface UserProfile {
  readonly ID: UserID;
  readonly LoginName: string;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
  readonly Groups?: readonly string[];
}

/** What a node says about itself; peers see what control echoes. Unset members are absent. */
export interface Hostinfo {
  readonly IPNVersion?: string;
  readonly FrontendLogID?: string;
  readonly BackendLogID?: string;
  readonly OS?: string;
  readonly OSVersion?: string;
  readonly Container?: boolean;
  readonly Env?: string;
  readonly Distro?: string;
  readonly DistroVersion?: string;
  readonly DistroCodeName?: string;
  readonly App?: string;
  readonly Desktop?: boolean;
  readonly Package?: string;
  readonly DeviceModel?: string;
  readonly PushDeviceToken?: string;
  readonly Hostname?: string;
  readonly ShieldsUp?: boolean;
  readonly ShareeNode?: boolean;
  readonly NoLogsNoSupport?: boolean;
  readonly RemoteConfig?: boolean;
  readonly WireIngress?: boolean;
  readonly IngressEnabled?: boolean;
  readonly AllowsUpdate?: boolean;
  readonly Machine?: string;
  readonly GoArch?: string;
  readonly GoArchVar?: string;
  readonly GoVersion?: string;
  /** Prefixes the node offers to route; a /0 pair offers an exit node. */
  readonly RoutableIPs?: readonly string[];
  readonly RequestTags?: readonly string[];
  readonly WoLMACs?: readonly string[];
  readonly Services?: readonly Service[];
  readonly NetInfo?: NetInfo;
  /** The wire says `sshHostKeys`. */
  readonly sshHostKeys?: readonly string[];
  readonly Cloud?: string;
  readonly Userspace?: boolean;
  readonly UserspaceRouter?: boolean;
  readonly AppConnector?: boolean;
  readonly ServicesHash?: string;
  readonly PeerRelay?: boolean;
  readonly ExitNodeID?: StableNodeID;
  readonly Location?: Location;
  readonly TPM?: TPMInfo;
  readonly StateEncrypted?: boolean;
}

export interface Service {
  /** `tcp`, `udp`, `peerapi4`, `peerapi6`, `peerapi-dns-proxy`, ... */
  readonly Proto: string;
  readonly Port: number;
  readonly Description?: string;
}

export interface NetInfo {
  readonly MappingVariesByDestIP?: boolean;
  readonly WorkingIPv6?: boolean;
  readonly OSHasIPv6?: boolean;
  readonly WorkingUDP?: boolean;
  readonly WorkingICMPv4?: boolean;
  readonly HavePortMap?: boolean;
  readonly UPnP?: boolean;
  readonly PMP?: boolean;
  readonly PCP?: boolean;
  /** Becomes the node's HomeDERP; 0: none known yet. */
  readonly PreferredDERP?: number;
  /** `wired`, `wifi`, `mobile` */
  readonly LinkType?: string;
  /** `<region>-v4` or `<region>-v6` to seconds. */
  readonly DERPLatency?: Readonly<Record<string, number>>;
  readonly FirewallMode?: string;
}

export interface Location {
  readonly Country?: string;
  readonly CountryCode?: string;
  readonly City?: string;
  readonly CityCode?: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  readonly Priority?: number;
}

export interface TPMInfo {
  readonly Manufacturer?: string;
  readonly Vendor?: string;
  readonly Model?: number;
  /** Unsigned 64 bits. */
  readonly FirmwareVersion?: number | bigint;
  readonly SpecRevision?: number;
  readonly FamilyIndicator?: string;
}

export interface DNSConfig {
  readonly Resolvers?: readonly Resolver[];
  /** Split DNS: suffix to resolvers; an empty list means answered by the node itself. */
  readonly Routes?: Readonly<Record<string, readonly Resolver[]>>;
  readonly FallbackResolvers?: readonly Resolver[];
  readonly Domains?: readonly string[];
  /** MagicDNS is on. */
  readonly Proxied?: boolean;
  readonly Nameservers?: readonly string[];
  readonly CertDomains?: readonly string[];
  readonly ExtraRecords?: readonly DNSRecord[];
  readonly ExitNodeFilteredSet?: readonly string[];
}

export interface Resolver {
  /** IP, IP:port, or an `https://` or `http://` URL. */
  readonly Addr?: string;
  readonly BootstrapResolution?: readonly string[];
  readonly UseWithExitNode?: boolean;
}

export interface DNSRecord {
  readonly Name: string;
  /** Empty, `A` or `AAAA`; others are ignored. */
  readonly Type?: string;
  readonly Value: string;
}

export interface DERPMap {
  readonly HomeParams?: DERPHomeParams;
  /** Region ID in decimal to region; absent keeps the regions of the map before. */
  readonly Regions?: Readonly<Record<string, DERPRegion>>;
  readonly omitDefaultRegions?: boolean;
}

export interface DERPHomeParams {
  /** Region ID in decimal to a factor on its latency; `{}` resets, absent keeps. */
  readonly RegionScore?: Readonly<Record<string, number>>;
}

export interface DERPRegion {
  readonly RegionID: number;
  readonly RegionCode: string;
  readonly RegionName: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  readonly Avoid?: boolean;
  readonly NoMeasureNoHome?: boolean;
  readonly Nodes: readonly DERPNode[];
}

export interface DERPNode {
  readonly Name: string;
  readonly RegionID: number;
  readonly HostName: string;
  /** TLS name to expect, or `sha256-raw:<64 hex>` of the certificate. */
  readonly CertName?: string;
  /** Literal address; absent or empty: from DNS; `none`: not to be used. */
  readonly IPv4?: string;
  readonly IPv6?: string;
  /** 0 or absent: 3478; -1: no STUN. */
  readonly STUNPort?: number;
  readonly STUNOnly?: boolean;
  /** 0 or absent: 443. */
  readonly DERPPort?: number;
  readonly InsecureForTests?: boolean;
  readonly STUNTestIP?: string;
  readonly CanPort80?: boolean;
}

/** Grants packets (DstPorts) or capabilities (CapGrant) from sources to destinations. */
export interface FilterRule {
  /** Address, prefix, range `a-b`, `*`, or `cap:<node capability>`. */
  readonly SrcIPs: readonly string[];
  /** Dead; its presence invalidates the whole filter. */
  readonly SrcBits?: readonly number[];
  readonly DstPorts?: readonly NetPortRange[];
  /** Absent: 6, 17, 1, 58. */
  readonly IPProto?: readonly number[];
  readonly CapGrant?: readonly CapGrant[];
}

export interface NetPortRange {
  readonly IP: string;
  /** Dead; its presence invalidates the whole filter. */
  readonly Bits?: number;
  readonly Ports: PortRange;
}

/** Inclusive; all ports are 0 to 65535. */
export interface PortRange {
  readonly First: number;
  readonly Last: number;
}

export interface CapGrant {
  readonly Dsts: readonly string[];
  /** The old form: names without arguments. */
  readonly Caps?: readonly string[];
  readonly CapMap?: CapMap;
}

export interface SSHPolicy {
  /** First match wins; empty denies all. */
  readonly rules: readonly SSHRule[];
}

export interface SSHRule {
  readonly ruleExpires?: Time;
  readonly principals: readonly SSHPrincipal[];
  /** Requested user (or `*`) to local user (`=`: the same, empty: no match). */
  readonly sshUsers: Readonly<Record<string, string>>;
  readonly action?: SSHAction;
  readonly acceptEnv?: readonly string[];
}

export interface SSHPrincipal {
  readonly node?: StableNodeID;
  readonly nodeIP?: string;
  readonly userLogin?: string;
  readonly any?: boolean;
}

export interface SSHAction {
  readonly message?: string;
  readonly reject?: boolean;
  readonly accept?: boolean;
  /** Nanoseconds. */
  readonly sessionDuration?: number | bigint;
  readonly allowAgentForwarding?: boolean;
  readonly holdAndDelegate?: string;
  readonly allowLocalPortForwarding?: boolean;
  readonly allowRemotePortForwarding?: boolean;
  readonly recorders?: readonly string[];
  readonly onRecordingFailure?: SSHRecorderFailureAction;
}

export interface SSHRecorderFailureAction {
  readonly RejectSessionWithMessage?: string;
  readonly TerminateSessionWithMessage?: string;
  readonly NotifyURL?: string;
}

/** Reads a DERP map as served at /derpmap/default. Throws ProtocolError. */
export const parseDerpMap: (bytes: Uint8Array) => DERPMap = messageParser('DERPMap', derpMap);

/** A NodeID written in decimal, as a map key; undefined if the text is no positive 64-bit integer. */
export function parseNodeID(text: string): NodeID | undefined {
  if (!/^[1-9]\d{0,18}$/.test(text)) return undefined;
  const number = Number(text);
  if (Number.isSafeInteger(number)) return number;
  const id = BigInt(text);
  return id < 2n ** 63n ? id : undefined;
}
