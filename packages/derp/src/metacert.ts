// The extra certificate by which a TLS 1.3 client learns the relay's public key before it speaks, and so saves one
// round trip ("fast start"). It stands behind the real chain, is signed by itself with a throw-away key, and no one
// trusts it: a wrong key in it only makes the handshake fail.
//
//   subject and issuer CN   "derpkey" and 64 hex digits of the relay's public key
//   serial number           DERP's version
//   validity                30 days before and after now
import { X509Certificate } from 'node:crypto';
import { DERP_VERSION } from '@cove/protocol/derp';

const DAY_MS = 86_400_000;
const VALID_DAYS = 30;
/** How often a server looks whether it is to be renewed. */
export const METACERT_RENEWAL_MS: number = 7 * DAY_MS;

/** The certificate in PEM form; wallNow is milliseconds since the Unix epoch. */
export async function metacertPem(publicKeyHex: string, wallNow: number): Promise<string> {
  // The library behind it takes a tenth of a second to load, and is needed once in weeks.
  const { selfSignedCertificate } = await import('./x509.ts');
  const { cert } = await selfSignedCertificate({
    keyType: 'Ed25519',
    commonName: `derpkey${publicKeyHex}`,
    serial: DERP_VERSION.toString(16).padStart(2, '0'),
    notBefore: new Date(wallNow - VALID_DAYS * DAY_MS),
    notAfter: new Date(wallNow + VALID_DAYS * DAY_MS),
  });
  return cert;
}

/** Whether a metacert made earlier, in PEM form, is of this key and version and stays valid beyond the next renewal. */
export function isMetacertGood(pem: string, publicKeyHex: string, wallNow: number): boolean {
  try {
    const x509 = new X509Certificate(pem);
    return (
      x509.subject === `CN=derpkey${publicKeyHex}` &&
      Number.parseInt(x509.serialNumber, 16) === DERP_VERSION &&
      Date.parse(x509.validFrom) <= wallNow &&
      Date.parse(x509.validTo) > wallNow + 2 * METACERT_RENEWAL_MS
    );
  } catch {
    return false;
  }
}
