// Network namespaces on one bridge, each a machine of its own with an address in 10.77.0.0/24. Root only.
// Everything that was started in them ends with them.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
let made = 0;

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Milliseconds; default 30,000. */
  readonly timeout?: number;
}

export interface StartOptions extends RunOptions {
  /** Leave standard input open, to write to. Default false. */
  readonly input?: boolean;
}

/** One namespace. */
export class Host {
  readonly name: string;
  readonly address: string;
  readonly namespace: string;
  /** A temporary folder that goes with the lab. */
  readonly dir: string;
  readonly #children: ChildProcess[] = [];

  constructor(name: string, namespace: string, address: string, dir: string) {
    this.name = name;
    this.namespace = namespace;
    this.address = address;
    this.dir = dir;
  }

  /** Runs a program to its end; rejects with its output if it fails or takes too long. */
  async run(
    program: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<RunResult> {
    const { env, cwd, timeout = 30_000 } = options;
    return execute('ip', ['netns', 'exec', this.namespace, program, ...args], {
      timeout,
      maxBuffer: 64 << 20,
      env: { ...process.env, ...env },
      ...(cwd !== undefined && { cwd }),
    });
  }

  /** Starts a program that goes on; what it prints is kept for `output`. */
  start(program: string, args: readonly string[], options: StartOptions = {}): Started {
    const child = spawn('ip', ['netns', 'exec', this.namespace, program, ...args], {
      stdio: [options.input ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    this.#children.push(child);
    return new Started(child);
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

/** A running program. */
export class Started {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout = (this.stdout + text).slice(-1_000_000);
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-1_000_000);
    });
  }

  /** Sends the signal and waits for the end. */
  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((done) => this.child.once('close', done));
    this.child.kill(signal);
    await ended;
  }
}

export class Lab implements AsyncDisposable {
  readonly #id = `${process.pid}-${made++}`;
  readonly #hosts: Host[] = [];
  readonly #bridge: string;
  readonly #dir: string;

  constructor() {
    this.#bridge = `cvb${this.#id}`;
    this.#dir = mkdtempSync(join(tmpdir(), 'cove-lab-'));
    ip('netns', 'add', this.#bridge);
    ip('-n', this.#bridge, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', this.#bridge, 'link', 'set', 'br0', 'up');
  }

  /** Adds a machine to the bridge. */
  addHost(name: string): Host {
    const number = this.#hosts.length + 1;
    const namespace = `cvh${this.#id}-${number}`;
    const address = `10.77.0.${number}`;
    ip('netns', 'add', namespace);
    ip(
      'link',
      'add',
      'eth0',
      'netns',
      namespace,
      'type',
      'veth',
      'peer',
      'name',
      `p${number}`,
      'netns',
      this.#bridge,
    );
    ip('-n', this.#bridge, 'link', 'set', `p${number}`, 'master', 'br0', 'up');
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'route', 'add', 'default', 'via', '10.77.0.254');
    const host = new Host(name, namespace, address, mkdtempSync(join(this.#dir, `${name}-`)));
    this.#hosts.push(host);
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.#hosts) {
      host.stop();
      killNamespace(host.namespace);
    }
    for (const host of this.#hosts) ip('netns', 'del', host.namespace);
    ip('netns', 'del', this.#bridge);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Kills whatever runs in a namespace. */
export function killNamespace(namespace: string): void {
  for (const pid of pidsIn(namespace)) killQuietly(pid);
}

function pidsIn(namespace: string): number[] {
  return execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended between the listing and the signal.
  }
}

/** Calls `check` until it returns something; rejects with what `describe` says after `timeout` milliseconds. */
export async function eventually<T>(
  describe: () => string,
  timeout: number,
  check: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const end = Date.now() + timeout;
  let last: unknown;
  while (Date.now() < end) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  throw new Error(`not within ${timeout} ms: ${describe()}`, { cause: last });
}
