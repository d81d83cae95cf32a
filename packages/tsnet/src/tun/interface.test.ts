import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddr, parsePrefix } from '@cove/protocol/netaddr';
import { TunInterface } from './interface.ts';
import { addAddress, addRoute, deleteAddress, deleteRoute } from './rtnetlink.ts';

const addr = (text: string): Uint8Array => parseAddr(text)!;
const prefixes = (...texts: string[]) => texts.map((text) => parsePrefix(text)!);

function open(answer: (message: Uint8Array) => string = () => '') {
  const asked: Uint8Array[] = [];
  const warnings: string[] = [];
  const iface = new TunInterface({
    name: 'cove0',
    index: 7,
    mtu: 1280,
    netlink: (message) => {
      asked.push(message);
      return answer(message);
    },
    log: (_level, message) => warnings.push(message),
  });
  return { iface, asked, warnings };
}

test('only what changed is asked of the kernel', () => {
  const { iface, asked } = open();
  const [own, other] = [addr('100.64.0.1'), addr('100.64.0.9')];
  iface.configure([own], prefixes('100.64.0.2/32', '100.64.0.3/32'));
  // Two for the link.
  assert.deepEqual(asked.splice(0).slice(2), [
    addAddress(7, own),
    ...prefixes('100.64.0.2/32', '100.64.0.3/32').map((prefix) => addRoute(7, prefix)),
  ]);
  iface.configure([own], prefixes('100.64.0.3/32', '100.64.0.4/32'));
  assert.deepEqual(asked.splice(0), [
    deleteRoute(7, parsePrefix('100.64.0.2/32')!),
    addRoute(7, parsePrefix('100.64.0.4/32')!),
  ]);
  iface.configure([other], prefixes('100.64.0.3/32', '100.64.0.4/32'));
  assert.deepEqual(asked.splice(0), [deleteAddress(7, own), addAddress(7, other)]);
  iface.configure([other], prefixes('100.64.0.3/32', '100.64.0.4/32'));
  assert.deepEqual(asked, []);
});

test('a kernel without IPv6 gets IPv4 alone, and one warning', () => {
  const v6 = addAddress(7, addr('fd7a:115c:a1e0::1'));
  const { iface, asked, warnings } = open((message) =>
    Buffer.from(message).equals(v6) ? 'EOPNOTSUPP' : '',
  );
  const own = [addr('100.64.0.1'), addr('fd7a:115c:a1e0::1')];
  for (let i = 0; i < 3; i++)
    iface.configure(own, prefixes('100.64.0.2/32', 'fd7a:115c:a1e0::2/128'));
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /fd7a:115c:a1e0::1\/128/);
  const routes = asked.filter((message) => message[4] === 24);
  assert.deepEqual(routes, [addRoute(7, parsePrefix('100.64.0.2/32')!)]);
});

test('what the kernel removed by itself is no failure', () => {
  const { iface, warnings } = open((message) => (message[4] === 25 ? 'ESRCH' : ''));
  iface.configure([addr('100.64.0.1')], prefixes('100.64.0.2/32'));
  iface.configure([addr('100.64.0.1')], []);
  assert.deepEqual(warnings, []);
});
