// What other people's pages, programs and texts try.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BROWSER, person, startService } from './testing/service.ts';

const FORM = { short: 'x', long: 'http://x/' };

test("another site's page cannot save or delete, with or without a token", async () => {
  await using go = await startService();
  const xsrf = await go.token('/');
  const foreign: readonly Record<string, string>[] = [
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ];
  for (const headers of foreign) {
    const saved = await go.post('/', { ...FORM, xsrf }, { host: 'go', ...headers });
    assert.equal(saved.status, 403, JSON.stringify(headers));
    assert.equal((await go.post('/.delete/x', { xsrf }, { host: 'go', ...headers })).status, 403);
  }
  assert.equal((await go.get('/x')).status, 404);
  assert.equal((await go.post('/', FORM, { host: 'go', origin: 'http://go' })).status, 400);
  const own = await go.post('/', { ...FORM, xsrf }, { host: 'go', origin: 'http://go' });
  assert.equal(own.status, 200);
});

test('a token of one caller, one link or another day does not hold for another', async () => {
  await using go = await startService();
  const xsrf = await go.token('/');
  go.caller = person('bar@example.com');
  assert.equal((await go.post('/', { ...FORM, xsrf })).status, 400);
  const mine = await go.token('/');
  go.now += 24 * 3600_000;
  assert.equal((await go.post('/', { ...FORM, xsrf: mine })).status, 400);
  // In the query it does not count: addresses end up in logs and histories.
  const fresh = await go.token('/');
  assert.equal((await go.post(`/?xsrf=${encodeURIComponent(fresh)}`, FORM)).status, 400);
  assert.equal((await go.post('/', { ...FORM, xsrf: fresh })).status, 200);
});

test('under a foreign Host header there are no pages, exports or changes, only links', async () => {
  await using go = await startService({ hosts: () => ['go.corp.example'] });
  await go.save('x', 'http://x/');
  const host = 'evil.example';
  for (const path of ['/', '/.all', '/.export', '/.detail/x'])
    assert.equal((await go.get(path, { host })).status, 421, path);
  assert.equal((await go.post('/', FORM, { host, 'sec-golink': '1' })).status, 421);
  assert.equal((await go.get('/x', { host })).location, 'http://x/');
  for (const own of ['go', 'go.localhost:8080', '100.64.0.1', 'go.corp.example', 'go.tail1.ts.net'])
    assert.equal((await go.get('/', { host: own })).status, 200, own);
});

test('under a foreign Host header no answer tells the caller or carries a form token', async () => {
  await using go = await startService();
  await go.save('broken', 'http://x/{{.Nothing}}');
  const headers = { host: 'evil.example', ...BROWSER };
  for (const path of ['/', '/zzz', '/zzz/more', '/.detail/zzz', '/broken', '/%zz']) {
    const { status, body } = await go.get(path, headers);
    assert.ok(status >= 400, path);
    assert.doesNotMatch(body, /foo@example\.com|xsrf/, path);
  }
  const missing = await go.get('/zzz', headers);
  assert.deepEqual([missing.status, missing.body], [404, '404 page not found\n']);
  assert.match((await go.get('/zzz', BROWSER)).body, /foo@example\.com/);
});

test('no header makes a caller somebody else', async () => {
  await using go = await startService();
  const headers = {
    'tailscale-user-login': 'root@example.com',
    'x-webauth-user': 'root@example.com',
    'x-forwarded-for': '100.64.0.9',
    ...BROWSER,
  };
  const { body } = await go.get('/', headers);
  assert.match(body, /foo@example\.com/);
  assert.doesNotMatch(body, /root@example/);
  go.caller = undefined;
  assert.equal((await go.get('/', headers)).status, 500);
});

