// `cove join` without --tun: a machine lets itself in by key or by login page, and leaves when asked. No root needed.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { BIN, cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';

const dir = mkdtempSync(join(tmpdir(), 'cove-join-'));
const children: ChildProcess[] = [];
let network: RunningCove;

interface JoinEvent {
  readonly event: 'ready' | 'login';
  readonly url?: string;
  readonly name?: string;
  readonly ips?: readonly string[];
  readonly interface?: string;
}

before(async () => {
  network = await RunningCove.start([
    ...['up', '--dir', join(dir, 'up'), '--owner', 'ada@example.com'],
    ...FREE_PORTS,
  ]);
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await network?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** A running `cove join`; `next` resolves to its next line of JSON. */
function joinNetwork(name: string, ...more: readonly string[]) {
  const args = ['join', '--json', '--dir', join(dir, name), '--hostname', name, ...more];
  const child = spawn(process.execPath, [BIN, ...args, '--control-url', network.ready.control], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TS_DISABLE_PORTMAPPER: '1' },
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    next: async () => JSON.parse((await lines.next()).value as string) as JoinEvent,
    stop: async (): Promise<unknown> => {
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      return (await closed)[0];
    },
  };
}

test('with a key it is in at once, answers the other commands, and ends without a trace', async () => {
  const { stdout: key } = await cove([
    ...['authkey', 'create', '--user', 'bob@example.com', '--dir', join(dir, 'up')],
  ]);
  const machine = joinNetwork('bobs', '--auth-key', key.trim());
  const ready = await machine.next();
  assert.equal(ready.event, 'ready');
  assert.equal(ready.name, 'bobs');
  assert.match(ready.ips![0]!, /^100\./);
  assert.equal(ready.interface, undefined, 'without --tun only the process is in');
  const ping = await cove(['ping', 'go', '--tsmp', '--dir', join(dir, 'bobs')]);
  assert.match(ping.stdout, /^pong from go /, ping.stderr);
  const status = await cove(['status', '--dir', join(dir, 'bobs')]);
  assert.match(status.stdout, /^machine +Running +100\./m, status.stderr);
  const second = await cove(['join', '--dir', join(dir, 'bobs')]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^cove: .*bobs/);
  assert.equal(await machine.stop(), 0);
  const gone = await cove(['status', '--dir', join(dir, 'bobs')]);
  assert.equal(gone.code, 1);
});

test('without a key it says where to log in, waits for the approval, and needs none the next time', async () => {
  const machine = joinNetwork('eves');
  const login = await machine.next();
  assert.equal(login.event, 'login');
  const id = login.url!.split('/').at(-1)!;
  const admin = ['--dir', join(dir, 'up')];
  const approved = await cove(['node', 'approve', id, '--user', 'eve@example.com', ...admin]);
  assert.equal(approved.code, 0, approved.stderr);
  assert.equal((await machine.next()).event, 'ready');
  assert.equal(await machine.stop(), 0);
  const again = joinNetwork('eves');
  assert.equal((await again.next()).event, 'ready');
  assert.equal(await again.stop(), 0);
});

test('an interface name that cannot be is one sentence', async () => {
  const { code, stderr } = await cove([
    ...['join', '--dir', join(dir, 'named'), '--tun', 'a name', '--auth-key', 'x'],
    ...['--control-url', network.ready.control],
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /^cove: "a name" is no name for a network interface: .*\n$/);
});
