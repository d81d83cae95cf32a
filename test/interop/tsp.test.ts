// Stock tsp, the bare protocol client, against our control: key, registration, maps. Loopback only, no root.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type MapResponse, parseMapResponse } from '@cove/protocol/mapmessage';
import { cove, FREE_PORTS, RunningCove } from '../harness/cove.ts';
import { eventually } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing, peerPath } from '../harness/peers.ts';

const execute = promisify(execFile);
const skip = missing({ programs: [['tsp', CURRENT_RELEASE]] });

interface Registered {
  readonly MachineAuthorized: boolean;
  readonly AuthURL: string;
  readonly Error: string;
  readonly Login: { readonly LoginName: string };
}

interface Stream {
  readonly child: ChildProcess;
  text(): string;
  firstMap(): Promise<MapResponse>;
}

describe(`stock tsp ${CURRENT_RELEASE} on our control`, { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), 'cove-tsp-'));
  const dir = ['--dir', join(root, 'data')];
  let control: RunningCove;
  let url: string;

  before(async () => {
    control = await RunningCove.start(['control', ...dir, ...FREE_PORTS.slice(2)]);
    url = control.ready.control;
  });
  after(async () => {
    await control?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  const tsp = async (...args: string[]): Promise<string> =>
    (await execute(peerPath('tsp'), ['-s', url, ...args], { timeout: 30_000 })).stdout;
  const register = async (name: string, ...more: string[]): Promise<Registered> => {
    const file = join(root, `${name}.json`);
    await tsp('new-node', '-o', file);
    return JSON.parse(await tsp('register', '-n', file, '-hostname', name, ...more)) as Registered;
  };
  const newKey = async (): Promise<string> =>
    (await cove(['authkey', 'create', '--user', 'tess@example.com', ...dir])).stdout.trim();
  /** A file with a key. */
  const keyFile = async (): Promise<string> => {
    const path = join(root, 'key');
    writeFileSync(path, await newKey());
    return path;
  };

  /** A stream of maps that goes on. */
  const stream = (name: string): Stream => {
    const args = ['-s', url, 'map', '-n', join(root, `${name}.json`), '-stream'];
    const child = spawn(peerPath('tsp'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
    const firstMap = async (): Promise<MapResponse> =>
      parseMap(
        await eventually(
          () => text,
          20_000,
          () => objects(text)[0],
        ),
      );
    return { child, text: () => text, firstMap };
  };

  test('it learns the key of our control', async () => {
    const shown = (await tsp('discover-server-key')).trim();
    const answer = (await (await fetch(`${url}/key?v=100`)).json()) as { publicKey: string };
    assert.equal(shown, answer.publicKey);
  });

  test('it registers with a key, and the answer names the user', async () => {
    const answer = await register('first', '-auth-key', await keyFile());
    assert.equal(answer.Error, '');
    assert.equal(answer.AuthURL, '');
    assert.equal(answer.MachineAuthorized, true);
    assert.equal(answer.Login.LoginName, 'tess@example.com');
  });

  test('it takes a key as a word, too', async () => {
    const answer = await register('worded', '-auth-key', await newKey());
    assert.equal(answer.MachineAuthorized, true);
  });

  test('without a key it gets a URL, with a wrong one a sentence', async () => {
    const waiting = await register('waiting');
    assert.ok(waiting.AuthURL.startsWith(`${url}/register/`), waiting.AuthURL);
    assert.equal(waiting.MachineAuthorized, false);
    const wrong = join(root, 'wrong.json');
    await tsp('new-node', '-o', wrong);
    const refused = await tsp('register', '-n', wrong, '-auth-key', 'tskey-auth-wrong').then(
      (text) => text,
      (error: { readonly stderr: string }) => error.stderr,
    );
    assert.match(refused, /invalid pre auth key/);
  });

  test('it gets a map: itself, its relay, names, users and who may reach it', async () => {
    const map = parseMap(await tsp('map', '-n', join(root, 'first.json')));
    assert.equal(map.Node?.Name, 'first.cove.internal.');
    assert.equal(map.Node.Addresses?.length, 2);
    assert.equal(map.Domain, 'cove.internal');
    assert.equal(map.DERPMap?.Regions?.['900']?.Nodes?.length, 1);
    assert.equal(map.DNSConfig?.Proxied, true);
    assert.ok(map.UserProfiles?.some((user) => user.LoginName === 'tess@example.com'));
    assert.ok(map.PacketFilter !== undefined || map.PacketFilters !== undefined);
    assert.deepEqual(map.Peers ?? [], []);
  });

  test('while it streams, a machine that joins comes as a change', async () => {
    const first = stream('first');
    const children = [first.child];
    try {
      assert.equal((await first.firstMap()).Node?.Name, 'first.cove.internal.');
      await register('second', '-auth-key', await keyFile());
      // Others are told of a machine once it listens itself.
      const second = stream('second');
      children.push(second.child);
      const change = await eventually(
        () => first.text(),
        20_000,
        () => objects(first.text()).find((one) => one.includes('PeersChanged')),
      );
      const map = parseMap(change);
      assert.deepEqual(
        map.PeersChanged?.map((peer) => peer.Key),
        [(await second.firstMap()).Node?.Key],
      );
      assert.equal(map.Peers, undefined, 'no whole list after the first');
    } finally {
      for (const child of children) child.kill('SIGKILL');
    }
  });
});

function parseMap(text: string): MapResponse {
  return parseMapResponse(Buffer.from(text));
}

/** The whole JSON objects of indented output that may still grow. */
function objects(text: string): string[] {
  return text.split(/^(?=\{$)/m).filter((one) => /^\}$/m.test(one));
}
