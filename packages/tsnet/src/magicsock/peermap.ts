// Raw 32-byte keys as map keys, looked up in packets without making a string.

interface Entry<V> {
  readonly key: Uint8Array;
  value: V;
  next: Entry<V> | undefined;
}

/** Keys are not copied: they must not change while in the map. */
export class KeyMap<V> {
  /** By the first 53 bits; keys that share them are chained. */
  readonly #entries: Map<number, Entry<V>> = new Map();

  /** The value of the key at bytes[offset, offset + 32). */
  get(bytes: Uint8Array, offset = 0): V | undefined {
    return this.#find(bytes, offset)?.value;
  }

  set(key: Uint8Array, value: V): void {
    const found = this.#find(key, 0);
    if (found) found.value = value;
    else {
      const index = indexOf(key, 0);
      this.#entries.set(index, { key, value, next: this.#entries.get(index) });
    }
  }

  delete(key: Uint8Array): void {
    const index = indexOf(key, 0);
    let kept: Entry<V> | undefined;
    for (let e = this.#entries.get(index); e; e = e.next) {
      if (!equals(e.key, key, 0)) kept = { key: e.key, value: e.value, next: kept };
    }
    if (kept) this.#entries.set(index, kept);
    else this.#entries.delete(index);
  }

  clear(): void {
    this.#entries.clear();
  }

  #find(bytes: Uint8Array, offset: number): Entry<V> | undefined {
    let e = this.#entries.get(indexOf(bytes, offset));
    while (e && !equals(e.key, bytes, offset)) e = e.next;
    return e;
  }
}

function indexOf(bytes: Uint8Array, at: number): number {
  const high =
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  const low = (bytes[at + 4]! << 13) | (bytes[at + 5]! << 5) | (bytes[at + 6]! >> 3);
  return high * 0x200000 + low;
}

/** Public keys: nothing here is secret. */
function equals(key: Uint8Array, bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 32; i++) if (key[i] !== bytes[offset + i]) return false;
  return true;
}
