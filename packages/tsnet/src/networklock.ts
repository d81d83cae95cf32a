// Tailnet lock, as far as this node takes part: it has an Ed25519 key and tells control its public half.
import { generateKeyPairSync } from 'node:crypto';
import { toHex } from '@cove/protocol/bytes';

/** A new key in its private text form: `nlpriv:`, 32-byte seed and 32-byte public key in hex. */
export function generateNetworkLockKey(): string {
  const { d, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return `nlpriv:${[d, x].map((part) => toHex(Buffer.from(part ?? '', 'base64url'))).join('')}`;
}
