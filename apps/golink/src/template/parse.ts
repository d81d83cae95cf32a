// Tokens -> nodes. Checks syntax, function names and variable scopes; fields and types are checked when it runs.
import { isFunction, isUnsupportedFunction } from './functions.ts';
import { lex, type Token, type TokenType } from './lex.ts';
import { type Command, type Node, type Operand, type Pipe, TemplateError } from './syntax.ts';

/** How deep parentheses and blocks may nest. */
export const MAX_DEPTH: number = 64;
/** Characters of source. */
export const MAX_SOURCE: number = 64 * 1024;

/** Throws TemplateError of kind `parse` or `unsupported`. */
export function parse(source: string): readonly Node[] {
  if (source.length > MAX_SOURCE)
    throw new TemplateError('parse', `it is longer than ${MAX_SOURCE} characters`, 0);
  const parser = new Parser(source);
  return parser.document();
}

type BlockEnd = 'end' | 'else';

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;
  /** Names in scope; a variable's slot is its position here. */
  #variables: string[] = ['$'];

  constructor(source: string) {
    this.#source = source;
    this.#tokens = lex(source);
  }

  document(): readonly Node[] {
    const { nodes, stop } = this.#nodes();
    if (stop !== undefined) throw this.#fail(`"${stop.text}" closes nothing`, stop);
    return nodes;
  }

  /** Nodes up to the end of the source, or to the word `else` or `end` (which is taken). */
  #nodes(): { nodes: Node[]; stop: Token | undefined } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#take();
      if (token.type === 'end') return { nodes, stop: undefined };
      if (token.type === 'text') {
        nodes.push({ type: 'text', text: token.text });
        continue;
      }
      const word = this.#peek();
      if (word.type !== 'keyword') {
        nodes.push({ type: 'action', pipe: this.#pipeline('close', 'a command', true) });
        continue;
      }
      this.#take();
      if (word.text === 'else' || word.text === 'end') return { nodes, stop: word };
      if (word.text !== 'if' && word.text !== 'with')
        throw new TemplateError(
          'unsupported',
          `"${word.text}" is not available`,
          word.offset,
          this.#source,
        );
      nodes.push(this.#branch(word.text, word));
    }
  }

  #branch(keyword: 'if' | 'with', at: Token): Node {
    this.#enter(at);
    const scope = this.#variables.length;
    const pipe = this.#pipeline('close', keyword, true);
    const { nodes: body, stop } = this.#nodes();
    if (stop === undefined) throw this.#fail(`"${keyword}" is not closed by "end"`, at);
    let otherwise: Node[] = [];
    // What the body declared is out of scope behind `else`; what the condition declared is not.
    this.#variables.length = scope + (pipe.store?.kind === 'declare' ? 1 : 0);
    if ((stop.text as BlockEnd) === 'end') this.#expect('close');
    else if (this.#peek().type === 'keyword' && this.#peek().text === keyword) {
      // {{else if}}: the inner branch takes the {{end}} of both.
      otherwise = [this.#branch(keyword, this.#take())];
    } else {
      this.#expect('close');
      const rest = this.#nodes();
      if (rest.stop === undefined) throw this.#fail(`"${keyword}" is not closed by "end"`, at);
      if (rest.stop.text !== 'end') throw this.#fail('a second "else"', rest.stop);
      this.#expect('close');
      otherwise = rest.nodes;
    }
    this.#variables.length = scope;
    this.#depth--;
    return { type: 'branch', keyword, pipe, body, otherwise };
  }

  #pipeline(until: TokenType, context: string, mayStore: boolean): Pipe {
    const first = this.#peek();
    let store: Pipe['store'];
    let declared: string | undefined;
    const mark = this.#tokens[this.#next + 1]!;
    if (first.type === 'variable' && (mark.type === ':=' || mark.type === '=')) {
      if (!mayStore) throw this.#fail(`"${mark.text}" cannot be in parentheses`, mark);
      this.#next += 2;
      if (mark.type === ':=') {
        declared = first.text;
        store = { kind: 'declare' };
      } else store = { kind: 'assign', slot: this.#slot(first) };
    }
    const commands: Command[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.type === until || token.type === '|') {
        if (commands.length === 0 || this.#tokens[this.#next - 1]!.type === '|')
          throw this.#fail(`a value is missing for ${context}`, token);
        this.#take();
        if (token.type === until) break;
        continue;
      }
      commands.push(this.#command(commands.length > 0));
    }
    if (declared !== undefined) this.#variables.push(declared);
    return { commands: commands as [Command, ...Command[]], store, offset: first.offset };
  }

  #command(later: boolean): Command {
    const operands: Operand[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.type === '|' || token.type === ')' || token.type === 'close') break;
      if (operands.length > 0 && !token.spaced)
        throw this.#fail(`unexpected ${JSON.stringify(token.text)}`, token);
      operands.push(this.#operand());
    }
    const [first] = operands;
    if (first === undefined) throw this.#fail('a value is missing', this.#peek());
    if (later && ['literal', 'nil', 'dot'].includes(first.type))
      throw new TemplateError(
        'parse',
        'a value cannot be piped into this',
        first.offset,
        this.#source,
      );
    if (first.type === 'nil')
      throw new TemplateError('parse', 'nil is not a command', first.offset, this.#source);
    return { operands: operands as [Operand, ...Operand[]] };
  }

  #operand(): Operand {
    const token = this.#take();
    const { offset } = token;
    switch (token.type) {
      case 'string':
        return this.#alone({ type: 'literal', value: token.text, offset });
      case 'bool':
        return this.#alone({ type: 'literal', value: token.text === 'true', offset });
      case 'number':
        return this.#alone({ type: 'literal', value: this.#integer(token), offset });
      case 'nil':
        return this.#alone({ type: 'nil', offset });
      case 'dot':
        return this.#alone({ type: 'dot', offset });
      case 'field':
        return { type: 'field', names: [token.text, ...this.#fields()], offset };
      case 'variable':
        return { type: 'variable', slot: this.#slot(token), names: this.#fields(), offset };
      case 'word':
        return this.#alone({ type: 'function', name: this.#function(token), offset });
      case '(': {
        this.#enter(token);
        const pipe = this.#pipeline(')', 'the parenthesis', false);
        this.#depth--;
        return { type: 'pipe', pipe, names: this.#fields(), offset };
      }
      default:
        throw this.#fail(`unexpected ${JSON.stringify(token.text)}`, token);
    }
  }

  /** Fields written right behind an operand: `.Now.Year`, `(...).Format`. */
  #fields(): string[] {
    const names: string[] = [];
    while (this.#peek().type === 'field' && !this.#peek().spaced) names.push(this.#take().text);
    return names;
  }

  /** An operand that has no fields. */
  #alone(operand: Operand): Operand {
    const token = this.#peek();
    if (token.type === 'field' && !token.spaced)
      throw this.#fail(`unexpected ".${token.text}" after a value`, token);
    return operand;
  }

  #function(token: Token): string {
    if (isFunction(token.text)) return token.text;
    if (isUnsupportedFunction(token.text))
      throw new TemplateError(
        'unsupported',
        `the function ${token.text} is not available`,
        token.offset,
        this.#source,
      );
    throw this.#fail(`the function ${JSON.stringify(token.text)} is not known`, token);
  }

  #slot(token: Token): number {
    const slot = this.#variables.lastIndexOf(token.text);
    if (slot < 0) throw this.#fail(`the variable ${token.text} is not declared`, token);
    return slot;
  }

  #integer(token: Token): number {
    const text = token.text.replace(/(?<=[0-9a-fA-FxXoObB])_(?=[0-9a-fA-F])/g, '');
    const sign = text.startsWith('-') ? -1 : 1;
    const digits = text.replace(/^[+-]/, '');
    if (/^(?:[0-9]+\.[0-9]*|[0-9]+[eE][+-]?[0-9]+|[0-9.]+i|[0-9]+\.[0-9]*[eE].*)$/.test(digits))
      throw new TemplateError(
        'unsupported',
        'floating-point numbers are not available',
        token.offset,
        this.#source,
      );
    if (!/^(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/.test(digits))
      throw this.#fail(`${JSON.stringify(token.text)} is no number`, token);
    const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
    if (!Number.isSafeInteger(value))
      throw new TemplateError(
        'unsupported',
        'numbers beyond 2^53 are not available',
        token.offset,
        this.#source,
      );
    return sign * value;
  }

  #enter(at: Token): void {
    if (++this.#depth > MAX_DEPTH) throw this.#fail(`it nests deeper than ${MAX_DEPTH}`, at);
  }

  #peek(): Token {
    return this.#tokens[this.#next]!;
  }

  #take(): Token {
    const token = this.#tokens[this.#next]!;
    if (token.type !== 'end') this.#next++;
    return token;
  }

  #expect(type: TokenType): void {
    const token = this.#take();
    if (token.type !== type) throw this.#fail(`unexpected ${JSON.stringify(token.text)}`, token);
  }

  #fail(message: string, at: Token): TemplateError {
    return new TemplateError('parse', message, at.offset, this.#source);
  }
}

/** True when a field or method of that name is read anywhere. */
export function reads(nodes: readonly Node[], name: string): boolean {
  const inOperand = (operand: Operand): boolean =>
    ('names' in operand && operand.names.includes(name)) ||
    (operand.type === 'pipe' && inPipe(operand.pipe));
  const inPipe = (pipe: Pipe): boolean =>
    pipe.commands.some((command) => command.operands.some(inOperand));
  return nodes.some(
    (node) =>
      node.type !== 'text' &&
      (inPipe(node.pipe) ||
        (node.type === 'branch' && (reads(node.body, name) || reads(node.otherwise, name)))),
  );
}
