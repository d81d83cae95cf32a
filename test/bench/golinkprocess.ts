// Starting and measuring a server of the golink measurements.
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { ServerReady, ServerUse } from './golinkserver.ts';

export class GolinkProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly ready: ServerReady;
  /** From starting the process, in milliseconds. */
  readonly startMs: number;

  private constructor(child: ChildProcess, ready: ServerReady, startMs: number) {
    this.#child = child;
    this.ready = ready;
    this.startMs = startMs;
  }

  static async start(...args: readonly string[]): Promise<GolinkProcess> {
    const script = fileURLToPath(new URL('./golinkserver.js', import.meta.url));
    const from = performance.now();
    const child = fork(script, args, { execArgv: [] });
    const [ready] = (await once(child, 'message')) as [ServerReady];
    return new GolinkProcess(child, ready, performance.now() - from);
  }

  async use(): Promise<ServerUse> {
    const answer = once(this.#child, 'message');
    this.#child.send('use');
    const [use] = (await answer) as [ServerUse];
    return use;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.ready.port}${path}`;
  }

  /** Milliseconds until the whole answer is there. Throws when it is an error other than 404. */
  time(path: string): Promise<number> {
    const from = performance.now();
    return new Promise((resolve, reject) => {
      const req = request(
        this.url(path),
        { headers: { accept: path.startsWith('/.api') ? 'application/json' : 'text/html' } },
        (res) => {
          if (res.statusCode! >= 400 && res.statusCode !== 404)
            reject(new Error(`${path}: ${res.statusCode}`));
          res.resume().on('end', () => resolve(performance.now() - from));
        },
      );
      req.on('error', reject);
      req.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, 'exit');
    if (this.ready.openMs > 0) this.#child.send('end');
    else this.#child.disconnect();
    await exit;
  }
}

export interface Load {
  readonly perSecond: number;
  readonly p50: number;
  /** Milliseconds. */
  readonly p99: number;
}

/**
 * 32 connections from one thread of wrk. `script`: a file in Lua. Throws when an answer is an error; `isMissing`: all
 * are to be 404.
 */
export function wrk(
  url: string,
  seconds: number,
  options: {
    readonly script?: string;
    readonly accept?: string;
    readonly isMissing?: boolean;
  } = {},
): Load {
  const { script, accept, isMissing = false } = options;
  const args = ['-t1', '-c32', `-d${seconds}s`, '--latency'];
  if (script !== undefined) args.push('-s', script);
  if (accept !== undefined) args.push('-H', `Accept: ${accept}`);
  const text = execFileSync('wrk', [...args, url], { encoding: 'utf8' });
  const errors = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  const all = Number(/(\d+) requests in/.exec(text)![1]);
  if (errors !== (isMissing ? all : 0)) throw new Error(`${url}: ${errors} of ${all} are errors`);
  const percentile = (p: number): number => {
    const [, value, unit] = new RegExp(`\\s${p}%\\s+([\\d.]+)(us|ms|s)`).exec(text)!;
    return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'];
  };
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)![1]),
    p50: percentile(50),
    p99: percentile(99),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!;
}
