// One peer as a child process in a namespace: requests to it, and what the kernel knows of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Host } from '../harness/lab.ts';
import type { Answer, Latencies, Ready, Request, Sample } from './wire.ts';

const START_TIMEOUT = 60_000;
const ANSWER_TIMEOUT = 60_000;
/** A stock node that had thousands of connections takes long to close. */
const KILL_AFTER = 2_000;
/** Of /proc/<pid>/stat. */
const TICKS_PER_SECOND = 100;

export interface Usage {
  /** User and system. */
  readonly cpuSeconds: number;
  readonly rssMiB: number;
  readonly peakRssMiB: number;
}

/** What requests answer with; the others answer nothing. */
interface Results {
  readonly path: string;
  readonly sample: Sample;
  readonly echo: Latencies;
  readonly http: Latencies;
  readonly connect: Latencies;
}

export class PeerProcess {
  readonly #child: ChildProcess;
  /** Processes that belong to it, such as a daemon. */
  readonly #pids: readonly number[];
  readonly #waiting: Map<number, (answer: Answer) => void> = new Map();
  #next = 1;
  #stderr = '';
  ready!: Ready;
  /** From its start to its first line. */
  startMs = 0;

  private constructor(child: ChildProcess, pids: readonly number[]) {
    this.#child = child;
    this.#pids = [child.pid!, ...pids];
  }

  /** Resolves when its node is Running. */
  static async start(
    host: Host,
    command: readonly string[],
    env: NodeJS.ProcessEnv,
    pids: readonly number[] = [],
  ): Promise<PeerProcess> {
    const from = performance.now();
    const child = spawn('ip', ['netns', 'exec', host.namespace, ...command], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    const peer = new PeerProcess(child, pids);
    const echo = process.env['BENCH_VERBOSE'] !== undefined;
    child.stderr!.on('data', (text) => {
      peer.#stderr = (peer.#stderr + text).slice(-4000);
      if (echo) process.stderr.write(text);
    });
    child.stdin!.on('error', () => {});
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(peer.#failure('was not up in time')), START_TIMEOUT);
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        const failure = peer.#failure(`ended with ${code ?? signal}`);
        reject(failure);
        for (const [id, done] of peer.#waiting) done({ id, error: failure.message });
      });
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const message = JSON.parse(line) as Ready | Answer;
        if ('event' in message) {
          peer.startMs = performance.now() - from;
          peer.ready = message;
          clearTimeout(timer);
          resolve();
        } else {
          peer.#waiting.get(message.id)?.(message);
        }
      });
    });
    return peer;
  }

  #failure(what: string): Error {
    return new Error(`${this.#child.spawnargs.slice(4).join(' ')} ${what}\n${this.#stderr}`);
  }

  async ask<Op extends Request['op']>(
    request: Extract<Request, { readonly op: Op }>,
  ): Promise<Op extends keyof Results ? Results[Op] : unknown> {
    const id = this.#next++;
    if (this.#child.exitCode !== null) throw this.#failure('has ended');
    const answer = await new Promise<Answer>((done) => {
      const timer = setTimeout(
        () => done({ id, error: `no answer within ${ANSWER_TIMEOUT} ms` }),
        ANSWER_TIMEOUT,
      );
      this.#waiting.set(id, (given) => {
        clearTimeout(timer);
        done(given);
      });
      this.#child.stdin!.write(`${JSON.stringify({ id, ...request })}\n`);
    });
    this.#waiting.delete(id);
    if (answer.error !== undefined) throw this.#failure(`on ${request.op}: ${answer.error}`);
    return answer.result as Op extends keyof Results ? Results[Op] : unknown;
  }

  usage(): Usage {
    const all = this.#pids.map(processUsage);
    const sum = (pick: (usage: Usage) => number): number =>
      all.reduce((total, usage) => total + pick(usage), 0);
    return {
      cpuSeconds: sum((usage) => usage.cpuSeconds),
      rssMiB: sum((usage) => usage.rssMiB),
      peakRssMiB: sum((usage) => usage.peakRssMiB),
    };
  }

  /** Ends it as a crash would: its tailnet is told nothing, its state stays. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((done) => this.#child.once('close', done));
    this.#child.kill('SIGKILL');
    await ended;
  }

  /** Leaves its tailnet and ends; is killed if it does not. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((done) => this.#child.once('close', done));
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), KILL_AFTER);
    await this.ask({ op: 'close' }).catch(() => {});
    await ended;
    clearTimeout(timer);
  }
}

function processUsage(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const mib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    rssMiB: mib('VmRSS'),
    peakRssMiB: mib('VmHWM'),
  };
}
