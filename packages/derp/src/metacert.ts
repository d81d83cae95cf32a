// The extra certificate by which a TLS 1.3 client learns the relay's public key before it speaks, and so saves one
// round trip ("fast start"). It stands behind the real chain, is signed by itself with a throw-away key, and no one
// trusts it: a wrong key in it only makes the handshake fail.
//
//   subject and issuer CN   "derpkey" and 64 hex digits of the relay's public key
//   serial number           DERP's version
//   validity                30 days before and after now
import { DERP_VERSION } from '@cove/protocol/derp';
import { selfSignedCertificate } from './x509.ts';

const DAY_MS = 86_400_000;
const VALID_DAYS = 30;
/** How often a server renews it: well before it expires. */
export const METACERT_RENEWAL_MS: number = 7 * DAY_MS;

/** The certificate in PEM form; wallNow is milliseconds since the Unix epoch. */
export async function metacertPem(publicKeyHex: string, wallNow: number): Promise<string> {
  const { cert } = await selfSignedCertificate({
    keyType: 'Ed25519',
    commonName: `derpkey${publicKeyHex}`,
    serial: DERP_VERSION.toString(16).padStart(2, '0'),
    notBefore: new Date(wallNow - VALID_DAYS * DAY_MS),
    notAfter: new Date(wallNow + VALID_DAYS * DAY_MS),
  });
  return cert;
}
