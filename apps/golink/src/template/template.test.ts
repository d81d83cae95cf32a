import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { evaluate, MAX_OUTPUT } from './evaluate.ts';
import { parse } from './parse.ts';
import { TemplateError } from './syntax.ts';
import { Time } from './time.ts';

const NOW = new Time(Date.parse('2022-06-02T15:04:05.067Z'));

function run(source: string, path = '', user: string | undefined = 'foo@example.com'): string {
  return evaluate(parse(source), { path, user, query: 'q=1', host: 'go', now: NOW }, source);
}

function errorOf(source: string, path = ''): TemplateError {
  try {
    run(source, path);
  } catch (error) {
    assert.ok(error instanceof TemplateError, `${source}: ${error}`);
    return error;
  }
  throw new Error(`no error: ${source}`);
}

const OUTPUTS: readonly [source: string, path: string, expected: string][] = [
  ['plain }} text', '', 'plain }} text'],
  ['{{.Path}}', 'a/b', 'a/b'],
  ['{{$.Path}}', 'a', 'a'],
  ['{{ .Path | ToUpper | PathEscape }}', 'a b', 'A%20B'],
  ['{{.Path | TrimPrefix "xy"}}', 'x', 'y'],
  ['{{if .Path}}yes{{else}}no{{end}}', 'x', 'yes'],
  ['{{if .Path}}yes{{else}}no{{end}}', '', 'no'],
  ['{{if eq .Path "a"}}1{{else if eq .Path "b"}}2{{else}}3{{end}}', 'b', '2'],
  ['{{if eq .Path "a"}}1{{else if eq .Path "b"}}2{{else}}3{{end}}', 'c', '3'],
  ['{{with .Path}}[{{.}} {{$.Path}}]{{else}}none{{end}}', 'x', '[x x]'],
  ['{{with .Path}}{{else with .User}}u={{.}}{{end}}', '', 'u=foo@example.com'],
  ['{{with $x := .Path}}{{$x}}{{end}}', 'v', 'v'],
  ['{{$x := "a"}}{{if true}}{{$x = "b"}}{{$y := 1}}{{$x := "c"}}{{$x}}{{end}}{{$x}}', '', 'cb'],
  ['{{if $p := .Path}}{{else}}{{len $p}}{{end}}', '', '0'],
  ['{{len (ToLower .Path)}}', 'Ä', '2'],
  ['{{and .Path "x"}}|{{or .Path "x"}}|{{not .Path}}', '', '|x|true'],
  ['{{and "a" "b"}}{{or "a" "b"}}', '', 'ba'],
  ['{{or .Path .Nope}}', 'short-circuits', 'short-circuits'],
  [
    '{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1 2}}',
    '',
    'true true true true true false',
  ],
  ['{{eq .Now.Month 6}} {{lt .Now.Weekday 5}}', '', 'true true'],
  ['a {{- " b " -}} c', '', 'a b c'],
  ['a \n\t{{- /* comment */ -}} \n c{{/* other */}}', '', 'ac'],
  ['{{"\\"\\u00e4\\x41\\101\\n"}}{{`raw\\n`}}{{\'a\'}}', '', '"äAA\nraw\\n97'],
  ['{{0x1f}} {{0b11}} {{0o17}} {{017}} {{1_000}} {{-3}}', '', '31 3 15 15 1000 -3'],
  ['{{print 1 2 "a" "b" 3}}', '', '1 2ab3'],
  ['{{println 1 "a"}}', '', '1 a\n'],
  ['{{printf "%02d-%s-%v%%" .Now.Month "x" true}}', '', '06-x-true%'],
  ['{{printf "%5d|%-5s|" 42 "ab"}}', '', '   42|ab   |'],
  ['{{html "<a>"}}{{urlquery "a b"}}', '', '&lt;a&gt;a+b'],
  [
    '{{.Now.Year}}/{{.Now.Month}}/{{.Now.Day}} {{.Now.Weekday}} {{.Now.YearDay}}',
    '',
    '2022/June/2 Thursday 153',
  ],
  ['{{.Now}}', '', '2022-06-02 15:04:05.067 +0000 UTC'],
  ['{{(.Now.AddDate 0 0 30).Format "Jan _2"}}', '', 'Jul  2'],
  ['{{.Now.Unix}} {{.Now.UTC.Hour}}', '', '1654182245 15'],
];

