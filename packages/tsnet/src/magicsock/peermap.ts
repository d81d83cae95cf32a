// Raw 32-byte keys as map keys, looked up in packets without making a string. The keys lie one after the other in one
// array: an array object for each would take several times their size.

const KEY_LENGTH = 32;
const NONE = -1;

export class KeyMap<V> {
  /** Slots by the first 53 bits of the key; keys that share them are chained. */
  readonly #slots: Map<number, number> = new Map();
  readonly #values: (V | undefined)[] = [];
  readonly #free: number[] = [];
  #keys = new Uint8Array(4 * KEY_LENGTH);
  #next = new Int32Array(4);

  /** The value of the key at bytes[offset, offset + 32). */
  get(bytes: Uint8Array, offset = 0): V | undefined {
    const slot = this.#find(indexOf(bytes, offset), bytes, offset);
    return slot === NONE ? undefined : this.#values[slot];
  }

  /** The key is copied. */
  set(key: Uint8Array, value: V): void {
    const index = indexOf(key, 0);
    let slot = this.#find(index, key, 0);
    if (slot === NONE) {
      slot = this.#free.pop() ?? this.#values.length;
      if (slot === this.#next.length) this.#grow();
      this.#keys.set(key.subarray(0, KEY_LENGTH), slot * KEY_LENGTH);
      this.#next[slot] = this.#slots.get(index) ?? NONE;
      this.#slots.set(index, slot);
    }
    this.#values[slot] = value;
  }

  delete(key: Uint8Array): void {
    const index = indexOf(key, 0);
    const slot = this.#find(index, key, 0);
    if (slot === NONE) return;
    const first = this.#slots.get(index)!;
    const after = this.#next[slot]!;
    if (first !== slot) {
      let before = first;
      while (this.#next[before] !== slot) before = this.#next[before]!;
      this.#next[before] = after;
    } else if (after === NONE) this.#slots.delete(index);
    else this.#slots.set(index, after);
    this.#values[slot] = undefined;
    this.#free.push(slot);
    if (this.#slots.size === 0) this.clear();
  }

  clear(): void {
    this.#slots.clear();
    this.#values.length = 0;
    this.#free.length = 0;
    this.#keys = new Uint8Array(4 * KEY_LENGTH);
    this.#next = new Int32Array(4);
  }

  #find(index: number, bytes: Uint8Array, offset: number): number {
    let slot = this.#slots.get(index) ?? NONE;
    while (slot !== NONE && !this.#equals(slot, bytes, offset)) slot = this.#next[slot]!;
    return slot;
  }

  /** Public keys: nothing here is secret. */
  #equals(slot: number, bytes: Uint8Array, offset: number): boolean {
    const at = slot * KEY_LENGTH;
    for (let i = 0; i < KEY_LENGTH; i++) {
      if (this.#keys[at + i] !== bytes[offset + i]) return false;
    }
    return true;
  }

  #grow(): void {
    const keys = new Uint8Array(2 * this.#keys.length);
    const next = new Int32Array(2 * this.#next.length);
    keys.set(this.#keys);
    next.set(this.#next);
    this.#keys = keys;
    this.#next = next;
  }
}

function indexOf(bytes: Uint8Array, at: number): number {
  const high =
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  const low = (bytes[at + 4]! << 13) | (bytes[at + 5]! << 5) | (bytes[at + 6]! >> 3);
  return high * 0x200000 + low;
}
