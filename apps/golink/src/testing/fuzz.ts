// What the fuzzer in test/fuzz runs of golink: templates and the URLs they give. A target feeds one input and throws what
// is a finding; its shape is that of every package's targets.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { GolinkError } from '../errors.ts';
import { buildLocation, DEFAULT_SCHEMES } from '../location.ts';
import { evaluate, MAX_OUTPUT } from '../template/evaluate.ts';
import { parse } from '../template/parse.ts';
import { TemplateError } from '../template/syntax.ts';
import { Time } from '../template/time.ts';

interface Target {
  readonly name: string;
  readonly run: (input: Uint8Array) => void;
  readonly seeds: readonly Uint8Array[];
  readonly words?: readonly Uint8Array[];
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const SECOND = 1_000;

/** A first line is the path; the rest the template. Text or TemplateError, soon. */
function runTemplate(input: Uint8Array): void {
  const [path = '', ...rest] = Buffer.from(input).toString('latin1').split('\n');
  const source = Buffer.from(rest.join('\n'), 'latin1').toString();
  const env = { path, user: 'a@b', query: '', host: 'go', now: new Time(1_654_182_245_067) };
  const started = performance.now();
  try {
    assert.ok(evaluate(parse(source), env, source).length <= MAX_OUTPUT);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
  }
  assert.ok(performance.now() - started < SECOND, 'in time');
}

/** A first line is the query; the rest the URL. An error that says so, or what fits a header. */
function runLocation(input: Uint8Array): void {
  const [query = '', ...rest] = Buffer.from(input).toString('latin1').split('\n');
  try {
    const location = buildLocation(rest.join('\n'), query);
    assert.match(location, /^[^\u0000-\u001f\u007f\u0100-\uffff]*$/);
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(location)?.[1];
    assert.ok(scheme === undefined || DEFAULT_SCHEMES.has(scheme), 'an allowed scheme');
  } catch (error) {
    if (!(error instanceof GolinkError && error.code === 'ERR_LOCATION')) throw error;
  }
}

const vectors = (name: string): [string, string][] =>
  readFileSync(new URL(`../../src/testing/${name}`, import.meta.url), 'utf8')
    .trimEnd()
    .split('\n')
    .filter((_, i) => i % 40 === 0)
    .map((line) => JSON.parse(line) as [string, string]);

export const targets: readonly Target[] = [
  {
    name: 'golink-template',
    run: runTemplate,
    seeds: vectors('text-template.jsonl').map(([source, path]) => bytes(`${path}\n${source}`)),
    words:
      '{{ }} {{- -}} if else end with range break continue define template block := $x .Path .Now .Segments printf index slice Match and or eq "%v" "a" 0x /* */ Split RegexReplace'
        .split(' ')
        .map(bytes),
  },
  {
    name: 'golink-location',
    run: runLocation,
    seeds: vectors('net-url.jsonl').map(([url, query]) => bytes(`${query}\n${url}`)),
    words: 'http:// mailto: // ? # % %25 [::1] :80 @ & ; =+'.split(' ').map(bytes),
  },
];
