// The nodes that `cove up` embeds: their state is deleted, or their names change, and the doorway finds them all the same.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';

const dir = mkdtempSync(join(tmpdir(), 'cove-embedded-'));
const ARGS = ['up', '--dir', dir, '--owner', 'ada@example.com', ...FREE_PORTS];
let running: RunningCove;

before(async () => {
  running = await RunningCove.start(ARGS);
});
after(async () => {
  await running?.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Listed {
  readonly name: string;
  readonly hostname: string;
  readonly online: boolean;
}

async function listNodes(): Promise<readonly Listed[]> {
  const { stdout } = await cove(['node', 'list', '--json', '--dir', dir]);
  return (JSON.parse(stdout) as { nodes: readonly Listed[] }).nodes;
}

async function restart(): Promise<void> {
  await running.stop();
  running = await RunningCove.start(ARGS);
}

test('go is renamed while everything runs: the doorway still reaches it', async () => {
  const renamed = await cove(['node', 'rename', 'go', 'links', '--dir', dir]);
  assert.equal(renamed.code, 0, renamed.stderr);
  assert.equal((await running.ask('/')).status, 200);
  await restart();
  assert.equal(running.ready.services[0]!.url, 'http://links/');
  assert.equal((await running.ask('/')).status, 200);
  await cove(['node', 'rename', 'links', 'go', '--dir', dir]);
});

test('their state is deleted and that of control kept: they come back under their names, alone', async () => {
  const before = await listNodes();
  await running.stop();
  rmSync(join(dir, 'nodes'), { recursive: true });
  running = await RunningCove.start(ARGS);
  assert.equal(running.ready.services[0]!.url, 'http://go/');
  assert.equal((await running.ask('/')).status, 200);
  const names = (nodes: readonly Listed[]): string[] => nodes.map(({ name }) => name).sort();
  assert.deepEqual(names(await listNodes()), names(before));
  assert.equal(before.length, 2);
});

test('another owner has a doorway of his own, and the first one keeps its node', async () => {
  const owner = ['--owner', 'bob@example.com'];
  await running.stop();
  running = await RunningCove.start([...ARGS.slice(0, 3), ...owner, ...FREE_PORTS]);
  const doorways = (await listNodes()).filter((node) => node.name !== 'go');
  assert.equal(doorways.length, 2);
  assert.ok(doorways.every((node) => node.hostname === doorways[0]!.hostname));
  await restart();
  assert.equal((await listNodes()).length, 3);
});
