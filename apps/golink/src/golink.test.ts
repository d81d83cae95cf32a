import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GolinkError } from './errors.ts';
import { createGolink } from './golink.ts';
import { BROWSER, machine, person, startService } from './testing/service.ts';

test('a visit answers 302 to where the link leads, for anyone, by any spelling', async () => {
  await using go = await startService();
  await go.save('who', 'http://who/');
  await go.save('me', '/who/{{.User}}');
  await go.save('invalid-var', '/who/{{.Invalid}}');
  await go.save('Meeting-Notes', 'http://notes');
  const foo = person('foo@example.com');
  const cases: readonly [string, typeof foo | undefined, number, string | undefined][] = [
    ['/who', foo, 302, 'http://who/'],
    ['/who', undefined, 302, 'http://who/'],
    ['/who/p', foo, 302, 'http://who/p'],
    ['/who?q=1', foo, 302, 'http://who/?q=1'],
    ['/who/p?q=1', foo, 302, 'http://who/p?q=1'],
    ['/who/http://host', foo, 302, 'http://who/http://host'],
    ['/who.', foo, 302, 'http://who/'],
    ['/who,', foo, 302, 'http://who/'],
    ['/who,/p', foo, 302, 'http://who/p'],
    ['/who)', foo, 302, 'http://who/'],
    ['/WHO', foo, 302, 'http://who/'],
    ['/meetingnotes', foo, 302, 'http://notes'],
    ['/Who/a%20b', foo, 302, 'http://who/a%20b'],
    ['http://any.example/who/p', foo, 302, 'http://who/p'],
    ['/me', foo, 302, '/who/foo@example.com'],
    ['/does-not-exist', foo, 404, undefined],
    ['/invalid-var', foo, 500, undefined],
    ['/me', undefined, 401, undefined],
    ['/who+', foo, 302, '/.detail/who'],
    ['/who+/rest?q=1', foo, 302, '/.detail/who'],
    ['/who++', foo, 302, '/.detail/who+'],
    ['/who/%ff', foo, 302, 'http://who/%FF'],
    ['/%zz', foo, 400, undefined],
    ['//who', foo, 404, undefined],
  ];
  for (const [path, caller, status, location] of cases) {
    go.caller = caller;
    const answer = await go.get(path);
    assert.deepEqual([answer.status, answer.location], [status, location], path);
  }
  go.caller = new Error('the tunnel is gone');
  assert.equal((await go.get('/me')).status, 401);
  assert.equal((await go.get('/who')).status, 302);
  assert.equal((await go.send('POST', '/who', 'x=1', {})).location, 'http://who/');
  assert.equal((await go.send('HEAD', '/who', '', {})).location, 'http://who/');
});

test('saving checks in order: fields, name, template, caller, owner, token', async () => {
  await using go = await startService();
  const line =
    '{"Short":"link-owned-by-tagged-devices","Long":"/before","Owner":"tagged-devices"}\n';
  await go.golink.importSnapshot(
    (async function* () {
      yield line;
    })(),
  );
  const foo = person('foo@example.com');
  const bar = person('bar@example.com');
  const barAdmin = person('bar@example.com', true);
  go.caller = foo;
  const asFoo = await go.token('/');
  assert.equal((await go.post('/', { short: '', long: 'http://who/' })).status, 400);
  assert.equal((await go.post('/', { short: 'who', long: '' })).status, 400);
  assert.equal(
    (await go.post('/', { short: 'who', long: 'http://who/', xsrf: asFoo })).status,
    200,
  );

  go.caller = bar;
  const answer = await go.post('/', { short: 'who', long: 'http://x/' }, { 'sec-golink': '1' });
  assert.equal(answer.status, 403);
  assert.equal(answer.body, 'cannot update link owned by "foo@example.com"\n');
  const tagged = '/.detail/link-owned-by-tagged-devices';
  const taken = {
    short: 'link-owned-by-tagged-devices',
    long: '/after',
    xsrf: await go.token(tagged),
  };
  assert.equal((await go.post('/', taken)).status, 200);
  assert.match((await go.get(tagged)).body, /"Owner": "bar@example\.com"/);

  go.caller = barAdmin;
  const forWho = await go.token('/.detail/who');
  assert.equal(
    (await go.post('/', { short: 'who', long: 'http://who/', xsrf: forWho })).status,
    200,
  );

  go.caller = new Error('lookup failed');
  assert.equal(
    (await go.post('/', { short: 'who2', long: 'http://who/', xsrf: forWho })).status,
    500,
  );
  go.caller = undefined;
  assert.equal((await go.post('/', { short: 'who2', long: 'http://who/' })).status, 500);

  go.caller = barAdmin;
  const overwrite = { short: 'who', long: 'http://who/updated', xsrf: await go.token('/') };
  const refused = await go.post('/', overwrite);
  assert.deepEqual([refused.status, refused.location], [303, '/.detail/who?exists=1']);
  assert.equal((await go.get('/who')).location, 'http://who/');
  assert.match((await go.get('/.detail/who?exists=1', BROWSER)).body, /exists already/);

  const goat = { short: 'goat', long: 'https://goat.example.com/goat.php?goat=true' };
  const wrong = await go.post('/', { ...goat, xsrf: forWho });
  assert.deepEqual([wrong.status, wrong.body], [400, 'invalid XSRF token\n']);
});

