// IPv6 extension headers: what is walked, what is refused, and that nobody is answered for nonsense (RFC 8200 4, RFC 6946).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IpFault, IpPacket, parseIp } from './packet.ts';

/** An IPv6 packet with these headers (type, body) before a TCP header of 20 bytes. */
function chain(
  ...headers: readonly (readonly [type: number, body: readonly number[]])[]
): Uint8Array {
  const length = headers.reduce((sum, [, body]) => sum + 1 + body.length, 20);
  const bytes = new Uint8Array(40 + length);
  bytes.set([0x60, 0, 0, 0, length >>> 8, length & 255, headers[0]?.[0] ?? 6, 64]);
  bytes[8] = 0xfd;
  bytes[24] = 0xfd;
  let at = 40;
  headers.forEach(([, body], i) => {
    bytes.set([headers[i + 1]?.[0] ?? 6, ...body], at);
    at += 1 + body.length;
  });
  return bytes;
}

const PAD = [0, 1, 4, 0, 0, 0, 0] as const;

function fault(bytes: Uint8Array): number {
  return parseIp(bytes, 0, bytes.length, new IpPacket());
}

test('padding, router alert and unknown options that ask to be skipped pass (RFC 8200 4.2)', () => {
  for (const [type, body] of [
    [0, PAD],
    [60, PAD],
    [0, [0, 5, 2, 0, 0, 1, 0]],
    [60, [0, 0x1e, 4, 1, 2, 3, 4]],
    [60, [0, 0, 0, 0, 0, 0, 0]],
  ] as const) {
    const packet = new IpPacket();
    const bytes = chain([type, body]);
    assert.equal(parseIp(bytes, 0, bytes.length, packet), IpFault.NONE, `${body}`);
    assert.equal(packet.protocol, 6);
    assert.equal(packet.payload, 48);
  }
});

test('unknown options that ask for a discard, and options that do not parse, are refused (RFC 8200 4.2)', () => {
  for (const body of [
    [0, 0x5e, 4, 0, 0, 0, 0],
    [0, 0x9e, 4, 0, 0, 0, 0],
    [0, 0xc2, 4, 0, 0, 1, 0],
    [0, 0x05, 9, 0, 0, 0, 0],
    [0, 1, 3, 0, 0, 0, 5],
  ]) {
    assert.equal(fault(chain([0, body])), IpFault.EXTENSION, `${body}`);
    assert.equal(fault(chain([60, body])), IpFault.EXTENSION, `${body}`);
  }
});

test('hop-by-hop options anywhere but first are refused (RFC 8200 4.1)', () => {
  assert.equal(fault(chain([0, PAD], [60, PAD])), IpFault.NONE);
  assert.equal(fault(chain([60, PAD], [0, PAD])), IpFault.EXTENSION);
});

test('a routing header with hops left is refused, a finished one passes (RFC 8200 4.4, RFC 5095)', () => {
  assert.equal(fault(chain([43, [0, 0, 1, 0, 0, 0, 0]])), IpFault.EXTENSION);
  assert.equal(fault(chain([43, [0, 0, 0, 0, 0, 0, 0]])), IpFault.NONE);
});

test('eight headers are walked, the ninth is refused; a length beyond the packet as well (RFC 8200 4)', () => {
  const eight = Array.from({ length: 8 }, () => [60, PAD] as const);
  assert.equal(fault(chain(...eight)), IpFault.NONE);
  assert.equal(fault(chain(...eight, [60, PAD])), IpFault.EXTENSION);
  const long = chain([60, PAD]);
  long[41] = 200;
  assert.equal(fault(long), IpFault.EXTENSION);
});

test('an atomic fragment is a whole packet (RFC 6946 4)', () => {
  const packet = new IpPacket();
  const bytes = chain([44, [0, 0, 0, 1, 2, 3, 4]]);
  assert.equal(parseIp(bytes, 0, bytes.length, packet), IpFault.NONE);
  assert.equal(packet.fragmented, false);
  assert.equal(packet.protocol, 6);
});
