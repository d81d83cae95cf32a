import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatTime, isZeroTime, parseTime, ZERO_TIME } from './time.ts';

test('the instant counts, not its writing', () => {
  const table: Record<string, number> = {
    '1970-01-01T00:02:03Z': 123_000,
    '1970-01-01T01:02:03+01:00': 123_000,
    '1969-12-31T17:02:03-07:00': 123_000,
    '2024-02-29T23:59:59.123456789-07:00': 1709276399123,
    '2026-01-02T03:04:05.1Z': 1767323045100,
    '0001-01-01T00:00:00Z': -62135596800000,
    '0000-12-31T23:00:00-01:00': -62135596800000,
  };
  for (const [text, ms] of Object.entries(table)) assert.equal(parseTime(text), ms, text);
});

test('what is no RFC 3339 time is undefined', () => {
  for (const text of [
    '',
    '2026-01-02',
    '2026-01-02T03:04:05',
    '2026-01-02 03:04:05Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00:00.Z',
    '2026-01-01T00:00:00.1234567890Z',
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+0100',
    '2026-01-01t00:00:00z',
    '+02026-01-01T00:00:00Z',
    'x',
  ]) {
    assert.equal(parseTime(text), undefined, text);
  }
});

test('zero is year 1 in any offset, or absent, and nothing else', () => {
  for (const zero of [
    undefined,
    ZERO_TIME,
    '0001-01-01T01:00:00+01:00',
    '0001-01-01T00:00:00.000Z',
  ]) {
    assert.equal(isZeroTime(zero), true);
  }
  for (const time of ['0001-01-01T00:00:01Z', '1970-01-01T00:00:00Z', 'nonsense', '']) {
    assert.equal(isZeroTime(time), false);
  }
});

test('a formatted instant parses to itself', () => {
  fc.assert(
    fc.property(fc.integer({ min: -62135596800000, max: 253402300799999 }), (ms) => {
      assert.equal(parseTime(formatTime(ms)), ms);
    }),
  );
});
