// Requests off the beaten path, with the answers that golink's own program gives to the same bytes: status, Location,
// and where golink sets one on purpose, the type.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startService } from './testing/service.ts';

type Sent = Readonly<{ body: string; type?: string; trusted?: boolean; accept?: string }>;
type Case = readonly [method: string, target: string, status: number, location?: string];

const LINKS: Readonly<Record<string, string>> = {
  who: 'http://who/',
  q: 'https://s.example/?q=1',
  cs: 'http://codesearch/{{with .Path}}search?q={{.}}{{end}}',
  low: 'http://h/{{ToLower .Path}}',
  len: 'http://h/{{len .Path}}',
  quoted: 'http://h/{{printf "%q-%s-%x" .Path .Path .Path}}',
  escaped: 'http://h/?{{QueryEscape .Path}}',
  all: '{{.Path}}',
};

const VISITS: readonly Case[] = [
  // Bytes that are no UTF-8 are carried along.
  ['GET', '/who/%ff', 302, 'http://who/%FF'],
  ['GET', '/who/%E0%A4/x', 302, 'http://who/%E0%A4/x'],
  ['GET', '/who/%C3%A9%e9', 302, 'http://who/%C3%A9%E9'],
  ['GET', '/q/%ff', 302, 'https://s.example/?q=1/\xff'],
  ['GET', '/low/%ff', 302, 'http://h/%EF%BF%BD'],
  ['GET', '/len/%ff%C3%A9', 302, 'http://h/3'],
  ['GET', '/quoted/%ff', 302, 'http://h/%22%5Cxff%22-%FF-ff'],
  ['GET', '/escaped/%ff', 302, 'http://h/?%FF'],
  ['GET', '/who?q=%ff', 302, 'http://who/?q=%FF'],
  ['GET', '/%ff', 404],
  ['GET', '/who%ff', 404],
  ['GET', '/%ff+', 302, '/.detail/%EF%BF%BD'],
  ['GET', '/.detail/%ff', 404],
  ['GET', '/who/%', 400],
  ['GET', '/%zz', 400],
  // A destination may come to nothing.
  ['GET', '/all', 302, ''],
  ['GET', '/all?q=1', 302, '?q=1'],
  ['GET', '/all/http://h/x', 302, 'http://h/x'],
  // Names.
  ['GET', '/who%2Fp', 302, 'http://who/p'],
  ['GET', '/who%2e', 302, 'http://who/'],
  ['GET', '/who.,()[]{}/p?q=1', 302, 'http://who/p?q=1'],
  ['GET', '/w-h-o--', 302, 'http://who/'],
  ['GET', '/who.+', 302, '/.detail/who.'],
  ['GET', '/+', 302, '/.detail/'],
  ['GET', '/+/x', 302, '/.detail/'],
  ['GET', '/who??a=1', 302, 'http://who/?%3Fa=1'],
  ['GET', '/who#frag', 404],
  ['GET', '///', 404],
  ['GET', '*', 404],
  ['GET', '/favicon.ico', 404],
  ['GET', '/robots.txt', 404],
  ['HEAD', '/who+', 302, '/.detail/who'],
  ['PROPFIND', '/who/p', 302, 'http://who/p'],
  ['TRACE', '/who', 302, 'http://who/'],
];

const PAGES: readonly Case[] = [
  ['GET', '/.', 307, '/'],
  ['GET', '/..', 307, '/'],
  ['GET', '/.//', 307, '/'],
  ['GET', '/../who', 307, '/who'],
  ['GET', '/.detail/../who?a=b', 307, '/who?a=b'],
  ['GET', '/.detail', 307, '/.detail/'],
  ['PUT', '/.detail?x=1', 307, '/.detail/?x=1'],
  ['GET', '/.detail//', 307, '/.detail/'],
  ['POST', '/.detail//who', 307, '/.detail/who'],
  ['GET', '/.delete', 307, '/.delete/'],
  ['GET', '/.static', 307, '/.static/'],
  // What is escaped is not cleaned.
  ['GET', '/%2e', 404],
  ['GET', '/%2e%2e/who', 404],
  ['GET', '/.%2e/who', 404],
  ['GET', '/.detail/%2e%2e/who', 404],
  ['GET', '/%2edetail/%77ho', 200],
  // Addresses are whole, and exact in case.
  ['GET', '/.all/', 404],
  ['GET', '/.ALL', 404],
  ['GET', '/.Detail/who', 404],
  ['GET', '/.help/', 404],
  ['GET', '/.search/', 404],
  ['GET', '/.export/', 404],
  ['GET', '/.export-stats/', 404],
  ['GET', '/.opensearch/', 404],
  ['GET', '/.metrics/', 404],
  ['GET', '/.detail/who/', 404],
  ['GET', '/.detail/WHO', 302, '/.detail/who'],
  ['DELETE', '/.detail/who', 200],
  ['PATCH', '/.all', 200],
  ['OPTIONS', '/.export', 200],
  ['TRACE', '/.opensearch', 200],
  ['PUT', '/.metrics', 200],
  ['GET', '/.search', 400],
  ['GET', '/.search?q=owner:a&q=b', 200],
  ['GET', '/.search?q=b&q=owner:a', 400],
  ['GET', '/.search?Q=owner:a', 400],
  ['GET', '/.search?q=OWNER:a', 400],
  ['GET', '/.static/', 200],
  ['POST', '/.static/favicon.png', 200],
  ['GET', '/.static/base.css/', 301, '../base.css'],
  ['GET', '/.static/none', 404],
  ['GET', '/.static/none/', 404],
  ['GET', '/.static/../all', 307, '/all'],
  ['GET', '/.delete/', 400],
  ['GET', '/.delete/who', 400],
  ['GET', '/.delete/none', 404],
];

