// Which ranges of sequence space beyond RCV.NXT have arrived (RFC 9293 3.10.7.4, RFC 2018 4): a sorted list of disjoint
// intervals in typed arrays, and beside it the latest few places of arrival, because SACK reports the most recent first.
import type { TcpSegment } from '../wire/tcp.ts';
import { seqLe, seqLt } from './seq.ts';

/**
 * More holes than this and further segments are dropped. Generous, because a sender that overshoots a queue loses every
 * second packet for a round trip; a smaller limit would throw away what got through.
 */
export const MAX_INTERVALS = 1024;
const FIRST_SIZE = 16;
/** Places of arrival remembered: four blocks, and some that merged since. */
const RECENT = 8;

export class Assembler {
  count = 0;
  #left = new Uint32Array(FIRST_SIZE);
  #right = new Uint32Array(FIRST_SIZE);
  /** A ring of sequence numbers that arrived, the latest at `#latest - 1`. */
  readonly #recent = new Uint32Array(RECENT);
  #latest = 0;

  left(i: number): number {
    return this.#left[i]!;
  }

  right(i: number): number {
    return this.#right[i]!;
  }

  /** Index of the first interval that ends at or after `seq`. New data mostly lies at the end. */
  #search(seq: number): number {
    if (this.count === 0 || seqLt(this.#right[this.count - 1]!, seq)) return this.count;
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (seqLt(this.#right[middle]!, seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the first interval that ends after `seq`. */
  after(seq: number): number {
    return this.#search((seq + 1) >>> 0);
  }

  /** Is the whole of [left, right) here already? */
  covers(left: number, right: number): boolean {
    const i = this.#search(right);
    return i < this.count && seqLe(this.#left[i]!, left);
  }

  /** Adds [left, right), not empty; false when that would need one interval too many. */
  add(left: number, right: number): boolean {
    const first = this.#search(left);
    let after = first;
    let l = left;
    let r = right;
    while (after < this.count && seqLe(this.#left[after]!, right)) {
      if (seqLt(this.#left[after]!, l)) l = this.#left[after]!;
      if (seqLt(r, this.#right[after]!)) r = this.#right[after]!;
      after++;
    }
    if (after === first) {
      if (this.count === MAX_INTERVALS) return false;
      if (this.count === this.#left.length) this.#grow();
      this.#move(first, first + 1);
    } else if (after > first + 1) {
      this.#move(after, first + 1);
    }
    this.#left[first] = l;
    this.#right[first] = r;
    this.#recent[this.#latest++ % RECENT] = left;
    return true;
  }

  /** Moves intervals from index `from` on to `to`, adjusting the count. */
  #move(from: number, to: number): void {
    if (from < this.count) {
      this.#left.copyWithin(to, from, this.count);
      this.#right.copyWithin(to, from, this.count);
    }
    this.count += to - from;
  }

  #grow(): void {
    const left = new Uint32Array(2 * this.#left.length);
    const right = new Uint32Array(2 * this.#right.length);
    left.set(this.#left);
    right.set(this.#right);
    this.#left = left;
    this.#right = right;
  }

  /** Everything before `next` is in order: drops intervals up to there; returns the edge the data now reaches. */
  advance(next: number): number {
    let edge = next;
    let gone = 0;
    while (gone < this.count && seqLe(this.#left[gone]!, edge)) {
      if (seqLt(edge, this.#right[gone]!)) edge = this.#right[gone]!;
      gone++;
    }
    if (gone > 0) this.#move(gone, 0);
    return edge;
  }

  /** Fills SACK blocks of `segment` from index `segment.sackCount` up to `limit`, most recently changed first. */
  report(segment: TcpSegment, limit: number): void {
    const own = segment.sackCount;
    for (let k = 1; k <= RECENT && k <= this.#latest && segment.sackCount < limit; k++) {
      const seq = this.#recent[(this.#latest - k) % RECENT]!;
      const i = this.#search((seq + 1) >>> 0);
      if (i === this.count || seqLt(seq, this.#left[i]!)) continue;
      let repeated = false;
      for (let j = own; j < segment.sackCount; j++) {
        if (segment.sackLeft[j] === this.#left[i]) repeated = true;
      }
      if (repeated) continue;
      segment.sackLeft[segment.sackCount] = this.#left[i]!;
      segment.sackRight[segment.sackCount] = this.#right[i]!;
      segment.sackCount++;
    }
  }
}
