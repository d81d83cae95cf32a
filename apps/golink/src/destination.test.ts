import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkDestination, compile } from './destination.ts';
import { GolinkError } from './errors.ts';
import { buildLocation, schemeSet } from './location.ts';
import { toBytes } from './template/utf8.ts';

const NOW = Date.parse('2022-06-02T01:02:03Z');

function visit(
  long: string,
  path = '',
  query = '',
  user: string | undefined = 'foo@example.com',
): string {
  return compile(long).locate({ path, query, user, now: NOW });
}

const codeOf = (run: () => unknown): string => {
  try {
    return `no error: ${run()}`;
  } catch (error) {
    assert.ok(error instanceof GolinkError, String(error));
    return error.code;
  }
};

const CALENDAR =
  'https://calendar.google.com/{{with .Path}}calendar/embed?mode=week&src={{.}}@tailscale.com{{end}}';

const MATCH =
  'http://host.com/{{if Match "\\\\d+" .Path}}id/{{.Path}}{{else}}search/{{.Path}}{{end}}';

const EXPANSIONS: readonly [long: string, path: string, query: string, expected: string][] = [
  ['http://host.com/foo%2f/bar', '', '', 'http://host.com/foo%2f/bar'],
  ['http://host.com/foo%2f/bar', 'extra', '', 'http://host.com/foo%2f/bar/extra'],
  ['http://host.com/foo', 'extra', '', 'http://host.com/foo/extra'],
  ['http://host.com/foo/', 'extra', '', 'http://host.com/foo/extra'],
  [
    'https://roamresearch.com/#/app/ts-corp/page/{{.Now.Format "01-02-2006"}}',
    '',
    '',
    'https://roamresearch.com/#/app/ts-corp/page/06-02-2022',
  ],
  ['http://host.com/{{.User}}', '', '', 'http://host.com/foo@example.com'],
  [CALENDAR, '', '', 'https://calendar.google.com/'],
  [
    CALENDAR,
    'amelie',
    '',
    'https://calendar.google.com/calendar/embed?mode=week&src=amelie@tailscale.com',
  ],
  ['http://host.com/{{PathEscape .Path}}', 'a/b+c', '', 'http://host.com/a%2Fb+c'],
  ['http://host.com/{{QueryEscape .Path}}', 'a/b+c', '', 'http://host.com/a%2Fb%2Bc'],
  ['http://host.com/{{TrimPrefix .Path "BUG-"}}', 'BUG-123', '', 'http://host.com/123'],
  ['http://host.com/{{TrimSuffix .Path "/"}}', 'a/', '', 'http://host.com/a'],
  ['http://host.com/{{ToLower .Path}}', 'BUG-123', '', 'http://host.com/bug-123'],
  ['http://host.com/{{ToUpper .Path}}', 'bug-123', '', 'http://host.com/BUG-123'],
  [MATCH, '123', '', 'http://host.com/id/123'],
  [MATCH, 'query', '', 'http://host.com/search/query'],
  ['rel', 'a', '', 'rel/a'],
  ['/rel', 'a', '', '/rel/a'],
  ['/rel', '', 'a=b', '/rel?a=b'],
  ['/rel', 'path', 'a=b', '/rel/path?a=b'],
  ['/rel?a=1', '', 'a=2&b=2', '/rel?a=1&a=2&b=2'],
  ['/rel{{with .Path}}/{{.}}{{end}}?a=1', 'path', 'b=2', '/rel/path?a=1&b=2'],
  // The path goes behind a query that is there already.
  ['/rel?a=1', 'extra', '', '/rel?a=1/extra'],
  [
    'https://www.google.com/{{if .Path}}search?q={{QueryEscape .Path}}{{end}}',
    'pangolins',
    '',
    'https://www.google.com/search?q=pangolins',
  ],
  [
    'http://{{if .Path}}{{.Path}}{{else}}host{{end}}.example/debug/varz',
    'web1',
    '',
    'http://web1.example/debug/varz',
  ],
];

