// The examples, run as they stand against a tailnet in this process.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TestTailnet } from '../harness/tailnet.ts';

const example = (name: string): string =>
  fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));

test('hello.mjs greets the user of get.mjs by name', { timeout: 60_000 }, async () => {
  const tailnet = await TestTailnet.start();
  const home = mkdtempSync(join(tmpdir(), 'cove-examples-'));
  const environment = async (user: string): Promise<NodeJS.ProcessEnv> => ({
    ...process.env,
    HOME: home,
    XDG_CONFIG_HOME: home,
    TS_CONTROL_URL: tailnet.url,
    TS_AUTHKEY: (await tailnet.control.createAuthKey({ user })).key,
  });
  const hello = spawn(process.execPath, [example('hello.mjs')], {
    env: await environment('ada@example.com'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await once(hello.stdout, 'data')) as [Buffer];
    assert.equal(line.toString().trim(), 'http://hello.test.internal/');
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [example('get.mjs'), 'http://hello/'],
      {
        env: await environment('ben@example.com'),
      },
    );
    assert.match(stdout, /^hello ben.* on get\n$/);
  } finally {
    const ended = once(hello, 'exit');
    hello.kill();
    await ended;
    await tailnet[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  }
});
