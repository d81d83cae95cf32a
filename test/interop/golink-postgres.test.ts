// golink over PostgreSQL: replicas that share a database never follow a link as it was before an answered change.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { postgresPrograms, startPostgres } from '../harness/postgres.ts';

const SKIP = postgresPrograms() === undefined && 'PostgreSQL is not installed';

class Replica implements AsyncDisposable {
  readonly process: ChildProcess;
  port = 0;

  private constructor(process: ChildProcess) {
    this.process = process;
  }

  static async start(address: string): Promise<Replica> {
    const script = fileURLToPath(new URL('./golinkreplica.js', import.meta.url));
    const replica = new Replica(fork(script, [address]));
    const [port] = await once(replica.process, 'message');
    replica.port = port as number;
    return replica;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
  }

  send(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; location: string | undefined; body: string }> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    return new Promise((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port: this.port, method, path, headers }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        res.on('end', () =>
          resolve({ status: res.statusCode!, location: res.headers.location, body: text }),
        );
      });
      req.on('error', reject);
      req.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  api(method: string, path: string, body?: unknown): ReturnType<Replica['send']> {
    return this.send(method, `/.api/v1${path}`, body);
  }
}

test('a change answered by one replica is what every other follows, for creating, editing, renaming, deleting', {
  skip: SKIP,
  timeout: 120_000,
}, async () => {
  await using postgres = await startPostgres();
  const replicas = await Promise.all([1, 2, 3].map(() => Replica.start(postgres.address)));
  try {
    const visit = async (path: string): Promise<unknown[]> =>
      Promise.all(
        replicas.map(async (replica) => {
          const { status, location } = await replica.send('GET', path);
          return location ?? status;
        }),
      );
    const same = (value: unknown): unknown[] => replicas.map(() => value);
    for (let i = 0; i < 60; i++) {
      const writer = replicas[i % replicas.length]!;
      const other = replicas[(i + 1) % replicas.length]!;
      const created = await writer.api('POST', '/links', { short: `n${i}`, long: `http://a${i}/` });
      assert.equal(created.status, 201, created.body);
      assert.deepEqual(await visit(`/N-${i}/x?q=1`), same(`http://a${i}/x?q=1`));
      await other.api('PATCH', `/links/n${i}`, { long: `http://b${i}/` });
      assert.deepEqual(await visit(`/n${i}`), same(`http://b${i}/`));
      await writer.api('PATCH', `/links/n${i}`, { short: `m${i}`, keepOldName: true });
      assert.deepEqual(await visit(`/n${i}`), same(`http://b${i}/`));
      await other.api('DELETE', `/links/m${i}`);
      assert.deepEqual(await visit(`/m${i}`), same(404));
    }
  } finally {
    await Promise.all(replicas.map((replica) => replica[Symbol.asyncDispose]()));
  }
});

test('edits of one link by several replicas at once all happen, each once', {
  skip: SKIP,
  timeout: 120_000,
}, async () => {
  await using postgres = await startPostgres();
  await using one = await Replica.start(postgres.address);
  await using two = await Replica.start(postgres.address);
  await one.api('POST', '/links', { short: 'x', long: 'http://0/' });
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      (i % 2 === 0 ? one : two).api('PATCH', '/links/x', { description: String(i) }),
    ),
  );
  const done = answers.filter(({ status }) => status === 200).length;
  // Whoever looked at a version that was overtaken is told so.
  assert.ok(
    answers.every(({ status }) => status === 200 || status === 412),
    String(answers.map(({ status }) => status)),
  );
  const link = JSON.parse((await two.api('GET', '/links/x')).body);
  assert.equal(link.version, 1 + done);
  const history = JSON.parse((await one.api('GET', '/links/x/history')).body).items;
  assert.equal(history.length, 1 + done);
  // Only one of two that create the same name at once does.
  const created = await Promise.all(
    [one, two, one, two].map((replica) =>
      replica.api('POST', '/links', { short: 'y', long: 'http://y/' }),
    ),
  );
  assert.deepEqual(created.map(({ status }) => status).sort(), [201, 409, 409, 409]);
});

