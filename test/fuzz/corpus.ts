// The corpus in the tree: test/fuzz/corpus/<target>/<hash of the content>, and found-<what> for inputs that broke something
// once, which stay whatever they cover.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../fuzz/corpus/', import.meta.url));
/** Bytes kept for one target. */
export const CORPUS_LIMIT: number = 16 * 1024;

export function readCorpus(target: string): Uint8Array[] {
  let names: string[];
  try {
    names = readdirSync(`${ROOT}${target}`).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names.map((name) => new Uint8Array(readFileSync(`${ROOT}${target}/${name}`)));
}

export function writeCorpus(target: string, inputs: readonly Uint8Array[]): void {
  mkdirSync(`${ROOT}${target}`, { recursive: true });
  for (const name of readdirSync(`${ROOT}${target}`)) {
    if (!name.startsWith('found-')) rmSync(`${ROOT}${target}/${name}`);
  }
  for (const input of inputs) {
    writeFileSync(`${ROOT}${target}/${contentName(input)}`, input);
  }
}

export function contentName(input: Uint8Array): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 12);
}
