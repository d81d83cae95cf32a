// Local indices: the 32-bit numbers by which a peer addresses our pending handshake or our keys. Random, so that
// they tell nothing and cannot be guessed; unique over both uses.
import type { Keypair } from './keypair.ts';
import { readU32 } from './messages.ts';

export class IndexTable<Owner> {
  readonly #keypairs = new Map<number, Keypair<Owner>>();
  readonly #handshakes = new Map<number, Owner>();
  readonly #randomBytes: (n: number) => Uint8Array;
  /** Bulk traffic asks for the same keys again and again. */
  #last: Keypair<Owner> | undefined = undefined;

  constructor(randomBytes: (n: number) => Uint8Array) {
    this.#randomBytes = randomBytes;
  }

  get size(): number {
    return this.#keypairs.size + this.#handshakes.size;
  }

  /** An index nobody has; not reserved until it is used in one of the two next calls. */
  draw(): number {
    for (;;) {
      const index = readU32(this.#randomBytes(4), 0);
      if (!this.#keypairs.has(index) && !this.#handshakes.has(index)) return index;
    }
  }

  addHandshake(index: number, owner: Owner): void {
    this.#handshakes.set(index, owner);
  }

  removeHandshake(index: number): void {
    this.#handshakes.delete(index);
  }

  /** Whose pending initiation carries this index. */
  handshake(index: number): Owner | undefined {
    return this.#handshakes.get(index);
  }

  addKeypair(keypair: Keypair<Owner>): void {
    this.#keypairs.set(keypair.localIndex, keypair);
  }

  removeKeypair(keypair: Keypair<Owner>): void {
    this.#keypairs.delete(keypair.localIndex);
    if (this.#last === keypair) this.#last = undefined;
  }

  keypair(index: number): Keypair<Owner> | undefined {
    const last = this.#last;
    if (last !== undefined && last.localIndex === index) return last;
    const found = this.#keypairs.get(index);
    if (found !== undefined) this.#last = found;
    return found;
  }
}
