// The server's state and what follows from its changes: the tailnet, its policy, who is online, and the hub that tells
// connected nodes. Register, map and admin handlers work on this and on nothing below it.
import { randomBytes } from 'node:crypto';
import type { DiscoPublic, MachinePublic, NodePublic } from '@cove/protocol/keys';
import type { Hostinfo } from '@cove/protocol/tailcfg';
import type { LogEvent, LogLevel } from './api.ts';
import type { Database } from './database/database.ts';
import { ControlError } from './errors.ts';
import { usableEndpoints } from './map/endpoints.ts';
import { mergeHostinfo } from './map/hostinfo.ts';
import { Hub } from './map/hub.ts';
import { NodeJson, Patch, peerHostinfoText } from './map/nodejson.ts';
import { parsePolicy } from './policy/policy.ts';
import { PolicyView } from './policy/view.ts';
import { Presence } from './presence.ts';
import { addressPair } from './state/addresses.ts';
import { Journal, type Transaction } from './state/journal.ts';
import { freeLabel, labelOf } from './state/names.ts';
import { deleteNode, insertNode, insertUser, updateNode } from './state/rows.ts';
import type { NodeState, Tailnet, User } from './state/tailnet.ts';

export interface CoreOptions {
  readonly database: Database;
  readonly tailnet: Tailnet;
  readonly owner: string;
  readonly domain: string;
  readonly tailnetName: string;
  readonly now: () => number;
  readonly log: ((event: LogEvent) => void) | undefined;
  readonly ephemeralTimeout: number;
  readonly offlineGrace: number;
  readonly keyLifetime: number | undefined;
  readonly gatherWindow: number;
}

/** A login that has been decided on. */
export interface Login {
  readonly machineKey: MachinePublic;
  readonly nodeKey: NodePublic;
  readonly oldNodeKey: NodePublic | undefined;
  readonly nlKey: string | undefined;
  /** undefined: a tagged node. */
  readonly userId: number | undefined;
  readonly tags: readonly string[];
  readonly hostinfo: Hostinfo;
  readonly capVersion: number;
  readonly ephemeral: boolean;
  readonly authKeyId: string | undefined;
  readonly registeredBy: 'authkey' | 'approval';
}

/** What a node says of itself in a map request. */
export interface Report {
  readonly capVersion: number;
  readonly discoKey: DiscoPublic | undefined;
  readonly endpoints: readonly string[] | undefined;
  readonly hostinfo: Hostinfo | undefined;
}

/** Milliseconds between looks for expired keys. */
const EXPIRY_SCAN_MS = 5000;
/** Milliseconds between writes of what nodes reported. */
const REPORT_FLUSH_MS = 5000;

export class Core {
  readonly journal: Journal;
  readonly hub: Hub;
  readonly presence: Presence;
  readonly options: CoreOptions;
  policy: PolicyView;
  readonly #json: NodeJson;
  #scannedAt = 0;
  #flushedAt = 0;

  /** Throws ERR_POLICY if the stored policy does not read. */
  constructor(options: CoreOptions) {
    this.options = options;
    this.journal = new Journal({
      database: options.database,
      tailnet: options.tailnet,
      now: options.now,
      onReset: (error) => this.#onReset(error),
    });
    this.#json = new NodeJson(options.domain, (node) => this.#selfCaps(node));
    this.policy = this.#buildPolicy();
    this.hub = new Hub({
      json: this.#json,
      tailnet: () => this.tailnet,
      policy: () => this.policy,
      dnsConfig: JSON.stringify(dnsConfig(options.domain)),
      domain: options.tailnetName,
      now: options.now,
      gatherWindow: options.gatherWindow,
      random: Math.random,
      onDrop: (stream) => {
        this.log('warn', 'slow map stream dropped', { node: stream.node.id });
        if (this.hub.close(stream)) this.presence.left(stream.node);
      },
    });
    this.presence = new Presence({
      offlineGrace: options.offlineGrace,
      ephemeralTimeout: options.ephemeralTimeout,
      onOnline: (node) => this.#setOnline(node, true),
      onOffline: (node) => this.#setOnline(node, false),
      onAbandoned: (node) => this.#removeAbandoned(node),
    });
    this.#afterLoad();
  }

  get tailnet(): Tailnet {
    return this.journal.tailnet;
  }

  log(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.options.log?.({ level, message, fields });
  }

  /** Regular work; call about once per second. */
  tick(): void {
    this.hub.keepAlive();
    this.presence.tick();
    const now = performance.now();
    if (now - this.#scannedAt >= EXPIRY_SCAN_MS) {
      this.#scannedAt = now;
      this.#scanExpiry();
    }
    if (now - this.#flushedAt >= REPORT_FLUSH_MS) {
      this.#flushedAt = now;
      this.journal.flushReported();
    }
  }

