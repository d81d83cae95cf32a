// The paths by UDP to one peer: which addresses to try, which path to use, and whether to trust it. Sans I/O: the time
// is handed in, pings leave through the sink.
//
// An address comes to be a candidate by the network map, by the peer's own call, or by a ping from there. A pong from
// it makes it a path; the best path is used, and trusted for 6.5 s after each pong. Pings go to the best path every
// 3 s for as long as something is sent to the peer, and to all candidates while there is no trusted path. One of them
// that stays unanswered is repeated after half a second, and trust ends another half later. One leaves early when nothing
// was sent for a second: the peer may be unheard rather than silent.
//
// A path through a peer relay comes ready made (peerrelays.ts) and is used where no direct one answers; the search for
// a direct one goes on.
import { equalBytes, toHex } from '@cove/protocol/bytes';
import { isBetter } from './betterpath.ts';
import type { DatagramPath, PathTable, UdpPath, ViaPath } from './paths.ts';
import type { ViaPaths } from './viapaths.ts';

/** Nothing sent for this long: no more pings; also how long an observed address stays without another ping. */
export const ACTIVE_FOR = 45_000;
export const HEARTBEAT_INTERVAL = 3_000;
/** Nothing sent for this long: has the peer nothing to say, or is it not heard? */
export const QUIET_AFTER = 1_000;
/** Without heartbeats, which notice earlier. */
export const TRUST_FOR = 6_500;
export const PING_TIMEOUT = 5_000;
/** Between pings to one candidate, heartbeats apart. */
export const PING_SPACING = 5_000;
/** A path under suspicion must answer within this, or four of its round trips. */
export const SUSPECT_GRACE = 500;
/** A path that answered this recently is not suspected. */
export const SUSPECT_AFTER = 1_000;
/** No better path is looked for at or below this latency. */
export const GOOD_LATENCY = 5;
/** Between looking for a better path than a slow direct one. */
export const UPGRADE_INTERVAL = 60_000;
/** Between two searches for a peer relay. */
export const RELAY_SEARCH_SPACING = 30_000;
/** As that, while one is in use. */
export const RELAY_UPGRADE_INTERVAL = 60_000;
/** More candidates than this: those only observed go, oldest first. */
export const MAX_CANDIDATES = 100;
/** A round trip measured as nothing would make any path perfect. */
const MIN_LATENCY = 0.001;

export interface AddressAndPort {
  readonly address: string;
  readonly port: number;
}

/** None of these may call back into the DirectPath. */
export interface DirectPathSink {
  /** 12 random bytes. */
  newTxId(): Uint8Array;
  /** Sends a ping there, with so many bytes more than it needs. */
  ping(path: DatagramPath, txId: Uint8Array, padding: number): void;
  /** Tell the peer through its relay to ping us, since we are pinging it. */
  callPeer(): void;
  /** Looks for a peer relay. False: there is none to ask. */
  seekRelay(): boolean;
  /** The tailnet wants no heartbeats: what is heard of the peer must do. */
  isSilent(): boolean;
  /** Whether the peer's packets came by this path since this was asked last. */
  hasHeard(path: DatagramPath): boolean;
  /** The best path is another now, or (undefined) none. */
  pathChanged(path: DatagramPath | undefined): void;
  /** The best path is not trusted any more. `isActive`: something was sent to the peer lately. */
  trustLost(isActive: boolean): void;
}

export interface DirectPong {
  readonly path: DatagramPath;
  /** Milliseconds. */
  readonly latency: number;
}

interface Candidate {
  readonly path: UdpPath;
  isInMap: boolean;
  isInCall: boolean;
  /** When the last ping came from there; -Infinity: never. */
  heardPing: number;
  /** That ping's transaction, in hex. */
  heardTxId: string;
  lastPing: number;
  /** When one of its pings was last answered by a ping. */
  pingedBack: number;
}

interface PingUnderWay {
  readonly path: DatagramPath;
  readonly at: number;
  readonly onPong: ((pong: DirectPong) => void) | undefined;
}

