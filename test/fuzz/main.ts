// npm run fuzz -- [target...] [--seconds N] [--seed N] [--save] [--input FILE]
// Each target for N seconds (default 10). --save merges what was reached into the corpus and minimizes it. --input runs one file.
// A finding ends the run with status 1; its input lies in test/fuzz/out.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CORPUS_LIMIT, contentName, readCorpus, writeCorpus } from './corpus.ts';
import { fuzz, minimize, runOnce } from './engine.ts';
import { loadTargets } from './targets.ts';
import { Watchdog } from './watchdog.ts';

const OUT = fileURLToPath(new URL('../../fuzz/out/', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string' },
    save: { type: 'boolean', default: false },
    input: { type: 'string' },
  },
});
const coverage = globalThis.coveCoverage;
if (coverage === undefined) throw new Error('start with --import test/dist/fuzz/register.js');
const all = await loadTargets();
const unknown = positionals.filter((name) => !all.some((target) => target.name === name));
if (unknown.length > 0) {
  console.error(`no target ${unknown.join(', ')}: ${all.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const targets = all.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const seed = values.seed === undefined ? Date.now() & 0x7fffffff : Number(values.seed);
let failed = false;
mkdirSync(OUT, { recursive: true });
for (const target of targets) {
  if (values.input !== undefined) {
    const error = runOnce(target, new Uint8Array(readFileSync(values.input)));
    console.log(error === undefined ? `${target.name}: nothing wrong` : error);
    failed ||= error !== undefined;
    continue;
  }
  const stored = readCorpus(target.name);
  const watchdog = new Watchdog(`${OUT}${target.name}-hang`);
  const outcome = fuzz(target, coverage, stored, {
    seed,
    seconds: Number(values.seconds),
    begin: (input) => watchdog.begin(input),
  });
  await watchdog.stop();
  const rate = Math.round(outcome.executions / outcome.seconds);
  console.log(
    `${target.name}: ${outcome.executions} executions, ${rate}/s, ${outcome.covered} counters lit, ` +
      `${outcome.corpus.length} inputs kept, seed ${seed}`,
  );
  if (outcome.finding !== undefined) {
    failed = true;
    const { input, error } = outcome.finding;
    const file = `${OUT}${target.name}-${contentName(input)}`;
    writeFileSync(file, input);
    console.error(
      `found with seed ${seed}; again by: npm run fuzz -- ${target.name} --input ${file}`,
    );
    console.error(error);
  } else if (values.save) {
    const inputs = minimize(target, coverage, [...stored, ...outcome.corpus], CORPUS_LIMIT);
    writeCorpus(target.name, inputs);
    const size = inputs.reduce((sum, input) => sum + input.length, 0);
    console.log(`${target.name}: ${inputs.length} inputs stored, ${size} bytes`);
  }
}
process.exit(failed ? 1 : 0);
