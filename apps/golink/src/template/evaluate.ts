// Runs a parsed template within a budget of steps and output.
import { callFunction } from './functions.ts';
import { type Command, type Node, type Operand, type Pipe, TemplateError } from './syntax.ts';
import { NamedInt, Time } from './time.ts';
import {
  CallError,
  type Environment,
  isTrue,
  printValue,
  Root,
  typeName,
  type Value,
} from './values.ts';

/** Operands evaluated, plus one for each 64 characters a function gives. */
export const MAX_STEPS: number = 20_000;
/** Characters of output, and of any value on the way. */
export const MAX_OUTPUT: number = 64 * 1024;

/** Throws TemplateError of kind `run`, `unsupported`, `budget` or `user`. */
export function evaluate(nodes: readonly Node[], env: Environment, source: string): string {
  const run = new Run(env, source);
  run.nodes(nodes, run.root);
  return run.output;
}

class Run {
  output = '';
  readonly root: Root;
  readonly #source: string;
  readonly #variables: Value[];
  #steps = 0;

  constructor(env: Environment, source: string) {
    this.root = new Root(env);
    this.#source = source;
    this.#variables = [this.root];
  }

  nodes(nodes: readonly Node[], dot: Value): void {
    for (const node of nodes) {
      if (node.type === 'text') this.#write(node.text, 0);
      else if (node.type === 'action') {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.store === undefined)
          this.#write(
            this.#calling(node.pipe.offset, () => printValue(value)),
            node.pipe.offset,
          );
      } else {
        const depth = this.#variables.length;
        const value = this.#pipe(node.pipe, dot);
        const inside = node.keyword === 'with' ? value : dot;
        if (isTrue(value)) this.nodes(node.body, inside);
        else this.nodes(node.otherwise, dot);
        this.#variables.length = depth;
      }
    }
  }

  #write(text: string, offset: number): void {
    if (this.output.length + text.length > MAX_OUTPUT)
      throw this.#error('budget', `it gives more than ${MAX_OUTPUT} characters`, offset);
    this.output += text;
  }

  #pipe(pipe: Pipe, dot: Value): Value {
    let value: Value | undefined;
    for (const command of pipe.commands) value = this.#command(command, dot, value);
    const result = value!;
    if (pipe.store?.kind === 'declare') this.#variables.push(result);
    else if (pipe.store?.kind === 'assign') this.#variables[pipe.store.slot] = result;
    return result;
  }

  /** `piped` is the value of the command before, which becomes the last argument. */
  #command(command: Command, dot: Value, piped: Value | undefined): Value {
    const [head, ...rest] = command.operands;
    if (head.type === 'function') {
      if (head.name === 'and' || head.name === 'or')
        return this.#choose(head.name, head.offset, rest, dot, piped);
      const args = this.#arguments(rest, dot, piped);
      return this.#call(head.name, args, head.offset);
    }
    const takesArguments = rest.length > 0 || piped !== undefined;
    if (!takesArguments) return this.#operand(head, dot);
    if (head.type === 'literal' || head.type === 'nil' || head.type === 'dot')
      throw this.#error('run', 'arguments stand behind a value', head.offset);
    return this.#operand(head, dot, this.#arguments(rest, dot, piped));
  }

  #arguments(operands: readonly Operand[], dot: Value, piped: Value | undefined): Value[] {
    const args = operands.map((operand) => this.#operand(operand, dot));
    if (piped !== undefined) args.push(piped);
    return args;
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
    value = piped ?? value;
    if (value === undefined) throw this.#error('run', `${name} takes at least 1 argument`, offset);
    return value;
  }

  #operand(operand: Operand, dot: Value, args?: readonly Value[]): Value {
    this.#spend(1, operand.offset);
    const { offset } = operand;
    switch (operand.type) {
      case 'literal':
        return operand.value;
      case 'nil':
        return null;
      case 'dot':
        return dot;
      case 'field':
        return this.#chain(dot, operand.names, offset, args);
      case 'variable':
        return this.#chain(this.#variables[operand.slot] ?? null, operand.names, offset, args);
      case 'pipe':
        return this.#chain(this.#pipe(operand.pipe, dot), operand.names, offset, args);
      case 'function':
        return this.#call(operand.name, [], offset);
    }
  }

  #chain(start: Value, names: readonly string[], offset: number, args?: readonly Value[]): Value {
    let value = start;
    names.forEach((name, i) => {
      const last = i === names.length - 1;
      value = this.#member(value, name, last ? (args ?? []) : [], offset);
    });
    if (names.length === 0 && args !== undefined)
      throw this.#error('run', 'arguments stand behind a value', offset);
    return value;
  }

  #member(value: Value, name: string, args: readonly Value[], offset: number): Value {
    const found =
      value instanceof Root
        ? this.#rootMember(value, name, offset)
        : value instanceof Time
          ? TIME_MEMBERS[name]
          : undefined;
    if (found === undefined) {
      if (value instanceof Time && UNSUPPORTED_TIME_MEMBERS.has(name))
        throw this.#error('unsupported', `.Now.${name} is not available`, offset);
      throw this.#error('run', `${typeName(value)} has no field or method ${name}`, offset);
    }
    if (typeof found === 'function') return this.#calling(offset, () => found(value as Time, args));
    if (args.length > 0) throw this.#error('run', `${name} takes no arguments`, offset);
    return found;
  }

  #rootMember(root: Root, name: string, offset: number): Value | undefined {
    const { env } = root;
    switch (name) {
      case 'Path':
        return env.path;
      case 'Query':
        return env.query;
      case 'Now':
        return env.now;
      case 'User':
        if (env.user === undefined) throw this.#error('user', 'link requires a valid user', offset);
        return env.user;
    }
    return undefined;
  }

  #call(name: string, args: readonly Value[], offset: number): Value {
    const value = this.#calling(offset, () => callFunction(name, args));
    if (typeof value === 'string') {
      this.#spend(value.length / 64, offset);
      if (value.length > MAX_OUTPUT)
        throw this.#error('budget', `a value has more than ${MAX_OUTPUT} characters`, offset);
    }
    return value;
  }

  #calling<T>(offset: number, call: () => T): T {
    try {
      return call();
    } catch (error) {
      if (error instanceof CallError)
        throw this.#error(error.unsupported ? 'unsupported' : 'run', error.message, offset);
      throw error;
    }
  }

  #spend(steps: number, offset: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS)
      throw this.#error('budget', `it takes more than ${MAX_STEPS} steps`, offset);
  }

  #error(kind: TemplateError['kind'], message: string, offset: number): TemplateError {
    return new TemplateError(kind, message, offset, this.#source);
  }
}

