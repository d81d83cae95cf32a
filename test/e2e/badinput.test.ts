// What a person can get wrong at the command line: one sentence, what to do, a non-zero code, nothing changed.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';

const root = mkdtempSync(join(tmpdir(), 'cove-bad-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** One line on stderr that begins with the program's name. */
function assertSentence(stderr: string, pattern: RegExp): void {
  assert.match(stderr, pattern);
  assert.equal(
    stderr
      .trimEnd()
      .split('\n')
      .filter((line) => line.startsWith('cove: ')).length,
    1,
    stderr,
  );
  assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace');
}

for (const [what, args, pattern] of [
  ['an unknown option', ['up', '--frobnicate'], /unknown option '--frobnicate'/],
  ['an unknown command', ['frobnicate'], /unknown command 'frobnicate'/],
  ['a port that is none', ['up', '--port', '99999'], /99999 is not a port/],
  [
    'an address that is none',
    ['up', '--listen', 'example.com'],
    /give an IP address of this machine/,
  ],
  ['a time that is none', ['authkey', 'create', '--expires', 'soon'], /soon is not a time/],
] as const) {
  test(`${what}: exit code 2 and a sentence`, async () => {
    const { code, stdout, stderr } = await cove([...args]);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, pattern);
  });
}

test('every command has a --help that exits with 0', async () => {
  for (const name of ['up', 'golink', 'status', 'authkey', 'node', 'policy', 'control', 'derp']) {
    const { code, stdout } = await cove([name, '--help']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`Usage: cove ${name}`));
  }
});

test('nothing runs on the directory: the sentence says how to start it', async () => {
  const { code, stderr } = await cove(['status', '--dir', join(root, 'empty')]);
  assert.equal(code, 1);
  assertSentence(stderr, /no cove is running on .*: start it with `cove up`/);
});

test('a port in use is named, with the option that changes it', async () => {
  const other = createServer();
  await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
  const { port } = other.address() as AddressInfo;
  const args = FREE_PORTS.slice(2);
  const { code, stderr } = await cove([
    'up',
    '--dir',
    join(root, 'port'),
    '--port',
    String(port),
    ...args,
  ]);
  other.close();
  assert.equal(code, 1);
  assertSentence(
    stderr,
    new RegExp(
      `port ${port} on 127.0.0.1 is in use by another program: choose another with --port`,
    ),
  );
});

test('an address that this machine does not have', async () => {
  const { code, stderr } = await cove([
    'up',
    '--dir',
    join(root, 'addr'),
    '--listen',
    '192.0.2.77',
    ...FREE_PORTS,
  ]);
  assert.equal(code, 1);
  assertSentence(stderr, /192\.0\.2\.77 is not an address of this machine/);
});

test('a data directory that is a file', async () => {
  const file = join(root, 'file');
  writeFileSync(file, 'mine');
  const { code, stderr } = await cove(['up', '--dir', file, ...FREE_PORTS]);
  assert.equal(code, 1);
  assertSentence(stderr, /choose another --dir/);
  assert.equal(readFileSync(file, 'utf8'), 'mine');
});

test('a damaged database is named and left as it is', async () => {
  const dir = join(root, 'damaged');
  mkdirSync(join(dir, 'control'), { recursive: true });
  const path = join(dir, 'control', 'control.db');
  writeFileSync(path, 'this is not a database, it is a shopping list, and a long one at that');
  const { code, stderr } = await cove(['up', '--dir', dir, ...FREE_PORTS]);
  assert.equal(code, 1);
  assertSentence(stderr, /control\.db/);
  assert.match(readFileSync(path, 'utf8'), /shopping list/);
});

test('a damaged node state is named and left as it is', async () => {
  const dir = join(root, 'state');
  const first = await RunningCove.start(['up', '--dir', dir, ...FREE_PORTS]);
  await first.stop();
  const path = join(dir, 'nodes', 'go', 'tailscaled.state');
  writeFileSync(path, '{"half a');
  const { code, stderr } = await cove(['up', '--dir', dir, ...FREE_PORTS], { timeout: 60_000 });
  assert.equal(code, 1);
  assertSentence(stderr, /tailscaled\.state/);
  assert.equal(readFileSync(path, 'utf8'), '{"half a');
});

