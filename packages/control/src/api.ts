// What the server's caller hands in and gets back: options, and the plain JSON-able records of the admin methods.
import type { MachinePublic, NodePublic } from '@cove/protocol/keys';
import type { DERPMap } from '@cove/protocol/tailcfg';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One thing that happened. `fields` hold no secrets. */
export interface LogEvent {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface ControlOptions {
  /** Path of the SQLite file, created with mode 0600. The server holds it alone while open. */
  readonly database: string;
  /** Base URL under which clients reach the server, without a trailing slash: `http://127.0.0.1:8080`. */
  readonly serverUrl: string;
  /** MagicDNS suffix: a node `go` is `go.<domain>`. */
  readonly domain: string;
  /** Tailnet name shown to people. */
  readonly tailnet: string;
  /** Login name of the person who owns the tailnet, `alice@example.com`; created as an admin when missing. */
  readonly owner: string;
  /** Relays for nodes until setDerpMap is called for the first time; the stored map wins afterwards. */
  readonly derpMap?: DERPMap;
  /** Default none: the library does not chatter. */
  readonly log?: (event: LogEvent) => void;
  /** Wall clock in milliseconds since 1970. Default Date.now. */
  readonly now?: () => number;
  /** Milliseconds an ephemeral node may be away before it is deleted. Default 120,000. */
  readonly ephemeralTimeout?: number;
  /** Milliseconds between the end of a node's stream and telling its peers. Default 10,000. */
  readonly offlineGrace?: number;
  /** Milliseconds a login of an untagged node lasts. Default: no end. */
  readonly keyLifetime?: number;
  /** Milliseconds for which deltas are gathered while changes keep coming. Default 15. */
  readonly gatherWindow?: number;
}

/** Times in all records are RFC 3339 in UTC. */
export interface UserRecord {
  readonly id: number;
  readonly loginName: string;
  readonly displayName: string;
  readonly role: 'admin' | 'member';
  readonly created: string;
}

export interface AuthKeyOptions {
  /** Login name of the user whose nodes it makes; created when missing. Default: the owner. Not with tags. */
  readonly user?: string;
  /** Default false: good for one node. */
  readonly reusable?: boolean;
  /** Default false. */
  readonly ephemeral?: boolean;
  /** `tag:...`: nodes become machines of nobody. */
  readonly tags?: readonly string[];
  /** Milliseconds from now. Default one hour. `Infinity`: never. */
  readonly expiresIn?: number;
  readonly description?: string;
}

export interface AuthKeyRecord {
  /** The public part of the key, for expireAuthKey. */
  readonly id: string;
  /** Login name, or `tagged-devices`. */
  readonly user: string;
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly tags: readonly string[];
  readonly description: string;
  readonly uses: number;
  readonly created: string;
  readonly expires?: string;
  readonly revoked?: string;
  readonly state: 'valid' | 'used' | 'expired' | 'revoked';
}

/** The secret exists only in this answer; the database keeps a hash. */
export interface CreatedAuthKey extends AuthKeyRecord {
  readonly key: string;
}

/** What names a node in the admin methods: decimal ID, stable ID, given name, FQDN, address or node key. */
export type NodeRef = string | number;

export interface NodeRecord {
  readonly id: number;
  readonly stableId: string;
  /** First label of the FQDN. */
  readonly name: string;
  /** Without trailing dot. */
  readonly fqdn: string;
  readonly hostname: string;
  readonly os: string;
  /** Login name, or `tagged-devices`. */
  readonly user: string;
  readonly tags: readonly string[];
  /** IPv4, then IPv6. */
  readonly addresses: readonly [string, string];
  readonly nodeKey: NodePublic;
  readonly machineKey: MachinePublic;
  readonly ephemeral: boolean;
  readonly online: boolean;
  readonly lastSeen?: string;
  readonly created: string;
  /** Absent: never. */
  readonly keyExpiry?: string;
  readonly expired: boolean;
  /** Capability version of its last request. */
  readonly capVersion: number;
  readonly clientVersion: string;
  /** 0: none known. */
  readonly homeDerp: number;
  readonly endpoints: readonly string[];
  readonly registeredBy: 'authkey' | 'approval';
  /** The key it last joined with; absent: none, or not known any more. */
  readonly authKeyId?: string;
}

/** A login waiting for approval. */
export interface PendingRecord {
  readonly id: string;
  readonly hostname: string;
  readonly os: string;
  readonly machineKey: MachinePublic;
  readonly nodeKey: NodePublic;
  readonly created: string;
  readonly expires: string;
}

export interface PolicyRecord {
  /** As written, comments included; undefined: no policy was set, every member reaches everything. */
  readonly text?: string;
  readonly version: number;
  readonly updated?: string;
}

export interface StatusRecord {
  readonly serverUrl: string;
  readonly domain: string;
  readonly tailnet: string;
  readonly owner: string;
  readonly publicKey: MachinePublic;
  readonly users: number;
  readonly nodes: number;
  readonly online: number;
  readonly streams: number;
  readonly connections: number;
  readonly pending: number;
}

/** One row of the audit log. */
export interface EventRecord {
  readonly seq: number;
  readonly time: string;
  /** `admin`, `system`, or `node:<id>`. */
  readonly actor: string;
  readonly kind: string;
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
}
