// POST /machine/map: a node tells control its state and, with Stream, hears about the tailnet from then on.
// Answers are messages one after the other, each behind its length as a little-endian u32:
//
//   0  4  payload length, little endian, as sent (after compression); never 0
//   4  n  JSON, or one zstd frame of it when the request said Compress "zstd"
import type { DiscoPublic, NodePublic } from './keys.ts';
import type {
  DERPMap,
  DNSConfig,
  FilterRule,
  Hostinfo,
  Node,
  NodeID,
  PeerChange,
  SSHPolicy,
  Time,
  UserProfile,
} from './tailcfg.ts';

/**
 * Stream: the long poll. Neither Stream nor ReadOnly, with OmitPeers: an update of our state, answered by an
 * empty body. ReadOnly: one full answer, nothing stored.
 */
export interface MapRequest {
  readonly Version: number;
  /** `zstd`, or empty for plain JSON. */
  readonly Compress?: string;
  readonly KeepAlive?: boolean;
  readonly NodeKey: NodePublic;
  readonly DiscoKey?: DiscoPublic;
  readonly Stream?: boolean;
  readonly Hostinfo?: Hostinfo;
  /** Candidate ip:port, the full list each time. */
  readonly Endpoints?: readonly string[];
  /** Parallel to Endpoints: 1 local, 2 STUN, 3 port-mapped, 4 STUN with local port, 5 configured. */
  readonly EndpointTypes?: readonly number[];
  readonly OmitPeers?: boolean;
  readonly ReadOnly?: boolean;
  readonly TKAHead?: string;
  readonly DebugFlags?: readonly string[];
  readonly MapSessionHandle?: string;
  readonly MapSessionSeq?: number | bigint;
  readonly ConnectionHandleForTest?: string;
}

/** One message of the map stream: the first is a full map, later ones what changed. */
export interface MapResponse {
  readonly MapSessionHandle?: string;
  readonly Seq?: number | bigint;
  /** Only PingRequest, PopBrowserURL, ClientVersion, ControlTime and ControlDialPlan count beside it. */
  readonly KeepAlive?: boolean;
  readonly PingRequest?: PingRequest;
  readonly PopBrowserURL?: string;
  /** Full replacement; required in the first message. */
  readonly Node?: Node;
  readonly DERPMap?: DERPMap;
  /** Not empty: full replacement, and the other peer members do not count. */
  readonly Peers?: readonly Node[];
  readonly PeersChanged?: readonly Node[];
  readonly PeersRemoved?: readonly NodeID[];
  readonly PeersChangedPatch?: readonly PeerChange[];
  /** NodeID in decimal; true: seen now, false: not known. */
  readonly PeerSeenChange?: Readonly<Record<string, boolean>>;
  /** NodeID in decimal. */
  readonly OnlineChange?: Readonly<Record<string, boolean>>;
  readonly DNSConfig?: DNSConfig;
  /** Absent or empty: unchanged. */
  readonly Domain?: string;
  readonly CollectServices?: boolean;
  /** Replaces the filter named `base`; `[]` blocks everything, absent changes nothing. */
  readonly PacketFilter?: readonly FilterRule[];
  /** By name; null deletes that name, `"*": null` clears all first. Effective in byte order of the names. */
  readonly PacketFilters?: Readonly<Record<string, readonly FilterRule[] | null>>;
  readonly UserProfiles?: readonly UserProfile[];
  /** Replaces the list; `[]` clears, absent changes nothing. */
  readonly Health?: readonly string[];
  /** By id; null deletes that id, `"*": null` clears all first. */
  readonly DisplayMessages?: Readonly<Record<string, DisplayMessage | null>>;
  readonly SSHPolicy?: SSHPolicy;
  readonly ControlTime?: Time;
  readonly TKAInfo?: TKAInfo;
  readonly DomainDataPlaneAuditLogID?: string;
  readonly Debug?: Debug;
  readonly ControlDialPlan?: ControlDialPlan;
  readonly ClientVersion?: ClientVersion;
  readonly DefaultAutoUpdate?: boolean;
}

export interface PingRequest {
  readonly URL?: string;
  readonly URLIsNoise?: boolean;
  readonly Log?: boolean;
  /** Empty: HEAD of URL; `c2n`: run Payload; otherwise a comma list of ping types. */
  readonly Types?: string;
  readonly IP?: string;
  /** One raw HTTP/1 request. */
  readonly Payload?: Uint8Array;
}

export interface DisplayMessage {
  readonly Title?: string;
  readonly Text?: string;
  /** `high`, `medium`, `low` */
  readonly Severity?: string;
  readonly ImpactsConnectivity?: boolean;
  readonly PrimaryAction?: { readonly URL?: string; readonly Label?: string };
}

export interface TKAInfo {
  readonly Head?: string;
  readonly Disabled?: boolean;
}

export interface Debug {
  /** Seconds to pause. */
  readonly SleepSeconds?: number;
  readonly DisableLogTail?: boolean;
  readonly Exit?: number;
}

export interface ControlDialPlan {
  readonly Candidates?: readonly ControlIPCandidate[];
}

export interface ControlIPCandidate {
  readonly IP?: string;
  readonly ACEHost?: string;
  readonly DialStartDelaySec?: number;
  /** 0 or absent: the candidate always fails. */
  readonly DialTimeoutSec?: number;
  readonly Priority?: number;
}

export interface ClientVersion {
  readonly RunningLatest?: boolean;
  readonly LatestVersion?: string;
  readonly UrgentSecurityUpdate?: boolean;
  readonly Notify?: boolean;
  readonly NotifyURL?: string;
  readonly NotifyText?: string;
}
