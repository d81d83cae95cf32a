import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pathEscape, pathEscapeBytes, queryEscapeBytes, unescapeBytes } from './escape.ts';
import { buildLocation } from './location.ts';

const bytes = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...Buffer.from('aZ0%2f +~'))))
  .map((codes) => String.fromCharCode(...codes));

/** Byte by byte, as the rules are written. */
const reference = (text: string, kept: RegExp): string =>
  [...text]
    .map((char) =>
      kept.test(char) ? char : `%${Buffer.from(char, 'latin1').toString('hex').toUpperCase()}`,
    )
    .join('');

test('escaping keeps what it may and nothing else, byte by byte, and is undone by unescaping', {
  timeout: 60_000,
}, () => {
  fc.assert(
    fc.property(bytes, (text) => {
      const path = pathEscapeBytes(text);
      assert.equal(path, reference(text, /[A-Za-z0-9\-_.~$&+=:@]/));
      assert.equal(unescapeBytes(path), text);
      const query = queryEscapeBytes(text);
      assert.equal(query, reference(text, /[A-Za-z0-9\-_.~]/).replaceAll('%20', '+'));
      assert.equal(unescapeBytes(query.replaceAll('+', ' ')), text);
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.equal(pathEscape(text), pathEscapeBytes(Buffer.from(text).toString('latin1')));
    }),
  );
});

const located = (expanded: string): string | undefined => {
  try {
    return buildLocation(expanded, '');
  } catch {
    return undefined;
  }
};

test('a host alone, which is mostly plain, is taken and written as one with an empty port', {
  timeout: 60_000,
}, () => {
  const host = fc.array(
    fc.oneof(
      fc.constantFrom(...'azAZ09-._~'),
      fc.constantFrom(...'!%2"<>]^`| \u0080\u00ff'),
      fc.string({ maxLength: 1 }),
    ),
  );
  fc.assert(
    fc.property(host, (chars) => {
      const name = chars.join('').replace(/[/?#:@[\u0100-\uffff]/g, '');
      const plain = located(`http://${name}/x`);
      assert.equal(located(`http://${name}:/x`), plain?.replace(/\/x$/, ':/x'));
    }),
    { numRuns: 500 },
  );
});
