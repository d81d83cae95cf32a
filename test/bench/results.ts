// Results over the rounds, kept as JSON: the samples of every metric by pairing, and what they were measured with.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { CURRENT_RELEASE } from '../harness/peers.ts';
import type { MetricName, Values } from './metrics.ts';
import { type PairingName, REFERENCE } from './pairings.ts';

export interface Environment {
  readonly date: string;
  readonly machine: string;
  readonly kernel: string;
  readonly node: string;
  readonly tsnet: string;
  readonly go: string;
  /** Of the code in packages/; separated by commas where rounds were at several. */
  readonly commit: string;
}

/** What a pairing ran with. */
export interface Facts {
  /** Packet cipher. */
  readonly crypto?: string;
  /** UDP segmentation offload. */
  readonly offload?: boolean;
}

export interface Results {
  readonly environment: Environment;
  readonly facts: Partial<Record<PairingName, Facts>>;
  readonly samples: Partial<Record<PairingName, Partial<Record<MetricName, readonly number[]>>>>;
}

type Samples = Partial<Record<PairingName, Partial<Record<MetricName, number[]>>>>;

export class ResultBook {
  readonly #facts: Partial<Record<PairingName, Facts>>;
  readonly #samples: Samples;
  readonly #replaced: Set<string> = new Set();
  readonly #continue: boolean;
  #environment: Environment;

  private constructor(old: Results | undefined, environment: Environment, goOn: boolean) {
    this.#environment = goOn && old ? joined(old.environment, environment) : environment;
    this.#facts = { ...old?.facts };
    this.#samples = structuredClone(old?.samples ?? {}) as Samples;
    this.#continue = goOn;
  }

  /** goOn: further values are added to those of earlier runs; else they replace them. */
  static open(file: string | undefined, goOn: boolean): ResultBook {
    return new ResultBook(file === undefined ? undefined : readIfThere(file), environment(), goOn);
  }

  /** Rounds of earlier runs that this one goes on from. */
  get rounds(): number {
    const samples = Object.values(this.#samples[REFERENCE] ?? {});
    return this.#continue ? Math.max(0, ...samples.map((values) => values.length)) : 0;
  }

  add(pairing: PairingName, values: Values, facts?: Facts): void {
    const own = this.#samples[pairing] ?? {};
    this.#samples[pairing] = own;
    for (const [name, value] of Object.entries(values) as [MetricName, number][]) {
      if (!Number.isFinite(value)) continue;
      const key = `${pairing} ${name}`;
      const isNew = !this.#continue && !this.#replaced.has(key);
      this.#replaced.add(key);
      own[name] = [...(isNew ? [] : (own[name] ?? [])), Number(value.toPrecision(4))];
    }
    if (facts) this.#facts[pairing] = { ...this.#facts[pairing], ...facts };
  }

  /** What the Go peer says of itself. */
  setGo(version: string): void {
    this.#environment = { ...this.#environment, go: version };
  }

  results(): Results {
    return { environment: this.#environment, facts: this.#facts, samples: this.#samples };
  }

  write(file: string): void {
    mkdirSync(dirname(file), { recursive: true });
    const text = JSON.stringify(this.results(), undefined, 2);
    // A list of numbers on one line.
    const folded = text.replace(
      /\[\s+([-\d.,\se]+?)\s+\]/g,
      (_all, list: string) => `[${list.replace(/\s+/g, ' ')}]`,
    );
    writeFileSync(file, `${folded}\n`);
  }
}

export function readResults(file: string): Results {
  return JSON.parse(readFileSync(file, 'utf8')) as Results;
}

function readIfThere(file: string): Results | undefined {
  try {
    return readResults(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

export function median(values: readonly number[] | undefined): number | undefined {
  if (values === undefined || values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median of a pairing's rounds. */
export function medianOf(
  results: Results,
  pairing: PairingName,
  metric: MetricName,
): number | undefined {
  return median(results.samples[pairing]?.[metric]);
}

/** Against the reference's median. */
export function ratioOf(
  results: Results,
  pairing: PairingName,
  metric: MetricName,
): number | undefined {
  const value = medianOf(results, pairing, metric);
  const reference = medianOf(results, REFERENCE, metric);
  return value === undefined || !reference ? undefined : value / reference;
}

/** Of rounds at several commits, all are named. */
function joined(old: Environment, now: Environment): Environment {
  const commits = old.commit.split(', ');
  const commit = commits.includes(now.commit) ? old.commit : [...commits, now.commit].join(', ');
  return { ...now, go: old.go, commit };
}

export function environment(): Environment {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  let commit = 'unknown';
  try {
    const isDirty = git('status', '--porcelain', '--', 'packages') !== '';
    commit = git('log', '-1', '--format=%h', '--', 'packages') + (isDirty ? ' and changes' : '');
  } catch {
    // Not a checkout.
  }
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} cores, ${cpu?.model.trim() ?? 'unknown processor'}, ${memory} GiB`,
    kernel: `Linux ${release().split('.').slice(0, 2).join('.')}`,
    node: process.version,
    tsnet: CURRENT_RELEASE,
    go: '',
    commit,
  };
}

/** Where and with what, on one line. */
export function describe(of: Environment): string {
  const { date, machine, kernel, node, commit } = of;
  return `${date}; ${machine}; ${kernel}; Node ${node}; packages at commit ${commit}`;
}
