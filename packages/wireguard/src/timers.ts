// When a peer has to do something on its own (white paper section 6), as pure functions of times. A timer is the
// time it is due at, Infinity while idle; nothing here knows keys, packets or a clock.
import {
  KEEPALIVE_TIMEOUT,
  MAX_HANDSHAKE_RETRIES,
  NEW_HANDSHAKE_AFTER_SILENCE,
  REKEY_TIMEOUT,
  ZERO_KEYS_AFTER,
} from './constants.ts';

/** Never mutate from outside this file. */
export interface Timers {
  /** Repeat the initiation, or give up (6.4). */
  retransmit: number;
  /** Send an empty packet, since we only received (6.5). */
  keepalive: number;
  /** More data came while the keepalive was due already. */
  anotherKeepalive: boolean;
  /** Start a handshake, since we only sent (6.5). */
  silence: number;
  /** Wipe all keys (6.3). */
  zeroKeys: number;
  /** Send an empty packet to hold NAT mappings. */
  persistent: number;
  /** Milliseconds between those; 0: none. */
  persistentInterval: number;
  /** Retransmissions since the handshake was first wanted. */
  retries: number;
  /** When the last initiation or response was sent. */
  lastHandshakeSent: number;
}

export function idleTimers(): Timers {
  return {
    retransmit: Infinity,
    keepalive: Infinity,
    anotherKeepalive: false,
    silence: Infinity,
    zeroKeys: Infinity,
    persistent: Infinity,
    persistentInterval: 0,
    retries: 0,
    lastHandshakeSent: -Infinity,
  };
}

/** Back to idle, but for the persistent keepalive. */
export function resetTimers(t: Timers): void {
  t.retransmit = Infinity;
  t.keepalive = Infinity;
  t.anotherKeepalive = false;
  t.silence = Infinity;
  t.zeroKeys = Infinity;
  t.retries = 0;
  t.lastHandshakeSent = -Infinity;
}

/** 0 turns it off; otherwise the first one is due at once. */
export function setPersistent(t: Timers, interval: number, now: number): void {
  t.persistentInterval = interval;
  t.persistent = interval > 0 ? now : Infinity;
}

export function earliest(t: Timers): number {
  let at = t.retransmit;
  if (t.keepalive < at) at = t.keepalive;
  if (t.silence < at) at = t.silence;
  if (t.zeroKeys < at) at = t.zeroKeys;
  if (t.persistent < at) at = t.persistent;
  return at;
}

function authenticatedEitherWay(t: Timers, now: number): void {
  if (t.persistentInterval > 0) t.persistent = now + t.persistentInterval;
}

/** Data, a keepalive, an initiation or a response left. */
export function sentAuthenticated(t: Timers, now: number): void {
  t.keepalive = Infinity;
  t.anotherKeepalive = false;
  authenticatedEitherWay(t, now);
}

/** Data left (not a keepalive). Jitter: 0 to 333 ms. */
export function sentData(t: Timers, now: number, jitter: number): void {
  if (t.silence === Infinity) t.silence = now + NEW_HANDSHAKE_AFTER_SILENCE + jitter;
  sentAuthenticated(t, now);
}

/** Anything authenticated came, keepalive and handshake included. */
export function receivedAuthenticated(t: Timers, now: number): void {
  t.silence = Infinity;
  authenticatedEitherWay(t, now);
}

/** Data came (not a keepalive). */
export function receivedData(t: Timers, now: number): void {
  if (t.keepalive === Infinity) armKeepalive(t, now);
  else t.anotherKeepalive = true;
  receivedAuthenticated(t, now);
}

export function armKeepalive(t: Timers, now: number): void {
  t.keepalive = now + KEEPALIVE_TIMEOUT;
}

/** Whether an initiation may leave now: 5 s after the last initiation or response. */
export function maySendInitiation(t: Timers, now: number): boolean {
  return now - t.lastHandshakeSent >= REKEY_TIMEOUT;
}

/** A handshake is wanted afresh (not as a retransmission): the 90 s begin anew. */
export function handshakeWanted(t: Timers): void {
  t.retries = 0;
}

export function sentInitiation(t: Timers, now: number, jitter: number): void {
  t.lastHandshakeSent = now;
  t.retransmit = now + REKEY_TIMEOUT + jitter;
  sentAuthenticated(t, now);
}

/** The initiation has to wait for the 5 s since the last handshake message; see that something comes back to it. */
export function postponedInitiation(t: Timers, jitter: number): void {
  if (t.retransmit === Infinity) t.retransmit = t.lastHandshakeSent + REKEY_TIMEOUT + jitter;
}

/** A response left, and with it a session was derived. */
export function sentResponse(t: Timers, now: number): void {
  t.lastHandshakeSent = now;
  derivedSession(t, now);
  sentAuthenticated(t, now);
}

export function derivedSession(t: Timers, now: number): void {
  t.zeroKeys = now + ZERO_KEYS_AFTER;
}

/** Initiator: response accepted. Responder: first packet under the new key. */
export function completedHandshake(t: Timers): void {
  t.retransmit = Infinity;
  t.retries = 0;
}

/** What `nextDue` found. */
export const Due = {
  NOTHING: 0,
  RETRANSMIT: 1,
  GIVE_UP: 2,
  KEEPALIVE: 3,
  /** Send one, then call armKeepalive: more data came while this one was due already. */
  KEEPALIVE_AND_ANOTHER: 4,
  NEW_HANDSHAKE: 5,
  ZERO_KEYS: 6,
} as const;

/** Takes one timer that is due, applies what its expiry does to the others, and says what to do. */
export function nextDue(t: Timers, now: number): number {
  if (t.zeroKeys <= now) {
    t.zeroKeys = Infinity;
    return Due.ZERO_KEYS;
  }
  if (t.retransmit <= now) {
    t.retransmit = Infinity;
    if (t.retries <= MAX_HANDSHAKE_RETRIES) {
      t.retries++;
      return Due.RETRANSMIT;
    }
    t.keepalive = Infinity;
    t.anotherKeepalive = false;
    if (t.zeroKeys === Infinity) t.zeroKeys = now + ZERO_KEYS_AFTER;
    return Due.GIVE_UP;
  }
  if (t.silence <= now) {
    t.silence = Infinity;
    return Due.NEW_HANDSHAKE;
  }
  if (t.keepalive <= now) {
    const another = t.anotherKeepalive;
    t.keepalive = Infinity;
    t.anotherKeepalive = false;
    return another ? Due.KEEPALIVE_AND_ANOTHER : Due.KEEPALIVE;
  }
  if (t.persistent <= now) {
    t.persistent = now + t.persistentInterval;
    return Due.KEEPALIVE;
  }
  return Due.NOTHING;
}
