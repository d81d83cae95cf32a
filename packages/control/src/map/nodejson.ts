// Nodes as clients read them: JSON texts of a node as a peer, as its own self, as a patch. Peers' texts are kept as
// bytes until the node changes, so that a full map is a join of them.
import type { Hostinfo } from '@cove/protocol/tailcfg';
import { type NodeState, TAGGED_USER_ID, TAGGED_USER_NAME, type User } from '../state/tailnet.ts';

/** Clients below this capability version read the relay region from the `DERP` text only. */
export const CAP_HOME_DERP = 111;

/** What a patch may carry (PeerChange). */
export const Patch = {
  KEY: 1,
  DISCO: 2,
  ENDPOINTS: 4,
  DERP: 8,
  ONLINE: 16,
  EXPIRY: 32,
  CAP: 64,
} as const;

const ZERO_TIME = '0001-01-01T00:00:00Z';

export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** Members of Hostinfo that peers act on; the rest is nobody's business. */
function peerHostinfo(info: Hostinfo): Hostinfo {
  const { OS, Hostname, Services, sshHostKeys, AppConnector, Location } = info;
  return { OS, Hostname, Services, sshHostKeys, AppConnector, Location } as Hostinfo;
}

/** Everything but what only a log server or push service wants. */
function selfHostinfo(info: Hostinfo): Hostinfo {
  const { BackendLogID, FrontendLogID, PushDeviceToken, ...rest } = info;
  return rest;
}

/** Text that tells whether peers would notice a change of Hostinfo. */
export function peerHostinfoText(info: Hostinfo): string {
  return JSON.stringify(peerHostinfo(info));
}

export class NodeJson {
  readonly #suffix: string;
  readonly #peers = new Map<number, { plain?: Buffer; legacy?: Buffer }>();
  readonly #selfCaps: (node: NodeState) => Readonly<Record<string, readonly unknown[]>>;

  /** domain: MagicDNS suffix without dots at its ends. */
  constructor(
    domain: string,
    selfCaps: (node: NodeState) => Readonly<Record<string, readonly unknown[]>>,
  ) {
    this.#suffix = `.${domain}.`;
    this.#selfCaps = selfCaps;
  }

  forget(node: NodeState): void {
    this.#peers.delete(node.id);
  }

  clear(): void {
    this.#peers.clear();
  }

  #common(node: NodeState, legacy: boolean): Record<string, unknown> {
    const addresses = [`${node.ipv4}/32`, `${node.ipv6}/128`];
    const out: Record<string, unknown> = {
      ID: node.id,
      StableID: node.stableId,
      Name: node.givenName + this.#suffix,
      User: node.userId ?? TAGGED_USER_ID,
      Key: node.nodeKey,
    };
    if (node.keyExpiry !== undefined) out['KeyExpiry'] = timeText(node.keyExpiry);
    out['Machine'] = node.machineKey;
    if (node.discoKey !== undefined) out['DiscoKey'] = node.discoKey;
    out['Addresses'] = addresses;
    // Clients from 112 on would take absent for the same, older ones for nothing.
    out['AllowedIPs'] = addresses;
    out['Endpoints'] = node.endpoints;
    if (node.homeDerp !== 0) {
      out['HomeDERP'] = node.homeDerp;
      if (legacy) out['DERP'] = `127.3.3.40:${node.homeDerp}`;
    }
    out['Created'] = timeText(node.created);
    out['Cap'] = node.capVersion;
    if (node.tags.length > 0) out['Tags'] = node.tags;
    return out;
  }

  /** As an entry of Peers or PeersChanged; borrowed. */
  peer(node: NodeState, legacy: boolean): Buffer {
    let cached = this.#peers.get(node.id);
    if (cached === undefined) {
      cached = {};
      this.#peers.set(node.id, cached);
    }
    let bytes = legacy ? cached.legacy : cached.plain;
    if (bytes === undefined) {
      const out = this.#common(node, legacy);
      out['Hostinfo'] = peerHostinfo(node.hostinfo);
      if (node.online) out['Online'] = true;
      else {
        out['Online'] = false;
        if (node.lastSeen !== undefined) out['LastSeen'] = timeText(node.lastSeen);
      }
      out['MachineAuthorized'] = true;
      if (node.expired) out['Expired'] = true;
      bytes = Buffer.from(JSON.stringify(out));
      if (legacy) cached.legacy = bytes;
      else cached.plain = bytes;
    }
    return bytes;
  }

  /** As the receiver's own node. */
  self(node: NodeState, legacy: boolean): string {
    const out = this.#common(node, legacy);
    out['Hostinfo'] = selfHostinfo(node.hostinfo);
    out['Online'] = true;
    out['MachineAuthorized'] = true;
    out['CapMap'] = this.#selfCaps(node);
    return JSON.stringify(out);
  }

  /** As an entry of PeersChangedPatch; fields: bits of Patch. */
  patch(node: NodeState, fields: number): string {
    const out: Record<string, unknown> = { NodeID: node.id };
    if (fields & Patch.DERP && node.homeDerp !== 0) out['DERPRegion'] = node.homeDerp;
    if (fields & Patch.CAP) out['Cap'] = node.capVersion;
    if (fields & Patch.ENDPOINTS) out['Endpoints'] = node.endpoints;
    if (fields & Patch.KEY) out['Key'] = node.nodeKey;
    if (fields & Patch.DISCO && node.discoKey !== undefined) out['DiscoKey'] = node.discoKey;
    if (fields & Patch.ONLINE) {
      out['Online'] = node.online;
      if (!node.online && node.lastSeen !== undefined) out['LastSeen'] = timeText(node.lastSeen);
    }
    if (fields & Patch.EXPIRY) {
      out['KeyExpiry'] = node.keyExpiry === undefined ? ZERO_TIME : timeText(node.keyExpiry);
    }
    return JSON.stringify(out);
  }
}

/** As an entry of UserProfiles. user undefined: the owner of tagged nodes. */
export function userProfile(user: User | undefined): string {
  return JSON.stringify(
    user === undefined
      ? { ID: TAGGED_USER_ID, LoginName: TAGGED_USER_NAME, DisplayName: 'Tagged Devices' }
      : { ID: user.id, LoginName: user.loginName, DisplayName: user.displayName },
  );
}
