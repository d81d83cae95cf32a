// The node's identity as kept in a StateStore: the machine key of the installation and one login profile.
//
//   _machinekey        text `privkey:<hex>`
//   _current-profile   text `profile-<4 hex>`
//   profile-<4 hex>    JSON preferences; the login is under `Config`: PrivateNodeKey, OldPrivateNodeKey,
//                      NetworkLockKey (`nlpriv:` seed and public key), NodeID (stable ID), UserProfile
//   _profiles          JSON map of profile id -> { ID, Name, Key, NodeID, ControlURL, UserProfile }
//
// These are the keys and shapes of Go's tsnet; members this node does not know are kept as they were.
import { utf8Decode, utf8Encode } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { type NLPublic, PrivateKey, parseNLPublic } from '@cove/protocol/keys';
import { generateNetworkLockKey } from './networklock.ts';
import { corruptError, type StateStore } from './store.ts';

const MACHINE_KEY = '_machinekey';
const CURRENT_PROFILE = '_current-profile';
const PROFILES = '_profiles';
const DEFAULT_CONTROL_ALIASES = [
  'https://login.tailscale.com',
  'https://controlplane.tailscale.com',
];

type Json = Record<string, unknown>;

export interface Login {
  readonly nodeKey: PrivateKey;
  /** The key that nodeKey replaced at the last rotation. */
  readonly oldNodeKey: PrivateKey | undefined;
  /** Stable ID once a network map has named it: the login is complete and survives restarts. */
  readonly stableId: string;
  readonly loginName: string;
}

export class Identity {
  readonly machineKey: PrivateKey;
  /** Registered with control so that tailnet lock could use it. */
  readonly networkLockPublic: NLPublic;
  readonly #store: StateStore;
  readonly #controlUrl: string;
  readonly #networkLockText: string;
  readonly #profileKey: string;
  readonly #prefs: Json;
  #login: Login | undefined;

  private constructor(fields: {
    store: StateStore;
    controlUrl: string;
    machineKey: PrivateKey;
    networkLockText: string;
    profileKey: string;
    prefs: Json;
    login: Login | undefined;
  }) {
    this.machineKey = fields.machineKey;
    this.networkLockPublic = parseNLPublic(`nlpub:${fields.networkLockText.slice(-64)}`);
    this.#store = fields.store;
    this.#controlUrl = fields.controlUrl;
    this.#networkLockText = fields.networkLockText;
    this.#profileKey = fields.profileKey;
    this.#prefs = fields.prefs;
    this.#login = fields.login;
  }

  /**
   * Reads the identity, creating the machine key where there is none. A login with another control server is not
   * used. `path` names the file in errors. Throws ERR_STATE_CORRUPT, ERR_STATE_IO.
   */
  static open(store: StateStore, crypto: Crypto, controlUrl: string, path: string): Identity {
    const machineKey = readMachineKey(store, crypto, path);
    const current = text(store, CURRENT_PROFILE);
    const stored = current === undefined ? undefined : json(store, current, path);
    const usable =
      stored !== undefined && sameControl(String(stored['ControlURL'] ?? ''), controlUrl);
    const prefs = usable ? stored : {};
    const config = objectIn(prefs, 'Config');
    const nodeKeyText = config['PrivateNodeKey'];
    const lockText = config['NetworkLockKey'];
    return new Identity({
      store,
      controlUrl,
      machineKey,
      networkLockText:
        typeof lockText === 'string' &&
        /^nlpriv:[0-9a-f]{128}$/i.test(lockText) &&
        !isZero(lockText)
          ? lockText
          : generateNetworkLockKey(),
      profileKey: usable && current !== undefined ? current : newProfileKey(crypto),
      prefs,
      login:
        typeof nodeKeyText !== 'string' || isZero(nodeKeyText)
          ? undefined
          : {
              nodeKey: privateKey(nodeKeyText, 'node key', path),
              oldNodeKey: optionalKey(config['OldPrivateNodeKey'], path),
              stableId: String(config['NodeID'] ?? ''),
              loginName: String(objectIn(config, 'UserProfile')['LoginName'] ?? ''),
            },
    });
  }

  get login(): Login | undefined {
    return this.#login;
  }