test('a name, a template and an owner that will not do are refused with a sentence', async () => {
  await using go = await startService({ isKnownUser: (login) => login === 'foo@example.com' });
  const refused = async (short: string, long: string, owner?: string): Promise<string> => {
    const answer = await go.save(short, long, owner === undefined ? {} : { owner });
    assert.equal(answer.status, 400);
    assert.equal((await go.get('/.export')).body, '');
    return answer.body;
  };
  assert.equal(
    await refused('a b', 'http://x/'),
    'short may only contain letters, numbers, dash, and period\n',
  );
  assert.match(await refused('.x', 'http://x/'), /^short may only/);
  assert.match(
    await refused('x', 'http://x/{{'),
    /^long contains an invalid template: line 1, column 10/,
  );
  assert.match(await refused('x', 'http://x/{{1i}}'), /complex numbers are not available/);
  assert.match(await refused('x', 'javascript:alert(1)'), /javascript/);
  assert.equal(
    await refused('x', 'http://x/', 'nobody@example.com'),
    'new owner not a valid user: nobody@example.com\n',
  );
  assert.equal(
    await refused('x', 'http://x/', 'tagged-devices'),
    'new owner not a valid user: tagged-devices\n',
  );
});

test('saving gives one line of JSON to scripts and a page to browsers; fields may stand in the query', async () => {
  await using go = await startService();
  const json = await go.save('cs', 'https://cs.example/?a&b');
  assert.equal(json.headers['content-type'], 'application/json');
  assert.equal(
    json.body,
    '{"Short":"cs","Long":"https://cs.example/?a\\u0026b","Created":"2022-06-02T01:02:03Z","LastEdit":"2022-06-02T01:02:03Z","Owner":"foo@example.com"}\n',
  );
  const page = await go.post(
    '/',
    { short: 'x', long: 'http://x/', xsrf: await go.token('/') },
    BROWSER,
  );
  assert.equal(page.status, 200);
  assert.match(page.body, /It works right now/);
  const query = await go.send('POST', '/?short=q&long=http://q/', '', { 'sec-golink': '1' });
  assert.equal(query.status, 200);
  assert.equal((await go.get('/q')).location, 'http://q/');
});

