// Addresses as small integers. A connection holds a reference on each of its two addresses, so that strangers' packets,
// which only look addresses up, never make the table grow.
import { formatAddr } from '@cove/protocol/netaddr';
import { copyBytes, u32 } from './wire/bigendian.ts';

export class AddressEntry {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly text: string;
  references = 0;
  /** One of the stack's own addresses. */
  own = false;
  /** Next entry with the same hash. */
  next: AddressEntry | undefined;
  readonly hash: number;

  constructor(id: number, bytes: Uint8Array, hash: number) {
    this.id = id;
    this.bytes = bytes;
    this.text = formatAddr(bytes);
    this.hash = hash;
  }

  get version(): number {
    return this.bytes.length === 4 ? 4 : 6;
  }
}

/** Identifiers stay below this, so that `id * 2^32 + ports` is exact in a double. */
const ID_LIMIT = 1 << 21;

export class AddressTable {
  readonly #byHash = new Map<number, AddressEntry>();
  readonly #freeIds: number[] = [];
  #nextId = 1;
  /** Mixed into the hash, so that collisions cannot be prepared. */
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** The entry of an address that is in the table. */
  find(buf: Uint8Array, offset: number, length: number): AddressEntry | undefined {
    let entry = this.#byHash.get(this.#hash(buf, offset, length));
    while (entry !== undefined && !same(entry.bytes, buf, offset, length)) entry = entry.next;
    return entry;
  }

  /** The entry of an address, made if need be, with one reference more; undefined when the table is full. */
  hold(buf: Uint8Array, offset: number, length: number): AddressEntry | undefined {
    let entry = this.find(buf, offset, length);
    if (entry === undefined) {
      const id = this.#freeIds.pop() ?? this.#nextId++;
      if (id >= ID_LIMIT) {
        this.#nextId--;
        return undefined;
      }
      const hash = this.#hash(buf, offset, length);
      const bytes = new Uint8Array(length);
      copyBytes(buf, offset, bytes, 0, length);
      entry = new AddressEntry(id, bytes, hash);
      entry.next = this.#byHash.get(hash);
      this.#byHash.set(hash, entry);
    }
    entry.references++;
    return entry;
  }

  release(entry: AddressEntry): void {
    if (--entry.references > 0) return;
    const first = this.#byHash.get(entry.hash);
    if (first === entry) {
      if (entry.next === undefined) this.#byHash.delete(entry.hash);
      else this.#byHash.set(entry.hash, entry.next);
    } else {
      let at = first;
      while (at !== undefined && at.next !== entry) at = at.next;
      if (at !== undefined) at.next = entry.next;
    }
    this.#freeIds.push(entry.id);
  }

  #hash(buf: Uint8Array, offset: number, length: number): number {
    let h = this.#seed;
    for (let i = 0; i < length; i += 4) {
      h = Math.imul(h ^ u32(buf, offset + i), 0x9e3779b1);
      h ^= h >>> 15;
    }
    return h;
  }
}

function same(bytes: Uint8Array, buf: Uint8Array, offset: number, length: number): boolean {
  if (bytes.length !== length) return false;
  for (let i = 0; i < length; i++) if (bytes[i] !== buf[offset + i]) return false;
  return true;
}
