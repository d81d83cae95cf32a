// Self-signed X.509 certificates (RFC 5280) in DER (X.690). A relay writes one of few shapes, for which a library took
// longer to load than all the rest of the relay.
import { createPublicKey, generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import { parseAddr } from '@cove/protocol/netaddr';

// X.690: universal types, and context-specific ones as RFC 5280 numbers them.
const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OID = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

const COMMON_NAME = oid('550403');
const SUBJECT_ALT_NAME = oid('551d11');
const BASIC_CONSTRAINTS = oid('551d13');
const EXT_KEY_USAGE = oid('551d25');
const SERVER_AUTH = oid('2b06010505070301');

type KeyType = 'P-256' | 'Ed25519';

interface Algorithm {
  readonly signature: Buffer;
  readonly hash: string | null;
  generate(): Promise<{ readonly privateKey: KeyObject }>;
}

const ALGORITHMS: Readonly<Record<KeyType, Algorithm>> = {
  'P-256': {
    // ecdsa-with-SHA256
    signature: oid('2a8648ce3d040302'),
    hash: 'sha256',
    generate: () => promisify(generateKeyPair)('ec', { namedCurve: 'P-256' }),
  },
  Ed25519: {
    signature: oid('2b6570'),
    hash: null,
    generate: () => promisify(generateKeyPair)('ed25519'),
  },
};

export interface SelfSignedOptions {
  readonly keyType: KeyType;
  readonly commonName: string;
  /** Hex digits of a positive integer. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** DNS names and IP literals; with any, the certificate is one for TLS servers. */
  readonly names?: readonly string[];
}

/** PEM. */
export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
}

/** An end-entity certificate over a key of its own. */
export async function selfSignedCertificate(options: SelfSignedOptions): Promise<SelfSigned> {
  const { signature, hash, generate } = ALGORITHMS[options.keyType];
  const { privateKey } = await generate();
  const algorithm = der(SEQUENCE, signature);
  const tbs = toBeSigned(options, algorithm, privateKey);
  const signed = der(BIT_STRING, Buffer.of(0), sign(hash, tbs, privateKey));
  return {
    cert: pem('CERTIFICATE', der(SEQUENCE, tbs, algorithm, signed)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** RFC 5280 section 4.1.2. */
function toBeSigned(options: SelfSignedOptions, algorithm: Buffer, key: KeyObject): Buffer {
  const commonName = der(UTF8_STRING, Buffer.from(options.commonName));
  const name = der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, commonName)));
  return der(
    SEQUENCE,
    der(VERSION, der(INTEGER, Buffer.of(2))),
    der(INTEGER, positive(options.serial)),
    algorithm,
    name,
    der(SEQUENCE, time(options.notBefore), time(options.notAfter)),
    name,
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, der(SEQUENCE, ...extensions(options.names ?? []))),
  );
}

function extensions(names: readonly string[]): Buffer[] {
  const critical = der(BOOLEAN, Buffer.of(0xff));
  // An empty sequence: not an authority.
  const constraints = der(SEQUENCE, BASIC_CONSTRAINTS, critical, der(OCTET_STRING, der(SEQUENCE)));
  if (names.length === 0) return [constraints];
  return [
    constraints,
    der(SEQUENCE, EXT_KEY_USAGE, der(OCTET_STRING, der(SEQUENCE, SERVER_AUTH))),
    der(SEQUENCE, SUBJECT_ALT_NAME, der(OCTET_STRING, der(SEQUENCE, ...names.map(generalName)))),
  ];
}

function generalName(name: string): Buffer {
  return isIP(name) === 0
    ? der(DNS_NAME, Buffer.from(name, 'latin1'))
    : der(IP_ADDRESS, parseAddr(name)!);
}

/** Section 4.1.2.5: two digits of the year until 2049, four from then on. */
function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+|[-:T]/g, '');
  const isLate = date.getUTCFullYear() >= 2050;
  return isLate
    ? der(GENERALIZED_TIME, Buffer.from(digits))
    : der(UTC_TIME, Buffer.from(digits.slice(2)));
}

/** Shortest form, the sign bit clear. */
function positive(hex: string): Buffer {
  const digits = hex.replace(/^0+(?=.)/, '');
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  return bytes[0]! < 0x80 ? bytes : Buffer.concat([Buffer.of(0), bytes]);
}

function oid(hex: string): Buffer {
  return der(OID, Buffer.from(hex, 'hex'));
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  if (length > 0xffff) throw new RangeError(`${length} bytes in a certificate`);
  return Buffer.concat([Buffer.from(head), ...parts]);
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
