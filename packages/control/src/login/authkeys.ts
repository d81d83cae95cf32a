// Auth keys: `tskey-auth-<12 hex>-<48 hex>`, an identifier and a secret of 192 random bits of which a hash is kept. Tools
// of others take nothing that does not begin so; keys of earlier versions began with `cove-auth-`.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AuthKey } from '../state/tailnet.ts';

const KEY = /^(?:tskey|cove)-auth-([0-9a-f]{12})-([0-9a-f]{48})$/;

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function generateAuthKey(): {
  readonly id: string;
  readonly secret: string;
  readonly key: string;
} {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(24).toString('hex');
  return { id, secret, key: `tskey-auth-${id}-${secret}` };
}

export type AuthKeyState = 'valid' | 'used' | 'expired' | 'revoked';

export function authKeyState(key: AuthKey, now: number): AuthKeyState {
  if (key.revoked !== undefined) return 'revoked';
  if (key.expires !== undefined && key.expires <= now) return 'expired';
  return key.uses > 0 && !key.reusable ? 'used' : 'valid';
}

const REFUSALS: Readonly<Record<Exclude<AuthKeyState, 'valid'>, string>> = {
  used: 'authkey already used',
  expired: 'authkey expired',
  revoked: 'authkey revoked',
};

/** The key a client presents, or the words to refuse it with. */
export function checkAuthKey(
  keys: ReadonlyMap<string, AuthKey>,
  presented: string,
  now: number,
): AuthKey | string {
  const match = KEY.exec(presented.trim());
  const key = match === null ? undefined : keys.get(match[1]!);
  if (key === undefined) return 'invalid pre auth key';
  const given = Buffer.from(hashSecret(match![2]!));
  if (!timingSafeEqual(given, Buffer.from(key.secretHash))) return 'invalid pre auth key';
  const state = authKeyState(key, now);
  return state === 'valid' ? key : REFUSALS[state];
}
