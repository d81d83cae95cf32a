// Longest-prefix match over IPv4 and IPv6 prefixes: a path-compressed binary trie for each family.
import type { Prefix } from '@cove/protocol/netaddr';

/** Prefix -> value. Prefixes of both families live side by side and never match each other. */
export class PrefixTable<T> {
  get size(): number {
    return 0;
  }

  /** Throws RangeError for an impossible prefix. Returns the value replaced, if there was one. */
  set(prefix: Prefix, value: T): T | undefined {
    void [prefix, value];
    return undefined;
  }

  /** The value of exactly this prefix. */
  get(prefix: Prefix): T | undefined {
    void prefix;
    return undefined;
  }

  /** Returns the value removed, if there was one. */
  delete(prefix: Prefix): T | undefined {
    void prefix;
    return undefined;
  }

  /** The value of the longest prefix that contains the address of 4 or 16 bytes at bytes[offset]. */
  lookup(bytes: Uint8Array, offset = 0, length: number = bytes.length - offset): T | undefined {
    void [offset, length];
    return undefined;
  }

  clear(): void {}

  /** In no particular order; prefixes come masked. */
  *entries(): IterableIterator<[Prefix, T]> {}
}
