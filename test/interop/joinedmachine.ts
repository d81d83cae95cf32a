// A machine of a lab that is in the tailnet as a whole, by `cove join --tun`, with an /etc of its own.
import { cpSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, type Host, type Started } from '../harness/lab.ts';

const BIN = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const WITH_ETC = ['--mount', 'sh', '-c', 'mount --bind "$0" /etc && exec "$@"'];

interface Ready {
  readonly event: 'ready';
  readonly ips: readonly [string, string];
  readonly interface: string;
}

export class JoinedMachine {
  readonly host: Host;
  readonly #etc: string;
  readonly #args: readonly string[];
  #cove: Started | undefined;
  #ready: Ready | undefined;

  /** `args`: of `cove join`, besides --json and --dir. */
  constructor(host: Host, ...args: readonly string[]) {
    this.host = host;
    this.#args = args;
    this.#etc = join(host.dir, 'etc');
    cpSync('/etc', this.#etc, { recursive: true, verbatimSymlinks: true });
  }

  get #join(): readonly string[] {
    return [BIN, 'join', '--dir', join(this.host.dir, 'data'), '--json', ...this.#args];
  }

  /** Resolves once it is in. */
  async start(): Promise<void> {
    const cove = this.host.start(
      'unshare',
      [...WITH_ETC, this.#etc, process.execPath, ...this.#join],
      { env: { TS_DISABLE_PORTMAPPER: '1' } },
    );
    this.#cove = cove;
    this.#ready = await eventually(
      () => `not in the tailnet:\n${cove.stderr}`,
      30_000,
      () => {
        const line = cove.stdout.split('\n').find((text) => text.includes('"ready"'));
        return line === undefined ? undefined : (JSON.parse(line) as Ready);
      },
    );
  }

  get v4(): string {
    return this.#ready!.ips[0];
  }

  get v6(): string {
    return this.#ready!.ips[1];
  }

  get interface(): string {
    return this.#ready!.interface;
  }

  /** What the command wrote for people. */
  get log(): string {
    return this.#cove?.stderr ?? '';
  }

  /** Runs a program where it sees the machine's /etc; resolves to its standard output. */
  async run(...command: readonly string[]): Promise<string> {
    return (await this.host.run('unshare', [...WITH_ETC, this.#etc, ...command])).stdout;
  }

  resolvConf(): Promise<string> {
    return readFile(join(this.#etc, 'resolv.conf'), 'utf8');
  }

  /** Ends the command; resolves to its exit code, or the signal that killed it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string | null> {
    await this.#cove?.kill(signal);
    const { exitCode, signalCode } = this.#cove!.child;
    return exitCode ?? signalCode;
  }
}
