// A stock tailscaled on a lab machine, driven by its own command line as its user would: in user space behind a SOCKS5
// proxy, or with a network interface of its own.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type Host, type Started } from './lab.ts';
import { peerPath } from './peers.ts';

/** Where every stock node offers SOCKS5, on loopback of its machine. */
export const SOCKS_PORT = 1055;

/** A node as `tailscale status --json` shows it, in part. */
export interface StockPeer {
  readonly HostName: string;
  readonly DNSName: string;
  readonly PublicKey: string;
  readonly OS: string;
  readonly UserID: number;
  readonly TailscaleIPs: readonly string[];
  readonly Tags?: readonly string[];
  readonly Online: boolean;
  readonly Relay: string;
  readonly CurAddr: string;
  /** From 1.86 on. */
  readonly PeerRelay?: string;
  readonly InNetworkMap: boolean;
}

export interface StockStatus {
  readonly BackendState: string;
  readonly AuthURL: string;
  readonly Self: StockPeer;
  readonly Health?: readonly string[] | null;
  readonly MagicDNSSuffix: string;
  readonly CurrentTailnet?: {
    readonly Name: string;
    readonly MagicDNSSuffix: string;
    readonly MagicDNSEnabled: boolean;
  } | null;
  readonly Peer?: Readonly<Record<string, StockPeer>> | null;
  readonly User: Readonly<Record<string, { readonly LoginName: string }>>;
}

export interface StockNodeOptions {
  /** Nothing is kept: the node is forgotten when it leaves. */
  readonly ephemeral?: boolean;
  /** More of the daemon's environment. */
  readonly env?: NodeJS.ProcessEnv;
  /**
   * It makes a network interface and becomes the machine's resolver; the machine gets an /etc of its own for that.
   * Default false: user space.
   */
  readonly tun?: boolean;
}

/** Runs a program that sees another folder as /etc. */
const WITH_ETC = ['--mount', 'sh', '-c', 'mount --bind "$0" /etc && exec "$@"'];

export class StockNode {
  readonly host: Host;
  readonly release: string;
  readonly #socket: string;
  readonly #daemon: Started;
  readonly #etc: string | undefined;

  constructor(host: Host, release: string, options: StockNodeOptions = {}) {
    this.host = host;
    this.release = release;
    this.#socket = join(host.dir, 'tailscaled.sock');
    if (options.tun) {
      this.#etc = join(host.dir, 'etc');
      cpSync('/etc', this.#etc, { recursive: true, verbatimSymlinks: true });
    }
    const [program, ...rest] = this.#inMachine(peerPath('tailscaled', release));
    this.#daemon = host.start(
      program!,
      [
        ...rest,
        ...(options.tun
          ? ['--tun=tailscale0']
          : ['--tun=userspace-networking', `--socks5-server=localhost:${SOCKS_PORT}`]),
        `--statedir=${join(host.dir, 'state')}`,
        `--socket=${this.#socket}`,
        '--port=0',
        ...(options.ephemeral ? ['--state=mem:'] : []),
      ],
      { env: { TS_NO_LOGS_NO_SUPPORT: '1', ...options.env } },
    );
  }

  /** The command that runs a program where it sees the machine's /etc. */
  #inMachine(...command: readonly string[]): readonly string[] {
    return this.#etc === undefined ? command : ['unshare', ...WITH_ETC, this.#etc, ...command];
  }

  /** Runs any program of the machine; resolves to its standard output. */
  async run(...command: readonly string[]): Promise<string> {
    const [program, ...rest] = this.#inMachine(...command);
    return (await this.host.run(program!, rest)).stdout;
  }

  /** Path of the Unix socket that serves its local API. */
  get socket(): string {
    return this.#socket;
  }

  /** What the daemon wrote, for failure messages. */
  get log(): string {
    return this.#daemon.stderr.slice(-6000);
  }

  /** Starts `tailscale ...` and leaves it running. */
  start(...args: readonly string[]): Started {
    const program = peerPath('tailscale', this.release);
    return this.host.start(program, [`--socket=${this.#socket}`, ...args]);
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

  /** Resolves once the daemon answers. */
  async ready(): Promise<void> {
    await eventually(
      () => `no tailscaled answers on ${this.#socket}\n${this.log}`,
      20_000,
      () => this.cli('version', '--daemon'),
    );
  }

  /** `tailscale up` with an auth key and nothing else. */
  async up(loginServer: string, authKey: string, ...more: string[]): Promise<void> {
    await this.ready();
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

  /** Opens a page: through the daemon's SOCKS5 proxy, which resolves names, or as the machine's other programs do. */
  curl(url: string, ...more: string[]): Promise<string> {
    const proxy = this.#etc === undefined ? ['--proxy', `socks5h://localhost:${SOCKS_PORT}`] : [];
    const flags = ['--silent', '--show-error', '--fail', '--max-time', '20'];
    return this.run('curl', ...flags, ...proxy, ...more, url);
  }

  async stop(): Promise<void> {
    await this.#daemon.kill('SIGKILL');
  }
}
