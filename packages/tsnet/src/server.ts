// The embedded node: one machine of a tailnet inside this process, with a key, a name and addresses of its own.
import { EventEmitter } from 'node:events';
import type { Agent as HttpAgent, AgentOptions as HttpAgentOptions } from 'node:http';
import type { Agent as HttpsAgent, AgentOptions as HttpsAgentOptions } from 'node:https';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { nodeCrypto } from '@cove/crypto';
import { utf8Decode, utf8Encode } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import type { Hostinfo, NetInfo } from '@cove/protocol/tailcfg';
import {
  TailnetAgent,
  type TailnetDialer,
  TailnetHttpsAgent,
  type UndiciConnector,
  undiciConnector,
} from './agent.ts';
import { type Clock, systemClock, type Timer } from './clock.ts';
import type { Conn } from './conn.ts';
import { ControlClient } from './control/client.ts';
import { type ControlUrl, parseControlUrl } from './control/controlurl.ts';
import { buildHostinfo, cleanHostname } from './control/hostinfo.ts';
import { isAway, isPermanent } from './control/problems.ts';
import { Engine } from './engine.ts';
import {
  type AuthKeySource,
  authKeySource,
  controlUrlFrom,
  defaultStateDir,
  forceLoginFrom,
  portMappingFrom,
  programName,
} from './environment.ts';
import { closedError, TsnetError } from './errors.ts';
import { type FetchAgents, fetchThrough } from './fetch.ts';
import { monitorLink } from './linkmonitor.ts';
import type { Listener } from './listener.ts';
import { type Log, publishingLog, silent } from './log.ts';
import type { NetcheckReport } from './magicsock/netcheck.ts';
import {
  applyExpiry,
  computedName,
  magicDnsSuffix,
  type NetworkMap,
  nodeAddresses,
  nodeName,
} from './netmap.ts';
import { NetworkMapCache } from './netmapcache.ts';
import {
  type DialOptions,
  type ListenOptions,
  machineFrom,
  type ServerOptions,
  type UpResult,
} from './options.ts';
import type { PacketConn } from './packetconn.ts';
import type { PingOptions, PingResult } from './ping.ts';
import { Identity, type Login } from './profile.ts';
import { type RemoteEnd, tunnelAddress } from './remoteend.ts';
import { describeMap, type NodeState, type Status } from './status.ts';
import { FileStore, MemoryStore, STATE_FILE, type StateStore } from './store.ts';
import type { MachineOpener } from './tun/open.ts';
import { type Standing, waitEnded } from './waitended.ts';
import { addressPart, type WhoIs } from './whois.ts';

export interface ServerEvents {
  /** A person has to open this URL to let the node in. */
  login: [url: string];
  state: [state: NodeState];
  /** Something that status() shows has changed. */
  change: [];
}

const TAG = /^tag:[A-Za-z][A-Za-z0-9-]*$/;
const LOGOUT_TIMEOUT = 5_000;
/** How long the server may take to send a map before the cached one is used. */
const CACHE_GRACE = 4_000;
/** In the state: decimal. */
const UDP_PORT_KEY = '_cove-udp-port';
const UNSPECIFIED = new Set(['', '0.0.0.0', '::', '[::]']);

export class Server extends EventEmitter<ServerEvents> {
  readonly #options: ServerOptions;
  readonly #controlUrl: ControlUrl;
  readonly #hostname: string;
  readonly #dir: string | undefined;
  readonly #authKey: AuthKeySource | undefined;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #clock: Clock;
  readonly #crypto: Crypto;
  readonly #log: Log;
  readonly #closing = new AbortController();
  #starting: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  #store: StateStore | undefined;
  #client: ControlClient | undefined;
  #engine: Engine | undefined;
  #link: { stop(): void } | undefined;
  #login: Login | undefined;
  #map: NetworkMap | undefined;
  #state: NodeState = 'NoState';
  #selfExpired = false;
  #relayConnected = false;
  #loginUrl: string | undefined;
  #problem: TsnetError | undefined;
  #netInfo: NetInfo | undefined;
  #cache: NetworkMapCache | undefined;
  /** Runs until the server has sent a map, or the cached one was tried. */
  #cacheTimer: Timer | undefined;
  #lastHostinfo = '';
  #fetchAgents: FetchAgents | undefined;
  /** Told of every change; a set, because any number may wait. */
  readonly #waiting: Set<() => void> = new Set();

