import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLifetime, parsePort } from './commands/options.ts';
import { CliError } from './errors.ts';
import {
  isPrivateAddress,
  parseListenAddress,
  reachableAddresses,
  urlHost,
} from './listenaddress.ts';
import { relayMap } from './relaymap.ts';

const usage = (error: unknown): boolean => error instanceof CliError && error.exitCode === 2;

test('--listen takes IP literals and nothing else', () => {
  assert.equal(parseListenAddress('192.168.1.5'), '192.168.1.5');
  assert.equal(parseListenAddress('[fd00::5]'), 'fd00::5');
  for (const text of ['', 'example.com', '192.168.1.5:80', '300.1.1.1', '192.168.1.0/24']) {
    assert.throws(() => parseListenAddress(text), usage, text);
  }
});

test('a wildcard is replaced by addresses others can dial', () => {
  const reachable = reachableAddresses(['0.0.0.0', '10.1.2.3', '10.1.2.3']);
  assert.ok(!reachable.includes('0.0.0.0'));
  assert.equal(reachable.filter((address) => address === '10.1.2.3').length, 1);
});

test('stock clients keep to plain HTTP for loopback and private literals only', () => {
  for (const address of [
    '127.0.0.1',
    '::1',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.1',
    '192.168.0.9',
    'fd7a::1',
  ]) {
    assert.ok(isPrivateAddress(address), address);
  }
  for (const address of ['100.64.0.1', '172.32.0.1', '8.8.8.8', '2001:db8::1', '11.0.0.1']) {
    assert.ok(!isPrivateAddress(address), address);
  }
});

test('an IPv6 host stands in brackets in a URL', () => {
  assert.equal(urlHost('fd00::5', 80), '[fd00::5]:80');
  assert.equal(urlHost('10.0.0.1', 80), '10.0.0.1:80');
});

test('ports and lifetimes outside their range are usage errors', () => {
  assert.equal(parsePort('0'), 0);
  assert.equal(parsePort('65535'), 65_535);
  for (const text of ['-1', '65536', '8o8o', '', '1e3'])
    assert.throws(() => parsePort(text), usage, text);
  assert.equal(parseLifetime('90s'), 90_000);
  assert.equal(parseLifetime('2w'), 1_209_600_000);
  assert.equal(parseLifetime('never'), null);
  for (const text of ['0s', '1y', 'soon', '1.5h', ''])
    assert.throws(() => parseLifetime(text), usage, text);
});

test('a relay map names each address with the other family switched off', () => {
  const map = relayMap([
    { host: '10.0.0.1', derpPort: 8443, stunPort: 3478, certName: 'sha256-raw:ab' },
    { host: 'fd00::1', derpPort: 8443, stunPort: -1 },
    { host: 'relay.example.com', derpPort: 443, stunPort: 3478 },
  ]);
  const [v4, v6, named] = map.Regions!['900']!.Nodes;
  assert.deepEqual([v4!.IPv4, v4!.IPv6, v4!.CertName], ['10.0.0.1', 'none', 'sha256-raw:ab']);
  assert.deepEqual([v6!.IPv4, v6!.IPv6, v6!.STUNPort], ['none', 'fd00::1', -1]);
  assert.deepEqual([named!.IPv4, named!.IPv6], [undefined, undefined]);
  assert.equal(new Set(map.Regions!['900']!.Nodes.map((node) => node.Name)).size, 3);
});
