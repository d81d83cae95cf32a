import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from './bytes.ts';
import {
  GeneveProtocol,
  geneveProtocol,
  geneveVni,
  isGeneveControl,
  MAX_VNI,
  writeGeneve,
} from './geneve.ts';

function header(protocol: number, vni: number, isControl: boolean): Uint8Array {
  const out = new Uint8Array(8).fill(0xff);
  writeGeneve(out, protocol, vni, isControl);
  return out;
}

test('the three headers that peer relays see, byte for byte', () => {
  assert.equal(toHex(header(GeneveProtocol.disco, 1, true)), '00807a1100000100');
  assert.equal(toHex(header(GeneveProtocol.disco, 0x123456, false)), '00007a1112345600');
  assert.equal(toHex(header(GeneveProtocol.wireguard, MAX_VNI, false)), '00007a12ffffff00');
});

test('what was written is read', () => {
  const protocols = fc.constantFrom(GeneveProtocol.disco, GeneveProtocol.wireguard);
  const vnis = fc.integer({ min: 1, max: MAX_VNI });
  fc.assert(
    fc.property(protocols, vnis, fc.boolean(), (protocol, vni, isControl) => {
      const bytes = header(protocol, vni, isControl);
      assert.equal(geneveProtocol(bytes), protocol);
      assert.equal(geneveVni(bytes), vni);
      assert.equal(isGeneveControl(bytes), isControl);
    }),
  );
});

for (const [what, hex] of [
  ['shorter than its header', '00007a11000001'],
  ['of another version', '40007a1100000100'],
  ['with reserved bits', '00017a1100000100'],
  ['with a reserved byte', '00007a1100000101'],
  ['of another protocol', '0000655800000100'],
  ['without a VNI', '00007a1100000000'],
  ['that is a WireGuard message', '0400000011223344'],
  ['that is STUN', '000100002112a442'],
]) {
  test(`a datagram ${what} is no Geneve of ours`, () => {
    assert.equal(geneveProtocol(fromHex(hex!)), 0);
  });
}