test('templates give what the language says', () => {
  for (const [source, path, expected] of OUTPUTS) assert.equal(run(source, path), expected, source);
});

test('a layout is written in terms of the reference time', () => {
  const cases: readonly [string, string][] = [
    ['2006-01-02T15:04:05Z07:00', '2022-06-02T15:04:05Z'],
    ['Mon Monday Jan January 06', 'Thu Thursday Jun June 22'],
    ['1/2 _2 002 __2', '6/2  2 153 153'],
    ['3:4:5 PM pm 03', '3:4:5 PM pm 03'],
    ['.000 .999999 ,00 .9', '.067 .067 ,06 '],
    ['MST -0700 -07:00 -07 Z0700', 'UTC +0000 +00:00 +00 Z'],
    ['_2006 20060102 Janet Mont', '_2022 20220602 Janet Mont'],
    ['at 15h, no words: day', 'at 15h, no words: day'],
  ];
  for (const [layout, expected] of cases) assert.equal(NOW.format(layout), expected, layout);
});

test('a source that is no template says where it goes wrong', () => {
  const cases: readonly [string, number, RegExp][] = [
    ['ab{{', 2, /line 1, column 3: "\{\{" is not closed/],
    ['a\nb{{}}', 5, /line 2, column 4: a value is missing/],
    ['{{if .Path}}', 2, /"if" is not closed by "end"/],
    ['{{end}}', 2, /"end" closes nothing/],
    ['{{else}}', 2, /"else" closes nothing/],
    ['{{if .Path}}{{else}}{{else}}{{end}}', 22, /a second "else"/],
    ['{{Nope}}', 2, /the function "Nope" is not known/],
    ['{{toLower .Path}}', 2, /not known/],
    ['{{$x}}', 2, /\$x is not declared/],
    ['{{if true}}{{$x := 1}}{{end}}{{$x}}', 31, /not declared/],
    ['{{if true}}{{$x := 1}}{{else if $x}}{{end}}', 32, /not declared/],
    ['{{"abc}}', 2, /a string is not closed/],
    ['{{`abc}}', 2, /a raw string is not closed/],
    ['{{"\\q"}}', 3, /escape/],
    ['{{(.Path}}', 8, /parenthesis is not closed/],
    ['{{.Path)}}', 7, /no parenthesis to close/],
    ['{{.Path |}}', 9, /a value is missing/],
    ['{{.Path | "x"}}', 10, /cannot be piped/],
    ['{{nil}}', 2, /nil is not a command/],
    ['{{.Path"x"}}', 7, /unexpected/],
    ['{{"x".Foo}}', 5, /unexpected/],
    ['{{/* x}}', 0, /comment is not closed/],
    ['{{12ab}}', 2, /is no number/],
    ['{{with .Path}}{{else if .Path}}{{end}}', 21, /unexpected "if"/],
    ['{{%}}', 2, /unexpected "%"/],
  ];
  for (const [source, offset, message] of cases) {
    const error = errorOf(source);
    assert.equal(error.kind, 'parse', source);
    assert.match(error.message, message);
    assert.equal(error.offset, offset, `${source}: ${error.message}`);
  }
});

test('what belongs to the language and is not here is unsupported, never something else', () => {
  for (const source of [
    '{{range .Path}}{{end}}',
    '{{break}}',
    '{{define "x"}}{{end}}',
    '{{template "x"}}',
    '{{block "x" .}}{{end}}',
    '{{Match "a" .Path}}',
    '{{index .Path 0}}',
    '{{slice .Path 1}}',
    '{{js .Path}}',
    '{{call .Path}}',
    '{{1.5}}',
    '{{1e3}}',
    '{{.5}}',
    '{{99999999999999999999}}',
    '{{"\\xff"}}',
    '{{printf "%q" .Path}}',
    '{{.}}',
    '{{.Now.Truncate 1}}',
    '{{eq .Now .Now}}',
  ])
    assert.equal(errorOf(source).kind, 'unsupported', source);
});