const FORM = 'application/x-www-form-urlencoded';
const MIXED = 'multipart/form-data; boundary=x';
const PART =
  '--x\r\nContent-Disposition: form-data; name="short"\r\n\r\nm\r\n--x\r\nContent-Disposition: form-data; name="long"\r\n\r\nhttp://m/\r\n--x--\r\n';

const POSTS: readonly (readonly [target: string, sent: Sent, status: number, body?: string])[] = [
  // What is no form has no fields.
  ['/', { body: 'short=n&long=http://n' }, 400, 'short and long required\n'],
  ['/', { body: 'short=n&long=http://n', type: 'text/plain' }, 400, 'short and long required\n'],
  ['/', { body: '{"short":"n"}', type: 'application/json' }, 400, 'short and long required\n'],
  ['/', { body: 'x', type: 'multipart/form-data' }, 400, 'short and long required\n'],
  ['/', { body: 'nonsense', type: MIXED }, 400, 'short and long required\n'],
  ['/', { body: PART, type: MIXED }, 200],
  // Nor has what is not well-formed in one.
  ['/', { body: 'short=e&long=http://x;y=1', type: FORM }, 400, 'short and long required\n'],
  ['/', { body: 'short=e&long=http://x/100%', type: FORM }, 400, 'short and long required\n'],
  ['/', { body: 'short=e&long=http://x/100%2525', type: FORM }, 200],
  // The first of each, and the form's before the query's.
  ['/', { body: 'short=d1&short=d2&long=http://1&long=http://2', type: FORM }, 200],
  ['/?short=q2', { body: 'short=q1&long=http://q', type: FORM }, 200],
  ['/?short=q3&long=http://q', { body: 'xx', type: 'text/plain' }, 200],
  ['/?short=q4;&long=http://q', { body: '', type: FORM }, 400, 'short and long required\n'],
  ['/', { body: 'SHORT=x&LONG=y', type: FORM }, 400, 'short and long required\n'],
  ['/', { body: 'short=x%0a&long=y', type: FORM }, 400],
  ['/', { body: 'short=x&long=y', type: FORM, trusted: false }, 400, 'invalid XSRF token\n'],
  ['/.delete/none', { body: '{}', type: 'application/json' }, 404, '404 page not found\n'],
  ['/.delete/who', { body: '{}', type: 'application/json' }, 400, 'invalid XSRF token\n'],
  ['/.delete/who', { body: 'xsrf=x', type: FORM }, 400, 'invalid XSRF token\n'],
];

async function service() {
  const go = await startService();
  for (const [short, long] of Object.entries(LINKS)) await go.save(short, long);
  return go;
}

for (const [kind, cases] of [
  ['visits', VISITS],
  ['internal addresses', PAGES],
] as const)
  test(`${kind}: any method and spelling gets golink's status and Location`, async () => {
    await using go = await service();
    for (const [method, target, status, location] of cases) {
      const answer = await go.send(method, target, '', {});
      const what = `${method} ${target}`;
      assert.deepEqual([answer.status, answer.location], [status, location], what);
    }
  });

