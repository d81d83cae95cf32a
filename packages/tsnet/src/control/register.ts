// Registration: from a node key to a login the coordination server knows, by auth key or by a person opening a URL.
// The flow outlives connections: a pending login is taken up again on the next one.

import type { Crypto } from '@cove/protocol/crypto';
import { encodeJson } from '@cove/protocol/json';
import { nodePublic, PrivateKey, ZERO_NODE_PUBLIC } from '@cove/protocol/keys';
import {
  parseRegisterResponse,
  type RegisterRequest,
  type RegisterResponse,
} from '@cove/protocol/register';
import type { Hostinfo } from '@cove/protocol/tailcfg';
import { type Clock, sleep } from '../clock.ts';
import type { AuthKeySource } from '../environment.ts';
import { TsnetError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Identity, Login } from '../profile.ts';
import { backoffDelay } from './backoff.ts';
import { type ControlConnection, type ControlResponse, readBody } from './connection.ts';
import type { ControlUrl } from './controlurl.ts';
import { CAPABILITY_VERSION } from './hostinfo.ts';

const MAX_RESPONSE = 1024 * 1024;
const ZERO_TIME = '0001-01-01T00:00:00Z';
/** Any instant in the past means logout; this is the one in use. */
const LOGOUT_TIME = '1970-01-01T00:02:03Z';
const LONGEST_RETRY_AFTER = 3_600_000;

export interface RegistrationOptions {
  readonly url: ControlUrl;
  readonly identity: Identity;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly log: Log;
  /** Gives an auth key when one is needed; absent: a person has to log the node in. */
  readonly authKey: AuthKeySource | undefined;
  readonly ephemeral: boolean;
  hostinfo(): Hostinfo;
  /** A person has to open this URL. Called again when the server replaces it. */
  loginUrl(url: string): void;
}

/**
 * `start`: present the key we have, or a first one. `renew`: the key we have is worth nothing any more, or a new
 * login is wanted.
 */
export type RegistrationMode = 'start' | 'renew';

export class Registration {
  readonly #options: RegistrationOptions;
  /** There was a complete login before: where the auth key no longer serves, a person can renew it. */
  readonly #wasIn: boolean;
  #nodeKey: PrivateKey;
  #oldNodeKey: PrivateKey | undefined;
  #useAuthKey: boolean;
  #authKeyTried = false;
  #rotated = false;
  #followup = '';
  #pending = 0;

  constructor(mode: RegistrationMode, options: RegistrationOptions) {
    this.#options = options;
    const { identity, authKey } = options;
    const known = identity.login;
    this.#wasIn = known !== undefined && known.stableId !== '';
    if (known !== undefined && mode === 'start') {
      this.#nodeKey = known.nodeKey;
      this.#oldNodeKey = known.oldNodeKey;
      // A complete login needs no key: presenting a used one-time key could only fail.
      this.#useAuthKey = authKey !== undefined && known.stableId === '';
    } else {
      this.#nodeKey = this.#newKey();
      this.#oldNodeKey = known?.nodeKey;
      this.#useAuthKey = authKey !== undefined;
    }
    // The first key is stored before the server hears of it: a crash in between must not make a second node.
    if (known === undefined) this.#save('', '');
  }

  /**
   * Runs until the server has accepted the login, which is stored by then.
   * Throws ERR_LOGIN_REFUSED (the server's words), ERR_CONTROL_STATUS, ERR_CONTROL_PROTOCOL,
   * ERR_CONTROL_UNREACHABLE, or the signal's reason; after any of them it may be run again.
   */
  async run(connection: ControlConnection, signal: AbortSignal): Promise<Login> {
    for (;;) {
      const response = await this.#post(connection, signal);
      if (response === 'again') continue;
      if (response.Error !== '') {
        if (this.#useAuthKey && this.#wasIn) {
          this.#options.log('warn', 'the auth key is not accepted any more', {
            reason: response.Error,
          });
          this.#useAuthKey = false;
          continue;
        }
        this.#followup = '';
        throw new TsnetError(
          'ERR_LOGIN_REFUSED',
          `the control server ${this.#options.url.text} refuses the login: ${response.Error}`,
        );
      }
      if ((response.NodeKeySignature ?? []).length > 0) {
        throw new TsnetError(
          'ERR_LOGIN_REFUSED',
          'this tailnet is locked (tailnet lock) and wants the new key signed, which this node cannot do',
        );
      }
      if (response.NodeKeyExpired) {
        this.#rotate();
      } else if (response.AuthURL !== '') {
        await this.#follow(response.AuthURL, signal);
      } else {
        return this.#save(this.#knownStableId(), response.Login.LoginName, response);
      }
    }
  }

  #knownStableId(): string {
    return this.#options.identity.login?.stableId ?? '';
  }

  #newKey(): PrivateKey {
    const { crypto } = this.#options;
    return PrivateKey.generate((n) => crypto.randomBytes(n));
  }

  #rotate(): void {
    if (this.#rotated) {
      throw new TsnetError(
        'ERR_CONTROL_PROTOCOL',
        'the control server calls a key expired that was just made',
      );
    }
    this.#rotated = true;
    this.#oldNodeKey = this.#nodeKey;
    this.#nodeKey = this.#newKey();
    this.#followup = '';
    this.#useAuthKey = this.#options.authKey !== undefined;
  }

  async #follow(url: string, signal: AbortSignal): Promise<void> {
    const { authKey, clock } = this.#options;
    if (authKey !== undefined && !this.#authKeyTried && this.#followup === '') {
      this.#useAuthKey = true;
      return;
    }
    if (url === this.#followup) {
      this.#pending++;
      await sleep(clock, backoffDelay(this.#pending, Math.random()), signal, true);
      return;
    }
    this.#checkLoginUrl(url);
    this.#pending = 0;
    this.#followup = url;
    this.#options.loginUrl(url);
  }

  /** The URL is shown to a person and perhaps opened by a program: only a web address will do. */
  #checkLoginUrl(text: string): void {
    const server = this.#options.url;
    let url: URL | undefined;
    try {
      url = new URL(text);
    } catch {
      // Judged below.
    }
    const scheme = url?.protocol === 'https:' || (url?.protocol === 'http:' && !server.secure);
    const official = /(^|\.)tailscale\.com$/.test(server.host);
    const host = !official || /(^|\.)tailscale\.com$/.test(url?.hostname ?? '');
    if (scheme && host) return;
    throw new TsnetError(
      'ERR_CONTROL_PROTOCOL',
      `the control server ${server.text} gives a login address that is not safe to open`,
    );
  }

  #save(stableId: string, loginName: string, response?: RegisterResponse): Login {
    const login: Login = {
      nodeKey: this.#nodeKey,
      oldNodeKey: this.#oldNodeKey,
      stableId,
      loginName,
    };
    this.#options.identity.saveLogin(
      login,
      response && { id: response.User.ID, displayName: response.User.DisplayName },
    );
    return login;
  }

  async #post(
    connection: ControlConnection,
    signal: AbortSignal,
  ): Promise<RegisterResponse | 'again'> {
    const { authKey, clock, log } = this.#options;
    const withKey = this.#useAuthKey && this.#followup === '';
    if (withKey) this.#authKeyTried = true;
    const response = await sendRegister(connection, this.#options, signal, {
      nodeKey: this.#nodeKey,
      oldNodeKey: this.#oldNodeKey,
      fields: {
        Expiry: ZERO_TIME,
        Followup: this.#followup,
        ...(withKey && authKey !== undefined ? { Auth: { AuthKey: await authKey() } } : {}),
      },
    });
    if (response.status === 429) {
      const delay = retryAfter(response, clock.wallNow());
      log('info', 'the control server asks to register later', { seconds: delay / 1000 });
      await readBody(response, MAX_RESPONSE);
      await sleep(clock, delay, signal, true);
      return 'again';
    }
    await expectOk(response, 'the registration');
    return parseRegisterResponse(await readBody(response, MAX_RESPONSE));
  }
}