test('a destination, a path and a query give the Location other versions give', () => {
  for (const [long, path, query, expected] of EXPANSIONS)
    assert.equal(visit(long, path, query), expected, `${long} | ${path} | ${query}`);
});

test('.User without a caller asks for one; unknown fields fail when visited, not when saved', () => {
  assert.equal(compile('http://h/{{.User}}').usesUser, true);
  assert.equal(compile('http://h/.User').usesUser, false);
  assert.equal(
    codeOf(() =>
      compile('http://h/{{.User}}').locate({ path: '', query: '', user: undefined, now: 0 }),
    ),
    'ERR_USER_REQUIRED',
  );
  checkDestination('http://h/{{.Foo}}');
  assert.equal(
    codeOf(() => visit('http://h/{{.Foo}}')),
    'ERR_TEMPLATE',
  );
});

test('.Query places the query, which is then not merged a second time', () => {
  assert.equal(visit('http://h/?{{.Query}}&x=1', '', 'b=2&a=1'), 'http://h/?b=2&a=1&x=1');
  assert.equal(visit('http://h/a.Query{{.Path}}', '', 'b=2'), 'http://h/a.Query?b=2');
});

const LOCATIONS: readonly [expanded: string, query: string, expected: string][] = [
  ['HTTP://Host.COM/Path', '', 'http://Host.COM/Path'],
  ['http://host/a b/ü', '', 'http://host/a%20b/%C3%BC'],
  // Escaping the space decodes and encodes the whole path.
  ['http://host/a b%2Fc', '', 'http://host/a%20b/c'],
  ["http://host/(a)'*!;[x]", '', "http://host/(a)'*!;[x]"],
  ['http://who/http://host', '', 'http://who/http://host'],
  ['http://bücher.example/', '', 'http://b%C3%BCcher.example/'],
  ['http://[fe80::1]:8080/x', '', 'http://[fe80::1]:8080/x'],
  ['http://user:pa%2fss@host:80/', '', 'http://user:pa%2Fss@host:80/'],
  ['mailto:someone@example.com', '', 'mailto:someone@example.com'],
  ['mailto:someone@example.com?subject=hi', '', 'mailto:someone@example.com?subject=hi'],
  ['http://host?', '', 'http://host?'],
  ['http://host#', '', 'http://host'],
  ['http://host/#a b/?ü%2f', '', 'http://host/#a%20b/?%C3%BC/'],
  ['//other.example/x', '', '//other.example/x'],
  ['http://host/?b=2&a=1&b=1', '', 'http://host/?b=2&a=1&b=1'],
  ['http://host/?b=2&a=1&b=1', 'a=0', 'http://host/?a=1&a=0&b=2&b=1'],
  ['http://host/?x=a+b%20c', 'y=%C3%BC', 'http://host/?x=a+b+c&y=%C3%BC'],
  // Pairs with bad escapes or a semicolon are dropped, on both sides.
  ['http://host/?x=%zz&k=1', 'a;b=1&y=%&q', 'http://host/?k=1&q='],
  ['http://host/?x=%zz', 'y=%', 'http://host/?x=%zz'],
  ['http://host/?k=ü', '', 'http://host/?k=\u00c3\u00bc'],
];

test('a Location is written as net/url writes it, in bytes', () => {
  for (const [expanded, query, expected] of LOCATIONS)
    assert.equal(buildLocation(toBytes(expanded), query), expected, `${expanded} | ${query}`);
});

/** URL, query, and what Go 1.26.8's net/url made of them: bytes, or null for an error. */
type Vector = readonly [string, string, string | null];

const EVERY_SCHEME = { has: () => true } as unknown as ReadonlySet<string>;

test('hundreds of URLs and queries come out byte for byte as from net/url, or fail where they fail there', () => {
  const file = new URL('../src/testing/net-url.jsonl', import.meta.url);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  assert.ok(lines.length > 500);
  for (const line of lines) {
    const [url, query, expected] = JSON.parse(line) as Vector;
    const locate = (): string => buildLocation(toBytes(url), toBytes(query), EVERY_SCHEME);
    if (expected === null) assert.equal(codeOf(locate), 'ERR_LOCATION', line);
    else assert.equal(locate(), expected, line);
  }
});

