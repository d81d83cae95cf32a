// A ready-made app on a node of its own: what `cove up` embeds and `cove golink` runs alone.
import { createServer, type Server as HttpServer, type RequestListener } from 'node:http';
import { type Listener, Server, type ServerOptions } from '@cove/tsnet';
import { type Certificate, serveTls } from './tls.ts';

/** An app, ready to answer requests. Identity comes from the node it is served on. */
export interface App {
  readonly handler: RequestListener;
  close(): Promise<void>;
}

/** An app on its node. */
export interface RunningService extends AsyncDisposable {
  readonly name: string;
  /** The first label of its name in the tailnet, which may be another one. */
  readonly host: string;
  /** One of `ips`. */
  readonly address: string;
  readonly summary: string;
  readonly port: number;
  readonly node: Server;
  readonly ips: readonly string[];
  /** `http://go/` where the tailnet's names resolve. */
  readonly url: string;
}

export interface ServiceOptions {
  readonly name: string;
  readonly summary: string;
  readonly node: ServerOptions;
  readonly signal: AbortSignal;
  /** Serve on port 443, and send whoever comes to port 80 there. */
  readonly certificate?: Certificate | undefined;
  /** Called with the URL a person must open to let the node in. */
  onLogin?(url: string): void;
  openApp(node: Server): Promise<App>;
}

/** Brings the node up and serves the app on its port 80, or 443. */
export async function runService(options: ServiceOptions): Promise<RunningService> {
  const node = new Server(options.node);
  let app: App | undefined;
  try {
    if (options.onLogin !== undefined) node.on('login', options.onLogin);
    const { ips, dnsName } = await node.up({ signal: options.signal });
    const opened = await options.openApp(node);
    app = opened;
    const { certificate } = options;
    const servers: HttpServer[] = [];
    const listeners: Listener[] = [];
    const listen = async (port: number, handler: RequestListener): Promise<void> => {
      const http = createServer(handler);
      const listener = await node.listen({ port });
      servers.push(http);
      listeners.push(listener);
      if (port === 443) serveTls(listener, http, certificate!);
      else listener.serve(http);
    };
    if (certificate === undefined) await listen(80, opened.handler);
    else {
      const { redirectToHttps, strictTransport } = await import('@cove/golink');
      await listen(443, strictTransport(opened.handler));
      await listen(
        80,
        redirectToHttps(() => certificate.names[0] ?? node.status().dnsName),
      );
    }
    return {
      name: options.name,
      // An administrator may rename it at any time.
      get host() {
        return node.status().dnsName.split('.')[0] || options.name;
      },
      address: ips[0]!,
      summary: options.summary,
      port: certificate === undefined ? 80 : 443,
      node,
      ips,
      url:
        certificate === undefined
          ? `http://${dnsName.split('.')[0] || options.name}/`
          : `https://${certificate.names[0] ?? dnsName}/`,
      async [Symbol.asyncDispose]() {
        for (const listener of listeners) listener.close();
        for (const http of servers) http.closeAllConnections();
        // TLS connections are no server's to close.
        for (const listener of listeners) listener.closeAllConnections();
        await opened.close();
        await node.close();
      },
    };
  } catch (error) {
    await app?.close();
    await node.close();
    throw error;
  }
}
