// What the parts of TCP share and are handed: settings, counters, the time of the batch, a way to write packets.
import type { StackOptions, TcpOptions } from '../api.ts';
import type { Counters } from '../counters.ts';
import { FLOAT_ZERO } from '../floatzero.ts';
import type { PacketWriter } from '../output.ts';
import type { InternetChecksum } from '../wire/checksum.ts';
import { TcpSegment } from '../wire/tcp.ts';
import { BufferPool } from './bufferpool.ts';
import { SentPool } from './sentpool.ts';
import type { Tcb, TcpMemory } from './tcb.ts';

export const DEFAULT_TCP_OPTIONS: TcpOptions = {
  receiveBuffer: 256 * 1024,
  receiveBufferLimit: 8 * 1024 * 1024,
  sendBufferLimit: 6 * 1024 * 1024,
  memoryLimit: 256 * 1024 * 1024,
  rtoMin: 200,
  rtoMax: 60_000,
  userTimeout: 100_000,
  connectTimeout: 180_000,
  timeWait: 60_000,
  finWait2: 60_000,
  delayedAck: 30,
  congestion: 'cubic',
  sack: true,
  timestamps: true,
  windowScaling: true,
};

/** Unused ring buffers kept for the next connection. */
const POOL_LIMIT = 8 * 1024 * 1024;

/** Lifecycle calls from the protocol machine into the connection table. */
export interface TcpOwner {
  /** The connection has something to send or to tell: visit it in this poll or the next. */
  touch(tcb: Tcb): void;
  /** A deadline may have come nearer. */
  reschedule(tcb: Tcb): void;
  /** The passive handshake is complete. */
  established(tcb: Tcb): void;
  /** Forget the connection: tables, timers, memory. */
  release(tcb: Tcb): void;
  /** RFC 6528 and the timestamp offset. */
  initialSequence(tcb: Tcb): void;
  pathSuspect(tcb: Tcb): void;
  /** The connection is in TIME-WAIT, of which only so many are kept. */
  timeWait(tcb: Tcb): void;
}

export class TcpContext implements TcpMemory {
  readonly options: TcpOptions;
  readonly counters: Counters;
  readonly writer: PacketWriter;
  readonly pool: BufferPool = new BufferPool(POOL_LIMIT);
  readonly sentPool: SentPool = new SentPool();
  readonly allocate: (length: number) => Uint8Array;
  /** Sums of arriving packets; separate from the writer's, because each remembers the memory it last saw. */
  readonly incoming: InternetChecksum;
  readonly mtu: number;
  /** Time of the batch. */
  now: number = FLOAT_ZERO;
  /** Memory of received bytes waiting for applications. */
  queued = 0;
  /** The link asked for a break: no data segments. */
  paused = false;
  /** Full segments acknowledged together within the present batch. */
  segmentsPerAck = 8;
  /** Segments with data that connections may still send in this poll. */
  budget = 0;
  owner!: TcpOwner;
  /** Scratch for the segment being written. */
  readonly out: TcpSegment = new TcpSegment();
  /** Varies limits that an attacker should not be able to predict; in [0, 1). */
  readonly random: () => number;

  constructor(
    options: StackOptions,
    mtu: number,
    counters: Counters,
    writer: PacketWriter,
    incoming: InternetChecksum,
    random: () => number,
  ) {
    this.options = { ...DEFAULT_TCP_OPTIONS, ...options.tcp };
    this.mtu = mtu;
    this.counters = counters;
    this.writer = writer;
    this.incoming = incoming;
    this.allocate = options.allocate ?? ((length) => new Uint8Array(length));
    this.random = random;
  }

  /** Buffers of all connections have reached the limit. */
  get full(): boolean {
    return this.queued + this.pool.taken > this.options.memoryLimit;
  }
}
