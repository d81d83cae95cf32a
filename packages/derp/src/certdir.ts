// What a relay keeps on disk: its identity (derper.key, the JSON that stock relays use), a self-signed certificate
// with its key (derp.pem), and the metacert (derpmeta.pem). All are 0600, written aside and renamed.
import { randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { PrivateKey } from '@cove/protocol/keys';
import { isMetacertGood, metacertPem } from './metacert.ts';
import { certificatePin } from './pin.ts';

const DAY_MS = 86_400_000;
const VALID_DAYS = 3650;
/** Remade when it would expire within this time: a relay runs for long. */
const RENEW_DAYS = 365;
/** Clients' clocks may be behind ours. */
const BACKDATE_DAYS = 30;

export interface RelayCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** `sha256-raw:<hex of the DER certificate's SHA-256>`: the CertName by which a DERP map pins it. */
  readonly pin: string;
}

/** The relay's private key in `dir`, made if there is none. Throws what fs throws, or ProtocolError. */
export async function loadRelayKey(dir: string): Promise<PrivateKey> {
  const path = join(dir, 'derper.key');
  const text = await readIfThere(path);
  if (text !== undefined) {
    const value: unknown = JSON.parse(text);
    const field =
      typeof value === 'object' && value !== null && 'PrivateKey' in value ? value.PrivateKey : '';
    return PrivateKey.parse(String(field));
  }
  const key = PrivateKey.generate(randomBytes);
  await writeSecret(dir, path, `${JSON.stringify({ PrivateKey: key.exposeText() })}\n`);
  return key;
}

/**
 * The self-signed certificate in `dir` for DNS names and IP literals; made anew, with another pin, when it is
 * missing, unreadable, lacks a name or expires within a year.
 */
export async function loadSelfSigned(
  dir: string,
  names: readonly string[],
  wallNow: number = Date.now(),
): Promise<RelayCertificate> {
  if (names.length === 0) throw new RangeError('a certificate needs at least one name');
  const path = join(dir, 'derp.pem');
  const text = await readIfThere(path);
  const kept = text === undefined ? undefined : parsePair(text);
  if (kept !== undefined && stillGood(kept.x509, names, wallNow)) return certificateOf(kept);
  const made = await makePair(names, wallNow);
  await writeSecret(dir, path, made.key + made.cert);
  return certificateOf(made);
}

/** The metacert of the relay's key in `dir`, in PEM form; made anew where it is missing, of another key, or old. */
export async function loadMetacert(
  dir: string,
  publicKeyHex: string,
  wallNow: number = Date.now(),
): Promise<string> {
  const path = join(dir, 'derpmeta.pem');
  const kept = await readIfThere(path);
  if (kept !== undefined && isMetacertGood(kept, publicKeyHex, wallNow)) return kept;
  const made = await metacertPem(publicKeyHex, wallNow);
  await writeSecret(dir, path, made);
  return made;
}

interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly x509: X509Certificate;
}

function certificateOf({ cert, key, x509 }: Pair): RelayCertificate {
  return { cert, key, pin: certificatePin(x509.raw) };
}

function parsePair(text: string): Pair | undefined {
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/.exec(text)?.[0];
  const cert = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/.exec(text)?.[0];
  if (key === undefined || cert === undefined) return undefined;
  try {
    return { key, cert, x509: new X509Certificate(cert) };
  } catch {
    return undefined;
  }
}

function stillGood(x509: X509Certificate, names: readonly string[], wallNow: number): boolean {
  if (Date.parse(x509.validTo) - wallNow < RENEW_DAYS * DAY_MS) return false;
  if (Date.parse(x509.validFrom) > wallNow) return false;
  return names.every((name) =>
    isIP(name) === 0
      ? x509.checkHost(name, { wildcards: false }) !== undefined
      : x509.checkIP(name) !== undefined,
  );
}

async function makePair(names: readonly string[], wallNow: number): Promise<Pair> {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  // Once in nine years.
  const { selfSignedCertificate } = await import('./x509.ts');
  const { cert, key } = await selfSignedCertificate({
    keyType: 'P-256',
    commonName: names[0]!,
    serial: serial.toString('hex'),
    notBefore: new Date(wallNow - BACKDATE_DAYS * DAY_MS),
    notAfter: new Date(wallNow + VALID_DAYS * DAY_MS),
    names,
  });
  return { cert, key, x509: new X509Certificate(cert) };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeSecret(dir: string, path: string, text: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(aside, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
  // The rename itself must survive a crash; not every system lets a directory be opened.
  const folder = await open(dir, 'r').catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}