test('an edit keeps the creation time, takes the new spelling, and can hand the link over', async () => {
  await using go = await startService();
  await go.save('Team-Notes', 'http://a/');
  go.now += 60_000;
  await go.save('teamNotes', 'http://b/', { owner: 'bar@example.com' });
  assert.deepEqual(JSON.parse((await go.get('/.detail/teamNotes')).body), {
    Short: 'teamNotes',
    Long: 'http://b/',
    Created: '2022-06-02T01:02:03Z',
    LastEdit: '2022-06-02T01:03:03Z',
    Owner: 'bar@example.com',
  });
  const respelled = await go.get('/.detail/Team-Notes?exists=1');
  assert.deepEqual([respelled.status, respelled.location], [302, '/.detail/teamNotes?exists=1']);
  assert.equal((await go.save('teamnotes', 'http://c/')).status, 403);
  go.caller = person('bar@example.com');
  const page = (await go.get('/.detail/teamNotes', BROWSER)).body;
  assert.match(page, /foo@example\.com<\/b> changed it/);
  assert.match(page, /http:\/\/<del>a<\/del><ins>b<\/ins>\//);
});

test('deleting needs a form token of the link, and gives a form that makes it again', async () => {
  await using go = await startService();
  const lines = ['a', 'foo', 'link-owned-by-tagged-devices'].map((short) =>
    JSON.stringify({
      Short: short,
      Long: `/${short}`,
      Owner: short === 'link-owned-by-tagged-devices' ? 'tagged-devices' : `${short}@example.com`,
    }),
  );
  await go.golink.importSnapshot(
    (async function* () {
      yield lines.join('\n');
    })(),
  );
  const remove = async (short: string, xsrf: string, headers = {}): Promise<number> =>
    (await go.post(`/.delete/${short}`, { xsrf }, headers)).status;
  assert.equal(await remove('', ''), 400);
  assert.equal(await remove('does-not-exist', ''), 404);
  assert.equal(await remove('a', ''), 403);
  assert.equal(await remove('foo', 'x', { 'sec-golink': '1' }), 400);
  assert.equal((await go.get('/.delete/foo')).status, 400);
  const tagged = 'link-owned-by-tagged-devices';
  const forTagged = await go.token(`/.detail/${tagged}`);
  assert.equal(await remove('foo', forTagged), 400);
  assert.equal(await remove(tagged, forTagged), 200);
  const forFoo = await go.token('/.detail/foo');
  await go.get('/foo');
  const done = await go.post('/.delete/FOO', { xsrf: forFoo }, BROWSER);
  assert.equal(done.status, 200);
  assert.match(done.body, /after 1 click\./);
  assert.equal((await go.get('/foo')).status, 404);
  assert.doesNotMatch((await go.get('/.export-stats')).body, /foo/);
  const again = /name="xsrf" value="([^"]+)"/.exec(done.body)![1]!;
  assert.equal((await go.post('/', { short: 'foo', long: '/foo', xsrf: again })).status, 200);
  go.caller = person('foo@example.com', true);
  assert.equal(await remove('a', await go.token('/.detail/a')), 200);
});

test("links of people who left are anyone's; a lookup that fails makes them nobody else's", async () => {
  let known: () => boolean = () => true;
  await using go = await startService({ isKnownUser: () => known() });
  await go.save('x', 'http://x/');
  go.caller = person('bar@example.com');
  assert.equal((await go.save('x', 'http://y/')).status, 403);
  known = () => {
    throw new Error('no status');
  };
  assert.equal((await go.save('x', 'http://y/')).status, 403);
  known = () => false;
  assert.match((await go.get('/.detail/x', BROWSER)).body, /name="owner" value="bar@example\.com"/);
  assert.equal((await go.save('x', 'http://y/')).status, 200);
});

test("a machine may make links, which are anyone's", async () => {
  await using go = await startService();
  go.caller = machine();
  assert.equal((await go.save('printer', 'http://printer/')).status, 200);
  assert.match((await go.get('/', BROWSER)).body, /<b>printer<\/b><small>tag:printer/);
  go.caller = person('foo@example.com');
  assert.equal((await go.save('printer', 'http://printer/2')).status, 200);
});

test('callers the network does not know may save only where that is allowed', async () => {
  await using go = await startService({ allowUnknownUsers: true });
  go.caller = undefined;
  assert.equal((await go.post('/', { short: 'who2', long: 'http://who/' })).status, 200);
  assert.equal((await go.get('/', BROWSER)).status, 200);
  await using strict = await startService();
  strict.caller = undefined;
  for (const path of ['/', '/.mine'])
    assert.equal((await strict.get(path, BROWSER)).status, 500, path);
  for (const path of ['/.all', '/.help', '/.export', '/.opensearch'])
    assert.equal((await strict.get(path, BROWSER)).status, 200, path);
});

