// Coverage by rewriting source text: counters at the start of blocks and cases, on both outcomes of conditions and on the right
// side of && and ||. Written for what tsc emits, not for any JavaScript; ternaries are not seen.
// The counters are `globalThis.coveCoverage.open(first, count)`, a byte array that saturates.

interface Token {
  readonly text: string;
  readonly at: number;
  readonly kind: 'word' | 'punctuation' | 'literal';
}

const PUNCTUATION =
  /^(?:\?\?=|&&=|\|\|=|=>|&&|\|\||\?\?|\?\.(?!\d)|\.\.\.|[=!]==?|[-+*/%&|^<>]=|\+\+|--|[{}()[\];,<>+\-*/%&|^!~?:=.@#])/;
const WORD = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/u;
const NUMBER = /^(?:0[xXbBoO][\da-fA-F_]+n?|(?:\d[\d_]*)?\.?\d[\d_]*(?:[eE][-+]?\d+)?n?\.?)/;
/** After these a slash begins a regular expression. */
const BEFORE_REGEX =
  /^(?:[({[,;:=!&|?+\-*%<>~^]|=>|&&|\|\||\?\?|[=!]==?|return|typeof|case|in|of|void|throw|await|yield|else|do)$/;

/** Tokens of `source` from `start` to its end, or to the brace that closes a template's expression. */
function scan(source: string, start: number, tokens: Token[], inTemplate: boolean): number {
  let at = start;
  let depth = 0;
  while (at < source.length) {
    const rest = source.slice(at, at + 400);
    const space = /^\s+/.exec(rest);
    if (space !== null) {
      at += space[0].length;
      continue;
    }
    const char = source[at]!;
    if (rest.startsWith('//') || rest.startsWith('#!')) {
      const end = source.indexOf('\n', at);
      at = end < 0 ? source.length : end;
      continue;
    }
    if (rest.startsWith('/*')) {
      at = source.indexOf('*/', at) + 2;
      continue;
    }
    if (char === '"' || char === "'") {
      const from = at++;
      while (source[at] !== char) at += source[at] === '\\' ? 2 : 1;
      tokens.push({ text: source.slice(from, ++at), at: from, kind: 'literal' });
      continue;
    }
    if (char === '`') {
      tokens.push({ text: '`', at, kind: 'literal' });
      at++;
      while (source[at] !== '`') {
        if (source[at] === '\\') at += 2;
        else if (source[at] === '$' && source[at + 1] === '{') {
          tokens.push({ text: '(', at: at + 1, kind: 'literal' });
          at = scan(source, at + 2, tokens, true);
          tokens.push({ text: '`', at, kind: 'literal' });
        } else at++;
      }
      at++;
      continue;
    }
    const last = tokens.at(-1);
    if (char === '/' && (last === undefined || BEFORE_REGEX.test(last.text))) {
      const from = at++;
      for (let inClass = false; source[at] !== '/' || inClass; at++) {
        if (source[at] === '\\') at++;
        else if (source[at] === '[') inClass = true;
        else if (source[at] === ']') inClass = false;
      }
      at += 1 + /^[a-z]*/.exec(source.slice(at + 1, at + 10))![0].length;
      tokens.push({ text: '/./', at: from, kind: 'literal' });
      continue;
    }
    const word = WORD.exec(rest);
    if (word !== null) {
      tokens.push({ text: word[0], at, kind: 'word' });
      at += word[0].length;
      continue;
    }
    const number = /^\.?\d/.test(rest) ? NUMBER.exec(rest) : null;
    if (number !== null) {
      tokens.push({ text: '0', at, kind: 'literal' });
      at += number[0].length;
      continue;
    }
    if (inTemplate && char === '}' && depth === 0) return at + 1;
    if (char === '{') depth++;
    if (char === '}') depth--;
    const mark = PUNCTUATION.exec(rest)?.[0] ?? char;
    tokens.push({ text: mark, at, kind: 'punctuation' });
    at += mark.length;
  }
  return at;
}

/** Index of the bracket that closes the one at `open`. */
function closing(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const { text, kind } = tokens[i]!;
    if (kind !== 'punctuation') continue;
    if (text === '(' || text === '[' || text === '{') depth++;
    else if (text === ')' || text === ']' || text === '}') {
      if (--depth === 0) return i;
    }
  }
  throw new Error('unbalanced brackets');
}

const BLOCK_AFTER = new Set([')', '=>', 'else', 'try', 'finally', 'do', 'catch']);

/** `source` with counters numbered from `first` on, and how many there are. */
export function instrument(source: string, first: number): { code: string; count: number } {
  const tokens: Token[] = [];
  scan(source, 0, tokens, false);
  const edits: { at: number; text: string }[] = [];
  let count = 0;
  const hit = (): string => `$c[${count++}]++`;
  const switches = new Set<number>();
  /** Index of the brace that opens each enclosing block. */
  const open: number[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const { text, at, kind } = token;
    if (kind === 'literal') continue;
    const before = tokens[i - 1];
    const isMember = before?.text === '.' || before?.text === '?.';
    if (kind === 'word' && !isMember && tokens[i + 1]?.text === '(') {
      const end = closing(tokens, i + 1);
      if (text === 'if' || text === 'while') {
        edits.push({ at: tokens[i + 1]!.at + 1, text: '(' });
        edits.push({ at: tokens[end]!.at, text: `)?(${hit()},true):(${hit()},false)` });
      } else if (text === 'switch') switches.add(end + 1);
    }
    if (text === '{' && kind === 'punctuation') {
      open.push(i);
      if (before !== undefined && BLOCK_AFTER.has(before.text) && !switches.has(i)) {
        edits.push({ at: at + 1, text: `${hit()};` });
      }
    } else if (text === '}' && kind === 'punctuation') {
      open.pop();
    } else if ((text === 'case' || text === 'default') && !isMember && switches.has(open.at(-1)!)) {
      let colon = i + 1;
      while (tokens[colon]!.text !== ':') {
        colon = /^[([{]$/.test(tokens[colon]!.text) ? closing(tokens, colon) + 1 : colon + 1;
      }
      edits.push({ at: tokens[colon]!.at + 1, text: `${hit()};` });
    } else if (text === '&&' || text === '||') {
      const value = text === '&&' ? 'true' : 'false';
      edits.push({ at: at + 2, text: `(${hit()},${value})${text}` });
    }
  }
  edits.sort((a, b) => a.at - b.at);
  let code = `const $c=globalThis.coveCoverage.open(${first},${count});`;
  let from = 0;
  for (const edit of edits) {
    code += source.slice(from, edit.at) + edit.text;
    from = edit.at;
  }
  return { code: code + source.slice(from), count };
}
