// An app written with stock tsnet (Go, test/interop/go/tsnetapp) on our control: it and our nodes serve each other.
// Loopback only, no root.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server } from '@cove/tsnet';
import { cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';
import { eventually } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing, peerPath } from '../harness/peers.ts';

const skip = missing({ programs: [['tsnetapp', CURRENT_RELEASE]] });

interface Event {
  readonly event: 'ready' | 'fetched';
  readonly ips?: readonly string[];
  readonly name?: string;
  readonly status?: number;
  readonly body?: string;
}

describe(`a Go program with stock tsnet ${CURRENT_RELEASE} on our control`, { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), 'cove-tsnetapp-'));
  const dir = ['--dir', join(root, 'data')];
  let host: RunningCove;
  let app: ChildProcess;
  let node: Server;
  let output = '';
  let log = '';

  const authKey = async (user: string): Promise<string> =>
    (await cove(['authkey', 'create', '--user', user, ...dir])).stdout.trim();
  const event = (name: Event['event']): Promise<Event> =>
    eventually(
      () => `no ${name}\n${output}\n${log.slice(-4000)}`,
      90_000,
      () =>
        output
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as Event)
          .find((one) => one.event === name),
    );

  before(async () => {
    host = await RunningCove.start(['up', ...dir, ...FREE_PORTS]);
    const where = ['--control-url', host.ready.control, '--dir', join(root, 'app')];
    app = spawn(peerPath('tsnetapp'), [...where, '--fetch', 'http://go/'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        TS_AUTHKEY: await authKey('gopher@example.com'),
        TS_NO_LOGS_NO_SUPPORT: '1',
      },
    });
    app.stdout!.on('data', (text) => (output += text));
    app.stderr!.on('data', (text) => (log += text));
    node = new Server({
      hostname: 'visitor',
      dir: join(root, 'visitor'),
      controlUrl: host.ready.control,
      authKey: await authKey('vera@example.com'),
      env: {},
    });
    await node.up({ signal: AbortSignal.timeout(30_000) });
  });
  after(async () => {
    await node?.close();
    if (app?.exitCode === null && app.signalCode === null) {
      const ended = once(app, 'close');
      app.kill('SIGKILL');
      await ended;
    }
    await host?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  test('it joins with an auth key and gets its name', async () => {
    const { ips, name } = await event('ready');
    assert.equal(name, 'goapp.cove.internal.');
    assert.equal(ips?.length, 2);
  });

  test('it fetches http://go/, which names its user', async () => {
    const { status, body } = await event('fetched');
    assert.equal(status, 200);
    assert.ok(body!.includes('gopher@example.com'), body);
  });

  test('our node fetches its page, and it knows who calls', async () => {
    await event('ready');
    const response = await eventually(
      () => JSON.stringify(node.status()),
      30_000,
      () => node.fetch('http://goapp/', { signal: AbortSignal.timeout(10_000) }),
    );
    assert.equal(response.status, 200);
    assert.match(await response.text(), /greets vera@example\.com at visitor /);
  });

  test('4 MiB that our node sends arrive whole', async () => {
    const body = Buffer.alloc(4 << 20, 'cove');
    const signal = AbortSignal.timeout(60_000);
    const response = await node.fetch('http://goapp.cove.internal/', {
      method: 'POST',
      body,
      signal,
    });
    assert.match(await response.text(), new RegExp(`\\(${body.length} bytes received\\)`));
  });

  test('our node knows the program as a machine of its user', async () => {
    const { ips } = await event('ready');
    const who = await node.whoIs(`${ips![0]}:80`);
    assert.equal(who.user.loginName, 'gopher@example.com');
    assert.equal(who.node.name, 'goapp.cove.internal');
  });
});
