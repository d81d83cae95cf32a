// Which connections are due a visit, in the order in which they became due. A connection that used up its quantum comes
// again in the next poll, behind those that are waiting, so that a bulk flow does not delay an interactive one. First of
// all come those that found the budget of the poll spent.
import type { Tcb } from './tcb.ts';

/** How often one poll goes over connections that callbacks made due again. */
const ROUNDS = 16;

export class Visits {
  #due: Tcb[] = [];
  #visiting: Tcb[] = [];
  #again: Tcb[] = [];
  #unserved: Tcb[] = [];
  readonly #isSpent: () => boolean;
  readonly #visit: (tcb: Tcb) => boolean;
  readonly #wake: () => void;

  /** `visit` returns true when the connection has more to send than one turn allows; `isSpent`: no other may send. */
  constructor(visit: (tcb: Tcb) => boolean, isSpent: () => boolean, wake: () => void) {
    this.#visit = visit;
    this.#isSpent = isSpent;
    this.#wake = wake;
  }

  get due(): boolean {
    return this.#due.length > 0;
  }

  touch(tcb: Tcb): void {
    if (tcb.dirty) return;
    tcb.dirty = true;
    this.#due.push(tcb);
    this.#wake();
  }

  run(): void {
    for (let round = 0; round < ROUNDS && this.#due.length > 0; round++) this.#visitAll();
    for (const tcb of this.#unserved) this.touch(tcb);
    this.#unserved.length = 0;
    for (const tcb of this.#again) this.touch(tcb);
    this.#again.length = 0;
  }

  #visitAll(): void {
    const list = this.#due;
    this.#due = this.#visiting;
    this.#visiting = list;
    let done = 0;
    try {
      for (; done < list.length; done++) {
        const tcb = list[done]!;
        tcb.dirty = false;
        const isSpent = this.#isSpent();
        if (this.#visit(tcb)) (isSpent ? this.#unserved : this.#again).push(tcb);
      }
    } finally {
      // A handler threw: the rest keeps its turn.
      for (let i = done + 1; i < list.length; i++) {
        list[i]!.dirty = false;
        this.touch(list[i]!);
      }
      list.length = 0;
    }
  }
}
