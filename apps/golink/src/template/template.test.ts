import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { evaluate, MAX_OUTPUT } from './evaluate.ts';
import { parse } from './parse.ts';
import { TemplateError } from './syntax.ts';
import { Time } from './time.ts';
import { toBytes } from './utf8.ts';

const NOW = new Time(Date.parse('2022-06-02T15:04:05.067Z'));

function run(source: string, path = '', user: string | undefined = 'foo@example.com'): string {
  const env = { path: toBytes(path), user, query: 'q=1', host: 'go', now: NOW };
  return evaluate(parse(source), env, source);
}

const unUtf8 = (bytes: string): string => Buffer.from(bytes, 'latin1').toString();

function errorOf(source: string, path = ''): TemplateError {
  try {
    run(source, path);
  } catch (error) {
    assert.ok(error instanceof TemplateError, `${source}: ${error}`);
    return error;
  }
  throw new Error(`no error: ${source}`);
}

/** Source, path, and what Go 1.26.8's text/template gave: bytes, or null and whether it failed to parse or to run. */
type Vector = readonly [string, string, string | null, ('parse' | 'run')?];

function vectors<T>(name: string): T[] {
  const file = new URL(`../../src/testing/${name}`, import.meta.url);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as T);
}

test('over 3,000 templates give byte for byte what text/template gives, and fail where it fails', () => {
  const all = vectors<Vector>('text-template.jsonl');
  assert.ok(all.length > 3000);
  for (const [source, path, expected, failure] of all) {
    if (expected !== null) assert.equal(run(source, path), expected, source);
    else assert.equal(errorOf(source, path).kind, failure, source);
  }
});

const OUTPUTS: readonly [source: string, path: string, expected: string][] = [
  ['plain }} text', '', 'plain }} text'],
  ['{{.Path}}', 'a/ü', 'a/ü'],
  ['{{.Query}} {{.Host}}', '', 'q=1 go'],
  ['{{index .Segments 1}} of {{len .Segments}}', 'a/b/c', 'b of 3'],
  ['{{range $i, $s := .Segments}}{{if $i}}+{{end}}{{$s}}{{else}}none{{end}}', 'a/b', 'a+b'],
  ['{{range .Segments}}x{{else}}none{{end}}', '', 'none'],
  ['{{range .Path | Split ","}}[{{.}}]{{end}}', 'a,b,,c', '[a][b][][c]'],
  ['{{Split "" "ab"}}{{Split "x" ""}}', '', '[ab][]'],
  ['{{.Segments | Join "-"}} {{slice .Segments 1 | Join "/"}}', 'a/b/c', 'a-b-c b/c'],
  ['{{.Path | Replace "_" "$&"}}{{Replace "" "." "ab"}}', 'a_b', 'a$&b.a.b.'],
  ['{{.Path | Default "home"}} {{Default 1 0}}', '', 'home 1'],
  ['{{.Path | Default "home"}}', 'x', 'x'],
  ['{{.Path | RegexReplace `(\\d+)-(?P<n>\\w)` "$<n>$1$9"}}', 'ü12-a/3-b', 'üa12$9/b3$9'],
  ['{{RegexReplace "(" "x" .Path}}', 'a', 'a'],
];

test('segments, query, host and our own functions give what a pipeline needs', () => {
  for (const [source, path, expected] of OUTPUTS)
    assert.equal(unUtf8(run(source, path)), expected, source);
  for (const source of [
    '{{index .Segments 3}}',
    '{{Join 1 .Segments}}',
    '{{Join "," .Path}}',
    '{{Split 1 "a"}}',
  ])
    assert.equal(errorOf(source, 'a/b').kind, 'run', source);
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
    ['{{"abc}}', 2, /a string is not closed/],
    ['{{`abc}}', 2, /a raw string is not closed/],
    ['{{"\\q"}}', 3, /escape/],
    ['{{(.Path}}', 8, /parenthesis is not closed/],
    ['{{.Path)}}', 7, /no parenthesis to close/],
    ['{{.Path ||}}', 9, /unexpected "\|"/],
    ['{{|}}', 2, /unexpected "\|"/],
    ['{{.Path | "x"}}', 10, /cannot be piped/],
    ['{{nil.Foo}}', 5, /unexpected ".Foo"/],
    ['{{range 1}}\n{{define "a"}}{{end}}{{end}}', 14, /line 2, column 3: "define" stands inside/],
    ['{{break}}', 2, /"break" stands in no range/],
    ['{{define "a"}}x{{end}}{{define "a"}}y{{end}}', 24, /"a" is defined twice/],
    ['{{template a}}', 11, /"template" needs a name in quotes/],
    ['{{$a, $b := 1}}', 4, /only a range sets two/],
    ['{{0x}}', 2, /"0x" is no number/],
    ['{{08}}', 2, /"08" is no number/],
    ['{{.Path"x"}}', 7, /unexpected "\\""/],
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
    '{{1i}}',
    '{{1+2i}}',
    '{{.}}',
    '{{printf "%d" .Now}}',
    '{{.Now.Truncate 1}}',
    '{{.Now.UnixNano}}',
    '{{.Now.AddDate 8000 0 0}}',
  ])
    assert.equal(errorOf(source).kind, 'unsupported', source);
});

