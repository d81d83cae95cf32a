import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../bin/cove.js', import.meta.url));

test('a command ends although something was left open, and says what', {
  timeout: 30_000,
}, async () => {
  const leak = 'data:text/javascript,setInterval(() => {}, 1000)';
  const child = spawn(process.execPath, ['--import', leak, BIN, 'policy', 'nonsense'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 20_000,
    killSignal: 'SIGKILL',
  });
  const [said, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  assert.equal(signal, null);
  assert.equal(code, 2);
  assert.match(said, /something was left open \(.*Timeout/);
});