test('read-only: links are followed, nothing is saved or deleted', async () => {
  await using go = await startService({ readOnly: true });
  await go.golink.importSnapshot(
    (async function* () {
      yield '{"Short":"who","Long":"http://who/"}';
    })(),
  );
  assert.equal((await go.get('/who')).location, 'http://who/');
  assert.equal((await go.save('x', 'http://x/')).status, 405);
  assert.equal((await go.post('/.delete/who', {})).status, 405);
  assert.match((await go.get('/', BROWSER)).body, /read-only mode/);
});

test('export is one object a line by name; stats are id, time and clicks', async () => {
  await using go = await startService();
  const lines = [
    '{"Short":"a","Long":"http://a/","Created":"0001-01-01T00:00:00Z","LastEdit":"0001-01-01T00:00:00Z","Owner":"a@example.com"}',
    '{"Short":"foo","Long":"","Created":"0001-01-01T00:00:00Z","LastEdit":"0001-01-01T00:00:00Z","Owner":"foo@example.com"}',
    '{"Short":"link-owned-by-tagged-devices","Long":"/before","Created":"0001-01-01T00:00:00Z","LastEdit":"0001-01-01T00:00:00Z","Owner":"tagged-devices"}',
  ];
  await go.golink.importSnapshot(
    (async function* () {
      yield [...lines].reverse().join('\n');
    })(),
  );
  const answer = await go.get('/.export');
  assert.equal(answer.body, `${lines.join('\n')}\n`);
  assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
  for (const path of ['/a', '/foo', '/foo']) await go.get(path);
  assert.equal((await go.get('/.export-stats')).body, 'a,1654131723,1\nfoo,1654131723,2\n');
  go.now += 3 * 60_000;
  await go.get('/a');
  assert.equal(
    (await go.get('/.export-stats')).body,
    'a,1654131723,1\nfoo,1654131723,2\na,1654131903,1\n',
  );
});

test('the command line resolves names, paths and addresses, through links to links', async () => {
  await using go = await startService();
  await go.save('meet', 'https://meet.google.com/lookup/');
  await go.save('cs', 'http://codesearch/{{with .Path}}search?q={{.}}{{end}}');
  await go.save('m', 'http://go/meet');
  await go.save('chat', '/meet');
  await go.save('loop', '/loop');
  await go.save('golang', 'https://go.dev/');
  await go.save('me', 'http://h/{{.User}}');
  const { golink } = go;
  assert.equal(await golink.resolve('meet'), 'https://meet.google.com/lookup/');
  for (const argument of [
    'meet/foo',
    'go/meet/foo',
    'http://go/meet/foo',
    'http://mygo/meet/foo',
    'm/foo',
    'chat/foo',
  ])
    assert.equal(await golink.resolve(argument), 'https://meet.google.com/lookup/foo', argument);
  assert.equal(await golink.resolve('cs'), 'http://codesearch/');
  assert.equal(await golink.resolve('cs/term'), 'http://codesearch/search?q=term');
  assert.equal(await golink.resolve('golang'), 'https://go.dev/');
  assert.equal(await golink.resolve('me', 'foo@example.com'), 'http://h/foo@example.com');
  await assert.rejects(golink.resolve('loop'), { code: 'ERR_LOOP' });
  await assert.rejects(golink.resolve('nope'), { code: 'ERR_NOT_FOUND' });
  await assert.rejects(golink.resolve('me'), { code: 'ERR_USER_REQUIRED' });
});