  // Users

  /** Role of a user when created. */
  firstRole(loginName: string): User['role'] {
    return loginName.toLowerCase() === this.options.owner.toLowerCase() ? 'admin' : 'member';
  }

  /** Finds or creates. The name must have been checked. */
  ensureUser(tx: Transaction, loginName: string, actor: string, displayName?: string): User {
    const known = tx.tailnet.userByLogin(loginName);
    if (known !== undefined) return known;
    const user: User = {
      id: ++tx.tailnet.lastUserId,
      loginName,
      displayName: displayName ?? loginName.slice(0, loginName.indexOf('@')),
      role: this.firstRole(loginName),
      created: tx.now,
    };
    tx.tailnet.addUser(user);
    tx.write(insertUser(tx.tailnet.id, user));
    tx.event(actor, 'user.created', user.loginName, { id: user.id, role: user.role });
    return user;
  }

  // Nodes

  /** Throws what logIn would; changes nothing. Returns the machine's node for this owner, if it has one. */
  checkLogIn(tailnet: Tailnet, login: Login): NodeState | undefined {
    const existing = this.#nodeOfLogin(tailnet, login);
    const holder = tailnet.nodeByKey(login.nodeKey);
    if (holder !== undefined && holder !== existing) {
      throw new ControlError('ERR_CONFLICT', 'node key is in use by another login');
    }
    if (existing === undefined) tailnet.addresses.check();
    return existing;
  }

  /**
   * Makes the node of a login, or gives a new key to the one the machine has for this owner. Throws ERR_EXHAUSTED,
   * and ERR_CONFLICT if the node key serves another login; nothing has changed then.
   */
  logIn(tx: Transaction, login: Login, actor: string): NodeState {
    const { tailnet } = tx;
    const existing = this.checkLogIn(tailnet, login);
    const lifetime = login.userId === undefined ? undefined : this.options.keyLifetime;
    const keyExpiry = lifetime === undefined ? undefined : tx.now + lifetime;
    if (existing !== undefined) {
      this.#relogIn(tx, existing, login, keyExpiry, actor);
      return existing;
    }
    const hostinfo = mergeHostinfo({}, login.hostinfo) ?? {};
    const hostname = hostinfo.Hostname ?? '';
    const offset = tailnet.addresses.take();
    const node: NodeState = {
      id: ++tailnet.lastNodeId,
      stableId: `n${randomBytes(8).toString('hex')}`,
      machineKey: login.machineKey,
      nodeKey: login.nodeKey,
      nlKey: login.nlKey,
      userId: login.userId,
      tags: login.tags,
      hostname,
      givenName: freeLabel(labelOf(hostname), (label) => tailnet.nodeByName(label) !== undefined),
      renamed: false,
      ...addressPair(offset),
      offset,
      ephemeral: login.ephemeral,
      authKeyId: login.authKeyId,
      registeredBy: login.registeredBy,
      created: tx.now,
      keyExpiry,
      expired: false,
      capVersion: login.capVersion,
      discoKey: undefined,
      endpoints: [],
      homeDerp: 0,
      hostinfo,
      lastSeen: undefined,
      online: false,
      slot: tailnet.takeSlot(),
    };
    tailnet.addNode(node);
    this.policy.update(node);
    tx.write(insertNode(tailnet.id, node));
    tx.event(actor, 'node.created', `node:${node.id}`, {
      name: node.givenName,
      user: node.userId ?? null,
      tags: node.tags,
      addresses: [node.ipv4, node.ipv6],
      by: node.registeredBy,
    });
    // Until it opens a stream, a new ephemeral node counts as away.
    this.presence.known(node);
    return node;
  }

