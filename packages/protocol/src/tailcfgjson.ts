// How the shared objects of control messages are read from JSON: one shape per interface of tailcfg.ts.

import {
  type Always,
  addr,
  addrPort,
  always,
  bool,
  bytes,
  dict,
  float,
  int,
  int64,
  integerDict,
  type Kind,
  key,
  list,
  prefix,
  raw,
  shape,
  text,
  time,
  u16,
  uint64,
} from './jsonshape.ts';
import type { DiscoPublic, MachinePublic, NLPublic, NodePublic } from './keys.ts';
import {
  parseDiscoPublic,
  parseMachinePublic,
  parseNLPublic,
  parseNodePublic,
  ZERO_NODE_PUBLIC,
} from './keys.ts';
import type {
  CapGrant,
  CapMap,
  DERPHomeParams,
  DERPMap,
  DERPNode,
  DERPRegion,
  DNSConfig,
  DNSRecord,
  FilterRule,
  Hostinfo,
  Location,
  NetInfo,
  NetPortRange,
  Node,
  NodeID,
  PeerChange,
  PortRange,
  Resolver,
  Service,
  SSHAction,
  SSHPolicy,
  SSHPrincipal,
  SSHRecorderFailureAction,
  SSHRule,
  TPMInfo,
  UserProfile,
} from './tailcfg.ts';

export const nodeKey: Kind<NodePublic> = key(parseNodePublic);
export const machineKey: Kind<MachinePublic> = key(parseMachinePublic);
export const discoKey: Kind<DiscoPublic> = key(parseDiscoPublic);
export const nlKey: Kind<NLPublic> = key(parseNLPublic);
export const texts: Kind<readonly string[]> = list(text);

export const aText: Always<string> = always(text, () => '');
export const aBool: Always<boolean> = always(bool, () => false);
export const anInt: Always<number> = always(int, () => 0);
export const anID: Always<NodeID> = always(int64, () => 0);
export const aNodeKey: Always<NodePublic> = always(nodeKey, () => ZERO_NODE_PUBLIC);

/** A list member that is always there; null is empty. */
export function aList<T>(kind: Kind<T>): Always<readonly T[]> {
  return always(list(kind), () => []);
}

const capMap: Kind<CapMap> = dict(aList(raw));

const service: Kind<Service> = shape('Service', {
  Proto: aText,
  Port: always(u16, () => 0),
  Description: text,
});

const netInfo: Kind<NetInfo> = shape('NetInfo', {
  MappingVariesByDestIP: bool,
  WorkingIPv6: bool,
  OSHasIPv6: bool,
  WorkingUDP: bool,
  WorkingICMPv4: bool,
  HavePortMap: bool,
  UPnP: bool,
  PMP: bool,
  PCP: bool,
  PreferredDERP: int,
  LinkType: text,
  DERPLatency: dict(float),
  FirewallMode: text,
});

const location: Kind<Location> = shape('Location', {
  Country: text,
  CountryCode: text,
  City: text,
  CityCode: text,
  Latitude: float,
  Longitude: float,
  Priority: int,
});

const tpm: Kind<TPMInfo> = shape('TPMInfo', {
  Manufacturer: text,
  Vendor: text,
  Model: int,
  FirmwareVersion: uint64,
  SpecRevision: int,
  FamilyIndicator: text,
});

export const hostinfo: Kind<Hostinfo> = shape('Hostinfo', {
  IPNVersion: text,
  FrontendLogID: text,
  BackendLogID: text,
  OS: text,
  OSVersion: text,
  Container: bool,
  Env: text,
  Distro: text,
  DistroVersion: text,
  DistroCodeName: text,
  App: text,
  Desktop: bool,
  Package: text,
  DeviceModel: text,
  PushDeviceToken: text,
  Hostname: text,
  ShieldsUp: bool,
  ShareeNode: bool,
  NoLogsNoSupport: bool,
  RemoteConfig: bool,
  WireIngress: bool,
  IngressEnabled: bool,
  AllowsUpdate: bool,
  Machine: text,
  GoArch: text,
  GoArchVar: text,
  GoVersion: text,
  RoutableIPs: list(prefix),
  RequestTags: texts,
  WoLMACs: texts,
  Services: list(service),
  NetInfo: netInfo,
  sshHostKeys: texts,
  Cloud: text,
  Userspace: bool,
  UserspaceRouter: bool,
  AppConnector: bool,
  ServicesHash: text,
  PeerRelay: bool,
  ExitNodeID: text,
  Location: location,
  TPM: tpm,
  StateEncrypted: bool,
});

const resolver: Kind<Resolver> = shape('Resolver', {
  Addr: text,
  BootstrapResolution: list(addr),
  UseWithExitNode: bool,
});

