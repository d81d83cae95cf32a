import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import {
  parseNetstat,
  parseProcNetRoute,
  parseRouteGet,
  parseRoutePrint,
  selfOn,
} from './gateway.ts';
import { isReachable } from './lease.ts';

const PROC_HEADER =
  'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';

test('Linux: the default route with the lowest metric that has a gateway', () => {
  const table =
    PROC_HEADER +
    'wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n' +
    'eth0\t00000000\tFE01A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n' +
    'ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n' +
    'down0\t00000000\t0202A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n' +
    'eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n';
  assert.deepEqual(parseProcNetRoute(table), { gateway: '192.168.1.254', device: 'eth0' });
});

test('Linux: no default route, an empty and a broken table have no gateway', () => {
  for (const lines of [
    '',
    'eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\n',
    'x\n\n\t\t\n',
  ]) {
    assert.equal(parseProcNetRoute(PROC_HEADER + lines), undefined);
  }
  assert.equal(parseProcNetRoute(''), undefined);
});

test('macOS: route -n get default, and netstat where that says nothing', () => {
  assert.deepEqual(
    parseRouteGet(
      '   route to: default\ndestination: default\n       mask: default\n    gateway: 192.168.1.1\n  interface: en0\n',
    ),
    { gateway: '192.168.1.1', device: 'en0' },
  );
  assert.equal(parseRouteGet('route: writing to routing socket: not in table\n'), undefined);
  assert.equal(parseRouteGet('    gateway: link#12\n'), undefined);
  assert.deepEqual(
    parseNetstat(
      'Routing tables\n\nInternet:\nDestination        Gateway            Flags           Netif Expire\n' +
        'default            link#20            UCSIg       bridge100      !\n' +
        'default            192.168.1.1        UGScg             en0\n',
    ),
    { gateway: '192.168.1.1', device: 'en0' },
  );
  assert.equal(parseNetstat(''), undefined);
});

test('Windows: route print, whatever its language', () => {
  assert.deepEqual(
    parseRoutePrint(
      'IPv4-Routentabelle\r\n===\r\nAktive Routen:\r\n     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik\r\n' +
        '          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.60     35\r\n' +
        '          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.50     25\r\n' +
        '          0.0.0.0          0.0.0.0   Auf Verbindung        10.8.0.2      5\r\n',
    ),
    { gateway: '192.168.1.1', self: '192.168.1.50' },
  );
});

test("our address is the one on the gateway's network and, where it is known, of the route's interface", () => {
  const v4 = (cidr: string): NetworkInterfaceInfo => ({
    address: cidr.split('/')[0]!,
    cidr,
    netmask: '',
    family: 'IPv4',
    mac: '',
    internal: false,
  });
  const interfaces = {
    eth0: [v4('10.0.0.5/8'), v4('192.168.1.7/24')],
    wlan0: [v4('192.168.1.9/24')],
  };
  assert.equal(selfOn({ gateway: '192.168.1.1' }, interfaces), '192.168.1.7');
  assert.equal(selfOn({ gateway: '192.168.1.1', device: 'wlan0' }, interfaces), '192.168.1.9');
  assert.equal(selfOn({ gateway: '192.168.2.1' }, interfaces), undefined);
  assert.equal(selfOn({ gateway: '192.168.2.1', self: '1.2.3.4' }, interfaces), '1.2.3.4');
});

test('an external address is one that somebody could send to', () => {
  const gateway = { address: '192.168.1.1', self: '192.168.1.7' };
  for (const address of ['198.51.100.7', '8.8.8.8', '10.1.2.3', '192.168.1.2', '172.16.0.1']) {
    assert.equal(isReachable(address, gateway), true, address);
  }
  for (const address of [
    '0.0.0.0',
    '127.0.0.1',
    '169.254.1.1',
    '100.64.0.1',
    '100.115.92.1',
    '224.0.0.1',
    '255.255.255.255',
    '192.168.1.1',
    '192.168.1.7',
    '2001:db8::1',
    '::ffff:8.8.8.8',
    'router.lan',
    '',
  ]) {
    assert.equal(isReachable(address, gateway), false, address);
  }
});
