// Who may let machines in at the doorway. Everyone on this machine reaches loopback; only who can read the data directory
// knows the secret in it, whose link sets a cookie.
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { DataDir } from '../datadir.ts';
import { CliError, errorCode } from '../errors.ts';

export const OWNER_COOKIE = 'cove-owner';

/** The secret of a data directory, 43 characters base64url; made at the first start. Throws `ERR_INPUT_FILE`. */
export function ownerSecret(dir: DataDir): string {
  const path = join(dir.root, 'doorway.secret');
  try {
    const made = randomBytes(32).toString('base64url');
    writeFileSync(path, `${made}\n`, { mode: 0o600, flag: 'wx' });
    return made;
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  const kept = readFileSync(path, 'utf8').trim();
  if (/^[A-Za-z0-9_-]{43}$/.test(kept)) return kept;
  throw new CliError('ERR_INPUT_FILE', `${path} is damaged: delete it, and a new one is made`);
}

/** The link that makes a browser the owner's. */
export function ownerUrl(doorway: string, secret: string): string {
  return `${doorway}/?owner=${secret}`;
}

/** A Set-Cookie value if the request is for that link. */
export function ownerCookie(req: IncomingMessage, secret: string): string | undefined {
  const query = /^\/\?(.*)$/s.exec(req.url ?? '')?.[1];
  const given = new URLSearchParams(query).get('owner');
  if (given === null || !same(given, secret)) return undefined;
  return `${OWNER_COOKIE}=${secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000`;
}

export function isOwner(req: IncomingMessage, secret: string): boolean {
  return cookies(req.headers.cookie).some(
    ([name, value]) => name === OWNER_COOKIE && same(value, secret),
  );
}

/** A Cookie header as services may see it; `undefined` if nothing is left. */
export function withoutOwner(header: string | undefined): string | undefined {
  const others = cookies(header).filter(([name]) => name !== OWNER_COOKIE);
  return others.length === 0 ? undefined : others.map((pair) => pair.join('=')).join('; ');
}

function cookies(header: string | undefined): [name: string, value: string][] {
  if (header === undefined) return [];
  return header.split(';').map((part) => {
    const [name = '', ...value] = part.trim().split('=');
    return [name, value.join('=')];
  });
}

function same(given: string, secret: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(secret)];
  return a.length === b.length && timingSafeEqual(a, b);
}
