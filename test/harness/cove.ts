// The cove command as a child process, started as a person would start it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';

export const BIN: string = fileURLToPath(
  new URL('../../../packages/cli/bin/cove.js', import.meta.url),
);

export interface Ready {
  readonly event: 'ready';
  readonly control: string;
  readonly doorway: string;
  readonly owner: string;
  readonly services: readonly {
    readonly name: string;
    readonly ips: readonly string[];
    readonly url: string;
  }[];
}

/** Any free port everywhere, so that suites do not meet. */
export const FREE_PORTS: readonly string[] = [
  '--port',
  '0',
  '--control-port',
  '0',
  '--derp-port',
  '0',
  '--stun-port',
  '0',
];

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command to its end. `input` goes to its standard input. */
export async function cove(
  args: readonly string[],
  options: {
    readonly input?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly timeout?: number;
  } = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { ...process.env, TS_DISABLE_PORTMAPPER: '1', ...options.env },
    timeout: options.timeout ?? 30_000,
    // One that hangs does not hear SIGTERM, which the command listens to.
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  child.stdin.end(options.input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Much longer than an end in order takes; milliseconds. */
const STOP_LIMIT = 30_000;

/** A running `cove up --json`. */
export class RunningCove {
  readonly child: ChildProcess;
  readonly ready: Ready;
  readonly errors: () => string;

  private constructor(child: ChildProcess, ready: Ready, errors: () => string) {
    this.child = child;
    this.ready = ready;
    this.errors = errors;
  }

  /** Resolves when the ready line came; rejects with what it wrote if it ended before. */
  static async start(
    args: readonly string[],
    options: { readonly prefix?: readonly string[]; readonly timeout?: number } = {},
  ): Promise<RunningCove> {
    const [program, ...rest] = [
      ...(options.prefix ?? []),
      process.execPath,
      BIN,
      ...args,
      '--json',
    ];
    const child = spawn(program!, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TS_DISABLE_PORTMAPPER: '1' },
    });
    let stdout = '';
    let stderr = '';
    child.stderr!.on('data', (text) => {
      stderr = (stderr + text).slice(-200_000);
    });
    const ready = await new Promise<Ready>((done, fail) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        fail(new Error(`not ready in time:\n${stderr}`));
      }, options.timeout ?? 60_000);
      child.stdout!.on('data', (text) => {
        stdout += text;
        if (!stdout.includes('\n')) return;
        clearTimeout(timer);
        done(JSON.parse(stdout.slice(0, stdout.indexOf('\n'))) as Ready);
      });
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        fail(new Error(`ended with ${code ?? signal}:\n${stderr}`));
      });
    });
    return new RunningCove(child, ready, () => stderr);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const ended = once(this.child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_LIMIT);
    const [code, endedBy] = await ended;
    clearTimeout(timer);
    if (endedBy === 'SIGKILL' && signal !== 'SIGKILL')
      throw new Error(`did not end within ${STOP_LIMIT / 1000} s of ${signal}:\n${this.errors()}`);
    return code;
  }

  /** Asks the doorway; `host` is what the browser has in its address line. */
  ask(path: string, options: AskOptions = {}): Promise<Answer> {
    const { port } = new URL(this.ready.doorway);
    const { method = 'GET', headers = {}, body, host = 'go.localhost' } = options;
    return new Promise((done, fail) => {
      const req = request(
        {
          host: '127.0.0.1',
          port,
          path,
          method,
          agent: false,
          headers: { host: `${host}:${port}`, ...headers },
        },
        async (res) => {
          const chunks: Buffer[] = [];
          for await (const chunk of res) chunks.push(chunk as Buffer);
          done({
            status: res.statusCode!,
            headers: res.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          });
        },
      );
      req.once('error', fail);
      req.end(body);
    });
  }
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly host?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}