test('.User without a caller asks for one, and says so also where a call of it is wrong', () => {
  const env = { path: '', user: undefined, query: '', host: '', now: NOW };
  const kindOf = (source: string): string => {
    try {
      return evaluate(parse(source), env, source);
    } catch (error) {
      return (error as TemplateError).kind;
    }
  };
  assert.equal(kindOf('{{.User}}'), 'user');
  assert.equal(kindOf('{{define "a"}}{{.User}}{{end}}{{template "a" .}}'), 'user');
  assert.equal(kindOf('{{or 1 .User}}'), '1');
  assert.equal(kindOf('{{.User 1}}'), 'run');
});

test('nesting, recursion, output, steps, widths and patterns have limits', () => {
  const started = performance.now();
  assert.match(
    errorOf('{{if true}}'.repeat(1000) + '{{end}}'.repeat(1000)).message,
    /nests deeper/,
  );
  assert.match(errorOf(`{{${'('.repeat(5000)}1${')'.repeat(5000)}}}`).message, /nests deeper/);
  const x = `{{$x := "${'x'.repeat(30_000)}"}}`;
  const deep = `${'{{if true}}'.repeat(60)}{{template "a"}}${'{{end}}'.repeat(60)}`;
  for (const [source, path = ''] of [
    [`{{$x := "${'x'.repeat(100)}"}}${'{{$x = print $x $x}}'.repeat(30)}{{$x}}`],
    ['{{.Path}}'.repeat(100), 'x'.repeat(MAX_OUTPUT / 50)],
    [`${x}${'{{$y := ToUpper $x}}'.repeat(1500)}`],
    [`${x}${'{{$y := eq $x $x}}'.repeat(1500)}`],
    ['{{range 1000000000}}{{end}}'],
    ['{{range .Now.Unix}}{{range $.Now.Unix}}x{{end}}{{end}}'],
    ['{{define "a"}}{{template "a"}}{{end}}{{template "a"}}'],
    ['{{template ""}}'],
    ['{{define "a"}}{{template "a"}}{{template "a"}}{{end}}{{range 100}}{{template "a"}}{{end}}'],
    [`{{define "a"}}${deep}{{end}}{{template "a"}}`],
    ['{{printf "%1000000d" 1}}'],
    ['{{printf "%.1000000f" 1.5}}'],
    ['{{printf "%*s%*s" 60000 "" 60000 ""}}'],
    ['{{len (printf "%900000s" "a")}}'],
    ['{{Split "," .Path | printf "%64000s"}}', 'a,b,c'],
    ['{{Replace "" .Path .Path}}', 'x'.repeat(20_000)],
    ['{{RegexReplace "" "$0" .Path}}', 'x'.repeat(20_000)],
    ['{{RegexReplace "(.*y)?" "z" .Path}}', 'x'.repeat(5_000)],
    [`${x}{{range 1000}}{{Match "y" $x}}{{end}}`],
    ['{{range $i := 5000}}{{Match (printf "a{900}%d" $i) ""}}{{end}}'],
    ['{{range 500}}{{$x := printf "%.60000f%.5000e" 1e300 1e-300}}{{end}}'],
    ['{{Split "," .Path}}', ','.repeat(60_000)],
    ['{{Match "(((a{100}){10}){10}){5}" .Path}}'],
    ['{{Match "(x{900})" .Path}}', 'x'.repeat(60_000)],
    [`{{Match "${'a'.repeat(2000)}" .Path}}`],
  ] as const)
    assert.equal(errorOf(source, path).kind, 'budget', source.slice(0, 80));
  assert.equal(errorOf('x'.repeat(70_000)).kind, 'parse');
  assert.ok(performance.now() - started < 5_000, 'all of them in seconds');
});

test('Match takes patterns that make a backtracking engine hang', () => {
  const started = performance.now();
  assert.equal(run('{{Match "^(a+)+$" .Path}}', `${'a'.repeat(5_000)}!`), 'false');
  assert.equal(run('{{Match "(x+x+)+y" .Path}}', 'x'.repeat(5_000)), 'false');
  assert.equal(run('{{Match `([a-z0-9]{8}-){3}[^\\]{3}x{2}]{4}` .Path}}', 'a'), 'false');
  // More patterns than are kept.
  for (let i = 0; i < 500; i++) assert.equal(run(`{{Match "^${i}$" .Path}}`, String(i)), 'true');
  assert.ok(performance.now() - started < 5_000);
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
  'break',
  'continue',
  'define',
  'template',
  'block',
  'index',
  'slice',
  '.Segments',
  '1.5',
  '"%*v"',
  '9999999999',
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
