// Anything as a request: an answer in bounded time, never one that golink did not mean to give, and the service goes on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { startService } from './testing/service.ts';

const WORDS = [
  ...[
    '.all',
    '.search',
    '.detail',
    '.delete',
    '.api/v1/links',
    '.api/v1',
    '.export',
    '.help',
    '.mine',
  ],
  ...[
    '.history',
    '.stats',
    '.tokens',
    '.deleted',
    '.suggest',
    '.opensearch',
    '.metrics',
    '.healthz',
  ],
  ...[
    'x',
    'x+',
    'X-',
    '%2e%2e',
    '..',
    '%00',
    '%ff',
    '%E2%80%A8',
    'history',
    'restore',
    '__proto__',
  ],
  ...[
    'q',
    'after',
    'limit',
    'owner:',
    'tag:',
    '"',
    "'",
    '%25',
    'NEAR(',
    '*',
    '-1',
    '1e999',
    '{{',
    '}}',
  ],
];
const piece = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...WORDS) },
  fc.string({ maxLength: 12 }).map(encodeURIComponent),
  fc.string({ unit: 'binary', maxLength: 6 }).map((text) => {
    try {
      return encodeURIComponent(text);
    } catch {
      return '%ed%a0%80';
    }
  }),
);
const target = fc
  .tuple(fc.array(piece, { maxLength: 4 }), fc.array(fc.tuple(piece, piece), { maxLength: 3 }))
  .map(([path, query]) => {
    const search = query.map(([key, value]) => `${key}=${value}`).join('&');
    return `/${path.join('/')}${search === '' ? '' : `?${search}`}`.replace(/[^!-~]/g, '%20');
  });
const json = fc.json({ maxDepth: 4 });
const fields = fc.constantFrom(
  'short',
  'long',
  'owner',
  'tags',
  'aliases',
  'editors',
  'append',
  'seq',
  'at',
  'name',
);
const link = fc
  .dictionary(fields, fc.oneof(fc.string(), fc.jsonValue({ maxDepth: 2 })))
  .map((value) => JSON.stringify(value));
const form = fc
  .array(fc.tuple(fields, fc.string({ unit: 'binary' })), { maxLength: 4 })
  .map((pairs) => new URLSearchParams(pairs).toString());
const request = fc.record({
  method: fc.constantFrom(
    'GET',
    'GET',
    'HEAD',
    'POST',
    'POST',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
  ),
  target,
  body: fc.oneof(fc.constant(''), json, link, form, fc.string()),
  type: fc.constantFrom(
    ...[
      'application/json',
      'application/x-www-form-urlencoded',
      'text/plain',
      'multipart/form-data',
      '',
    ],
  ),
  accept: fc.constantFrom('text/html', 'application/json', '*/*', ''),
  match: fc.constantFrom('', '"1"', '*', 'W/"x"', '"-1"'),
  trusted: fc.boolean(),
});

test('any request is answered as meant, and the service goes on', {
  timeout: 120_000,
}, async () => {
  const told: string[] = [];
  await using go = await startService({ log: (message) => told.push(message) });
  await go.save('x', 'http://x/{{.Path}}');
  await fc.assert(
    fc.asyncProperty(request, async ({ method, target, body, type, accept, match, trusted }) => {
      const began = performance.now();
      const answer = await go.send(method, target, body, {
        accept,
        'content-length': String(Buffer.byteLength(body)),
        ...(type !== '' && { 'content-type': type }),
        ...(match !== '' && { 'if-match': match }),
        ...(trusted && { 'sec-golink': '1' }),
      });
      const what = `${method} ${target}: ${answer.status} ${answer.body.slice(0, 200)} ${told.at(-1)}`;
      assert.ok(answer.status >= 200 && answer.status < 600, what);
      assert.doesNotMatch(answer.body, /It has been noted|at .*\.js:\d+/, what);
      assert.ok(performance.now() - began < 5_000, `took too long: ${what}`);
    }),
    { numRuns: 1_500 },
  );
  assert.equal((await go.save('afterwards', 'http://y/')).status, 200);
  assert.equal((await go.get('/afterwards')).location, 'http://y/');
});
