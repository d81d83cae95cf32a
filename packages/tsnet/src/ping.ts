// Four ways to ask whether a peer is there: a discovery message (the path), TSMP (WireGuard), ICMP (its IP stack),
// peerapi (its program).
import { Agent, request } from 'node:http';
import type { Stack } from '@cove/netstack';
import { toHex } from '@cove/protocol/bytes';
import type { Crypto } from '@cove/protocol/crypto';
import { DISCO_PING_LENGTH } from '@cove/protocol/disco';
import { parseAddr } from '@cove/protocol/netaddr';
import type { Clock } from './clock.ts';
import type { Conn } from './conn.ts';
import type { DataPath } from './datapath.ts';
import { closedError, TsnetError, type TsnetErrorCode } from './errors.ts';
import type { Magicsock } from './magicsock/magicsock.ts';
import type { MagicsockPong } from './magicsock/magicsockoptions.ts';
import type { Path } from './magicsock/paths.ts';
import type { Peer } from './nodetable.ts';
import { encodePing } from './tsmp.ts';

export type PingType = 'disco' | 'tsmp' | 'icmp' | 'peerapi';

export interface PingOptions {
  /** Address of a peer. */
  readonly address: string;
  readonly type: PingType;
  /** Milliseconds; default 5000. */
  readonly timeout?: number;
  /** Of disco: bytes of UDP payload, 124 to 9000; default 124, the least. The answer is not longer for it. */
  readonly size?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PingResult {
  /** Milliseconds. */
  readonly roundTripTime: number;
  /** Direct `ip:port` of the peer: the answer came from there, or (not for disco) packets to it go there. */
  readonly endpoint?: string;
  /** Peer relay that the answer (or not for disco: packets) came through, `ip:port:vni:n`. */
  readonly peerRelay?: string;
  /** Relay region, where there was neither. */
  readonly relay?: number;
  /** Port of the peer's peerapi, where TSMP told it or it answered. */
  readonly peerApiPort?: number;
}

type PingFacts = Omit<PingResult, 'roundTripTime'>;

const DEFAULT_TIMEOUT = 5_000;
const MIN_SIZE = DISCO_PING_LENGTH;
/** A jumbo frame; what is larger tells nothing of a network. */
const MAX_SIZE = 9_000;

export interface PingerOptions {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly path: DataPath;
  readonly magicsock: Magicsock;
  /** Own address of a family (4 or 16 bytes long), undefined when there is none. */
  readonly ownAddress: (length: number) => Uint8Array | undefined;
  /** A connection that waits for connect(). */
  readonly newConn: () => Conn;
}

export class Pinger {
  readonly #options: PingerOptions;
  /** TSMP pings under way, by their data in hex. */
  readonly #tsmp: Map<string, { readonly peer: Peer; onPong(peerApiPort: number): void }> =
    new Map();
  /** What ends the pings under way. */
  readonly #ends: Set<(error: TsnetError) => void> = new Set();
  #closed = false;

  constructor(options: PingerOptions) {
    this.#options = options;
  }

  /** A TSMP pong came; data is borrowed. */
  pong(peer: Peer, data: Uint8Array, peerApiPort: number): void {
    const id = toHex(data);
    const ping = this.#tsmp.get(id);
    if (ping?.peer !== peer) return;
    this.#tsmp.delete(id);
    ping.onPong(peerApiPort);
  }

