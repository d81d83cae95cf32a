import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddr } from '@cove/protocol/netaddr';
import { PacketHeader } from './filter/header.ts';
import { ipPacket } from './filter/testing/packets.ts';
import { encodeDisco, encodePing, encodePong, encodeReject } from './tsmp.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function parsed(packet: Uint8Array): PacketHeader {
  const header = new PacketHeader();
  header.parse(packet, 0, packet.length);
  return header;
}

const DATA = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

test('a ping is 29 bytes over IPv4, with a valid header checksum', () => {
  const ping = encodePing(parseAddr('100.64.0.1')!, parseAddr('100.64.0.2')!, DATA);
  assert.equal(hex(ping), '4500001d000000004063b1fb6440000164400002' + '70' + '0102030405060708');
  assert.equal(parsed(ping).protocol, 99);
});

test('a pong swaps the addresses, copies the data and tells the peerapi port', () => {
  const ping = encodePing(parseAddr('100.64.0.1')!, parseAddr('100.64.0.2')!, DATA);
  const shifted = Buffer.concat([Buffer.alloc(3), ping]);
  const pong = encodePong(parsed(ping), shifted, 3, 0xe444);
  assert.equal(hex(pong.subarray(12, 20)), '6440000264400001');
  assert.equal(hex(pong.subarray(20)), '6f0102030405060708e444');
});

test('ping and pong over IPv6 have hop limit 64 and no checksum', () => {
  const ping = encodePing(parseAddr('fd7a:115c:a1e0::1')!, parseAddr('fd7a:115c:a1e0::2')!, DATA);
  assert.equal(hex(ping.subarray(0, 8)), '6000000000096340');
  const pong = encodePong(parsed(ping), ping, 0, 0);
  assert.equal(hex(pong.subarray(8, 24)), hex(ping.subarray(24, 40)));
  assert.equal(hex(pong.subarray(24, 40)), hex(ping.subarray(8, 24)));
  assert.equal(hex(pong.subarray(40)), '6f01020304050607080000');
});

test('a reject names protocol, reason and the ports as the refused packet had them', () => {
  const syn = ipPacket({
    src: '100.64.0.1',
    dst: '100.64.0.2',
    protocol: 6,
    srcPort: 0x1234,
    dstPort: 80,
    tcpFlags: 2,
  });
  const reject = encodeReject(parsed(syn), syn, 0, 0x41);
  assert.equal(hex(reject.subarray(12, 20)), '6440000264400001', 'from whom it was meant for');
  assert.equal(hex(reject.subarray(20)), '21' + '06' + '41' + '1234' + '0050');
});

test('an advertisement carries the 32 bytes of a disco key', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i);
  const packet = encodeDisco(parseAddr('100.64.0.1')!, parseAddr('100.64.0.2')!, key);
  assert.equal(hex(packet.subarray(20)), `61${hex(key)}`);
  assert.equal(parsed(packet).protocol, 99);
});
