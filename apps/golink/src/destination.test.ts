import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDestination, compile } from './destination.ts';
import { GolinkError } from './errors.ts';
import { buildLocation } from './location.ts';
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

test('what is no URL, and what a browser would run, is an error and not a redirect', () => {
  for (const bad of [
    '',
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
    'mailto:a@b',
    'http://h/javascript:x',
    'ssh://h',
  ])
    checkDestination(good);
});

test('what this version does not have is refused with its place, and fails plainly when it is there already', () => {
  const long = 'http://h/{{if Match "\\\\d+" .Path}}id{{end}}';
  assert.throws(
    () => checkDestination(long),
    /long contains an invalid template: line 1, column 15: the function Match is not available/,
  );
  assert.equal(
    codeOf(() => visit(long)),
    'ERR_UNSUPPORTED',
  );
});
