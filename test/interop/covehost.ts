// `cove up` on a machine of a lab, its command line, and stock clients on machines of their own beside it.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RunningCove } from '../harness/cove.ts';
import { type Host, Lab } from '../harness/lab.ts';
import { StockNode, type StockNodeOptions } from '../harness/stocknode.ts';

const BIN = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));

export class CoveHost implements AsyncDisposable {
  readonly lab: Lab;
  readonly host: Host;
  readonly cove: RunningCove;
  readonly #nodes: StockNode[] = [];
  #wasKilled = false;

  private constructor(lab: Lab, host: Host, cove: RunningCove) {
    this.lab = lab;
    this.host = host;
    this.cove = cove;
  }

  /** Resolves once http://go/ is served. `more`: of `cove up`. */
  static async start(owner = 'ada@example.com', ...more: readonly string[]): Promise<CoveHost> {
    const lab = new Lab();
    try {
      const host = lab.addHost('server');
      const cove = await RunningCove.start(
        [
          'up',
          '--dir',
          join(host.dir, 'data'),
          '--owner',
          owner,
          '--listen',
          host.address,
          ...more,
        ],
        { prefix: ['ip', 'netns', 'exec', host.namespace] },
      );
      return new CoveHost(lab, host, cove);
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The coordination server, as other machines reach it. */
  get url(): string {
    return `http://${this.host.address}:8090`;
  }

  /** Runs `cove ...` on the server; resolves to its standard output, trimmed. */
  async admin(...args: readonly string[]): Promise<string> {
    const dir = ['--dir', join(this.host.dir, 'data')];
    const { stdout } = await this.host.run(process.execPath, [BIN, ...args, ...dir]);
    return stdout.trim();
  }

  authKey(user: string, ...more: readonly string[]): Promise<string> {
    return this.admin('authkey', 'create', '--user', user, ...more);
  }

  /** A stock daemon on a machine of its own, logged out. */
  stockNode(name: string, release: string, options?: StockNodeOptions): StockNode {
    const node = new StockNode(this.lab.addHost(name), release, options);
    this.#nodes.push(node);
    return node;
  }

  /** Ends `cove up` without a chance to say goodbye. */
  async kill(): Promise<void> {
    this.#wasKilled = true;
    await this.cove.stop('SIGKILL');
  }

  /** Rejects if `cove up` ended before, with what it wrote. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.cove.child;
    await Promise.all(this.#nodes.map((node) => node.stop()));
    await this.cove.stop();
    await this.lab[Symbol.asyncDispose]();
    const end = exitCode ?? signalCode;
    if (end !== null && !this.#wasKilled)
      throw new Error(`cove up ended (${end}):\n${this.cove.errors()}`);
  }
}
