// The numbers of WireGuard. Times are milliseconds.

// From the white paper (section 6.1, and 5.4 for sizes).

export const REKEY_AFTER_TIME = 120_000;
export const REJECT_AFTER_TIME = 180_000;
export const REKEY_ATTEMPT_TIME = 90_000;
export const REKEY_TIMEOUT = 5_000;
export const KEEPALIVE_TIMEOUT = 10_000;
export const COOKIE_REFRESH_TIME = 120_000;

/** Retransmissions are spread by 0 to this, so that two colliding initiators part. */
export const REKEY_TIMEOUT_JITTER = 333;
/** The retransmit timer that finds more retries than this gives up. */
export const MAX_HANDSHAKE_RETRIES: number = REKEY_ATTEMPT_TIME / REKEY_TIMEOUT;
/** Sent data, heard nothing: start a handshake. */
export const NEW_HANDSHAKE_AFTER_SILENCE: number = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;
/** An initiator renews a key it receives data under, so that it never runs out in mid-flow. */
export const REKEY_AFTER_TIME_RECEIVING: number =
  REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
/** All keys are wiped this long after the last one was made. */
export const ZERO_KEYS_AFTER: number = 3 * REJECT_AFTER_TIME;

/** Around an inner packet in its slot: header before, zeros up to a multiple of PADDING and a tag behind. */
export const HEADER_LENGTH = 16;
export const TAG_LENGTH = 16;
export const PADDING = 16;

// As every implementation does it.

/** A second initiation this soon after the last accepted one is refused. */
export const INITIATION_SPACING = 20;
/** How far behind the highest accepted counter a packet may be (RFC 6479 with 8192 bits in words of 64). */
export const REPLAY_WINDOW = 8128;
/** How long the device counts as under load after the last sign of it. */
export const UNDER_LOAD_AFTER = 1_000;
/** Handshakes per second and burst allowed to one source while under load. */
export const SOURCE_RATE = 20;
export const SOURCE_BURST = 5;

// Our own.

/**
 * Counters are float64 integers here. The paper's limits are 2^60 and 2^64 - 2^13 - 1; ours are out of reach as
 * well (2^52 packets in 180 s), and keep every counter exact.
 */
export const REKEY_AFTER_MESSAGES: number = 2 ** 52;
export const REJECT_AFTER_MESSAGES: number = 2 ** 53 - 2 ** 13 - 1;
/** Packets staged for one peer while a handshake runs. */
export const MAX_STAGED_PACKETS = 128;
/** Bytes staged over all peers. */
export const MAX_STAGED_BYTES: number = 8 * 1024 * 1024;
export const MAX_PEERS = 65_536;
/** Handshake messages that may come at once, and per second after that, before cookies are demanded. */
export const LOAD_BURST = 128;
export const LOAD_RATE = 250;
/** Sources remembered by the rate limiter. */
export const MAX_SOURCES = 4096;
/** Peers whose timers one tick runs; an initiation costs up to 2 ms where there is only JavaScript. */
export const MAX_PEERS_PER_TICK = 64;
export const DEFAULT_MTU = 1280;