test('what is no URL, and what a browser would run, is an error and not a redirect', () => {
  for (const bad of [
    'http://host/%zz',
    'http://host/%',
    'http://host/\n',
    'http://host/\r\nSet-Cookie: x',
    'http://ho st/',
    'http://host:80x/',
    'http://[::1/',
    'http://ho[st/',
    'http://a%20b/',
    'http://us er@host/',
    '1:b/c',
    ':x',
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
  ])
    assert.equal(
      codeOf(() => buildLocation(toBytes(bad), '')),
      'ERR_LOCATION',
      bad,
    );
  assert.equal(
    codeOf(() => visit('{{.Path}}', 'javascript:alert(1)')),
    'ERR_LOCATION',
  );
});

test('a destination that would run script, or whose template does not parse, is not saved', () => {
  for (const bad of [
    'javascript:alert(1)',
    ' \u0001JAVASCRIPT:alert(1)',
    'java\nscript:x',
    'data:text/html,<script>',
    'http://h/{{',
    'http://h/{{.Path',
    'http://h/{{Nope .Path}}',
    'http://h/{{if .Path}}',
    'http://h/{{}}',
    'x'.repeat(20_000),
  ])
    assert.equal(
      codeOf(() => checkDestination(bad)),
      'ERR_DESTINATION',
      bad.slice(0, 60),
    );
  for (const good of [
    'https://h/',
    '/rel',
    'rel',
    '//h/',
    'mailto:a@b',
    'TEL:+1',
    'http://h/javascript:x',
  ])
    checkDestination(good);
});

test('only allowed schemes are saved and followed, and which those are can be said', () => {
  const schemes = schemeSet(['HTTPS', 'ssh://', 'slack:']);
  for (const refused of ['ssh://h', 'slack:x', 'h:8080/x', 'ssh://{{.Path}}'])
    assert.equal(
      codeOf(() => checkDestination(refused)),
      'ERR_DESTINATION',
      refused,
    );
  for (const allowed of ['ssh://h', 'slack:x', 'ssh://{{.Path}}', '/rel'])
    checkDestination(allowed, schemes);
  assert.throws(
    () => checkDestination('http://h', schemes),
    /long may not be a http: address; these are allowed: https, ssh, slack/,
  );
  const visited = { path: 'ssh', query: '', user: undefined, now: 0 };
  const template = compile('{{.Path}}://h/');
  assert.equal(
    codeOf(() => template.locate(visited)),
    'ERR_LOCATION',
  );
  assert.equal(template.locate({ ...visited, schemes }), 'ssh://h/');
  const plain = compile('ssh://h/');
  assert.equal(plain.locate({ ...visited, path: '', schemes }), 'ssh://h/');
  assert.equal(
    codeOf(() => plain.locate({ ...visited, path: '' })),
    'ERR_LOCATION',
  );
  for (const wrong of ['javascript', 'DATA:', '', 'a b'])
    assert.throws(() => schemeSet([wrong]), TypeError);
});

test('the path goes behind the whole destination, or before its query and fragment where the link says so', () => {
  const both = (long: string): string[] =>
    (['end', 'path'] as const).map((append) =>
      compile(long, append).locate({ path: 'p q', query: 'b=2', user: undefined, now: 0 }),
    );
  assert.deepEqual(both('/rel?a=1'), ['/rel?a=1%2Fp+q&b=2', '/rel/p%20q?a=1&b=2']);
  assert.deepEqual(both('http://h/#f'), ['http://h/?b=2#f/p%20q', 'http://h/p%20q?b=2#f']);
  assert.deepEqual(both('http://h'), ['http://h/p%20q?b=2', 'http://h/p%20q?b=2']);
});

test('what this version does not have is an error of its own when visited', () => {
  const long = 'http://h/{{.Now.UnixNano}}';
  checkDestination(long);
  assert.equal(
    codeOf(() => visit(long)),
    'ERR_UNSUPPORTED',
  );
});
