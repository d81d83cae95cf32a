// Connections by number and by four-tuple. The tuple is a number, because a Map of numbers is ten times faster than one of
// strings; connections that differ in the local address only share a bucket.
import type { AddressEntry } from '../addresses.ts';
import type { Tcb } from './tcb.ts';

/** Exact in a double: address identifiers stay below 2^21. */
export function connectionKey(remote: AddressEntry, localPort: number, remotePort: number): number {
  return remote.id * 0x100000000 + localPort * 0x10000 + remotePort;
}

export class ConnectionTable {
  count = 0;
  readonly #byId: (Tcb | undefined)[] = [];
  readonly #freeIds: number[] = [];
  readonly #byKey = new Map<number, Tcb>();

  /** A number for a connection about to be added. */
  nextId(): number {
    return this.#freeIds.pop() ?? this.#byId.length;
  }

  get(id: number): Tcb | undefined {
    return this.#byId[id];
  }

  find(
    remote: AddressEntry,
    local: AddressEntry,
    localPort: number,
    remotePort: number,
  ): Tcb | undefined {
    let tcb = this.#byKey.get(connectionKey(remote, localPort, remotePort));
    while (tcb !== undefined && tcb.local !== local) tcb = tcb.nextInBucket;
    return tcb;
  }

  add(tcb: Tcb): void {
    this.#byId[tcb.id] = tcb;
    tcb.nextInBucket = this.#byKey.get(tcb.key);
    this.#byKey.set(tcb.key, tcb);
    this.count++;
  }

  remove(tcb: Tcb): void {
    this.#byId[tcb.id] = undefined;
    this.#freeIds.push(tcb.id);
    const first = this.#byKey.get(tcb.key);
    if (first === tcb) {
      if (tcb.nextInBucket === undefined) this.#byKey.delete(tcb.key);
      else this.#byKey.set(tcb.key, tcb.nextInBucket);
    } else {
      let at = first;
      while (at !== undefined && at.nextInBucket !== tcb) at = at.nextInBucket;
      if (at !== undefined) at.nextInBucket = tcb.nextInBucket;
    }
    tcb.nextInBucket = undefined;
    this.count--;
  }

  *[Symbol.iterator](): Iterator<Tcb> {
    for (const tcb of this.#byId) if (tcb !== undefined) yield tcb;
  }
}