test('a control URL where nobody answers, and one where something else does', async () => {
  const page = createServer((_req, res) => void res.end('<h1>welcome to my router</h1>'));
  await new Promise<void>((done) => page.listen(0, '127.0.0.1', done));
  const { port } = page.address() as AddressInfo;
  const join1 = (url: string, name: string) =>
    cove(['golink', '--dir', join(root, name), '--control-url', url, '--auth-key', 'x'], {
      timeout: 60_000,
    });
  const foreign = await join1(`http://127.0.0.1:${port}`, 'foreign');
  assert.equal(foreign.code, 1);
  assertSentence(foreign.stderr, /not a Tailscale|coordination server/i);
  page.close();
  page.closeAllConnections();
  const nobody = await join1('http://127.0.0.1:9', 'nobody');
  assert.equal(nobody.code, 1);
  assertSentence(nobody.stderr, /127\.0\.0\.1:9/);
});

test('a wrong auth key is refused with a sentence', async () => {
  const host = await RunningCove.start(['up', '--dir', join(root, 'host'), ...FREE_PORTS]);
  try {
    const { code, stderr } = await cove(
      [
        'golink',
        '--dir',
        join(root, 'guest'),
        '--control-url',
        host.ready.control,
        '--auth-key',
        'wrong',
      ],
      { timeout: 60_000 },
    );
    assert.equal(code, 1);
    assertSentence(stderr, /auth ?key/i);
  } finally {
    await host.stop();
  }
});

for (const command of ['up', 'control']) {
  test(`${command}: an owner or domain that is refused is not kept for the next start`, async () => {
    const dir = join(root, `settings-${command}`);
    const ports = command === 'up' ? FREE_PORTS : FREE_PORTS.slice(2);
    for (const wrong of [
      ['--domain', 'home'],
      ['--owner', 'x'],
    ]) {
      const { code, stderr } = await cove([command, '--dir', dir, ...ports, ...wrong]);
      assert.notEqual(code, 0);
      assertSentence(stderr, /"home" is not a|"x" is not of the form/);
    }
    const right = await RunningCove.start([command, '--dir', dir, ...ports]);
    assert.equal(await right.stop(), 0);
    const renamed = await cove([command, '--dir', dir, ...ports, '--domain', 'other.internal']);
    assert.equal(renamed.code, 2);
    assertSentence(renamed.stderr, /this tailnet is called cove\.internal/);
  });
}

test("a damaged state of the doorway's node ends the process, though go is on its way up", async () => {
  const dir = join(root, 'doorway-state');
  const node = join(dir, 'nodes', 'doorway-ada@example.com');
  mkdirSync(node, { recursive: true });
  writeFileSync(join(node, 'tailscaled.state'), '{"half a');
  const { code, stderr } = await cove(
    ['up', '--dir', dir, '--owner', 'ada@example.com', ...FREE_PORTS],
    { timeout: 20_000 },
  );
  assert.equal(code, 1);
  assertSentence(stderr, /tailscaled\.state/);
});

test('a policy without the tag of services can be removed while the start waits for it', async () => {
  const dir = join(root, 'policy');
  const policy = join(root, 'policy.json');
  writeFileSync(policy, '{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}');
  const first = await RunningCove.start(['up', '--dir', dir, ...FREE_PORTS]);
  const set = await cove(['policy', 'set', policy, '--dir', dir]);
  assert.equal(set.code, 0, set.stderr);
  await first.stop();
  // Another control port is another URL, for which go has no login: it needs a key again.
  const starting = RunningCove.start(['up', '--dir', dir, ...FREE_PORTS]);
  try {
    // The doorway's node gets its second key when go is refused one.
    const doorwayKeys = async (): Promise<number> =>
      (await cove(['authkey', 'list', '--dir', dir])).stdout.match(/ doorway$/gm)?.length ?? 0;
    for (let i = 0; i < 100 && (await doorwayKeys()) < 2; i++) {
      await new Promise((done) => setTimeout(done, 100));
    }
    await new Promise((done) => setTimeout(done, 500));
    const unset = await cove(['policy', 'unset', '--dir', dir]);
    assert.equal(unset.code, 0, unset.stderr);
    assert.equal((await (await starting).ask('/')).status, 200);
    assert.match((await starting).errors(), /go cannot join, .*npx cove policy unset/);
  } finally {
    await (await starting).stop();
  }
});
