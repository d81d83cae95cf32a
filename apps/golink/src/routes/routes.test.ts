import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WhoIs } from '@cove/tsnet';
import { type Answer, BROWSER, person, type Service, startService } from '../testing/service.ts';

const mia = person('mia@example.com');
const tom = person('tom@example.com');

const DAY = 86_400_000;

interface Form {
  readonly action: string;
  readonly fields: Record<string, string>;
}

/** A form as a browser without script would send it, unchanged. */
function formOf(page: string, action: RegExp): Form {
  for (const [, head, body] of page.matchAll(/<form([^>]*)>([\s\S]*?)<\/form>/g)) {
    const where = /action="([^"]+)"/.exec(head!)![1]!;
    if (!action.test(where)) continue;
    const fields: Record<string, string> = {};
    for (const [, tag] of body!.matchAll(/<input([^>]*)>/g)) {
      const name = /name="([^"]+)"/.exec(tag!)?.[1];
      if (name === undefined || (/type="checkbox"/.test(tag!) && !/ checked/.test(tag!))) continue;
      fields[name] = decode(/value="([^"]*)"/.exec(tag!)?.[1] ?? '');
    }
    for (const [, name, text] of body!.matchAll(/<textarea[^>]*name="([^"]+)"[^>]*>([^<]*)</g))
      fields[name!] = decode(text!);
    return { action: where, fields };
  }
  throw new Error(`no form ${action}`);
}

const decode = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&#34;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

async function submit(
  go: Service,
  path: string,
  action: RegExp,
  more: Record<string, string> = {},
): Promise<Answer> {
  const form = formOf((await go.get(path, BROWSER)).body, action);
  return go.post(form.action, { ...form.fields, ...more }, BROWSER);
}

