// The node's side of the control protocol: connect, register, follow the map stream, report changes of our own
// state, and begin again after every failure for as long as the node runs.
import type { Crypto } from '@cove/protocol/crypto';
import { encodeJson } from '@cove/protocol/json';
import type { MachinePublic, NodePublic } from '@cove/protocol/keys';
import { type DiscoPublic, nodePublic } from '@cove/protocol/keys';
import type { MapRequest, MapResponse } from '@cove/protocol/mapmessage';
import type { Hostinfo } from '@cove/protocol/tailcfg';
import { type Clock, sleep, type Timer } from '../clock.ts';
import type { AuthKeySource } from '../environment.ts';
import { closedError, TsnetError } from '../errors.ts';
import type { Log } from '../log.ts';
import { applyExpiry, type NetworkMap } from '../netmap.ts';
import type { Identity, Login } from '../profile.ts';
import { backoffDelay } from './backoff.ts';
import { type ControlConnection, openHttp2, readBody } from './connection.ts';
import type { ControlUrl } from './controlurl.ts';
import { dialControl } from './dial.ts';
import { CAPABILITY_VERSION } from './hostinfo.ts';
import { linked } from './linked.ts';
import { foldMapResponse } from './map.ts';
import { runMapStream } from './mapstream.ts';
import { answerPing } from './pings.ts';
import { clientError, connectError } from './problems.ts';
import {
  expectOk,
  Registration,
  type RegistrationOptions,
  StatusError,
  sendLogout,
} from './register.ts';
import { Renewal } from './renewal.ts';
import { fetchServerKey } from './serverkey.ts';

/** A connection begun this soon after the last one may have been cut by a middlebox: TLS only. */
const FORCE_TLS_WITHIN = 120_000;
const KEY_TIMEOUT = 15_000;
/** A session that lasted this long was no failure: the next attempt follows at once. */
const LASTING_SESSION = 10_000;
const LONGEST_SERVER_SLEEP = 300;
/** Beyond this a wrong clock is worth telling a person. */
const CLOCK_SKEW_WORTH_TELLING = 5 * 60_000;

/** One UDP address at which peers may try this node. Types: 1 local, 2 STUN, 3 port-mapped, 5 configured. */
export interface Endpoint {
  readonly addrPort: string;
  readonly type: number;
}

export interface ControlCallbacks {
  /** A person has to open this URL to log the node in. */
  loginUrl(url: string): void;
  /** The server accepted this login: its node key is the node's identity from now on. */
  loggedIn(login: Login): void;
  /** A new map, expired peers marked in it; `selfExpired`: this node must log in again. */
  networkMap(map: NetworkMap, selfExpired: boolean): void;
  /** The map stream is up, or down. */
  streaming(up: boolean): void;
  /** Why the client is not where it wants to be; undefined once it is. */
  problem(error: TsnetError | undefined): void;
}

export interface ControlClientOptions {
  readonly url: ControlUrl;
  readonly identity: Identity;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly log: Log;
  readonly discoKey: DiscoPublic;
  readonly authKey: AuthKeySource | undefined;
  readonly ephemeral: boolean;
  /** Log in anew even where the stored login would do. */
  readonly forceLogin: boolean;
  /** PEM certificates trusted besides the system's. */
  readonly ca?: string | readonly string[] | undefined;
  readonly callbacks: ControlCallbacks;
  hostinfo(): Hostinfo;
  endpoints(): readonly Endpoint[];
}

export class ControlClient {
  readonly #options: ControlClientOptions;
  readonly #registrationOptions: RegistrationOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #serverKey: MachinePublic | undefined;
  #lastDial = Number.NEGATIVE_INFINITY;
  #connection: ControlConnection | undefined;
  /** The login under way or still to be done; undefined while the server knows us. */
  #registration: Registration | undefined;
  /** The new login since our key expired. */
  readonly #renewal: Renewal;
  #connecting: Promise<ControlConnection> | undefined;
  /** Ends the map stream that is open. */
  #stream: AbortController | undefined;
  #map: NetworkMap | undefined;
  #expiryTimer: Timer | undefined;
  #updateWanted = false;
  #wakeUpdates: (() => void) | undefined;
  #wakeRetry: (() => void) | undefined;
  #lastPingUrl = '';

