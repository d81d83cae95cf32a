// Self-signed X.509 certificates (RFC 5280), written by @peculiar/x509.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHMS = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  Ed25519: { name: 'Ed25519' },
} as const;

export interface SelfSignedOptions {
  readonly keyType: keyof typeof ALGORITHMS;
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
  const algorithm = ALGORITHMS[options.keyType];
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const names = options.names ?? [];
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys: keys as Parameters<typeof X509CertificateGenerator.createSelfSigned>[0]['keys'],
    signingAlgorithm: algorithm,
    name: [{ CN: [options.commonName] }],
    serialNumber: options.serial,
    notBefore: options.notBefore,
    notAfter: options.notAfter,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      ...(names.length > 0
        ? [
            new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
            new SubjectAlternativeNameExtension(names.map(generalName)),
          ]
        : []),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { cert: `${certificate.toString('pem')}\n`, key: pemKey(pkcs8) };
}

function generalName(name: string): JsonGeneralName {
  return { type: isIP(name) === 0 ? 'dns' : 'ip', value: name };
}

function pemKey(pkcs8: Buffer): string {
  const lines = pkcs8.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}