test('markup in every field reaches every page as text', async () => {
  await using go = await startService({ hostname: 'go"<i>', title: '<title>' });
  const evil = `"'><script>alert(1)</script><img src=x onerror=alert(1)>`;
  go.caller = {
    ...person(`${evil}@example.com`),
    user: {
      id: 1,
      loginName: `${evil}@example.com`,
      displayName: evil,
      profilePicUrl: `https://a/${evil}`,
    },
    node: { ...person('').node, computedName: evil, name: evil },
  };
  const lines = [
    JSON.stringify({
      Short: 'x',
      Long: `http://h/${evil}`,
      Owner: `${evil}@example.com`,
      LastEdit: '2022-01-01T00:00:00Z',
    }),
    JSON.stringify({
      Short: 'y',
      Long: `${evil}{{.Path}}`,
      Owner: evil,
      LastEdit: '2022-01-01T00:00:00Z',
    }),
  ];
  await go.golink.importSnapshot(
    (async function* () {
      yield lines.join('\n');
    })(),
  );
  await go.get('/x');
  await go.save('x', `http://h/2${evil}`);
  const address = encodeURIComponent(evil);
  const pages = [
    await go.get('/', BROWSER),
    await go.get('/.all', BROWSER),
    await go.get('/.help', BROWSER),
    await go.get('/.opensearch', BROWSER),
    await go.get('/.detail/x', BROWSER),
    await go.get('/.detail/y', BROWSER),
    await go.get(`/.search?q=owner:${address}`, BROWSER),
    await go.get(`/${address}`, BROWSER),
    await go.get(`/.detail/${address}`, BROWSER),
    await go.get('/y', BROWSER),
    await go.post('/', { short: evil, long: evil, xsrf: await go.token('/') }, BROWSER),
    await go.post('/', { short: 'z', long: `{{${evil}`, xsrf: await go.token('/') }, BROWSER),
    await go.post('/', { short: 'z', long: 'http://h', owner: evil, xsrf: 'bad' }, BROWSER),
    await go.post('/.delete/x', { xsrf: await go.token('/.detail/x') }, BROWSER),
  ];
  for (const [i, page] of pages.entries()) {
    assert.doesNotMatch(
      page.body,
      /<script|<img src=x|onerror=(?!alert\(1\)&gt;)|<i>"/i,
      `page ${i}`,
    );
    // OpenSearch is no page, and one of these is a redirect.
    if (i !== 3 && page.status !== 302)
      assert.match(page.headers['content-security-policy'] as string, /default-src 'none'/);
  }
});

