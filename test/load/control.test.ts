// Costs follow the change, not the tailnet: 500 nodes join and hold their streams; the program that loads control
// exits with 1 when a target is missed, and prints what it measured.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../bench/control-load.js', import.meta.url));

interface Measured {
  readonly nodes: number;
  readonly peerEntries: number;
  readonly notToldOnce: number;
  readonly laterFullMaps: number;
  readonly peakRssMiB: number;
}

test('500 nodes: every node is told of every other once, and no full map follows the first', {
  timeout: 300_000,
}, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, '500', '40'], {
    encoding: 'utf8',
  });
  process.stderr.write(stdout + stderr);
  const measured = JSON.parse(stdout.slice(0, stdout.lastIndexOf('}') + 1)) as Measured;
  assert.equal(measured.peerEntries, measured.nodes * (measured.nodes - 1));
  assert.equal(measured.notToldOnce, 0);
  assert.equal(measured.laterFullMaps, 0);
  assert.ok(measured.peakRssMiB < 300);
  assert.ok(status === 0 || /missed/.test(stderr), 'the program ran to its end');
});
