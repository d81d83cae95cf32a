// Segments sent and not yet acknowledged: a structure of arrays in a ring, in sequence order, with the order of
// (re)transmission as a linked list through it (RFC 8985 needs both), and the SACK scoreboard as flags (RFC 6675).
//
// Every segment is in one of three conditions: in flight (in the time list), SACKED, or LOST and waiting for its
// retransmission, which puts it in flight again.
import { FLOAT_ZERO } from '../floatzero.ts';
import { type AckEffect, EMPTY_ARRAYS, type SentArrays, type SentPool } from './sentpool.ts';
import { seqAdd, seqDiff, seqLe, seqLt } from './seq.ts';

export const SentFlag = { SACKED: 1, LOST: 2, RETRANSMITTED: 4, FIN: 8, PROBE: 16 } as const;

const NONE = -1;
const FIRST_SIZE = 16;

export class SentSegments {
  count = 0;
  /** Sequence space of all, of those SACKED, and of those LOST. */
  bytes = 0;
  sackedBytes = 0;
  sackedCount = 0;
  lostBytes = 0;
  /** RACK.xmit_ts, RACK.end_seq, RACK.rtt, RACK.min_RTT and RACK.fack (RFC 8985 5.3). */
  rackSentAt: number = FLOAT_ZERO;
  rackEnd: number = FLOAT_ZERO;
  rackRtt: number = FLOAT_ZERO;
  rackFack: number = FLOAT_ZERO;
  minRtt: number = Number.POSITIVE_INFINITY;
  /** Of the acknowledgement being processed; all connections share it. */
  readonly effect: AckEffect;
  #fackValid = false;
  #head = 0;
  #mask = -1;
  #arrays: SentArrays = EMPTY_ARRAYS;
  #seq = EMPTY_ARRAYS.seq;
  #length = EMPTY_ARRAYS.length;
  #flags = EMPTY_ARRAYS.flags;
  #sentAt = EMPTY_ARRAYS.sentAt;
  #next = EMPTY_ARRAYS.next;
  #previous = EMPTY_ARRAYS.previous;
  readonly #pool: SentPool;
  #oldest = NONE;
  #newest = NONE;
  /** No segment before this logical index is LOST. */
  #lostHint = 0;

  constructor(pool: SentPool) {
    this.#pool = pool;
    this.effect = pool.effect;
    this.rackSentAt = -1;
  }

  /** RFC 6675 pipe: sequence space believed to be in the network. */
  get inFlight(): number {
    return this.bytes - this.sackedBytes - this.lostBytes;
  }

  seq(i: number): number {
    return this.#seq[(this.#head + i) & this.#mask]!;
  }

  length(i: number): number {
    return this.#length[(this.#head + i) & this.#mask]!;
  }

  flags(i: number): number {
    return this.#flags[(this.#head + i) & this.#mask]!;
  }

  sentAt(i: number): number {
    return this.#sentAt[(this.#head + i) & this.#mask]!;
  }