test('search is by owner, without case; everything else is refused', async () => {
  await using go = await startService();
  const owners: Record<string, string> = {
    alpha: 'foo@example.com',
    beta: 'foo@example.com',
    gamma: 'bar@example.com',
    delta: 'FOO@example.com',
  };
  const text = Object.entries(owners).map(([Short, Owner]) =>
    JSON.stringify({ Short, Owner, Long: '/x' }),
  );
  await go.golink.importSnapshot(
    (async function* () {
      yield text.join('\n');
    })(),
  );
  const found = async (query: string): Promise<string> => {
    const { body } = await go.get(`/.search?q=${encodeURIComponent(query)}`);
    const names = Object.keys(owners).filter((name) => body.includes(`/.detail/${name}"`));
    return `${/\d+ total/.exec(body)?.[0]}: ${names}`;
  };
  assert.equal(await found('owner:foo@example.com'), '3 total: alpha,beta,delta');
  assert.equal(await found('owner:FOO@EXAMPLE.COM'), '3 total: alpha,beta,delta');
  assert.equal(await found('owner:bar@example.com'), '1 total: gamma');
  assert.equal(await found('owner:bar@example.com '), '0 total: ');
  const refused = await go.get('/.search?q=alpha');
  assert.deepEqual([refused.status, refused.body], [400, 'search only supports "owner:<email>"\n']);
  assert.match((await go.get('/.mine')).body, /My links[\s\S]*2 total/);
  const { body } = await go.get('/.all');
  assert.ok(body.indexOf('/.detail/alpha"') < body.indexOf('/.detail/delta"'));
});

test('internal paths are cleaned, unknown ones are 404, / ignores other methods', async () => {
  await using go = await startService();
  await go.save('x', 'http://x/');
  assert.equal((await go.get('/.detail')).location, '/.detail/');
  assert.equal((await go.get('/.//detail//x?a=1')).location, '/detail/x?a=1');
  assert.equal((await go.get('/.detail//x')).location, '/.detail/x');
  assert.equal((await go.get('/%2edetail/x')).status, 200);
  for (const path of ['/.nope', '/.detail/', '/.detail/nope', '/.well-known/x']) {
    const answer = await go.get(path);
    assert.deepEqual([answer.status, answer.body], [404, '404 page not found\n'], path);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  }
  assert.equal(
    (await go.get('/.nope', BROWSER)).headers['content-type'],
    'text/html; charset=utf-8',
  );
  for (const method of ['HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
    const answer = await go.send(method, '/', '', {});
    assert.deepEqual([method, answer.status, answer.body], [method, 200, '']);
  }
  const xml = await go.get('/.opensearch');
  assert.match(xml.headers['content-type'] as string, /^application\/opensearchdescription\+xml/);
  assert.match(xml.body, /template="http:\/\/go\/\{searchTerms\}"/);
});

test('a name nobody has made gives the form, filled in, with status 404; programs that ask get JSON', async () => {
  await using go = await startService({ isPeerName: (name) => name === 'printer' });
  const answer = await go.get('/offsite', BROWSER);
  assert.equal(answer.status, 404);
  assert.match(answer.body, /name="short" value="offsite"/);
  const peer = await go.get('/printer');
  assert.match(peer.body, /name="long" value="http:\/\/printer\/"/);
  const json = await go.get('/offsite', { accept: 'application/json' });
  assert.deepEqual(
    [json.status, JSON.parse(json.body)],
    [404, { error: 'There is no link offsite.' }],
  );
  go.caller = new Error('lookup failed');
  const failed = await go.get('/offsite');
  assert.deepEqual([failed.status, failed.body], [404, 'lookup failed\n']);
});

test('an empty hostname is refused before anything is opened', async () => {
  await assert.rejects(
    createGolink({ database: ':memory:', identify: async () => undefined, hostname: '' }),
    TypeError,
  );
  assert.equal(new GolinkError('ERR_NOT_FOUND', 'x').status, 404);
});

test('the schemes a service allows are those that are saved, followed and resolved; .Host is what was asked for', async () => {
  await using go = await startService({ schemes: ['https', 'SSH:'] });
  assert.equal((await go.save('shell', 'ssh://{{.Path}}.example')).status, 200);
  assert.equal((await go.get('/shell/web')).location, 'ssh://web.example');
  assert.equal(await go.golink.resolve('go/shell/web'), 'ssh://web.example');
  const refused = await go.save('plain', 'http://h/');
  assert.equal(refused.status, 400);
  assert.match(refused.body, /long may not be a http: address; these are allowed: https, ssh/);
  await go.save('self', 'https://{{.Host}}/who/{{index .Segments 0}}');
  const { location } = await go.get('/self/a/b', { Host: 'links.example' });
  assert.equal(location, 'https://links.example/who/a');
  assert.equal((await go.get('/self')).status, 500);
  await assert.rejects(startService({ schemes: ['javascript'] }), TypeError);
});
