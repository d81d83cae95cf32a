import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPrefix, maskPrefix, type Prefix, prefixContains } from '@cove/protocol/netaddr';
import fc from 'fast-check';
import { PrefixTable } from './prefixtable.ts';
import { prefix } from './testing/pair.ts';

/** A list searched from end to end. */
class NaiveTable {
  readonly #rows = new Map<string, { readonly prefix: Prefix; readonly value: number }>();

  set(at: Prefix, value: number): void {
    const masked = maskPrefix(at);
    this.#rows.set(formatPrefix(masked), { prefix: masked, value });
  }

  delete(at: Prefix): void {
    this.#rows.delete(formatPrefix(maskPrefix(at)));
  }

  get(at: Prefix): number | undefined {
    return this.#rows.get(formatPrefix(maskPrefix(at)))?.value;
  }

  lookup(addr: Uint8Array): number | undefined {
    let best: { readonly prefix: Prefix; readonly value: number } | undefined;
    for (const row of this.#rows.values()) {
      if (!prefixContains(row.prefix, addr)) continue;
      if (best === undefined || row.prefix.bits > best.prefix.bits) best = row;
    }
    return best?.value;
  }

  rows(): string[] {
    return [...this.#rows.values()].map((row) => `${formatPrefix(row.prefix)} ${row.value}`).sort();
  }
}

// Few distinct bytes, so that prefixes nest and collide.
const byte = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff);
const addr: fc.Arbitrary<Uint8Array> = fc
  .oneof(
    fc.array(byte, { minLength: 4, maxLength: 4 }),
    fc.array(byte, { minLength: 16, maxLength: 16 }),
  )
  .map((bytes) => Uint8Array.from(bytes));
const anyPrefix: fc.Arbitrary<Prefix> = addr.chain((bytes) =>
  fc.integer({ min: 0, max: bytes.length * 8 }).map((bits) => ({ addr: bytes, bits })),
);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('set' as const), prefix: anyPrefix }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), prefix: anyPrefix }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('lookup' as const), addr }) },
);

test('the trie answers as a list searched from end to end, whatever is set and deleted', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const table = new PrefixTable<number>();
      const naive = new NaiveTable();
      steps.forEach((action, i) => {
        if (action.do === 'lookup') {
          assert.equal(table.lookup(action.addr), naive.lookup(action.addr));
          return;
        }
        assert.equal(table.get(action.prefix), naive.get(action.prefix));
        if (action.do === 'set') {
          assert.equal(table.set(action.prefix, i), naive.get(action.prefix));
          naive.set(action.prefix, i);
        } else {
          assert.equal(table.delete(action.prefix), naive.get(action.prefix));
          naive.delete(action.prefix);
        }
        assert.equal(table.lookup(action.prefix.addr), naive.lookup(action.prefix.addr));
      });
      const rows = [...table.entries()].map(([at, value]) => `${formatPrefix(at)} ${value}`);
      assert.deepEqual(rows.sort(), naive.rows());
      assert.equal(table.size, rows.length);
    }),
    { numRuns: 500 },
  );
});

test('the most specific prefix wins, the default route takes the rest, and families never mix', () => {
  const table = new PrefixTable<string>();
  table.set(prefix('0.0.0.0/0'), 'default');
  table.set(prefix('10.0.0.0/8'), 'eight');
  table.set(prefix('10.1.2.3/32'), 'host');
  table.set(prefix('fd7a:115c:a1e0::/48'), 'six');
  const at = (text: string) => table.lookup(prefix(`${text}/0`).addr);
  assert.equal(at('10.1.2.3'), 'host');
  assert.equal(at('10.1.2.4'), 'eight');
  assert.equal(at('11.0.0.1'), 'default');
  assert.equal(at('fd7a:115c:a1e0::7'), 'six');
  assert.equal(at('fd7a:115c:a1e1::7'), undefined);
  table.delete(prefix('10.0.0.0/8'));
  assert.equal(at('10.1.2.4'), 'default');
});

test('an address is read at its offset, and one that does not fit is nobody', () => {
  const table = new PrefixTable<string>();
  table.set(prefix('1.2.3.4/32'), 'x');
  const buf = Uint8Array.of(9, 9, 1, 2, 3, 4, 9);
  assert.equal(table.lookup(buf, 2, 4), 'x');
  assert.equal(table.lookup(buf, 4, 4), undefined);
  assert.equal(table.lookup(buf, 0), undefined);
});

test('an impossible prefix throws RangeError', () => {
  const table = new PrefixTable<string>();
  assert.throws(() => table.set({ addr: new Uint8Array(4), bits: 33 }, 'x'), RangeError);
  assert.throws(() => table.set({ addr: new Uint8Array(4), bits: -1 }, 'x'), RangeError);
  assert.throws(() => table.set({ addr: new Uint8Array(5), bits: 1 }, 'x'), RangeError);
  assert.equal(table.size, 0);
});
