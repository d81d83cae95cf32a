// POST /machine/register. What a request leads to, in order:
//
//   version below the minimum                 400
//   key of another machine                    Error
//   Expiry in the past                        logout: the key expires now, an ephemeral node goes
//   known key, not expired                    success (a later Expiry: 400; an earlier one is taken)
//   auth key                                  checked; success or Error
//   known key, expired, nothing else          NodeKeyExpired
//   Followup of a waiting login               held until somebody decides
//   otherwise                                 AuthURL
//
// Every answer that is no success says MachineAuthorized false: some clients look at nothing else.
import { isZeroKey, type MachinePublic, type NodePublic } from '@cove/protocol/keys';
import type { RegisterRequest, RegisterResponse } from '@cove/protocol/register';
import type { Hostinfo } from '@cove/protocol/tailcfg';
import { isZeroTime, parseTime } from '@cove/protocol/time';
import type { Core, Login } from '../core.ts';
import { ControlError } from '../errors.ts';
import { mergeHostinfo } from '../map/hostinfo.ts';
import type { Transaction } from '../state/journal.ts';
import { isTag } from '../state/names.ts';
import { updateAuthKey } from '../state/rows.ts';
import { type NodeState, TAGGED_USER_ID, TAGGED_USER_NAME, type User } from '../state/tailnet.ts';
import { checkAuthKey } from './authkeys.ts';
import type { PendingLogin, PendingLogins, PendingOutcome } from './pending.ts';

/** Oldest client served: tailscaled 1.68. */
export const MIN_CAP_VERSION = 97;

const MAX_TAGS = 64;
const MAX_TEXT = 256;

export type RegisterResult =
  | { readonly type: 'answer'; readonly response: RegisterResponse }
  /** Status 400 with this text. */
  | { readonly type: 'refuse'; readonly text: string }
  /** To be held until the login is decided. */
  | { readonly type: 'wait'; readonly login: PendingLogin };

function answer(partial: Partial<RegisterResponse>): RegisterResult {
  return { type: 'answer', response: { ...NOT_AUTHORIZED, ...partial } };
}

const NOT_AUTHORIZED: RegisterResponse = {
  User: { ID: 0, DisplayName: '' },
  Login: { ID: 0, Provider: '', LoginName: '', DisplayName: '' },
  NodeKeyExpired: false,
  MachineAuthorized: false,
  AuthURL: '',
  NodeKeySignature: null,
  Error: '',
};

export class Registrar {
  readonly #core: Core;
  readonly #pending: PendingLogins;
  readonly #registerUrl: string;

  constructor(core: Core, pending: PendingLogins, serverUrl: string) {
    this.#core = core;
    this.#pending = pending;
    this.#registerUrl = `${serverUrl}/register/`;
  }

  /** Decides about a request of this machine. `source`: what sourceOf said of it. Rejects only with ERR_DATABASE_IO and ERR_CLOSED. */
  async register(
    machine: MachinePublic,
    request: RegisterRequest,
    source?: string,
  ): Promise<RegisterResult> {
    if (request.Version < MIN_CAP_VERSION) {
      return { type: 'refuse', text: `unsupported client version ${request.Version}` };
    }
    if (isZeroKey(request.NodeKey)) return { type: 'refuse', text: 'no node key' };
    const now = this.#core.options.now();
    const node = this.#core.tailnet.nodeByKey(request.NodeKey);
    if (node !== undefined && node.machineKey !== machine) {
      return answer({ Error: 'node key belongs to another machine' });
    }
    const expiry = isZeroTime(request.Expiry) ? undefined : parseTime(request.Expiry!);
    if (expiry !== undefined && expiry <= now) return this.#logOut(node);
    const authKey = request.Auth?.AuthKey ?? '';
    if (node !== undefined && !isExpired(node, now)) {
      return expiry === undefined ? this.#success(node) : this.#shorten(node, expiry);
    }
    if (authKey !== '') return this.#byAuthKey(machine, request, authKey);
    const followup = request.Followup ?? '';
    if (node !== undefined && followup === '') return answer({ NodeKeyExpired: true });
    return this.#interactive(machine, request, followup, source);
  }

  /** What to answer a held request once its login is decided. */
  outcome(
    machine: MachinePublic,
    request: RegisterRequest,
    outcome: PendingOutcome,
    source?: string,
  ): RegisterResult {
    if (outcome === 'denied') return answer({ Error: 'registration was refused' });
    const node = this.#core.tailnet.nodeByKey(request.NodeKey);
    if (outcome === 'approved' && node !== undefined && node.machineKey === machine) {
      return this.#success(node);
    }
    return this.#interactive(machine, request, '', source);
  }