/** Ends the login at the server: the key expires, an ephemeral node goes at once. One attempt. */
export async function sendLogout(
  connection: ControlConnection,
  options: RegistrationOptions,
  signal: AbortSignal,
): Promise<void> {
  const { login } = options.identity;
  if (login === undefined) return;
  const response = await sendRegister(connection, options, signal, {
    nodeKey: login.nodeKey,
    oldNodeKey: login.oldNodeKey,
    fields: { Expiry: LOGOUT_TIME, Followup: '' },
  });
  await expectOk(response, 'the logout');
  const { Error: refusal } = parseRegisterResponse(await readBody(response, MAX_RESPONSE));
  if (refusal !== '') {
    throw new TsnetError('ERR_LOGIN_REFUSED', `the control server refuses the logout: ${refusal}`);
  }
}

function sendRegister(
  connection: ControlConnection,
  options: RegistrationOptions,
  signal: AbortSignal,
  request: {
    nodeKey: PrivateKey;
    oldNodeKey: PrivateKey | undefined;
    fields: Partial<RegisterRequest>;
  },
): Promise<ControlResponse> {
  const { crypto, identity, ephemeral } = options;
  const publicOf = (key: PrivateKey | undefined) =>
    key === undefined ? ZERO_NODE_PUBLIC : nodePublic(key.publicBytes(crypto.x25519));
  const nodeKey = publicOf(request.nodeKey);
  const message: RegisterRequest = {
    Version: CAPABILITY_VERSION,
    NodeKey: nodeKey,
    OldNodeKey: publicOf(request.oldNodeKey),
    NLKey: identity.networkLockPublic,
    Hostinfo: options.hostinfo(),
    NodeKeySignature: null,
    ...(ephemeral ? { Ephemeral: true } : {}),
    ...request.fields,
  };
  return connection.request({
    method: 'POST',
    path: '/machine/register',
    body: encodeJson(message),
    headers: { 'ts-lb': nodeKey },
    signal,
  });
}

/** Throws ERR_CONTROL_STATUS with the beginning of the body unless the status is 200. */
export async function expectOk(response: ControlResponse, what: string): Promise<void> {
  if (response.status === 200) return;
  let text = '';
  try {
    text = Buffer.from(await readBody(response, MAX_RESPONSE))
      .toString('utf8')
      .slice(0, 200)
      .trim();
  } catch {
    // The status alone must do.
  }
  const error = new StatusError(
    `the control server answers ${response.status} to ${what}${text === '' ? '' : `: ${text}`}`,
  );
  error.status = response.status;
  throw error;
}

/** An HTTP status other than 200, for those who must tell one from another. */
export class StatusError extends TsnetError {
  status = 0;

  constructor(message: string) {
    super('ERR_CONTROL_STATUS', message);
  }
}

/** Seconds or an HTTP date within the next hour; otherwise 5 to 10 seconds (RFC 9110 section 10.2.3). */
function retryAfter(response: ControlResponse, wallNow: number): number {
  const header = response.headers['retry-after'];
  const text = Array.isArray(header) ? (header[0] ?? '') : (header ?? '');
  const delay = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - wallNow;
  return delay > 0 && delay <= LONGEST_RETRY_AFTER ? delay : 5_000 + Math.random() * 5_000;
}
