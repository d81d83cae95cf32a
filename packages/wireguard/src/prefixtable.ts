// Longest-prefix match over IPv4 and IPv6 prefixes: a path-compressed binary trie for each family. WireGuard uses
// it as its allowed-IPs table ("cryptokey routing", white paper section 2).
import type { Prefix } from '@cove/protocol/netaddr';

/**
 * All addresses below a node share its first `bits` bits, kept as four words in host order (IPv4 uses the first).
 * A node has a value, or two children, or both or one of each: never neither.
 */
interface Node<T> {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  readonly bits: number;
  value: T | undefined;
  zero: Node<T> | undefined;
  one: Node<T> | undefined;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** The first n bits of a word set. */
function maskOf(n: number): number {
  return n <= 0 ? 0 : n >= 32 ? -1 : -1 << (32 - n);
}

/** Leading bits that two addresses share. */
function shared<T>(node: Node<T>, w0: number, w1: number, w2: number, w3: number): number {
  let x = node.w0 ^ w0;
  if (x !== 0) return Math.clz32(x);
  x = node.w1 ^ w1;
  if (x !== 0) return 32 + Math.clz32(x);
  x = node.w2 ^ w2;
  if (x !== 0) return 64 + Math.clz32(x);
  return 96 + Math.clz32(node.w3 ^ w3);
}

function bitAt(bit: number, w0: number, w1: number, w2: number, w3: number): number {
  const w = bit < 64 ? (bit < 32 ? w0 : w1) : bit < 96 ? w2 : w3;
  return (w >>> (31 - (bit & 31))) & 1;
}

function nodeOf<T>(prefix: Prefix, value: T): Node<T> {
  const { addr, bits } = prefix;
  if (addr.length !== 4 && addr.length !== 16) {
    throw new RangeError(`prefix: address of ${addr.length} bytes`);
  }
  if (!Number.isInteger(bits) || bits < 0 || bits > addr.length * 8) {
    throw new RangeError(`prefix: ${bits} bits of ${addr.length * 8}`);
  }
  const wide = addr.length === 16;
  return {
    w0: word(addr, 0) & maskOf(bits),
    w1: wide ? word(addr, 4) & maskOf(bits - 32) : 0,
    w2: wide ? word(addr, 8) & maskOf(bits - 64) : 0,
    w3: wide ? word(addr, 12) & maskOf(bits - 96) : 0,
    bits,
    value,
    zero: undefined,
    one: undefined,
  };
}

/** Prefix -> value (not undefined). Both families live side by side; their prefixes never match each other. */
export class PrefixTable<T> {
  #v4: Node<T> | undefined = undefined;
  #v6: Node<T> | undefined = undefined;
  #size = 0;
  // The last address looked up and its value: bulk traffic asks for the same one again and again.
  #lastLength = 0;
  #last0 = 0;
  #last1 = 0;
  #last2 = 0;
  #last3 = 0;
  #lastValue: T | undefined = undefined;

  get size(): number {
    return this.#size;
  }

  /** Throws RangeError for an impossible prefix. Host bits are ignored. Returns the value replaced, if any. */
  set(prefix: Prefix, value: T): T | undefined {
    const fresh = nodeOf(prefix, value);
    const wide = prefix.addr.length === 16;
    this.#lastLength = 0;
    let replaced: T | undefined;
    const insert = (at: Node<T> | undefined): Node<T> => {
      if (at === undefined) return fresh;
      const common = Math.min(
        shared(at, fresh.w0, fresh.w1, fresh.w2, fresh.w3),
        at.bits,
        fresh.bits,
      );
      if (common === at.bits && common === fresh.bits) {
        replaced = at.value;
        at.value = value;
        return at;
      }
      if (common === at.bits) {
        if (side(fresh, at.bits) === 0) at.zero = insert(at.zero);
        else at.one = insert(at.one);
        return at;
      }
      const above = common === fresh.bits ? fresh : branchAt(fresh, common);
      for (const child of above === fresh ? [at] : [at, fresh]) {
        if (side(child, common) === 0) above.zero = child;
        else above.one = child;
      }
      return above;
    };
    if (wide) this.#v6 = insert(this.#v6);
    else this.#v4 = insert(this.#v4);
    if (replaced === undefined) this.#size++;
    return replaced;
  }

