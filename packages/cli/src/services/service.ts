// A ready-made app on a node of its own: what `cove up` embeds and `cove golink` runs alone.
import { createServer, type RequestListener } from 'node:http';
import { Server, type ServerOptions } from '@cove/tsnet';

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
  /** Called with the URL a person must open to let the node in. */
  onLogin?(url: string): void;
  openApp(node: Server): Promise<App>;
}

/** Brings the node up and serves the app on its port 80. */
export async function runService(options: ServiceOptions): Promise<RunningService> {
  const node = new Server(options.node);
  let app: App | undefined;
  try {
    if (options.onLogin !== undefined) node.on('login', options.onLogin);
    const { ips, dnsName } = await node.up({ signal: options.signal });
    const opened = await options.openApp(node);
    app = opened;
    const http = createServer(opened.handler);
    const listener = await node.listen({ port: 80 });
    listener.serve(http);
    return {
      name: options.name,
      // An administrator may rename it at any time.
      get host() {
        return node.status().dnsName.split('.')[0] || options.name;
      },
      address: ips[0]!,
      summary: options.summary,
      port: 80,
      node,
      ips,
      url: `http://${dnsName.split('.')[0] || options.name}/`,
      async [Symbol.asyncDispose]() {
        await listener.close();
        http.closeAllConnections();
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
