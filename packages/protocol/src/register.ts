// POST /machine/register: a node asks to be known under a node key, control answers yes, no, or where to log in.
import {
  always,
  bool,
  bytes,
  type Kind,
  key,
  messageParser,
  nullable,
  shape,
  text,
  time,
} from './jsonshape.ts';
import {
  type ChallengePublic,
  type MachinePublic,
  type NLPublic,
  type NodePublic,
  parseChallengePublic,
  ZERO_MACHINE_PUBLIC,
} from './keys.ts';
import type { Hostinfo, Time, UserID } from './tailcfg.ts';
import {
  aBool,
  aNodeKey,
  anID,
  anInt,
  aText,
  hostinfo,
  machineKey,
  nlKey,
  nodeKey,
} from './tailcfgjson.ts';

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

/** What a server may send before HTTP/2 begins (controlbase.ts). */
export interface EarlyPayload {
  readonly nodeKeyChallenge?: ChallengePublic;
}

const auth: Kind<RegisterAuth> = shape('RegisterAuth', { AuthKey: text });

const request: Kind<RegisterRequest> = shape('RegisterRequest', {
  Version: anInt,
  NodeKey: aNodeKey,
  OldNodeKey: nodeKey,
  NLKey: nlKey,
  Auth: auth,
  Expiry: time,
  Followup: text,
  Hostinfo: hostinfo,
  Ephemeral: bool,
  NodeKeySignature: nullable(bytes),
  SignatureType: {
    read: (value, label) => (typeof value === 'number' ? value : text.read(value, label)),
  },
  Timestamp: time,
  DeviceCert: bytes,
  Signature: bytes,
  Tailnet: text,
});

const user: Kind<RegisterUser> = shape('User', {
  ID: anID,
  DisplayName: aText,
  ProfilePicURL: text,
  Created: time,
});

const login: Kind<RegisterLogin> = shape('Login', {
  ID: anID,
  Provider: aText,
  LoginName: aText,
  DisplayName: aText,
  ProfilePicURL: text,
});

const response: Kind<RegisterResponse> = shape('RegisterResponse', {
  User: always(user, () => ({ ID: 0, DisplayName: '' })),
  Login: always(login, () => ({ ID: 0, Provider: '', LoginName: '', DisplayName: '' })),
  NodeKeyExpired: aBool,
  MachineAuthorized: aBool,
  AuthURL: aText,
  NodeKeySignature: always(nullable(bytes), () => null),
  Error: aText,
});

const keys: Kind<ServerKeys> = shape('ServerKeys', {
  legacyPublicKey: machineKey,
  publicKey: always(machineKey, () => ZERO_MACHINE_PUBLIC),
});

const early: Kind<EarlyPayload> = shape('EarlyPayload', {
  nodeKeyChallenge: key(parseChallengePublic),
});

/** The parse functions throw ProtocolError and nothing else. */
export const parseRegisterRequest: (bytes: Uint8Array) => RegisterRequest = messageParser(
  'RegisterRequest',
  request,
);
export const parseRegisterResponse: (bytes: Uint8Array) => RegisterResponse = messageParser(
  'RegisterResponse',
  response,
);
/** A zero publicKey means the server is too old to talk to. */
export const parseServerKeys: (bytes: Uint8Array) => ServerKeys = messageParser('ServerKeys', keys);
export const parseEarlyPayload: (bytes: Uint8Array) => EarlyPayload = messageParser(
  'EarlyPayload',
  early,
);
