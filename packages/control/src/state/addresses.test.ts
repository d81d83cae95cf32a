import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTailscaleAddr, parseAddr } from '@cove/protocol/netaddr';
import { AddressPool, addressPair, offsetOf } from './addresses.ts';

test('addresses are given out in order, in pairs of both families', () => {
  const pool = new AddressPool();
  assert.deepEqual(addressPair(pool.take()), { ipv4: '100.64.0.1', ipv6: 'fd7a:115c:a1e0::1' });
  assert.deepEqual(addressPair(pool.take()), { ipv4: '100.64.0.2', ipv6: 'fd7a:115c:a1e0::2' });
});

test('the whole range avoids what is excluded and comes back to its start', () => {
  const pool = new AddressPool();
  const excluded =
    /^100\.(?:100\.(?:0|100)\.\d+|101\.102\.103|115\.9[23]\.\d+|64\.0\.0|127\.255\.255)$/;
  let count = 0;
  let last = 0;
  for (;;) {
    const at = pool.take();
    pool.release(at);
    if (at <= last) break;
    last = at;
    count++;
    if (at % 251 !== 0 && !(at > 0x240000 && at < 0x260000)) continue;
    const { ipv4, ipv6 } = addressPair(at);
    assert.ok(!excluded.test(ipv4), ipv4);
    assert.notEqual(ipv6, 'fd7a:115c:a1e0::53');
    assert.ok(isTailscaleAddr(parseAddr(ipv4)!) && isTailscaleAddr(parseAddr(ipv6)!));
    assert.equal(offsetOf(ipv4), at);
  }
  assert.equal(count, (1 << 22) - 1 - 1 - 256 - 256 - 1 - 512 - 1);
});

test('an address in use is not given out again, a freed one not at once', () => {
  const pool = new AddressPool();
  const first = pool.take();
  const second = pool.take();
  pool.release(first);
  assert.notEqual(pool.take(), first);
  assert.notEqual(pool.take(), second);
});
