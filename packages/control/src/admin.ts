// What an administrator may do, in terms of names and plain records.
import type { DERPMap } from '@cove/protocol/tailcfg';
import type {
  AuthKeyOptions,
  AuthKeyRecord,
  CreatedAuthKey,
  EventRecord,
  NodeRecord,
  NodeRef,
  PendingRecord,
  PolicyRecord,
  UserRecord,
} from './api.ts';
import type { Core } from './core.ts';
import { type Database, sql } from './database/database.ts';
import { ControlError } from './errors.ts';
import { authKeyState, generateAuthKey, hashSecret } from './login/authkeys.ts';
import type { PendingLogins } from './login/pending.ts';
import type { Registrar } from './login/register.ts';
import { checkDerpMap } from './map/derpmap.ts';
import { cleanText } from './map/hostinfo.ts';
import { timeText } from './map/nodejson.ts';
import { parsePolicy } from './policy/policy.ts';
import type { Transaction } from './state/journal.ts';
import { isLabel, isLoginName, isTag } from './state/names.ts';
import {
  insertAuthKey,
  insertPolicy,
  storeSetting,
  updateAuthKey,
  updateUser,
} from './state/rows.ts';
import { type AuthKey, type NodeState, TAGGED_USER_NAME, type User } from './state/tailnet.ts';

const ACTOR = 'admin';
const DEFAULT_KEY_LIFETIME_MS = 3_600_000;
const MAX_EVENTS = 10_000;

function invalid(message: string): ControlError {
  return new ControlError('ERR_INVALID_ARGUMENT', message);
}

export class Admin {
  readonly #core: Core;
  readonly #database: Database;
  readonly #registrar: Registrar;
  readonly #pending: PendingLogins;

  constructor(core: Core, database: Database, registrar: Registrar, pending: PendingLogins) {
    this.#core = core;
    this.#database = database;
    this.#registrar = registrar;
    this.#pending = pending;
  }