  /** Appends a segment just sent. */
  push(seq: number, length: number, flags: number, now: number): void {
    if (this.count > this.#mask) this.#grow();
    const slot = (this.#head + this.count) & this.#mask;
    this.count++;
    this.#seq[slot] = seq;
    this.#length[slot] = length;
    this.#flags[slot] = flags;
    this.#sentAt[slot] = now;
    this.bytes += length;
    this.#link(slot);
  }

  /** The segment was sent again: in flight, and the newest. */
  retransmitted(i: number, now: number): void {
    const slot = (this.#head + i) & this.#mask;
    const flags = this.#flags[slot]!;
    if (flags & SentFlag.LOST) this.lostBytes -= this.#length[slot]!;
    else this.#unlink(slot);
    this.#flags[slot] = (flags & ~SentFlag.LOST) | SentFlag.RETRANSMITTED;
    this.#sentAt[slot] = now;
    this.#link(slot);
  }

  markLost(i: number): void {
    const slot = (this.#head + i) & this.#mask;
    if (this.#flags[slot]! & (SentFlag.LOST | SentFlag.SACKED)) return;
    this.#unlink(slot);
    this.#flags[slot]! |= SentFlag.LOST;
    this.lostBytes += this.#length[slot]!;
    if (i < this.#lostHint) this.#lostHint = i;
  }

  /** Logical index of the first LOST segment, or -1. */
  firstLost(): number {
    if (this.lostBytes === 0) return NONE;
    for (let i = this.#lostHint; i < this.count; i++) {
      if (this.#flags[(this.#head + i) & this.#mask]! & SentFlag.LOST) {
        this.#lostHint = i;
        return i;
      }
    }
    return NONE;
  }

  beginAck(): void {
    this.effect.delivered = 0;
    this.effect.sentAt = -1;
    this.effect.reordered = false;
  }

  /** Removes what lies before `una`; a segment partly acknowledged is trimmed. `echo`: see `#delivered`. */
  acknowledge(una: number, now: number, echo: number): void {
    while (this.count > 0) {
      const slot = this.#head;
      const acked = seqDiff(una, this.#seq[slot]!);
      if (acked <= 0) break;
      const length = this.#length[slot]!;
      if (acked < length) {
        this.#trim(slot, acked);
        break;
      }
      const flags = this.#flags[slot]!;
      if (flags & SentFlag.SACKED) {
        this.sackedBytes -= length;
        this.sackedCount--;
      } else {
        if (flags & SentFlag.LOST) this.lostBytes -= length;
        else this.#unlink(slot);
        this.#delivered(slot, now, echo);
      }
      this.bytes -= length;
      this.#head = (this.#head + 1) & this.#mask;
      this.count--;
      if (this.#lostHint > 0) this.#lostHint--;
    }
    if (this.count === 0) this.#reset();
  }

  /** Marks segments wholly inside the block [left, right) as SACKED. */
  sack(left: number, right: number, now: number, echo: number): void {
    for (let i = this.#search(left); i < this.count; i++) {
      const slot = (this.#head + i) & this.#mask;
      const length = this.#length[slot]!;
      if (!seqLe(seqAdd(this.#seq[slot]!, length), right)) return;
      const flags = this.#flags[slot]!;
      if (flags & SentFlag.SACKED) continue;
      if (flags & SentFlag.LOST) this.lostBytes -= length;
      else this.#unlink(slot);
      this.#flags[slot] = (flags & ~SentFlag.LOST) | SentFlag.SACKED;
      this.sackedBytes += length;
      this.sackedCount++;
      this.#delivered(slot, now, echo);
    }
  }

  /**
   * RFC 8985 6.2 step 5: marks segments sent longer than RACK.rtt + `window` before the latest delivered one. Returns the
   * time until the next may be marked, 0 when none waits; check `lostBytes` for the outcome.
   */
  detectLoss(window: number, now: number): number {
    let wait = 0;
    for (let slot = this.#oldest; slot !== NONE; ) {
      const next = this.#next[slot]!;
      const sentAt = this.#sentAt[slot]!;
      const end = seqAdd(this.#seq[slot]!, this.#length[slot]!);
      if (sentAt > this.rackSentAt || (sentAt === this.rackSentAt && !seqLt(end, this.rackEnd))) {
        break;
      }
      const remaining = sentAt + this.rackRtt + window - now;
      if (remaining <= 0) this.markLost((slot - this.#head) & this.#mask);
      else wait = Math.max(wait, remaining);
      slot = next;
    }
    return wait;
  }

  /**
   * RFC 8985 6.3: at a timeout the head and everything older than RACK.rtt + `window` is lost. If the head is SACKED the
   * peer went back on its word and all its blocks are forgotten (RFC 2018 8).
   */
  timeout(window: number, now: number): void {
    const reneged = (this.flags(0) & SentFlag.SACKED) !== 0;
    for (let i = 0; i < this.count; i++) {
      const slot = (this.#head + i) & this.#mask;
      if (reneged && this.#flags[slot]! & SentFlag.SACKED) {
        this.#flags[slot]! &= ~SentFlag.SACKED;
        this.sackedBytes -= this.#length[slot]!;
        this.sackedCount--;
        this.#link(slot);
      }
      if (i === 0 || reneged || this.#sentAt[slot]! + this.rackRtt + window <= now) {
        this.markLost(i);
      }
    }
  }

  clear(): void {
    this.count = 0;
    this.bytes = 0;
    this.sackedBytes = 0;
    this.sackedCount = 0;
    this.lostBytes = 0;
    this.#reset();
  }

  /**
   * A segment was delivered: RFC 8985 6.2 steps 1-3. `echo` is the time at which, by its timestamp echo, the segment that
   * caused this acknowledgement left, or -1 if unknown.
   */
  #delivered(slot: number, now: number, echo: number): void {
    const length = this.#length[slot]!;
    const end = seqAdd(this.#seq[slot]!, length);
    const sentAt = this.#sentAt[slot]!;
    const again = (this.#flags[slot]! & SentFlag.RETRANSMITTED) !== 0;
    this.effect.delivered += length;
    const rtt = now - sentAt;
    if (!again) {
      if (sentAt > this.effect.sentAt) this.effect.sentAt = sentAt;
      if (rtt < this.minRtt) this.minRtt = rtt;
      if (this.#fackValid && seqLt(end, this.rackFack)) this.effect.reordered = true;
    }
    if (!this.#fackValid || seqLt(this.rackFack, end)) {
      this.rackFack = end;
      this.#fackValid = true;
    }
    // An acknowledgement of the original must not be taken for one of the retransmission. The echo counts whole
    // milliseconds.
    if (again && ((echo >= 0 && echo < Math.floor(sentAt)) || rtt < this.minRtt)) return;
    if (sentAt > this.rackSentAt || (sentAt === this.rackSentAt && seqLt(this.rackEnd, end))) {
      this.rackRtt = rtt;
      this.rackSentAt = sentAt;
      this.rackEnd = end;
    }
  }

  #trim(slot: number, acked: number): void {
    const flags = this.#flags[slot]!;
    this.#seq[slot] = seqAdd(this.#seq[slot]!, acked);
    this.#length[slot]! -= acked;
    this.bytes -= acked;
    if (flags & SentFlag.SACKED) this.sackedBytes -= acked;
    else this.effect.delivered += acked;
    if (flags & SentFlag.LOST) this.lostBytes -= acked;
  }

  /** Logical index of the first segment that begins at or after `seq`. */
  #search(seq: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (seqLt(this.seq(middle), seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #link(slot: number): void {
    this.#previous[slot] = this.#newest;
    this.#next[slot] = NONE;
    if (this.#newest === NONE) this.#oldest = slot;
    else this.#next[this.#newest] = slot;
    this.#newest = slot;
  }

  #unlink(slot: number): void {
    const previous = this.#previous[slot]!;
    const next = this.#next[slot]!;
    if (previous === NONE) this.#oldest = next;
    else this.#next[previous] = next;
    if (next === NONE) this.#newest = previous;
    else this.#previous[next] = previous;
  }

  /** Nothing is in flight: the ring goes back to the pool, so that idle connections stay small. */
  #reset(): void {
    this.#head = 0;
    this.#lostHint = 0;
    this.#oldest = NONE;
    this.#newest = NONE;
    this.#fackValid = false;
    this.#pool.give(this.#arrays);
    this.#use(EMPTY_ARRAYS);
  }

  #use(arrays: SentArrays): void {
    this.#arrays = arrays;
    this.#mask = arrays.size - 1;
    this.#seq = arrays.seq;
    this.#length = arrays.length;
    this.#flags = arrays.flags;
    this.#sentAt = arrays.sentAt;
    this.#next = arrays.next;
    this.#previous = arrays.previous;
  }

  #grow(): void {
    const { count } = this;
    const head = this.#head;
    const mask = this.#mask;
    const old = this.#arrays;
    const moved = (slot: number): number => (slot === NONE ? NONE : (slot - head) & mask);
    const arrays = this.#pool.take(count === 0 ? FIRST_SIZE : 2 * (mask + 1));
    for (let i = 0; i < count; i++) {
      const from = (head + i) & mask;
      arrays.seq[i] = old.seq[from]!;
      arrays.length[i] = old.length[from]!;
      arrays.flags[i] = old.flags[from]!;
      arrays.sentAt[i] = old.sentAt[from]!;
      arrays.next[i] = moved(old.next[from]!);
      arrays.previous[i] = moved(old.previous[from]!);
    }
    this.#oldest = moved(this.#oldest);
    this.#newest = moved(this.#newest);
    this.#head = 0;
    this.#pool.give(old);
    this.#use(arrays);
  }
}
