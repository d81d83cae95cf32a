import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STYLESHEET, THEMES } from './stylesheet.ts';

/** WCAG 2.2 relative luminance. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5]
    .map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)) as [
    number,
    number,
    number,
  ];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

const PAIRS: readonly [string, readonly string[], number][] = [
  ['ink', ['paper', 'surface', 'sunken', 'accent-soft', 'warm-soft', 'danger-soft'], 7],
  ['muted', ['paper', 'surface', 'sunken', 'accent-soft'], 4.5],
  ['accent', ['paper', 'surface', 'accent-soft', 'sunken'], 4.5],
  ['danger', ['paper', 'surface', 'danger-soft'], 4.5],
  ['on-accent', ['accent', 'accent-strong'], 4.5],
  // Borders of fields (WCAG 2.2, 1.4.11).
  ['line-strong', ['paper', 'surface'], 3],
];

for (const theme of ['light', 'dark'] as const) {
  test(`every ${theme} colour has contrast enough on each surface it is used on (WCAG 2.2 1.4.3, 1.4.11)`, () => {
    const colours = THEMES[theme];
    for (const [text, surfaces, least] of PAIRS) {
      for (const surface of surfaces) {
        const ratio = contrast(colours[text]!, colours[surface]!);
        assert.ok(ratio >= least, `${text} on ${surface}: ${ratio.toFixed(2)} < ${least}`);
      }
    }
  });
}

test('every custom property that is used is declared, and braces balance', () => {
  const declared = new Set([...STYLESHEET.matchAll(/--([a-z-]+):/g)].map((m) => m[1]));
  for (const [, name] of STYLESHEET.matchAll(/var\(--([a-z-]+)/g))
    assert.ok(declared.has(name), name);
  assert.equal(STYLESHEET.split('{').length, STYLESHEET.split('}').length);
  assert.doesNotMatch(STYLESHEET, /https?:|@import/);
});
