import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatTime,
  isValidName,
  type Link,
  linkId,
  linkJson,
  newLink,
  parseTime,
  trimPunctuation,
  ZERO_TIME,
} from './links.ts';

test('names compare without case and hyphens; dots and underscores count', () => {
  const cases: readonly [string, string][] = [
    ['Meeting-Notes', 'meetingnotes'],
    ['MEETING--notes-', 'meetingnotes'],
    ['a.b_c', 'a.b_c'],
    ['Ünï', '%C3%BCn%C3%AF'],
    ['İ', 'i'],
    ['a b/c;d,e?f', 'a%20b%2Fc%3Bd%2Ce%3Ff'],
    ['$&+=:@~', '$&+=:@~'],
  ];
  for (const [short, id] of cases) assert.equal(linkId(short), id);
});

test('a name begins with letter, digit or underscore and goes on with these, dash and period', () => {
  for (const good of ['a', '0', '_', 'a-b.c_d', 'A1.']) assert.ok(isValidName(good), good);
  for (const bad of ['', '.a', '-a', 'a b', 'a/b', 'é', 'a\n', 'a+', '.new'])
    assert.ok(!isValidName(bad), JSON.stringify(bad));
});

test('a run of punctuation at the end is no part of a name', () => {
  assert.equal(trimPunctuation('who).,'), 'who');
  assert.equal(trimPunctuation('who.x'), 'who.x');
  assert.equal(trimPunctuation('([{}])'), '');
});

const link: Link = newLink({
  short: 'A',
  long: 'http://h/?a=1&b=<x>\u2028',
  created: ZERO_TIME,
  lastEdit: 1654131723,
  owner: 'foo@example.com',
});

test('a link is JSON with five keys in order, with <, > and & escaped', () => {
  assert.equal(
    linkJson(link),
    '{"Short":"A","Long":"http://h/?a=1\\u0026b=\\u003cx\\u003e\\u2028","Created":"0001-01-01T00:00:00Z","LastEdit":"2022-06-02T01:02:03Z","Owner":"foo@example.com"}',
  );
  assert.match(linkJson(link, 2), /^\{\n {2}"Short": "A",\n/);
});

test('times are read in any offset and written in UTC', () => {
  assert.equal(parseTime('2022-06-02T01:02:03Z'), 1654131723);
  assert.equal(parseTime('2022-06-02T03:02:03.999999999+02:00'), 1654131723);
  assert.equal(parseTime('2022-06-01T20:32:03-04:30'), 1654131723);
  assert.equal(parseTime('0001-01-01T00:00:00Z'), ZERO_TIME);
  for (const bad of [
    '',
    '2022-06-02',
    '2022-13-02T01:02:03Z',
    '2022-02-30T00:00:00Z',
    '2022-06-02T24:00:00Z',
    '2022-06-02 01:02:03Z',
    '0001-01-01T00:00:00+01:00',
  ])
    assert.equal(parseTime(bad), undefined, bad);
  fc.assert(
    fc.property(fc.integer({ min: ZERO_TIME, max: 253_402_300_799 }), (seconds) => {
      assert.equal(parseTime(formatTime(seconds)), seconds);
    }),
  );
});