export class DirectPath {
  readonly #sink: DirectPathSink;
  readonly #paths: PathTable;
  readonly #vias: ViaPaths;
  readonly #candidates: Map<UdpPath, Candidate> = new Map();
  /** By transaction id in hex, oldest first. */
  readonly #pings: Map<string, PingUnderWay> = new Map();
  #best: DatagramPath | undefined;
  /** Disco key of the best path's peer relay. */
  #bestServer: Uint8Array | undefined;
  #bestLatency = 0;
  #trustedUntil = Number.NEGATIVE_INFINITY;
  /** The last pong of the best path. */
  #lastPong = Number.NEGATIVE_INFINITY;
  /** When the heartbeat under way must have been answered; Infinity: there is none. */
  #answerBy = Number.POSITIVE_INFINITY;
  /** trustLost() was told, or there was no trust. */
  #isLossTold = true;
  #lastSend = Number.NEGATIVE_INFINITY;
  #lastRound = Number.NEGATIVE_INFINITY;
  /** When a round would ping anybody at all. */
  #nextRound = Number.POSITIVE_INFINITY;
  #nextCall = Number.NEGATIVE_INFINITY;
  #nextHeartbeat = Number.POSITIVE_INFINITY;
  /** When to look whether anything was sent lately; Infinity: it was looked, and nothing was sent since. */
  #quietAt = Number.POSITIVE_INFINITY;
  #lastSearch = Number.NEGATIVE_INFINITY;

  constructor(paths: PathTable, vias: ViaPaths, sink: DirectPathSink) {
    this.#paths = paths;
    this.#vias = vias;
    this.#sink = sink;
  }

  /** The path to use, trusted or not; undefined: none answered. */
  get best(): DatagramPath | undefined {
    return this.#best;
  }

  /** Milliseconds of the best path's last round trip. */
  get latency(): number {
    return this.#bestLatency;
  }

  get candidates(): Iterable<UdpPath> {
    return this.#candidates.keys();
  }

  /** False: what is sent by the best path must take the relay too. */
  isTrusted(now: number): boolean {
    return this.#best !== undefined && now <= this.#trustedUntil;
  }

  /** The best path is trusted and needs no peer relay: nothing better is looked for. */
  isDirect(now: number): boolean {
    return this.#best?.kind === 'udp' && now <= this.#trustedUntil;
  }

  /** Whether packets go through this endpoint of a peer relay and arrive. */
  isThrough(server: Uint8Array, vni: number, now: number): boolean {
    const best = this.#best;
    const isIt = best?.kind === 'via' && best.vni === vni && this.#isServer(server);
    return isIt && this.isTrusted(now);
  }

  /** Something was sent to the peer within the last 45 s. */
  isActive(now: number): boolean {
    return now - this.#lastSend <= ACTIVE_FOR;
  }

