// npm run goodput -- [row...] [--rounds N] [--seconds N] [--json FILE]
// Our TCP against the kernel's cubic over the emulated link of linkemulator.c, each as source and as sink, in turn.
// Needs root on Linux and cc. The first seconds of a run do not count. Medians; the ratio is to kernel against kernel in the same rounds.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { type End, goodput, type Impairment, missing } from './link.ts';

interface Row {
  readonly name: string;
  readonly impairment: Impairment;
  /** The link, not the processor, is the limit: all pairings at once, so that they meet the same conditions. */
  readonly light: boolean;
}

const ROWS: readonly Row[] = [
  { name: '20 ms, 1 % loss', impairment: { delay: 10, loss: 0.01 }, light: true },
  {
    name: '20 ms +- 2, 0.1 % loss, 1 % reordered by 10 ms, 0.1 % duplicated',
    impairment: { delay: 10, jitter: 2, loss: 0.001, reorder: 0.01, duplicate: 0.001 },
    light: true,
  },
  {
    name: '20 ms, 0.1 % loss, 1 % reordered by 10 ms',
    impairment: { delay: 10, loss: 0.001, reorder: 0.01 },
    light: true,
  },
  {
    name: '40 ms, 50 Mbit/s, queue 200',
    impairment: { delay: 20, rate: 50, queue: 200 },
    light: true,
  },
  { name: '20 ms, 0.1 % loss', impairment: { delay: 10, loss: 0.001 }, light: true },
  { name: '100 ms, 1 % loss', impairment: { delay: 50, loss: 0.01 }, light: true },
  { name: '20 ms, 3 % loss', impairment: { delay: 10, loss: 0.03 }, light: true },
  { name: '20 ms, none', impairment: { delay: 10 }, light: false },
  { name: '0.1 ms, none', impairment: { delay: 0.05 }, light: false },
];
const PAIRINGS: readonly (readonly [End, End])[] = [
  ['kernel', 'kernel'],
  ['ours', 'kernel'],
  ['kernel', 'ours'],
  ['ours', 'ours'],
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '10' },
    json: { type: 'string' },
  },
});
const why = missing();
if (why !== undefined) {
  console.error(`goodput: ${why}`);
  process.exit(1);
}
/** A row is named in full or by how it begins. */
const rows = ROWS.filter(({ name }) =>
  positionals.some((word) =>
    ROWS.some((row) => row.name === word) ? name === word : name.startsWith(word),
  ),
);
if (rows.length === 0) rows.push(...ROWS);
const seconds = Number(values.seconds);
const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
/** The rows of earlier runs stay unless measured again. */
const results: { name: string }[] = earlier(values.json).filter(
  (old) => !rows.some(({ name }) => name === old.name),
);
for (const { name, impairment, light } of rows) {
  const samples: Record<string, number[]> = {};
  for (let round = 0; round < Number(values.rounds); round++) {
    const one = async ([source, sink]: readonly [End, End]): Promise<void> => {
      const rate = await goodput(source, sink, impairment, { seconds, seed: 1 + round });
      const name = `${source} to ${sink}`;
      samples[name] = [...(samples[name] ?? []), Number(rate.toPrecision(4))];
    };
    if (light) await Promise.all(PAIRINGS.map(one));
    else for (const pairing of PAIRINGS) await one(pairing);
  }
  const reference = median(samples['kernel to kernel']!);
  console.log(name);
  for (const [pairing, list] of Object.entries(samples)) {
    const value = median(list);
    console.log(
      `  ${pairing.padEnd(16)} ${value.toFixed(1).padStart(7)} Mbit/s  ${(value / reference).toFixed(2)}   [${list.join(' ')}]`,
    );
  }
  results.push({ name, impairment, seconds, unit: 'Mbit/s', samples } as { name: string });
}
const place = ({ name }: { name: string }): number => ROWS.findIndex((row) => row.name === name);
results.sort((a, b) => place(a) - place(b));
if (values.json !== undefined) {
  mkdirSync(dirname(values.json), { recursive: true });
  const environment = {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    kernel: `Linux ${release().split('.').slice(0, 2).join('.')}`,
    cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    congestion: 'cubic',
    mtu: 1280,
  };
  writeFileSync(values.json, `${JSON.stringify({ environment, rows: results }, undefined, 1)}\n`);
}

function earlier(file: string | undefined): { name: string }[] {
  try {
    if (file === undefined) return [];
    return (JSON.parse(readFileSync(file, 'utf8')) as { rows: { name: string }[] }).rows;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
