// A stock tailscaled in user space on a lab machine, driven by its own command line as its user would.
import { join } from 'node:path';
import { eventually, type Host, type Started } from './lab.ts';
import { peerPath } from './peers.ts';

/** Where every stock node offers SOCKS5, on loopback of its machine. */
export const SOCKS_PORT = 1055;

export interface StockStatus {
  readonly BackendState: string;
  readonly Self: {
    readonly TailscaleIPs: readonly string[];
    readonly DNSName: string;
    readonly UserID: number;
  };
  readonly Peer?: Readonly<
    Record<
      string,
      { readonly HostName: string; readonly DNSName: string; readonly Online: boolean }
    >
  > | null;
  readonly User: Readonly<Record<string, { readonly LoginName: string }>>;
}

export interface StockNodeOptions {
  /** Nothing is kept: the node is forgotten when it leaves. */
  readonly ephemeral?: boolean;
  /** More of the daemon's environment. */
  readonly env?: NodeJS.ProcessEnv;
}

export class StockNode {
  readonly host: Host;
  readonly release: string;
  readonly #socket: string;
  readonly #daemon: Started;

  constructor(host: Host, release: string, options: StockNodeOptions = {}) {
    this.host = host;
    this.release = release;
    this.#socket = join(host.dir, 'tailscaled.sock');
    this.#daemon = host.start(
      peerPath('tailscaled', release),
      [
        '--tun=userspace-networking',
        `--statedir=${join(host.dir, 'state')}`,
        `--socket=${this.#socket}`,
        `--socks5-server=localhost:${SOCKS_PORT}`,
        '--port=0',
        ...(options.ephemeral ? ['--state=mem:'] : []),
      ],
      { env: { TS_NO_LOGS_NO_SUPPORT: '1', ...options.env } },
    );
  }

  /** Path of the Unix socket that serves its local API. */
  get socket(): string {
    return this.#socket;
  }

  /** What the daemon wrote, for failure messages. */
  get log(): string {
    return this.#daemon.stderr.slice(-6000);
  }

  /** Runs `tailscale ...`; resolves to its standard output. */
  async cli(...args: string[]): Promise<string> {
    const { stdout } = await this.host.run(
      peerPath('tailscale', this.release),
      [`--socket=${this.#socket}`, ...args],
      { timeout: 60_000 },
    );
    return stdout;
  }

  /** `tailscale up` with an auth key and nothing else. */
  async up(loginServer: string, authKey: string, ...more: string[]): Promise<void> {
    await eventually(
      () => `no tailscaled answers on ${this.#socket}\n${this.log}`,
      10_000,
      () => this.cli('version', '--daemon'),
    );
    await this.cli(
      'up',
      `--login-server=${loginServer}`,
      `--auth-key=${authKey}`,
      '--timeout=45s',
      ...more,
    );
  }

  async status(): Promise<StockStatus> {
    return JSON.parse(await this.cli('status', '--json')) as StockStatus;
  }

  /** Opens a page through the daemon's SOCKS5 proxy, names resolved there. */
  async curl(url: string, ...more: string[]): Promise<string> {
    const { stdout } = await this.host.run('curl', [
      '--silent',
      '--show-error',
      '--fail',
      '--max-time',
      '20',
      '--proxy',
      `socks5h://localhost:${SOCKS_PORT}`,
      ...more,
      url,
    ]);
    return stdout;
  }

  async stop(): Promise<void> {
    await this.#daemon.kill('SIGKILL');
  }
}
