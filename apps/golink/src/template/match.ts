// Match: RE2 patterns, in time linear in the text. The engine is re2js, which is RE2's own algorithm; a JavaScript RegExp
// would take other patterns and could run for ever. What a pattern and a text may cost together is bounded beforehand.
import { RE2JS } from 're2js';
import { toBytes, toText } from './utf8.ts';
import { CallError } from './values.ts';

/** Characters of a pattern. */
const MAX_PATTERN = 1_000;
/** Instructions a pattern may come to, about. */
const MAX_PROGRAM = 10_000;
/** Instructions times characters of text. */
const MAX_WORK = 20_000_000;
/** Characters a replacement may come to. */
const MAX_MADE = 4_000_000;
const MAX_KEPT = 200;

/** Compiled patterns, the one used longest ago first; undefined for what is no pattern. */
const patterns: Map<string, RE2JS | undefined> = new Map();

/** Both byte strings. False when the pattern is none. Throws CallError of kind `budget`. */
export function matches(pattern: string, text: string): boolean {
  const compiled = compile(pattern);
  if (compiled === undefined) return false;
  afford(compiled, text);
  return compiled.matcher(toText(text)).find();
}

/** Every match replaced; `$1` and `${name}` in `to` are what groups matched. */
export function replaceMatches(pattern: string, to: string, text: string): string {
  const compiled = compile(pattern);
  if (compiled === undefined) return text;
  afford(compiled, text);
  // An empty match before each character, at most.
  if ((text.length + 1) * (to.length + (to.includes('$') ? text.length : 0)) > MAX_MADE)
    throw new CallError('RegexReplace could make too much', 'budget');
  return toBytes(compiled.matcher(toText(text)).replaceAll(toText(to)));
}

function afford(compiled: RE2JS, text: string): void {
  if (compiled.programSize() * (text.length + 1) > MAX_WORK)
    throw new CallError('a pattern is too large for so long a text', 'budget');
}

function compile(pattern: string): RE2JS | undefined {
  const kept = patterns.get(pattern);
  if (kept !== undefined || patterns.has(pattern)) {
    patterns.delete(pattern);
    patterns.set(pattern, kept);
    return kept;
  }
  if (pattern.length > MAX_PATTERN || unfolded(pattern) > MAX_PROGRAM)
    throw new CallError('a pattern is too large', 'budget');
  const text = toText(pattern);
  let compiled: RE2JS | undefined;
  try {
    // RE2 takes only UTF-8.
    if (toBytes(text) === pattern) compiled = RE2JS.compile(text);
  } catch {
    // What RE2 does not take matches nothing, as in golink.
  }
  if (patterns.size >= MAX_KEPT) patterns.delete(patterns.keys().next().value!);
  patterns.set(pattern, compiled);
  return compiled;
}

const PIECE =
  /\\[\s\S]|\[\^?\]?(?:\[:\^?\w+:\]|\\[\s\S]|[^\]\\])*\]|\{(\d{1,9})(?:,(\d{0,9}))?\}|[\s\S]/gu;

/** How many atoms a pattern has once its counted repetitions are written out. */
function unfolded(pattern: string): number {
  const outer: number[] = [];
  let size = 0;
  let atom = 0;
  for (const [piece, low, high] of pattern.matchAll(PIECE)) {
    if (low !== undefined) {
      const more = atom * (Math.max(1, Number(low), Number(high ?? 0)) - 1);
      atom += more;
      size += more;
      continue;
    }
    if (piece === '(') {
      outer.push(size);
      size = 0;
    }
    atom = piece === ')' ? size + 1 : 1;
    if (piece === ')') size = outer.pop() ?? 0;
    size += atom;
  }
  return outer.reduce((sum, part) => sum + part, size);
}