export const node: Kind<Node> = shape('Node', {
  ID: anID,
  StableID: aText,
  Name: aText,
  User: anID,
  Sharer: int64,
  Key: aNodeKey,
  KeyExpiry: time,
  KeySignature: bytes,
  Machine: machineKey,
  DiscoKey: discoKey,
  Addresses: aList(prefix),
  AllowedIPs: list(prefix),
  Endpoints: list(addrPort),
  DERP: text,
  HomeDERP: int,
  Hostinfo: hostinfo,
  Created: time,
  Cap: int,
  Tags: texts,
  PrimaryRoutes: list(prefix),
  LastSeen: time,
  Online: bool,
  MachineAuthorized: bool,
  CapMap: capMap,
  UnsignedPeerAPIOnly: bool,
  ComputedName: text,
  ComputedNameWithHost: text,
  DataPlaneAuditLogID: text,
  Expired: bool,
  SelfNodeV4MasqAddrForThisPeer: addr,
  SelfNodeV6MasqAddrForThisPeer: addr,
  IsWireGuardOnly: bool,
  IsJailed: bool,
  ExitNodeDNSResolvers: list(resolver),
});

export const peerChange: Kind<PeerChange> = shape('PeerChange', {
  NodeID: anID,
  DERPRegion: int,
  Cap: int,
  CapMap: capMap,
  Endpoints: list(addrPort),
  Key: nodeKey,
  KeySignature: bytes,
  DiscoKey: discoKey,
  Online: bool,
  LastSeen: time,
  KeyExpiry: time,
});

export const userProfile: Kind<UserProfile> = shape('UserProfile', {
  ID: anID,
  LoginName: aText,
  DisplayName: aText,
  ProfilePicURL: text,
  Groups: texts,
});

const dnsRecord: Kind<DNSRecord> = shape('DNSRecord', { Name: aText, Type: text, Value: aText });

export const dnsConfig: Kind<DNSConfig> = shape('DNSConfig', {
  Resolvers: list(resolver),
  Routes: dict(aList(resolver)),
  FallbackResolvers: list(resolver),
  Domains: texts,
  Proxied: bool,
  Nameservers: list(addr),
  CertDomains: texts,
  ExtraRecords: list(dnsRecord),
  ExitNodeFilteredSet: texts,
});

const derpNode: Kind<DERPNode> = shape('DERPNode', {
  Name: aText,
  RegionID: anInt,
  HostName: aText,
  CertName: text,
  IPv4: text,
  IPv6: text,
  STUNPort: int,
  STUNOnly: bool,
  DERPPort: int,
  InsecureForTests: bool,
  STUNTestIP: text,
  CanPort80: bool,
});

const derpRegion: Kind<DERPRegion> = shape('DERPRegion', {
  RegionID: anInt,
  RegionCode: aText,
  RegionName: aText,
  Latitude: float,
  Longitude: float,
  Avoid: bool,
  NoMeasureNoHome: bool,
  Nodes: aList(derpNode),
});

const homeParams: Kind<DERPHomeParams> = shape('DERPHomeParams', {
  RegionScore: integerDict(float),
});

export const derpMap: Kind<DERPMap> = shape('DERPMap', {
  HomeParams: homeParams,
  Regions: integerDict(derpRegion),
  omitDefaultRegions: bool,
});

const portRange: Kind<PortRange> = shape('PortRange', {
  First: always(u16, () => 0),
  Last: always(u16, () => 0),
});

const netPortRange: Kind<NetPortRange> = shape('NetPortRange', {
  IP: aText,
  Bits: int,
  Ports: always(portRange, () => ({ First: 0, Last: 0 })),
});

const capGrant: Kind<CapGrant> = shape('CapGrant', {
  Dsts: aList(prefix),
  Caps: texts,
  CapMap: capMap,
});

export const filterRule: Kind<FilterRule> = shape('FilterRule', {
  SrcIPs: aList(text),
  SrcBits: list(int),
  DstPorts: list(netPortRange),
  IPProto: list(int),
  CapGrant: list(capGrant),
});

const recorderFailure: Kind<SSHRecorderFailureAction> = shape('SSHRecorderFailureAction', {
  RejectSessionWithMessage: text,
  TerminateSessionWithMessage: text,
  NotifyURL: text,
});

export const sshAction: Kind<SSHAction> = shape('SSHAction', {
  message: text,
  reject: bool,
  accept: bool,
  sessionDuration: int64,
  allowAgentForwarding: bool,
  holdAndDelegate: text,
  allowLocalPortForwarding: bool,
  allowRemotePortForwarding: bool,
  recorders: list(addrPort),
  onRecordingFailure: recorderFailure,
});

const sshPrincipal: Kind<SSHPrincipal> = shape('SSHPrincipal', {
  node: text,
  nodeIP: text,
  userLogin: text,
  any: bool,
});

const sshRule: Kind<SSHRule> = shape('SSHRule', {
  ruleExpires: time,
  principals: aList(sshPrincipal),
  sshUsers: always(dict(text), () => ({})),
  action: sshAction,
  acceptEnv: texts,
});

export const sshPolicy: Kind<SSHPolicy> = shape('SSHPolicy', { rules: aList(sshRule) });
