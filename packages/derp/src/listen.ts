// A whole relay in one call: HTTP(S) and STUN on any number of addresses, its keys kept in a folder.

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { type AddressInfo, isIP, isIPv6, type Socket } from 'node:net';
import type { NodePublic } from '@cove/protocol/keys';
import type { DERPNode } from '@cove/protocol/tailcfg';
import { loadMetacert, loadRelayKey, loadSelfSigned } from './certdir.ts';
import { type Clock, systemClock } from './clock.ts';
import { METACERT_RENEWAL_MS } from './metacert.ts';
import { certificatePin } from './pin.ts';
import { DerpServer, type DerpServerOptions } from './server.ts';
import { StunServer } from './stunserver.ts';
import { DerpHttp } from './upgrade.ts';

export interface ListenDerpOptions extends Omit<DerpServerOptions, 'privateKey'> {
  /** IP addresses to listen on; `127.0.0.1` if absent. */
  readonly host?: string | readonly string[];
  /** 443 if absent, 3340 without TLS; 0 for any free one. */
  readonly port?: number;
  /** UDP; 3478 if absent, false for no STUN, 0 for any free one. */
  readonly stunPort?: number | false;
  /** A second port in clear for captive portal checks; none if absent. */
  readonly httpPort?: number;
  /** Where the relay key and the self-signed certificate are kept; made if it is not there. */
  readonly certDir: string;
  /** DNS names and IP literals of the self-signed certificate; if absent the addresses listened on. */
  readonly hostnames?: readonly string[];
  /** true if absent. Without TLS no stock client connects: for tests and for a TLS proxy in front. */
  readonly tls?: boolean;
  /** A certificate from elsewhere, PEM, chain after the leaf, instead of the self-signed one. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

export interface DerpListener extends AsyncDisposable {
  readonly derp: DerpServer;
  readonly publicKey: NodePublic;
  readonly addresses: readonly AddressInfo[];
  readonly stunAddresses: readonly AddressInfo[];
  readonly httpAddresses: readonly AddressInfo[];
  readonly stun: StunServer | undefined;
  /** `sha256-raw:<hex>` of the certificate served; absent without TLS. */
  readonly certPin: string | undefined;
  /**
   * This relay as a node of a DERP map. hostName is a name or IP literal under which clients reach it; the
   * certificate is pinned if it is the self-signed one.
   */
  derpNode(node: Pick<DERPNode, 'Name' | 'RegionID' | 'HostName'> & Partial<DERPNode>): DERPNode;
  close(): Promise<void>;
}

/** Rejects as listen and fs do; nothing stays open then. */
export async function listenDerp(options: ListenDerpOptions): Promise<DerpListener> {
  const hosts = typeof options.host === 'string' ? [options.host] : (options.host ?? ['127.0.0.1']);
  const clock = options.clock ?? systemClock;
  const tls = options.tls ?? true;
  const derp = new DerpServer({ ...options, privateKey: await loadRelayKey(options.certDir) });
  const http = new DerpHttp(derp);
  const certificate = tls ? await certificateFor(options, hosts) : undefined;
  const stack: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    // First: an HTTP server does not close before the connections that were upgraded.
    await derp.close();
    for (const step of stack.splice(0).reverse()) await step();
  };
  try {
    const servers = hosts.map(() =>
      certificate === undefined ? createHttpServer() : createHttpsServer(),
    );
    if (certificate !== undefined) {
      const https = servers as HttpsServer[];
      stack.push(await keepMetacertFresh(https, certificate, options.certDir, derp, clock));
    }
    const addresses = await listenAll(
      servers,
      hosts,
      options.port ?? (tls ? 443 : 3340),
      http,
      stack,
    );
    const plain = options.httpPort === undefined ? [] : hosts.map(() => createHttpServer());
    const httpAddresses = await listenAll(plain, hosts, options.httpPort ?? 0, http, stack);
    let stun: StunServer | undefined;
    if (options.stunPort !== false) {
      const started = await StunServer.listen(hosts, options.stunPort);
      stack.push(() => started.close());
      stun = started;
    }
    const stunAddresses = stun?.addresses ?? [];
    const pinned = certificate !== undefined && options.certificate === undefined;
    return {
      derp,
      publicKey: derp.publicKey,
      addresses,
      stunAddresses,
      httpAddresses,
      stun,
      certPin: certificate?.pin,
      derpNode: (node) => ({
        DERPPort: addresses[0]!.port,
        STUNPort: stunAddresses[0]?.port ?? -1,
        ...(pinned ? { CertName: certificate.pin } : {}),
        ...node,
      }),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function certificateFor(
  options: ListenDerpOptions,
  hosts: readonly string[],
): Promise<{ cert: string; key: string; pin: string }> {
  if (options.certificate !== undefined) {
    const { raw } = new X509Certificate(options.certificate.cert);
    return { ...options.certificate, pin: certificatePin(raw) };
  }
  return loadSelfSigned(options.certDir, options.hostnames ?? hosts.filter((h) => isIP(h) !== 0));
}

/** Sets the certificate with the metacert behind it, now and every few days; the result stops that. */
async function keepMetacertFresh(
  servers: readonly HttpsServer[],
  certificate: { readonly cert: string; readonly key: string },
  certDir: string,
  derp: DerpServer,
  clock: Clock,
): Promise<() => Promise<void>> {
  let stopped = false;
  let timer: { cancel(): void } | undefined;
  const renew = async (): Promise<void> => {
    const cert = certificate.cert + (await loadMetacert(certDir, derp.publicKeyHex));
    if (stopped) return;
    for (const server of servers) {
      server.setSecureContext({ cert, key: certificate.key, minVersion: 'TLSv1.2' });
    }
  };
  const renewLater = (): void => {
    if (stopped) return;
    timer = clock.schedule(METACERT_RENEWAL_MS, () => {
      // The one that is served outlasts the next attempt, and clients do without when it is over.
      renew().then(renewLater, renewLater);
    });
  };
  await renew();
  renewLater();
  return async () => {
    stopped = true;
    timer?.cancel();
  };
}

async function listenAll(
  servers: readonly HttpServer[],
  hosts: readonly string[],
  port: number,
  http: DerpHttp,
  stack: (() => Promise<void>)[],
): Promise<AddressInfo[]> {
  const addresses: AddressInfo[] = [];
  // `::` serves IPv4 too, unless that has an address of its own.
  const ipv6Only = hosts.some((host) => !isIPv6(host));
  for (const [i, server] of servers.entries()) {
    http.attach(server);
    // What strangers send must not become an uncaught exception.
    server.on('clientError', (_error, socket) => socket.destroy());
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    server.listen({ host: hosts[i]!, port: addresses[0]?.port ?? port, ipv6Only });
    await once(server, 'listening');
    stack.push(() => closeServer(server, sockets));
    addresses.push(server.address() as AddressInfo);
  }
  return addresses;
}

/** An HTTP server waits for all its sockets, but can only end those that have said something and have not switched protocol. */
function closeServer(server: HttpServer, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
  });
}
