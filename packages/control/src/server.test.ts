import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControlServer } from './server.ts';
import { TestNode } from './testing/client.ts';

test('a node registers with an auth key and gets a first full map', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cove-control-'));
  const server = await ControlServer.open({
    database: join(dir, 'control.db'),
    serverUrl: 'http://127.0.0.1:1',
    domain: 'cove.test',
    tailnet: 'test',
    owner: 'alice@example.com',
  });
  const http = createServer();
  server.attach(http);
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done));
  const { port } = http.address() as AddressInfo;
  const { key } = await server.createAuthKey({ reusable: true });
  const a = await new TestNode('a').connect(port, server.publicKey);
  const response = await a.register({ Auth: { AuthKey: key } });
  assert.equal(response.MachineAuthorized, true);
  const stream = await a.stream({ Compress: 'zstd' });
  const first = JSON.parse(await stream.next());
  assert.equal(first.Node.Name, 'a.cove.test.');
  a.close();
  await server.close();
  http.close();
  rmSync(dir, { recursive: true });
});
