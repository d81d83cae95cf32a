// Self-signed X.509 certificates (RFC 5280), written by hand: the little DER (X.690) they need is shorter than what
// any library asks in return.
//
//   Certificate     SEQUENCE { tbs, algorithm, BIT STRING signature }
//   TBSCertificate  SEQUENCE { [0] version 2, serial, algorithm, issuer, validity, subject, public key info,
//                   [3] extensions }
import { createPublicKey, type KeyObject, sign } from 'node:crypto';

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

const OID = {
  commonName: '550403',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  extKeyUsage: '551d25',
  serverAuth: '2b06010505070301',
  ecdsaWithSha256: '2a8648ce3d040302',
  ed25519: '2b6570',
} as const;

export interface SelfSignedOptions {
  /** EC P-256 or Ed25519. */
  readonly privateKey: KeyObject;
  readonly commonName: string;
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly dnsNames?: readonly string[];
  /** 4 or 16 bytes each. */
  readonly ipAddresses?: readonly Uint8Array[];
}

/** The DER bytes. An end-entity certificate, for TLS servers when it has names. */
export function selfSignedCertificate(options: SelfSignedOptions): Buffer {
  const { privateKey } = options;
  const isEd25519 = privateKey.asymmetricKeyType === 'ed25519';
  const algorithm = sequence(oid(isEd25519 ? OID.ed25519 : OID.ecdsaWithSha256));
  const name = sequence(
    der(
      TAG.set,
      sequence(oid(OID.commonName), der(TAG.utf8String, Buffer.from(options.commonName))),
    ),
  );
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const tbs = sequence(
    der(0xa0, der(TAG.integer, Buffer.of(2))),
    integer(options.serial),
    algorithm,
    name,
    sequence(time(options.notBefore), time(options.notAfter)),
    name,
    publicKey,
    der(0xa3, sequence(...extensions(options))),
  );
  const signature = sign(isEd25519 ? null : 'sha256', tbs, privateKey);
  return sequence(tbs, algorithm, bitString(signature));
}

export function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function extensions(options: SelfSignedOptions): Buffer[] {
  const out = [extension(OID.basicConstraints, true, sequence())];
  const names = [
    ...(options.dnsNames ?? []).map((name) => der(DNS_NAME, Buffer.from(name, 'ascii'))),
    ...(options.ipAddresses ?? []).map((addr) => der(IP_ADDRESS, Buffer.from(addr))),
  ];
  if (names.length > 0) {
    out.push(extension(OID.extKeyUsage, false, sequence(oid(OID.serverAuth))));
    out.push(extension(OID.subjectAltName, false, sequence(...names)));
  }
  return out;
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [der(TAG.boolean, Buffer.of(0xff))] : [];
  return sequence(oid(id), ...flag, der(TAG.octetString, value));
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  const length = body.length;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  if (length > 0xffff) throw new RangeError('certificate too long');
  return Buffer.concat([Buffer.from(head), body]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return der(TAG.sequence, ...contents);
}

function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}

function bitString(bytes: Buffer): Buffer {
  return der(TAG.bitString, Buffer.of(0), bytes);
}

/** A positive integer: no leading zeros but one where the first bit is set (X.690 section 8.3). */
function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = Buffer.from(bytes.subarray(start));
  return der(TAG.integer, ...(digits[0]! >= 0x80 ? [Buffer.of(0), digits] : [digits]));
}

/** UTCTime before 2050, GeneralizedTime from then on (RFC 5280 section 4.1.2.5). */
function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return date.getUTCFullYear() < 2050
    ? der(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`))
    : der(TAG.generalizedTime, Buffer.from(`${digits}Z`));
}