  /** A machine has one node per user and one as a tagged machine; a re-login may turn the former into the latter. */
  #nodeOfLogin(tailnet: Tailnet, login: Login): NodeState | undefined {
    const siblings = tailnet.nodesOfMachine(login.machineKey);
    const named = siblings.find(
      (node) => node.nodeKey === login.nodeKey || node.nodeKey === login.oldNodeKey,
    );
    const sameOwner = (node: NodeState): boolean => node.userId === login.userId;
    if (named !== undefined && (sameOwner(named) || login.userId === undefined)) return named;
    return siblings.find(sameOwner);
  }

  #relogIn(
    tx: Transaction,
    node: NodeState,
    login: Login,
    keyExpiry: number | undefined,
    actor: string,
  ): void {
    if (node.nodeKey !== login.nodeKey) tx.tailnet.rekeyNode(node, login.nodeKey);
    node.nlKey = login.nlKey ?? node.nlKey;
    const ownerChanged = node.userId !== login.userId || node.tags.join() !== login.tags.join();
    node.userId = login.userId;
    node.tags = login.tags;
    node.keyExpiry = keyExpiry;
    node.expired = false;
    node.ephemeral = login.ephemeral;
    node.authKeyId = login.authKeyId;
    node.registeredBy = login.registeredBy;
    node.capVersion = login.capVersion;
    tx.write(updateNode(tx.tailnet.id, node));
    tx.event(actor, 'node.login', `node:${node.id}`, {
      user: node.userId ?? null,
      tags: node.tags,
      by: node.registeredBy,
    });
    if (ownerChanged) {
      this.policy.update(node);
      this.hub.policyChanged();
    }
    this.hub.changed(node);
    this.hub.selfChanged(node);
    this.presence.known(node);
  }

  /** The node is told to log in again, its peers that it is gone. */
  removeNode(tx: Transaction, node: NodeState, actor: string, reason: string): void {
    tx.tailnet.removeNode(node);
    tx.write(deleteNode(tx.tailnet.id, node.id));
    tx.event(actor, 'node.deleted', `node:${node.id}`, { name: node.givenName, reason });
    this.policy.remove(node);
    this.hub.removed(node);
    this.presence.forget(node);
    // Clients never log in again because of a failed map request, but because a map says their key has expired.
    node.keyExpiry = tx.now - 1000;
    tx.after(() => {
      const stream = this.hub.streamOf(node);
      if (stream !== undefined) this.hub.farewell(stream);
    });
  }

  /** at undefined: the key never expires. */
  setExpiry(
    tx: Transaction,
    node: NodeState,
    at: number | undefined,
    actor: string,
    kind = 'node.expiry',
  ): void {
    node.keyExpiry = at;
    node.expired = at !== undefined && at <= tx.now;
    tx.write(updateNode(tx.tailnet.id, node));
    tx.event(actor, kind, `node:${node.id}`, { expiry: at ?? null });
    this.hub.patched(node, Patch.EXPIRY);
    this.hub.selfChanged(node);
  }

  /** The label must be free. renamed: an admin chose it, so the client's hostname no longer changes it. */
  renameNode(
    tx: Transaction,
    node: NodeState,
    label: string,
    renamed: boolean,
    actor: string,
  ): void {
    const before = node.givenName;
    tx.tailnet.renameNode(node, label);
    node.renamed = renamed;
    tx.write(updateNode(tx.tailnet.id, node));
    tx.event(actor, 'node.renamed', `node:${node.id}`, { from: before, to: label });
    this.hub.changed(node);
    this.hub.selfChanged(node);
  }

  setTags(tx: Transaction, node: NodeState, tags: readonly string[], actor: string): void {
    node.tags = tags;
    node.userId = undefined;
    node.keyExpiry = undefined;
    node.expired = false;
    tx.write(updateNode(tx.tailnet.id, node));
    tx.event(actor, 'node.tagged', `node:${node.id}`, { tags });
    this.policy.update(node);
    this.hub.changed(node);
    this.hub.selfChanged(node);
    this.hub.policyChanged();
  }

  /** Takes over what a node says of itself; absent members stay. False if it says too much. */
  report(node: NodeState, report: Report): boolean {
    let hostinfo = node.hostinfo;
    if (report.hostinfo !== undefined) {
      const merged = mergeHostinfo(hostinfo, report.hostinfo);
      if (merged === undefined) return false;
      hostinfo = merged;
    }
    let patch = 0;
    if (report.capVersion !== node.capVersion) {
      node.capVersion = report.capVersion;
      patch |= Patch.CAP;
    }
    if (report.discoKey !== undefined && report.discoKey !== node.discoKey) {
      node.discoKey = report.discoKey;
      patch |= Patch.DISCO;
    }
    if (report.endpoints !== undefined) {
      const endpoints = usableEndpoints(report.endpoints);
      if (endpoints.join() !== node.endpoints.join()) {
        node.endpoints = endpoints;
        patch |= Patch.ENDPOINTS;
      }
    }
    if (hostinfo !== node.hostinfo) this.#applyHostinfo(node, hostinfo);
    if (patch !== 0) {
      this.hub.patched(node, patch);
      this.journal.reported(node);
    }
    return true;
  }

  #applyHostinfo(node: NodeState, hostinfo: Hostinfo): void {
    const before = node.hostinfo;
    if (JSON.stringify(before) === JSON.stringify(hostinfo)) return;
    node.hostinfo = hostinfo;
    this.journal.reported(node);
    if (peerHostinfoText(before) !== peerHostinfoText(hostinfo)) this.hub.changed(node);
    const derp = hostinfo.NetInfo?.PreferredDERP ?? 0;
    if (derp !== 0 && derp !== node.homeDerp && derp <= 0xffff && derp > 0) {
      node.homeDerp = derp;
      this.hub.patched(node, Patch.DERP);
      this.hub.selfChanged(node);
    }
    const hostname = hostinfo.Hostname ?? '';
    if (hostname !== '' && hostname !== node.hostname) this.#followHostname(node, hostname);
  }

  #followHostname(node: NodeState, hostname: string): void {
    node.hostname = hostname;
    if (node.renamed || labelOf(hostname) === labelOf(node.givenName)) return;
    this.journal
      .mutate((tx) => {
        if (tx.tailnet.nodes.get(node.id) !== node || node.renamed) return;
        const taken = (label: string): boolean => (tx.tailnet.nodeByName(label) ?? node) !== node;
        const label = freeLabel(labelOf(node.hostname), taken);
        if (label !== node.givenName) this.renameNode(tx, node, label, false, `node:${node.id}`);
      })
      .catch((error: unknown) => this.#failed('rename', error));
  }

  // Policy

  /** Throws ERR_POLICY; nothing changes then. */
  #buildPolicy(): PolicyView {
    const { text } = this.tailnet.policy;
    const policy = text === undefined ? undefined : parsePolicy(text);
    const view = new PolicyView(
      policy,
      this.options.owner,
      (id) => this.tailnet.users.get(id)?.loginName,
    );
    for (const node of this.tailnet.nodes.values()) view.update(node);
    return view;
  }

  /** The stored policy is another one. */
  policyReplaced(): void {
    this.policy = this.#buildPolicy();
    this.hub.policyChanged();
  }

  // What time does

  #setOnline(node: NodeState, online: boolean): void {
    if (node.online === online) return;
    node.online = online;
    node.lastSeen = this.options.now();
    this.journal.reported(node);
    // A disco key learnt while the node was offline may have been discarded by peers: say it again.
    const again = Patch.DISCO | Patch.ENDPOINTS | Patch.DERP;
    this.hub.patched(node, Patch.ONLINE | (online ? again : 0));
  }

  #removeAbandoned(node: NodeState): void {
    this.journal
      .mutate((tx) => {
        if (tx.tailnet.nodes.get(node.id) !== node || this.hub.streamOf(node) !== undefined) return;
        this.removeNode(tx, node, 'system', 'ephemeral node was away');
      })
      .catch((error: unknown) => this.#failed('removal of an ephemeral node', error));
  }

  #scanExpiry(): void {
    const now = this.options.now();
    for (const node of this.tailnet.nodes.values()) {
      if (node.expired || node.keyExpiry === undefined || node.keyExpiry > now) continue;
      node.expired = true;
      this.hub.patched(node, Patch.EXPIRY);
      this.hub.selfChanged(node);
      this.journal
        .mutate((tx) => tx.event('system', 'node.expired', `node:${node.id}`))
        .catch((error: unknown) => this.#failed('event of an expiry', error));
    }
  }

  #failed(what: string, error: unknown): void {
    this.log('error', `${what} failed`, { error: String(error) });
  }

  #selfCaps(node: NodeState): Readonly<Record<string, readonly unknown[]>> {
    const caps: Record<string, readonly unknown[]> = {
      'https://tailscale.com/cap/file-sharing': [],
    };
    const user = node.userId === undefined ? undefined : this.tailnet.users.get(node.userId);
    if (user?.role === 'admin') caps['https://tailscale.com/cap/is-admin'] = [];
    if (user?.loginName.toLowerCase() === this.options.owner.toLowerCase()) {
      caps['https://tailscale.com/cap/is-owner'] = [];
    }
    return caps;
  }

  #afterLoad(): void {
    const now = this.options.now();
    for (const node of this.tailnet.nodes.values()) {
      node.expired = node.keyExpiry !== undefined && node.keyExpiry <= now;
      this.presence.known(node);
    }
  }

  /** A commit failed: memory was loaded again, so whatever was told may be wrong. */
  #onReset(error: ControlError): void {
    this.log('error', 'database failed, state loaded again', { error: error.message });
    this.hub.reset();
    this.presence.clear();
    this.policy = this.#buildPolicy();
    this.#afterLoad();
  }

  close(): void {
    this.hub.stop();
    this.presence.clear();
    this.journal.close();
  }
}

/** MagicDNS on; names and reverse zones of the tailnet are answered by the clients themselves. */
function dnsConfig(domain: string): unknown {
  const routes: Record<string, readonly never[]> = {
    [domain]: [],
    '0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa': [],
  };
  for (let octet = 64; octet < 128; octet++) routes[`${octet}.100.in-addr.arpa`] = [];
  return { Routes: routes, Domains: [domain], Proxied: true };
}