  constructor(options: ControlClientOptions) {
    this.#options = options;
    this.#registrationOptions = {
      ...options,
      hostinfo: () => options.hostinfo(),
      loginUrl: (url) => options.callbacks.loginUrl(url),
    };
    this.#renewal = new Renewal({
      registration: this.#registrationOptions,
      connect: () => this.#connect(this.#abort.signal),
      problem: (error) => options.callbacks.problem(error),
      renewed: (login) => {
        options.callbacks.loggedIn(login);
        this.#stream?.abort(RENEWED);
        this.#wakeRetry?.();
      },
    });
  }

  /** Begins; everything else is told through the callbacks. */
  start(): void {
    if (this.#running !== undefined || this.#abort.signal.aborted) return;
    this.#registration = new Registration(
      this.#options.forceLogin ? 'renew' : 'start',
      this.#registrationOptions,
    );
    this.#running = this.#run(this.#abort.signal);
  }

  /** Hostinfo, home relay or endpoints changed: tells the server, one update at a time, until one succeeds. */
  update(): void {
    this.#updateWanted = true;
    this.#wakeUpdates?.();
  }

  /** The machine's network changed: what is open is probably dead, so begin again at once. */
  networkChanged(): void {
    this.#lastDial = Number.NEGATIVE_INFINITY;
    this.#connection?.close();
    this.#wakeRetry?.();
    this.#renewal.wake();
  }

  /** Ends the login at the server and forgets it; the client ends with it. */
  async logout(signal: AbortSignal): Promise<void> {
    this.#abort.abort(closedError('the control client'));
    await this.#running;
    await this.#renewal.ended;
    const connection = await this.#connect(signal);
    try {
      await sendLogout(connection, this.#registrationOptions, signal);
    } finally {
      connection.close();
    }
    this.#options.identity.forgetLogin();
  }

  async close(): Promise<void> {
    this.#abort.abort(closedError('the control client'));
    this.#expiryTimer?.cancel();
    this.#connection?.close();
    await this.#running;
    await this.#renewal.ended;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { callbacks, clock, log } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      const began = clock.now();
      try {
        if ((await this.#session(signal)) === 'renewed') continue;
      } catch (error) {
        if (signal.aborted) break;
        const problem = clientError(error);
        const level = problem.code === 'ERR_INTERNAL' ? 'error' : failures === 0 ? 'warn' : 'debug';
        log(level, problem.message, { code: problem.code, cause: problem.cause });
        callbacks.problem(problem);
        if (problem instanceof StatusError && problem.status >= 400 && problem.status < 500) {
          // The server does not know this node (any more): begin as after a restart, or wait for the new login.
          if (this.#renewal.isPending) await this.#renewal.ended;
          else this.#registration ??= new Registration('start', this.#registrationOptions);
        }
        // Another server may have taken the address over.
        if (problem.code === 'ERR_CONTROL_KEY') this.#serverKey = undefined;
      }
      failures = clock.now() - began > LASTING_SESSION ? 1 : failures + 1;
      await this.#pause(backoffDelay(failures, Math.random()), clock, signal);
    }
  }

  /** Waits, unless the network changes meanwhile. */
  async #pause(delay: number, clock: Clock, signal: AbortSignal): Promise<void> {
    const wake = linked(signal);
    this.#wakeRetry = () => wake.controller.abort();
    try {
      await sleep(clock, delay, wake.controller.signal, true);
    } catch {
      // Woken or closed.
    } finally {
      this.#wakeRetry = undefined;
      wake.unlink();
    }
  }

  /** From connection to the end of one map stream. */
  async #session(signal: AbortSignal): Promise<'ended' | 'renewed'> {
    const { callbacks } = this.#options;
    const connection = await this.#connect(signal);
    if (this.#registration !== undefined) {
      const login = await this.#registration.run(connection, signal);
      this.#registration = undefined;
      callbacks.loggedIn(login);
    }
    // Every stream starts from nothing: the first message replaces the map as a whole.
    const session = linked(signal);
    this.#stream = session.controller;
    let first = true;
    const updates = this.#sendUpdates(connection, session.controller.signal);
    try {
      await runMapStream({
        connection,
        request: this.#mapRequest({ Stream: true }),
        clock: this.#options.clock,
        signal: session.controller.signal,
        message: async (message) => {
          this.#answer(message, connection, session.controller.signal);
          if (message.KeepAlive === true && first) return;
          this.#fold(message, first);
          if (first) {
            first = false;
            callbacks.streaming(true);
            callbacks.problem(undefined);
          }
          const seconds = Math.min(message.Debug?.SleepSeconds ?? 0, LONGEST_SERVER_SLEEP);
          if (seconds > 0 && message.KeepAlive !== true) {
            await sleep(this.#options.clock, seconds * 1000, session.controller.signal, true);
          }
        },
      });
      return 'ended';
    } catch (error) {
      if (error === RENEWED) return 'renewed';
      throw error;
    } finally {
      this.#stream = undefined;
      session.controller.abort(closedError('the map stream'));
      session.unlink();
      if (!first) callbacks.streaming(false);
      await updates;
    }
  }

  /** The connection there is, or a new one; whoever asks while one is being made gets the same. */
  #connect(signal: AbortSignal): Promise<ControlConnection> {
    const open = this.#connection;
    if (open !== undefined && !open.closed) return Promise.resolve(open);
    this.#connecting ??= this.#dial(signal).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #dial(signal: AbortSignal): Promise<ControlConnection> {
    const { clock, url, crypto, identity, ca } = this.#options;
    if (this.#serverKey === undefined) {
      const limited = linked(signal);
      const timer = clock.schedule(KEY_TIMEOUT, () =>
        limited.controller.abort(connectError(url, new Error('no answer in time'))),
      );
      try {
        this.#serverKey = await fetchServerKey({
          url,
          version: CAPABILITY_VERSION,
          ca,
          signal: limited.controller.signal,
        });
      } finally {
        timer.cancel();
        limited.unlink();
      }
    }
    const now = clock.now();
    const forceTls = now - this.#lastDial < FORCE_TLS_WITHIN;
    this.#lastDial = now;
    const dialling = dialControl({
      url,
      controlKey: this.#serverKey,
      machineKey: identity.machineKey,
      version: CAPABILITY_VERSION,
      crypto,
      clock,
      forceTls,
      ca,
      signal,
    });
    const stream = await dialling.catch((error: unknown) => {
      // A server that has no TLS must not stay out of reach because we keep trying it.
      if (forceTls) this.#lastDial = Number.NEGATIVE_INFINITY;
      throw error;
    });
    const connection = openHttp2(url, stream);
    this.#connection = connection;
    return connection;
  }

  #mapRequest(fields: Partial<MapRequest>): MapRequest {
    const { discoKey, hostinfo, endpoints } = this.#options;
    const known = endpoints();
    return {
      Version: CAPABILITY_VERSION,
      KeepAlive: true,
      NodeKey: this.#nodeKey(),
      DiscoKey: discoKey,
      Hostinfo: hostinfo(),
      ...(known.length > 0
        ? {
            Endpoints: known.map(({ addrPort }) => addrPort),
            EndpointTypes: known.map(({ type }) => type),
          }
        : {}),
      ...fields,
    };
  }

  #nodeKey(): NodePublic {
    const { identity, crypto } = this.#options;
    const { login } = identity;
    if (login === undefined) throw closedError('the login');
    return nodePublic(login.nodeKey.publicBytes(crypto.x25519));
  }

  /** Sends our state at the start of the stream and after every update(), until the session ends. */
  async #sendUpdates(connection: ControlConnection, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    let failures = 0;
    this.#updateWanted = true;
    while (!signal.aborted) {
      try {
        if (!this.#updateWanted) {
          await this.#untilUpdateWanted(signal);
          continue;
        }
        this.#updateWanted = false;
        const response = await connection.request({
          method: 'POST',
          path: '/machine/map',
          body: encodeJson(this.#mapRequest({ OmitPeers: true })),
          headers: { 'ts-lb': this.#nodeKey() },
          signal,
        });
        await expectOk(response, 'an update of the node');
        await readBody(response, 1024 * 1024);
        failures = 0;
      } catch (error) {
        if (signal.aborted || connection.closed) return;
        this.#updateWanted = true;
        log('debug', 'telling the control server of a change failed', { error });
        failures++;
        await sleep(clock, backoffDelay(failures, Math.random()), signal).catch(() => {});
      }
    }
  }

  #untilUpdateWanted(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wakeUpdates = undefined;
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#wakeUpdates = done;
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  #answer(message: MapResponse, connection: ControlConnection, signal: AbortSignal): void {
    const { log } = this.#options;
    const ping = message.PingRequest;
    if (ping?.URL && ping.URL !== this.#lastPingUrl) {
      this.#lastPingUrl = ping.URL;
      answerPing(ping, connection, signal).catch((error: unknown) => {
        log('debug', 'answering a ping of the control server failed', { error });
      });
    }
    if (message.PopBrowserURL) {
      log('info', 'the control server wants a page opened', { url: message.PopBrowserURL });
    }
    // A library does not end its process because a server says so.
    if (message.Debug?.Exit !== undefined) {
      log('warn', 'the control server asks the process to exit; ignored', {
        exitCode: message.Debug.Exit,
      });
    }
  }

  #fold(message: MapResponse, first: boolean): void {
    const { clock, identity, log } = this.#options;
    const before = first ? undefined : this.#map;
    const map = foldMapResponse(before, message, clock.wallNow());
    if (map === this.#map && !first) return;
    if (
      Math.abs(map.clockOffset) > CLOCK_SKEW_WORTH_TELLING &&
      map.clockOffset !== before?.clockOffset
    ) {
      log('warn', "this machine's clock differs from the control server's", {
        minutes: Math.round(map.clockOffset / 60_000),
      });
    }
    this.#map = map;
    const { login } = identity;
    const stableId = map.self.StableID ?? '';
    const user = map.users.get(map.self.User);
    if (login !== undefined && stableId !== '' && login.stableId !== stableId) {
      identity.saveLogin(
        { ...login, stableId, loginName: user?.LoginName || login.loginName },
        user && { id: user.ID, displayName: user.DisplayName },
      );
    }
    this.#publish();
  }

  /** Hands out the map as of now, and again when the next key in it expires. */
  #publish(): void {
    const { callbacks, clock } = this.#options;
    if (this.#map === undefined) return;
    // The server may speak of the new key before its answer to the new login arrives: the next stream will say it all.
    if (this.#renewal.isPending && this.#map.self.Key !== this.#nodeKey()) return;
    const view = applyExpiry(this.#map, clock.wallNow());
    this.#expiryTimer?.cancel();
    if (view.next !== undefined) {
      this.#expiryTimer = clock.schedule(Math.max(0, view.next - clock.wallNow()) + 1, () =>
        this.#publish(),
      );
    }
    callbacks.networkMap(view.map, view.selfExpired);
    if (view.selfExpired) this.#renewal.start(this.#abort.signal);
    // The expiry was extended meanwhile.
    else this.#renewal.cancel();
  }
}

const RENEWED = new TsnetError('ERR_LOGIN_REQUIRED', 'the login was renewed');
