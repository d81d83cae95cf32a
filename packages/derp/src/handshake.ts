// The client's two steps to a relay over a connected stream: HTTP upgrade, then the DERP greetings.
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import type { DERPNode } from '@cove/protocol/tailcfg';
import { DerpError } from './errors.ts';

export interface UpgradeOptions {
  readonly signal: AbortSignal;
  /** The first node of the region, when it is another one that is dialled. */
  readonly idealNode: string | undefined;
  readonly defaultPort: number;
}

/** host:port as the Host header carries it. */
export function hostHeader(node: DERPNode, defaultPort: number): string {
  const host = isIPv6(node.HostName) ? `[${node.HostName}]` : node.HostName;
  const port = node.DERPPort || defaultPort;
  return port === defaultPort ? host : `${host}:${port}`;
}

/**
 * Sends the upgrade request. Resolves with the stream once the relay has switched; what it sent along is put back.
 * Rejects with ERR_REFUSED for any other answer, ERR_UNREACHABLE for a broken stream, or the signal's reason. The
 * stream is destroyed then.
 */
export function upgradeToDerp(
  socket: Duplex,
  node: DERPNode,
  options: UpgradeOptions,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      options.signal.removeEventListener('abort', onAbort);
      req?.destroy();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(options.signal.reason);
    let req: ClientRequest | undefined;
    try {
      req = upgradeRequest(socket, node, options);
    } catch (cause) {
      // A host name that no header can hold.
      const { message } = cause as Error;
      fail(new DerpError('ERR_UNREACHABLE', `relay ${node.Name}: ${message}`, { cause }));
      return;
    }
    req.once('upgrade', (_response: IncomingMessage, stream: Duplex, head: Buffer) => {
      options.signal.removeEventListener('abort', onAbort);
      if (head.length > 0) stream.unshift(head);
      resolve(stream);
    });
    req.once('response', (response) => {
      fail(new DerpError('ERR_REFUSED', `relay ${node.Name} answered ${response.statusCode}`));
    });
    req.on('error', (cause) => {
      fail(new DerpError('ERR_UNREACHABLE', `relay ${node.Name}: ${cause.message}`, { cause }));
    });
    if (options.signal.aborted) onAbort();
    else options.signal.addEventListener('abort', onAbort, { once: true });
    req.end();
  });
}

function upgradeRequest(socket: Duplex, node: DERPNode, options: UpgradeOptions): ClientRequest {
  return request({
    createConnection: () => socket,
    method: 'GET',
    path: '/derp',
    headers: {
      Host: hostHeader(node, options.defaultPort),
      Connection: 'Upgrade',
      Upgrade: 'DERP',
      ...(options.idealNode === undefined ? {} : { 'Ideal-Node': options.idealNode }),
    },
  });
}
