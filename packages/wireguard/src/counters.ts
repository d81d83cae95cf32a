// Why something was dropped or done, as indices into Device.counters. Strangers' input is never an exception:
// it ends here.

/** Values of `receive`, and indices of `Device.counters`. */
export const Count = {
  /** Transport data delivered. */
  DELIVERED: 0,
  /** Empty transport packets received. */
  KEEPALIVE: 1,
  /** Initiations answered, responses accepted and cookies taken. */
  HANDSHAKE: 2,
  /** Shorter than any message, of unknown type, or of a length its type does not have. */
  MALFORMED: 3,
  /** mac1 is not for our public key. */
  BAD_MAC1: 4,
  /** Under load: answered with a cookie reply instead. */
  COOKIE_SENT: 5,
  /** Under load, with a good cookie: above 20 handshakes per second from one source. */
  RATE_LIMITED: 6,
  /** A handshake message that does not decrypt or has an unusable key. */
  BAD_HANDSHAKE: 7,
  /** An initiation from a key that is no peer. */
  UNKNOWN_PEER: 8,
  /** An initiation with a timestamp that is not newer than the last one accepted. */
  OLD_TIMESTAMP: 9,
  /** An initiation within 20 ms of the last one accepted from that peer. */
  FLOOD: 10,
  /** A receiver index that is nobody's, or a response to no pending initiation. */
  UNKNOWN_INDEX: 11,
  /** A cookie reply that does not decrypt or answers nothing. */
  BAD_COOKIE: 12,
  /** The receiving key is 180 s old. */
  EXPIRED_KEY: 13,
  /** A counter seen before or too far behind; duplicates over two paths end here. */
  REPLAY: 14,
  /** The tag of a transport packet does not fit. */
  BAD_TAG: 15,
  /** Plaintext that is no IP packet of at least a header and at most what arrived. */
  BAD_PACKET: 16,
  /** Inner source address that is not the sending peer's. */
  WRONG_SOURCE: 17,
  /** Staged packets pushed out by newer ones, over the device's bound, or given up with the handshake. */
  STAGED_DROPPED: 18,
  /** Initiations sent, retransmissions included. */
  INITIATIONS_SENT: 19,
  /** Handshakes given up after 90 s. */
  HANDSHAKE_FAILED: 20,
} as const;

/** Metric names by index. */
export const COUNT_NAMES: readonly string[] = Object.keys(Count).map((name) => name.toLowerCase());
