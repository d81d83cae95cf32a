// POST /machine/map: a node tells control its state and, with Stream, hears about the tailnet from then on.
// Answers are messages one after the other, each behind its length as a little-endian u32:
//
//   0  4  payload length, little endian, as sent (after compression); never 0
//   4  n  JSON, or one zstd frame of it when the request said Compress "zstd"
import { ProtocolError } from './bytes.ts';
import {
  addr,
  addrPort,
  bool,
  bytes,
  dict,
  float,
  int,
  int64,
  integerDict,
  type Kind,
  list,
  messageParser,
  nullable,
  shape,
  text,
  time,
} from './jsonshape.ts';
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
import {
  aNodeKey,
  anInt,
  derpMap,
  discoKey,
  dnsConfig,
  filterRule,
  hostinfo,
  node,
  peerChange,
  sshPolicy,
  texts,
  userProfile,
} from './tailcfgjson.ts';

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
  readonly PrimaryAction?: DisplayMessageAction;
}

export interface DisplayMessageAction {
  readonly URL?: string;
  readonly Label?: string;
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

const request: Kind<MapRequest> = shape('MapRequest', {
  Version: anInt,
  Compress: text,
  KeepAlive: bool,
  NodeKey: aNodeKey,
  DiscoKey: discoKey,
  Stream: bool,
  Hostinfo: hostinfo,
  Endpoints: list(addrPort),
  EndpointTypes: list(int),
  OmitPeers: bool,
  ReadOnly: bool,
  TKAHead: text,
  DebugFlags: texts,
  MapSessionHandle: text,
  MapSessionSeq: int64,
  ConnectionHandleForTest: text,
});

const ping: Kind<PingRequest> = shape('PingRequest', {
  URL: text,
  URLIsNoise: bool,
  Log: bool,
  Types: text,
  IP: addr,
  Payload: bytes,
});

const displayMessage: Kind<DisplayMessage> = shape('DisplayMessage', {
  Title: text,
  Text: text,
  Severity: text,
  ImpactsConnectivity: bool,
  PrimaryAction: shape<DisplayMessageAction>('PrimaryAction', { URL: text, Label: text }),
});

const candidate: Kind<ControlIPCandidate> = shape('ControlIPCandidate', {
  IP: addr,
  ACEHost: text,
  DialStartDelaySec: float,
  DialTimeoutSec: float,
  Priority: int,
});

const clientVersion: Kind<ClientVersion> = shape('ClientVersion', {
  RunningLatest: bool,
  LatestVersion: text,
  UrgentSecurityUpdate: bool,
  Notify: bool,
  NotifyURL: text,
  NotifyText: text,
});

const response: Kind<MapResponse> = shape('MapResponse', {
  MapSessionHandle: text,
  Seq: int64,
  KeepAlive: bool,
  PingRequest: ping,
  PopBrowserURL: text,
  Node: node,
  DERPMap: derpMap,
  Peers: list(node),
  PeersChanged: list(node),
  PeersRemoved: list(int64),
  PeersChangedPatch: list(peerChange),
  PeerSeenChange: integerDict(bool),
  OnlineChange: integerDict(bool),
  DNSConfig: dnsConfig,
  Domain: text,
  CollectServices: bool,
  PacketFilter: list(filterRule),
  PacketFilters: dict(nullable(list(filterRule))),
  UserProfiles: list(userProfile),
  Health: texts,
  DisplayMessages: dict(nullable(displayMessage)),
  SSHPolicy: sshPolicy,
  ControlTime: time,
  TKAInfo: shape<TKAInfo>('TKAInfo', { Head: text, Disabled: bool }),
  DomainDataPlaneAuditLogID: text,
  Debug: shape<Debug>('Debug', { SleepSeconds: float, DisableLogTail: bool, Exit: int }),
  ControlDialPlan: shape<ControlDialPlan>('ControlDialPlan', { Candidates: list(candidate) }),
  ClientVersion: clientVersion,
  DefaultAutoUpdate: bool,
});

/** The parse functions throw ProtocolError and nothing else; payloads come decompressed. */
export const parseMapRequest: (bytes: Uint8Array) => MapRequest = messageParser(
  'MapRequest',
  request,
);
export const parseMapResponse: (bytes: Uint8Array) => MapResponse = messageParser(
  'MapResponse',
  response,
);

const FRAME_HEADER = 4;
/** Held for a message that arrives in pieces, doubled as they come. */
const FIRST_PIECE = 4096;
const EMPTY: Uint8Array = new Uint8Array(0);

/** A message behind its length, in a new array. Throws RangeError for an empty payload, which is no message. */
export function encodeMapFrame(payload: Uint8Array): Uint8Array {
  if (payload.length === 0) throw new RangeError('empty map message');
  const out = new Uint8Array(FRAME_HEADER + payload.length);
  new DataView(out.buffer).setUint32(0, payload.length, true);
  out.set(payload, FRAME_HEADER);
  return out;
}

/**
 * Cuts a map stream into payloads. Memory held is at most twice what arrived of the message under way (at least
 * 4 KiB), never what its length claims. A claim above limit (bytes of one payload) throws ERR_TOO_LARGE, an
 * empty message ERR_MALFORMED, and every push after that ERR_CLOSED.
 */
export class MapFrameReader {
  readonly #limit: number;
  readonly #header = new Uint8Array(FRAME_HEADER);
  #headerLength = 0;
  #length = 0;
  #payload: Uint8Array = EMPTY;
  #have = 0;
  #dead = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes the next bytes, cut anywhere; gives whole payloads, as views of them or new arrays. */
  push(bytes: Uint8Array): Uint8Array[] {
    if (this.#dead) throw new ProtocolError('ERR_CLOSED', 'the map stream failed before');
    const out: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#headerLength < FRAME_HEADER) {
        this.#header[this.#headerLength++] = bytes[at++]!;
        if (this.#headerLength === FRAME_HEADER) this.#begin();
        continue;
      }
      const part = bytes.subarray(at, at + this.#length - this.#have);
      at += part.length;
      if (part.length === this.#length) {
        out.push(part);
      } else {
        this.#append(part);
        if (this.#have < this.#length) continue;
        out.push(this.#payload);
        this.#payload = EMPTY;
        this.#have = 0;
      }
      this.#headerLength = 0;
    }
    return out;
  }

  #append(part: Uint8Array): void {
    const have = this.#have + part.length;
    if (have > this.#payload.length) {
      const larger = new Uint8Array(Math.min(this.#length, Math.max(2 * have, FIRST_PIECE)));
      larger.set(this.#payload.subarray(0, this.#have));
      this.#payload = larger;
    }
    this.#payload.set(part, this.#have);
    this.#have = have;
  }

  #begin(): void {
    const length = new DataView(this.#header.buffer).getUint32(0, true);
    if (length > 0 && length <= this.#limit) {
      this.#length = length;
      return;
    }
    this.#dead = true;
    throw length === 0
      ? new ProtocolError('ERR_MALFORMED', 'empty map message')
      : new ProtocolError('ERR_TOO_LARGE', `map message of ${length} bytes`);
  }
}
