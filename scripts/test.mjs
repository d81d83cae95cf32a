// Runs one layer of the tests on tsc's output: `node scripts/test.mjs unit [name filter]`.
// unit: everything beside the code, test/rules, test/sim, test/e2e and the corpus of test/fuzz. interop: test/interop (needs real peers).
// load: test/load (many nodes at once). netlab: test/netlab (needs root and real peers; with `--full` it takes longer
// and writes docs/nat.md).
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tellOfLateFiles } from './latefiles.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const layers = {
  unit: ['packages', 'apps', 'test/dist/rules', 'test/dist/sim', 'test/dist/fuzz', 'test/dist/e2e'],
  interop: ['test/dist/interop'],
  netlab: ['test/dist/netlab'],
  load: ['test/dist/load'],
};

/** Test files under `dir`, as tsc wrote them. */
function testFiles(dir) {
  let entries;
  try {
    entries = readdirSync(join(root, dir), { withFileTypes: true });
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  return entries.flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : testFiles(path);
    return path.includes('dist/') && entry.name.endsWith('.test.js') ? [path] : [];
  });
}

const [layer = 'unit', ...rest] = process.argv.slice(2);
const full = rest.includes('--full');
const filter = rest.find((word) => word !== '--full') ?? '';
if (!(layer in layers)) {
  console.error(`unknown layer ${layer}: choose one of ${Object.keys(layers).join(', ')}`);
  process.exit(2);
}
const files = layers[layer].flatMap(testFiles).filter((file) => file.includes(filter));
if (files.length === 0) {
  console.error(`no test file of layer ${layer} matches "${filter}"; has \`npm run build\` run?`);
  process.exit(1);
}
const concurrency = [`--test-concurrency=${layer === 'unit' ? 2 : 1}`];
const reporter = process.env.CI ? ['--test-reporter=spec'] : [];
// What became of each interop test, for docs/interop.md.
const record =
  layer === 'interop' && process.env.COVE_INTEROP_REPORT
    ? [`--import=${new URL('../test/dist/interop/record.js', import.meta.url)}`]
    : [];
// A file that has not ended by then is ended, and has failed. The slowest take a tenth of it.
const minutes = layer === 'unit' ? 5 : 15;
const args = [
  '--expose-gc',
  ...record,
  '--test',
  `--test-timeout=${minutes * 60_000}`,
  ...concurrency,
  ...reporter,
  ...files,
];
const run = spawn(process.execPath, args, {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, ...(full && { COVE_NETLAB: 'full' }) },
});
const stop = tellOfLateFiles(run.pid, minutes * 60 - 40);
// Ctrl-C reaches the runner by itself, and it says what it has.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => run.kill());
run.once('close', (code) => {
  stop();
  process.exit(code ?? 1);
});