type Member = (time: Time, args: readonly Value[]) => Value;

const plain =
  (name: string, read: (time: Time) => Value): Member =>
  (time, args) => {
    if (args.length > 0) throw new CallError(`${name} takes no arguments`);
    return read(time);
  };

function integer(value: Value | undefined): number {
  const number = value instanceof NamedInt ? value.value : value;
  if (typeof number !== 'number') throw new CallError('AddDate takes 3 integers');
  return number;
}

const TIME_MEMBERS: Readonly<Record<string, Member>> = Object.assign(Object.create(null), {
  Format: (time, args) => {
    const [layout] = args;
    if (args.length !== 1 || typeof layout !== 'string')
      throw new CallError('Format takes 1 string');
    return time.format(layout);
  },
  AddDate: (time, args) => {
    if (args.length !== 3) throw new CallError('AddDate takes 3 integers');
    const moved = time.addDate(integer(args[0]), integer(args[1]), integer(args[2]));
    if (moved === undefined) throw new CallError('AddDate leaves the years 1 to 9999', true);
    return moved;
  },
  Year: plain('Year', (time) => time.year),
  Month: plain('Month', (time) => time.month),
  Day: plain('Day', (time) => time.day),
  Weekday: plain('Weekday', (time) => time.weekday),
  Hour: plain('Hour', (time) => time.hour),
  Minute: plain('Minute', (time) => time.minute),
  Second: plain('Second', (time) => time.second),
  Nanosecond: plain('Nanosecond', (time) => time.nanosecond),
  YearDay: plain('YearDay', (time) => time.yearDay),
  Unix: plain('Unix', (time) => Math.floor(time.ms / 1000)),
  UnixMilli: plain('UnixMilli', (time) => time.ms),
  UTC: plain('UTC', (time) => time),
  IsZero: plain('IsZero', () => false),
  String: plain('String', (time) => time.toString()),
} satisfies Record<string, Member>);

/** Of Go's time.Time, giving one value, and not here. */
const UNSUPPORTED_TIME_MEMBERS: ReadonlySet<string> = new Set([
  'Add',
  'After',
  'AppendFormat',
  'Before',
  'Compare',
  'Equal',
  'GoString',
  'In',
  'IsDST',
  'Local',
  'Location',
  'Round',
  'Sub',
  'Truncate',
  'UnixMicro',
  'UnixNano',
]);