  /** Stores a login before it is used, so that a crash after the server accepted it loses nothing. */
  saveLogin(login: Login, profile?: { id: unknown; displayName: string }): void {
    const id = this.#profileKey.slice('profile-'.length);
    const config: Json = {
      ...objectIn(this.#prefs, 'Config'),
      PrivateNodeKey: login.nodeKey.exposeText(),
      OldPrivateNodeKey: login.oldNodeKey?.exposeText() ?? ZERO_PRIVATE,
      NetworkLockKey: this.#networkLockText,
      NodeID: login.stableId,
      UserProfile: {
        ...objectIn(objectIn(this.#prefs, 'Config'), 'UserProfile'),
        LoginName: login.loginName,
        ...(profile === undefined
          ? {}
          : { ID: jsonNumber(profile.id), DisplayName: profile.displayName }),
      },
    };
    this.#prefs['ControlURL'] = this.#controlUrl;
    this.#prefs['WantRunning'] = true;
    this.#prefs['LoggedOut'] = false;
    this.#prefs['Config'] = config;
    const profiles = this.#profiles();
    profiles[id] = {
      ...objectIn(profiles, id),
      ID: id,
      Key: this.#profileKey,
      Name: login.loginName,
      NodeID: login.stableId,
      ControlURL: this.#controlUrl,
      UserProfile: config['UserProfile'],
    };
    this.#store.write({
      [CURRENT_PROFILE]: utf8Encode(this.#profileKey),
      [PROFILES]: utf8Encode(JSON.stringify(profiles)),
      [this.#profileKey]: utf8Encode(JSON.stringify(this.#prefs)),
    });
    this.#login = login;
  }

  /** Deletes the login; the machine key stays. */
  forgetLogin(): void {
    const profiles = this.#profiles();
    delete profiles[this.#profileKey.slice('profile-'.length)];
    this.#store.write({
      [CURRENT_PROFILE]: undefined,
      [PROFILES]: utf8Encode(JSON.stringify(profiles)),
      [this.#profileKey]: undefined,
    });
    delete this.#prefs['Config'];
    this.#login = undefined;
  }

  #profiles(): Json {
    const bytes = this.#store.read(PROFILES);
    if (bytes === undefined) return {};
    try {
      return asObject(JSON.parse(utf8Decode(bytes))) ?? {};
    } catch {
      return {};
    }
  }
}

const ZERO_PRIVATE = `privkey:${'0'.repeat(64)}`;

function isZero(key: string): boolean {
  return /^[a-z]*:?0*$/.test(key);
}

function readMachineKey(store: StateStore, crypto: Crypto, path: string): PrivateKey {
  const stored = text(store, MACHINE_KEY);
  if (stored !== undefined) return privateKey(stored, 'machine key', path);
  const machineKey = PrivateKey.generate(crypto.randomBytes);
  store.write({ [MACHINE_KEY]: utf8Encode(machineKey.exposeText()) });
  return machineKey;
}

function privateKey(keyText: string, what: string, path: string): PrivateKey {
  try {
    return PrivateKey.parse(keyText);
  } catch (cause) {
    throw corruptError(path, `the ${what} in it is not a key`, cause);
  }
}

function optionalKey(value: unknown, path: string): PrivateKey | undefined {
  if (typeof value !== 'string' || isZero(value)) return undefined;
  return privateKey(value, 'previous node key', path);
}

function text(store: StateStore, key: string): string | undefined {
  const bytes = store.read(key);
  return bytes === undefined || bytes.length === 0 ? undefined : utf8Decode(bytes);
}

function json(store: StateStore, key: string, path: string): Json | undefined {
  const value = text(store, key);
  if (value === undefined) return undefined;
  try {
    const parsed = asObject(JSON.parse(value));
    if (parsed !== undefined) return parsed;
  } catch (cause) {
    throw corruptError(path, `the entry ${key} is not JSON`, cause);
  }
  throw corruptError(path, `the entry ${key} is not a JSON object`);
}

function asObject(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json)
    : undefined;
}

function objectIn(value: Json, key: string): Json {
  return asObject(value[key]) ?? {};
}

/** Numeric IDs beyond 2^53 are left out: nothing reads them back. */
function jsonNumber(id: unknown): number {
  return typeof id === 'number' ? id : 0;
}

function sameControl(a: string, b: string): boolean {
  const canonical = (url: string): string => {
    const bare = url.replace(/\/+$/, '');
    return bare === '' || DEFAULT_CONTROL_ALIASES.includes(bare)
      ? DEFAULT_CONTROL_ALIASES[1]!
      : bare;
  };
  return canonical(a) === canonical(b);
}

function newProfileKey(crypto: Crypto): string {
  const [a, b] = crypto.randomBytes(2);
  return `profile-${((a! << 8) | b!).toString(16).padStart(4, '0')}`;
}
