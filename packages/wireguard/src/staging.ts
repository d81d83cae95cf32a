// Packets waiting for a handshake, copied into slots with room for header, padding and tag. The oldest goes first
// when there are too many: whoever sent it has given up on it soonest.
import { HEADER_LENGTH, MAX_STAGED_PACKETS, PADDING, TAG_LENGTH } from './constants.ts';

/** Bytes staged over all queues of a device, so that they have one bound. */
export interface StagingBudget {
  used: number;
  readonly limit: number;
}

/** A packet of `length` bytes at slot[16]. */
export interface StagedPacket {
  readonly slot: Uint8Array;
  readonly length: number;
}

export class StagedPackets {
  readonly #budget: StagingBudget;
  readonly #ring: (StagedPacket | undefined)[] = [];
  #head = 0;
  #size = 0;

  constructor(budget: StagingBudget) {
    this.#budget = budget;
  }

  get size(): number {
    return this.#size;
  }

  /** Copies the packet in. Returns how many packets were dropped for it, itself included. */
  push(buf: Uint8Array, offset: number, length: number): number {
    const needed = HEADER_LENGTH + length + PADDING + TAG_LENGTH;
    let dropped = 0;
    while (
      this.#size > 0 &&
      (this.#size >= MAX_STAGED_PACKETS || this.#budget.used + needed > this.#budget.limit)
    ) {
      this.shift();
      dropped++;
    }
    if (this.#budget.used + needed > this.#budget.limit) return dropped + 1;
    const slot = new Uint8Array(needed);
    slot.set(buf.subarray(offset, offset + length), HEADER_LENGTH);
    this.#ring[(this.#head + this.#size) % MAX_STAGED_PACKETS] = { slot, length };
    this.#size++;
    this.#budget.used += needed;
    return dropped;
  }

  /** Takes the oldest. */
  shift(): StagedPacket | undefined {
    if (this.#size === 0) return undefined;
    const packet = this.#ring[this.#head]!;
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) % MAX_STAGED_PACKETS;
    this.#size--;
    this.#budget.used -= packet.slot.length;
    return packet;
  }

  /** Returns how many were dropped. */
  clear(): number {
    const dropped = this.#size;
    while (this.shift() !== undefined);
    return dropped;
  }
}