  /**
   * Touches neither disk nor network. Throws TypeError or RangeError for an option that can never work, and
   * ERR_AUTH_KEY_UNSUPPORTED.
   */
  constructor(options: ServerOptions = {}) {
    super();
    const env = options.env ?? process.env;
    const program = programName(process.argv[1]);
    for (const tag of options.tags ?? []) {
      if (!TAG.test(tag))
        throw new TypeError(`tag ${JSON.stringify(tag)} is not of the form tag:name`);
    }
    if (options.port !== undefined) checkPort(options.port);
    this.#options = options;
    this.#env = env;
    this.#controlUrl = parseControlUrl(controlUrlFrom(options.controlUrl, env));
    this.#hostname = cleanHostname(options.hostname ?? program, 'cove');
    this.#dir =
      options.dir ?? (options.ephemeral === true ? undefined : defaultStateDir(program, env));
    this.#authKey = authKeySource(options.authKey, env);
    this.#clock = options.clock ?? systemClock;
    this.#crypto = options.crypto ?? nodeCrypto();
    this.#log = publishingLog(this.#hostname, options.log ?? silent);
  }

  get state(): NodeState {
    return this.#state;
  }

  /**
   * Opens the state and begins to connect, without waiting for a login. Later calls return the first result.
   * Throws ERR_STATE_LOCKED, ERR_STATE_CORRUPT, ERR_STATE_IO, ERR_CLOSED; with `tun` ERR_TUN_*.
   */
  start(): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(closedError('the node'));
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    const { ephemeral = false } = this.#options;
    const store =
      this.#dir === undefined
        ? new MemoryStore()
        : await FileStore.open(this.#dir, { clock: this.#clock, signal: this.#closing.signal });
    this.#store = store;
    try {
      const path = this.#dir === undefined ? 'memory' : join(this.#dir, STATE_FILE);
      const identity = Identity.open(store, this.#crypto, this.#controlUrl.text, path);
      const discoKey = PrivateKey.generate((n) => this.#crypto.randomBytes(n));
      const openMachine = await machineFrom(this.#options.tun);
      this.#client = new ControlClient({
        url: this.#controlUrl,
        identity,
        crypto: this.#crypto,
        clock: this.#clock,
        log: this.#log,
        discoKey: discoPublic(discoKey.publicBytes(this.#crypto.x25519)),
        authKey: this.#authKey,
        ephemeral,
        forceLogin: forceLoginFrom(this.#env),
        ca: this.#options.ca,
        hostinfo: () => this.#hostinfo(),
        endpoints: () => this.#engine?.endpoints ?? [],
        callbacks: {
          loginUrl: (url) => this.#onLoginUrl(url),
          loggedIn: (login) => this.#onLogin(login),
          networkMap: (map, selfExpired) => this.#onMap(map, selfExpired),
          streaming: (up) => {
            this.#log('debug', up ? 'map stream is up' : 'map stream ended');
            this.#engine?.setControlConnected(up);
          },
          problem: (error) => this.#onProblem(error),
        },
      });
      const wasLoggedIn = identity.login !== undefined;
      this.#client.start();
      this.#login = identity.login!;
      this.#engine = this.#openEngine(identity.login!.nodeKey, discoKey, openMachine);
      this.#engine.setControlConnected(false);
      if (this.#dir !== undefined && !ephemeral) {
        this.#cache = new NetworkMapCache(this.#dir, this.#clock, (error) =>
          this.#log('info', 'the cached network map cannot be used', { error }),
        );
        if (wasLoggedIn)
          this.#cacheTimer = this.#clock.schedule(CACHE_GRACE, () => void this.#useCache());
      }
      this.#link = monitorLink(this.#clock, (why) => {
        this.#log('info', `${why}: connecting anew`);
        this.#engine?.networkChanged();
        this.#client?.networkChanged();
      });
      this.#setState();
    } catch (error) {
      await this.#client?.close();
      store.close();
      throw error;
    }
  }

  #openEngine(
    nodeKey: PrivateKey,
    discoKey: PrivateKey,
    openMachine: MachineOpener | undefined,
  ): Engine {
    return new Engine({
      nodeKey,
      discoKey,
      crypto: this.#crypto,
      clock: this.#clock,
      log: this.#log,
      relayCa: this.#options.ca,
      port: this.#options.port,
      lastPort: this.#lastPort(),
      portMapping: portMappingFrom(this.#options.portMapping, this.#env),
      openMachine,
      callbacks: {
        homeDerp: (region) => {
          this.#netInfo = { ...this.#netInfo, PreferredDERP: region };
          this.#hostinfoMayHaveChanged();
        },
        netInfo: (info) => {
          this.#netInfo = { ...info, PreferredDERP: this.#engine?.homeDerp ?? 0 };
          this.#hostinfoMayHaveChanged();
        },
        endpoints: () => this.#client?.update(),
        udpPort: (port) => this.#keepPort(port),
        derpConnected: (connected) => {
          this.#relayConnected = connected;
          this.#setState();
        },
      },
    });
  }

  /**
   * Starts the node and resolves once it is Running. Waits for as long as it takes a person to log it in, or a server
   * to come back; rejects when waiting cannot help: ERR_LOGIN_REFUSED, ERR_AUTH_KEY, ERR_CONTROL_NOT_TAILSCALE,
   * ERR_CONTROL_TLS, ERR_CONTROL_CLOCK, ERR_STATE_*, ERR_CLOSED. When the signal ends the wait with a timeout, the
   * error is the problem that held the node up, if there was one, with the signal's reason as its cause.
   */
  async up(options: { readonly signal?: AbortSignal } = {}): Promise<UpResult> {
    options.signal?.throwIfAborted();
    await this.start();
    await this.#untilRunning(options.signal, 'up');
    const map = this.#map!;
    const ips = nodeAddresses(map.self);
    if (ips.length === 0) {
      throw new TsnetError('ERR_NO_ADDRESS', 'the tailnet gave this node no address');
    }
    const suffix = magicDnsSuffix(map);
    return {
      ips,
      dnsName: nodeName(map.self),
      name: computedName(map.self, suffix),
      magicDnsSuffix: suffix,
      tailnet: map.domain,
    };
  }

  /** `dial` gives up on a node that waits for an administrator, `up` does not. */
  #untilRunning(signal: AbortSignal | undefined, purpose: 'up' | 'dial'): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        this.#waiting.delete(look);
        signal?.removeEventListener('abort', onAbort);
        act();
      };
      const onAbort = (): void => settle(() => reject(waitEnded(signal!.reason, this.#standing())));
      const look = (): void => {
        if (this.#closed !== undefined) settle(() => reject(closedError('the node')));
        else if (this.#state === 'Running') settle(resolve);
        else if (this.#problem !== undefined && isPermanent(this.#problem)) {
          const problem = this.#problem;
          settle(() => reject(problem));
        } else if (this.#state === 'NeedsMachineAuth' && purpose === 'dial') {
          settle(() =>
            reject(
              new TsnetError(
                'ERR_MACHINE_NOT_AUTHORIZED',
                'this node waits for an administrator of its tailnet to approve it',
              ),
            ),
          );
        }
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      this.#waiting.add(look);
      look();
    });
  }

  #standing(): Standing {
    return {
      state: this.#state,
      problem: this.#problem,
      loginUrl: this.#loginUrl,
      clockOffset: this.#map?.clockOffset ?? 0,
      lacksRelay: this.#map !== undefined && !this.#relayConnected,
    };
  }

  /**
   * Accepts TCP connections from the tailnet. Starts the node but waits for nothing, except with `host`, which needs
   * the node's addresses. Throws EADDRINUSE, EADDRNOTAVAIL, RangeError, TypeError.
   */
  async listen(options: ListenOptions): Promise<Listener> {
    const address = await this.#localEnd(options);
    return this.#engine!.listenTcp({ port: options.port, address, backlog: options.backlog });
  }

  /** A UDP socket on the node's own addresses, or on the one given as `host`. Throws as listen() does. */
  async listenPacket(options: Omit<ListenOptions, 'backlog'>): Promise<PacketConn> {
    const address = await this.#localEnd(options);
    return this.#engine!.listenUdp({ port: options.port, address });
  }

  async #localEnd({
    port,
    host = '',
  }: {
    port: number;
    host?: string;
  }): Promise<string | undefined> {
    checkPort(port);
    const wildcard = UNSPECIFIED.has(host);
    if (!wildcard && isIP(host) === 0) {
      throw new TypeError(`listen host ${JSON.stringify(host)} must be an IP address or left out`);
    }
    await this.start();
    if (wildcard) return undefined;
    await this.#untilRunning(undefined, 'up');
    return host;
  }

