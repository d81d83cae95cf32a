// POST /machine/register: a node asks to be known under a node key, control answers yes, no, or where to log in.
import type { MachinePublic, NLPublic, NodePublic } from './keys.ts';
import type { Hostinfo, Time, UserID } from './tailcfg.ts';

export interface RegisterRequest {
  /** Capability version of the client. */
  readonly Version: number;
  readonly NodeKey: NodePublic;
  /** The key this one replaces. Stays set for good after one rotation: look NodeKey up first. */
  readonly OldNodeKey?: NodePublic;
  readonly NLKey?: NLPublic;
  readonly Auth?: RegisterAuth;
  /** In the past: a logout. Zero or absent: no wish. */
  readonly Expiry?: Time;
  /** The AuthURL whose completion this request waits for. */
  readonly Followup?: string;
  readonly Hostinfo?: Hostinfo;
  /** Delete the node when it is gone. */
  readonly Ephemeral?: boolean;
  readonly NodeKeySignature?: Uint8Array | null;
  readonly SignatureType?: string | number;
  readonly Timestamp?: Time;
  readonly DeviceCert?: Uint8Array;
  readonly Signature?: Uint8Array;
  readonly Tailnet?: string;
}

export interface RegisterAuth {
  readonly AuthKey?: string;
}

/** All members are required: some clients refuse an answer without them. */
export interface RegisterResponse {
  readonly User: RegisterUser;
  readonly Login: RegisterLogin;
  /** Make a new node key and register again. */
  readonly NodeKeyExpired: boolean;
  /** Must be false beside AuthURL, Error or NodeKeyExpired. */
  readonly MachineAuthorized: boolean;
  /** Not empty: the user is to open it. */
  readonly AuthURL: string;
  /** Tailnet lock: not empty asks to sign again. */
  readonly NodeKeySignature: Uint8Array | null;
  /** Not empty: the login failed, for this reason. */
  readonly Error: string;
}

export interface RegisterUser {
  readonly ID: UserID;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
  readonly Created?: Time;
}

export interface RegisterLogin {
  readonly ID: UserID;
  readonly Provider: string;
  readonly LoginName: string;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
}

/** Answer of GET /key. */
export interface ServerKeys {
  readonly legacyPublicKey?: MachinePublic;
  readonly publicKey: MachinePublic;
}
