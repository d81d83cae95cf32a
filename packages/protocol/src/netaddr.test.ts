import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatAddr,
  formatAddrPort,
  formatPrefix,
  isTailscaleAddr,
  maskPrefix,
  parseAddr,
  parseAddrPort,
  parsePrefix,
  prefixContains,
} from './netaddr.ts';

const canonical = (text: string): string | undefined => {
  const bytes = parseAddr(text);
  return bytes && formatAddr(bytes);
};

test('addresses come back in canonical form (RFC 5952 section 4)', () => {
  const table: Record<string, string> = {
    '0.0.0.0': '0.0.0.0',
    '255.255.255.255': '255.255.255.255',
    '::': '::',
    '::1': '::1',
    '1::': '1::',
    '2001:0DB8:0:0:1:0:0:1': '2001:db8::1:0:0:1', // 4.2.3: the first of the longest runs
    '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1', // 4.2.2: one group is not shortened
    '1:0:0:2:0:0:0:3': '1:0:0:2::3',
    '0:0:0:1::': '0:0:0:1::',
    '1:2:3:4:5:6:7::': '1:2:3:4:5:6:7:0',
    '::2:3:4:5:6:7:8': '0:2:3:4:5:6:7:8',
    '::ffff:1.2.3.4': '::ffff:1.2.3.4',
    '::FFFF:102:304': '::ffff:1.2.3.4',
    '64:ff9b::192.0.2.33': '64:ff9b::c000:221',
    '1:2:3:4:5:6:1.2.3.4': '1:2:3:4:5:6:102:304',
    '::1.2.3.4': '::102:304',
    'fd7a:115c:a1e0::53': 'fd7a:115c:a1e0::53',
  };
  for (const [text, expected] of Object.entries(table)) assert.equal(canonical(text), expected);
});

test('what is no address is undefined', () => {
  for (const text of [
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.04',
    '0x1.2.3.4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '-1.2.3.4',
    ':',
    ':::',
    '1:2',
    '::1::',
    '1::2::3',
    '12345::',
    'g::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    ':1:2:3:4:5:6:7',
    '1.2.3.4::',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1.2.3',
    '::1.2.3.4:5',
    '1.2.3.4:1',
    'fe80::1%eth0',
    '[::1]',
    '::1/128',
    '1:2:3:4:5:6::1.2.3.4',
  ]) {
    assert.equal(parseAddr(text), undefined, text);
  }
});

test('any 4 or 16 bytes survive the text form, which is never longer than another', () => {
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const bytes = Uint8Array.from(groups.flatMap((g) => [g >> 8, g & 255]));
      const text = formatAddr(bytes);
      assert.deepEqual(parseAddr(text), bytes);
      assert.ok(
        text.length <= groups.map((g) => g.toString(16)).join(':').length || text.includes('.'),
      );
      assert.equal(isIP(text), 6);
      assert.deepEqual(parseAddr(groups.map((g) => g.toString(16)).join(':')), bytes);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), (bytes) => {
      assert.deepEqual(parseAddr(formatAddr(bytes)), bytes);
    }),
  );
});

test('the parser accepts no text that node:net refuses', () => {
  const chars = fc.constantFrom(...'0123456789abcdefF:.:::%');
  fc.assert(
    fc.property(fc.array(chars, { maxLength: 24 }), (text) => {
      const bytes = parseAddr(text.join(''));
      if (bytes !== undefined) assert.equal(isIP(text.join('')), bytes.length === 4 ? 4 : 6);
    }),
    { numRuns: 2000 },
  );
});

test('a byte array of another length is no address to print', () => {
  assert.throws(() => formatAddr(new Uint8Array(5)), RangeError);
});

test('prefixes parse exactly and contain what their bits say', () => {
  for (const bad of [
    '1.2.3.4',
    '1.2.3.4/33',
    '::/129',
    '1.2.3.4/',
    '1.2.3.4/08',
    '1.2.3.4/+8',
    '/8',
    '1.2.3.4/-1',
  ]) {
    assert.equal(parsePrefix(bad), undefined, bad);
  }
  assert.equal(formatPrefix(parsePrefix('10.1.2.3/8')!), '10.1.2.3/8');
  assert.equal(formatPrefix(maskPrefix(parsePrefix('10.1.2.3/15')!)), '10.0.0.0/15');
  assert.equal(formatPrefix(maskPrefix(parsePrefix('ffff::ffff/9')!)), 'ff80::/9');
  const table: [string, string, boolean][] = [
    ['100.64.0.0/10', '100.127.255.255', true],
    ['100.64.0.0/10', '100.128.0.0', false],
    ['0.0.0.0/0', '8.8.8.8', true],
    ['0.0.0.0/0', '::1', false],
    ['::/0', '8.8.8.8', false],
    ['10.9.9.9/8', '10.0.0.1', true],
    ['192.0.2.1/32', '192.0.2.1', true],
    ['192.0.2.1/32', '192.0.2.0', false],
    ['2001:db8::/33', '2001:db8:7fff::', true],
    ['2001:db8::/33', '2001:db8:8000::', false],
  ];
  for (const [prefix, addr, expected] of table) {
    assert.equal(
      prefixContains(parsePrefix(prefix)!, parseAddr(addr)!),
      expected,
      `${prefix} ${addr}`,
    );
  }
});

test('an address and port need brackets exactly for IPv6', () => {
  assert.deepEqual(parseAddrPort('192.0.2.1:41641'), { addr: '192.0.2.1', port: 41641 });
  assert.deepEqual(parseAddrPort('[2001:DB8::1]:0'), { addr: '2001:db8::1', port: 0 });
  for (const bad of [
    '192.0.2.1',
    '[192.0.2.1]:1',
    '::1:1',
    '[::1]',
    '1.2.3.4:65536',
    '1.2.3.4:',
    '1.2.3.4:+1',
    '[]:1',
    '[fe80::1%0]:1',
  ]) {
    assert.equal(parseAddrPort(bad), undefined, bad);
  }
  assert.equal(formatAddrPort('192.0.2.1', 80), '192.0.2.1:80');
  assert.equal(formatAddrPort('::1', 80), '[::1]:80');
});

test('addresses of nodes are the shared range without the ChromeOS hole, and the ULA', () => {
  const table: Record<string, boolean> = {
    '100.63.255.255': false,
    '100.64.0.0': true,
    '100.115.91.255': true,
    '100.115.92.0': false,
    '100.115.93.255': false,
    '100.115.94.0': true,
    '100.127.255.255': true,
    '100.128.0.0': false,
    'fd7a:115c:a1e0::1': true,
    'fd7a:115c:a1e1::1': false,
    '::ffff:100.64.0.1': false,
  };
  for (const [text, expected] of Object.entries(table)) {
    assert.equal(isTailscaleAddr(parseAddr(text)!), expected, text);
  }
});