test('an address that would run script is never a link on a page', async () => {
  await using go = await startService();
  const report = await go.golink.importSnapshot(
    (async function* () {
      yield '{"Short":"x","Long":"JavaScript:alert(1)"}\n';
    })(),
  );
  assert.equal(report.invalid.length, 1);
  await go.save('t', '{{.Path}}');
  const visited = await go.get('/t/javascript:alert(1)');
  assert.deepEqual([visited.status, visited.location], [500, undefined]);
  assert.doesNotMatch((await go.get('/.all', BROWSER)).body, /href="javascript/i);
});

test('a header cannot be split by a destination or a path', async () => {
  await using go = await startService();
  await go.save('t', 'http://h/{{.Path}}');
  await go.save('p', 'http://h');
  for (const path of ['/t/a%0d%0aSet-Cookie:%20x=1', '/p/a%0aX:%201', '/p?q=a%0d%0aX:1']) {
    const answer = await go.get(path);
    assert.equal(answer.headers['set-cookie'], undefined);
    assert.equal(answer.headers['x'], undefined);
    if (answer.status === 302) assert.doesNotMatch(answer.location!, /[\r\n]/);
  }
});

test('a body of 10 MiB is refused, declared or not, and the service goes on', async () => {
  await using go = await startService();
  await go.save('x', 'http://x/');
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  const big = Buffer.alloc(10 * 1024 * 1024, 'x');
  for (const headers of [type, { ...type, 'transfer-encoding': 'chunked' }]) {
    // The connection may break while the client still sends; it must not take the service with it.
    const status = await go.send('POST', '/', big, headers).then(
      (answer) => answer.status,
      () => 413,
    );
    assert.equal(status, 413);
  }
  const deleted = await go.send('POST', '/.delete/x', big, type).then(
    (answer) => answer.status,
    () => 413,
  );
  assert.equal(deleted, 413);
  assert.equal((await go.save('x', 'http://x/')).status, 200);
});

test('long, odd and broken request targets give an answer', async () => {
  await using go = await startService();
  for (const path of [
    '*',
    '/?',
    '/.?',
    '/./',
    '/../',
    '/.%00',
    '/%00',
    '/..;/',
    `/${'a'.repeat(8000)}`,
    '/.search?q[x]=1',
    '/.detail/%2F',
    '/.delete/%252e',
  ]) {
    const { status } = await go.get(path, BROWSER);
    assert.ok(status >= 200 && status < 500, `${path.slice(0, 40)}: ${status}`);
  }
});

test('links that lead to each other in a circle are an error with a sentence, not a redirect without end', async () => {
  await using go = await startService();
  const host = 'go.tail1.ts.net';
  const links: Record<string, string> = {
    self: '/self',
    grows: '/grows/more',
    named: 'http://go/named',
    whole: `https://${host}/whole`,
    a: '/b?x=1',
    b: 'http://GO/c',
    c: '/A.',
    me: '/{{.User}}',
    once: '{{if .Path}}https://out.example/{{else}}/once/p{{end}}',
    broken: '/invalid',
    invalid: '/{{.Nothing}}',
    missing: '/nowhere',
    page: '/.all',
    home: 'http://go',
    elsewhere: 'http://other/elsewhere',
    relative: 'relative',
  };
  for (let i = 0; i < 12; i++) links[`chain${i}`] = i === 0 ? 'https://end/' : `/chain${i - 1}`;
  for (const [short, long] of Object.entries(links)) await go.save(short, long);
  const circles = ['self', 'grows', 'named', 'whole', 'a', 'b', 'c', 'chain10', 'chain11'];
  for (const short of Object.keys(links)) {
    const { status, location, body } = await go.get(`/${short}`, { host });
    if (circles.includes(short)) {
      assert.deepEqual([status, location], [500, undefined], short);
      assert.match(body, /^go\/\w+ leads through more than 10 links, .* Change where one/);
    } else assert.equal(status, short === 'invalid' ? 500 : 302, short);
  }
  // By a name of ours that this visitor did not use the browser goes on.
  assert.equal((await go.get('/whole', { host: 'go' })).status, 302);
});

test('a refused form says what to do, in a page and in the form itself', async () => {
  await using go = await startService();
  await go.save('x', 'http://x/');
  const again = /Nothing was done[^<]*invalid XSRF token[^<]*Send it again/;
  for (const path of ['/', '/.edit/x', '/.delete/x', '/.tokens', '/.restore/1'])
    assert.match((await go.post(path, { ...FORM, xsrf: 'old' }, BROWSER)).body, again, path);
  assert.equal((await go.post('/', { ...FORM, xsrf: 'old' })).body, 'invalid XSRF token\n');
});

test('text that not every database keeps is refused with a sentence, and names nobody made may hold it', async () => {
  await using go = await startService();
  const json = { 'content-type': 'application/json' };
  const create = (link: Record<string, unknown>) =>
    go.send('POST', '/.api/v1/links', JSON.stringify({ ...FORM, ...link }), json);
  for (const bad of ['a\0b', 'a\ud800b'])
    for (const field of ['long', 'owner', 'description', 'tags', 'editors']) {
      const answer = await create({
        [field]: field === 'tags' || field === 'editors' ? [bad] : bad,
      });
      assert.equal(answer.status, 400, `${field}: ${answer.body}`);
      assert.match(answer.body, /has a NUL or half a character in it/);
    }
  assert.equal((await go.save('x', 'http://x/\0')).status, 400);
  assert.equal((await go.save('x', 'http://x/', { owner: 'a\0' })).status, 400);
  const report = await go.golink.importSnapshot(
    (async function* () {
      for (const more of [{ Long: 'http://\0' }, { Owner: '\ud800' }, { Tags: ['\0'] }])
        yield `${JSON.stringify({ Short: 'x', Long: 'http://x/', ...more })}\n`;
      for (const Short of ['n'.repeat(1_001), 'n'.repeat(1_000)])
        yield `${JSON.stringify({ Short, Long: 'http://x/' })}\n`;
    })(),
  );
  assert.deepEqual([report.added, report.invalid.length], [1, 4]);
  for (const path of ['/a%00b', '/a%ED%A0%80b']) assert.equal((await go.get(path)).status, 404);
  const missing = JSON.parse((await go.get('/.api/v1/missing')).body).items;
  assert.deepEqual(
    missing.map(({ name }: { name: string }) => name),
    ['a\ufffdb', 'a\ufffd\ufffd\ufffdb'],
  );
  for (const path of [
    '/.api/v1/links?owner=a%00',
    '/.api/v1/links?order=clicks&after=WyJjbGlja3MiLDEuNSwiYiJd',
  ])
    assert.equal((await go.get(path)).status, 400, path);
});