  /**
   * Opens a TCP connection to a node of the tailnet, once this node is running. Rejects with Node's own codes
   * (ECONNREFUSED, ETIMEDOUT, ENOTFOUND, EHOSTUNREACH), with ERR_MACHINE_NOT_AUTHORIZED, ERR_CLOSED, as up() does,
   * or with the signal's reason.
   */
  async dial(options: DialOptions): Promise<Conn> {
    const { host, port, signal, allowHalfOpen } = options;
    checkPort(port);
    signal?.throwIfAborted();
    await this.start();
    await this.#untilRunning(signal, 'dial');
    const address = host.replace(/^\[(.*)\]$/, '$1');
    return this.#engine!.dialTcp({ address, port, signal, allowHalfOpen });
  }

  /**
   * A connection that waits for its connect(port, host) call, for drivers that make their own:
   * `new pg.Client({ stream: () => node.newSocket() })`. Throws ERR_NOT_RUNNING before up().
   */
  newSocket(): Conn {
    if (this.#state !== 'Running') {
      throw new TsnetError('ERR_NOT_RUNNING', 'the node is not running: call up() first');
    }
    return this.#engine!.newConn();
  }

  /**
   * Whether a host is of the tailnet, undefined while the node is not running. A name without a dot or under the
   * tailnet's suffix always is: even an unknown one is never asked of the machine's resolver.
   */
  #reaches(host: string): boolean | undefined {
    if (this.#state !== 'Running') return undefined;
    const bare = host.replace(/^\[(.*)\]$/, '$1');
    if (isIP(bare) !== 0) return this.#engine!.routesTo(bare);
    const name = bare.toLowerCase().replace(/\.$/, '');
    if (name === 'localhost') return false;
    const suffix = magicDnsSuffix(this.#map!).toLowerCase();
    if (!name.includes('.') || (suffix !== '' && name.endsWith(`.${suffix}`))) return true;
    return this.#engine!.resolve(name).length > 0;
  }

  /**
   * Who is at the other end of a connection, or has an address (`100.64.0.1`, `100.64.0.1:80`). The answer comes from
   * the address WireGuard authenticated, never from anything the caller says. Rejects with ERR_NO_SUCH_PEER when no
   * node of the tailnet has it as its own: a caller behind a subnet router, a connection that did not come through
   * this node.
   */
  async whoIs(remote: RemoteEnd | string): Promise<WhoIs> {
    const address = typeof remote === 'string' ? addressPart(remote) : this.#tunnelAddress(remote);
    const found = address === undefined ? undefined : this.#engine?.whoIsAddr(address);
    if (found !== undefined) return found;
    const what = typeof remote === 'string' ? remote : (remote.remoteAddress ?? 'the connection');
    throw new TsnetError('ERR_NO_SUCH_PEER', `${what} is not a node of this tailnet`);
  }

  #tunnelAddress(remote: RemoteEnd): string | undefined {
    return this.#map && tunnelAddress(remote, nodeAddresses(this.#map.self));
  }

