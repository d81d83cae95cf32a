import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormTokens, TOKEN_LIFETIME_MS } from './formtoken.ts';

const KEY = new Uint8Array(32).fill(7);

test('a token holds for its caller, its action and a day', () => {
  let now = 1_700_000_000_000;
  const tokens = new FormTokens(KEY, () => now);
  const token = tokens.issue('foo@example.com', 'who');
  assert.equal(tokens.verify(token, 'foo@example.com', 'who'), true);
  assert.equal(tokens.verify(token, 'bar@example.com', 'who'), false);
  assert.equal(tokens.verify(token, 'foo@example.com', 'what'), false);
  now += TOKEN_LIFETIME_MS - 1;
  assert.equal(tokens.verify(token, 'foo@example.com', 'who'), true);
  now += 1;
  assert.equal(tokens.verify(token, 'foo@example.com', 'who'), false);
});

test('a token may be issued a minute ahead by another clock, and no more', () => {
  const issued = new FormTokens(KEY, () => 160_000).issue('a', 'b');
  assert.equal(new FormTokens(KEY, () => 100_000).verify(issued, 'a', 'b'), true);
  assert.equal(new FormTokens(KEY, () => 99_999).verify(issued, 'a', 'b'), false);
});

test('a colon in caller or action does not shift one into the other', () => {
  const tokens = new FormTokens(KEY, () => 0);
  assert.equal(tokens.verify(tokens.issue('a:b', 'c'), 'a', 'b:c'), false);
  assert.equal(tokens.verify(tokens.issue('a:', 'b'), 'a', ':b'), false);
});

test('forged, cut and foreign tokens do not hold, and the same key in another process does', () => {
  const tokens = new FormTokens(KEY, () => 5);
  const token = tokens.issue('a', 'b');
  for (const bad of [
    '',
    ':',
    token.slice(0, -1),
    `${token}0`,
    `A${token.slice(1)}`,
    `${token}\n`,
    'x'.repeat(9999),
  ])
    assert.equal(
      tokens.verify(bad, 'a', 'b'),
      bad === `A${token.slice(1)}` && token.startsWith('A'),
      bad.slice(0, 80),
    );
  assert.equal(new FormTokens(KEY, () => 6).verify(token, 'a', 'b'), true);
  assert.equal(new FormTokens(new Uint8Array(32), () => 6).verify(token, 'a', 'b'), false);
  assert.throws(() => new FormTokens(new Uint8Array(8)), RangeError);
});
