import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BROWSER, person, type Service, startService } from '../testing/service.ts';
import { OPERATIONS } from './api.ts';
import { errorsOf } from './openapi.ts';
import { mismatch } from './schema.ts';

const ROOT = '/.api/v1';

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly etag: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Operations that answered as they should, by ID. */
const covered = new Set<string>();

/** Every answer is checked against what the document says of the operation. */
async function call(
  go: Service,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const answer = await go.send(
    method,
    ROOT + path,
    body === undefined ? '' : JSON.stringify(body),
    { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
  );
  const bare = path.replace(/\?.*/, '');
  const operation = OPERATIONS.find(
    (each) =>
      each.method === method.toLowerCase() &&
      new RegExp(`^${each.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(bare),
  );
  const parsed = answer.body === '' ? {} : JSON.parse(answer.body);
  if (operation !== undefined && answer.status === operation.status) {
    covered.add(operation.id);
    if (operation.answer !== undefined)
      assert.equal(mismatch(operation.answer, parsed), undefined, answer.body);
    else assert.equal(answer.body, '');
  } else if (operation !== undefined && answer.status !== 304) {
    assert.ok(
      errorsOf(operation).includes(answer.status),
      `${operation.id}: ${answer.status} ${answer.body}`,
    );
    assert.equal(typeof parsed.error.code, 'string');
    assert.match(parsed.error.message, /\S/);
  }
  return {
    status: answer.status,
    body: parsed,
    etag: answer.headers.etag as string | undefined,
    headers: answer.headers,
  };
}

const items = (reply: Reply): Record<string, unknown>[] =>
  reply.body['items'] as Record<string, unknown>[];
const shorts = (reply: Reply): unknown[] => items(reply).map((item) => item['short']);

test('every operation does what its description says, with the answers it describes', async () => {
  await using go = await startService();
  const made = await call(go, 'POST', '/links', {
    ...{ short: 'Road-Map', long: 'https://plan.example/', description: 'Where we go' },
    ...{ tags: ['Plan'], editors: ['group:eng'], append: 'path' },
  });
  assert.equal(made.status, 201);
  assert.equal(made.headers['location'], '/.api/v1/links/Road-Map');
  assert.deepEqual(
    [made.body['owner'], made.body['version'], made.etag],
    ['foo@example.com', 1, '"1"'],
  );
  await call(go, 'POST', '/links', { short: 'other', long: 'http://o/' });
  assert.equal(
    (await call(go, 'POST', '/links', { short: 'roadmap', long: 'http://x/' })).status,
    409,
  );

  assert.deepEqual(shorts(await call(go, 'GET', '/links')), ['Road-Map', 'other']);
  assert.deepEqual(shorts(await call(go, 'GET', '/links?q=where')), ['Road-Map']);
  assert.deepEqual(shorts(await call(go, 'GET', '/links?tag=plan&mine=true')), ['Road-Map']);
  assert.deepEqual(
    shorts(await call(go, 'GET', '/links?owner=FOO@example.com&order=edited&limit=1')).length,
    1,
  );
  assert.deepEqual(shorts(await call(go, 'GET', '/links?unusedSince=2022-06-01T00:00:00Z')), []);
  assert.deepEqual(shorts(await call(go, 'GET', '/suggest?q=road')), ['Road-Map']);
  const both = await call(go, 'GET', '/links?q=where&mine=true');
  assert.equal(both.status, 400);
  const first = await call(go, 'GET', '/links?limit=1');
  assert.deepEqual(shorts(await call(go, 'GET', `/links?limit=1&after=${first.body['next']}`)), [
    'other',
  ]);

  const one = await call(go, 'GET', '/links/roadmap');
  assert.equal(
    (await call(go, 'GET', '/links/roadmap', undefined, { 'if-none-match': one.etag! })).status,
    304,
  );
  const stale = { 'if-match': '"9"' };
  assert.equal(
    (await call(go, 'PATCH', '/links/roadmap', { long: 'http://y/' }, stale)).status,
    412,
  );
  const renamed = await call(
    go,
    'PATCH',
    '/links/roadmap',
    { short: 'plan', keepOldName: true },
    { 'if-match': one.etag! },
  );
  assert.deepEqual(
    [renamed.body['short'], renamed.body['aliases'], renamed.etag],
    ['plan', ['Road-Map'], '"2"'],
  );
  // The owner stays who it was.
  go.caller = person('boss@example.com', true);
  assert.equal(
    (await call(go, 'PATCH', '/links/plan', { long: 'http://z/' })).body['owner'],
    'foo@example.com',
  );
  go.caller = person('foo@example.com');
  assert.equal((await go.get('/road-map/x?y=1')).location, 'http://z/x?y=1');

  const history = items(await call(go, 'GET', '/links/plan/history'));
  assert.deepEqual(
    history.map(({ kind }) => kind),
    ['update', 'rename', 'create'],
  );
  assert.deepEqual(
    items(await call(go, 'GET', `/links/plan/history?before=${history[1]!['seq']}`)).length,
    1,
  );
  assert.equal(items(await call(go, 'GET', '/changes?limit=2')).length, 2);
  const back = await call(go, 'POST', '/links/plan/restore', { seq: history[1]!['seq'] });
  assert.equal(back.body['long'], 'https://plan.example/');

  assert.deepEqual(items(await call(go, 'GET', '/links/plan/stats?step=hour')), [
    { at: '2022-06-02T01:00:00Z', clicks: 1 },
  ]);
  assert.equal(items(await call(go, 'GET', '/stats?days=2')).length, 1);
  await go.get('/nothing', BROWSER);
  assert.deepEqual(items(await call(go, 'GET', '/missing')), [{ name: 'nothing', visits: 1 }]);

  assert.equal((await call(go, 'DELETE', '/links/plan')).status, 204);
  assert.equal((await call(go, 'GET', '/links/plan')).status, 404);
  assert.equal(items(await call(go, 'GET', '/deleted')).length, 1);
  assert.equal((await call(go, 'POST', '/restore', { at: '2022-06-01T00:00:00Z' })).status, 403);
  go.caller = person('boss@example.com', true);
  assert.deepEqual(
    (await call(go, 'POST', '/restore', { at: '2022-06-01T00:00:00Z', dryRun: true })).body,
    { created: 0, changed: 0, deleted: 1 },
  );
  assert.deepEqual((await call(go, 'GET', '/me')).body, {
    login: 'boss@example.com',
    admin: true,
    groups: [],
  });
  const issued = await call(go, 'POST', '/tokens', { name: 'ci', scopes: ['read'] });
  const { id } = issued.body['token'] as { id: string };
  assert.equal(items(await call(go, 'GET', '/tokens')).length, 1);
  assert.equal((await call(go, 'DELETE', `/tokens/${id}`)).status, 204);
  assert.equal((await call(go, 'DELETE', `/tokens/${id}`)).status, 404);
  assert.deepEqual(
    OPERATIONS.map((each) => each.id).filter((each) => !covered.has(each)),
    [],
  );
});

test('the document names every operation, and nothing that is not served', async () => {
  await using go = await startService();
  const document = JSON.parse((await go.get(`${ROOT}/openapi.json`)).body);
  assert.equal(document.openapi, '3.1.0');
  const described = Object.entries<Record<string, { operationId: string }>>(document.paths).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, each]) => `${method} ${path} ${each.operationId}`),
  );
  assert.deepEqual(
    described.sort(),
    OPERATIONS.map(({ method, path, id }) => `${method} ${path} ${id}`).sort(),
  );
  assert.equal((await call(go, 'GET', '/nonsense')).status, 404);
  assert.equal((await call(go, 'PUT', '/links')).status, 405);
});

test('a token acts as its owner within its scopes, from any machine, until it is revoked or its owner leaves', async () => {
  let known = true;
  await using go = await startService({ isKnownUser: () => known });
  const issue = async (
    scopes: string[],
    more: object = {},
  ): Promise<{ auth: Record<string, string>; id: string }> => {
    const { body } = await call(go, 'POST', '/tokens', { name: 'ci', scopes, ...more });
    return {
      auth: { authorization: `Bearer ${body['text']}` },
      id: (body['token'] as { id: string }).id,
    };
  };
  const reader = await issue(['read']);
  const writer = await issue(['read', 'write']);
  const brief = await issue(['read'], { expires: '2022-06-02T02:00:00Z' });
  // A machine without a person.
  go.caller = undefined;
  const create = (short: string, auth: Record<string, string>): Promise<Reply> =>
    call(go, 'POST', '/links', { short, long: 'http://x/' }, auth);
  assert.equal((await create('a', {})).status, 403);
  assert.equal((await create('a', reader.auth)).status, 403);
  const made = await create('a', writer.auth);
  assert.deepEqual([made.status, made.body['owner']], [201, 'foo@example.com']);
  assert.equal(items(await call(go, 'GET', '/links/a/history'))[0]!['node'], 'token ci');
  assert.equal((await call(go, 'GET', '/me', undefined, reader.auth)).body['token'], 'ci');
  // Tokens make no tokens, and are told to nobody again.
  assert.equal(
    (await call(go, 'POST', '/tokens', { name: 'x', scopes: ['read'] }, writer.auth)).status,
    403,
  );
  assert.equal((await call(go, 'GET', '/tokens', undefined, writer.auth)).status, 403);
  go.now += 3_600_000;
  assert.equal((await call(go, 'GET', '/me', undefined, brief.auth)).status, 401);
  for (const bad of [
    'Bearer',
    'Bearer golink_000000000000_x',
    'Basic Zm9vOmJhcg==',
    `Bearer ${'x'.repeat(5000)}`,
  ])
    assert.equal(
      (await call(go, 'GET', '/links', undefined, { authorization: bad })).status,
      401,
      bad,
    );
  known = false;
  assert.equal((await call(go, 'GET', '/links', undefined, writer.auth)).status, 401);
  known = true;
  go.caller = person('foo@example.com');
  await call(go, 'DELETE', `/tokens/${writer.id}`);
  assert.equal((await create('b', writer.auth)).status, 401);
});

test('what is wrong with a request is said in a sentence, and nothing is changed', async () => {
  await using go = await startService();
  await call(go, 'POST', '/links', { short: 'x', long: 'http://x/' });
  const wrong: readonly [string, string, unknown][] = [
    ['POST', '/links', {}],
    ['POST', '/links', []],
    ['POST', '/links', { short: 'a b', long: 'http://x/' }],
    ['POST', '/links', { short: 'a', long: 'javascript:alert(1)' }],
    ['POST', '/links', { short: 'a', long: '{{' }],
    ['POST', '/links', { short: 'a', long: 'http://x/', owner: 'tagged-devices' }],
    ['POST', '/links', { short: 'a', long: 'http://x/', color: 'red' }],
    ['POST', '/links', { short: 'a', long: 7 }],
    ['POST', '/links', { short: 'a', long: 'http://x/', tags: ['two words'] }],
    ['POST', '/links', { short: 'a', long: 'http://x/', aliases: ['../..'] }],
    ['PATCH', '/links/x', { long: '' }],
    ['PATCH', '/links/x', { append: 'middle' }],
    ['POST', '/links/x/restore', { seq: 'one' }],
    ['POST', '/restore', { at: 'yesterday' }],
    ['GET', '/links?limit=0', undefined],
    ['GET', '/links?limit=many', undefined],
    ['GET', '/links?color=red', undefined],
    ['GET', '/links?after=nonsense', undefined],
    ['GET', '/links/x/history?before=z', undefined],
  ];
  for (const [method, path, body] of wrong)
    assert.equal(
      (await call(go, method, path, body)).status,
      400,
      `${method} ${path} ${JSON.stringify(body)}`,
    );
  const json = { 'content-type': 'application/json' };
  assert.equal((await go.send('POST', `${ROOT}/links`, '{"short":', json)).status, 400);
  assert.equal(
    (await go.send('POST', `${ROOT}/links`, Buffer.from([0x22, 0xff, 0x22]), json)).status,
    400,
  );
  assert.equal(
    (await go.send('POST', `${ROOT}/links`, `"${'x'.repeat(300_000)}"`, json)).status,
    413,
  );
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  assert.equal(
    (await go.send('POST', `${ROOT}/links`, 'short=a&long=http://x/', form)).status,
    415,
  );
  const { body } = await call(go, 'GET', '/links');
  assert.deepEqual([body['total'], (body['items'] as { version: number }[])[0]!.version], [1, 1]);
});

test("another site's page, and a page under a foreign name, change nothing through the API", async () => {
  await using go = await startService();
  const json = { 'content-type': 'application/json' };
  const body = JSON.stringify({ short: 'a', long: 'http://x/' });
  for (const headers of [
    { ...json, 'sec-fetch-site': 'cross-site' },
    { ...json, origin: 'http://evil.example' },
    { ...json, host: 'evil.example' },
  ] as Record<string, string>[]) {
    const answer = await go.send('POST', `${ROOT}/links`, body, headers);
    assert.ok(answer.status === 403 || answer.status === 421, String(answer.status));
    assert.equal(answer.headers['content-type'], 'application/json');
    const { error } = JSON.parse(answer.body) as { error: { code: string; message: string } };
    assert.match(`${error.code}: ${error.message}`, /^ERR_(?:CROSS_SITE|FOREIGN_HOST): [A-Z].*\.$/);
  }
  assert.equal((await call(go, 'GET', '/links')).body['total'], 0);
});

test('a read-only service is read', async () => {
  await using go = await startService({ readOnly: true });
  assert.equal((await call(go, 'GET', '/links')).status, 200);
  assert.equal((await call(go, 'POST', '/links', { short: 'a', long: 'http://x/' })).status, 405);
  assert.equal((await call(go, 'POST', '/tokens', { name: 'a', scopes: ['read'] })).status, 405);
});

test('a change is restored only to the link it is of, and only to the version asked for', async () => {
  await using go = await startService();
  await call(go, 'POST', '/links', { short: 'one', long: 'http://1/' });
  await call(go, 'POST', '/links', { short: 'two', long: 'http://2/' });
  const { etag } = await call(go, 'PATCH', '/links/one', { long: 'http://1/b' });
  const seq = items(await call(go, 'GET', '/links/one/history')).at(-1)!['seq'];
  const restore = (short: string, ifMatch?: string) =>
    call(
      go,
      'POST',
      `/links/${short}/restore`,
      { seq },
      ifMatch === undefined ? {} : { 'if-match': ifMatch },
    );
  for (const short of ['two', 'none']) assert.equal((await restore(short)).status, 404);
  assert.equal((await restore('one', '"1"')).status, 412);
  assert.equal((await call(go, 'GET', '/links/one')).body['long'], 'http://1/b');
  assert.equal((await restore('one', etag)).body['long'], 'http://1/');
  await call(go, 'DELETE', '/links/one');
  assert.equal((await restore('one', '"3"')).status, 412);
  assert.equal((await restore('ONE')).status, 200);
});

test('a moment needs its time zone', async () => {
  await using go = await startService();
  for (const [at, status] of [
    ['2022-06-01T00:00:00Z', 200],
    ['2022-06-01T00:00:00.5+02:00', 200],
    ['2022-06-01T00:00', 400],
    ['2022-06-01', 400],
    ['5', 400],
  ] as const)
    assert.equal(
      (await go.get(`/.api/v1/links?unusedSince=${encodeURIComponent(at)}`)).status,
      status,
      at,
    );
});

test('clicks of a moment that no calendar has are not imported, and the counts can still be asked for', async () => {
  await using go = await startService();
  const report = await go.golink.importSnapshot(
    (async function* () {
      yield '{"Short":"x","Long":"http://x/"}\n{"Stats":[["x",9007199254740991,1]]}\n';
    })(),
  );
  assert.deepEqual([report.added, report.clicks, report.invalid.length], [1, 0, 1]);
  for (const path of ['/stats', '/links/x/stats'])
    assert.equal((await call(go, 'GET', path)).status, 200);
});
