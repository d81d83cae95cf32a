// Every input the fuzzer once kept, run again: each is an input that reached something no other did, or broke something once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCorpus } from './corpus.ts';
import { runOnce } from './engine.ts';
import { loadTargets } from './targets.ts';

for (const target of await loadTargets()) {
  test(`the corpus of ${target.name} finds nothing`, () => {
    const inputs = [...target.seeds, ...readCorpus(target.name)];
    assert.ok(inputs.length > 0, 'there are inputs');
    for (const input of inputs) {
      const error = runOnce(target, input);
      if (error !== undefined) throw error;
    }
  });
}