  /** First things: the owner exists and is an admin, and there is a relay map if one was given. */
  async prepare(owner: string, derpMap: DERPMap | undefined): Promise<void> {
    const { tailnet } = this.#core;
    if (derpMap !== undefined) checkDerpMap(derpMap);
    if (tailnet.userByLogin(owner)?.role !== 'admin') {
      await this.#core.journal.mutate((tx) => {
        const user = this.#core.ensureUser(tx, owner, 'system');
        if (user.role === 'admin') return;
        user.role = 'admin';
        tx.write(updateUser(tx.tailnet.id, user));
        tx.event('system', 'user.role', user.loginName, { role: user.role });
      });
    }
    if (tailnet.derpMap === undefined && derpMap !== undefined) await this.setDerpMap(derpMap);
  }

  listUsers(): UserRecord[] {
    return [...this.#core.tailnet.users.values()].map(userRecord);
  }

  async ensureUser(loginName: string, displayName: string | undefined): Promise<UserRecord> {
    checkLoginName(loginName);
    const name = displayName === undefined ? undefined : cleanText(displayName).slice(0, 128);
    const user = await this.#core.journal.mutate((tx) =>
      this.#core.ensureUser(tx, loginName, ACTOR, name || undefined),
    );
    return userRecord(user);
  }

  async createAuthKey(options: AuthKeyOptions): Promise<CreatedAuthKey> {
    const tags = [...new Set(options.tags ?? [])];
    if (tags.length > 0 && options.user !== undefined) {
      throw invalid('a key has a user or tags, not both');
    }
    this.#checkTags(tags);
    const owner = options.user ?? this.#core.options.owner;
    checkLoginName(owner);
    const expiresIn = options.expiresIn ?? DEFAULT_KEY_LIFETIME_MS;
    if (!(expiresIn > 0)) throw invalid(`expiresIn ${expiresIn} is not above 0`);
    const { id, secret, key } = generateAuthKey();
    const made = await this.#core.journal.mutate((tx) => {
      const authKey: AuthKey = {
        id,
        secretHash: hashSecret(secret),
        userId: tags.length > 0 ? undefined : this.#core.ensureUser(tx, owner, ACTOR).id,
        tags,
        reusable: options.reusable === true,
        ephemeral: options.ephemeral === true,
        description: cleanText(options.description ?? '').slice(0, 256),
        uses: 0,
        created: tx.now,
        expires: Number.isFinite(expiresIn) ? Math.floor(tx.now + expiresIn) : undefined,
        revoked: undefined,
      };
      tx.tailnet.authKeys.set(id, authKey);
      tx.write(insertAuthKey(tx.tailnet.id, authKey));
      const { userId, reusable, ephemeral, expires } = authKey;
      tx.event(ACTOR, 'authkey.created', `authkey:${id}`, {
        user: userId ?? null,
        tags,
        reusable,
        ephemeral,
        expires: expires ?? null,
      });
      return authKey;
    });
    return { ...this.#authKeyRecord(made), key };
  }

  listAuthKeys(): AuthKeyRecord[] {
    return [...this.#core.tailnet.authKeys.values()].map((key) => this.#authKeyRecord(key));
  }

  async expireAuthKey(id: string): Promise<AuthKeyRecord> {
    const key = await this.#core.journal.mutate((tx) => {
      const found = tx.tailnet.authKeys.get(id);
      if (found === undefined) throw new ControlError('ERR_NOT_FOUND', `no auth key ${id}`);
      if (found.revoked !== undefined) return found;
      found.revoked = tx.now;
      tx.write(updateAuthKey(tx.tailnet.id, found));
      tx.event(ACTOR, 'authkey.revoked', `authkey:${id}`);
      return found;
    });
    return this.#authKeyRecord(key);
  }

  listNodes(): NodeRecord[] {
    return [...this.#core.tailnet.nodes.values()].map((node) => this.#nodeRecord(node));
  }

  getNode(ref: NodeRef): NodeRecord {
    return this.#nodeRecord(this.#find(ref));
  }

  expireNode(ref: NodeRef): Promise<NodeRecord> {
    return this.#change(ref, (tx, node) =>
      this.#core.setExpiry(tx, node, tx.now, ACTOR, 'node.expired'),
    );
  }

  deleteNode(ref: NodeRef): Promise<NodeRecord> {
    return this.#change(ref, (tx, node) => this.#core.removeNode(tx, node, ACTOR, 'deleted'));
  }

  renameNode(ref: NodeRef, name: string): Promise<NodeRecord> {
    return this.#change(ref, (tx, node) => {
      if (!isLabel(name)) throw invalid(`${JSON.stringify(name)} is not a lower-case DNS label`);
      const holder = tx.tailnet.nodeByName(name);
      if (holder !== undefined && holder !== node) {
        throw new ControlError('ERR_CONFLICT', `the name ${name} is taken by node ${holder.id}`);
      }
      this.#core.renameNode(tx, node, name, true, ACTOR);
    });
  }

  setNodeTags(ref: NodeRef, tags: readonly string[]): Promise<NodeRecord> {
    return this.#change(ref, (tx, node) => {
      if (tags.length === 0) throw invalid('a node cannot lose its last tag; let it log in again');
      this.#checkTags(tags);
      this.#core.setTags(tx, node, [...new Set(tags)], ACTOR);
    });
  }

  listPending(): PendingRecord[] {
    return this.#pending.list().map((login) => ({
      id: login.id,
      hostname: login.hostinfo.Hostname ?? '',
      os: login.hostinfo.OS ?? '',
      machineKey: login.machineKey,
      nodeKey: login.nodeKey,
      created: timeText(login.created),
      expires: timeText(login.expires),
    }));
  }

  async approve(id: string, user: string | undefined): Promise<NodeRecord> {
    const loginName = user ?? this.#core.options.owner;
    checkLoginName(loginName);
    const node = await this.#core.journal.mutate((tx) =>
      this.#registrar.approve(tx, id, loginName, ACTOR),
    );
    return this.#nodeRecord(node);
  }

  async deny(id: string): Promise<void> {
    await this.#core.journal.mutate((tx) => {
      const login = this.#pending.get(id);
      if (login === undefined || login.denied) throw noLogin(id);
      tx.event(ACTOR, 'login.denied', `login:${id}`, { machine: login.machineKey });
      tx.after(() => this.#pending.deny(login));
    });
  }

  getPolicy(): PolicyRecord {
    const { version, text, created } = this.#core.tailnet.policy;
    return {
      version,
      ...(text === undefined ? {} : { text }),
      ...(created === undefined ? {} : { updated: timeText(created) }),
    };
  }

  async setPolicy(text: string | undefined): Promise<PolicyRecord> {
    if (text !== undefined) this.validatePolicy(text);
    await this.#core.journal.mutate((tx) => {
      const version = tx.tailnet.policy.version + 1;
      tx.tailnet.policy = { version, text, created: tx.now };
      tx.write(insertPolicy(tx.tailnet.id, version, text, tx.now));
      tx.event(ACTOR, 'policy.changed', `policy:${version}`, { removed: text === undefined });
      tx.after(() => this.#core.policyReplaced());
    });
    return this.getPolicy();
  }

  validatePolicy(text: string): void {
    parsePolicy(text);
  }

  async setDerpMap(map: DERPMap): Promise<void> {
    checkDerpMap(map);
    await this.#core.journal.mutate((tx) => {
      tx.tailnet.derpMap = map;
      tx.write(storeSetting(tx.tailnet.id, 'derp_map', JSON.stringify(map)));
      tx.event(ACTOR, 'derpmap.changed', 'derpmap', { regions: Object.keys(map.Regions ?? {}) });
      tx.after(() => this.#core.hub.derpMapChanged());
    });
  }

  listEvents(after: number, limit: number): EventRecord[] {
    const rows = this.#database.all(
      sql
        .selectFrom('events')
        .selectAll()
        .where('tailnet_id', '=', this.#core.tailnet.id)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(Math.max(0, Math.min(limit, MAX_EVENTS))),
    );
    return rows.map((row) => ({
      seq: row.seq,
      time: timeText(row.at),
      actor: row.actor,
      kind: row.kind,
      subject: row.subject,
      data: JSON.parse(row.data) as Record<string, unknown>,
    }));
  }

  async #change(
    ref: NodeRef,
    change: (tx: Transaction, node: NodeState) => void,
  ): Promise<NodeRecord> {
    return await this.#core.journal.mutate((tx) => {
      const node = this.#find(ref);
      change(tx, node);
      return this.#nodeRecord(node);
    });
  }

  #find(ref: NodeRef): NodeState {
    const { tailnet } = this.#core;
    const text = String(ref).replace(/\.$/, '');
    const suffix = `.${this.#core.options.domain}`;
    const label = text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
    // A text that is a node's name means that node, even where an ID could be meant.
    const node =
      (typeof ref === 'number' ? tailnet.nodes.get(ref) : tailnet.nodeByName(label)) ??
      (/^\d{1,15}$/.test(text) ? tailnet.nodes.get(Number(text)) : undefined) ??
      tailnet.nodeByAddress(text) ??
      (text.startsWith('nodekey:') ? tailnet.nodeByKey(text as `nodekey:${string}`) : undefined) ??
      [...tailnet.nodes.values()].find((candidate) => candidate.stableId === text);
    if (node === undefined) throw new ControlError('ERR_NOT_FOUND', `no node ${text}`);
    return node;
  }

  #checkTags(tags: readonly string[]): void {
    for (const tag of tags) {
      if (!isTag(tag)) throw invalid(`${JSON.stringify(tag)} is not of the form tag:name`);
      if (!this.#core.policy.isTagKnown(tag))
        throw invalid(`${tag} is not in the policy's tagOwners`);
    }
  }

  #authKeyRecord(key: AuthKey): AuthKeyRecord {
    const { tailnet, options } = this.#core;
    return {
      id: key.id,
      user:
        key.userId === undefined
          ? TAGGED_USER_NAME
          : (tailnet.users.get(key.userId)?.loginName ?? String(key.userId)),
      reusable: key.reusable,
      ephemeral: key.ephemeral,
      tags: key.tags,
      description: key.description,
      uses: key.uses,
      created: timeText(key.created),
      ...(key.expires === undefined ? {} : { expires: timeText(key.expires) }),
      ...(key.revoked === undefined ? {} : { revoked: timeText(key.revoked) }),
      state: authKeyState(key, options.now()),
    };
  }

  #nodeRecord(node: NodeState): NodeRecord {
    const { tailnet, options } = this.#core;
    return {
      id: node.id,
      stableId: node.stableId,
      name: node.givenName,
      fqdn: `${node.givenName}.${options.domain}`,
      hostname: node.hostname,
      os: node.hostinfo.OS ?? '',
      user:
        node.userId === undefined
          ? TAGGED_USER_NAME
          : (tailnet.users.get(node.userId)?.loginName ?? String(node.userId)),
      tags: node.tags,
      addresses: [node.ipv4, node.ipv6],
      nodeKey: node.nodeKey,
      machineKey: node.machineKey,
      ephemeral: node.ephemeral,
      online: node.online,
      ...(node.lastSeen === undefined ? {} : { lastSeen: timeText(node.lastSeen) }),
      created: timeText(node.created),
      ...(node.keyExpiry === undefined ? {} : { keyExpiry: timeText(node.keyExpiry) }),
      expired: node.keyExpiry !== undefined && node.keyExpiry <= options.now(),
      capVersion: node.capVersion,
      clientVersion: node.hostinfo.IPNVersion ?? '',
      homeDerp: node.homeDerp,
      endpoints: node.endpoints,
      registeredBy: node.registeredBy,
      ...(node.authKeyId === undefined ? {} : { authKeyId: node.authKeyId }),
    };
  }
}

function userRecord(user: User): UserRecord {
  const { id, loginName, displayName, role } = user;
  return { id, loginName, displayName, role, created: timeText(user.created) };
}

function checkLoginName(loginName: string): void {
  if (!isLoginName(loginName)) {
    throw invalid(`${JSON.stringify(loginName)} is not of the form name@domain`);
  }
}

function noLogin(id: string): ControlError {
  return new ControlError('ERR_NOT_FOUND', `no login ${id} waits for approval`);
}
