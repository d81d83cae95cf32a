// From a node of the DERP map to a connected stream: addresses, TCP with both families raced, TLS with the
// verification the map asks for.
//
//   IPv4, IPv6         literal: use it; empty: look HostName up; anything else: family not used
//   CertName           empty: HostName must be in the certificate; a name: that name, SNI stays HostName;
//                      sha256-raw:<hex>: the certificate has this SHA-256, is within its dates and, if a server
//                      name was sent, holds it
//   InsecureForTests   no verification by chain and name; a pin holds all the same
import type { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIP, isIPv4, isIPv6, connect as netConnect, type Socket } from 'node:net';
import { checkServerIdentity, type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { DERPNode } from '@cove/protocol/tailcfg';

import { DerpError } from './errors.ts';
import { certificatePin, PIN_PREFIX } from './pin.ts';

/** IPv4 waits this long when IPv6 is believed to work. */
const IPV4_DELAY_MS = 200;
const NODE_TIMEOUT_MS = 1_500;

export interface DialOptions {
  readonly signal: AbortSignal;
  /** Certificates trusted besides pins, PEM; the platform's own if absent. */
  readonly ca?: string | readonly string[];
  /** IPv6 is believed to work: it gets a head start. */
  readonly preferIPv6?: boolean;
  /** No TLS: for a relay on this machine that was started without. */
  readonly plain?: boolean;
}

/** A connected socket, TLS unless plain. Rejects with DerpError, or the signal's reason. */
export async function dialNode(node: DERPNode, options: DialOptions): Promise<Socket> {
  const socket = await dialTcp(node, options);
  socket.setNoDelay(true);
  if (options.plain) return socket;
  try {
    return await startTls(socket, node, options);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function dialTcp(node: DERPNode, options: DialOptions): Promise<Socket> {
  const port = node.DERPPort || (options.plain ? 80 : 443);
  const giveUp = AbortSignal.any([options.signal, AbortSignal.timeout(NODE_TIMEOUT_MS)]);
  try {
    const { v4, v6 } = await untilAborted(addressesOf(node), giveUp);
    if (v4 === undefined && v6 === undefined) {
      throw new DerpError('ERR_UNREACHABLE', `relay ${node.Name} has no address to dial`);
    }
    return await race(v4, v6, port, options.preferIPv6 === true, giveUp);
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    if (giveUp.aborted) throw new DerpError('ERR_TIMEOUT', `relay ${node.Name} did not answer`);
    throw error;
  }
}

interface Addresses {
  readonly v4: string | undefined;
  readonly v6: string | undefined;
}

async function addressesOf(node: DERPNode): Promise<Addresses> {
  const literal4 = node.IPv4 !== undefined && isIPv4(node.IPv4) ? node.IPv4 : undefined;
  const literal6 = node.IPv6 !== undefined && isIPv6(node.IPv6) ? node.IPv6 : undefined;
  if (isIP(node.HostName) === 0 && (!node.IPv4 || !node.IPv6)) {
    const found = await lookup(node.HostName, { all: true }).catch((cause: unknown) => {
      if (literal4 !== undefined || literal6 !== undefined) return [];
      throw new DerpError('ERR_UNREACHABLE', `no address for relay ${node.HostName}`, { cause });
    });
    const first = (family: number): string | undefined =>
      found.find((entry) => entry.family === family)?.address;
    return {
      v4: literal4 ?? (node.IPv4 ? undefined : first(4)),
      v6: literal6 ?? (node.IPv6 ? undefined : first(6)),
    };
  }
  return {
    v4: literal4 ?? (!node.IPv4 && isIPv4(node.HostName) ? node.HostName : undefined),
    v6: literal6 ?? (!node.IPv6 && isIPv6(node.HostName) ? node.HostName : undefined),
  };
}

/** The first of both to connect; the other is destroyed. */
async function race(
  v4: string | undefined,
  v6: string | undefined,
  port: number,
  preferIPv6: boolean,
  signal: AbortSignal,
): Promise<Socket> {
  const losers = new AbortController();
  const stop = AbortSignal.any([signal, losers.signal]);
  const attempts: Promise<Socket>[] = [];
  if (v6 !== undefined) attempts.push(connectTcp(v6, port, 0, stop));
  if (v4 !== undefined) {
    const delay = v6 !== undefined && preferIPv6 ? IPV4_DELAY_MS : 0;
    attempts.push(connectTcp(v4, port, delay, stop));
  }
  try {
    const winner = await Promise.any(attempts);
    // A second one that connected in the same moment.
    for (const attempt of attempts) {
      attempt.then(
        (socket) => socket !== winner && socket.destroy(),
        () => {},
      );
    }
    return winner;
  } catch (error) {
    const cause = error instanceof AggregateError ? error.errors[0] : error;
    throw new DerpError('ERR_UNREACHABLE', `relay at port ${port} not reached`, { cause });
  } finally {
    losers.abort();
  }
}

function connectTcp(
  host: string,
  port: number,
  delayMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let socket: Socket | undefined;
    const onAbort = (): void => {
      clearTimeout(timer);
      socket?.destroy();
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      const dialled = netConnect({ host, port });
      socket = dialled;
      dialled.once('connect', () => {
        signal.removeEventListener('abort', onAbort);
        dialled.removeAllListeners('error');
        resolve(dialled);
      });
      dialled.once('error', (error) => {
        signal.removeEventListener('abort', onAbort);
        reject(error);
      });
    }, delayMs);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

function startTls(socket: Socket, node: DERPNode, options: DialOptions): Promise<TLSSocket> {
  const pin = node.CertName?.startsWith(PIN_PREFIX) ? node.CertName.toLowerCase() : undefined;
  const name = pin === undefined && node.CertName ? node.CertName : node.HostName;
  const serverName = isIP(node.HostName) === 0 ? node.HostName : '';
  return new Promise((resolve, reject) => {
    const tls = tlsConnect({
      socket,
      servername: serverName,
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      rejectUnauthorized: pin === undefined && node.InsecureForTests !== true,
      checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      ...(options.ca === undefined ? {} : { ca: options.ca as string[] }),
    });
    const onAbort = (): void => {
      tls.destroy();
      reject(options.signal.reason);
    };
    const fail = (cause: unknown): void => {
      options.signal.removeEventListener('abort', onAbort);
      tls.destroy();
      reject(tlsError(node, cause));
    };
    tls.once('error', fail);
    tls.once('close', () => fail(new Error('closed during the TLS handshake')));
    tls.once('secureConnect', () => {
      const wrong = pin === undefined ? undefined : pinMismatch(tls, pin, serverName);
      if (wrong !== undefined) {
        fail(new DerpError('ERR_CERTIFICATE', `relay ${node.Name}: ${wrong}`));
        return;
      }
      options.signal.removeEventListener('abort', onAbort);
      tls.removeAllListeners('error');
      tls.removeAllListeners('close');
      resolve(tls);
    });
    if (options.signal.aborted) onAbort();
    else options.signal.addEventListener('abort', onAbort, { once: true });
  });
}

function tlsError(node: DERPNode, cause: unknown): DerpError {
  if (cause instanceof DerpError) return cause;
  const { code = '', message = '' } = cause as NodeJS.ErrnoException;
  const untrusted = /CERT|SIGNED|VERIFY|ALTNAME/.test(code);
  return new DerpError(
    untrusted ? 'ERR_CERTIFICATE' : 'ERR_UNREACHABLE',
    `relay ${node.Name}: ${message}`,
    { cause },
  );
}

/** What is wrong with the certificate, if anything. */
function pinMismatch(tls: TLSSocket, pin: string, serverName: string): string | undefined {
  const certificate: X509Certificate | undefined = tls.getPeerX509Certificate();
  if (certificate === undefined) return 'no certificate';
  if (certificatePin(certificate.raw) !== pin) return 'the certificate is not the pinned one';
  const now = Date.now();
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) {
    return 'the pinned certificate is out of its dates';
  }
  if (serverName !== '' && certificate.checkHost(serverName) === undefined) {
    return `the pinned certificate does not hold ${serverName}`;
  }
  return undefined;
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
