import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ControlError } from '../errors.ts';
import { parseHuJson, toJson } from './hujson.ts';

const read = (text: string): unknown => JSON.parse(toJson(parseHuJson(text)));

test('comments and trailing commas are read over', () => {
  const text = `// first
  {
    /* a // b */ "a": [1, 2.5e3, -0, /* none */],
    "b": {"c": "// no comment", "d": null,}, // last
    "e": true, "f": false,
  } /* end */`;
  assert.deepEqual(read(text), {
    a: [1, 2500, -0],
    b: { c: '// no comment', d: null },
    e: true,
    f: false,
  });
});

test('any JSON is HuJSON with the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      const text = JSON.stringify(value);
      if (/"(\w*)":[^{}]*"\1":/.test(text)) return;
      assert.deepEqual(read(text), JSON.parse(text));
    }),
  );
});

test('numbers keep their digits', () => {
  assert.equal(toJson(parseHuJson('[12345678901234567890, 1.10]')), '[12345678901234567890,1.10]');
});

test('a member named __proto__ is a member', () => {
  assert.equal(toJson(parseHuJson('{"__proto__": 1}')), '{"__proto__":1}');
});

for (const [text, place, message] of [
  ['', '1:1', 'unexpected end'],
  ['{"a": 1', '1:8', '"," or "}" expected'],
  ['{\n  "a": 1\n  "b": 2}', '3:3', '"," or "}" expected'],
  ["{'a': 1}", '1:2', 'member name in double quotes expected'],
  ['{"a" 1}', '1:6', '":" expected'],
  ['{"a": 1, "a": 2}', '1:10', 'member "a" stands twice'],
  ['[1, # no\n 2]', '1:5', 'unexpected "#"'],
  ['[01]', '1:2', 'unexpected "0"'],
  ['[+1]', '1:2', 'unexpected "+"'],
  ['["a\nb"]', '1:2', 'string not well formed or without an end'],
  ['["\\x"]', '1:2', 'string not well formed or without an end'],
  ['/* a', '1:1', 'comment without an end'],
  ['[,]', '1:2', 'unexpected ","'],
  ['{,}', '1:2', 'member name in double quotes expected'],
  ['[] []', '1:4', 'text behind the end of the document'],
  ['nul', '1:1', 'unexpected "n"'],
  [`${'['.repeat(40)}`, '1:34', 'nested too deeply'],
] as const) {
  test(`${JSON.stringify(text.slice(0, 20))} is refused at ${place}`, () => {
    assert.throws(() => parseHuJson(text), {
      code: 'ERR_POLICY',
      message: `line ${place}: ${message}`,
    });
  });
}

test('a text above the limit is refused unread', () => {
  assert.throws(() => parseHuJson(' '.repeat(2_000_000)), { code: 'ERR_POLICY' });
});

test('any text is a value or an error of the policy', () => {
  const piece = fc.constantFrom(...'{}[],:"\\/*ae1 \n', 'true', 'null', '//', '"a":', '-1');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      try {
        parseHuJson(pieces.join(''));
      } catch (error) {
        assert.ok(error instanceof ControlError && error.code === 'ERR_POLICY');
      }
    }),
    { numRuns: 1000 },
  );
});
