// What became of every test of a file, as JSON in the folder COVE_INTEROP_REPORT; scripts/interop-report.mjs makes
// docs/interop.md of it. scripts/test.mjs preloads this module where the variable is set.
import { mkdirSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, type TestContext } from 'node:test';

export interface Outcome {
  /** Titles from the outermost suite down to the test. */
  readonly path: readonly string[];
  readonly outcome: 'passed' | 'failed' | 'not offered';
  /** Why it did not pass. */
  readonly why?: string;
}

export interface FileReport {
  readonly file: string;
  readonly date: string;
  readonly node: string;
  readonly kernel: string;
  /** In the order in which they ended; a test comes after its subtests. */
  readonly tests: readonly Outcome[];
}

const tests: Outcome[] = [];

/** The peer has no such thing: the test ends here, and the report says why. */
export function notOffered(t: TestContext, why: string): void {
  // No hook runs after a test that skipped itself.
  tests.push({ path: t.fullName.split(' > '), outcome: 'not offered', why });
  t.skip(why);
}

/** node:test gives hooks more than its type declarations know. */
interface Ended {
  readonly fullName: string;
  readonly passed: boolean;
  readonly error?: (Error & { readonly cause?: unknown }) | null;
}

const folder = process.env['COVE_INTEROP_REPORT'];
const inTestProcess = process.env['NODE_TEST_CONTEXT'] !== undefined;

if (folder !== undefined && inTestProcess) {
  afterEach((context) => {
    const { fullName, passed, error } = context as unknown as Ended;
    const path = fullName.split(' > ');
    if (passed) tests.push({ path, outcome: 'passed' });
    else tests.push({ path, outcome: 'failed', why: firstLine(error) });
  });
  process.once('exit', () => {
    if (tests.length === 0) return;
    const file = basename(process.argv[1] ?? 'unknown').replace(/\.js$/, '.ts');
    const report: FileReport = {
      file,
      date: new Date().toISOString().slice(0, 10),
      node: process.version,
      kernel: `Linux ${release().split('.').slice(0, 2).join('.')}`,
      tests,
    };
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${file}.json`), `${JSON.stringify(report, undefined, 1)}\n`);
  });
}

function firstLine(error: Ended['error']): string {
  const cause = error?.cause instanceof Error ? error.cause : error;
  return (cause?.message ?? 'unknown').split('\n')[0]!;
}
