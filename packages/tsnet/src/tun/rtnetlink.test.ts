import assert from 'node:assert/strict';
import { endianness } from 'node:os';
import { test } from 'node:test';
import { parseAddr, parsePrefix } from '@cove/protocol/netaddr';
import {
  addAddress,
  addRoute,
  deleteAddress,
  deleteRoute,
  linkUp,
  withoutLinkLocal,
} from './rtnetlink.ts';

const hex = (message: Uint8Array): string => Buffer.from(message).toString('hex');
const words = (text: string): string => text.replaceAll(/\s/g, '');
const skip = endianness() === 'LE' ? false : 'the vectors are of little-endian machines';

test('requests are what the kernel reads on a little-endian machine (uapi rtnetlink.h)', {
  skip,
}, () => {
  const head = (length: string, type: string, flags: string): string =>
    `${length}000000 ${type}00 ${flags} 01000000 00000000`;
  assert.equal(
    hex(linkUp(3, 1280)),
    words(`${head('28', '10', '0500')} 00000000 03000000 01000000 01000000 0800 0400 00050000`),
  );
  assert.equal(
    hex(withoutLinkLocal(3)),
    words(`${head('30', '10', '0500')} 00000000 03000000 00000000 00000000
      1000 1a00 0c00 0a00 0500 0800 01000000`),
  );
  const v4 = parseAddr('100.64.0.2')!;
  assert.equal(
    hex(addAddress(3, v4)),
    words(`${head('28', '14', '0505')} 02 20 02 00 03000000 0800 0200 64400002 0800 0100 64400002`),
  );
  assert.equal(hex(deleteAddress(3, v4)).slice(8, 16), '15000500');
  assert.equal(
    hex(addRoute(3, parsePrefix('100.64.0.2/32')!)),
    words(`${head('34', '18', '0505')} 02 20 00 00 fe 04 fd 01 00000000
      0800 0100 64400002 0800 0400 03000000 0800 0600 03000000`),
  );
  const v6 = parsePrefix('fd7a:115c:a1e0::53/128')!;
  assert.equal(
    hex(deleteRoute(3, v6)),
    words(`${head('40', '19', '0500')} 0a 80 00 00 fe 04 00 01 00000000
      1400 0100 fd7a115ca1e000000000000000000053 0800 0400 03000000 0800 0600 03000000`),
  );
});
