// From a node of the DERP map to a connected stream: addresses, TCP with both families raced, TLS with the
// verification the map asks for.
//
//   IPv4, IPv6         literal: use it; empty: look HostName up; anything else: family not used
//   CertName           empty: HostName must be in the certificate; a name: that name, SNI stays HostName;
//                      sha256-raw:<hex>: the certificate has this SHA-256, is within its dates and, if a server
//                      name was sent, holds it
//   InsecureForTests   no verification by chain and name; a pin holds all the same
import type { X509Certificate } from 'node:crypto';
import { isIP, connect as netConnect, type Socket } from 'node:net';
import { checkServerIdentity, type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { DERPNode } from '@cove/protocol/tailcfg';

import { DerpError } from './errors.ts';
import { lookupAddress } from './lookup.ts';
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
  if (!(port > 0 && port <= 65_535)) {
    throw new DerpError('ERR_UNREACHABLE', `relay ${node.Name} has no port ${port}`);
  }
  const giveUp = AbortSignal.any([options.signal, AbortSignal.timeout(NODE_TIMEOUT_MS)]);
  try {
    return await race(node, port, options.preferIPv6 === true, giveUp);
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    if (giveUp.aborted) throw new DerpError('ERR_TIMEOUT', `relay ${node.Name} did not answer`);
    const cause = error instanceof AggregateError ? error.errors[0] : error;
    throw new DerpError('ERR_UNREACHABLE', `relay ${node.Name} not reached`, { cause });
  }
}

/** The first family to connect; the other is destroyed. Each looks its address up by itself, if it has to. */
async function race(
  node: DERPNode,
  port: number,
  preferIPv6: boolean,
  signal: AbortSignal,
): Promise<Socket> {
  const losers = new AbortController();
  const stop = AbortSignal.any([signal, losers.signal]);
  const v6 = familyOf(node, 6);
  const v4 = familyOf(node, 4);
  const attempt = async (host: string, family: 4 | 6, delayMs: number): Promise<Socket> => {
    const address = isIP(host) === 0 ? await untilAborted(lookupAddress(host, family), stop) : host;
    return connectTcp(address, port, delayMs, stop);
  };
  const attempts: Promise<Socket>[] = [];
  if (v6 !== undefined) attempts.push(attempt(v6, 6, 0));
  if (v4 !== undefined) {
    attempts.push(attempt(v4, 4, v6 !== undefined && preferIPv6 ? IPV4_DELAY_MS : 0));
  }
  try {
    const winner = await Promise.any(attempts);
    // A second one that connected in the same moment.
    for (const other of attempts) {
      other.then(
        (socket) => socket !== winner && socket.destroy(),
        () => {},
      );
    }
    return winner;
  } finally {
    losers.abort();
  }
}

/** The literal address or the name to look up for a family; undefined when the map does not want it used. */
function familyOf(node: DERPNode, family: 4 | 6): string | undefined {
  const given = family === 4 ? node.IPv4 : node.IPv6;
  if (given) return isIP(given) === family ? given : undefined;
  const hostFamily = isIP(node.HostName);
  return hostFamily === 0 || hostFamily === family ? node.HostName : undefined;
}

function connectTcp(
  host: string,
  port: number,
  delayMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((done, reject) => {
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
        done(dialled);
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
