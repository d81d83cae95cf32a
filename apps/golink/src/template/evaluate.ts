// Runs a parsed template within a budget of steps, output and depth.

import { formatValue } from './format.ts';
import { callFunction, costOf, signatureOf } from './functions.ts';
import { memberOf } from './members.ts';
import {
  type Command,
  type Node,
  type Operand,
  type Pipe,
  TemplateError,
  type TemplateSet,
} from './syntax.ts';
import {
  CallError,
  type Environment,
  Int,
  isTrue,
  List,
  Root,
  typeName,
  type Value,
} from './values.ts';

/** Operands evaluated and nodes passed, plus one for each 64 characters a function takes or gives. */
export const MAX_STEPS: number = 20_000;
/** Bytes of output, and of any value on the way. */
export const MAX_OUTPUT: number = 64 * 1024;
/** Blocks, parentheses and templates within each other while it runs. */
export const MAX_NESTING: number = 250;

/** What an argument has to be. */
export type ArgumentType = 'string' | 'int' | 'any';

export interface Signature {
  readonly takes: readonly ArgumentType[];
  /** Any number of further arguments of any type. */
  readonly variadic?: boolean;
}

/** Gives a byte string. Throws TemplateError of kind `run`, `unsupported`, `budget` or `user`. */
export function evaluate(templates: TemplateSet, env: Environment, source: string): string {
  const run = new Run(templates, source);
  run.template('', new Root(env), 0);
  return run.output;
}

type Jump = 'break' | 'continue' | undefined;

const NONE: readonly Operand[] = [];

class Run {
  output = '';
  readonly #source: string;
  readonly #templates: TemplateSet;
  /** The innermost last. */
  #variables: { readonly name: string; value: Value }[] = [];
  #steps = 0;
  #nesting = 0;

  constructor(templates: TemplateSet, source: string) {
    this.#templates = templates;
    this.#source = source;
  }

  template(name: string, dot: Value, offset: number): void {
    const nodes = this.#templates.get(name);
    if (nodes === undefined)
      throw this.#error('run', `there is no template ${JSON.stringify(name)}`, offset);
    this.#enter(offset);
    const outside = this.#variables;
    this.#variables = [{ name: '$', value: dot }];
    this.#nodes(nodes, dot);
    this.#variables = outside;
    this.#nesting--;
  }