test("forms: what is missing, malformed or of another type gets golink's answer", async () => {
  await using go = await service();
  for (const [target, { body, type, trusted = true }, status, text] of POSTS) {
    const answer = await go.send('POST', target, body, {
      'content-length': String(body.length),
      ...(type !== undefined && { 'content-type': type }),
      ...(trusted && { 'sec-golink': '1' }),
    });
    const what = `${target} ${body}`;
    assert.equal(answer.status, status, what);
    if (text !== undefined) assert.equal(answer.body, text, what);
  }
  for (const [short, location] of [
    ['m', 'http://m/'],
    ['e', 'http://x/100%25'],
    ['d1', 'http://1'],
    ['q1', 'http://q'],
    ['q3', 'http://q'],
  ] as const)
    assert.equal((await go.get(`/${short}`)).location, location, short);
});

test('a form that may delete is sent with POST, PUT or PATCH; its token counts in no other method', async () => {
  await using go = await service();
  const xsrf = await go.token('/.detail/who');
  const body = new URLSearchParams({ xsrf }).toString();
  const headers = { 'content-type': FORM, 'content-length': String(body.length) };
  for (const method of ['GET', 'DELETE'])
    assert.equal((await go.send(method, '/.delete/who', body, headers)).status, 400, method);
  assert.equal((await go.get('/who')).status, 302);
  assert.equal((await go.send('PUT', '/.delete/who', body, headers)).status, 200);
  assert.equal((await go.get('/who')).status, 404);
});

test('a home form for a name that exists is sent to the name as typed, and then to the one in use', async () => {
  await using go = await service();
  const form = { short: 'W-H-O', long: 'http://else/', xsrf: await go.token('/') };
  const answer = await go.post('/', form);
  assert.deepEqual([answer.status, answer.location], [303, '/.detail/W-H-O?exists=1']);
  assert.equal((await go.get(answer.location!)).location, '/.detail/who?exists=1');
});

test('another name of a link is not saved over: a form is shown the link, a program is told 409', async () => {
  await using go = await service();
  const edit = JSON.stringify({ aliases: ['whois'] });
  await go.send('PATCH', '/.api/v1/links/who', edit, { 'content-type': 'application/json' });
  const refused = await go.save('whois', 'http://else/');
  assert.equal(refused.status, 409);
  assert.equal(refused.body, 'whois is another name of who: change that link\n');
  const form = { short: 'whois', long: 'http://else/', xsrf: await go.token('/') };
  assert.equal((await go.post('/', form)).status, 303);
  assert.equal((await go.get('/whois')).location, 'http://who/');
});

test('types are those of golink; a redirect to a page has a link in it for those who asked with GET', async () => {
  await using go = await service();
  const typeOf = async (method: string, path: string): Promise<unknown> =>
    (await go.send(method, path, '', {})).headers['content-type'];
  assert.equal(await typeOf('GET', '/.detail/who'), 'application/json');
  assert.equal(await typeOf('GET', '/.export-stats'), 'text/plain; charset=utf-8');
  assert.equal(await typeOf('GET', '/.static/'), 'text/html; charset=utf-8');
  assert.equal(await typeOf('HEAD', '/who+'), 'text/html; charset=utf-8');
  assert.equal(await typeOf('POST', '/who+'), undefined);
  assert.equal(await typeOf('GET', '/who'), undefined);
  assert.equal((await go.get('/who+')).body, '<a href="/.detail/who">Found</a>.\n\n');
  assert.equal((await go.get('/.detail')).body, '<a href="/.detail/">Temporary Redirect</a>.\n\n');
});

test('the answer to a save has the milliseconds of the save, and the link whole seconds', async () => {
  await using go = await startService();
  go.now = Date.parse('2022-06-02T01:02:03.450Z');
  const { Created, LastEdit } = JSON.parse((await go.save('x', 'http://x/')).body);
  assert.deepEqual([Created, LastEdit], ['2022-06-02T01:02:03.45Z', '2022-06-02T01:02:03.45Z']);
  go.now += 1_001;
  const again = JSON.parse((await go.save('x', 'http://y/')).body);
  assert.deepEqual(
    [again.Created, again.LastEdit],
    ['2022-06-02T01:02:03Z', '2022-06-02T01:02:04.451Z'],
  );
  assert.match((await go.get('/.detail/x')).body, /"LastEdit": "2022-06-02T01:02:04Z"/);
});

test('read-only is said before anything of the form is read', async () => {
  await using go = await startService({ readOnly: true });
  const big = Buffer.alloc(1024 * 1024, 'x');
  for (const path of ['/', '/.delete/who', '/.delete/']) {
    const answer = await go.send('POST', path, big, { 'content-type': FORM });
    assert.deepEqual([answer.status, answer.body], [405, 'golink is in read-only mode\n'], path);
  }
});
