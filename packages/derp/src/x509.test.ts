// Certificates of both shapes, read back by node:crypto.
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { type SelfSignedOptions, selfSignedCertificate } from './x509.ts';

const OPTIONS: SelfSignedOptions = {
  keyType: 'P-256',
  commonName: 'relay.example',
  serial: '7f01',
  notBefore: new Date('2026-01-02T03:04:05Z'),
  notAfter: new Date('2036-01-02T03:04:05Z'),
};

async function make(
  changes: Partial<SelfSignedOptions>,
): Promise<{ x509: X509Certificate; key: string }> {
  const { cert, key } = await selfSignedCertificate({ ...OPTIONS, ...changes });
  return { x509: new X509Certificate(cert), key };
}

for (const keyType of ['P-256', 'Ed25519'] as const) {
  test(`a ${keyType} certificate is signed by the key it is for`, async () => {
    const { x509, key } = await make({ keyType });
    const own = createPublicKey(createPrivateKey(key));
    assert.ok(x509.publicKey.equals(own));
    assert.ok(x509.verify(own));
    assert.equal(x509.subject, 'CN=relay.example');
    assert.equal(x509.issuer, x509.subject);
    assert.equal(x509.ca, false);
    assert.equal(x509.subjectAltName, undefined);
    assert.equal(x509.keyUsage, undefined);
  });
}

test('names make it a certificate for TLS servers', async () => {
  const names = ['relay.example', '192.0.2.1', '2001:db8::1', 'a'.repeat(200)];
  const { x509 } = await make({ names });
  assert.equal(
    x509.subjectAltName,
    `DNS:relay.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, DNS:${'a'.repeat(200)}`,
  );
  assert.equal(x509.checkHost('relay.example'), 'relay.example');
  assert.equal(x509.checkIP('2001:db8::1'), '2001:db8::1');
  assert.deepEqual(x509.keyUsage, ['1.3.6.1.5.5.7.3.1']);
});

test('years have four digits from 2050 on, two before (RFC 5280 section 4.1.2.5)', async () => {
  const { x509 } = await make({
    notBefore: new Date('2049-12-31T23:59:59.999Z'),
    notAfter: new Date('2050-01-01T00:00:00Z'),
  });
  assert.equal(x509.validFrom, 'Dec 31 23:59:59 2049 GMT');
  assert.equal(x509.validTo, 'Jan  1 00:00:00 2050 GMT');
  assert.ok(x509.raw.includes('491231235959Z'));
  assert.ok(x509.raw.includes('20500101000000Z'));
});
