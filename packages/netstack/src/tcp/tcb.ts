// Transmission control block (RFC 9293 3.3.1) and the eleven states (3.3.2, LISTEN being a listener of its own).

import type { AddressEntry } from '../addresses.ts';
import type { TcpHandler, TcpSocket, TcpState } from '../api.ts';
import type { TcpErrorCode } from '../errors.ts';
import { FLOAT_ZERO } from '../floatzero.ts';
import type { BufferPool } from './bufferpool.ts';
import type { CongestionControl } from './congestion.ts';
import type { ListenerState } from './listener.ts';
import { type OutOfOrderBuffer, ReceiveQueue } from './receivebuffer.ts';
import { RingBuffer } from './ringbuffer.ts';
import type { RttEstimator } from './rto.ts';
import { SentSegments } from './sent.ts';
import type { SentPool } from './sentpool.ts';
import { seqDiff } from './seq.ts';

export const State = {
  CLOSED: 0,
  SYN_SENT: 1,
  SYN_RECEIVED: 2,
  ESTABLISHED: 3,
  FIN_WAIT_1: 4,
  FIN_WAIT_2: 5,
  CLOSE_WAIT: 6,
  CLOSING: 7,
  LAST_ACK: 8,
  TIME_WAIT: 9,
} as const;

export const STATE_NAMES: readonly TcpState[] = [
  'CLOSED',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
];

/** Events due to the handler, as bits. */
export const Event = {
  ACCEPTED: 1,
  CONNECTED: 2,
  READABLE: 4,
  ENDED: 8,
  WRITABLE: 16,
  FINISHED: 32,
  CLOSED: 64,
  URGENT: 128,
} as const;

/** How urgently the peer is owed an acknowledgement. */
export const AckDue = { NONE: 0, DELAYED: 1, BATCH: 2 } as const;

/** Sender: no loss known; fast recovery (RFC 6675, 6937); slow start after a timeout. */
export const Recovery = { OPEN: 0, FAST: 1, LOSS: 2 } as const;

/** What the one retransmission timer stands for (RFC 8985 8). */
export const Rexmit = { NONE: 0, TIMEOUT: 1, TAIL_PROBE: 2, REORDER: 3 } as const;

const NEVER: number = Number.POSITIVE_INFINITY;

/** Where the buffers of connections come from. */
export interface TcpMemory {
  readonly pool: BufferPool;
  readonly sentPool: SentPool;
  readonly allocate: (length: number) => Uint8Array;
}

export class Tcb {
  /** Slot in the connection table; owner number in the timer heap. */
  readonly id: number;
  readonly local: AddressEntry;
  readonly remote: AddressEntry;
  readonly localPort: number;
  readonly remotePort: number;
  /** Sum of the words of both addresses: the constant part of the checksum. */
  readonly addressSum: number;
  readonly key: number;
  nextInBucket: Tcb | undefined;
  state: number = State.CLOSED;
  /** Came from a SYN (RFC 9293 MUST-11). */
  readonly passive: boolean;
  listener: ListenerState | undefined;
  /** A TcpRequest awaits its verdict. */
  held = false;

  socket: TcpSocket | undefined;
  handler: TcpHandler | undefined;
  events = 0;
  dirty = false;
  error: TcpErrorCode | undefined;
  /** ICMP said so; reported if the connection times out. */
  softError: TcpErrorCode | undefined;
  /** `close` was called: nothing is delivered any more. */
  readClosed = false;
  /** `abort` was called: RST goes out with the next poll. */
  aborting = false;
  /** A write was cut short. */
  wantsWritable = false;
  bytesReceived = 0;
  bytesSent = 0;

  // Send sequence variables.
  iss: number = FLOAT_ZERO;
  sndUna: number = FLOAT_ZERO;
  sndNxt: number = FLOAT_ZERO;
  sndWnd = 0;
  sndWl1: number = FLOAT_ZERO;
  sndWl2: number = FLOAT_ZERO;
  maxSndWnd = 0;
  /** Bytes per unit of the peer's window field. */
  sndUnit = 1;
  /** Payload from SND.UNA on; `ringSeq` is the sequence number of its first byte. */
  readonly ring: RingBuffer;
  ringSeq: number = FLOAT_ZERO;
  finQueued = false;
  finSent = false;
  finAcked = false;
  /** Largest payload of a segment, timestamps already taken off. */
  mss = 536;
  /** The MSS before the path was found to carry less, or 0; since when (pathmtu.ts). */
  fullMss = 0;
  mssLoweredAt: number = FLOAT_ZERO;
  /** Lowered on mere suspicion, for the first time. */
  mssDoubtful = false;
  blackHole = false;
  noDelay = false;