  /** Something is about to be sent to the peer. Cheap while the path is trusted. */
  noteSend(now: number): void {
    this.#lastSend = now;
    if (this.#nextHeartbeat === Number.POSITIVE_INFINITY)
      this.#nextHeartbeat = now + HEARTBEAT_INTERVAL;
    if (this.#quietAt === Number.POSITIVE_INFINITY) this.#quietAt = now + QUIET_AFTER;
    if (this.isDirect(now)) return;
    // A call is due even when the peer's own call has just made us ping: our NAT is open to it only now.
    if (now >= this.#nextRound || now >= this.#nextCall) this.#round(now, true);
    this.#seekRelay(now);
  }

  /** The addresses that the network map has for the peer, all of them. */
  setMapCandidates(addresses: readonly AddressAndPort[]): void {
    this.#replace(addresses, 'isInMap');
  }

  /** The peer pings us at this moment and says where it is, completely: ping it there. */
  called(addresses: readonly AddressAndPort[], now: number): void {
    this.#replace(addresses, 'isInCall');
    for (const candidate of this.#candidates.values())
      candidate.lastPing = Number.NEGATIVE_INFINITY;
    this.#nextRound = Number.NEGATIVE_INFINITY;
    this.#round(now, false);
    this.#seekRelay(now);
  }

  /** A peer relay carries packets both ways (`server` is its disco key), and did so in `latency` ms. */
  relayReady(path: ViaPath, server: Uint8Array, latency: number, now: number): void {
    const best = this.#best;
    // On one relay the latest address counts, whatever is faster: the relay forgot the one before.
    const isWanted =
      best === undefined ||
      !this.isTrusted(now) ||
      (best.kind === 'via' && this.#isServer(server)) ||
      isBetter({ path, latency }, { path: best, latency: this.#bestLatency });
    if (!isWanted) return;
    this.#setBest(path, server);
    this.#trust(latency, now);
  }

  /** A ping of the peer came from this address. False: it is the same one once more. */
  heardPing(address: string, port: number, txId: Uint8Array, now: number): boolean {
    const id = toHex(txId);
    const candidate = this.#candidate(address, port);
    if (!candidate) return false;
    if (candidate.heardTxId === id) return false;
    candidate.heardTxId = id;
    candidate.heardPing = now;
    // The peer's NAT has just let a packet out to us: what we sent before may have been lost there, this will not be.
    if (!this.isDirect(now) && this.isActive(now) && now - candidate.pingedBack >= PING_SPACING) {
      candidate.pingedBack = now;
      candidate.lastPing = now;
      this.#ping(candidate.path, now, undefined);
    }
    if (this.#candidates.size > MAX_CANDIDATES) this.#prune(candidate);
    return true;
  }

  /** A pong of the peer. False: it answers no ping of ours, or one to an address that is no candidate any more. */
  heardPong(txId: Uint8Array, now: number): boolean {
    const id = toHex(txId);
    const ping = this.#pings.get(id);
    if (!ping) return false;
    this.#pings.delete(id);
    // Not where the pong came from: a peer with several addresses may answer from another one.
    const { path } = ping;
    if (path.kind === 'udp' ? !this.#candidates.has(path) : path !== this.#best) return false;
    const latency = Math.max(now - ping.at, MIN_LATENCY);
    const best = this.#best;
    if (
      best === undefined ||
      !this.isTrusted(now) ||
      isBetter({ path, latency }, { path: best, latency: this.#bestLatency })
    ) {
      this.#setBest(path);
    }
    if (path === this.#best) this.#trust(latency, now);
    ping.onPong?.({ path, latency });
    return true;
  }

  /**
   * There are signs that the best path does not carry packets: they go unanswered, or the peer avoids it. It is asked,
   * and must answer soon to stay trusted.
   */
  suspect(now: number): void {
    const best = this.#best;
    if (best === undefined || now - this.#lastPong < SUSPECT_AFTER || !this.isTrusted(now)) return;
    if (this.#trustedUntil < this.#lastPong + TRUST_FOR) return;
    this.#trustedUntil = Math.min(this.#trustedUntil, now + this.#grace);
    this.#ping(best, now, undefined);
  }

  /** Milliseconds in which the best path answers if it works. */
  get #grace(): number {
    return Math.max(SUSPECT_GRACE, 4 * this.#bestLatency);
  }

  /** Pings for a person: the best path if it is trusted, all candidates unless that is direct. Counts as sending. */
  ping(now: number, onPong: (pong: DirectPong) => void, padding = 0): void {
    this.#lastSend = now;
    if (this.#nextHeartbeat === Number.POSITIVE_INFINITY)
      this.#nextHeartbeat = now + HEARTBEAT_INTERVAL;
    if (this.#best !== undefined && this.isTrusted(now)) {
      this.#ping(this.#best, now, onPong, padding);
      if (this.isDirect(now)) return;
    }
    const due = now >= this.#nextRound;
    for (const candidate of this.#candidates.values()) {
      this.#ping(candidate.path, now, onPong, padding);
      candidate.lastPing = now;
    }
    this.#lastRound = now;
    this.#nextRound = this.#candidates.size > 0 ? now + PING_SPACING : Number.POSITIVE_INFINITY;
    if (due && this.#candidates.size > 0) this.#sink.callPeer();
    this.#seekRelay(now);
  }

  /** The peer restarted, or the machine's network changed: nothing learnt holds, the candidates do. */
  distrust(): void {
    this.#trustedUntil = Number.NEGATIVE_INFINITY;
    this.#lastSearch = Number.NEGATIVE_INFINITY;
    this.#pings.clear();
    for (const candidate of this.#candidates.values())
      candidate.lastPing = Number.NEGATIVE_INFINITY;
    this.#mayRound();
  }

  /** As distrust, and no path is used before it answers anew. */
  reset(): void {
    this.distrust();
    this.#setBest(undefined);
  }

  /** The operating system says that no datagram gets there. */
  unreachable(path: UdpPath): void {
    const best = this.#best;
    if (path === (best?.kind === 'via' ? best.hop : best)) this.#setBest(undefined);
  }

  /** When tick must be called; Infinity: not before something happens. */
  get nextTick(): number {
    let at = Math.min(this.#nextHeartbeat, this.#answerBy, this.#quietAt);
    if (!this.#isLossTold) at = Math.min(at, this.#trustedUntil + 1);
    for (const ping of this.#pings.values()) {
      at = Math.min(at, ping.at + PING_TIMEOUT);
      break;
    }
    return at;
  }

  tick(now: number): void {
    for (const [id, ping] of this.#pings) {
      if (ping.at + PING_TIMEOUT > now) break;
      this.#pings.delete(id);
      if (ping.path === this.#best && !this.isTrusted(now)) this.#setBest(undefined);
    }
    if (now >= this.#nextHeartbeat) this.#heartbeat(now);
    if (now >= this.#quietAt) this.#noteQuiet(now);
    if (now >= this.#answerBy) {
      this.#answerBy = Number.POSITIVE_INFINITY;
      this.suspect(now);
    }
    if (!this.#isLossTold && !this.isTrusted(now)) {
      this.#isLossTold = true;
      this.#sink.trustLost(this.isActive(now));
    }
  }

  /** Gives all paths back. */
  close(): void {
    for (const path of this.#candidates.keys()) this.#paths.release(path);
    this.#candidates.clear();
    this.#pings.clear();
    if (this.#best?.kind === 'via') this.#vias.release(this.#best);
    this.#best = undefined;
    this.#isLossTold = true;
    this.#nextHeartbeat = Number.POSITIVE_INFINITY;
    this.#answerBy = Number.POSITIVE_INFINITY;
    this.#quietAt = Number.POSITIVE_INFINITY;
    this.#nextRound = Number.POSITIVE_INFINITY;
  }

  #heartbeat(now: number): void {
    if (!this.isActive(now)) {
      this.#nextHeartbeat = Number.POSITIVE_INFINITY;
      return;
    }
    this.#nextHeartbeat = now + HEARTBEAT_INTERVAL;
    if (this.#sink.isSilent()) {
      const best = this.#best;
      const isHeard = best !== undefined && this.#sink.hasHeard(best);
      if (isHeard && this.isTrusted(now)) this.#trustedUntil = now + TRUST_FOR;
      return;
    }
    this.#beat(now);
    if (this.#wantsRound(now)) this.#round(now, true);
    this.#seekRelay(now);
  }

  #beat(now: number): void {
    const best = this.#best;
    if (!best) return;
    this.#ping(best, now, undefined);
    const candidate = best.kind === 'udp' ? this.#candidates.get(best) : undefined;
    if (candidate) candidate.lastPing = now;
    if (this.isTrusted(now)) this.#answerBy = now + this.#grace;
  }

  #noteQuiet(now: number): void {
    const at = this.#lastSend + QUIET_AFTER;
    this.#quietAt = at > now ? at : Number.POSITIVE_INFINITY;
    const isKnown =
      now - this.#lastPong < SUSPECT_AFTER || this.#answerBy !== Number.POSITIVE_INFINITY;
    if (at > now || isKnown || this.#sink.isSilent()) return;
    if (this.isTrusted(now)) this.#beat(now);
  }

  /** The search takes its time and each relay's: not often, and not while a direct path works. */
  #seekRelay(now: number): void {
    const since = now - this.#lastSearch;
    if (since < RELAY_SEARCH_SPACING || this.isDirect(now)) return;
    // Whoever came to a relay by the peer's search leaves further searches to the peer.
    const isSearching = this.#lastSearch !== Number.NEGATIVE_INFINITY;
    if (this.isTrusted(now) && !(isSearching && since >= RELAY_UPGRADE_INTERVAL)) return;
    if (this.#sink.seekRelay()) this.#lastSearch = now;
  }

  #isServer(server: Uint8Array): boolean {
    return this.#bestServer !== undefined && equalBytes(this.#bestServer, server);
  }

  #wantsRound(now: number): boolean {
    if (!this.isDirect(now) || this.#lastRound === Number.NEGATIVE_INFINITY) return true;
    return this.#bestLatency > GOOD_LATENCY && now - this.#lastRound >= UPGRADE_INTERVAL;
  }

  #round(now: number, call: boolean): void {
    this.#lastRound = now;
    let next = Number.POSITIVE_INFINITY;
    const due: Candidate[] = [];
    for (const candidate of this.#candidates.values()) {
      if (this.#isStale(candidate, now)) {
        this.#remove(candidate);
        continue;
      }
      if (now - candidate.lastPing >= PING_SPACING) {
        candidate.lastPing = now;
        due.push(candidate);
      }
      next = Math.min(next, candidate.lastPing + PING_SPACING);
    }
    this.#nextRound = next;
    // Before the pings: it has the longer way to go, and what it makes the peer send comes when they have left.
    if (call && this.#candidates.size > 0 && (due.length > 0 || now >= this.#nextCall)) {
      this.#nextCall = now + PING_SPACING;
      this.#sink.callPeer();
    }
    for (const { path } of due) this.#ping(path, now, undefined);
  }

  #ping(
    path: DatagramPath,
    now: number,
    onPong: ((pong: DirectPong) => void) | undefined,
    padding = 0,
  ): void {
    const txId = this.#sink.newTxId();
    this.#pings.set(toHex(txId), { path, at: now, onPong });
    this.#sink.ping(path, txId, padding);
  }

  #replace(addresses: readonly AddressAndPort[], origin: 'isInMap' | 'isInCall'): void {
    for (const candidate of this.#candidates.values()) candidate[origin] = false;
    for (const { address, port } of addresses) {
      const candidate = this.#candidate(address, port, this.#candidates.size < MAX_CANDIDATES);
      if (candidate) candidate[origin] = true;
    }
    for (const candidate of this.#candidates.values()) {
      if (this.#isStale(candidate, Number.NEGATIVE_INFINITY)) this.#remove(candidate);
    }
    this.#mayRound();
  }

  /** The candidate with this address, a new one if need be. */
  #candidate(address: string, port: number, mayAdd = true): Candidate | undefined {
    const found = this.#paths.find(address, port);
    const known = found && this.#candidates.get(found);
    if (known || !mayAdd) return known;
    const path = this.#paths.acquire(address, port);
    if (!path) return undefined;
    const candidate: Candidate = {
      path,
      isInMap: false,
      isInCall: false,
      heardPing: Number.NEGATIVE_INFINITY,
      heardTxId: '',
      lastPing: Number.NEGATIVE_INFINITY,
      pingedBack: Number.NEGATIVE_INFINITY,
    };
    this.#candidates.set(path, candidate);
    this.#mayRound();
    return candidate;
  }

  #mayRound(): void {
    this.#nextRound =
      this.#candidates.size > 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  /** Nobody names the address any more. */
  #isStale(candidate: Candidate, now: number): boolean {
    return !candidate.isInMap && !candidate.isInCall && !(now - candidate.heardPing <= ACTIVE_FOR);
  }

  /** Makes room by the address observed longest ago. */
  #prune(keep: Candidate): void {
    let oldest: Candidate | undefined;
    for (const candidate of this.#candidates.values()) {
      const isOptional = !candidate.isInMap && !candidate.isInCall && candidate !== keep;
      if (isOptional && candidate.path !== this.#best) {
        if (!oldest || candidate.heardPing < oldest.heardPing) oldest = candidate;
      }
    }
    this.#remove(oldest ?? keep);
  }

  #remove(candidate: Candidate): void {
    if (!this.#candidates.delete(candidate.path)) return;
    if (candidate.path === this.#best) this.#setBest(undefined);
    this.#paths.release(candidate.path);
  }

  #trust(latency: number, now: number): void {
    this.#bestLatency = latency;
    this.#lastPong = now;
    this.#answerBy = Number.POSITIVE_INFINITY;
    this.#trustedUntil = now + TRUST_FOR;
    this.#isLossTold = false;
  }

  #setBest(path: DatagramPath | undefined, server?: Uint8Array): void {
    this.#answerBy = Number.POSITIVE_INFINITY;
    if (path === undefined) {
      this.#trustedUntil = Number.NEGATIVE_INFINITY;
      this.#isLossTold = true;
    }
    const before = this.#best;
    this.#bestServer = server;
    if (path === before) return;
    this.#best = path?.kind === 'via' ? this.#vias.acquire(path) : path;
    this.#bestLatency = 0;
    if (before?.kind === 'via') this.#vias.release(before);
    this.#sink.pathChanged(path);
  }
}
