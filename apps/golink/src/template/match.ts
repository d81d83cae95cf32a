// Match: RE2 patterns, in time linear in the text. The engine is re2js, which is RE2's own algorithm; a JavaScript RegExp
// would take other patterns and could run for ever. What a pattern and a text cost together counts before they are tried.
import { RE2JS } from 're2js';
import { toBytes, toText } from './utf8.ts';
import { CallError } from './values.ts';

/** Characters of a pattern. */
const MAX_PATTERN = 1_000;
/** Instructions a pattern may come to, about. */
const MAX_PROGRAM = 10_000;
/** Instructions times characters of text that take as long as one step of a template. */
const WORK_PER_STEP = 1_000;
/** Characters a replacement may come to. */
const MAX_MADE = 4_000_000;
/** Patterns kept compiled, and how many atoms they may have together: some ten megabytes. */
const MAX_KEPT = 200;
const MAX_KEPT_SIZE = 50_000;

interface Pattern {
  /** Undefined for what is no pattern: it matches nothing, as in golink. */
  readonly regex: RE2JS | undefined;
  /** Atoms, written out. */
  readonly size: number;
}

/** The one used longest ago first. */
const patterns: Map<string, Pattern> = new Map();
let keptSize = 0;

/** Steps that `matches` or `replaceMatches` takes. Throws CallError of kind `budget`. */
export function matchCost(pattern: string, text: string, replaces: boolean): number {
  const { regex, size } = compile(pattern);
  const program = regex?.programSize() ?? 0;
  // A replacement begins to search anew behind each match.
  const searches = replaces ? text.length + 1 : 1;
  return 20 + size + (program * (text.length + 1) * searches) / WORK_PER_STEP;
}

/** Both byte strings. False when the pattern is none. Throws CallError of kind `budget`. */
export function matches(pattern: string, text: string): boolean {
  return compile(pattern).regex?.matcher(toText(text)).find() ?? false;
}

/** Every match replaced; `$1` and `$<name>` in `to` are what groups matched. */
export function replaceMatches(pattern: string, to: string, text: string): string {
  const { regex } = compile(pattern);
  if (regex === undefined) return text;
  // An empty match before each character, at most.
  const references = to.split('$').length - 1;
  if ((text.length + 1) * (to.length + references * text.length) > MAX_MADE)
    throw new CallError('RegexReplace could make too much', 'budget');
  return toBytes(regex.matcher(toText(text)).replaceAll(toText(to)));
}

/** Throws CallError of kind `budget`. */
function compile(source: string): Pattern {
  const kept = patterns.get(source);
  if (kept !== undefined) {
    patterns.delete(source);
    patterns.set(source, kept);
    return kept;
  }
  const size = source.length > MAX_PATTERN ? Number.POSITIVE_INFINITY : unfolded(source);
  if (size > MAX_PROGRAM) throw new CallError('a pattern is too large', 'budget');
  const pattern = { regex: regexOf(source), size };
  patterns.set(source, pattern);
  keptSize += size;
  for (const [oldest, { size: freed }] of patterns) {
    if (patterns.size <= MAX_KEPT && keptSize <= MAX_KEPT_SIZE) break;
    patterns.delete(oldest);
    keptSize -= freed;
  }
  return pattern;
}

function regexOf(source: string): RE2JS | undefined {
  const text = toText(source);
  try {
    // RE2 takes only UTF-8.
    return toBytes(text) === source ? RE2JS.compile(text) : undefined;
  } catch {
    return undefined;
  }
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