test('wrong fields, types and counts fail when it runs', () => {
  for (const source of [
    '{{.Foo}}',
    '{{.Path.Foo}}',
    '{{.Now.Foo}}',
    '{{.constructor}}',
    '{{.Now.toString}}',
    '{{.Path "x"}}',
    '{{PathEscape}}',
    '{{PathEscape 1}}',
    '{{TrimPrefix .Path}}',
    '{{eq 1 "a"}}',
    '{{eq 1}}',
    '{{lt true false}}',
    '{{and}}',
    '{{not}}',
    '{{"x" "y"}}',
    '{{.Now.AddDate 1}}',
    '{{.Now.Format}}',
    '{{printf "%d" "x"}}',
    '{{printf "%s"}}',
    '{{len 3}}',
  ])
    assert.equal(errorOf(source).kind, 'run', source);
  assert.equal(
    (() => {
      try {
        return evaluate(parse('{{.User}}'), { path: '', user: undefined, query: '', host: '', now: NOW }, '');
      } catch (error) {
        return (error as TemplateError).kind;
      }
    })(),
    'user',
  );
});

test('nesting, output and steps have limits', () => {
  assert.match(
    errorOf('{{if true}}'.repeat(1000) + '{{end}}'.repeat(1000)).message,
    /nests deeper/,
  );
  assert.match(errorOf(`{{${'('.repeat(5000)}1${')'.repeat(5000)}}}`).message, /nests deeper/);
  const doubling = `{{$x := "${'x'.repeat(100)}"}}${'{{$x = print $x $x}}'.repeat(30)}{{$x}}`;
  assert.equal(errorOf(doubling).kind, 'budget');
  assert.equal(errorOf('{{.Path}}'.repeat(100), 'x'.repeat(MAX_OUTPUT / 50)).kind, 'budget');
  const work = `{{$x := "${'x'.repeat(30_000)}"}}${'{{$y := ToUpper $x}}'.repeat(1500)}`;
  assert.equal(errorOf(work).kind, 'budget');
});

const PIECES = [
  '{{',
  '}}',
  '{{-',
  '-}}',
  ' ',
  '\n',
  '.',
  '.Path',
  '.Now',
  '.User',
  '.Format',
  '$',
  '$x',
  ':=',
  '=',
  '|',
  '(',
  ')',
  'if',
  'else',
  'end',
  'with',
  'range',
  'and',
  'or',
  'not',
  'eq',
  'lt',
  'print',
  'printf',
  'len',
  'PathEscape',
  'ToUpper',
  '"',
  '`',
  "'",
  '"a"',
  '"%d"',
  '1',
  '-1',
  '0x',
  'nil',
  'true',
  '/*',
  '*/',
  'é',
  '\\',
  ',',
  'Match',
  'text',
];

test('any source gives text or a TemplateError, in bounded time and size', () => {
  const source = fc.oneof(
    fc.array(fc.constantFrom(...PIECES), { maxLength: 40 }).map((pieces) => pieces.join('')),
    fc
      .array(
        fc
          .array(fc.constantFrom(...PIECES.slice(4)), { maxLength: 6 })
          .map((p) => `{{${p.join(' ')}}}`),
        { maxLength: 8 },
      )
      .map((actions) => actions.join('')),
    fc.string({ unit: 'binary', maxLength: 60 }).map((text) => `{{${text}}}`),
  );
  fc.assert(
    fc.property(source, fc.string({ unit: 'binary' }), (text, path) => {
      const started = performance.now();
      try {
        assert.ok(run(text, path).length <= MAX_OUTPUT);
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error;
      }
      assert.ok(performance.now() - started < 1000);
    }),
    { numRuns: 5000 },
  );
});
