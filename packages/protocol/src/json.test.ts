import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError, utf8Decode, utf8Encode } from './bytes.ts';
import { encodeJson, MAX_JSON_DEPTH, parseJson } from './json.ts';

const parse = (text: string): unknown => parseJson(utf8Encode(text));
const encode = (value: unknown): string => utf8Decode(encodeJson(value));
/** Makes the reader take its exact path. */
const LONG = '9007199254740993';

test('integers survive to the last digit, as bigint only where a number would not do', () => {
  const table: [string, unknown][] = [
    ['0', 0],
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', 9007199254740992n],
    ['-9007199254740993', -9007199254740993n],
    ['9223372036854775807', 9223372036854775807n],
    ['18446744073709551615', 18446744073709551615n],
    ['-9223372036854775808', -9223372036854775808n],
    ['1000000000000000.5', 1000000000000000.5],
    ['12345678901234567890e2', 1.2345678901234568e21],
    ['1e400', Number.POSITIVE_INFINITY],
    [`1${'0'.repeat(30)}`, 1e30],
  ];
  for (const [text, value] of table) assert.deepEqual(parse(`[${text}]`), [value], text);
});

test('both paths of the reader agree with JSON.parse', () => {
  fc.assert(
    // Integers beyond 2^53 stay exact here and do not there; the table above has them.
    fc.property(
      fc.json({ maxDepth: 4 }).filter((text) => !/\d{16}/.test(text)),
      (text) => {
        const expected = JSON.parse(text);
        assert.deepEqual(parse(text), expected);
        assert.deepEqual(parse(`[${LONG},${text}]`), [9007199254740993n, expected]);
        assert.deepEqual(parse(` [ ${text}\t,\n${LONG} ]\r`), [expected, 9007199254740993n]);
      },
    ),
  );
});

test('both paths refuse the same texts, with ERR_MALFORMED', () => {
  const bad = [
    '',
    ' ',
    '{',
    '}',
    '[',
    ']',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{a:1}',
    "{'a':1}",
    '"',
    '"\\',
    '"\\x"',
    '"\\u12"',
    '"a\nb"',
    '"\u0001"',
    '01',
    '-',
    '+1',
    '1.',
    '.5',
    '1e',
    'nul',
    'True',
    'NaN',
    'Infinity',
    '1 1',
    '[1]]',
    '\ufeff1',
    '{"a":1 "b":2}',
    '[1}',
    '{"a":1]',
    '"\t"',
    '0x10',
    '//',
    '/**/1',
    '-01',
    '1_000',
  ];
  for (const text of bad) {
    for (const wrapped of [text, `[${LONG},${text}]`]) {
      if (text.trim() === '' && wrapped !== text) continue;
      assert.throws(
        () => parse(wrapped),
        (error) => error instanceof ProtocolError && error.code === 'ERR_MALFORMED',
        JSON.stringify(wrapped),
      );
    }
  }
  assert.throws(() => parse(`[${LONG},]`), { code: 'ERR_MALFORMED' });
});

test('any bytes give a value or a ProtocolError, on both paths', () => {
  const tokens = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '"a"',
    '"',
    '\\',
    'null',
    'true',
    '1',
    '-',
    LONG,
    '1.5e3',
    ' ',
    '\u0000',
    'é',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        fc.array(tokens).map((t) => utf8Encode(t.join(''))),
      ),
      (bytes) => {
        let value: unknown;
        try {
          value = parseJson(bytes);
        } catch (error) {
          assert.ok(error instanceof ProtocolError);
          return;
        }
        encodeJson(value);
      },
    ),
    { numRuns: 3000 },
  );
});

test('a name that means something to objects is only a name', () => {
  for (const text of [
    '{"__proto__":{"x":1},"constructor":2}',
    `{"__proto__":{"x":1},"constructor":2,"n":${LONG}}`,
  ]) {
    const value = parse(text) as Record<string, unknown>;
    assert.equal((value as { x?: number }).x, undefined);
    assert.deepEqual(Object.keys(value).slice(0, 2), ['__proto__', 'constructor']);
    assert.equal(encode(value), text);
  }
});

test('nesting is bounded, also inside what would not parse', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  parse(nested(MAX_JSON_DEPTH));
  for (const text of [
    nested(MAX_JSON_DEPTH + 1),
    '['.repeat(1e6),
    '{"a":'.repeat(1e5),
    `${'['.repeat(70)}${LONG}`,
  ]) {
    assert.throws(() => parse(text), { code: 'ERR_TOO_LARGE' });
  }
  assert.equal(parse(`"${'['.repeat(1000)}"`), '['.repeat(1000));
  assert.equal(parse(`"\\"${'['.repeat(1000)}"`), `"${'['.repeat(1000)}`);
});

test('bytes that are not UTF-8 become replacement characters, as in the stock decoder', () => {
  assert.equal(parseJson(Uint8Array.of(0x22, 0x61, 0xff, 0x22)), 'a\ufffd');
});

test('an error never quotes the input', () => {
  const secret = 'tskey-auth-secret';
  try {
    parse(`{"AuthKey":"${secret}" oops}`);
    assert.fail();
  } catch (error) {
    assert.ok(error instanceof ProtocolError);
    assert.equal(`${error.message}${String(error.cause)}${error.stack}`.includes(secret), false);
  }
});

test('the writer emits raw UTF-8, base64 for bytes, digits for bigints, and leaves out undefined', () => {
  const table: [unknown, string][] = [
    [
      { a: '<é&>/\u2028', b: undefined, c: [undefined, null] },
      '{"a":"<é&>/\u2028","c":[null,null]}',
    ],
    [{ id: 9007199254740993n, list: [1n] }, '{"id":9007199254740993,"list":[1]}'],
    [{ sig: Uint8Array.of(1, 2, 3), none: new Uint8Array(0) }, '{"sig":"AQID","none":""}'],
    [
      [1n, 'q"\\\n\u0001é', Number.NaN, true, { 'k"': 1, f: () => 1 }],
      '[1,"q\\"\\\\\\n\\u0001é",null,true,{"k\\"":1}]',
    ],
    [[1n, '\ud800'], '[1,"\\ud800"]'],
    [[1n, { toJSON: () => 'shown' }], '[1,"shown"]'],
    ['', '""'],
    [5n, '5'],
    [null, 'null'],
    [{}, '{}'],
  ];
  for (const [value, text] of table) assert.equal(encode(value), text);
  assert.throws(() => encodeJson(undefined), TypeError);
});

test('the fast and the own writer agree', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      assert.equal(encode([1n, value]), `[1,${JSON.stringify(value)}]`);
      assert.equal(encode(value), JSON.stringify(value));
    }),
  );
});
