// A binary heap of things by the time they are due. Each knows its place, so that moving one allocates nothing.

export interface Scheduled {
  /** Place in the heap, -1 outside; written by the heap alone. */
  heapIndex: number;
  /** When it is due; Infinity outside. Written by the heap alone. */
  heapAt: number;
}

export class TimerHeap<T extends Scheduled> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The one due first. */
  get first(): T | undefined {
    return this.#items[0];
  }

  /** Inserts or moves; Infinity removes. */
  schedule(item: T, at: number): void {
    if (at === Infinity) {
      this.remove(item);
      return;
    }
    const earlier = at < item.heapAt;
    item.heapAt = at;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
      this.#up(item);
    } else if (earlier) {
      this.#up(item);
    } else {
      this.#down(item);
    }
  }

  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    item.heapAt = Infinity;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#place(last, index);
    this.#up(last);
    this.#down(last);
  }

  #place(item: T, index: number): void {
    this.#items[index] = item;
    item.heapIndex = index;
  }

  #up(item: T): void {
    let index = item.heapIndex;
    while (index > 0) {
      const parent = this.#items[(index - 1) >> 1]!;
      if (parent.heapAt <= item.heapAt) break;
      this.#place(parent, index);
      index = (index - 1) >> 1;
    }
    this.#place(item, index);
  }

  #down(item: T): void {
    const items = this.#items;
    let index = item.heapIndex;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]!.heapAt < items[child]!.heapAt) child++;
      if (items[child]!.heapAt >= item.heapAt) break;
      this.#place(items[child]!, index);
      index = child;
    }
    this.#place(item, index);
  }
}
