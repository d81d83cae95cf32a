// The coordination server: opens the database, attaches to HTTP servers, and offers what an administrator may do.
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { nodeCrypto } from '@cove/crypto';
import { ProtocolError } from '@cove/protocol/bytes';
import { type AcceptedInitiation, acceptInitiation } from '@cove/protocol/controlbase';
import type { Crypto } from '@cove/protocol/crypto';
import {
  type MachinePublic,
  machinePublic,
  type NodePublic,
  PrivateKey,
} from '@cove/protocol/keys';
import type { DERPMap } from '@cove/protocol/tailcfg';
import { Admin } from './admin.ts';
import type {
  AuthKeyOptions,
  AuthKeyRecord,
  ControlOptions,
  CreatedAuthKey,
  EventRecord,
  NodeRecord,
  NodeRef,
  PendingRecord,
  PolicyRecord,
  StatusRecord,
  UserRecord,
} from './api.ts';
import { Core } from './core.ts';
import { Database, sql } from './database/database.ts';
import { ControlError } from './errors.ts';
import {
  type HttpOptions,
  handleRequest,
  handleUpgrade,
  refuse,
  SWITCHING_PROTOCOLS,
} from './http.ts';
import { PendingLogins } from './login/pending.ts';
import { Registrar } from './login/register.ts';
import { derpMapText } from './map/derpmap.ts';
import { loadCompressor } from './map/frame.ts';
import { metricsText } from './metrics.ts';
import { hasRoom, sourceOf } from './noise/admission.ts';
import { recordAead } from './noise/recordaead.ts';
import { Router } from './noise/router.ts';
import { Session } from './noise/session.ts';
import { isLoginName } from './state/names.ts';
import { insertTailnet, loadTailnet } from './state/rows.ts';

/** The one tailnet of a server, so far; every key in the database names it. */
const TAILNET_ID = 1;
const MAX_TICK_MS = 1000;
const MIN_TICK_MS = 10;
const MAX_CONNECTIONS = 20_000;
const NOISE_KEY = 'noise_private_key';

export class ControlServer implements AsyncDisposable {
  /** The Noise key clients learn from GET /key. */
  readonly publicKey: MachinePublic;
  readonly #options: ControlOptions;
  readonly #database: Database;
  readonly #crypto: Crypto;
  readonly #privateKey: PrivateKey;
  readonly #core: Core;
  readonly #pending: PendingLogins;
  readonly #router: Router;
  readonly #admin: Admin;
  readonly #http: HttpOptions;
  readonly #sessions = new Set<Session>();
  readonly #detach = new Set<() => void>();
  readonly #ticker: NodeJS.Timeout;
  #closed = false;