test('a server that crashes loses nothing answered; replicas say what is wrong and go on once it is back', {
  skip: SKIP,
  timeout: 120_000,
}, async () => {
  await using postgres = await startPostgres();
  await using replica = await Replica.start(postgres.address);
  const answered: string[] = [];
  for (let round = 0; round < 3; round++) {
    let writing = true;
    const writer = (async () => {
      for (let i = 0; writing; i++) {
        const short = `r${round}.${i}`;
        const { status } = await replica.api('POST', '/links', { short, long: 'http://x/' });
        if (status === 201) answered.push(short);
      }
    })();
    while (answered.length < 12 * (round + 1))
      await new Promise((resolve) => setTimeout(resolve, 5));
    postgres.crash();
    const { status, body } = await replica.api('GET', '/links');
    assert.equal(status, 500);
    assert.match(
      JSON.parse(body).error.message,
      /^The database postgres:\/\/cove@127\.0\.0\.1:\d+\/links cannot be used: /,
    );
    assert.equal((await replica.send('GET', '/r0.0')).status, 500);
    writing = false;
    await writer;
    postgres.start();
    assert.equal((await replica.api('GET', '/links')).status, 200);
  }
  for (const short of answered)
    assert.equal((await replica.send('GET', `/${short}`)).location, 'http://x/', short);
});

test('a name is given away once, as a name or as another name, whichever replicas are asked', {
  skip: SKIP,
  timeout: 120_000,
}, async () => {
  await using postgres = await startPostgres();
  await using one = await Replica.start(postgres.address);
  await using two = await Replica.start(postgres.address);
  for (const short of ['a', 'b'])
    await one.api('POST', '/links', { short, long: `http://${short}/` });
  for (let i = 0; i < 25; i++) {
    const name = `t${i}`;
    const statuses = await Promise.all([
      one.api('POST', '/links', { short: name, long: 'http://own/' }),
      two.api('PATCH', '/links/a', { aliases: [name] }),
      one.api('PATCH', '/links/b', { aliases: [name] }),
    ]).then((answers) => answers.map(({ status }) => status));
    assert.equal(statuses.filter((status) => status < 300).length, 1, `${name}: ${statuses}`);
    assert.equal(statuses.filter((status) => status === 409).length, 2, `${name}: ${statuses}`);
  }
});

test('clicks of all replicas are summed, also those that one counted under a name that another has changed', {
  skip: SKIP,
  timeout: 120_000,
}, async () => {
  await using postgres = await startPostgres();
  await using one = await Replica.start(postgres.address);
  await using two = await Replica.start(postgres.address);
  await one.api('POST', '/links', { short: 'old', long: 'http://x/' });
  await Promise.all(
    Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? one : two).send('GET', '/old')),
  );
  await one.api('PATCH', '/links/old', { short: 'new', keepOldName: true });
  for (const replica of [one, two, two]) await replica.send('GET', '/old');
  for (const replica of [one, two]) await replica.send('GET', '/.export-stats');
  for (const replica of [one, two])
    assert.equal(JSON.parse((await replica.api('GET', '/links/new')).body).clicks, 203);
});

test('links are listed, searched, deleted, restored and brought back to a moment over PostgreSQL as over a file', {
  skip: SKIP,
  timeout: 120_000,
}, async () => {
  await using postgres = await startPostgres();
  await using one = await Replica.start(postgres.address);
  await using two = await Replica.start(postgres.address);
  for (let i = 0; i < 30; i++)
    await one.api('POST', '/links', {
      ...{ short: `n${i}`, long: `http://wiki.example/${i}` },
      ...{ description: i === 7 ? 'Road map äö' : '', tags: i % 3 === 0 ? ['eng'] : [] },
    });
  const items = async (query: string): Promise<string[]> => {
    const answer = await two.api('GET', `/links?limit=100&${query}`);
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body).items.map((item: { short: string }) => item.short);
  };
  assert.equal((await items('q=wiki')).length, 30);
  assert.deepEqual(await items(`q=${encodeURIComponent('ROAD äö')}`), ['n7']);
  assert.deepEqual(await items('q=map+tag:eng'), []);
  assert.equal((await items('tag=eng&order=clicks')).length, 10);
  assert.equal((await items('unusedSince=2999-01-01T00:00:00Z')).length, 30);
  assert.equal(JSON.parse((await two.api('GET', '/links')).body).total, 30);
  await one.send('GET', '/n7');
  await one.send('GET', '/.export-stats');
  await two.api('DELETE', '/links/n7');
  assert.equal(JSON.parse((await one.api('GET', '/links')).body).total, 29);
  const [deletion] = JSON.parse((await one.api('GET', '/links/n7/history')).body).items;
  const restored = await one.api('POST', '/links/n7/restore', { seq: deletion.seq });
  assert.equal(restored.status, 200, restored.body);
  const { clicks, version } = JSON.parse((await two.api('GET', '/links/n7')).body);
  assert.deepEqual([clicks, version], [1, 3]);
});
