// A few rounds of test/load/golink-crash.test.ts.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { crashRounds } from '../harness/golinkcrash.ts';

const dir = mkdtempSync(join(tmpdir(), 'cove-golink-crash-'));
after(() => rmSync(dir, { recursive: true, force: true }));

test('killed while links are made, edited, renamed, deleted, restored and imported: every answered change is there, none by half, and the history tells the links', {
  timeout: 120_000,
}, async () => {
  assert.ok((await crashRounds(join(dir, 'go.db'), 7, 6)) > 60);
});