  #success(node: NodeState): RegisterResult {
    const user = node.userId === undefined ? undefined : this.#core.tailnet.users.get(node.userId);
    const id = user?.id ?? TAGGED_USER_ID;
    const name = user?.displayName ?? TAGGED_USER_NAME;
    return answer({
      User: { ID: id, DisplayName: name },
      Login: {
        ID: id,
        Provider: '',
        LoginName: user?.loginName ?? TAGGED_USER_NAME,
        DisplayName: name,
      },
      MachineAuthorized: true,
    });
  }

  async #logOut(node: NodeState | undefined): Promise<RegisterResult> {
    // Unknown or expired: the client wants to be logged out, and is.
    if (node !== undefined && !isExpired(node, this.#core.options.now())) {
      await this.#core.journal.mutate((tx) => {
        if (tx.tailnet.nodes.get(node.id) !== node) return;
        const actor = `node:${node.id}`;
        if (node.ephemeral) this.#core.removeNode(tx, node, actor, 'logged out');
        else this.#core.setExpiry(tx, node, tx.now, actor, 'node.logout');
      });
    }
    return answer({ NodeKeyExpired: true });
  }

  async #shorten(node: NodeState, expiry: number): Promise<RegisterResult> {
    if (node.keyExpiry !== undefined && expiry > node.keyExpiry) {
      return { type: 'refuse', text: 'extending key is not allowed' };
    }
    await this.#core.journal.mutate((tx) => {
      if (tx.tailnet.nodes.get(node.id) === node) {
        this.#core.setExpiry(tx, node, expiry, `node:${node.id}`);
      }
    });
    return this.#success(node);
  }

  async #byAuthKey(
    machine: MachinePublic,
    request: RegisterRequest,
    presented: string,
  ): Promise<RegisterResult> {
    try {
      const node = await this.#core.journal.mutate((tx) => {
        const key = checkAuthKey(tx.tailnet.authKeys, presented, tx.now);
        if (typeof key === 'string') throw new ControlError('ERR_CONFLICT', key);
        const requested = request.Hostinfo?.RequestTags ?? [];
        const login: Login = {
          ...loginOf(machine, request),
          userId: key.userId,
          tags: key.tags,
          ephemeral: key.ephemeral || request.Ephemeral === true,
          authKeyId: key.id,
          registeredBy: 'authkey',
        };
        const tagged =
          key.userId === undefined
            ? keyTags(login, requested)
            : this.#tagged(tx, login, requested, tx.tailnet.users.get(key.userId));
        const made = this.#core.logIn(tx, tagged, `authkey:${key.id}`);
        key.uses++;
        tx.write(updateAuthKey(tx.tailnet.id, key));
        return made;
      });
      return this.#success(node);
    } catch (error) {
      return refused(error);
    }
  }

  /** The login as it becomes with the tags its client asks for. Throws ERR_CONFLICT if they are not its to have. */
  #tagged(
    tx: Transaction,
    login: Login,
    requested: readonly string[],
    user: Pick<User, 'loginName' | 'role'> | undefined,
  ): Login {
    if (requested.length === 0) return login;
    const admin = user?.role === 'admin';
    const known = tx.tailnet.nodeByKey(login.oldNodeKey ?? login.nodeKey);
    const carried = known?.machineKey === login.machineKey ? known.tags : [];
    const allowed = (tag: string): boolean =>
      isTag(tag) &&
      this.#core.policy.mayTag(
        { userId: login.userId, tags: carried },
        admin,
        tag,
        user?.loginName,
      );
    if (requested.length > MAX_TAGS || !requested.every(allowed)) throw badTags(requested);
    return { ...login, userId: undefined, tags: [...new Set(requested)] };
  }

  #interactive(
    machine: MachinePublic,
    request: RegisterRequest,
    followup: string,
    source: string | undefined,
  ): RegisterResult {
    if (followup.startsWith(this.#registerUrl)) {
      const login = this.#pending.get(followup.slice(this.#registerUrl.length));
      if (login?.machineKey === machine && login.nodeKey === request.NodeKey) {
        return login.denied
          ? answer({ Error: 'registration was refused' })
          : { type: 'wait', login };
      }
    }
    const { nodeKey, oldNodeKey, nlKey, hostinfo, capVersion } = loginOf(machine, request);
    const login = this.#pending.begin({
      machineKey: machine,
      source,
      nodeKey,
      oldNodeKey,
      nlKey,
      hostinfo: briefHostinfo(hostinfo),
      ephemeral: request.Ephemeral === true,
      capVersion,
    });
    this.#core.log('info', 'login waits for approval', {
      id: login.id,
      hostname: login.hostinfo.Hostname ?? '',
    });
    return answer({ AuthURL: this.#registerUrl + login.id });
  }

  /**
   * Makes the node of a waiting login, for this user, who is created if need be; the name must have been checked.
   * Throws ERR_NOT_FOUND, ERR_CONFLICT (tags the user may not give), ERR_EXHAUSTED; nothing has changed then.
   */
  approve(tx: Transaction, id: string, loginName: string, actor: string): NodeState {
    const login = this.#pending.get(id);
    if (login === undefined || login.denied) {
      throw new ControlError('ERR_NOT_FOUND', `no login ${id} waits for approval`);
    }
    // Everything that may be refused is looked at before the first write, hence before the user is there.
    const { tailnet } = tx;
    const user = tailnet.userByLogin(loginName) ?? {
      id: tailnet.lastUserId + 1,
      loginName,
      role: this.#core.firstRole(loginName),
    };
    const decided: Login = {
      machineKey: login.machineKey,
      nodeKey: login.nodeKey,
      oldNodeKey: login.oldNodeKey,
      nlKey: login.nlKey,
      userId: user.id,
      tags: [],
      hostinfo: login.hostinfo,
      capVersion: login.capVersion,
      ephemeral: login.ephemeral,
      authKeyId: undefined,
      registeredBy: 'approval',
    };
    const tagged = this.#tagged(tx, decided, login.hostinfo.RequestTags ?? [], user);
    this.#core.checkLogIn(tailnet, tagged);
    this.#core.ensureUser(tx, loginName, actor);
    const node = this.#core.logIn(tx, tagged, actor);
    tx.after(() => this.#pending.approve(login));
    return node;
  }
}

function isExpired(node: NodeState, now: number): boolean {
  return node.keyExpiry !== undefined && node.keyExpiry <= now;
}

function loginOf(
  machine: MachinePublic,
  request: RegisterRequest,
): Pick<Login, 'machineKey' | 'nodeKey' | 'oldNodeKey' | 'nlKey' | 'hostinfo' | 'capVersion'> {
  return {
    machineKey: machine,
    nodeKey: request.NodeKey,
    oldNodeKey: nonZero(request.OldNodeKey),
    nlKey: isZeroKey(request.NLKey) ? undefined : request.NLKey,
    hostinfo: (request.Hostinfo ?? {}) as Hostinfo,
    capVersion: request.Version,
  };
}

/** What a waiting login needs to keep: a stranger's words, so little of them. The rest comes with the first map. */
function briefHostinfo(info: Hostinfo): Hostinfo {
  const tags = info.RequestTags?.slice(0, MAX_TAGS).map((tag) => tag.slice(0, MAX_TEXT));
  const brief: Hostinfo = {
    Hostname: (info.Hostname ?? '').slice(0, MAX_TEXT),
    OS: (info.OS ?? '').slice(0, MAX_TEXT),
    IPNVersion: (info.IPNVersion ?? '').slice(0, MAX_TEXT),
    ...(tags === undefined ? {} : { RequestTags: tags }),
  };
  return mergeHostinfo({}, brief) ?? {};
}

function nonZero(key: NodePublic | undefined): NodePublic | undefined {
  return isZeroKey(key) ? undefined : key;
}

/** With a tagged key a client may ask for some of the key's tags, and gets all of them. */
function keyTags(login: Login, requested: readonly string[]): Login {
  if (!requested.every((tag) => login.tags.includes(tag))) throw badTags(requested);
  return login;
}

function badTags(requested: readonly string[]): ControlError {
  const shown = requested.slice(0, 8).map((tag) => tag.slice(0, 64));
  return new ControlError(
    'ERR_CONFLICT',
    `requested tags [${shown.join(' ')}] are invalid or not permitted`,
  );
}

function refused(error: unknown): RegisterResult {
  if (error instanceof ControlError && error.code !== 'ERR_DATABASE_IO') {
    return answer({ Error: error.message });
  }
  throw error;
}