  /** Pings under way reject with ERR_CLOSED. */
  close(): void {
    this.#closed = true;
    for (const end of this.#ends) end(closedError('the node'));
  }

  /**
   * Rejects ETIMEDOUT, EHOSTUNREACH when no peer has the address, ERR_CLOSED, RangeError for a size, or with the
   * signal's reason.
   */
  ping(options: PingOptions): Promise<PingResult> {
    const { clock } = this.#options;
    const { address, signal, timeout = DEFAULT_TIMEOUT } = options;
    const startedAt = clock.now();
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const { size = MIN_SIZE } = options;
      if (!Number.isInteger(size) || size < MIN_SIZE || size > MAX_SIZE)
        throw new RangeError(`a ping has ${MIN_SIZE} to ${MAX_SIZE} bytes: ${size}`);
      if (this.#closed) throw closedError('the node');
      const fail = (error: unknown): void => {
        stop();
        reject(error);
      };
      const failCode = (code: TsnetErrorCode): void =>
        fail(new TsnetError(code, `ping ${code} ${address}`, { syscall: 'ping', address }));
      const onAbort = (): void => fail(signal!.reason);
      const timer = clock.schedule(timeout, () => failCode('ETIMEDOUT'), true);
      let cancel: (() => void) | undefined;
      const stop = (): void => {
        this.#ends.delete(fail);
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        cancel?.();
      };
      const answer = (facts: PingFacts = {}): void => {
        stop();
        resolve({ roundTripTime: clock.now() - startedAt, ...facts });
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#ends.add(fail);
      cancel = this.#start(options, timeout, answer, failCode);
    });
  }

  /** Sends the ping; returns what forgets it. */
  #start(
    { type, address, size = MIN_SIZE }: PingOptions,
    timeout: number,
    answer: (facts?: PingFacts) => void,
    fail: (code: TsnetErrorCode) => void,
  ): (() => void) | undefined {
    const { path, magicsock } = this.#options;
    const bytes = parseAddr(address);
    const peer = bytes && path.peerFor(bytes);
    if (!peer) {
      fail('EHOSTUNREACH');
      return undefined;
    }
    const throughTunnel = (facts: PingFacts = {}): void =>
      answer({ ...facts, ...describePath(magicsock.pathTo(peer)) });
    if (type === 'icmp') return this.#icmp(path.stack, address, timeout, throughTunnel, fail);
    if (type === 'tsmp') return this.#sendTsmp(peer, bytes, throughTunnel, fail);
    if (type === 'peerapi') return this.#peerApi(peer, address, throughTunnel, fail);
    const onPong = ({ path: from }: MagicsockPong): void => answer(describePath(from));
    const cancel = magicsock.ping(peer, onPong, size - MIN_SIZE);
    if (!cancel) fail('EHOSTUNREACH');
    return cancel;
  }

  #icmp(
    stack: Stack,
    address: string,
    timeout: number,
    answer: () => void,
    fail: (code: TsnetErrorCode) => void,
  ): () => void {
    const done = (result: { ok: true } | { ok: false; error: TsnetErrorCode }): void =>
      result.ok ? answer() : fail(result.error);
    const ping = stack.ping({ address, timeout, done });
    return () => ping.cancel();
  }

  /** Any answer of HTTP will do. */
  #peerApi(
    peer: Peer,
    host: string,
    answer: (facts: PingFacts) => void,
    fail: (code: TsnetErrorCode) => void,
  ): (() => void) | undefined {
    const proto = host.includes(':') ? 'peerapi6' : 'peerapi4';
    const port = peer.node.Hostinfo?.Services?.find(({ Proto }) => Proto === proto)?.Port;
    if (!port) {
      fail('ECONNREFUSED');
      return undefined;
    }
    const agent = new Agent();
    agent.createConnection = () => this.#options.newConn().connect({ host, port });
    const asked = request({ agent, host, port, method: 'HEAD', path: '/' }, (response) => {
      response.resume();
      answer({ peerApiPort: port });
    });
    asked.on('error', (error: NodeJS.ErrnoException) =>
      fail((error.code as TsnetErrorCode | undefined) ?? 'ECONNRESET'),
    );
    asked.end();
    return () => asked.destroy();
  }

  #sendTsmp(
    peer: Peer,
    to: Uint8Array,
    answer: (facts: { peerApiPort: number }) => void,
    fail: (code: TsnetErrorCode) => void,
  ): (() => void) | undefined {
    const { crypto, path, clock, ownAddress } = this.#options;
    const from = ownAddress(to.length);
    if (!from) {
      fail('EHOSTUNREACH');
      return undefined;
    }
    const data = crypto.randomBytes(8);
    const id = toHex(data);
    this.#tsmp.set(id, { peer, onPong: (peerApiPort) => answer({ peerApiPort }) });
    path.inject(peer, encodePing(from, to, data), clock.now());
    return () => this.#tsmp.delete(id);
  }
}

function describePath(path: Path | undefined): PingFacts {
  if (path === undefined) return {};
  if (path.kind === 'via') return { peerRelay: path.text };
  return path.kind === 'udp' ? { endpoint: path.text } : { relay: path.region };
}