  // Retransmission and congestion.
  readonly sent: SentSegments;
  readonly rtt: RttEstimator;
  congestion: CongestionControl;
  recovery: number = Recovery.OPEN;
  recoverPoint: number = FLOAT_ZERO;
  recoveryWindow: number = FLOAT_ZERO;
  prrDelivered = 0;
  prrOut = 0;
  prrFlight = 0;
  dupAcks = 0;
  /** Without SACK: bytes that duplicate acknowledgements say have left the network. */
  dupBytes = 0;
  cwndLimited = false;
  /** In flight when sending last had its turn: FlightSize for all acknowledgements of the batch that follows. */
  flightSent = 0;
  /** The most that was ever in flight: cwnd stays within twice that. */
  maxFlight = 0;
  /**
   * The latest episode of recovery, for taking it back (undo.ts): its range of sequence space, when it first sent anything
   * again, and how many of its retransmissions nobody has reported as needless. 0: nothing to take back.
   */
  undoLeft: number = FLOAT_ZERO;
  undoRight: number = FLOAT_ZERO;
  undoSentAt: number = FLOAT_ZERO;
  undoCount = 0;
  reordering = false;
  reorderFactor = 1;
  reorderRound: number = FLOAT_ZERO;
  reorderPersist = 0;
  tailProbeEnd: number = FLOAT_ZERO;
  tailProbeAgain = false;
  synTransmissions = 0;
  synSentAt: number = FLOAT_ZERO;
  timeouts = 0;
  /** When the peer last acknowledged something new, or proved alive behind a zero window. */
  progressAt: number = FLOAT_ZERO;
  connectTimeout = 0;
  override = false;
  /** A zero-window probe went out and nothing came back. */
  probeOut = false;
  lastSendAt: number = FLOAT_ZERO;
  /** R2 of this connection. */
  userTimeout: number;
  /** Of the IP header: type of service or traffic class, and TTL or hop limit. */
  trafficClass = 0;
  hopLimit = 64;

  // Receive sequence variables.
  irs: number = FLOAT_ZERO;
  rcvNxt: number = FLOAT_ZERO;
  /** Right edge of the window ever offered. */
  rcvAdv: number = FLOAT_ZERO;
  rcvBuf: number;
  rcvShift = 0;
  /** 2^rcvShift: bytes per unit of our window field. */
  rcvUnit = 1;
  readonly queue: ReceiveQueue;
  outOfOrder: OutOfOrderBuffer | undefined;
  finReceived = false;
  /** The FIN arrived ahead of a hole: its sequence number, or -1. */
  finAhead: number = FLOAT_ZERO;
  ackDue: number = AckDue.NONE;
  /** Duplicates to send of the acknowledgement, so that the peer sends again what it has in flight. */
  repeatAcks = 0;
  /** Payload of the peer's full segments. */
  rcvMss = 536;
  unackedSegments = 0;
  unackedFull = 0;
  /** Time of the batch in which segments were acknowledged before its end. */
  batchAckedAt = -1;
  quickAcks = 16;
  /** The peer named urgent data, up to this sequence number. */
  urgent = false;
  urgentEnd: number = FLOAT_ZERO;
  dsackLeft: number = FLOAT_ZERO;
  dsackRight: number = FLOAT_ZERO;
  lastSegmentAt: number = FLOAT_ZERO;
  lastDataAt: number = Number.NEGATIVE_INFINITY;
  challengeAt: number = Number.NEGATIVE_INFINITY;
  challenges = 0;
  tuneAt: number = FLOAT_ZERO;
  tuneCopied = 0;
  tuneLast = 0;

  // Options agreed.
  sackOk = false;
  tsOk = false;
  scaleOk = false;
  tsOffset: number = FLOAT_ZERO;
  tsRecent: number = FLOAT_ZERO;
  tsRecentAt: number = FLOAT_ZERO;
  lastAckSent: number = FLOAT_ZERO;

  // Deadlines; `rexmitKind` says what the first is for.
  rexmitKind: number = Rexmit.NONE;
  rexmitAt: number = NEVER;
  /** When the retransmission timeout itself is due, should a probe come first. */
  timeoutAt: number = NEVER;
  persistAt: number = NEVER;
  delayedAckAt: number = NEVER;
  keepAliveAt: number = NEVER;
  lingerAt: number = NEVER;
  keepAliveIdle = 0;
  keepAliveInterval = 0;
  keepAliveProbes = 0;
  keepAliveUnanswered = 0;

  constructor(
    id: number,
    local: AddressEntry,
    remote: AddressEntry,
    localPort: number,
    remotePort: number,
    addressSum: number,
    key: number,
    passive: boolean,
    memory: TcpMemory,
    rtt: RttEstimator,
    congestion: CongestionControl,
    receiveBuffer: number,
    userTimeout: number,
  ) {
    this.id = id;
    this.local = local;
    this.remote = remote;
    this.localPort = localPort;
    this.remotePort = remotePort;
    this.addressSum = addressSum;
    this.key = key;
    this.passive = passive;
    this.ring = new RingBuffer(memory.pool);
    this.sent = new SentSegments(memory.sentPool);
    this.queue = new ReceiveQueue(memory.allocate);
    this.rtt = rtt;
    this.userTimeout = userTimeout;
    this.congestion = congestion;
    this.rcvBuf = receiveBuffer;
    this.tailProbeEnd = -1;
    this.finAhead = -1;
  }

  /** Earliest deadline of all. */
  get deadline(): number {
    return Math.min(
      this.rexmitAt,
      this.persistAt,
      this.delayedAckAt,
      this.keepAliveAt,
      this.lingerAt,
    );
  }

  /** Bytes written and not yet sent. */
  get unsent(): number {
    if (this.finSent) return 0;
    return this.ring.length - seqDiff(this.sndNxt, this.ringSeq);
  }

  /** Bytes believed to be in the network. */
  get flight(): number {
    return Math.max(0, this.sent.inFlight - this.dupBytes);
  }

  /** The window in force. */
  get cwnd(): number {
    return this.recovery === Recovery.FAST ? this.recoveryWindow : this.congestion.cwnd;
  }

  /** The peer may still send data. */
  get canReceive(): boolean {
    return (
      this.state === State.ESTABLISHED ||
      this.state === State.FIN_WAIT_1 ||
      this.state === State.FIN_WAIT_2
    );
  }
}
