// Deadlines of all connections of a stack: an indexed binary heap of numbers, one entry per owner.
//
// Moving a deadline to later only notes it at the owner: the entry stays where it is, and when it comes up the owner is
// asked for its real deadline. So restarting a timer per packet costs a comparison.

export class TimerHeap {
  count = 0;
  #at = new Float64Array(16);
  #owner = new Int32Array(16);
  /** Owner -> index in the heap, or -1. */
  #index = new Int32Array(16).fill(-1);

  /** When the first entry is due; may be earlier than any real deadline. */
  get next(): number | undefined {
    return this.count > 0 ? this.#at[0]! : undefined;
  }

  /** Makes sure `owner` comes up no later than `at`. */
  schedule(owner: number, at: number): void {
    if (owner >= this.#index.length) this.#growOwners(owner);
    let i = this.#index[owner]!;
    if (i >= 0) {
      if (this.#at[i]! <= at) return;
    } else {
      if (this.count === this.#at.length) this.#growHeap();
      i = this.count++;
    }
    this.#up(i, at, owner);
  }

  cancel(owner: number): void {
    const i = owner < this.#index.length ? this.#index[owner]! : -1;
    if (i >= 0) this.#remove(i);
  }

  /** Removes and returns the owner of the first entry if it is due by `now`, otherwise -1. */
  pop(now: number): number {
    if (this.count === 0 || this.#at[0]! > now) return -1;
    const owner = this.#owner[0]!;
    this.#remove(0);
    return owner;
  }

  #remove(i: number): void {
    this.#index[this.#owner[i]!] = -1;
    this.count--;
    if (i === this.count) return;
    const at = this.#at[this.count]!;
    const owner = this.#owner[this.count]!;
    if (i > 0 && at < this.#at[(i - 1) >> 1]!) this.#up(i, at, owner);
    else this.#down(i, at, owner);
  }

  #up(start: number, at: number, owner: number): void {
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (this.#at[parent]! <= at) break;
      this.#put(i, this.#at[parent]!, this.#owner[parent]!);
      i = parent;
    }
    this.#put(i, at, owner);
  }

  #down(start: number, at: number, owner: number): void {
    let i = start;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= this.count) break;
      if (child + 1 < this.count && this.#at[child + 1]! < this.#at[child]!) child++;
      if (this.#at[child]! >= at) break;
      this.#put(i, this.#at[child]!, this.#owner[child]!);
      i = child;
    }
    this.#put(i, at, owner);
  }

  #put(i: number, at: number, owner: number): void {
    this.#at[i] = at;
    this.#owner[i] = owner;
    this.#index[owner] = i;
  }

  #growHeap(): void {
    const at = new Float64Array(2 * this.#at.length);
    const owner = new Int32Array(2 * this.#owner.length);
    at.set(this.#at);
    owner.set(this.#owner);
    this.#at = at;
    this.#owner = owner;
  }

  #growOwners(owner: number): void {
    const index = new Int32Array(Math.max(owner + 1, 2 * this.#index.length)).fill(-1);
    index.set(this.#index);
    this.#index = index;
  }
}