  #nodes(nodes: readonly Node[], dot: Value): Jump {
    for (const node of nodes) {
      switch (node.type) {
        case 'text':
          this.#write(node.text, 0);
          break;
        case 'action': {
          const value = this.#pipe(node.pipe, dot);
          if (node.pipe.variables.length > 0) break;
          const { offset } = node.pipe;
          this.#write(typeof value === 'string' ? value : this.#text(value, offset), offset);
          break;
        }
        case 'jump':
          return node.keyword;
        case 'template': {
          const value = node.pipe === undefined ? null : this.#pipe(node.pipe, dot);
          this.template(node.name, value, node.offset);
          break;
        }
        case 'branch': {
          const depth = this.#variables.length;
          this.#enter(node.pipe.offset);
          const jump = this.#branch(node, dot);
          this.#nesting--;
          this.#variables.length = depth;
          if (jump !== undefined) return jump;
        }
      }
    }
    return undefined;
  }

  #branch(node: Node & { type: 'branch' }, dot: Value): Jump {
    const value = this.#pipe(node.pipe, dot);
    if (node.keyword === 'range') return this.#range(node, value, dot);
    if (!isTrue(value)) return this.#nodes(node.otherwise, dot);
    return this.#nodes(node.body, node.keyword === 'with' ? value : dot);
  }

  #range(node: Node & { type: 'branch' }, over: Value, dot: Value): Jump {
    const { pipe, body } = node;
    const [first, second] = pipe.variables;
    const depth = this.#variables.length;
    const { count, at } = this.#elements(over, pipe);
    for (let i = 0n; i < count; i++) {
      this.#spend(1, pipe.offset);
      const value = at(i);
      if (first !== undefined) {
        // One variable is the element; of two, the first is its position.
        if (second !== undefined) this.#set(first, new Int(i), pipe.offset);
        this.#set(second ?? first, value, pipe.offset);
      }
      const jump = this.#nodes(body, value);
      this.#variables.length = depth;
      if (jump === 'break') break;
    }
    if (count > 0n) return undefined;
    // A break behind {{else}} ends this range, a continue the one around it.
    return this.#nodes(node.otherwise, dot) === 'continue' ? 'continue' : undefined;
  }

  #elements(over: Value, pipe: Pipe): { count: bigint; at: (i: bigint) => Value } {
    if (over === null) return { count: 0n, at: () => null };
    if (over instanceof List)
      return { count: BigInt(over.items.length), at: (i) => over.items[Number(i)]! };
    if (!(over instanceof Int))
      throw this.#error('run', `${typeName(over)} has nothing to range over`, pipe.offset);
    if (pipe.variables.length > 1)
      throw this.#error('run', 'a range over an integer sets one variable', pipe.offset);
    return { count: over.value, at: (i) => new Int(i, over.type) };
  }

  #write(text: string, offset: number): void {
    this.#spend(1, offset);
    if (this.output.length + text.length > MAX_OUTPUT)
      throw this.#error('budget', `it gives more than ${MAX_OUTPUT} bytes`, offset);
    this.output += text;
  }

  #text(value: Value, offset: number): string {
    if (value === null) return '<no value>';
    try {
      return formatValue(value);
    } catch (error) {
      throw this.#placed(error, offset);
    }
  }

  #pipe(pipe: Pipe, dot: Value): Value {
    let value: Value | undefined;
    for (const command of pipe.commands) value = this.#command(command, dot, value);
    const result = value!;
    for (const name of pipe.variables) {
      if (pipe.assigns) this.#set(name, result, pipe.offset);
      else this.#variables.push({ name, value: result });
    }
    return result;
  }

  #variable(name: string, offset: number): { value: Value } {
    for (let i = this.#variables.length - 1; i >= 0; i--)
      if (this.#variables[i]!.name === name) return this.#variables[i]!;
    throw this.#error('run', `the variable ${name} has no value`, offset);
  }

  #set(name: string, value: Value, offset: number): void {
    this.#variable(name, offset).value = value;
  }

  /** `piped` is the value of the command before, which becomes the last argument. */
  #command(command: Command, dot: Value, piped: Value | undefined): Value {
    const { head, args } = command;
    if (head.type === 'nil') throw this.#error('run', 'nil is not a command', head.offset);
    if ('names' in head && (head.type === 'function' || head.names.length > 0))
      return this.#operand(head, dot, args, piped);
    if (args.length > 0 || piped !== undefined)
      throw this.#error('run', 'arguments stand behind a value', head.offset);
    return this.#operand(head, dot);
  }

  /** With arguments for what a call can be made of. */
  #operand(operand: Operand, dot: Value, args: readonly Operand[] = NONE, piped?: Value): Value {
    const { offset } = operand;
    this.#spend(1, offset);
    switch (operand.type) {
      case 'string':
      case 'bool':
        return operand.value;
      case 'number':
        if (operand.float !== undefined) return operand.float;
        if (operand.integer !== undefined) return new Int(operand.integer);
        throw this.#error('run', 'a number needs more than 64 bits', offset);
      case 'nil':
        return null;
      case 'dot':
        return dot;
      case 'field':
        return this.#chain(dot, operand, dot, args, piped);
      case 'variable':
        return this.#chain(this.#variable(operand.name, offset).value, operand, dot, args, piped);
      case 'pipe': {
        this.#enter(offset);
        const value = this.#pipe(operand.pipe, dot);
        this.#nesting--;
        return this.#chain(value, operand, dot, args, piped);
      }
      case 'function':
        if (operand.names.length > 0)
          return this.#chain(this.#function(operand, dot, NONE), operand, dot, args, piped);
        return this.#function(operand, dot, args, piped);
    }
  }

  #chain(
    start: Value,
    { names, offset }: { readonly names: readonly string[]; readonly offset: number },
    dot: Value,
    args: readonly Operand[],
    piped: Value | undefined,
  ): Value {
    let value = start;
    const last = names.length - 1;
    for (let i = 0; i < last; i++)
      value = this.#member(value, names[i]!, dot, NONE, undefined, offset);
    return last < 0 ? value : this.#member(value, names[last]!, dot, args, piped, offset);
  }

  #member(
    value: Value,
    name: string,
    dot: Value,
    args: readonly Operand[],
    piped: Value | undefined,
    offset: number,
  ): Value {
    if (value === null) return null;
    if (value instanceof Root && name === 'User' && value.env.user === undefined) {
      if (args.length > 0 || piped !== undefined)
        throw this.#error('run', 'User takes no arguments', offset);
      throw this.#error('user', 'link requires a valid user', offset);
    }
    try {
      const member = memberOf(value, name);
      if (member === undefined)
        throw new CallError(`${typeName(value)} has no field or method ${name}`);
      const values = this.#arguments(name, member, args, dot, piped, offset);
      return this.#kept(member.call(value, values), offset);
    } catch (error) {
      throw this.#placed(error, offset);
    }
  }

  #function(
    { name, offset }: { readonly name: string; readonly offset: number },
    dot: Value,
    args: readonly Operand[],
    piped?: Value,
  ): Value {
    if (name === 'and' || name === 'or') return this.#choose(name, offset, args, dot, piped);
    const values = this.#arguments(name, signatureOf(name), args, dot, piped, offset);
    try {
      this.#spend(costOf(name, values), offset);
      return this.#kept(callFunction(name, values), offset);
    } catch (error) {
      throw this.#placed(error, offset);
    }
  }

  #arguments(
    name: string,
    signature: Signature,
    args: readonly Operand[],
    dot: Value,
    piped: Value | undefined,
    offset: number,
  ): Value[] {
    const { takes, variadic = false } = signature;
    const count = args.length + (piped === undefined ? 0 : 1);
    if (variadic ? count < takes.length : count !== takes.length)
      throw this.#error(
        'run',
        `${name} takes ${variadic ? 'at least ' : ''}${takes.length} argument${takes.length === 1 ? '' : 's'}, got ${count}`,
        offset,
      );
    const values: Value[] = [];
    for (const operand of args) {
      const type = takes[values.length] ?? 'any';
      const isInteger = type === 'int' && operand.type === 'number';
      const value =
        isInteger && operand.integer !== undefined
          ? new Int(operand.integer)
          : this.#operand(operand, dot);
      values.push(this.#checked(name, type, value, operand.offset));
    }
    if (piped !== undefined)
      values.push(this.#checked(name, takes[values.length] ?? 'any', piped, offset));
    return values;
  }

  #checked(name: string, type: ArgumentType, value: Value, offset: number): Value {
    if (typeof value === 'string') this.#spend(value.length / 64, offset);
    const fits =
      type === 'any' ||
      (type === 'string'
        ? typeof value === 'string'
        : value instanceof Int && value.type === 'int');
    if (!fits)
      throw this.#error('run', `${name} needs type ${type}, got ${typeName(value)}`, offset);
    return value;
  }

  /** `and` gives the first false operand or the last, `or` the first true one or the last. */
  #choose(
    name: 'and' | 'or',
    offset: number,
    operands: readonly Operand[],
    dot: Value,
    piped: Value | undefined,
  ): Value {
    let value: Value | undefined;
    for (const operand of operands) {
      value = this.#operand(operand, dot);
      if (isTrue(value) === (name === 'or')) return value;
    }
    value = piped === undefined ? value : piped;
    if (value === undefined) throw this.#error('run', `${name} takes at least 1 argument`, offset);
    return value;
  }

  /** A value made: its size counts. */
  #kept(value: Value, offset: number): Value {
    const size = value instanceof List ? value.items.length * 8 : 0;
    const length = typeof value === 'string' ? value.length : size;
    this.#spend(length / 64, offset);
    if (length > MAX_OUTPUT)
      throw this.#error('budget', `a value has more than ${MAX_OUTPUT} bytes`, offset);
    return value;
  }

  /** What a call threw, with its place. */
  #placed(error: unknown, offset: number): unknown {
    return error instanceof CallError ? this.#error(error.kind, error.message, offset) : error;
  }

  #spend(steps: number, offset: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS)
      throw this.#error('budget', `it takes more than ${MAX_STEPS} steps`, offset);
  }

  #enter(offset: number): void {
    if (++this.#nesting > MAX_NESTING)
      throw this.#error('budget', `it nests deeper than ${MAX_NESTING} while it runs`, offset);
  }

  #error(kind: TemplateError['kind'], message: string, offset: number): TemplateError {
    return new TemplateError(kind, message, offset, this.#source);
  }
}