  /** The node and its peers as of now, ready for JSON. */
  status(): Status {
    const map = this.#map;
    return {
      state: this.#state,
      controlUrl: this.#controlUrl.text,
      loginUrl: this.#loginUrl,
      problem: this.#problem?.message,
      ...(map === undefined
        ? {
            ips: [],
            dnsName: '',
            magicDnsSuffix: '',
            tailnet: '',
            self: undefined,
            peers: [],
            health: [],
          }
        : describeMap(map, this.#engine?.peerStatus() ?? [])),
    };
  }

  /** Asks whether a node of the tailnet is there. Rejects as Engine.ping does, and with ERR_NOT_RUNNING. */
  async ping(options: PingOptions): Promise<PingResult> {
    if (this.#state !== 'Running') {
      throw new TsnetError('ERR_NOT_RUNNING', 'the node is not running: call up() first');
    }
    return this.#engine!.ping(options);
  }

  /** What the last measurement of the network found; undefined: none yet. */
  netcheck(): NetcheckReport | undefined {
    return this.#engine?.netcheck;
  }

  /** The relay region in which peers find this node: the nearest, not left for a small gain. 0: none yet. */
  get homeRegion(): number {
    return this.#engine?.homeDerp ?? 0;
  }

  /** Name of the machine's interface in the tailnet; undefined: only this process is in it. */
  get interfaceName(): string | undefined {
    return this.#engine?.interfaceName;
  }

  /** Packets dropped by reason, packets and bytes by direction, since the start. */
  counters(): Readonly<Record<string, number>> {
    return this.#engine?.counters() ?? {};
  }

  /** An agent for node:http: hosts of the tailnet through the node, others as without it. */
  agent(options?: HttpAgentOptions): HttpAgent {
    return new TailnetAgent(this.#dialer(), options);
  }

  /** The same for node:https. */
  httpsAgent(options?: HttpsAgentOptions): HttpsAgent {
    return new TailnetHttpsAgent(this.#dialer(), options);
  }

  /** For `new undici.Agent({ connect: node.connector() })`. */
  connector(): UndiciConnector {
    return undiciConnector(this.#dialer());
  }

  /** fetch, with hosts of the tailnet reached through the node. */
  async fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    this.#fetchAgents ??= {
      http: this.agent({ keepAlive: true }),
      https: this.httpsAgent({
        keepAlive: true,
        ...(this.#options.ca && { ca: [this.#options.ca].flat() }),
      }),
    };
    return fetchThrough(this.#fetchAgents, input, init);
  }

  #dialer(): TailnetDialer {
    return {
      reaches: (host) => this.#reaches(host),
      running: async () => {
        await this.start();
        await this.#untilRunning(undefined, 'dial');
      },
      connect: ({ host, port }) => {
        const conn = this.#engine!.newConn();
        return conn.connect({ host: host.replace(/^\[(.*)\]$/, '$1'), port });
      },
    };
  }

  /** Ends the login at the server, forgets the node key and closes the node: the next start needs a new login. */
  async logout(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.start();
    await this.#client!.logout(options.signal ?? AbortSignal.timeout(LOGOUT_TIMEOUT));
    await this.#cache?.clear();
    await this.close();
  }

  /** Resets open connections and leaves; an ephemeral node is removed from its tailnet. Idempotent. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = this.#close();
      this.#wakeWaiting();
    }
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(closedError('the node'));
    await this.#starting?.catch(() => {});
    const wasIn = this.#map !== undefined;
    this.#link?.stop();
    this.#fetchAgents?.http.destroy();
    this.#fetchAgents?.https.destroy();
    await this.#engine?.close();
    try {
      if (this.#options.ephemeral === true && wasIn) {
        await this.#client?.logout(AbortSignal.timeout(LOGOUT_TIMEOUT));
      }
    } catch (error) {
      this.#log('info', 'the server could not be told that this node leaves', { error });
    }
    await this.#client?.close();
    this.#cacheTimer?.cancel();
    await this.#cache?.flush();
    this.#store?.close();
    this.#setState();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #hostinfo(): Hostinfo {
    const addresses = this.#map === undefined ? [] : nodeAddresses(this.#map.self);
    const hostinfo = buildHostinfo({
      hostname: this.#hostname,
      tags: this.#options.tags ?? [],
      peerApiPort: this.#engine?.peerApiPort ?? 0,
      families: {
        v4: addresses.some((address) => isIP(address) === 4),
        v6: addresses.some((address) => isIP(address) === 6),
      },
      netInfo: this.#netInfo,
      tun: this.interfaceName !== undefined,
    });
    this.#lastHostinfo = fingerprint(hostinfo);
    return hostinfo;
  }

  /** The UDP port of the last run: peers that remember it find a restarted node without any server. */
  #lastPort(): number {
    const stored = Number(utf8Decode(this.#store?.read(UDP_PORT_KEY) ?? new Uint8Array()));
    return Number.isInteger(stored) && stored > 0 && stored < 65536 ? stored : 0;
  }

  #keepPort(port: number): void {
    if (port === 0 || port === this.#lastPort() || this.#closed !== undefined) return;
    try {
      this.#store?.write({ [UDP_PORT_KEY]: utf8Encode(String(port)) });
    } catch (error) {
      this.#log('warn', 'the UDP port could not be kept for the next start', { error });
    }
  }

  #hostinfoMayHaveChanged(): void {
    const last = this.#lastHostinfo;
    if (fingerprint(this.#hostinfo()) !== last) this.#client?.update();
  }

  #onLoginUrl(url: string): void {
    this.#dropCache();
    this.#loginUrl = url;
    this.#log('info', 'to let this node in, open its login page', { url });
    this.#setState();
    this.emit('login', url);
  }

  #onLogin(login: Login): void {
    const before = this.#login;
    this.#login = login;
    this.#loginUrl = undefined;
    if (before !== undefined && before.nodeKey !== login.nodeKey) {
      this.#engine?.setNodeKey(login.nodeKey);
    }
    this.#setState();
  }

  #onMap(map: NetworkMap, selfExpired: boolean): void {
    this.#dropCache();
    this.#cache?.write(map);
    this.#takeMap(map, selfExpired);
  }

  #takeMap(map: NetworkMap, selfExpired: boolean): void {
    this.#map = map;
    this.#selfExpired = selfExpired;
    // Peers will not talk to an expired node, and it shall not talk to them.
    this.#engine?.setNetworkMap(selfExpired ? { ...map, peers: new Map() } : map);
    this.#hostinfoMayHaveChanged();
    this.#setState();
  }

  #onProblem(problem: TsnetError | undefined): void {
    if (this.#problem === problem) return;
    this.#problem = problem;
    if (problem !== undefined && isAway(problem)) void this.#useCache();
    else if (problem !== undefined) this.#dropCache();
    this.#setState();
  }

  /** The server does not answer: what it said last has to do until it does. */
  async #useCache(): Promise<void> {
    if (this.#cacheTimer === undefined) return;
    this.#cacheTimer.cancel();
    this.#cacheTimer = undefined;
    const nodeKey = nodePublic(this.#login!.nodeKey.publicBytes(this.#crypto.x25519));
    const kept = await this.#cache?.read(nodeKey);
    if (kept === undefined || this.#map !== undefined || this.#closed !== undefined) return;
    // A server that hangs accepts connections and says nothing: no problem is known of it for a while.
    if (this.#loginUrl !== undefined || !(this.#problem === undefined || isAway(this.#problem))) {
      return;
    }
    this.#log('info', 'the coordination server is away: starting from the last network map');
    this.#takeCached(kept);
  }

  /** A key expires whether the server is there to say so or not. */
  #takeCached(kept: NetworkMap): void {
    const now = this.#clock.wallNow();
    const { map, selfExpired, next } = applyExpiry(kept, now);
    if (next !== undefined) {
      this.#cacheTimer = this.#clock.schedule(Math.max(0, next - now) + 1, () =>
        this.#takeCached(kept),
      );
    }
    this.#takeMap(map, selfExpired);
  }

  /** The server answered: what it said before does not count any more. */
  #dropCache(): void {
    this.#cacheTimer?.cancel();
    this.#cacheTimer = undefined;
  }

  #setState(): void {
    const state = this.#computeState();
    if (state !== this.#state) {
      this.#state = state;
      this.#log('info', `state: ${state}`);
      this.emit('state', state);
    }
    this.#wakeWaiting();
    this.emit('change');
  }

  #wakeWaiting(): void {
    for (const look of [...this.#waiting]) look();
  }

  #computeState(): NodeState {
    if (this.#closed !== undefined) return 'Stopped';
    if (this.#starting === undefined) return 'NoState';
    const refused = this.#problem?.code === 'ERR_LOGIN_REFUSED';
    if (this.#loginUrl !== undefined || this.#selfExpired || refused) return 'NeedsLogin';
    const map = this.#map;
    if (map === undefined) return 'Starting';
    if (map.self.MachineAuthorized !== true) return 'NeedsMachineAuth';
    // A relay that goes away later does not take the node down with it.
    if (this.#state === 'Running' || this.#relayConnected) return 'Running';
    const hasRelays = Object.keys(map.derpMap?.Regions ?? {}).length > 0;
    return hasRelays ? 'Starting' : 'Running';
  }
}

/** Differences in latency alone are not worth an update. */
function fingerprint(hostinfo: Hostinfo): string {
  const { NetInfo: { DERPLatency: _latency, ...netInfo } = {}, ...rest } = hostinfo;
  return JSON.stringify([rest, netInfo]);
}

function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(`port ${port} is not between 0 and 65535`);
  }
}