  /** The value of exactly this prefix. */
  get(prefix: Prefix): T | undefined {
    const wanted = nodeOf<T>(prefix, undefined as T);
    let at = prefix.addr.length === 16 ? this.#v6 : this.#v4;
    while (at !== undefined && at.bits <= wanted.bits && covers(at, wanted)) {
      if (at.bits === wanted.bits) return at.value;
      at = side(wanted, at.bits) === 0 ? at.zero : at.one;
    }
    return undefined;
  }

  /** Returns the value removed, if any. */
  delete(prefix: Prefix): T | undefined {
    const wanted = nodeOf<T>(prefix, undefined as T);
    this.#lastLength = 0;
    let removed: T | undefined;
    const remove = (at: Node<T> | undefined): Node<T> | undefined => {
      if (at === undefined || at.bits > wanted.bits || !covers(at, wanted)) return at;
      if (at.bits === wanted.bits) {
        removed = at.value;
        at.value = undefined;
      } else if (side(wanted, at.bits) === 0) {
        at.zero = remove(at.zero);
      } else {
        at.one = remove(at.one);
      }
      if (at.value !== undefined || (at.zero !== undefined && at.one !== undefined)) return at;
      return at.zero ?? at.one;
    };
    if (prefix.addr.length === 16) this.#v6 = remove(this.#v6);
    else this.#v4 = remove(this.#v4);
    if (removed !== undefined) this.#size--;
    return removed;
  }

  /** The value of the longest prefix that contains the address of 4 or 16 bytes at bytes[offset]. */
  lookup(bytes: Uint8Array, offset = 0, length: number = bytes.length - offset): T | undefined {
    const wide = length === 16;
    if ((!wide && length !== 4) || offset + length > bytes.length) return undefined;
    const w0 = word(bytes, offset);
    const w1 = wide ? word(bytes, offset + 4) : 0;
    const w2 = wide ? word(bytes, offset + 8) : 0;
    const w3 = wide ? word(bytes, offset + 12) : 0;
    if (
      w0 === this.#last0 &&
      length === this.#lastLength &&
      w3 === this.#last3 &&
      w2 === this.#last2 &&
      w1 === this.#last1
    ) {
      return this.#lastValue;
    }
    const addressBits = length * 8;
    let best: T | undefined;
    let at = wide ? this.#v6 : this.#v4;
    while (at !== undefined && shared(at, w0, w1, w2, w3) >= at.bits) {
      if (at.value !== undefined) best = at.value;
      if (at.bits === addressBits) break;
      at = bitAt(at.bits, w0, w1, w2, w3) === 0 ? at.zero : at.one;
    }
    this.#lastLength = length;
    this.#last0 = w0;
    this.#last1 = w1;
    this.#last2 = w2;
    this.#last3 = w3;
    this.#lastValue = best;
    return best;
  }

  clear(): void {
    this.#v4 = undefined;
    this.#v6 = undefined;
    this.#size = 0;
    this.#lastLength = 0;
    this.#lastValue = undefined;
  }

  /** In order of address, shorter prefixes first; addresses are masked copies. Not to be changed meanwhile. */
  *entries(): IterableIterator<[Prefix, T]> {
    yield* entriesBelow(this.#v4, 4);
    yield* entriesBelow(this.#v6, 16);
  }
}

function covers<T>(at: Node<T>, other: Node<T>): boolean {
  return shared(at, other.w0, other.w1, other.w2, other.w3) >= at.bits;
}

function side<T>(node: Node<T>, bit: number): number {
  return bitAt(bit, node.w0, node.w1, node.w2, node.w3);
}

/** A node without value for the first `bits` bits of another. */
function branchAt<T>(node: Node<T>, bits: number): Node<T> {
  return {
    w0: node.w0 & maskOf(bits),
    w1: node.w1 & maskOf(bits - 32),
    w2: node.w2 & maskOf(bits - 64),
    w3: node.w3 & maskOf(bits - 96),
    bits,
    value: undefined,
    zero: undefined,
    one: undefined,
  };
}

function* entriesBelow<T>(at: Node<T> | undefined, length: number): IterableIterator<[Prefix, T]> {
  if (at === undefined) return;
  if (at.value !== undefined) {
    const addr = new Uint8Array(16);
    const view = new DataView(addr.buffer);
    [at.w0, at.w1, at.w2, at.w3].forEach((w, i) => {
      view.setInt32(4 * i, w);
    });
    yield [{ addr: addr.slice(0, length), bits: at.bits }, at.value];
  }
  yield* entriesBelow(at.zero, length);
  yield* entriesBelow(at.one, length);
}