  private constructor(
    options: ControlOptions,
    database: Database,
    crypto: Crypto,
    privateKey: PrivateKey,
    core: Core,
  ) {
    this.#options = options;
    this.#database = database;
    this.#crypto = crypto;
    this.#privateKey = privateKey;
    this.publicKey = machinePublic(privateKey.publicBytes(crypto.x25519));
    this.#core = core;
    this.#pending = new PendingLogins(core.options.now);
    const registrar = new Registrar(core, this.#pending, options.serverUrl);
    this.#router = new Router(core, registrar, this.#pending);
    this.#admin = new Admin(core, database, registrar, this.#pending);
    this.#http = {
      publicKey: this.publicKey,
      derpMap: () => derpMapText(this.getDerpMap(), false),
      isKnownNode: (key) => this.isKnownNode(key),
      pendingLogin: (id) => {
        const login = this.#pending.get(id);
        return login?.denied === false ? login : undefined;
      },
      healthy: () => !this.#closed,
      onUpgrade: (initiation, socket, head) => this.#upgrade(initiation, socket, head),
    };
    const { offlineGrace, ephemeralTimeout } = core.options;
    const period = Math.min(offlineGrace, ephemeralTimeout) / 4;
    this.#ticker = setInterval(
      () => this.#tick(),
      Math.max(MIN_TICK_MS, Math.min(MAX_TICK_MS, period)),
    );
    this.#ticker.unref();
  }

  /**
   * Opens or creates the database and everything in it that a server needs: tailnet, owner, key. Throws ControlError:
   * ERR_DATABASE_CORRUPT, _FOREIGN, _LOCKED, _IO (naming the file), ERR_INVALID_ARGUMENT, ERR_POLICY.
   */
  static async open(given: ControlOptions): Promise<ControlServer> {
    const options = checkOptions(given);
    const now = options.now ?? Date.now;
    await loadCompressor();
    const database = Database.open(options.database, now());
    try {
      let tailnet = loadTailnet(database, TAILNET_ID);
      if (tailnet === undefined) {
        database.commit([insertTailnet(TAILNET_ID, options.tailnet, now())]);
        tailnet = loadTailnet(database, TAILNET_ID)!;
      }
      const primitives = nodeCrypto();
      const crypto = { ...primitives, aead: recordAead(primitives) };
      const core = new Core({
        database,
        tailnet,
        owner: options.owner,
        domain: options.domain,
        tailnetName: options.tailnet,
        now,
        log: options.log,
        ephemeralTimeout: options.ephemeralTimeout ?? 120_000,
        offlineGrace: options.offlineGrace ?? 10_000,
        keyLifetime: options.keyLifetime,
        gatherWindow: options.gatherWindow ?? 15,
      });
      const key = loadKey(database, crypto);
      const server = new ControlServer(options, database, crypto, key, core);
      await server.#admin.prepare(options.owner, options.derpMap);
      return server;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  // Connections

  /**
   * Answers this server's requests and upgrades for our paths until the returned function is called or the control
   * server closes. Other paths are left to the server's other listeners; with none they are 404.
   */
  attach(server: HttpServer | HttpsServer): () => void {
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      if (handleRequest(this.#http, request, response)) return;
      if (server.listenerCount('request') > 1) return;
      response.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' }).end('not found\n');
    };
    const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      if (handleUpgrade(this.#http, request, socket, head)) return;
      if (server.listenerCount('upgrade') > 1) return;
      socket.on('error', () => socket.destroy());
      refuse(socket, '404 Not Found', 'not found');
    };
    server.on('request', onRequest);
    server.on('upgrade', onUpgrade);
    const detach = (): void => {
      server.off('request', onRequest);
      server.off('upgrade', onUpgrade);
      this.#detach.delete(detach);
    };
    this.#detach.add(detach);
    return detach;
  }

  /** For callers with their own listeners: false if the path is not ours, and nothing was touched. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    return handleRequest(this.#http, request, response);
  }

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): boolean {
    return handleUpgrade(this.#http, request, socket, head);
  }

  #upgrade(initiation: Uint8Array, socket: Duplex, head: Uint8Array): void {
    if (this.#closed || this.#sessions.size >= MAX_CONNECTIONS) {
      refuse(socket, '503 Service Unavailable', 'too many connections');
      return;
    }
    let accepted: AcceptedInitiation;
    try {
      accepted = acceptInitiation({
        crypto: this.#crypto,
        controlKey: this.#privateKey,
        initiation,
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      refuse(socket, '400 Bad Request', 'handshake failed');
      return;
    }
    const source = sourceOf((socket as Socket).remoteAddress);
    const ownsNode = (machine: MachinePublic): boolean =>
      this.#core.tailnet.nodesOfMachine(machine).length > 0;
    if (!hasRoom(this.#sessions, accepted.machine, source, ownsNode)) {
      refuse(socket, '503 Service Unavailable', 'too many connections');
      return;
    }
    socket.write(SWITCHING_PROTOCOLS);
    const session = new Session(
      {
        // The 'upgrade' event of http and https servers hands out net and TLS sockets.
        socket: socket as Socket,
        accepted,
        source,
        onRequest: (from, exchange) => this.#router.serve(from, exchange),
        onEnd: (ended, reason) => {
          this.#sessions.delete(ended);
          this.#core.log('debug', 'connection ended', { machine: ended.machine, reason });
        },
        onFault: (faulty, error) => {
          this.#core.log('error', 'connection failed', {
            machine: faulty.machine,
            error: error instanceof Error ? (error.stack ?? error.message) : String(error),
          });
        },
      },
      head,
    );
    this.#sessions.add(session);
  }

  #tick(): void {
    try {
      this.#core.tick();
      this.#pending.expire();
      const now = performance.now();
      for (const session of this.#sessions) session.check(now);
    } catch (error) {
      this.#core.log('error', 'regular work failed', { error: String(error) });
    }
  }

  /** Whether a node has this key; for relay admission. */
  isKnownNode(key: NodePublic): boolean {
    return this.#core.tailnet.nodeByKey(key) !== undefined;
  }

  // Administration. Methods that change something resolve when the change is on disk.

  listUsers(): UserRecord[] {
    return this.#admin.listUsers();
  }

  /** Finds or creates. Throws ERR_INVALID_ARGUMENT unless the name is of the form `a@b`. */
  ensureUser(loginName: string, displayName?: string): Promise<UserRecord> {
    return this.#admin.ensureUser(loginName, displayName);
  }

  /** Throws ERR_INVALID_ARGUMENT. */
  createAuthKey(options: AuthKeyOptions = {}): Promise<CreatedAuthKey> {
    return this.#admin.createAuthKey(options);
  }

  listAuthKeys(): AuthKeyRecord[] {
    return this.#admin.listAuthKeys();
  }

  /** Revokes it at once; nodes it made stay. Throws ERR_NOT_FOUND. */
  expireAuthKey(id: string): Promise<AuthKeyRecord> {
    return this.#admin.expireAuthKey(id);
  }

  listNodes(): NodeRecord[] {
    return this.#admin.listNodes();
  }

  /** Throws ERR_NOT_FOUND. */
  getNode(ref: NodeRef): NodeRecord {
    return this.#admin.getNode(ref);
  }

  /** Its user must log in again. Throws ERR_NOT_FOUND. */
  expireNode(ref: NodeRef): Promise<NodeRecord> {
    return this.#admin.expireNode(ref);
  }

  /** Throws ERR_NOT_FOUND. */
  deleteNode(ref: NodeRef): Promise<NodeRecord> {
    return this.#admin.deleteNode(ref);
  }

  /** Throws ERR_NOT_FOUND, ERR_INVALID_ARGUMENT (no DNS label), ERR_CONFLICT (taken). */
  renameNode(ref: NodeRef, name: string): Promise<NodeRecord> {
    return this.#admin.renameNode(ref, name);
  }

  /** Makes it a tagged node with exactly these tags. Throws ERR_NOT_FOUND, ERR_INVALID_ARGUMENT. */
  setNodeTags(ref: NodeRef, tags: readonly string[]): Promise<NodeRecord> {
    return this.#admin.setNodeTags(ref, tags);
  }

  /** Logins waiting for approve. */
  listPending(): PendingRecord[] {
    return this.#admin.listPending();
  }

  /** Lets a waiting login in, for the owner unless said otherwise. Throws ERR_NOT_FOUND, ERR_INVALID_ARGUMENT. */
  approve(id: string, options: { readonly user?: string } = {}): Promise<NodeRecord> {
    return this.#admin.approve(id, options.user);
  }

  /** Throws ERR_NOT_FOUND. */
  deny(id: string): Promise<void> {
    return this.#admin.deny(id);
  }

  getPolicy(): PolicyRecord {
    return this.#admin.getPolicy();
  }

  /** undefined: back to no policy. Throws ERR_POLICY naming the place; then nothing changed. */
  setPolicy(text: string | undefined): Promise<PolicyRecord> {
    return this.#admin.setPolicy(text);
  }

  /** Throws ERR_POLICY naming the place. */
  validatePolicy(text: string): void {
    this.#admin.validatePolicy(text);
  }

  getDerpMap(): DERPMap {
    return this.#core.tailnet.derpMap ?? { Regions: {} };
  }

  /** Stores it and tells every node. Throws ERR_INVALID_ARGUMENT. */
  setDerpMap(map: DERPMap): Promise<void> {
    return this.#admin.setDerpMap(map);
  }

  /** The audit log, oldest first. */
  listEvents(options: { readonly after?: number; readonly limit?: number } = {}): EventRecord[] {
    return this.#admin.listEvents(options.after ?? 0, options.limit ?? 100);
  }

  status(): StatusRecord {
    const { serverUrl, domain, tailnet, owner } = this.#options;
    const state = this.#core.tailnet;
    return {
      serverUrl,
      domain,
      tailnet,
      owner,
      publicKey: this.publicKey,
      users: state.users.size,
      nodes: state.nodes.size,
      online: this.#core.presence.online,
      streams: this.#core.hub.streams.size,
      connections: this.#sessions.size,
      pending: this.#pending.list().length,
    };
  }

  /** Prometheus text format. */
  metrics(): string {
    return metricsText(this.status(), this.#core, this.#router.counts);
  }

  /** Ends all streams and connections and closes the database. The attached HTTP servers stay open. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticker);
    for (const detach of [...this.#detach]) detach();
    this.#pending.clear();
    this.#core.close();
    for (const session of [...this.#sessions]) session.close('server closed');
    this.#database.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function checkOptions(options: ControlOptions): ControlOptions {
  const bad = (message: string): never => {
    throw new ControlError('ERR_INVALID_ARGUMENT', message);
  };
  if (!/^https?:\/\/[^/?#\s]+$/.test(options.serverUrl.replace(/\/+$/, ''))) {
    bad(`serverUrl ${JSON.stringify(options.serverUrl)} is not http(s)://host[:port]`);
  }
  if (!/^(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+$/.test(options.domain)) {
    bad(
      `domain ${JSON.stringify(options.domain)} is not a lower-case DNS name of two labels or more`,
    );
  }
  if (!isLoginName(options.owner))
    bad(`owner ${JSON.stringify(options.owner)} is not of the form a@b`);
  if (options.tailnet === '') bad('tailnet has no name');
  return { ...options, serverUrl: options.serverUrl.replace(/\/+$/, '') };
}

/** The server's Noise key, made on first use. It must survive as long as its clients do. */
function loadKey(database: Database, crypto: Crypto): PrivateKey {
  const row = database.all(
    sql.selectFrom('server_settings').select('value').where('name', '=', NOISE_KEY),
  )[0];
  if (row !== undefined) return PrivateKey.parse(row.value);
  const key = PrivateKey.generate((n) => crypto.randomBytes(n));
  const value = key.exposeText();
  database.commit([sql.insertInto('server_settings').values({ name: NOISE_KEY, value }).compile()]);
  return key;
}