const edit = (go: Service, name: string, more: Record<string, string>): Promise<Answer> =>
  submit(go, `/.detail/${name}`, /^\/\.edit\//, more);

async function service(caller: WhoIs = mia): Promise<Service> {
  const go = await startService();
  go.caller = caller;
  await go.save('notes', 'http://notes/');
  return go;
}

test('the form of a link saves everything of it, and the page shows what was saved', async () => {
  await using go = await service();
  const saved = await edit(go, 'notes', {
    long: 'https://wiki/{{.Path}}',
    description: 'Notes of the team',
    tags: '#Docs  team',
    editors: 'tom@example.com, group:eng',
    aliases: 'minutes',
    openEdit: '1',
    appendToPath: '1',
  });
  assert.deepEqual([saved.status, saved.location], [303, '/.detail/notes?saved=1']);
  const { body } = await go.get('/.detail/notes?saved=1', BROWSER);
  for (const text of ['Saved.', 'Notes of the team', '/.tags/docs', '/.tags/team', 'go/minutes'])
    assert.ok(body.includes(text), text);
  assert.match(body, /anyone in this network/);
  assert.match(body, /value="tom@example\.com group:eng"/);
  assert.equal((await go.get('/minutes/x')).location, 'https://wiki/x');
  // Unticking takes away.
  const { fields } = formOf(body, /^\/\.edit\//);
  const { openEdit: _, ...rest } = fields;
  await go.post('/.edit/notes', { ...rest, tags: '' }, BROWSER);
  const { body: after } = await go.get('/.detail/notes', BROWSER);
  assert.doesNotMatch(after, /anyone in this network<\/dd>|\/\.tags\/docs/);
});

test('a form made before somebody else saved is told so with 412 and keeps what was typed', async () => {
  await using go = await service();
  const before = formOf((await go.get('/.detail/notes', BROWSER)).body, /^\/\.edit\//);
  await edit(go, 'notes', { long: 'http://second/' });
  const lost = await go.post('/.edit/notes', { ...before.fields, long: 'http://mine/' }, BROWSER);
  assert.equal(lost.status, 412);
  assert.match(lost.body, /somebody changed this link while you edited it/);
  assert.match(lost.body, /<del>notes<\/del><ins>second<\/ins>/);
  assert.equal((await go.get('/notes')).location, 'http://second/');
  const again = formOf(lost.body, /^\/\.edit\//);
  assert.equal(again.fields['long'], 'http://mine/');
  assert.equal((await go.post('/.edit/notes', again.fields, BROWSER)).status, 303);
  assert.equal((await go.get('/notes')).location, 'http://mine/');
  // Deleted meanwhile: the form that makes it, with what was typed.
  await submit(go, '/.detail/notes', /^\/\.delete\//);
  const gone = await go.post('/.edit/notes', { ...again.fields, long: 'http://late/' }, BROWSER);
  assert.equal(gone.status, 404);
  assert.match(gone.body, /deleted this link[\s\S]*value="http:\/\/late\/"/);
});

test('what cannot be saved comes back in the form with the reason, and programs get a line of text', async () => {
  await using go = await service();
  await go.save('other', 'http://other/');
  const cases: readonly [Record<string, string>, number, RegExp][] = [
    [{ short: 'bad name' }, 400, /letters, numbers/],
    [{ short: 'other' }, 409, /other exists already/],
    [{ long: 'javascript:alert(1)' }, 400, /Not saved/],
    [{ long: 'https://x/{{oops' }, 400, /line 1, column/],
    [{ aliases: 'other' }, 409, /exists already/],
    [{ xsrf: 'x' }, 400, /invalid XSRF token/],
  ];
  for (const [more, status, text] of cases) {
    const answer = await edit(go, 'notes', { ...more, description: 'kept <b>' });
    assert.equal(answer.status, status, JSON.stringify(more));
    assert.match(answer.body, text);
    assert.match(answer.body, /role="alert"[\s\S]*kept &lt;b&gt;<\/textarea>/);
  }
  const form = formOf((await go.get('/.detail/notes', BROWSER)).body, /^\/\.edit\//);
  const plain = await go.post('/.edit/notes', { ...form.fields, short: '-' });
  assert.match(plain.body, /^short may only contain/);
  go.caller = tom;
  const foreign = await go.post('/.edit/notes', form.fields, BROWSER);
  assert.equal(foreign.status, 400, 'a token of somebody else');
  assert.doesNotMatch((await go.get('/.detail/notes', BROWSER)).body, /action="\/\.(edit|restore)/);
});

test('renaming keeps the old name leading there unless it is unticked', async () => {
  await using go = await service();
  await edit(go, 'notes', { short: 'minutes' });
  assert.equal((await go.get('/notes')).location, 'http://notes/');
  assert.equal((await go.get('/.detail/notes', BROWSER)).location, '/.detail/minutes');
  const { fields } = formOf((await go.get('/.detail/minutes', BROWSER)).body, /^\/\.edit\//);
  const { keepOldName: _, ...rest } = fields;
  await go.post('/.edit/minutes', { ...rest, short: 'protocol', aliases: '' }, BROWSER);
  assert.equal((await go.get('/minutes')).status, 404);
  assert.equal((await go.get('/protocol')).location, 'http://notes/');
});

test('each change but the last can be gone back to, by those who may edit', async () => {
  await using go = await service();
  await edit(go, 'notes', { long: 'http://second/' });
  const { body } = await go.get('/.history/notes', BROWSER);
  assert.equal(body.match(/action="\/\.restore\//g)!.length, 1);
  const done = await submit(go, '/.history/notes', /^\/\.restore\/1$/);
  assert.deepEqual([done.status, done.location], [303, '/.detail/notes?restored=1']);
  assert.equal((await go.get('/notes')).location, 'http://notes/');
  const all = (await go.get('/.history', BROWSER)).body;
  assert.match(all, /restored[\s\S]*changed[\s\S]*created/);
  const { fields } = formOf(body, /^\/\.restore\//);
  assert.equal((await go.post('/.restore/99', fields, BROWSER)).status, 404);
  assert.equal((await go.post('/.restore/x', fields, BROWSER)).status, 404);
  assert.equal((await go.post('/.restore/1', {}, BROWSER)).status, 400);
  assert.equal((await go.get('/.history/nobody-made-this', BROWSER)).status, 404);
  go.caller = tom;
  assert.doesNotMatch((await go.get('/.history/notes', BROWSER)).body, /action="\/\.restore/);
  const token = formOf((await go.get('/.tokens', BROWSER)).body, /^\/\.tokens$/).fields;
  assert.equal((await go.post('/.restore/1', token, BROWSER)).status, 400);
});

test('a deleted link is offered back on the page that says so and among the deleted links', async () => {
  await using go = await service();
  const page = await submit(go, '/.detail/notes', /^\/\.delete\//);
  assert.equal((await go.get('/notes')).status, 404);
  assert.match((await go.get('/.deleted', BROWSER)).body, /notes/);
  go.caller = tom;
  assert.doesNotMatch((await go.get('/.deleted', BROWSER)).body, /action="\/\.restore/);
  go.caller = mia;
  const undo = formOf(page.body, /^\/\.restore\//);
  assert.equal((await go.post(undo.action, undo.fields, BROWSER)).status, 303);
  assert.equal((await go.get('/notes')).location, 'http://notes/');
  await submit(go, '/.detail/notes', /^\/\.delete\//);
  assert.match((await go.get('/.history/notes', BROWSER)).body, /It was deleted/);
  assert.equal((await submit(go, '/.deleted', /^\/\.restore\//)).status, 303);
  assert.equal((await go.get('/notes')).location, 'http://notes/');
  assert.match((await go.get('/.deleted', BROWSER)).body, /Nothing was deleted/);
});

test('an admin sees what going back to a moment would change, and then does it', async () => {
  await using go = await service();
  go.now += 60_000;
  await edit(go, 'notes', { long: 'http://wrong/' });
  await go.save('spam', 'http://spam/');
  assert.equal((await go.get('/.rewind', BROWSER)).status, 403);
  go.caller = person('root@example.com', true);
  assert.match((await go.get('/.history', BROWSER)).body, /href="\/\.rewind"/);
  assert.equal((await go.get('/.rewind?at=yesterday', BROWSER)).status, 400);
  assert.equal((await go.get('/.rewind?at=2999-01-01T00:00', BROWSER)).status, 400);
  const path = '/.rewind?at=2022-06-02T01:02:30';
  const preview = (await go.get(path, BROWSER)).body;
  assert.match(preview, /Nothing has been changed yet[\s\S]*1 link changed back, 1 link deleted/);
  assert.equal((await go.get('/notes')).location, 'http://wrong/');
  assert.equal((await go.post('/.rewind', { at: '2022-06-02T01:02:30' }, BROWSER)).status, 400);
  const form = [...preview.matchAll(/<form method="post"[\s\S]*?<\/form>/g)][0]![0];
  const { fields } = formOf(form, /^\/\.rewind$/);
  const done = await go.post('/.rewind', fields, BROWSER);
  assert.match(done.body, /Done\.[\s\S]*1 link changed back, 1 link deleted/);
  assert.equal((await go.get('/notes')).location, 'http://notes/');
  assert.equal((await go.get('/spam')).status, 404);
});

test('browsers search everything, programs only by owner, as in golink', async () => {
  await using go = await service();
  await edit(go, 'notes', { description: 'Minutes of the steering group', tags: 'board' });
  await go.save('team', 'http://teamwork/', { owner: 'tom@example.com' });
  const found = async (query: string): Promise<string[]> => {
    const { body } = await go.get(`/.search?q=${encodeURIComponent(query)}`, BROWSER);
    return ['notes', 'team'].filter((name) => body.includes(`/.detail/${name}"`));
  };
  for (const query of [
    'steering',
    'tag:board',
    'NOTES',
    'http://notes',
    'minutes group',
    'owner:mia',
  ])
    assert.deepEqual(await found(query), ['notes'], query);
  assert.deepEqual(await found('owner:tom@example.com'), ['team']);
  assert.deepEqual(await found('nothing-like-it'), []);
  assert.match((await go.get('/.search?q=notse', BROWSER)).body, /Did you mean[\s\S]*notes/);
  assert.match((await go.get('/.search', BROWSER)).body, /type="search"/);
  assert.equal((await go.get('/.search?q=steering')).status, 400);
  assert.match((await go.get('/.tags/BOARD', BROWSER)).body, /1 total[\s\S]*\/\.detail\/notes/);
  assert.match((await go.get('/.tags', BROWSER)).body, /href="\/\.tags\/board"/);
});

test('my links are those one owns and those one may edit by name', async () => {
  await using go = await service();
  await edit(go, 'notes', { editors: 'tom@example.com' });
  go.caller = tom;
  await go.save('toms', 'http://tom/');
  await go.save('theirs', 'http://x/', { owner: 'mia@example.com' });
  const { body } = await go.get('/.mine', BROWSER);
  assert.match(body, /My links[\s\S]*2 total[\s\S]*notes[\s\S]*toms/);
});

test('my links are those a group of mine edits, as the capability names it, on the page and in the API', async () => {
  await using go = await service();
  const editors: Record<string, string> = {
    notes: 'jon@example.com group:eng',
    sales: 'group:eng-sales',
    open: 'Group:eng',
    cased: 'TOM@example.com',
    machines: 'tagged-devices',
  };
  for (const [short, names] of Object.entries(editors)) {
    if (short !== 'notes') await go.save(short, `http://${short}/`);
    await edit(go, short, { editors: names });
  }
  const groups = (...names: string[]): WhoIs => ({
    ...tom,
    capabilities: { 'tailscale.com/cap/golink': [{ groups: names }] },
  });
  const many = Array.from({ length: 3_000 }, (_, i) => `team${i}`);
  const cases: readonly [WhoIs, string[]][] = [
    [tom, []],
    [groups('eng'), ['notes']],
    [groups('group:eng'), ['notes']],
    [groups('eng', 'eng-sales'), ['notes', 'sales']],
    [groups('en', '%', 'eng%', '_ng'), []],
    [groups(...many, 'eng-sales'), ['sales']],
    [{ ...tom, node: { ...tom.node, tags: ['tag:x'] } }, []],
  ];
  for (const [caller, expected] of cases) {
    go.caller = caller;
    const { body } = await go.get('/.mine', BROWSER);
    const listed = [...body.matchAll(/<td class="c-name"><a class="go" href="\/(\w+)"/g)];
    assert.deepEqual(
      listed.map((match) => match[1]),
      expected,
    );
    const answer = JSON.parse((await go.get('/.api/v1/links?mine=true')).body);
    const items = answer.items as { readonly short: string }[];
    assert.deepEqual(
      items.map(({ short }) => short),
      expected,
    );
    assert.equal(answer.total, expected.length);
    // What is listed can be edited, and nothing else.
    for (const short of Object.keys(editors)) {
      const page = (await go.get(`/.detail/${short}`, BROWSER)).body;
      assert.equal(/action="\/\.edit/.test(page), expected.includes(short), short);
    }
  }
});

test('a list of many goes on from page to page', async () => {
  await using go = await startService();
  const lines = Array.from({ length: 1_001 }, (_, i) =>
    JSON.stringify({ Short: `n${String(i).padStart(4, '0')}`, Long: '/x', Owner: '' }),
  );
  await go.golink.importSnapshot(
    (async function* () {
      yield lines.join('\n');
    })(),
  );
  const seen: string[] = [];
  let path: string | undefined = '/.all';
  for (let pages = 0; path !== undefined && pages < 5; pages++) {
    const { body } = await go.get(path, BROWSER);
    assert.match(body, /1,001 total/);
    seen.push(...[...body.matchAll(/href="\/(n\d+)"/g)].map((match) => match[1]!));
    path = /rel="next" href="([^"]+)"/.exec(body)?.[1]?.replaceAll('&amp;', '&');
  }
  assert.equal(path, undefined);
  assert.equal(new Set(seen).size, 1_001);
  assert.equal((await go.get('/.all?after=nonsense', BROWSER)).status, 400);
});

test('browsers are told what names go on like, in the form of OpenSearch', async () => {
  await using go = await service();
  await go.save('notable', 'http://n/');
  const answer = await go.get('/.suggest?q=not', { host: 'go' });
  assert.match(answer.headers['content-type'] as string, /^application\/x-suggestions\+json/);
  const [query, names, about, addresses] = JSON.parse(answer.body) as string[][];
  assert.equal(query, 'not');
  assert.deepEqual([...names!].sort(), ['notable', 'notes']);
  assert.deepEqual([...about!].sort(), ['http://n/', 'http://notes/']);
  assert.deepEqual([...addresses!].sort(), ['http://go/notable', 'http://go/notes']);
  assert.deepEqual(JSON.parse((await go.get('/.suggest')).body), ['', [], [], []]);
  const { body } = await go.get('/.opensearch');
  assert.match(body, /type="text\/html" method="get" template="http:\/\/go\/\{searchTerms\}"/);
  assert.match(
    body,
    /x-suggestions\+json" method="get" template="http:\/\/go\/\.suggest\?q=\{searchTerms\}"/,
  );
});

test('the page of figures counts by day, names what is used, missed and unused', async () => {
  await using go = await service();
  await go.save('old', 'http://old/');
  go.now += 100 * DAY;
  for (let i = 0; i < 3; i++) await go.get('/notes');
  await go.get('/wanted');
  await go.get('/made');
  await go.save('made', 'http://made/');
  // Looking writes what was counted.
  await go.get('/.stats', BROWSER);
  go.now += 2 * DAY;
  await go.get('/notes');
  const { body } = await go.get('/.stats', BROWSER);
  assert.match(body, /aria-label="4 clicks in the last 30 days; most on [^"]+: 3"/);
  assert.match(body, /id="week"[\s\S]*href="\/notes"[\s\S]*4 clicks/);
  assert.match(body, /id="missing"[\s\S]*wanted[\s\S]*href="\/\?short=wanted"/);
  assert.doesNotMatch(body, /short=made/);
  assert.match(body, /id="unused"[\s\S]*\/\.detail\/old/);
  assert.doesNotMatch(body.slice(body.indexOf('id="unused"')), /\.detail\/notes/);
  const form = await go.get('/?short=wanted', BROWSER);
  assert.match(form.body, /name="short" value="wanted"/);
  assert.match((await go.get('/.detail/notes', BROWSER)).body, /aria-label="4 clicks in the last/);
});

test('who followed a link is told only where that is switched on', async () => {
  for (const countVisitors of [false, true]) {
    await using go = await startService({ countVisitors });
    go.caller = tom;
    await go.save('notes', 'http://notes/');
    go.caller = mia;
    await go.get('/notes');
    go.now += 10_000;
    await go.get('/.stats', BROWSER);
    const { body } = await go.get('/.detail/notes', BROWSER);
    assert.equal(/Who followed it[\s\S]*mia<wbr>@example\.com/.test(body), countVisitors);
  }
});

test('an API token is made, shown once, used and revoked', async () => {
  await using go = await service();
  const made = await submit(go, '/.tokens', /^\/\.tokens$/, { name: 'ci', days: '30', write: '1' });
  const secret = /golink_[0-9a-f]{12}_[\w-]{32}/.exec(made.body)![0];
  assert.doesNotMatch((await go.get('/.tokens', BROWSER)).body, new RegExp(secret));
  const headers = { authorization: `Bearer ${secret}` };
  go.caller = undefined;
  assert.equal((await go.get('/.api/v1/me', headers)).status, 200);
  go.caller = tom;
  assert.match((await go.get('/.tokens', BROWSER)).body, /There are none/);
  const id = secret.slice(7, 19);
  const theirs = formOf((await go.get('/.tokens', BROWSER)).body, /^\/\.tokens$/).fields;
  assert.equal((await go.post(`/.tokens/${id}/revoke`, theirs, BROWSER)).status, 404);
  go.caller = mia;
  assert.equal((await go.post(`/.tokens/${id}/revoke`, {}, BROWSER)).status, 400);
  assert.equal((await submit(go, '/.tokens', /revoke$/)).status, 303);
  assert.equal((await go.get('/.api/v1/me', headers)).status, 401);
  const wrong = await submit(go, '/.tokens', /^\/\.tokens$/, { name: ' ', days: '30' });
  assert.equal(wrong.status, 400);
  const forged = await submit(go, '/.tokens', /^\/\.tokens$/, { name: 'x', days: '1', xsrf: 'x' });
  assert.equal(forged.status, 400);
});

test("another site's page can do nothing with the new forms, and foreign Host headers get no page", async () => {
  await using go = await service();
  const form = formOf((await go.get('/.detail/notes', BROWSER)).body, /^\/\.edit\//);
  const evil = { ...BROWSER, host: 'go', origin: 'http://evil.example' };
  for (const path of ['/.edit/notes', '/.restore/1', '/.rewind', '/.tokens', '/.tokens/x/revoke'])
    assert.equal((await go.post(path, form.fields, evil)).status, 403, path);
  for (const path of ['/.history', '/.deleted', '/.stats', '/.tokens', '/.tags', '/.suggest?q=n'])
    assert.equal((await go.get(path, { ...BROWSER, host: 'rebind.example' })).status, 421, path);
});

test('read-only: no page offers a change and none is made', async () => {
  await using go = await startService({ readOnly: true });
  await go.golink.importSnapshot(
    (async function* () {
      yield '{"Short":"notes","Long":"http://notes/","Owner":"foo@example.com"}';
    })(),
  );
  for (const path of ['/.detail/notes', '/.history/notes', '/.tokens', '/.deleted', '/.stats'])
    assert.doesNotMatch(
      (await go.get(path, BROWSER)).body,
      /<form method="post"|method="post"/,
      path,
    );
  for (const path of ['/.edit/notes', '/.restore/1', '/.tokens'])
    assert.equal((await go.post(path, {}, BROWSER)).status, 405, path);
});
