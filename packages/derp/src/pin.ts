// The pin by which a DERP map names a certificate: its SHA-256 instead of an authority that vouches for it.
import { createHash } from 'node:crypto';

export const PIN_PREFIX = 'sha256-raw:';

/** `sha256-raw:<hex>` of a DER certificate. */
export function certificatePin(der: Uint8Array): string {
  return PIN_PREFIX + createHash('sha256').update(der).digest('hex');
}
