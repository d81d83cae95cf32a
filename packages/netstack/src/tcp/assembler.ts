// Which ranges of sequence space beyond RCV.NXT have arrived (RFC 9293 3.10.7.4, RFC 2018 4): a sorted list of disjoint
// intervals in typed arrays, each with the time of its last change, because SACK reports the most recent first.
import type { TcpSegment } from '../wire/tcp.ts';
import { seqLe, seqLt } from './seq.ts';

/** More holes than this and further segments are dropped. */
export const MAX_INTERVALS = 64;

export class Assembler {
  count = 0;
  readonly #left = new Uint32Array(MAX_INTERVALS);
  readonly #right = new Uint32Array(MAX_INTERVALS);
  readonly #changed = new Uint32Array(MAX_INTERVALS);
  #clock = 0;

  left(i: number): number {
    return this.#left[i]!;
  }

  right(i: number): number {
    return this.#right[i]!;
  }

  /** Is the whole of [left, right) here already? */
  covers(left: number, right: number): boolean {
    for (let i = 0; i < this.count; i++) {
      if (seqLe(this.#left[i]!, left) && seqLe(right, this.#right[i]!)) return true;
    }
    return false;
  }

  /** Adds [left, right), not empty; false when that would need one interval too many. */
  add(left: number, right: number): boolean {
    let first = 0;
    while (first < this.count && seqLt(this.#right[first]!, left)) first++;
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
      this.#move(first, first + 1);
    } else if (after > first + 1) {
      this.#move(after, first + 1);
    }
    this.#left[first] = l;
    this.#right[first] = r;
    this.#changed[first] = ++this.#clock;
    return true;
  }

  /** Moves intervals from index `from` on to `to`, adjusting the count. */
  #move(from: number, to: number): void {
    this.#left.copyWithin(to, from, this.count);
    this.#right.copyWithin(to, from, this.count);
    this.#changed.copyWithin(to, from, this.count);
    this.count += to - from;
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
    let before = this.#clock + 1;
    while (segment.sackCount < limit) {
      let best = -1;
      let when = 0;
      for (let i = 0; i < this.count; i++) {
        const changed = this.#changed[i]!;
        if (changed < before && changed > when) {
          best = i;
          when = changed;
        }
      }
      if (best < 0) return;
      segment.sackLeft[segment.sackCount] = this.#left[best]!;
      segment.sackRight[segment.sackCount] = this.#right[best]!;
      segment.sackCount++;
      before = when;
    }
  }
}
