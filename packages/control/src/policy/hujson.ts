// HuJSON: JSON (RFC 8259) with // and /* */ comments and trailing commas, as a tree whose every value knows its
// place, so that complaints can name it. Refused beyond JSON: duplicate member names, deep nesting, long texts.
import { ControlError } from '../errors.ts';

export const MAX_TEXT: number = 1024 * 1024;
const MAX_DEPTH = 32;

export type HuValue =
  | { readonly type: 'object'; readonly at: number; readonly members: ReadonlyMap<string, HuValue> }
  | { readonly type: 'array'; readonly at: number; readonly items: readonly HuValue[] }
  | { readonly type: 'string'; readonly at: number; readonly text: string }
  | { readonly type: 'number'; readonly at: number; readonly source: string }
  | { readonly type: 'literal'; readonly at: number; readonly value: boolean | null };

/** `line:column` of an offset, both from 1. */
export function lineAndColumn(text: string, at: number): string {
  const before = text.slice(0, at).split('\n');
  return `${before.length}:${before.at(-1)!.length + 1}`;
}

/** The value as plain JSON text; numbers keep their digits. */
export function toJson(value: HuValue): string {
  switch (value.type) {
    case 'object':
      return `{${[...value.members].map(([k, v]) => `${JSON.stringify(k)}:${toJson(v)}`).join(',')}}`;
    case 'array':
      return `[${value.items.map(toJson).join(',')}]`;
    case 'string':
      return JSON.stringify(value.text);
    case 'number':
      return value.source;
    case 'literal':
      return String(value.value);
  }
}

/** Throws ControlError ERR_POLICY with line and column. */
export function parseHuJson(text: string): HuValue {
  if (text.length > MAX_TEXT) {
    throw new ControlError('ERR_POLICY', `policy of more than ${MAX_TEXT} characters`);
  }
  return new Parser(text).document();
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): HuValue {
    this.#space();
    const value = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) this.#fail('text behind the end of the document');
    return value;
  }

  #fail(message: string, at = this.#at): never {
    throw new ControlError('ERR_POLICY', `line ${lineAndColumn(this.#text, at)}: ${message}`);
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
        this.#at++;
      } else if (this.#text.startsWith('//', this.#at)) {
        const end = this.#text.indexOf('\n', this.#at);
        this.#at = end < 0 ? this.#text.length : end;
      } else if (this.#text.startsWith('/*', this.#at)) {
        const end = this.#text.indexOf('*/', this.#at + 2);
        if (end < 0) this.#fail('comment without an end');
        this.#at = end + 2;
      } else return;
    }
  }

  #value(depth: number): HuValue {
    if (depth > MAX_DEPTH) this.#fail('nested too deeply');
    const at = this.#at;
    const char = this.#text[at];
    if (char === '{') return this.#object(depth);
    if (char === '[') return this.#array(depth);
    if (char === '"') return { type: 'string', at, text: this.#string() };
    const word = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
    word.lastIndex = at;
    const match = word.exec(this.#text)?.[0];
    if (match === undefined) {
      this.#fail(char === undefined ? 'unexpected end' : `unexpected ${JSON.stringify(char)}`);
    }
    this.#at += match.length;
    if (match === 'null') return { type: 'literal', at, value: null };
    if (match === 'true' || match === 'false') {
      return { type: 'literal', at, value: match === 'true' };
    }
    return { type: 'number', at, source: match };
  }

  #string(): string {
    const start = this.#at;
    const literal = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
    literal.lastIndex = start;
    const match = literal.exec(this.#text)?.[0];
    if (match === undefined) this.#fail('string not well formed or without an end');
    this.#at += match.length;
    return JSON.parse(match) as string;
  }

  #object(depth: number): HuValue {
    const at = this.#at++;
    const members = new Map<string, HuValue>();
    this.#space();
    while (this.#text[this.#at] !== '}') {
      const nameAt = this.#at;
      if (this.#text[this.#at] !== '"') this.#fail('member name in double quotes expected');
      const name = this.#string();
      if (members.has(name)) this.#fail(`member ${JSON.stringify(name)} stands twice`, nameAt);
      this.#space();
      if (this.#text[this.#at] !== ':') this.#fail('":" expected');
      this.#at++;
      this.#space();
      members.set(name, this.#value(depth + 1));
      this.#separator('}');
    }
    this.#at++;
    return { type: 'object', at, members };
  }

  #array(depth: number): HuValue {
    const at = this.#at++;
    const items: HuValue[] = [];
    this.#space();
    while (this.#text[this.#at] !== ']') {
      items.push(this.#value(depth + 1));
      this.#separator(']');
    }
    this.#at++;
    return { type: 'array', at, items };
  }

  /** A comma, which may also stand before the closing bracket. */
  #separator(close: string): void {
    this.#space();
    const char = this.#text[this.#at];
    if (char === ',') {
      this.#at++;
      this.#space();
    } else if (char !== close) this.#fail(`"," or "${close}" expected`);
  }
}
