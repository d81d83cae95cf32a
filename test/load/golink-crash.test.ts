// golink under fire: killed two hundred times while it is written to.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SqliteDatabase } from '@cove/sqlite';
import type { ServerReady } from '../bench/golinkserver.ts';
import { crashRounds } from '../harness/golinkcrash.ts';

const dir = mkdtempSync(join(tmpdir(), 'cove-golink-crash-'));
after(() => rmSync(dir, { recursive: true, force: true }));

test('killed 200 times while links are made, edited, renamed, deleted, restored and imported: every answered change is there, none by half, and the history tells the links', {
  timeout: 600_000,
}, async () => {
  const counts = await Promise.all(
    [1, 2].map((seed) => crashRounds(join(dir, `go${seed}.db`), seed, 100)),
  );
  assert.ok(
    counts.every((count) => count > 1_000),
    String(counts),
  );
});

test('of the clicks no more than the last five seconds are lost', { timeout: 60_000 }, async () => {
  const file = join(dir, 'clicks.db');
  const script = fileURLToPath(new URL('../bench/golinkserver.js', import.meta.url));
  const child = fork(script, [file, 'import', '10'], { execArgv: [] });
  const [{ port }] = (await once(child, 'message')) as [ServerReady];
  const { scaleName } = await import('../bench/golinklinks.ts');
  const answered: number[] = [];
  const until = performance.now() + 12_500;
  while (performance.now() < until) {
    const answer = await fetch(`http://127.0.0.1:${port}/${scaleName(answered.length % 10)}`, {
      redirect: 'manual',
    });
    assert.equal(answer.status, 302);
    answered.push(performance.now());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const killed = performance.now();
  child.kill('SIGKILL');
  await once(child, 'exit');
  const db = new SqliteDatabase(file);
  const clicks = db.prepare('select sum(clicks) from stats').pluck().get() as number;
  assert.equal(db.prepare('select sum(clicks) from links').pluck().get(), clicks);
  db.close();
  // Half a second for a busy machine.
  const safe = answered.filter((at) => at < killed - 5_500).length;
  assert.ok(clicks >= safe, `${clicks} of ${answered.length} clicks, ${safe} of them older`);
});
