// Tokens -> nodes. Checks syntax, function names and variable scopes; fields and types are checked when it runs.
import { isFunction } from './functions.ts';
import { lex, type Token, type TokenType } from './lex.ts';
import { readNumber } from './number.ts';
import {
  type Command,
  type Node,
  type Operand,
  type Pipe,
  TemplateError,
  type TemplateSet,
} from './syntax.ts';

/** How deep parentheses and blocks may nest. */
export const MAX_DEPTH: number = 64;
/** Characters of source. */
export const MAX_SOURCE: number = 64 * 1024;

/** Throws TemplateError of kind `parse` or `unsupported`. */
export function parse(source: string): TemplateSet {
  if (source.length > MAX_SOURCE)
    throw new TemplateError('parse', `it is longer than ${MAX_SOURCE} characters`, 0);
  return new Parser(source).document();
}

type BranchKeyword = 'if' | 'with' | 'range';

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  readonly #templates: Map<string, readonly Node[]> = new Map();
  #next = 0;
  #depth = 0;
  /** Ranges around this place. */
  #ranges = 0;
  /** Names in scope, the innermost last. */
  #variables: string[] = ['$'];

  constructor(source: string) {
    this.#source = source;
    this.#tokens = lex(source);
  }

  document(): TemplateSet {
    const { nodes, stop } = this.#nodes(true);
    if (stop !== undefined) throw this.#fail(`"${stop.text}" closes nothing`, stop);
    this.#add('', nodes, this.#peek());
    return this.#templates;
  }

  /** Nodes up to the end of the source, or to the word `else` or `end` (which is taken). */
  #nodes(isTop = false): { nodes: Node[]; stop: Token | undefined } {
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
        nodes.push({ type: 'action', pipe: this.#pipeline('close', 'a command') });
        continue;
      }
      this.#take();
      switch (word.text) {
        case 'else':
        case 'end':
          return { nodes, stop: word };
        case 'if':
        case 'with':
        case 'range':
          nodes.push(this.#branch(word.text, word));
          break;
        case 'break':
        case 'continue':
          this.#expect('close');
          if (this.#ranges === 0) throw this.#fail(`"${word.text}" stands in no range`, word);
          nodes.push({ type: 'jump', keyword: word.text, offset: word.offset });
          break;
        case 'template':
          nodes.push(this.#call(word));
          break;
        case 'block':
          nodes.push(this.#block(word));
          break;
        default:
          if (!isTop) throw this.#fail('"define" stands inside something', word);
          this.#define(word);
      }
    }
  }

  #branch(keyword: BranchKeyword, at: Token): Node {
    this.#enter(at);
    const scope = this.#variables.length;
    const pipe = this.#pipeline('close', keyword);
    if (keyword === 'range') this.#ranges++;
    const { nodes: body, stop } = this.#nodes();
    if (keyword === 'range') this.#ranges--;
    if (stop === undefined) throw this.#fail(`"${keyword}" is not closed by "end"`, at);
    let otherwise: Node[] = [];
    if (stop.text === 'end') this.#expect('close');
    else if (keyword !== 'range' && this.#isKeyword(keyword)) {
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

  #define(at: Token): void {
    const name = this.#name(at);
    this.#expect('close');
    this.#body(name, at);
  }

  /** Defines a template and calls it in the same place. */
  #block(at: Token): Node {
    const name = this.#name(at);
    const pipe = this.#pipeline('close', 'block');
    this.#body(name, at);
    return { type: 'template', name, pipe, offset: at.offset };
  }

  #call(at: Token): Node {
    const name = this.#name(at);
    const isBare = this.#peek().type === 'close';
    const pipe = isBare ? undefined : this.#pipeline('close', 'template');
    if (isBare) this.#take();
    return { type: 'template', name, pipe, offset: at.offset };
  }

  /** What stands between {{define}} and its {{end}}: it sees no variables and no range of what is around it. */
  #body(name: string, at: Token): void {
    this.#enter(at);
    const outside = { variables: this.#variables, ranges: this.#ranges };
    this.#variables = ['$'];
    this.#ranges = 0;
    const { nodes, stop } = this.#nodes();
    if (stop?.text !== 'end') throw this.#fail(`"${at.text}" is not closed by "end"`, stop ?? at);
    this.#expect('close');
    this.#variables = outside.variables;
    this.#ranges = outside.ranges;
    this.#depth--;
    this.#add(name, nodes, at);
  }

  /** A name may be defined again only if one of the two says nothing. */
  #add(name: string, nodes: readonly Node[], at: Token): void {
    const known = this.#templates.get(name);
    if (known === undefined || isBlank(known)) this.#templates.set(name, nodes);
    else if (!isBlank(nodes))
      throw this.#fail(`the template ${JSON.stringify(name)} is defined twice`, at);
  }

  #name(at: Token): string {
    const token = this.#take();
    if (token.type !== 'string') throw this.#fail(`"${at.text}" needs a name in quotes`, token);
    return token.text;
  }

  #pipeline(until: TokenType, context: string): Pipe {
    const first = this.#peek();
    const { variables, assigns } = this.#stores(context);
    const commands: Command[] = [];
    while (this.#peek().type !== until) commands.push(this.#command(commands.length > 0));
    if (commands.length === 0) throw this.#fail(`a value is missing for ${context}`, this.#peek());
    this.#take();
    return {
      commands: commands as [Command, ...Command[]],
      variables,
      assigns,
      offset: first.offset,
    };
  }

  /** `$x :=`, `$x =`, and in a range `$i, $v :=`. */
  #stores(context: string): Pick<Pipe, 'variables' | 'assigns'> {
    const mark = this.#tokens[this.#next + 1];
    if (this.#peek().type !== 'variable' || mark === undefined)
      return { variables: [], assigns: false };
    if (mark.type === ':=' || mark.type === '=') {
      const variables = [this.#take().text];
      this.#take();
      this.#variables.push(...variables);
      return { variables, assigns: mark.type === '=' };
    }
    if (mark.type !== ',') return { variables: [], assigns: false };
    if (context !== 'range') throw this.#fail('only a range sets two variables', mark);
    const index = this.#take().text;
    this.#take();
    const value = this.#take();
    const second = this.#take();
    if (value.type !== 'variable' || (second.type !== ':=' && second.type !== '='))
      throw this.#fail('a range sets one or two variables', value);
    this.#variables.push(index, value.text);
    return { variables: [index, value.text], assigns: second.type === '=' };
  }

  /** Takes the bar behind it as well. */
  #command(isLater: boolean): Command {
    const operands: Operand[] = [];
    for (;;) {
      const token = this.#peek();
      if (operands.length > 0) {
        if (token.type === ')' || token.type === 'close') break;
        if (token.type === '|') {
          this.#take();
          break;
        }
        if (!token.spaced) throw this.#fail(`unexpected ${JSON.stringify(token.text)}`, token);
      }
      operands.push(this.#operand());
    }
    const [head, ...args] = operands as [Operand, ...Operand[]];
    if (isLater && ['string', 'bool', 'number', 'nil', 'dot'].includes(head.type))
      throw new TemplateError(
        'parse',
        'a value cannot be piped into this',
        head.offset,
        this.#source,
      );
    return { head, args };
  }

  #operand(): Operand {
    const token = this.#take();
    const { offset } = token;
    switch (token.type) {
      case 'string':
        return this.#alone({ type: 'string', value: token.text, offset });
      case 'bool':
        return this.#alone({ type: 'bool', value: token.text === 'true', offset });
      case 'char':
        return this.#alone({
          ...{ type: 'number', integer: BigInt(token.text), float: undefined, offset },
        });
      case 'number':
        return this.#alone(this.#number(token));
      case 'nil':
        return this.#alone({ type: 'nil', offset });
      case 'dot':
        return this.#alone({ type: 'dot', offset });
      case 'field':
        return { type: 'field', names: [token.text, ...this.#fields()], offset };
      case 'variable':
        if (!this.#variables.includes(token.text))
          throw this.#fail(`the variable ${token.text} is not declared`, token);
        return { type: 'variable', name: token.text, names: this.#fields(), offset };
      case 'word':
        if (!isFunction(token.text))
          throw this.#fail(`the function ${JSON.stringify(token.text)} is not known`, token);
        return { type: 'function', name: token.text, names: this.#fields(), offset };
      case '(': {
        this.#enter(token);
        const pipe = this.#pipeline(')', 'the parenthesis');
        this.#depth--;
        return { type: 'pipe', pipe, names: this.#fields(), offset };
      }
      case 'close':
        throw this.#fail('a value is missing', token);
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

  #number(token: Token): Operand {
    const number = readNumber(token.text);
    if (number === undefined) throw this.#fail(`${JSON.stringify(token.text)} is no number`, token);
    if (number !== 'complex') return { type: 'number', ...number, offset: token.offset };
    const message = 'complex numbers are not available';
    throw new TemplateError('unsupported', message, token.offset, this.#source);
  }

  #isKeyword(text: string): boolean {
    return this.#peek().type === 'keyword' && this.#peek().text === text;
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

const isBlank = (nodes: readonly Node[]): boolean =>
  nodes.every((node) => node.type === 'text' && /^[\t-\r \u0085\u00a0]*$/.test(node.text));

/** True when a field or method of that name is read anywhere. */
export function reads(templates: TemplateSet, name: string): boolean {
  return [...templates.values()].some((nodes) => readsIn(nodes, name));
}

function readsIn(nodes: readonly Node[], name: string): boolean {
  const inOperand = (operand: Operand): boolean =>
    ('names' in operand && operand.names.includes(name)) ||
    (operand.type === 'pipe' && inPipe(operand.pipe));
  const inPipe = (pipe: Pipe): boolean =>
    pipe.commands.some(({ head, args }) => inOperand(head) || args.some(inOperand));
  return nodes.some(
    (node) =>
      ('pipe' in node && node.pipe !== undefined && inPipe(node.pipe)) ||
      (node.type === 'branch' && (readsIn(node.body, name) || readsIn(node.otherwise, name))),
  );
}
